//! Effects: makes a plan so.
//!
//! [`linux::parent`] starts the stage, which is this same program; [`linux::stage`] is what it does; the two speak
//! [`protocol`] over one socket pair.

mod channel;
pub mod linux;
pub mod protocol;

pub use channel::{Channel, ChannelError};
