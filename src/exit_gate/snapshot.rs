//! How a project was before a run, kept where no sandbox sees it until what changed was looked at.

use super::branches::Branches;
use super::entered::{Entered, Look, entered, unread};
use crate::audit::SessionId;
use crate::facts::beneath::{open_root, read_below};
use crate::facts::{Found, FoundKind, Project, Walk};
use crate::policy::path_text;
use crate::supervise::{Change, TrustChange};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Version of the stored form.
const VERSION: u32 = 4;
/// Largest file of which a copy is kept, and bytes and number of all copies: enough for a project's scripts.
const COPY_BYTES_MAX: usize = 64 << 10;
const COPIES_BYTES_MAX: usize = 4 << 20;
const COPIES_MAX: usize = 512;
/// Largest snapshot that is read.
const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;
/// Most that are kept; beyond, the oldest that were told go.
const KEPT_MAX: usize = 256;

/// How it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    /// The run.
    pub session: SessionId,
    /// Where.
    pub project: Project,
    /// What counts of the walks before it.
    pub walks: Vec<Walk>,
    /// How many of those are the project's own.
    pub own: usize,
    /// Contents of small files.
    pub copies: Vec<Copied>,
    /// Where the host's own git directory is written.
    branches: Option<Branches>,
    /// The run worked on a git directory of its own: nothing inside could write the host's.
    pub apart: bool,
    /// Submodules' `.git` that were there, absolute.
    #[serde(with = "path_text::list")]
    pub submodules: Vec<PathBuf>,
    /// Indexes that couldn't be read before either.
    #[serde(with = "path_text::list")]
    pub unread: Vec<PathBuf>,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The walk's root.
    #[serde(with = "path_text")]
    pub root: PathBuf,
    /// In there.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Its mode bits.
    pub mode: u32,
    /// All of it.
    pub content: Vec<u8>,
}

impl Snapshot {
    /// Takes it, before anything of the run is there. `writes_git` is whether programs inside write the host's own git
    /// directory.
    #[must_use]
    pub fn take(
        session: &SessionId,
        project: &Project,
        walks: &[Walk],
        own: usize,
        writes_git: bool,
    ) -> Self {
        let mut copies = Vec::new();
        let mut room = COPIES_BYTES_MAX;
        for walk in walks {
            copy(walk, &mut room, &mut copies);
        }
        Self {
            version: VERSION,
            session: session.clone(),
            project: project.clone(),
            walks: walks.iter().map(kept).collect(),
            own,
            copies,
            apart: !writes_git,
            submodules: submodules(project, false),
            unread: if writes_git { unread(project) } else { Vec::new() },
            branches: project
                .git
                .as_ref()
                .filter(|_| writes_git)
                .and_then(Branches::read),
        }
    }

    /// What became of branches and of what git shows.
    #[must_use]
    pub fn changes_in_git(&self) -> Vec<Change> {
        match (&self.branches, &self.project.git) {
            (Some(branches), Some(layout)) => branches.changes(layout, &self.project.root),
            _ => Vec::new(),
        }
    }

    /// The file as it was, where a copy is there.
    #[must_use]
    pub fn copy_of(&self, root: &Path, path: &Path) -> Option<&Copied> {
        self.copies
            .iter()
            .find(|copied| copied.root == root && copied.path == path)
    }

    /// Leaves out what has another inode and is as it was all the same: git writes files anew that it takes back, and so
    /// does this gate.
    pub fn leave_out_same(&self, changes: &mut Vec<Change>) {
        changes.retain(|change| {
            let copied = match change.change {
                TrustChange::Changed => self.copy_of(&change.root, change.below()),
                TrustChange::Appeared | TrustChange::Removed => None,
            };
            !copied.is_some_and(is_there)
        });
    }
}

/// The `.git` of submodules, as they are before anything runs: those that are there, or those that aren't.
#[must_use]
pub fn submodules(project: &Project, absent: bool) -> Vec<PathBuf> {
    let own = project.git.as_ref().map(|git| git.common_dir.as_path());
    let mut found = entered(project, own, &|_| true);
    found.retain(|one| (one.look == Look::Absent) == absent);
    found.iter().map(Entered::at).collect()
}

fn is_there(copied: &Copied) -> bool {
    let now = open_root(&copied.root).and_then(|root| read_below(&root, &copied.path, copied.content.len()));
    now.is_ok_and(|(content, status)| content == copied.content && status.st_mode & 0o7777 == copied.mode)
}

