//! Tries what a run needs, by doing it: a whole sandbox is built and thrown away before any program would start.

use super::parent::{LaunchError, Stage};
use crate::launch::protocol::{NetworkOutcome, Outcome};
use crate::plan::linux::{Observation, Program, SeccompChoice, Signals, StagePlan, Step};
use crate::plan::{Kind, linux};
use std::path::PathBuf;

/// Builds the smallest whole sandbox; tells what it came to, or which step failed.
///
/// # Errors
/// The first step that this machine refuses.
pub fn probe() -> Result<(NetworkOutcome, Outcome), LaunchError> {
    let at = |path: &str| PathBuf::from(path);
    let network = vec![
        Step::Loopback,
        Step::CatchAllRoutes,
        Step::Redirect { must: false },
        Step::Listen {
            ports: Vec::new(),
            host_ports: Vec::new(),
            redirect: true,
        },
    ];
    let view = vec![
        Step::Hostname("aca".into()),
        Step::NewRoot,
        Step::Bind {
            source: at("/usr"),
            at: at("/usr"),
            access: linux::BindAccess::Read,
            kind: Kind::Directory,
            identity: None,
            missing: linux::Missing::Error,
        },
        Step::Proc,
        Step::Sys,
        Step::Devices {
            granted: Vec::new(),
            shared_memory_bytes: 1 << 20,
        },
        Step::Scratch {
            at: at("/tmp"),
            size_bytes: 1 << 20,
            mode: 0o1777,
        },
        Step::Enter,
    ];
    let lockdown = vec![Step::Keyring, Step::DropCapabilities, Step::NoNewPrivileges];
    let landlock = |signals| Step::Landlock {
        writable: vec![at("/tmp")],
        files: true,
        signals,
        held: Vec::new(),
    };
    let choice = SeccompChoice::from_grants(&[], Observation::Refusals);
    let program_only = vec![Step::Seccomp { choice }];
    let program = Program {
        argv: Vec::new(),
        environment: Vec::new(),
        directory: at("/"),
    };
    let plan = StagePlan {
        network,
        view,
        lockdown,
        program_only,
        wall: vec![landlock(Signals::Domain)],
        first_wall: vec![landlock(Signals::Any)],
        program,
        names: None,
    };
    let standing = Stage::spawn()?.build(&plan, None, None)?;
    Ok((standing.network, standing.outcome))
    // There was nothing to execute, and dropping the control socket ends the first process.
}
