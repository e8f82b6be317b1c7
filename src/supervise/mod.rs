//! The supervisor: what happens while the command runs.
mod control;
mod desk;
mod event;
mod flood;
mod network;
pub mod notify;
pub mod run;
pub mod session;
pub mod signals;
pub mod state;
pub mod terminal;
mod trust;
pub mod watch;
pub use control::Serve;
pub use desk::Desk;
pub use event::{EVENT_VERSION, Emit, Event, Record, TrustChange, Via};
pub(crate) use flood::Bucket;
pub use trust::Change;
