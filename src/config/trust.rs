//! Which contents of which projects' files the user trusts. The store is the owner's alone and replaced as a whole; who
//! changes it holds a lock, so that two at once lose nothing.

use crate::policy::path_text;
use jiff::Timestamp;
use rustix::{
    fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, unlinkat},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    fs::{DirBuilder, File},
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
};

/// Version of the stored form.
const VERSION: u32 = 1;
/// Largest store.
const MAX_BYTES: u64 = 16 << 20;
/// Locked by who changes the store.
const LOCK_NAME: &str = "trust.lock";
/// What becomes the store.
const NEW_NAME: &str = "trust.json.new";

/// SHA-256 of a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How a project's file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The user trusts this content.
    Trusted,
    /// The user trusted another content.
    Changed,
    /// The user never trusted a file here.
    Unknown,
}

/// One project of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trusted {
    /// Its root, without links.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// The content that is trusted.
    pub sha256: Digest,
    /// Since when.
    pub since: Timestamp,
}

/// All that is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    v: u32,
    projects: Vec<Trusted>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            v: VERSION,
            projects: Vec::new(),
        }
    }
}

/// Why the store can't be used. Nothing of it is lost.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A call failed.
    #[error("{call} of {}, which holds the projects that you trust", path.display())]
    Call {
        /// Which.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others have a hand in it.
    #[error("{}, which holds the projects that you trust, {why}", path.display())]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It can't be understood.
    #[error("{}, which holds the projects that you trust, is broken", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// It was written by another aca.
    #[error("{} has version {found}, and this aca knows {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl TrustError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Call { .. } => "see that it and its directory are yours".into(),
            Self::Unsafe { path, .. } => {
                format!(
                    "look at what it holds; then `chmod go-w {}`, or move it away",
                    path.display()
                )
            }
            Self::Broken { path, .. } => format!(
                "mend it, or move it away (`mv {0} {0}.old`) and trust your projects again",
                path.display()
            ),
            Self::Version { .. } => "use the aca that wrote it, or move it away".into(),
        }
    }
}

impl Store {
    /// Reads the store at `path`; an empty one when there is none.
    ///
    /// # Errors
    /// A store that others can write, or that is broken.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(CWD, path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Self::default()),
            Err(errno) => return Err(failed("open", path, errno)),
        };
        // Who can write to the directory can put another file there.
        if let Some(directory) = path.parent() {
            drop(open_private(directory)?);
        }
        private(&file, path, FileType::RegularFile)?;
        let mut bytes = Vec::new();
        let read = File::from(file).take(MAX_BYTES).read_to_end(&mut bytes);
        read.map_err(|source| call("read", path, source))?;
        let store: Self = serde_json::from_slice(&bytes).map_err(|source| TrustError::Broken {
            path: path.to_owned(),
            source,
        })?;
        if store.v != VERSION {
            return Err(TrustError::Version {
                path: path.to_owned(),
                found: store.v,
            });
        }
        Ok(store)
    }

    /// Changes the store at `path`, which is made if missing; the change sees it as it is once nobody else changes it.
    ///
    /// # Errors
    /// When it can't be read or written; then it is as it was.
    pub fn change<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T, TrustError> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| call("mkdir", directory, source))?;
        let opened = open_private(directory)?;
        let _held = lock(&opened, directory)?;
        let mut store = Self::read(path)?;
        let before = store.clone();
        let answer = change(&mut store);
        if store != before {
            store.replace(&opened, path)?;
        }
        Ok(answer)
    }

    /// Writes it beside the old one, and renames it over that: whoever reads sees the one or the other.
    fn replace(&self, directory: &OwnedFd, path: &Path) -> Result<(), TrustError> {
        let name = path.file_name().unwrap_or_default();
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|source| TrustError::Broken {
            path: path.to_owned(),
            source,
        })?;
        bytes.push(b'\n');
        // Left by one that was killed: the lock is ours.
        match unlinkat(directory, NEW_NAME, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("unlink", path, errno)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = openat(directory, NEW_NAME, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed("create", path, errno))?;
        let mut new = File::from(new);
        new.write_all(&bytes)
            .and_then(|()| new.sync_all())
            .map_err(|source| call("write", path, source))?;
        renameat(directory, NEW_NAME, directory, name).map_err(|errno| failed("rename", path, errno))?;
        // The name has to last as well.
        rustix::fs::fsync(directory).map_err(|errno| failed("fsync", path, errno))
    }

    /// How a content of the project with that root stands.
    #[must_use]
    pub fn standing(&self, root: &Path, digest: &Digest) -> Standing {
        match self.projects.iter().find(|known| known.path == root) {
            Some(known) if known.sha256 == *digest => Standing::Trusted,
            Some(_) => Standing::Changed,
            None => Standing::Unknown,
        }
    }

    /// Trusts a content, instead of the one that was trusted before.
    pub fn trust(&mut self, root: &Path, sha256: Digest, since: Timestamp) {
        self.revoke(root);
        self.projects.push(Trusted {
            path: root.to_owned(),
            sha256,
            since,
        });
        self.projects.sort_by(|one, other| one.path.cmp(&other.path));
    }

    /// Trusts no content of that project any more; tells whether one was.
    pub fn revoke(&mut self, root: &Path) -> bool {
        let before = self.projects.len();
        self.projects.retain(|known| known.path != root);
        self.projects.len() < before
    }

    /// The projects, by path.
    #[must_use]
    pub fn projects(&self) -> &[Trusted] {
        &self.projects
    }
}

