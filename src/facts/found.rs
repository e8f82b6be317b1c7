//! What a walk of the project found. Paths are relative to the walk's root.

use super::{Identity, Kind};
use crate::policy::{Access, path_text};
use crate::presets::RunsWhen;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a name is, not following a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link: nothing can be mounted on it, only on [`Found::target`].
    Symlink,
    /// A pipe, socket or device: never opened.
    Special,
}

/// One match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Where, relative to the root.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// What it is.
    pub kind: FoundKind,
    /// Which inode.
    pub identity: Identity,
    /// Time of the last change of the inode in nanoseconds since 1970 (`st_ctime`, which no user can set).
    pub changed_ns: i64,
    /// Where a symbolic link leads, when that lies beneath the root.
    pub target: Option<Target>,
    /// Why it matters.
    pub why: String,
    /// When the host would run it, where it would.
    pub runs_when: Option<RunsWhen>,
}

/// Where a symbolic link leads: a path without links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Relative to the root.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// File or directory.
    pub kind: Kind,
    /// Which inode.
    pub identity: Identity,
}

impl Found {
    /// What a mount can be put on, relative to the root: the path, or what a link leads to. `None` for a link that
    /// leads out of the project or nowhere: then there is nothing in the view to cover.
    #[must_use]
    pub fn mountable(&self) -> Option<(&PathBuf, Kind, Identity)> {
        match (self.kind, &self.target) {
            (FoundKind::Symlink, target) => target
                .as_ref()
                .map(|target| (&target.path, target.kind, target.identity)),
            (FoundKind::Directory, _) => Some((&self.path, Kind::Directory, self.identity)),
            (FoundKind::File | FoundKind::Special, _) => Some((&self.path, Kind::File, self.identity)),
        }
    }
}

/// A match of a pattern of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserFound {
    /// The match.
    pub found: Found,
    /// Index of the pattern in the list that was asked for.
    pub pattern: usize,
    /// What the pattern grants.
    pub access: Access,
}

/// A git directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// The git directory, or the `.git` file that leads to one.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// What it is.
    pub kind: RepositoryKind,
    /// Names in it that git obeys and that don't exist, such as `commondir`: no mount can keep them from being made.
    pub absent: Vec<String>,
}

/// Forms of a git directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepositoryKind {
    /// A directory or link named `.git`.
    Directory,
    /// A file named `.git`.
    Pointer,
    /// A directory of any other name with `HEAD`, `objects` and `refs`: git takes it for a repository.
    Bare,
    /// The git directory of a submodule, in `modules` of another.
    Module,
    /// The git directory of a linked work tree, in `worktrees` of another.
    Worktree,
}

/// A directory that wasn't looked into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// Which.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Why.
    pub why: String,
    /// It could not be looked into, rather than not having to be.
    pub unread: bool,
}

/// A directory, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Relative to the root.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its `st_ctime` just before, in nanoseconds since 1970: no name can come or go without a change of that.
    pub changed_ns: i64,
}

/// A link to a directory, where what lies in that counts by the link's name too. Both are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The link.
    #[serde(with = "path_text")]
    pub link: PathBuf,
    /// The directory.
    #[serde(with = "path_text")]
    pub target: PathBuf,
}

/// Everything that one walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walk {
    /// Where it began: absolute, without links.
    #[serde(with = "path_text")]
    pub root: PathBuf,
    /// Secrets.
    pub masks: Vec<Found>,
    /// What the host runs later: read-only.
    pub protected: Vec<Found>,
    /// What is reported when it changes, beside what is protected: files in protected directories too.
    pub watched: Vec<Found>,
    /// Files that would be secrets if they held one; they may come to.
    pub undecided: Vec<Found>,
    /// Matches of the user's patterns.
    pub user: Vec<UserFound>,
    /// Git directories.
    pub repositories: Vec<Repository>,
    /// Symbolic links that lead out of the root, by their text.
    #[serde(with = "path_text::list")]
    pub escapes: Vec<PathBuf>,
    /// Links that are named as the first part of a pattern.
    #[serde(default)]
    pub aliases: Vec<Alias>,
    /// Files with a set-user-id or set-group-id bit; only when asked for.
    pub privileged: Vec<Found>,
    /// When it began, in nanoseconds since 1970.
    pub begun_ns: i64,
    /// Directories that were looked into, as far as [`DIRECTORIES_KEPT`] goes.
    pub directories: Vec<Listed>,
    /// Parts of git directories, which are read by a list: where a name could appear that matters. Bounded the same.
    pub git_directories: Vec<Listed>,
    /// How many directories there are.
    pub directory_count: u64,
    /// How many other names there are.
    pub file_count: u64,
    /// What wasn't looked into.
    pub skipped: Vec<Skipped>,
    /// Directories where another file system begins; they were walked.
    #[serde(with = "path_text::list")]
    pub mounts: Vec<PathBuf>,
    /// A list reached its bound, or the walk did; what is missing is unknown.
    pub truncated: bool,
    /// Which of the masks lie where it didn't look, or have a name that no pattern finds.
    #[serde(default)]
    pub strayed: Vec<Identity>,
}

/// Most directories that [`Walk::directories`] holds: each costs the watcher about a kilobyte of the kernel's memory.
pub const DIRECTORIES_KEPT: usize = 16_384;

impl Walk {
    /// What is masked: secrets, and what the user hides.
    pub fn hidden(&self) -> impl Iterator<Item = &Found> {
        let user = self.user.iter().filter(|user| user.access == Access::Hide);
        self.masks.iter().chain(user.map(|user| &user.found))
    }

    /// Whether the kept directories are all that masks may lie in, and no list reached its bound.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let kept = u64::try_from(self.directories.len()) == Ok(self.directory_count);
        kept && !self.truncated && self.strayed.is_empty()
    }

    /// The directories that hold a masked name, without repetition.
    #[must_use]
    pub fn mask_parents(&self) -> Vec<PathBuf> {
        let parents = self
            .masks
            .iter()
            .chain(&self.undecided)
            .filter_map(|found| found.path.parent());
        let mut parents: Vec<PathBuf> = parents.map(PathBuf::from).collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }
}
