//! What the paths are that the policy, the agent and the presets name. Resolved once, here.

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// What an inode is, as far as a mount cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else that can be bound on a file.
    File,
}

/// Which inode a path was when the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathFact {
    /// File or directory, behind symbolic links.
    pub kind: Kind,
    /// The path without symbolic links.
    #[serde(with = "crate::policy::path_text")]
    pub real: PathBuf,
    /// What the path itself holds, when it is a symbolic link.
    pub link: Option<PathBuf>,
    /// Which inode it leads to.
    pub identity: Identity,
    /// Where the symbolic links on the way lie, each without links in its own path.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "crate::policy::path_text::list"
    )]
    pub links: Vec<PathBuf>,
}

/// All that were looked at; what isn't in here isn't there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths(BTreeMap<PathBuf, PathFact>);

impl Paths {
    /// Looks at each.
    pub fn look(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(
            paths
                .into_iter()
                .filter_map(|path| look(&path).map(|fact| (path, fact)))
                .collect(),
        )
    }

    /// What is known of a path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&PathFact> {
        self.0.get(path)
    }

    /// Adds another path.
    pub fn add(&mut self, path: PathBuf) {
        if let Some(fact) = look(&path) {
            self.0.insert(path, fact);
        }
    }
}

/// Most symbolic links on the way to one path, as many as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Most paths hold no symbolic link, and most of the built-in ones aren't there: one look-up tells both.
fn look(path: &Path) -> Option<PathFact> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(descriptor) if is_plain(path) => {
            let status = fstat(&descriptor).ok()?;
            let kind = if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                Kind::Directory
            } else {
                Kind::File
            };
            Some(PathFact {
                kind,
                real: path.to_owned(),
                link: None,
                identity: Identity {
                    device: status.st_dev,
                    inode: status.st_ino,
                },
                links: Vec::new(),
            })
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => None,
        Ok(_) | Err(_) => look_through_links(path),
    }
}

/// Whether a path is absolute and as `real` would write it, links left aside.
fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().collect::<PathBuf>().as_os_str() == path.as_os_str()
        && !path
            .components()
            .any(|component| component == Component::ParentDir)
}

fn look_through_links(path: &Path) -> Option<PathFact> {
    let metadata = std::fs::metadata(path).ok()?;
    let link = std::fs::read_link(path).ok();
    let kind = if metadata.is_dir() {
        Kind::Directory
    } else {
        Kind::File
    };
    let identity = Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    Some(PathFact {
        kind,
        real: real(path).ok()?,
        link,
        identity,
        links: links_of(path)?,
    })
}

/// As [`links_on_the_way`]; `None` for more than the kernel follows.
fn links_of(path: &Path) -> Option<Vec<PathBuf>> {
    let links = links_on_the_way(path);
    (links.len() <= LINKS_MAX).then_some(links)
}

/// The path without symbolic links.
///
/// # Errors
/// Those of realpath(3).
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that resolves paths"
)]
pub fn real(path: &Path) -> std::io::Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// The symbolic links that lead to `path`, each without links above it.
#[must_use]
pub fn links_on_the_way(path: &Path) -> Vec<PathBuf> {
    way(path).0
}

/// Where a path leads, though nothing need be there (yet): [`real`] tells that of what is there alone.
#[must_use]
pub fn leads_to(path: &Path) -> PathBuf {
    way(path).1
}

fn way(path: &Path) -> (Vec<PathBuf>, PathBuf) {
    let mut links = Vec::new();
    let mut reached = PathBuf::from("/");
    // The next component last.
    let mut left: Vec<OsString> = names(path);
    while let Some(name) = left.pop() {
        if name == ".." {
            reached.pop();
            continue;
        }
        let next = reached.join(&name);
        match std::fs::read_link(&next) {
            Ok(target) if links.len() <= LINKS_MAX => {
                if target.is_absolute() {
                    reached = PathBuf::from("/");
                }
                left.extend(names(&target));
                links.push(next);
            }
            Ok(_) | Err(_) => reached = next,
        }
    }
    (links, reached)
}

/// The components of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// Which inode a path is, not following a link; `None` where nothing can be looked at.
#[must_use]
pub fn identity_of(path: &Path) -> Option<Identity> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}
