//! What this machine offers and how things lie: read once, then data. Serialises both ways, so that a report of
//! `aca doctor --json` is a test fixture.

mod again;
mod ambient;
pub(crate) mod beneath;
mod certificates;
mod closed;
mod foresee;
mod found;
#[cfg(fuzzing)]
pub mod fuzz;
mod git;
pub(crate) mod git_config;
mod git_helpers;
pub(crate) mod git_pointer;
mod git_walk;
mod identity;
mod kept;
mod link_way;
mod machine;
mod matcher;
mod notes;
mod obeyed;
mod object;
mod paths;
mod project;
mod refusal;
mod ssh;
mod ssh_config;
mod strayed;
mod tools;
mod walk;
mod walk_shared;
mod walker;

pub(crate) use again::{is_settled, look_again, look_at};
pub use ambient::{Ambient, AmbientError, git_protocol};
pub(crate) use beneath::now_ns;
pub use certificates::Certificates;
pub use foresee::Foreseen;
pub use found::{
    Alias, DIRECTORIES_KEPT, Found, FoundKind, Listed, Repository, RepositoryKind, Skipped, Target,
    UserFound, Walk,
};
pub use git::{
    GitError, GitKind, GitLayout, alternates, default_branches, leads_into, remote_urls, rewritten_urls,
};
pub use git_helpers::absent_includes;
pub use identity::GitIdentity;
pub use kept::{KeptName, NameJudge, NewKind, Ways, joined};
pub use machine::{Cgroup, Machine, Terminal, machine, terminal};
pub use matcher::{Matcher, UserPattern};
pub use obeyed::obeyed;
pub use paths::{Identity, Kind, PathFact, Paths, identity_of, leads_to, links_on_the_way, real};
pub use project::{Project, ProjectError, is_no_tool};
pub use refusal::{Refusal, apparmor_profile};
pub use ssh::{SshClient, SshClientError, ssh_client};
pub use ssh_config::SshConfigError;
pub use strayed::{Known, add_strayed, masked};
pub use tools::{Tools, credential_tools, is_written_inside};
pub use walk::{DEPTH_MAX, MASKS_MAX, Purpose, WalkError, walk, walk_project, walk_without};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All that a plan is made from, as far as it is this machine's doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The caller's surroundings.
    pub ambient: Ambient,
    /// The kernel.
    pub machine: Machine,
    /// The user's terminal.
    pub terminal: Option<Terminal>,
    /// The paths that policy, presets and agent name.
    pub paths: Paths,
    /// Who commits.
    pub git_identity: Option<GitIdentity>,
    /// Where `/etc/resolv.conf` leads when nothing is there.
    pub dangling_resolver: Option<PathBuf>,
    /// What of the system is closed to all but root, when root runs aca.
    pub closed: Vec<SystemClosed>,
    /// `/etc/passwd` with a line for the user, when it has none.
    pub passwd_with_user: Option<Vec<u8>>,
}

/// A part of the system that only root reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemClosed {
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    /// File or directory.
    pub kind: Kind,
}

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Paths that the plan will ask for.
    pub paths: Vec<PathBuf>,
    /// Directories of the system in which the modes of files are looked at where root runs aca.
    pub closed_roots: Vec<PathBuf>,
    /// Whether limits are wanted that need a control group.
    pub limits: bool,
}

/// Looks at the machine.
#[must_use]
pub fn probe(ambient: Ambient, question: Question) -> Facts {
    let Question {
        paths,
        closed_roots,
        limits,
    } = question;
    let resolver = std::path::Path::new("/etc/resolv.conf");
    let names = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"].map(PathBuf::from);
    let paths = Paths::look(paths.into_iter().chain(names));
    Facts {
        machine: machine(limits),
        terminal: terminal(),
        git_identity: GitIdentity::read(&ambient.home),
        dangling_resolver: if paths.get(resolver).is_none() {
            std::fs::read_link(resolver).ok()
        } else {
            None
        },
        closed: if ambient.uid == 0 {
            closed::closed_to_others(&closed_roots)
        } else {
            Vec::new()
        },
        passwd_with_user: ambient::passwd_with_user(&ambient),
        paths,
        ambient,
    }
}
