//! What the process takes from itself before it reads a byte that somebody inside wrote.

use crate::sys::seccomp::{Instruction, install};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io;
use std::os::fd::OwnedFd;

include!(concat!(env!("OUT_DIR"), "/seccomp_gitcheck.rs"));

/// Bytes of memory, all together: the largest object, what it is made of, what deltas wait for, and the tables over half a
/// million objects.
const MEMORY: u64 = 1 << 30;
/// Seconds of a processor.
const PROCESSOR: u64 = 60;
/// Open files: packs and their indices (`super::packs`). Fewer where the user has fewer: what can't be opened isn't found.
const FILES: u64 = 8192;

/// Why it couldn't.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A call failed.
    #[error("{call}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// The kernel has no Landlock, or not for all rights of its first version.
    #[error("the kernel has no Landlock (landlock(7)), without which no push is looked into")]
    Landlock,
}

/// Confines this process, or this thread where there are others, to reading beneath `stores`.
///
/// # Errors
/// Nothing may be read then.
pub fn confine(stores: &[OwnedFd]) -> Result<(), ConfineError> {
    // Nobody of the same user looks into it, and no core of it is written.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|errno| failed("prctl(PR_SET_DUMPABLE)", errno))?;
    rustix::thread::set_no_new_privs(true).map_err(|errno| failed("prctl(PR_SET_NO_NEW_PRIVS)", errno))?;
    for (resource, most) in [
        (Resource::As, MEMORY),
        (Resource::Cpu, PROCESSOR),
        (Resource::Nofile, FILES),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ] {
        limit(resource, most).map_err(|errno| failed("setrlimit", errno))?;
    }
    landlock(stores)?;
    install(&GITCHECK).map_err(|source| ConfineError::Call {
        call: "seccomp",
        source,
    })
}

/// Never more than there was.
fn limit(resource: Resource, most: u64) -> rustix::io::Result<()> {
    let had = rustix::process::getrlimit(resource).maximum;
    let most = Some(had.map_or(most, |had| had.min(most)));
    setrlimit(
        resource,
        Rlimit {
            current: most,
            maximum: most,
        },
    )
}

fn failed(call: &'static str, errno: rustix::io::Errno) -> ConfineError {
    ConfineError::Call {
        call,
        source: errno.into(),
    }
}

/// All rights that the kernel knows are handled; two of them are given back. What younger kernels know besides (truncation,
/// ports, signals) the filter of calls has no way to.
fn landlock(stores: &[OwnedFd]) -> Result<(), ConfineError> {
    const NEWEST: ABI = ABI::V6;
    let ruled = |_: landlock::RulesetError| ConfineError::Landlock;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(ruled)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .map_err(ruled)?
        .handle_access(AccessNet::from_all(NEWEST))
        .map_err(ruled)?
        .scope(Scope::from_all(NEWEST))
        .map_err(ruled)?
        .create()
        .map_err(ruled)?;
    for store in stores {
        let rule = PathBeneath::new(store, AccessFs::ReadFile | AccessFs::ReadDir);
        ruleset = ruleset.add_rule(rule).map_err(ruled)?;
    }
    let status = ruleset.restrict_self().map_err(ruled)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(ConfineError::Landlock),
    }
}
