//! The session's log: append-only JSON lines, one write a line, readable by the owner alone.
//!
//! It never stands in the way of the run once that has begun: a line that can't be written is counted, and told as soon
//! as a line can be written again. It is bounded, since programs inside decide how much there is to tell.

use super::chain::Head;
use super::{SessionId, lock};
use crate::supervise::{EVENT_VERSION, Emit, Event, Record};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use std::{
    fs::DirBuilder,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Most bytes of one log. What comes after is counted, and the end of the session is written still.
const MAX_LOG_BYTES: u64 = 256 << 20;

/// Most bytes of one line.
pub(super) const MAX_LINE_BYTES: usize = 256 << 10;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A directory can't be made or opened.
    #[error("cannot use the directory of session logs {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory is someone else's.
    #[error("the directory of session logs {} belongs to uid {owner}, not to you", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others can replace what is in the directory.
    #[error("the directory of session logs {} can be written by others (mode {mode:03o})", path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file can't be made.
    #[error("cannot make the session log {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The first line can't be written.
    #[error("cannot write the session log {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    inner: Mutex<Inner<OwnedFd>>,
}

/// Where bytes go: a file, or in tests a disk that fills up.
trait Sink {
    /// One `write(2)`; may take a part only.
    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

impl Sink for OwnedFd {
    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| {
            rustix::io::write(self.as_fd(), bytes)
        })?)
    }
}

#[derive(Debug)]
struct Inner<S> {
    sink: S,
    sequence: u64,
    bytes: u64,
    denied: u64,
    /// Lost in all.
    lost: u64,
    /// Lost since that was last told in the log.
    untold: u64,
    /// What the next line is bound to.
    head: Head,
    /// What stands on the disk after the last line feed.
    open: Open,
    /// The session's end is written: nothing comes after it.
    ended: bool,
}

/// How far the last line got. The next one begins with a line feed where that is missing.
#[derive(Debug)]
enum Open {
    /// There is its line feed.
    Nothing,
    /// All but its line feed.
    Line,
    /// Its beginning.
    Fragment(Vec<u8>),
}

