//! What happened, kept: the session's log, and how it is read again.

mod log;
pub mod read;
mod session;

pub use log::{Log, LogError};
pub use session::{SessionId, SessionIdError};
