//! Effects: makes a plan so.
//!
//! [`linux::parent`] starts the stage, which is this same program; [`linux::stage`] is what it does; the two speak
//! [`protocol`] over one socket pair.

mod channel;
pub mod linux;
pub mod protocol;

pub use channel::{Channel, ChannelError};

use std::ffi::OsString;
use std::process::ExitCode;

/// What this program does when aca itself started it inside a sandbox; nothing when a user started it.
#[must_use]
pub fn inner_main(arguments: &[OsString]) -> Option<ExitCode> {
    let word = arguments.first()?.to_str()?;
    match word {
        linux::parent::STAGE_WORD => Some(linux::stage_main()),
        linux::parent::REMASK_WORD => Some(linux::remask::remask_main(arguments)),
        _ => None,
    }
}