impl Log {
    /// Creates the log of a session in the directory `sessions`, which is made if missing, and writes its first event.
    /// That directory and the one that holds it must be the caller's and closed to writes of others.
    ///
    /// # Errors
    /// When any of it can't be done: then nothing may be started.
    pub fn begin(sessions: &Path, session: &SessionId, first: Event) -> Result<Self, LogError> {
        let path = sessions.join(format!("{session}.jsonl"));
        let directory = private_directory(sessions)?;
        // Relative to the directory that was looked at, so that it can't be another one now. O_EXCL follows no symlink
        // in the last component (open(2)); O_NOFOLLOW says so once more.
        let file = rustix::fs::openat(
            &directory,
            format!("{session}.jsonl"),
            OFlags::WRONLY
                | OFlags::APPEND
                | OFlags::CREATE
                | OFlags::EXCL
                | OFlags::NOFOLLOW
                | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(|error| LogError::Create {
            path: path.clone(),
            source: error.into(),
        })?;
        let held = lock::hold(&file);
        let mut inner = Inner::new(file, session);
        inner
            .emit(first, Timestamp::now())
            .map_err(|source| LogError::Write {
                path: path.clone(),
                source,
            })?;
        // Some network file systems have no locks.
        if let Err(errno) = held {
            let lost = format!("the lock that tells that this session is running ({errno})");
            // A line that can't be written is counted inside.
            drop(inner.emit(Event::Degraded { lost: vec![lost] }, Timestamp::now()));
        }
        Ok(Self {
            path,
            inner: Mutex::new(inner),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many events were denials so far.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.lock().denied
    }

    /// How many events could not be written so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// A thread that died while it wrote leaves at worst a torn line, which readers bear.
    fn lock(&self) -> MutexGuard<'_, Inner<OwnedFd>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emit for Log {
    fn emit(&self, event: Event) {
        // What was lost is counted inside, and told by the next line and by `lost`.
        drop(self.lock().emit(event, Timestamp::now()));
    }

    fn denied(&self) -> u64 {
        Self::denied(self)
    }
}

impl<S: Sink> Inner<S> {
    fn new(sink: S, session: &SessionId) -> Self {
        Self {
            sink,
            sequence: 0,
            bytes: 0,
            denied: 0,
            lost: 0,
            untold: 0,
            head: Head::of(session),
            open: Open::Nothing,
            ended: false,
        }
    }

    fn emit(&mut self, event: Event, time: Timestamp) -> io::Result<()> {
        if event.is_denial() {
            self.denied += 1;
        }
        let last = matches!(event, Event::SessionEnd { .. });
        if self.ended || self.bytes >= MAX_LOG_BYTES && !last {
            return self.lose(io::Error::other("the log is full"));
        }
        if self.untold > 0 {
            let dropped = Event::Dropped {
                count: self.untold,
                kind: "log_line".into(),
            };
            if let Err(error) = self.write(dropped, time) {
                return self.lose(error);
            }
            self.untold = 0;
        }
        self.write(event, time).or_else(|error| self.lose(error))
    }

    fn lose(&mut self, error: io::Error) -> io::Result<()> {
        self.lost += 1;
        self.untold += 1;
        Err(error)
    }

    fn write(&mut self, event: Event, time: Timestamp) -> io::Result<()> {
        let record = Record {
            v: EVENT_VERSION,
            time,
            seq: self.sequence,
            event,
        };
        let (before, feed) = match &self.open {
            Open::Nothing => (self.head.clone(), false),
            Open::Line => (self.head.clone(), true),
            Open::Fragment(bytes) => (self.head.then_torn(bytes), true),
        };
        let mut line = Vec::with_capacity(512);
        if feed {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, &record)?;
        // The brace at the end comes after the hash.
        line.pop();
        let after = before.then(line.get(usize::from(feed)..).unwrap_or_default());
        after.seal(&mut line);
        line.push(b'\n');
        if line.len() > MAX_LINE_BYTES {
            return Err(io::Error::other("the line is too long"));
        }
        let mut written = self.sink.write_once(&line)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        let mut rest = line.as_slice();
        if feed && written > 0 {
            self.head = before;
            self.open = Open::Nothing;
            rest = rest.get(1..).unwrap_or_default();
            written -= 1;
        }
        if written + 1 >= rest.len() {
            self.head = after;
            self.sequence += 1;
            self.open = if written < rest.len() {
                Open::Line
            } else {
                Open::Nothing
            };
            self.ended = matches!(record.event, Event::SessionEnd { .. });
            return Ok(());
        }
        if written > 0 {
            self.open = Open::Fragment(rest.get(..written).unwrap_or_default().to_vec());
        }
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Makes and opens a directory that nobody else can write to.
fn private_directory(path: &Path) -> Result<OwnedFd, LogError> {
    let failed = |source| LogError::Directory {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    // Who can write to the parent can put another directory in this one's place.
    if let Some(parent) = path.parent() {
        open_private(parent)?;
    }
    open_private(path)
}

fn open_private(path: &Path) -> Result<OwnedFd, LogError> {
    let failed = |error: rustix::io::Errno| LogError::Directory {
        path: path.to_owned(),
        source: error.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let status = rustix::fs::fstat(&directory).map_err(failed)?;
    if status.st_uid != rustix::process::geteuid().as_raw() {
        return Err(LogError::Owner {
            path: path.to_owned(),
            owner: status.st_uid,
        });
    }
    let mode = status.st_mode & 0o777;
    if mode & 0o022 != 0 {
        return Err(LogError::Writable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::read::{LineFault, lines};
    use proptest::prelude::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn refused(name: &str) -> Event {
        Event::SyscallRefused {
            pid: 1,
            name: name.into(),
            errno: "EPERM".into(),
            count: 1,
        }
    }

    fn masked() -> Event {
        Event::Masked {
            path: "/p/.env".into(),
        }
    }

    fn end() -> Event {
        Event::SessionEnd {
            code: Some(0),
            signal: None,
            duration_ms: 1,
            denied: 0,
        }
    }

    fn id(chance: u8) -> SessionId {
        SessionId::new("2026-11-23T09:08:07.006Z".parse().unwrap(), [chance; 6])
    }

    fn time() -> Timestamp {
        "2026-11-23T09:08:07Z".parse().unwrap()
    }

    #[test]
    fn lines_that_the_owner_alone_reads() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = folder.path().join("state/aca/sessions");
        let log = Log::begin(&sessions, &id(1), masked()).unwrap();
        log.emit(refused("mount"));
        assert_eq!((log.denied(), log.lost()), (1, 0));
        assert_eq!(std::fs::metadata(log.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&sessions).unwrap().mode() & 0o777, 0o700);
        assert_eq!(
            std::fs::metadata(sessions.parent().unwrap()).unwrap().mode() & 0o777,
            0o700
        );
        let text = std::fs::read(log.path()).unwrap();
        let entries: Vec<_> = lines(&text[..], &id(1)).map(Result::unwrap).collect();
        let events: Vec<_> = entries
            .iter()
            .map(|entry| entry.record.as_ref().unwrap().event.clone())
            .collect();
        assert_eq!(events, [masked(), refused("mount")]);
        assert!(entries.iter().all(|entry| entry.fault.is_none()));
    }

    #[test]
    fn what_is_there_is_never_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "x").unwrap();
        let sessions = folder.path().join("aca/sessions");
        drop(Log::begin(&sessions, &id(1), masked()).unwrap());
        assert!(matches!(
            Log::begin(&sessions, &id(1), masked()),
            Err(LogError::Create { .. })
        ));
        std::os::unix::fs::symlink(&victim, sessions.join(format!("{}.jsonl", id(2)))).unwrap();
        assert!(matches!(
            Log::begin(&sessions, &id(2), masked()),
            Err(LogError::Create { .. })
        ));
        assert_eq!(std::fs::read(&victim).unwrap(), b"x");
    }

    #[test]
    fn a_directory_that_others_write_to_is_refused() {
        for (bits, open) in [(0o770, "aca"), (0o702, "aca/sessions")] {
            let folder = tempfile::tempdir().unwrap();
            let sessions = folder.path().join("aca/sessions");
            std::fs::create_dir_all(&sessions).unwrap();
            for path in ["aca", "aca/sessions"] {
                let mode = if path == open { bits } else { 0o755 };
                std::fs::set_permissions(folder.path().join(path), PermissionsExt::from_mode(mode)).unwrap();
            }
            let found = Log::begin(&sessions, &id(1), masked());
            assert!(
                matches!(found, Err(LogError::Writable { mode, .. }) if mode == bits),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_symlink_in_the_directory_s_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("aca")).unwrap();
        std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
        let sessions = folder.path().join("aca/sessions");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &sessions).unwrap();
        assert!(matches!(
            Log::begin(&sessions, &id(1), masked()),
            Err(LogError::Directory { .. })
        ));
    }

    #[test]
    fn no_directory_no_log() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = Log::begin(&folder.path().join("file/sessions"), &id(1), masked()).unwrap_err();
        assert!(matches!(error, LogError::Directory { .. }));
        // A full disk: /dev/full takes no byte (full(4)).
        let full = rustix::fs::open("/dev/full", OFlags::WRONLY, Mode::empty()).unwrap();
        assert_eq!(
            Inner::new(full, &id(1))
                .emit(masked(), time())
                .unwrap_err()
                .kind(),
            io::ErrorKind::StorageFull
        );
    }

    /// A disk with that many bytes left.
    struct Disk {
        left: usize,
        bytes: Vec<u8>,
    }

    impl Sink for &mut Disk {
        fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.left);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.left -= taken;
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn what_a_full_disk_swallowed_is_told_when_there_is_room() {
        let mut disk = Disk {
            left: 250,
            bytes: Vec::new(),
        };
        let mut log = Inner::new(&mut disk, &id(1));
        log.emit(masked(), time()).unwrap();
        log.emit(refused("mount"), time()).unwrap_err();
        log.emit(refused("bpf"), time()).unwrap_err();
        assert_eq!((log.denied, log.lost), (2, 2));
        log.sink.left = 10_000;
        log.emit(end(), time()).unwrap();
        assert_eq!(log.lost, 2);
        let entries: Vec<_> = lines(&disk.bytes[..], &id(1)).map(Result::unwrap).collect();
        let events: Vec<_> = entries
            .iter()
            .filter_map(|entry| entry.record.as_ref())
            .map(|record| record.event.clone())
            .collect();
        assert_eq!(
            events,
            [
                masked(),
                Event::Dropped {
                    count: 2,
                    kind: "log_line".into()
                },
                end()
            ]
        );
        assert_eq!(
            entries
                .iter()
                .filter_map(|entry| Some((entry.number, entry.fault.clone()?)))
                .collect::<Vec<_>>(),
            [(2, LineFault::Torn)]
        );
    }

    /// A disk that takes so many bytes of each write, then all.
    struct Flaky {
        takes: std::vec::IntoIter<usize>,
        bytes: Vec<u8>,
    }

    impl Sink for &mut Flaky {
        fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.takes.next().unwrap_or(usize::MAX));
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    proptest! {
        #[test]
        fn wherever_writes_break_off_the_chain_goes_on(
            takes in prop::collection::vec(prop_oneof![0..4usize, 0..400usize, 190..230usize], 0..20)
        ) {
            let mut disk = Flaky { takes: takes.into_iter(), bytes: Vec::new() };
            let mut log = Inner::new(&mut disk, &id(1));
            for _ in 0..20 {
                drop(log.emit(refused("mount"), time()));
            }
            log.emit(end(), time()).unwrap();
            drop(log.emit(masked(), time()));
            let (lost, sequence) = (log.lost, log.sequence);
            let verified = crate::audit::verify::check(&disk.bytes[..], &id(1), false).unwrap();
            prop_assert!(verified.is_whole(), "{:?}", verified);
            prop_assert_eq!(verified.events, sequence);
            let told: u64 = lines(&disk.bytes[..], &id(1))
                .filter_map(|entry| {
                    let Event::Dropped { count, .. } = entry.unwrap().record?.event else {
                        return None;
                    };
                    Some(count)
                })
                .sum();
            // What comes after the end is told to nobody but the caller.
            prop_assert_eq!(told + 1, lost);
        }
    }

    #[test]
    fn a_flood_is_cut_and_the_end_is_written() {
        let mut disk = Disk {
            left: usize::MAX,
            bytes: Vec::new(),
        };
        let mut log = Inner::new(&mut disk, &id(1));
        log.emit(masked(), time()).unwrap();
        log.bytes = MAX_LOG_BYTES;
        for _ in 0..3 {
            log.emit(refused("mount"), time()).unwrap_err();
        }
        log.emit(end(), time()).unwrap();
        let long = Event::Masked {
            path: "x".repeat(MAX_LINE_BYTES).into(),
        };
        log.bytes = 0;
        log.emit(long, time()).unwrap_err();
        assert_eq!((log.lost, log.denied), (4, 3));
        let events: Vec<_> = lines(&disk.bytes[..], &id(1))
            .map(|entry| entry.unwrap().record.unwrap().event)
            .collect();
        assert_eq!(
            events,
            [
                masked(),
                Event::Dropped {
                    count: 3,
                    kind: "log_line".into()
                },
                end()
            ]
        );
    }

    #[test]
    fn a_name_that_is_no_utf8_is_told_all_the_same() {
        use std::os::unix::ffi::OsStrExt;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"/p/.git/hooks/\xff"));
        let mut disk = Disk {
            left: usize::MAX,
            bytes: Vec::new(),
        };
        let mut log = Inner::new(&mut disk, &id(1));
        log.emit(Event::Masked { path: path.clone() }, time()).unwrap();
        log.emit(
            Event::StateNotKept {
                path: path.clone(),
                reason: String::new(),
            },
            time(),
        )
        .unwrap();
        let change = crate::supervise::TrustChange::Appeared;
        log.emit(
            Event::TrustChange {
                path,
                change,
                runs_when: String::new(),
            },
            time(),
        )
        .unwrap();
        assert_eq!(
            lines(&disk.bytes[..], &id(1))
                .filter(|entry| entry.as_ref().unwrap().record.is_some())
                .count(),
            3
        );
    }
}
