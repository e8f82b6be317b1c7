//! One walk over the project for every pattern. By descriptors: no symbolic link is followed, a directory that is moved
//! meanwhile is still the directory that was opened, and nothing is opened but directories and the few regular files
//! whose content decides.
//!
//! What it doesn't look into it says ([`Walk::skipped`]); what it can't bound it refuses.

use super::beneath::open_root;
use super::found::{RepositoryKind, Walk};
use super::matcher::Matcher;
use super::project::Project;
use super::walker::{Context, Walker};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Deepest directory: each level holds a descriptor, of which a process has 1,024 by default.
pub const DEPTH_MAX: usize = 256;
/// Most masks: a mount namespace holds 100,000 mounts by default (`fs.mount-max`).
pub const MASKS_MAX: usize = 10_000;
/// Most names in all.
pub(super) const NAMES_MAX: u64 = 20_000_000;

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Before a run: what can't be bounded or looked into is an error.
    Protect,
    /// After a run: the tree is the agent's work, and what can't be looked into is noted.
    Report,
    /// As `Report`, and every file's mode is looked at.
    ReportModes,
}

/// Why the project couldn't be walked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A call failed.
    #[error("{call} of {}: {}", path.display(), std::io::Error::from_raw_os_error(*errno))]
    Call {
        /// The system call.
        call: &'static str,
        /// The directory.
        path: PathBuf,
        /// The error number.
        errno: i32,
    },
    /// Too many levels.
    #[error("{} lies more than {DEPTH_MAX} directories deep: secrets in there could not be found", path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
    },
    /// Too many secrets.
    #[error("more than {MASKS_MAX} files would have to be masked, the last one {}: is this one project?", path.display())]
    TooManyMasks {
        /// The one too many.
        path: PathBuf,
    },
    /// Too many protected files.
    #[error("more than {MASKS_MAX} files would have to be protected, the last one {}: is this one project?", path.display())]
    TooManyProtected {
        /// The one too many.
        path: PathBuf,
    },
    /// Directories come and go.
    #[error("{} doesn't come to rest: a secret that was moved in it can't be looked for", path.display())]
    Restless {
        /// Where.
        path: PathBuf,
    },
    /// Too many names.
    #[error("more than {NAMES_MAX} files: is this one project?")]
    TooManyNames,
}

/// Walks a project: first its root, then each directory outside that is writable too, in the order of
/// [`Project::extra_writable`].
///
/// # Errors
/// [`WalkError`].
pub fn walk_project(project: &Project, matcher: &Matcher, purpose: Purpose) -> Result<Vec<Walk>, WalkError> {
    let mut walker = begin(&project.root, matcher, purpose)?;
    let outside = project
        .git
        .as_ref()
        .filter(|git| !git.common_dir.starts_with(&project.root));
    if let Some(git) = outside {
        // What its configuration names beneath the root is the root's business.
        for config in [git.common_dir.join("config"), git.git_dir.join("config.worktree")] {
            walker.configured(&config)?;
        }
    }
    let mut walks = vec![walker.finish()];
    for path in &project.extra_writable {
        walks.push(walk_git_directory(path, matcher, purpose)?);
    }
    Ok(walks)
}

/// Walks the tree beneath `root`, an absolute path without links.
///
/// # Errors
/// [`WalkError`].
pub fn walk(root: &Path, matcher: &Matcher, purpose: Purpose) -> Result<Walk, WalkError> {
    begin(root, matcher, purpose).map(Walker::finish)
}

/// As [`walk`], without the tree beneath `left_out`, which is walked by itself.
///
/// # Errors
/// [`WalkError`].
pub fn walk_without(
    root: &Path,
    left_out: &Path,
    matcher: &Matcher,
    purpose: Purpose,
) -> Result<Walk, WalkError> {
    let directory = open_root(root).map_err(|errno| call("open", root, errno))?;
    let known = |path: &Path| root.join(path) == left_out;
    let mut walker = Walker::new(root, matcher, purpose);
    walker.known = Some(&known);
    walker.directory(&directory, &Context::root(matcher))?;
    Ok(walker.finish())
}

fn begin<'a>(root: &Path, matcher: &'a Matcher, purpose: Purpose) -> Result<Walker<'a>, WalkError> {
    let directory = open_root(root).map_err(|errno| call("open", root, errno))?;
    let mut walker = Walker::new(root, matcher, purpose);
    walker.directory(&directory, &Context::root(matcher))?;
    Ok(walker)
}

/// Walks a git directory that lies outside of the project, such as the common one of a linked work tree.
fn walk_git_directory(root: &Path, matcher: &Matcher, purpose: Purpose) -> Result<Walk, WalkError> {
    let directory = open_root(root).map_err(|errno| call("open", root, errno))?;
    let mut walker = Walker::new(root, matcher, purpose);
    walker.git_directory(&directory, RepositoryKind::Directory)?;
    Ok(walker.finish())
}

pub(super) fn call(call: &'static str, path: &Path, errno: Errno) -> WalkError {
    WalkError::Call {
        call,
        path: path.to_owned(),
        errno: errno.raw_os_error(),
    }
}