fn lock(directory: &OwnedFd, path: &Path) -> Result<OwnedFd, TrustError> {
    let path = path.join(LOCK_NAME);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = openat(directory, LOCK_NAME, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| failed("open", &path, errno))?;
    rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
        .map_err(|errno| failed("flock", &path, errno))?;
    Ok(lock)
}

fn open_private(path: &Path) -> Result<OwnedFd, TrustError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, path, flags, Mode::empty()).map_err(|errno| failed("open", path, errno))?;
    private(&opened, path, FileType::Directory)?;
    Ok(opened)
}

fn private(opened: impl AsFd, path: &Path, wanted: FileType) -> Result<(), TrustError> {
    let status = fstat(opened).map_err(|errno| failed("fstat", path, errno))?;
    let wrong = |why| {
        let path = path.to_owned();
        Err(TrustError::Unsafe { path, why })
    };
    if FileType::from_raw_mode(status.st_mode) != wanted {
        return wrong("is no regular file".into());
    }
    if status.st_uid != rustix::process::geteuid().as_raw() {
        return wrong(format!("belongs to uid {}, not to you", status.st_uid));
    }
    if status.st_mode & 0o022 != 0 {
        return wrong(format!(
            "can be written by others (mode {:03o})",
            status.st_mode & 0o777
        ));
    }
    Ok(())
}

fn failed(name: &'static str, path: &Path, errno: Errno) -> TrustError {
    call(name, path, errno.into())
}

fn call(call: &'static str, path: &Path, source: std::io::Error) -> TrustError {
    TrustError::Call {
        call,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn trust(path: &Path, project: &str, content: &str) {
        let since = "2026-11-27T09:08:07Z".parse().unwrap();
        Store::change(path, |store| {
            store.trust(Path::new(project), digest(content), since)
        })
        .unwrap();
    }

    #[test]
    fn an_exact_content_of_one_project() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/aca/trust.json");
        assert_eq!(Store::read(&path).unwrap(), Store::default());
        trust(&path, "/p", "a");
        let standing = |project: &str, content| {
            let store = Store::read(&path).unwrap();
            store.standing(Path::new(project), &digest(content))
        };
        assert_eq!(standing("/p", "a"), Standing::Trusted);
        assert_eq!(standing("/p", "b"), Standing::Changed);
        assert_eq!(standing("/p/q", "a"), Standing::Unknown);
        trust(&path, "/p", "b");
        assert_eq!(standing("/p", "a"), Standing::Changed, "what was trusted before");
        assert!(Store::change(&path, |store| store.revoke(Path::new("/p"))).unwrap());
        assert_eq!(standing("/p", "b"), Standing::Unknown);
        assert!(!Store::change(&path, |store| store.revoke(Path::new("/p"))).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aca/trust.json");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for project in 0..20 {
                        trust(path, &format!("/{thread}/{project}"), "x");
                    }
                });
            }
        });
        assert_eq!(Store::read(&path).unwrap().projects().len(), 80);
    }

    #[test]
    fn one_that_was_killed_leaves_nothing_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aca/trust.json");
        trust(&path, "/p", "a");
        fs::write(path.with_file_name(NEW_NAME), "half").unwrap();
        trust(&path, "/q", "a");
        assert_eq!(Store::read(&path).unwrap().projects().len(), 2);
    }

    #[test]
    fn a_broken_store_stays_as_it_is() {
        for text in [
            "",
            "{",
            "[]",
            "{\"v\":1}",
            "{\"v\":1,\"projects\":[],\"x\":0}",
            "{\"v\":2,\"projects\":[]}",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("aca/trust.json");
            trust(&path, "/p", "a");
            fs::write(&path, text).unwrap();
            let error = Store::change(&path, |store| store.revoke(Path::new("/p"))).unwrap_err();
            assert!(
                matches!(
                    error,
                    TrustError::Broken { .. } | TrustError::Version { found: 2, .. }
                ),
                "{text}: {error}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn what_others_can_write_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aca/trust.json");
        trust(&path, "/p", "a");
        let directory = path.parent().unwrap().to_owned();
        for (at, mode, safe) in [(&path, 0o620, 0o600), (&directory, 0o702, 0o700)] {
            fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
            let error = Store::read(&path).unwrap_err().to_string();
            assert!(
                error.contains(&format!("can be written by others (mode {mode:o})")),
                "{error}"
            );
            fs::set_permissions(at, fs::Permissions::from_mode(safe)).unwrap();
        }
        fs::rename(&path, path.with_extension("real")).unwrap();
        symlink(path.with_extension("real"), &path).unwrap();
        assert!(Store::read(&path).is_err());
    }
}
