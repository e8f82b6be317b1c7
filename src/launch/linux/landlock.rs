//! The second wall: a Landlock domain in the shape of the mount view.
//!
//! It handles the write rights alone, so that opening a file for reading costs nothing more; reading is what the mount
//! view decides. With it go the scopes: no signal and no abstract socket reaches out of the domain.

use super::During;
use crate::launch::protocol::StageError;
use crate::plan::linux::Signals;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::io::Errno;
use std::path::PathBuf;

/// The newest interface whose rights were looked at one by one here.
const KNOWN: ABI = ABI::V6;

/// Restricts this process and all that it starts; tells `full`, `partial` or `none`.
/// In `held`, which are among `writable`, what is there can be written and removed, and no name can be made.
pub(super) fn restrict(
    writable: &[PathBuf],
    files: bool,
    signals: Signals,
    held: &[PathBuf],
) -> Result<String, StageError> {
    let writes = writes();
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    if files {
        ruleset = ruleset
            .handle_access(writes)
            .map_err(|_| Errno::INVAL)
            .during("landlock_create_ruleset")?;
    }
    ruleset = ruleset
        .scope(match signals {
            Signals::Domain => Scope::from_all(KNOWN),
            Signals::Any => Scope::from_all(KNOWN) & !Scope::Signal,
        })
        .map_err(|_| Errno::INVAL)
        .during("landlock_create_ruleset")?;
    let mut created = ruleset
        .create()
        .map_err(|_| Errno::INVAL)
        .during("landlock_create_ruleset")?;
    if files {
        for path in writable {
            let descriptor = PathFd::new(path)
                .map_err(|_| Errno::NOENT)
                .during("open for Landlock")?;
            let writes = if held.contains(path) {
                writes & !makes()
            } else {
                writes
            };
            let rule = PathBeneath::new(descriptor, allowed(path, writes));
            created = created
                .add_rule(rule)
                .map_err(|_| Errno::INVAL)
                .during("landlock_add_rule")?;
        }
    }
    let status = created
        .restrict_self()
        .map_err(|_| Errno::INVAL)
        .during("landlock_restrict_self")?;
    if !held.is_empty() && status.ruleset == RulesetStatus::NotEnforced {
        // The kernel would make names by itself.
        return Err(Errno::OPNOTSUPP).during("landlock_restrict_self");
    }
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "full",
        RulesetStatus::PartiallyEnforced => "partial",
        RulesetStatus::NotEnforced => "none",
    }
    .to_owned())
}

/// Everything that changes a file system, and nothing that reads it.
///
/// Truncation is left out: the kernel looks it up at every open, for reading too (`hook_file_open` in
/// security/landlock/fs.c asks for it beside what the open needs), which costs as much as handling reads would. What it
/// would refuse, the read-only mounts refuse.
fn writes() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V2)
}

/// What makes a name.
fn makes() -> BitFlags<AccessFs> {
    AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::MakeFifo
        | AccessFs::MakeSock
        | AccessFs::MakeChar
        | AccessFs::MakeBlock
        | AccessFs::Refer
}

/// A file takes the rights that a file can have.
fn allowed(path: &std::path::Path, writes: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    match rustix::fs::stat(path) {
        Ok(status)
            if rustix::fs::FileType::from_raw_mode(status.st_mode) != rustix::fs::FileType::Directory =>
        {
            writes & AccessFs::from_file(ABI::V2)
        }
        _ => writes,
    }
}
