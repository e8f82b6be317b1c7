//! Where a work tree's git directory is, and whether it may be believed. Reads files alone, never runs git.
//!
//! A file named `.git` may name any directory of the host, and what it names is writable inside. So it is believed only
//! when that directory names the work tree in turn: who could only write the project can't have made that up.

use super::beneath::read_file;
use super::git_config::{CONFIG_BYTES_MAX, last, settings};
use super::paths::real;
use rustix::fs::CWD;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A work tree's git directories, absolute and without links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitLayout {
    /// The work tree's own: `HEAD` and the index.
    #[serde(with = "crate::policy::path_text")]
    pub git_dir: PathBuf,
    /// What all work trees share: objects, references, configuration, hooks.
    #[serde(with = "crate::policy::path_text")]
    pub common_dir: PathBuf,
    /// How it is laid out.
    pub kind: GitKind,
}

/// Layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitKind {
    /// `.git` is the git directory.
    Main,
    /// Made by `git worktree add`.
    LinkedWorktree,
    /// A submodule, or a work tree with a git directory elsewhere that names it by `core.worktree`.
    Separate,
    /// A repository without a work tree.
    Bare,
}

/// Why a `.git` isn't believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// A file couldn't be read.
    #[error("{call} of {}: {}", path.display(), std::io::Error::from_raw_os_error(*errno))]
    Read {
        /// The system call.
        call: &'static str,
        /// The file.
        path: PathBuf,
        /// The error number.
        errno: i32,
    },
    /// The file isn't what git writes.
    #[error("{} is not a `gitdir:` line", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// What the file names is no git directory.
    #[error("{} names {}, which is no git directory", pointer.display(), target.display())]
    NotRepository {
        /// The file.
        pointer: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// The git directory doesn't name the work tree in turn.
    #[error(
        "{} names {}, which does not name it in turn: anything in the project could have written that; \
         if it is yours, run `git -C {} config core.worktree {}`",
        pointer.display(), target.display(), target.display(), pointer.parent().unwrap_or(pointer).display()
    )]
    Unverified {
        /// The file.
        pointer: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// A git directory hands over to another one.
    #[error("{} leads git to another directory: remove it if you did not make it", path.display())]
    Redirected {
        /// The file `commondir`.
        path: PathBuf,
    },
}

/// Longest pointer file that is read: a path is at most 4,096 bytes (`PATH_MAX`).
const POINTER_BYTES_MAX: usize = 8192;

/// The layout of the work tree at `root`; `None` when it is none. `root` is absolute and without links.
///
/// # Errors
/// [`GitError`] for a `.git` that isn't to be believed.
pub(super) fn layout(root: &Path) -> Result<Option<GitLayout>, GitError> {
    let dot_git = root.join(".git");
    let metadata = match std::fs::symlink_metadata(&dot_git) {
        Ok(metadata) => metadata,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(bare(root));
        }
        Err(error) => return Err(unreadable("lstat", &dot_git, &error)),
    };
    if metadata.is_dir() {
        return directory(dot_git);
    }
    if metadata.is_symlink() {
        return link(root, &dot_git);
    }
    if !metadata.is_file() {
        return Ok(bare(root));
    }
    let text = read_text(&dot_git)?;
    let Some(named) = text
        .strip_prefix(b"gitdir:")
        .map(<[u8]>::trim_ascii)
        .filter(|named| !named.is_empty())
    else {
        return Err(GitError::Malformed { path: dot_git });
    };
    let named = root.join(OsStr::from_bytes(named));
    let git_dir = real(&named).map_err(|error| unreadable("realpath", &named, &error))?;
    match common(&git_dir)? {
        Some(common_dir) => linked(dot_git, git_dir, common_dir).map(Some),
        None => separate(root, dot_git, git_dir).map(Some),
    }
}

/// Whether the `.git` of a directory is a file that leads to a git directory in `common` which names it in turn: a linked
/// work tree's, or a submodule's.
#[must_use]
pub fn leads_into(tree: &Path, common: &Path) -> bool {
    let is_in = |found: &GitLayout| {
        let kind = matches!(found.kind, GitKind::LinkedWorktree | GitKind::Separate);
        kind && found.git_dir != common && found.git_dir.starts_with(common)
    };
    layout(tree).is_ok_and(|found| found.as_ref().is_some_and(is_in))
}