/// What a comparison needs of a walk. Secrets' names aren't.
fn kept(walk: &Walk) -> Walk {
    Walk {
        root: walk.root.clone(),
        protected: walk.protected.clone(),
        watched: walk.watched.clone(),
        repositories: walk.repositories.clone(),
        escapes: walk.escapes.clone(),
        privileged: walk.privileged.clone(),
        begun_ns: walk.begun_ns,
        directory_count: walk.directory_count,
        file_count: walk.file_count,
        skipped: walk.skipped.clone(),
        truncated: walk.truncated,
        ..Walk::default()
    }
}

fn copy(walk: &Walk, room: &mut usize, copies: &mut Vec<Copied>) {
    let is_file = |found: &&Found| found.kind == FoundKind::File;
    let mut files = walk
        .watched
        .iter()
        .chain(&walk.protected)
        .filter(is_file)
        .peekable();
    if files.peek().is_none() {
        return;
    }
    let Ok(root) = open_root(&walk.root) else { return };
    for found in files {
        if copies.len() >= COPIES_MAX || *room == 0 {
            return;
        }
        let most = COPY_BYTES_MAX.min(*room);
        // Without a copy it can't be put back, and that is said then.
        let Ok((content, status)) = read_below(&root, &found.path, most) else {
            continue;
        };
        if content.len() > most {
            continue;
        }
        *room = room.saturating_sub(content.len());
        copies.push(Copied {
            root: walk.root.clone(),
            path: found.path.clone(),
            mode: status.st_mode & 0o777,
            content,
        });
    }
}

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A call failed.
    #[error("{call} of {}", path.display())]
    Call {
        /// The system call.
        call: &'static str,
        /// The file.
        path: PathBuf,
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// Not what was written.
    #[error("{} is no snapshot of this version", .0.display())]
    Malformed(PathBuf),
}

/// Where they are: a file each, named by session, project and state.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// One that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub session: SessionId,
    /// Whether the run's own end told what changed. If not, it runs, or it was cut off.
    pub told: bool,
    /// Whether it has branches: known of one that was kept just now.
    pub holds_branches: bool,
    path: PathBuf,
}

const WAITING: &str = "before";
const TOLD: &str = "told";

impl Store {
    /// In that directory, which need not be there.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Keeps one: it is there as a whole, or not at all.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn keep(&self, snapshot: &Snapshot) -> Result<Kept, StoreError> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory);
        made.map_err(|source| self.failed("mkdir", &self.directory, source))?;
        self.prune();
        let path = self.directory.join(format!(
            "{}.{}.{WAITING}",
            snapshot.session,
            key(&snapshot.project.root)
        ));
        let bytes = postcard::to_stdvec(snapshot)
            .map_err(|error| self.failed("write", &path, io::Error::other(error)))?;
        self.write(&path, &bytes)
            .map_err(|source| self.failed("write", &path, source))?;
        Ok(Kept {
            session: snapshot.session.clone(),
            told: false,
            holds_branches: snapshot.branches.is_some(),
            path,
        })
    }

    /// A file without a name gets one once it is whole, so that who is killed meanwhile leaves nothing; where that
    /// can't be had, one of another name is renamed.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        let nameless = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(&self.directory, nameless, mode) {
            let mut file = File::from(file);
            file.write_all(bytes)?;
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            // Without a /proc there is no way to name it.
            if linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW).is_ok() {
                return Ok(());
            }
        }
        let new = path.with_extension("new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(&new, flags, mode)?);
        let kept = file
            .write_all(bytes)
            .and_then(|()| Ok(renameat(CWD, &new, CWD, path)?));
        if kept.is_err() {
            unlinkat(CWD, &new, AtFlags::empty()).ok();
        }
        kept
    }

    /// Those of a project, the newest first.
    #[must_use]
    pub fn of(&self, project: &Path) -> Vec<Kept> {
        let key = key(project);
        let mut found = self.all();
        found.retain(|(of, _)| *of == key);
        found.reverse();
        found.into_iter().map(|(_, kept)| kept).collect()
    }

    /// The one of a session whose id begins so.
    #[must_use]
    pub fn find(&self, prefix: &str) -> Vec<Kept> {
        let mut found = self.all();
        found.retain(|(_, kept)| kept.session.as_str().starts_with(prefix));
        found.into_iter().map(|(_, kept)| kept).collect()
    }

    /// Reads one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn load(&self, kept: &Kept) -> Result<Snapshot, StoreError> {
        let failed = |call, source| self.failed(call, &kept.path, source);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(&kept.path, flags, Mode::empty())
            .map_err(|errno| failed("open", errno.into()))?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(SNAPSHOT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|source| failed("read", source))?;
        let malformed = || StoreError::Malformed(kept.path.clone());
        let snapshot: Snapshot = postcard::from_bytes(&bytes).map_err(|_| malformed())?;
        let is_it = snapshot.version == VERSION && snapshot.session == kept.session;
        if is_it { Ok(snapshot) } else { Err(malformed()) }
    }

    /// Notes that what changed was told.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn told(&self, kept: &Kept) -> Result<(), StoreError> {
        let path = kept.path.with_extension(TOLD);
        match renameat(CWD, &kept.path, CWD, &path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("rename", &kept.path, errno.into())),
        }
    }

    /// Lets go of one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn forget(&self, kept: &Kept) -> Result<(), StoreError> {
        match unlinkat(CWD, &kept.path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("unlink", &kept.path, errno.into())),
        }
    }

    /// All that are there, oldest first, each with its project's key.
    fn all(&self) -> Vec<(String, Kept)> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut found: Vec<(String, Kept)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?;
                let mut parts = name.split('.');
                let (session, key, state) = (parts.next()?, parts.next()?, parts.next()?);
                let told = match state {
                    WAITING => false,
                    TOLD => true,
                    _ => return None,
                };
                let (session, key) = (session.parse().ok()?, key.to_owned());
                let holds_branches = false;
                Some((
                    key,
                    Kept {
                        session,
                        told,
                        holds_branches,
                        path,
                    },
                ))
            })
            .collect();
        found.sort_by(|(_, one), (_, other)| one.session.cmp(&other.session));
        found
    }

    fn prune(&self) {
        let all = self.all();
        let surplus = all.len().saturating_sub(KEPT_MAX);
        for (_, kept) in all.iter().filter(|(_, kept)| kept.told).take(surplus) {
            self.forget(kept).ok();
        }
    }

    fn failed(&self, call: &'static str, path: &Path, source: io::Error) -> StoreError {
        StoreError::Call {
            call,
            path: path.to_owned(),
            source,
        }
    }
}

