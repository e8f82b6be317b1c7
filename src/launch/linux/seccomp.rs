//! Installs the system-call filters in the process that is about to become the command.
//!
//! The programs were compiled from `seccomp/*.json` when aca was built; nothing is decided here but which of them.

pub use crate::plan::linux::{Observation, Permission, SeccompChoice};
use crate::sys::seccomp::{self, Instruction};
use std::{io, os::fd::OwnedFd};

include!(concat!(env!("OUT_DIR"), "/seccomp_programs.rs"));

trait Programs {
    fn listener(self) -> &'static [Instruction];
    fn alone(self) -> &'static [Instruction];
}

impl Programs for SeccompChoice {
    fn listener(self) -> &'static [Instruction] {
        match (self.nested_userns, self.io_uring) {
            (Permission::Refused, Permission::Refused) => &LISTENER_STRICT,
            (Permission::Granted, Permission::Refused) => &LISTENER_USERNS,
            (Permission::Refused, Permission::Granted) => &LISTENER_RING,
            (Permission::Granted, Permission::Granted) => &LISTENER_USERNS_RING,
        }
    }

    fn alone(self) -> &'static [Instruction] {
        match (self.nested_userns, self.io_uring) {
            (Permission::Refused, Permission::Refused) => &ALONE_STRICT,
            (Permission::Granted, Permission::Refused) => &ALONE_USERNS,
            (Permission::Refused, Permission::Granted) => &ALONE_RING,
            (Permission::Granted, Permission::Granted) => &ALONE_USERNS_RING,
        }
    }
}

/// The filter couldn't be installed, so the command must not start.
#[derive(Debug, thiserror::Error)]
#[error("seccomp(SECCOMP_SET_MODE_FILTER): {source}")]
pub struct SeccompError {
    /// What the kernel said.
    #[from]
    pub source: io::Error,
}

/// Installs the filter in this thread, which must be the only one, with `no_new_privs` set.
///
/// With a listener the result must reach the supervisor (`supervise::notify::spawn`) before this process calls
/// `execve(2)`, which waits for the supervisor's answer; `sendmsg(2)` and all that passing it takes are open. Where the
/// kernel gives no listener, the same calls are refused with the same errno, and only the events are missing: the
/// result is then `None` though observation was asked for, which the caller reports.
///
/// # Errors
/// When no filter could be installed.
pub fn apply(choice: &SeccompChoice) -> Result<Option<OwnedFd>, SeccompError> {
    if choice.observe == Observation::Observed {
        // EBUSY: a filter around us has a listener (aca in aca, some container managers). Any other failure is the
        // second filter's too, and an error there.
        if let Ok(listener) = seccomp::install_with_listener(choice.listener()) {
            return Ok(Some(listener));
        }
    }
    seccomp::install(choice.alone())?;
    Ok(None)
}
