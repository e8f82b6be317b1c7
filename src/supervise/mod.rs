//! The supervisor: what happens while the command runs.
mod event;
pub use event::{EVENT_VERSION, Emit, Event, Record, TrustChange};