/// Work trees that lie in the common directory itself, as beside each other in a bare repository, but for the one at
/// `root`: the directory is writable inside, and they are none of the run's business.
pub(super) fn neighbours(common_dir: &Path, root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(common_dir.join("worktrees")) else {
        return Vec::new();
    };
    let mut neighbours: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let git_dir = entry.ok()?.path();
            let text = read_text(&git_dir.join("gitdir")).ok()?;
            let dot_git = git_dir.join(OsStr::from_bytes(text.trim_ascii()));
            let tree = real(dot_git.parent()?).ok()?;
            let is_there = std::fs::symlink_metadata(tree.join(".git")).is_ok_and(|found| found.is_file());
            let is_in = tree != common_dir && tree.starts_with(common_dir);
            (is_there && is_in && !root.starts_with(&tree) && !tree.starts_with(root)).then_some(tree)
        })
        .collect();
    neighbours.sort_unstable();
    neighbours
}

/// Largest file of a ref that is read, in bytes.
const REF_BYTES_MAX: usize = 4096;
/// Largest list of alternates, in bytes, and most that are taken of it.
const ALTERNATES_BYTES_MAX: usize = 64 << 10;
const ALTERNATES_MAX: usize = 16;
/// Most remotes that are read.
const REMOTES_MAX: usize = 64;

/// The URLs of a repository's remotes, those for pushing too, as its own configuration has them now. Includes aren't
/// followed, nor is any other file read.
#[must_use]
pub fn remote_urls(layout: &GitLayout) -> Vec<String> {
    let Ok(text) = read_file(CWD, layout.common_dir.join("config"), CONFIG_BYTES_MAX) else {
        return Vec::new();
    };
    settings(&text)
        .into_iter()
        .filter(|setting| setting.section == b"remote" && setting.subsection.is_some())
        .filter(|setting| setting.key == b"url" || setting.key == b"pushurl")
        .map(|setting| String::from_utf8_lossy(&setting.value).into_owned())
        .take(REMOTES_MAX)
        .collect()
}

/// The branches that remotes call their default, as the last fetch or clone wrote them down (`refs/remotes/NAME/HEAD`).
#[must_use]
pub fn default_branches(layout: &GitLayout) -> Vec<String> {
    let Ok(remotes) = std::fs::read_dir(layout.common_dir.join("refs/remotes")) else {
        return Vec::new();
    };
    let of = |remote: std::fs::DirEntry| {
        let text = read_file(CWD, remote.path().join("HEAD"), REF_BYTES_MAX).ok()?;
        let text = String::from_utf8(text).ok()?;
        let name = remote.file_name();
        let place = format!("refs/remotes/{}/", name.to_str()?);
        let branch = text.strip_prefix("ref:")?.trim().strip_prefix(&place)?;
        Some(branch.to_owned())
    };
    remotes
        .filter_map(Result::ok)
        .take(REMOTES_MAX)
        .filter_map(of)
        .collect()
}

/// What the user's own configuration of git makes of URLs (`url.<base>.insteadOf` and `pushInsteadOf` in git-config(1)):
/// those that it rewrites, rewritten. Includes aren't followed.
#[must_use]
pub fn rewritten_urls(urls: &[String], home: &Path) -> Vec<String> {
    let Ok(text) = read_file(CWD, home.join(".gitconfig"), CONFIG_BYTES_MAX) else {
        return Vec::new();
    };
    let settings = settings(&text);
    let rules = || {
        let rules = settings.iter().filter(|setting| setting.section == b"url");
        rules.filter_map(|setting| {
            let is_push = setting.key == b"pushinsteadof";
            let base = setting
                .subsection
                .as_ref()
                .filter(|_| is_push || setting.key == b"insteadof")?;
            let base = String::from_utf8(base.clone()).ok()?;
            Some((is_push, String::from_utf8(setting.value.clone()).ok()?, base))
        })
    };
    let one = |url: &String, push: bool| {
        let fitting =
            rules().filter(|(is_push, beginning, _)| *is_push == push && url.starts_with(beginning));
        // The longest counts.
        let (_, beginning, base) = fitting.max_by_key(|(_, beginning, _)| beginning.len())?;
        Some(format!("{base}{}", url.strip_prefix(&beginning)?))
    };
    urls.iter()
        .flat_map(|url| [one(url, false), one(url, true)])
        .flatten()
        .collect()
}

/// Directories of objects that a repository borrows from (gitrepository-layout(5), `objects/info/alternates`), as it is now:
/// those that it names itself.
#[must_use]
pub fn alternates(layout: &GitLayout) -> Vec<PathBuf> {
    let objects = layout.common_dir.join("objects");
    let Ok(text) = read_file(CWD, objects.join("info/alternates"), ALTERNATES_BYTES_MAX) else {
        return Vec::new();
    };
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .take(ALTERNATES_MAX)
        .filter_map(|line| real(&objects.join(OsStr::from_bytes(line))).ok())
        .collect()
}

/// Whether git would take a directory for a repository (`is_git_directory` in git's setup.c).
pub(super) fn is_git_directory(path: &Path) -> bool {
    let directory = |name: &str| std::fs::metadata(path.join(name)).is_ok_and(|metadata| metadata.is_dir());
    std::fs::symlink_metadata(path.join("HEAD")).is_ok() && directory("objects") && directory("refs")
}

