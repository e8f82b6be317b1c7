//! The packs of one directory of objects.

use super::index::Index;
use super::store::{Inflater, open_file, read};
use crate::git::delta;
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::objects::DEPTH_MAX;
use crate::git::pack::{EntryKind, HEAD_MAX, ObjectKind, read_head};
use rustix::fs::{Mode, OFlags, RawDir};
use std::cell::{Cell, OnceCell};
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Most packs that are looked into, of all directories together, those of each that were written last first. Git itself
/// packs anew at 50 (`gc.autoPackLimit`), and where that is off some hundreds are seen. What lies in others isn't found, so
/// that a push which needs it is refused as one whose history isn't there.
const PACKS_MAX: usize = 2048;
/// Bytes of indices that are held, of all directories together.
const HELD_MAX: u64 = 256 << 20;
/// Names that are read in one directory.
const NAMES_MAX: usize = 20_000;
/// What the deltas of one object may come to, in times of the largest object.
const CHAIN_FACTOR: u64 = 8;

/// What all directories of one push have together.
#[derive(Debug)]
pub(super) struct Room {
    packs: usize,
    held: Rc<Cell<u64>>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            packs: PACKS_MAX,
            held: Rc::new(Cell::new(HELD_MAX)),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Packs {
    format: ObjectFormat,
    /// The one that had what was asked for last stands first.
    packs: Vec<Pack>,
}

#[derive(Debug)]
struct Pack {
    index: Index,
    directory: Rc<OwnedFd>,
    name: CString,
    /// Opened when something of it is wanted.
    file: OnceCell<Option<OwnedFd>>,
}

impl Packs {
    /// Those that lie beside their indices in `pack`.
    pub(super) fn of(objects: &OwnedFd, format: ObjectFormat, room: &mut Room) -> Self {
        Self {
            packs: open(objects, format, room).unwrap_or_default(),
            format,
        }
    }

    /// Whether a pack claims to have it.
    pub(super) fn has(&self, id: &ObjectId) -> bool {
        self.packs.iter().any(|pack| pack.index.find(id).is_some())
    }

    /// The kind of the object of that name, by the first pack that claims to have it.
    pub(super) fn kind(&self, id: &ObjectId) -> Option<ObjectKind> {
        let (pack, mut offset) = self
            .packs
            .iter()
            .find_map(|pack| Some((pack, pack.index.find(id)?)))?;
        // A delta is of the kind of what it changes.
        for _ in 0..=DEPTH_MAX {
            offset = match pack.head(offset, self.format)?.0 {
                EntryKind::Whole(kind) => return Some(kind),
                EntryKind::OffsetDelta(base) => base,
                EntryKind::RefDelta(base) => pack.index.find(&ObjectId::from_bytes(&base, self.format))?,
            };
        }
        None
    }

    /// The object of that name, by the first pack that claims to have it.
    pub(super) fn get(
        &mut self,
        id: &ObjectId,
        most: u64,
        inflater: &mut Inflater,
    ) -> Option<(ObjectKind, Vec<u8>)> {
        let (at, offset) = self
            .packs
            .iter()
            .enumerate()
            .find_map(|(at, pack)| Some((at, pack.index.find(id)?)))?;
        let object = self.packs.get(at)?.read(offset, self.format, most, inflater);
        self.packs.swap(0, at);
        object
    }
}

fn open(objects: &OwnedFd, format: ObjectFormat, room: &mut Room) -> Option<Vec<Pack>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(objects, c"pack", flags, Mode::empty()).ok()?;
    let mut buffer = [MaybeUninit::uninit(); 8 << 10];
    let mut entries = RawDir::new(&directory, &mut buffer);
    let (mut found, mut seen) = (Vec::new(), 0);
    while let Some(Ok(entry)) = entries.next() {
        seen += 1;
        if seen > NAMES_MAX {
            break;
        }
        found.extend(index(&directory, entry.file_name()));
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    let directory = Rc::new(directory);
    let packs = found
        .iter()
        .filter_map(|(_, name)| pack(&directory, name, format, room));
    let packs: Vec<Pack> = packs.take(room.packs).collect();
    room.packs -= packs.len();
    Some(packs)
}

/// An index by its name, and when it was written.
fn index(directory: &OwnedFd, name: &CStr) -> Option<((i64, u64), CString)> {
    name.to_bytes().strip_suffix(b".idx")?;
    let (file, _) = open_file(directory, name)?;
    let status = rustix::fs::fstat(&file).ok()?;
    Some(((status.st_mtime, status.st_mtime_nsec), name.to_owned()))
}

fn pack(directory: &Rc<OwnedFd>, name: &CStr, format: ObjectFormat, room: &Room) -> Option<Pack> {
    let stem = name.to_bytes().strip_suffix(b".idx")?;
    let index = Index::open(directory, name, format, Rc::clone(&room.held))?;
    let name = CString::new([stem, b".pack"].concat()).ok()?;
    Some(Pack {
        index,
        directory: Rc::clone(directory),
        name,
        file: OnceCell::new(),
    })
}

impl Pack {
    /// Undoes the deltas of what begins there. A circle of them is one that is too long.
    fn read(
        &self,
        mut offset: u64,
        format: ObjectFormat,
        most: u64,
        inflater: &mut Inflater,
    ) -> Option<(ObjectKind, Vec<u8>)> {
        let mut changes = Vec::new();
        let mut left = most.saturating_mul(CHAIN_FACTOR);
        let (kind, mut content) = loop {
            let (entry, size, data) = self.head(offset, format)?;
            left = left.checked_sub(size)?;
            if size > most {
                return None;
            }
            offset = match entry {
                EntryKind::Whole(kind) => break (kind, self.inflate(data, size, inflater)?),
                EntryKind::OffsetDelta(base) => base,
                EntryKind::RefDelta(base) => self.index.find(&ObjectId::from_bytes(&base, format))?,
            };
            if changes.len() >= usize::try_from(DEPTH_MAX).ok()? {
                return None;
            }
            changes.push((data, size));
        };
        for (data, size) in changes.into_iter().rev() {
            let change = self.inflate(data, size, inflater)?;
            content = delta::apply(&content, &change, most).ok()?;
            left = left.checked_sub(u64::try_from(content.len()).ok()?)?;
        }
        Some((kind, content))
    }

    /// What an entry is, how long, and where its bytes begin.
    fn head(&self, offset: u64, format: ObjectFormat) -> Option<(EntryKind, u64, u64)> {
        // There is a sum at the end, so that a head at the very end has bytes behind it.
        let wanted = HEAD_MAX.min(10 + format.digits() / 2);
        let bytes = read(self.file()?, offset, wanted)?;
        for length in 1..=wanted {
            if let Some((kind, size)) = read_head(bytes.get(..length)?, offset, format).ok()? {
                return Some((kind, size, offset.checked_add(u64::try_from(length).ok()?)?));
            }
        }
        None
    }

    fn file(&self) -> Option<&OwnedFd> {
        let open = || open_file(&self.directory, &self.name).map(|(file, _)| file);
        self.file.get_or_init(open).as_ref()
    }

    fn inflate(&self, data: u64, size: u64, inflater: &mut Inflater) -> Option<Vec<u8>> {
        let size = usize::try_from(size).ok()?;
        inflater
            .inflate(self.file()?, data, size)
            .filter(|content| content.len() == size)
    }
}
