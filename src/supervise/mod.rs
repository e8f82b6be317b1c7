//! The supervisor: what happens while the command runs.
mod event;
#[cfg(target_os = "linux")]
pub mod notify;
pub use event::{EVENT_VERSION, Emit, Event, Record, TrustChange};
