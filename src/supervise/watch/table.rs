//! The watched directories: inotify(7), by descriptor.

use crate::facts::beneath::{changed_ns, open_without_links};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most directories. Those of the start are watched first, and the agent can't make so many that others lose theirs.
const WATCHES_MAX: usize = 24_576;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// One directory.
struct Place {
    path: Arc<Path>,
    /// Which walk holds its names against patterns, if any.
    root: Option<usize>,
}

/// All of them.
pub(super) struct Table {
    inotify: OwnedFd,
    places: HashMap<i32, Place>,
    numbers: HashMap<Arc<Path>, i32>,
    buffer: Vec<MaybeUninit<u8>>,
}

/// What was read.
pub(super) enum Happened {
    /// No name appeared.
    Nothing,
    /// These names appeared, or were written where that is watched.
    Names(BTreeSet<PathBuf>),
    /// More than the kernel keeps.
    TooMuch,
}

impl AsFd for Table {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Table {
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            places: HashMap::new(),
            numbers: HashMap::new(),
            buffer: vec![MaybeUninit::uninit(); READ_BYTES],
        })
    }

    /// Which walk a watched directory belongs to.
    pub(super) fn root_of(&self, path: &Path) -> Option<usize> {
        let number = self.numbers.get(path)?;
        self.places.get(number)?.root
    }

    /// Watches a directory for names that appear, and tells when it last changed. One that is watched already keeps
    /// what it is watched for.
    ///
    /// # Errors
    /// `ENOSPC` at a bound; `ENOENT`, `ENOTDIR` and `ELOOP` for what is no directory any more.
    pub(super) fn add(&mut self, path: &Path, root: Option<usize>) -> Result<i64, Errno> {
        if self.places.len() >= WATCHES_MAX && !self.numbers.contains_key(path) {
            return Err(Errno::NOSPC);
        }
        self.set(path, root, WatchFlags::CREATE | WatchFlags::MOVED_TO)
    }

    /// Watches writes in a directory, too.
    pub(super) fn watch_writes(&mut self, path: &Path) -> Result<(), Errno> {
        let appear = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        self.set(path, None, appear | WatchFlags::CLOSE_WRITE).map(drop)
    }

    fn set(&mut self, path: &Path, root: Option<usize>, flags: WatchFlags) -> Result<i64, Errno> {
        let directory = open_without_links(path)?;
        // By descriptor: what was opened is what is watched, whatever is put at the path meanwhile.
        let own = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let flags = flags | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD;
        let number = inotify::add_watch(&self.inotify, own, flags)?;
        let path: Arc<Path> = path.into();
        let place = self.places.entry(number).or_insert_with(|| Place {
            path: Arc::clone(&path),
            root,
        });
        // The same directory under another name: it was moved.
        if place.path != path {
            self.numbers.remove(&place.path);
            place.path = Arc::clone(&path);
        }
        place.root = root.or(place.root);
        if let Some(other) = self.numbers.insert(path, number).filter(|other| *other != number) {
            // Another directory was at that path before.
            self.places.remove(&other);
            inotify::remove_watch(&self.inotify, other).ok();
        }
        // After the watch: what happened before shows in the time, and what comes after as an event.
        Ok(rustix::fs::fstat(&directory).map_or(i64::MAX, |status| changed_ns(&status)))
    }

    /// Reads all that waits.
    pub(super) fn read(&mut self) -> Happened {
        let mut names = BTreeSet::new();
        let (mut gone, mut too_much) = (Vec::new(), false);
        let mut reader = Reader::new(&self.inotify, &mut self.buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                too_much = true;
            } else if event.events().contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
            } else if let (Some(place), Some(name)) = (self.places.get(&event.wd()), event.file_name()) {
                names.insert(place.path.join(OsStr::from_bytes(name.to_bytes())));
            }
        }
        for number in gone {
            if let Some(place) = self.places.remove(&number)
                && self.numbers.get(&place.path) == Some(&number)
            {
                self.numbers.remove(&place.path);
            }
        }
        match (too_much, names.is_empty()) {
            (true, _) => Happened::TooMuch,
            (false, true) => Happened::Nothing,
            (false, false) => Happened::Names(names),
        }
    }
}
