//! Installs the system-call filters in the process that is about to become the command.
//!
//! The programs were compiled from `seccomp/*.json` when aca was built; nothing is decided here but which of them.

use crate::{
    policy::Grant,
    sys::seccomp::{self, Instruction},
};
use serde::{Deserialize, Serialize};
use std::{io, os::fd::OwnedFd};

include!(concat!(env!("OUT_DIR"), "/seccomp_programs.rs"));

/// Whether a group of calls is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Refused: the default.
    Refused,
    /// Open by a grant.
    Granted,
}

impl Permission {
    fn from_grants(grants: &[Grant], grant: Grant) -> Self {
        if grants.contains(&grant) {
            Self::Granted
        } else {
            Self::Refused
        }
    }
}

/// What the supervisor sees, where the kernel gives a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// Refused calls, and process starts: each `execve(2)` waits for the supervisor (`tests/bench/notify.rs` measures).
    Starts,
    /// Refused calls.
    Refusals,
    /// Nothing: the kernel answers everything.
    Nothing,
}

/// Which filter is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeccompChoice {
    /// New namespaces, and mounts in them.
    pub nested_userns: Permission,
    /// `io_uring`.
    pub io_uring: Permission,
    /// What the supervisor sees.
    pub observe: Observation,
}

impl SeccompChoice {
    /// The filter for a policy's grants.
    #[must_use]
    pub fn from_grants(grants: &[Grant], observe: Observation) -> Self {
        Self {
            nested_userns: Permission::from_grants(grants, Grant::NestedUserns),
            io_uring: Permission::from_grants(grants, Grant::IoUring),
            observe,
        }
    }

    const fn program(self, observe: Observation) -> &'static [Instruction] {
        use Observation::{Nothing, Refusals, Starts};
        use Permission::{Granted, Refused};
        match (observe, self.nested_userns, self.io_uring) {
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
        if let Ok(listener) = seccomp::install_with_listener(choice.program(choice.observe)) {
            return Ok(Some(listener));
        }
    }
    seccomp::install(choice.program(Observation::Nothing))?;
    Ok(None)
}