/// Tells projects apart in names of files: the first 16 digits of the path's SHA-256.
fn key(project: &Path) -> String {
    let digest = Sha256::digest(project.as_os_str().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Matcher, Purpose, walk_project};
    use std::os::unix::fs::PermissionsExt;

    fn id(chance: u8) -> SessionId {
        SessionId::new("2026-11-23T09:08:07Z".parse().unwrap(), [chance; 6])
    }

    fn taken(root: &Path, session: &SessionId) -> Snapshot {
        let project = Project::find(root, Path::new("/nowhere/at/all")).unwrap();
        let matcher = Matcher::new(crate::presets::tree_rules().unwrap(), Vec::new());
        let walks = walk_project(&project, &matcher, Purpose::Protect).unwrap();
        let own = walks.len();
        Snapshot::take(session, &project, &walks, own, true)
    }

    #[test]
    fn what_was_kept_comes_back_and_belongs_to_its_project() {
        let folder = tempfile::tempdir().unwrap();
        let root = crate::facts::real(folder.path()).unwrap().join("p");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("Makefile"), "all:\n").unwrap();
        std::fs::set_permissions(root.join("Makefile"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::write(root.join(".env"), "TOKEN=abc\n").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.join("justfile")).unwrap();
        let store = Store::new(folder.path().join("s/exit"));
        let snapshot = taken(&root, &id(1));
        let kept = store.keep(&snapshot).unwrap();
        assert_eq!(store.load(&kept).unwrap(), snapshot);
        let copied = snapshot.copy_of(&root, Path::new("Makefile")).unwrap();
        assert_eq!(
            (copied.content.as_slice(), copied.mode),
            (b"all:\n".as_slice(), 0o640)
        );
        // Neither what a link leads to, nor a secret.
        assert_eq!(snapshot.copies.len(), 1);
        assert!(snapshot.walks.iter().all(|walk| walk.masks.is_empty()));
        let mode = std::fs::metadata(&kept.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        store.keep(&taken(&root, &id(2))).unwrap();
        let of: Vec<_> = store.of(&root).into_iter().map(|kept| kept.session).collect();
        assert_eq!(of, [id(2), id(1)]);
        assert_eq!(store.of(folder.path()), []);
        store.told(&kept).unwrap();
        assert!(store.of(&root)[1].told);
        store.forget(&store.of(&root)[1]).unwrap();
        assert_eq!(store.of(&root).len(), 1);
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let path = folder.path().join(format!("{}.0011223344556677.before", id(3)));
        for bytes in [b"".as_slice(), b"\x01", &[0xff; 64]] {
            std::fs::write(&path, bytes).unwrap();
            let kept = store.find(id(3).as_str()).pop().unwrap();
            assert!(matches!(store.load(&kept), Err(StoreError::Malformed(_))));
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let kept = store.find(id(3).as_str()).pop().unwrap();
        assert!(matches!(store.load(&kept), Err(StoreError::Call { .. })));
    }
}
