//! Effects: makes a plan so.
//!
//! [`linux::parent`] starts the stage, which is a copy of this process; `linux::stage` is what it does; the two speak
//! [`protocol`] over one socket pair.

mod channel;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod linux;
pub mod protocol;
mod ssh;

pub(crate) use channel::DESCRIPTORS_MAX;
pub use channel::{Channel, ChannelError};

use crate::plan::linux::SSH_PROGRAM;
use std::ffi::OsString;
use std::process::ExitCode;

/// The stage of a run, when the first argument asks for one; else none is started.
pub fn stage_for_a_run() -> Option<Result<linux::parent::Stage, linux::parent::LaunchError>> {
    let mut words = std::env::args_os();
    // Inside, a host that git names may be called so.
    let inner = words.next().is_none_or(|word| word == SSH_PROGRAM);
    words
        .next()
        .is_some_and(|word| word == "run" && !inner)
        .then(linux::parent::Stage::spawn)
}

/// What this program does when aca itself started it inside a sandbox; nothing when a user started it.
#[must_use]
pub fn inner_main(arguments: &[OsString]) -> Option<ExitCode> {
    let word = arguments.first()?.to_str()?;
    match word {
        linux::remask::REMASK_WORD => Some(linux::remask::remask_main(arguments)),
        SSH_PROGRAM => Some(ssh::ssh_main(arguments)),
        crate::gitcheck::CHECK_WORD => crate::gitcheck::check_main(arguments),
        crate::isolated::export::EXPORT_WORD => Some(crate::isolated::export::export_main()),
        _ => None,
    }
}
