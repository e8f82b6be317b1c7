//! What a plan is made from, besides policy and facts: the data files and the agent's needs, already read.

use crate::facts::{Kind, PathFact};
use crate::policy::{NameAlias, NamesIn, Origin, OwnSandbox, Place};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A path of the host that is shown read-only, where it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Absolute.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// A path of the project that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Absolute.
    pub path: PathBuf,
    /// File or directory.
    pub kind: Kind,
    /// When the host would run it, or which rule of the user's wants it.
    pub why: String,
    /// What it is.
    pub place: Place,
    /// Which rule.
    pub origin: Origin,
}

/// A cache of the private home, backed by a store of aca's own: never the host's, since what is poisoned there would
/// run on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Absolute, inside the home.
    pub at: PathBuf,
    /// Absolute, in aca's own data directory; made when missing.
    pub store: PathBuf,
}

/// What the agent's own file asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentNeeds {
    /// Its name.
    pub name: String,
    /// Why it is that one, in words.
    pub why: String,
    /// Directories of its state, shared with the host, writable; made when missing.
    pub share: Vec<PathBuf>,
    /// Parts of its state and of its installation, read-only where they exist.
    pub read: Vec<PathBuf>,
    /// Files that are copied in; which of them are carried back at the end is not the plan's business.
    pub files: Vec<StateCopy>,
    /// Plain directories of the private home.
    pub private: Vec<PathBuf>,
    /// Directories of its state that no client on the host uses.
    pub own: Vec<Cache>,
    /// The sandbox that it brings itself.
    pub own_sandbox: Option<OwnSandboxPlan>,
}

/// What becomes of the sandbox that an agent brings itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnSandboxPlan {
    /// What is done with it.
    pub choice: OwnSandbox,
    /// What it is made of.
    pub what: String,
    /// Why it is so unless the user says otherwise.
    pub why: String,
    /// What was put behind the program's name on the command line.
    pub arguments: Vec<String>,
    /// Which variables were set.
    pub variables: Vec<String>,
}

/// A file of the home that is copied in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCopy {
    /// Absolute, inside the home.
    pub at: PathBuf,
    /// Where it was read, on the host.
    pub from: PathBuf,
    /// As it was on the host; `None` when it isn't there.
    pub content: Option<Vec<u8>>,
}

/// Everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// The system's read-only part.
    pub system: Vec<Shown>,
    /// Beneath it, what is hidden where it exists.
    pub system_hidden: Vec<PathBuf>,
    /// The user's tool chains.
    pub toolchains: Vec<Shown>,
    /// Caches.
    pub caches: Vec<Cache>,
    /// Secrets of a real home, when that is shown.
    pub home_secrets: Vec<PathBuf>,
    /// Paths that are never seen inside: aca's own configuration and state.
    pub own: Vec<PathBuf>,
    /// Symbolic links on the way to those, without links above them.
    pub own_links: Vec<PathBuf>,
    /// The agent.
    pub agent: AgentNeeds,
    /// Where this program is, for what of it runs inside; `None` where that can't be told.
    pub program: Option<PathBuf>,
    /// The command.
    pub argv: Vec<OsString>,
}

/// The project, as the walk found it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectNeeds {
    /// The work tree.
    pub root: PathBuf,
    /// Writable though outside the root: the common git directory of a linked work tree.
    pub extra_writable: Vec<PathBuf>,
    /// Directories that a rule of the user's makes writable, outside of those: looked after the same.
    pub granted: Vec<PathBuf>,
    /// Directories that can't be renamed away: git directories.
    pub pins: Vec<PathBuf>,
    /// What stays as it is.
    pub protect: Vec<Kept>,
    /// Secrets.
    pub masks: Vec<(PathBuf, Kind, Origin)>,
    /// The built-in names of secrets in the syntax of gitignore(5).
    pub ignored: String,
    /// What the walk left out.
    pub skipped: Vec<PathBuf>,
    /// What a repository would obey and doesn't have.
    pub absent: Vec<PathBuf>,
    /// Links of the project's to directories in it that patterns begin with.
    pub aliases: Vec<NameAlias>,
    /// What isn't there and can't be made unless a rule names it: such a rule may name what isn't there.
    pub openable: Vec<PathBuf>,
    /// Directories in which a rule of the user's lets such names be made.
    pub open_in: Vec<OpenedIn>,
    /// The private git directory, where that is worked on.
    pub private_git: Option<PrivateGit>,
    /// Why there is none though it is wanted, and what would help.
    pub no_private_git: Option<(String, String)>,
}

/// A directory of [`NamesIn`], and where it really is; it need not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedIn {
    /// As the rule has it.
    pub rule: NamesIn,
    /// The path without links.
    pub real: PathBuf,
    /// The links on the way, each without links above it.
    pub links: Vec<PathBuf>,
}

/// A private git directory at the place of the project's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateGit {
    /// What it lies in, in aca's own state.
    pub source: PathBuf,
    /// The project's git directory, at whose place it is.
    pub at: PathBuf,
    /// Directories of objects on the host, and where they are seen.
    pub stores: Vec<(PathBuf, PathBuf)>,
}

impl ProjectNeeds {
    /// Puts a private git directory in the place of the project's: of that nothing is seen any more, so there is nothing
    /// in it to protect either.
    pub fn isolate(&mut self, git: PrivateGit) {
        let outside = |path: &PathBuf| !path.starts_with(&git.at);
        self.extra_writable.retain(outside);
        self.protect.retain(|kept| outside(&kept.path));
        self.masks.retain(|(path, _, _)| outside(path));
        self.pins.retain(outside);
        self.absent.retain(outside);
        // It stays where it is with what it lies in.
        let above = git
            .at
            .parent()
            .filter(|above| *above != self.root && above.starts_with(&self.root));
        self.pins.extend(above.map(Path::to_owned));
        self.private_git = Some(git);
    }

    /// The roots of all that is writable and was walked.
    pub(super) fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.root)
            .chain(&self.extra_writable)
            .chain(&self.granted)
    }

    /// Whether a path of the host lies in there.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.roots().any(|root| path.starts_with(root))
    }

    /// Whether a path leads out of there over a link that lies in there: whatever ran there before could have made it.
    pub(super) fn leads_out(&self, fact: &PathFact) -> bool {
        // One that is granted besides may be so by that very path.
        let own = || std::iter::once(&self.root).chain(&self.extra_writable);
        let stays = |root: &PathBuf| own().chain([root]).any(|root| fact.real.starts_with(root));
        let holds_link = |root: &&PathBuf| fact.links.iter().any(|link| link.starts_with(root));
        self.roots().filter(holds_link).any(|root| !stays(root))
    }
}
