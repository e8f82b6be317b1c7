//! What happened, kept: the session's log, and how it is read again.
//!
//! A log is a file of JSON lines for each session, readable by its owner alone, in a directory that no sandbox shows.
//! Its lines are chained ([`chain`] tells the format, what the chain shows and what it can't), and its writer holds a lock
//! on it, so that a session that runs is told from one that was cut off ([`lock`]).

mod chain;
mod find;
mod follow;
#[cfg(fuzzing)]
pub mod fuzz;
mod lock;
mod log;
pub mod read;
mod session;
mod summary;
#[cfg(test)]
mod tests;
mod verify;

pub use find::{FindError, all, find, open};
pub use follow::Follow;
pub use log::{Log, LogError};
pub use session::{SessionId, SessionIdError};
pub use summary::{Damage, Ending, Summary, summary};
pub use verify::{Verified, VerifyError, verify};
