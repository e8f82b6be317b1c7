//! The project: the git work tree that holds the current directory, else the current directory itself.

use super::Identity;
use super::git::{GitError, GitLayout, layout};
use super::paths::real;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is writable inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Its directory, absolute and without links.
    #[serde(with = "crate::policy::path_text")]
    pub root: PathBuf,
    /// Which inode that is: compared when it is opened.
    pub identity: Identity,
    /// Where its repository is, if it has one.
    pub git: Option<GitLayout>,
    /// Directories outside the root that have to be writable too: the common directory of a linked work tree, the git
    /// directory of a submodule.
    #[serde(with = "crate::policy::path_text::list")]
    pub extra_writable: Vec<PathBuf>,
}

/// Why there is no project here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    /// The current directory can't be looked at.
    #[error("the current directory {} can't be used: {}", path.display(), std::io::Error::from_raw_os_error(*errno))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error number.
        errno: i32,
    },
    /// It holds more than a project.
    #[error("{} is no project: everything beneath it would be writable inside; {hint}", path.display())]
    TooMuch {
        /// The directory.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// Its repository isn't to be believed.
    #[error("the repository of {} can't be used", path.display())]
    Git {
        /// The work tree.
        path: PathBuf,
        /// Why.
        #[source]
        source: GitError,
    },
}

/// Directories of the system and of logins, which are no projects whoever asks; what lies beneath the first may be one.
const SHARED: [&str; 14] = [
    "/tmp",
    "/var",
    "/var/tmp",
    "/home",
    "/opt",
    "/srv",
    "/mnt",
    "/media",
    "/usr",
    "/usr/local",
    "/run",
    "/root",
    "/usr/src",
    "/workspaces",
];
/// Here and beneath.
const SYSTEM: [&str; 10] = [
    "/etc", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/dev", "/proc", "/sys", "/usr/bin",
];
/// In the home, here and beneath: logins, aca's own files, and what the host runs at the next login.
const PRIVATE: [&str; 12] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".password-store",
    ".config/aca",
    ".local/share/aca",
    ".local/state/aca",
    ".config/autostart",
    ".config/systemd",
];

impl Project {
    /// The project that holds `directory`.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn find(directory: &Path, home: &Path) -> Result<Self, ProjectError> {
        let failed = |path: &Path, error: &std::io::Error| ProjectError::Directory {
            path: path.to_owned(),
            errno: error
                .raw_os_error()
                .unwrap_or(rustix::io::Errno::IO.raw_os_error()),
        };
        let start = real(directory).map_err(|error| failed(directory, &error))?;
        // A home that can't be resolved can't hold the project either; its parents are still compared as text.
        let home = real(home).unwrap_or_else(|_| home.to_owned());
        refuse(&start, &home)?;
        let mut found = None;
        for ancestor in start.ancestors() {
            if refuse(ancestor, &home).is_err() {
                // A repository of the whole home doesn't make the home a project.
                break;
            }
            let git = layout(ancestor).map_err(|source| ProjectError::Git {
                path: ancestor.to_owned(),
                source,
            })?;
            if let Some(git) = git {
                found = Some((ancestor.to_owned(), git));
                break;
            }
        }
        let (root, git) = found.map_or((start, None), |(root, git)| (root, Some(git)));
        let metadata = std::fs::metadata(&root).map_err(|error| failed(&root, &error))?;
        if !metadata.is_dir() {
            return Err(failed(&root, &std::io::Error::from(rustix::io::Errno::NOTDIR)));
        }
        let extra_writable = git.as_ref().map(|git| outside(git, &root)).unwrap_or_default();
        for extra in &extra_writable {
            refuse(extra, &home)?;
        }
        let identity = Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        Ok(Self {
            root,
            identity,
            git,
            extra_writable,
        })
    }
}

fn outside(git: &GitLayout, root: &Path) -> Vec<PathBuf> {
    // The git directory of a linked work tree lies in the common one.
    let needed = [&git.common_dir, &git.git_dir];
    let mut outside: Vec<PathBuf> = Vec::new();
    for path in needed {
        if !path.starts_with(root) && !outside.iter().any(|known| path.starts_with(known)) {
            outside.push(path.clone());
        }
    }
    outside
}

fn refuse(path: &Path, home: &Path) -> Result<(), ProjectError> {
    let refused = |hint| {
        Err(ProjectError::TooMuch {
            path: path.to_owned(),
            hint,
        })
    };
    if home.starts_with(path) {
        return refused("change to the directory of one project");
    }
    if PRIVATE.iter().any(|private| path.starts_with(home.join(private))) {
        return refused("it holds logins, settings or programs that the host runs by itself");
    }
    let system = SYSTEM.iter().any(|system| path.starts_with(system));
    if path == Path::new("/") || system || SHARED.iter().any(|shared| path == Path::new(shared)) {
        return refused("change to the directory of one project");
    }
    Ok(())
}
