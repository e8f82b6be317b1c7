//! The project: the git work tree that holds the current directory, else the current directory itself.

use super::Identity;
use super::git::{GitError, GitLayout, layout, neighbours};
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
    /// Other work trees in those directories: hidden.
    #[serde(default, with = "crate::policy::path_text::list")]
    pub neighbours: Vec<PathBuf>,
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
const SHARED: [&str; 20] = [
    "/tmp",
    "/var",
    "/var/tmp",
    "/var/lib",
    "/var/log",
    "/var/cache",
    "/var/opt",
    "/home",
    "/opt",
    "/srv",
    "/mnt",
    "/media",
    "/usr",
    "/usr/local",
    "/usr/local/share",
    "/usr/share",
    "/run",
    "/root",
    "/usr/src",
    "/workspaces",
];
/// Here and beneath.
const SYSTEM: [&str; 21] = [
    "/etc",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/boot",
    "/dev",
    "/proc",
    "/sys",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/local/etc",
    "/var/spool",
];
/// Sockets of daemons lie here, the user's own service manager among them: whoever reaches one is out of the sandbox.
const RUNTIME: &str = "/run";
/// Where removable disks are mounted in there, as `USER/LABEL`.
const DISKS: &str = "/run/media";
/// In the home, here, beneath and above: logins, aca's own files, and what the host runs at the next login.
const PRIVATE: [&str; 19] = [
    ".ssh",
    ".gnupg",
    ".pki",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".password-store",
    ".mozilla",
    ".config/aca",
    ".local/share/aca",
    ".local/state/aca",
    ".config/gcloud",
    ".config/gh",
    ".local/share/keyrings",
    ".config/autostart",
    ".config/environment.d",
    ".config/systemd",
    ".local/share/systemd",
];
/// In the home, here and above: what the user or a desktop starts by name, and what agents on the host run and obey;
/// some of those keep work trees beneath.
const OBEYED: [&str; 16] = [
    ".local/bin",
    ".local/share/applications",
    ".agents",
    ".aider",
    ".amp",
    ".claude",
    ".cline",
    ".codex",
    ".config/amp",
    ".config/cursor",
    ".config/goose",
    ".config/opencode",
    ".copilot",
    ".cursor",
    ".gemini",
    ".qwen",
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
        let neighbours = git
            .as_ref()
            .filter(|git| extra_writable.contains(&git.common_dir))
            .map(|git| neighbours(&git.common_dir, &root))
            .unwrap_or_default();
        let identity = Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        Ok(Self {
            root,
            identity,
            git,
            extra_writable,
            neighbours,
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
    if home.starts_with(path) || is_system(path) {
        return refused("change to the directory of one project");
    }
    if is_private(path, home) || OBEYED.iter().any(|obeyed| home.join(obeyed).starts_with(path)) {
        return refused("it holds logins, settings or programs that the host runs by itself");
    }
    Ok(())
}

/// Whether a path is none that a tool's own files can lie at: the machine's, the home, or a private place of it. It is
/// compared as text: `path` is without links.
#[must_use]
pub fn is_no_tool(path: &Path, home: &Path) -> bool {
    home.starts_with(path) || is_system(path) || is_private(path, home)
}

/// Whether a directory is the machine's, and nothing of it one user's to give away.
fn is_system(path: &Path) -> bool {
    let disk = path
        .strip_prefix(DISKS)
        .is_ok_and(|rest| rest.components().count() >= 2);
    path == Path::new("/")
        || SYSTEM.iter().any(|system| path.starts_with(system))
        || SHARED.iter().any(|shared| path == Path::new(shared))
        || (path.starts_with(RUNTIME) && !disk)
}

/// Whether a path is one of the home's private places, lies in one, or holds one.
fn is_private(path: &Path, home: &Path) -> bool {
    PRIVATE.iter().any(|private| {
        let private = home.join(private);
        path.starts_with(&private) || private.starts_with(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(path: &str) -> bool {
        refuse(Path::new(path), Path::new("/home/u")).is_err()
    }

    #[test]
    fn what_the_host_runs_and_the_directories_that_hold_it_are_no_projects() {
        for path in [
            "/",
            "/home",
            "/home/u",
            "/home/u/.ssh",
            "/home/u/.config",
            "/home/u/.config/systemd/user",
            "/home/u/.local",
            "/home/u/.local/bin",
            "/home/u/.local/share",
            "/home/u/.local/state",
            "/home/u/.claude",
            "/home/u/.codex",
            "/run/user/1000",
            "/run/user/1000/systemd",
            "/run/dbus",
            "/run/media/u",
            "/usr/lib/systemd",
            "/usr/local/bin",
            "/var/lib",
            "/var/spool/cron",
        ] {
            assert!(is_refused(path), "{path}");
        }
        for path in [
            "/home/u/p",
            "/home/u/.config/nvim",
            "/home/u/.local/share/chezmoi",
            "/home/u/.codex/worktrees/1/p",
            "/home/u/.cursor/worktrees/p/1",
            "/home/u/go/src/x",
            "/run/media/u/disk",
            "/run/media/u/disk/p",
            "/var/lib/jenkins/workspace/p",
            "/usr/src/linux",
            "/usr/local/src/p",
            "/tmp/p",
            "/opt/p",
            "/srv/p",
        ] {
            assert!(!is_refused(path), "{path}");
        }
    }
}
