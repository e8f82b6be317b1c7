//! Tries what a run needs, by doing it: a whole sandbox is built and thrown away before any program would start.

use super::parent::{LaunchError, Stage};
use crate::launch::protocol::Outcome;
use crate::plan::linux::{Program, StagePlan, Step};
use crate::plan::{Kind, linux};
use std::path::PathBuf;

/// Builds the smallest whole sandbox; tells what it came to, or which step failed.
///
/// # Errors
/// The first step that this machine refuses.
pub fn probe() -> Result<Outcome, LaunchError> {
    let at = |path: &str| PathBuf::from(path);
    let setup = vec![
        Step::Hostname("aca".into()),
        Step::Loopback,
        Step::CatchAllRoutes,
        Step::Redirect { must: false },
        Step::Listen { ports: Vec::new(), redirect: true },
        Step::NewRoot,
        Step::Bind {
            source: at("/usr"),
            at: at("/usr"),
            writable: false,
            kind: Kind::Directory,
            identity: None,
            missing: linux::Missing::Error,
        },
        Step::Proc,
        Step::Sys,
        Step::Devices { granted: Vec::new(), shared_memory_bytes: 1 << 20 },
        Step::Scratch { at: at("/tmp"), size_bytes: 1 << 20, mode: 0o1777 },
        Step::Enter,
    ];
    let lockdown = vec![
        Step::Keyring,
        Step::DropCapabilities,
        Step::NoNewPrivileges,
        Step::Landlock { writable: vec![at("/tmp")], files: true },
    ];
    let program = Program { argv: Vec::new(), environment: Vec::new(), directory: at("/") };
    let standing = Stage::spawn()?.build(&StagePlan { setup, lockdown, last: Vec::new(), program })?;
    Ok(standing.outcome)
    // Dropping the control socket ends the first process, which waits for `Go`.
}
