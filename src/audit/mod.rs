//! What happened, kept: the session's log.

mod log;
mod session;

pub use log::{Log, LogError};
pub use session::{SessionId, SessionIdError};
