//! Installs the system-call filters in the process that is about to become the command.
//!
//! The programs were compiled from `seccomp/*.json` when aca was built; nothing is decided here but which of them.

pub use crate::plan::linux::{Observation, Permission, SeccompChoice};
use crate::sys::seccomp::{self, Instruction};
use std::{io, os::fd::OwnedFd};

include!(concat!(env!("OUT_DIR"), "/seccomp_programs.rs"));

const fn program(choice: SeccompChoice, observe: Observation) -> &'static [Instruction] {
    use Observation::{Names, Nothing, Refusals, Starts};
    use Permission::{Granted, Refused};
    match (observe, choice.nested_userns, choice.io_uring) {
        (Names, Refused, Refused) => &NAMES_STRICT,
        (Names, Refused, Granted) => &NAMES_RING,
        // New names are looked after by way of Landlock, which nested user namespaces leave no room for.
        (Names, Granted, Refused) => &STARTS_USERNS,
        (Names, Granted, Granted) => &STARTS_USERNS_RING,
        (Starts, Refused, Refused) => &STARTS_STRICT,
        (Starts, Granted, Refused) => &STARTS_USERNS,
        (Starts, Refused, Granted) => &STARTS_RING,
        (Starts, Granted, Granted) => &STARTS_USERNS_RING,
        (Refusals, Refused, Refused) => &REFUSALS_STRICT,
        (Refusals, Granted, Refused) => &REFUSALS_USERNS,
        (Refusals, Refused, Granted) => &REFUSALS_RING,
        (Refusals, Granted, Granted) => &REFUSALS_USERNS_RING,
        (Nothing, Refused, Refused) => &ALONE_STRICT,
        (Nothing, Granted, Refused) => &ALONE_USERNS,
        (Nothing, Refused, Granted) => &ALONE_RING,
        (Nothing, Granted, Granted) => &ALONE_USERNS_RING,
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
    if choice.observe != Observation::Nothing {
        // EBUSY: a filter around us has a listener (aca in aca, some container managers). Any other failure is the
        // second filter's too, and an error there.
        if let Ok(listener) = seccomp::install_with_listener(program(*choice, choice.observe)) {
            return Ok(Some(listener));
        }
    }
    seccomp::install(program(*choice, Observation::Nothing))?;
    Ok(None)
}