fn bare(root: &Path) -> Option<GitLayout> {
    let layout = || GitLayout {
        git_dir: root.to_owned(),
        common_dir: root.to_owned(),
        kind: GitKind::Bare,
    };
    is_git_directory(root).then(layout)
}

fn directory(git_dir: PathBuf) -> Result<Option<GitLayout>, GitError> {
    let redirection = git_dir.join("commondir");
    if std::fs::symlink_metadata(&redirection).is_ok() {
        return Err(GitError::Redirected { path: redirection });
    }
    // Git passes over a `.git` that is no repository, and so does this.
    let valid = is_git_directory(&git_dir);
    Ok(valid.then(|| GitLayout {
        common_dir: git_dir.clone(),
        git_dir,
        kind: GitKind::Main,
    }))
}

fn link(root: &Path, dot_git: &Path) -> Result<Option<GitLayout>, GitError> {
    let target = real(dot_git).map_err(|error| unreadable("realpath", dot_git, &error))?;
    if target.starts_with(root) {
        return directory(target);
    }
    separate(root, dot_git.to_owned(), target).map(Some)
}

/// What `commondir` in a git directory names, if there is one.
fn common(git_dir: &Path) -> Result<Option<PathBuf>, GitError> {
    let file = git_dir.join("commondir");
    let text = match read_text(&file) {
        Ok(text) => text,
        Err(GitError::Read { errno, .. }) if errno == Errno::NOENT.raw_os_error() => return Ok(None),
        Err(error) => return Err(error),
    };
    let named = git_dir.join(OsStr::from_bytes(text.trim_ascii()));
    real(&named)
        .map(Some)
        .map_err(|error| unreadable("realpath", &named, &error))
}

fn linked(dot_git: PathBuf, git_dir: PathBuf, common_dir: PathBuf) -> Result<GitLayout, GitError> {
    // Git makes them nowhere else; another place would be a `commondir` that was written by hand.
    if git_dir.parent() != Some(&common_dir.join("worktrees")) || !is_git_directory(&common_dir) {
        return Err(GitError::NotRepository {
            pointer: git_dir.join("commondir"),
            target: common_dir,
        });
    }
    let inner = common_dir.join("commondir");
    if std::fs::symlink_metadata(&inner).is_ok() {
        return Err(GitError::Redirected { path: inner });
    }
    let back = git_dir.join("gitdir");
    let text = read_text(&back)?;
    // Relative to the git directory, where git writes relative paths (`worktree.useRelativePaths`).
    let named = git_dir.join(OsStr::from_bytes(text.trim_ascii()));
    if !is_same(&named, &dot_git) {
        return Err(GitError::Unverified {
            pointer: dot_git,
            target: git_dir,
        });
    }
    Ok(GitLayout {
        git_dir,
        common_dir,
        kind: GitKind::LinkedWorktree,
    })
}

fn separate(root: &Path, dot_git: PathBuf, git_dir: PathBuf) -> Result<GitLayout, GitError> {
    if !is_git_directory(&git_dir) {
        return Err(GitError::NotRepository {
            pointer: dot_git,
            target: git_dir,
        });
    }
    let redirection = git_dir.join("commondir");
    if std::fs::symlink_metadata(&redirection).is_ok() {
        return Err(GitError::Redirected { path: redirection });
    }
    let config = git_dir.join("config");
    let text = read_file(CWD, &config, CONFIG_BYTES_MAX).map_err(|errno| GitError::Read {
        call: "open",
        path: config,
        errno: errno.raw_os_error(),
    })?;
    let named =
        last(&settings(&text), "core", "worktree").map(|value| git_dir.join(OsStr::from_bytes(&value)));
    if !named.is_some_and(|named| is_same(&named, root)) {
        return Err(GitError::Unverified {
            pointer: dot_git,
            target: git_dir,
        });
    }
    Ok(GitLayout {
        common_dir: git_dir.clone(),
        git_dir,
        kind: GitKind::Separate,
    })
}

/// Whether two paths are one inode; what can't be looked at isn't.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn read_text(path: &Path) -> Result<Vec<u8>, GitError> {
    let content = read_file(CWD, path, POINTER_BYTES_MAX).map_err(|errno| GitError::Read {
        call: "open",
        path: path.to_owned(),
        errno: errno.raw_os_error(),
    })?;
    if content.len() > POINTER_BYTES_MAX || content.contains(&0) {
        return Err(GitError::Malformed {
            path: path.to_owned(),
        });
    }
    Ok(content)
}

fn unreadable(call: &'static str, path: &Path, error: &std::io::Error) -> GitError {
    GitError::Read {
        call,
        path: path.to_owned(),
        errno: error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
    }
}
