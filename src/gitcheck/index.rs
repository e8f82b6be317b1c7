//! Where a pack's objects are (gitformat-pack(5), index of version 2). It is asked, not believed: a wrong one leads to an
//! object that isn't the one of that name, which who asked sees.

use super::child::read_at;
use super::store::open_file;
use crate::git::object_id::{ObjectFormat, ObjectId};
use std::cell::{Cell, OnceCell};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// First bytes: magic and version, then 256 counts.
const MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
const NAMES_AT: u64 = 8 + 256 * 4;
/// Once it was asked that often it is read as a whole, if it isn't longer than that: a history is walked through it.
const ASKED: u32 = 64;
const HELD_MAX: u64 = 32 << 20;

/// An open index.
#[derive(Debug)]
pub(super) struct Index {
    file: OwnedFd,
    length: u64,
    count: u64,
    name: u64,
    counts: Vec<u8>,
    asked: Cell<u32>,
    held: OnceCell<Option<Vec<u8>>>,
    /// Bytes that may still be held, of all indices.
    room: Rc<Cell<u64>>,
}

impl Index {
    /// `room` is what may be held of this and of others.
    pub(super) fn open(
        directory: &OwnedFd,
        name: &CStr,
        format: ObjectFormat,
        room: Rc<Cell<u64>>,
    ) -> Option<Self> {
        let (file, length) = open_file(directory, name)?;
        let mut head = [0; 8];
        let mut counts = vec![0; 1024];
        if !read_at(&file, &mut head, 0) || head != MAGIC || !read_at(&file, &mut counts, 8) {
            return None;
        }
        let count = u64::from(u32::from_be_bytes(*counts.last_chunk()?));
        let name = u64::try_from(format.digits() / 2).ok()?;
        // Names, sums, offsets, and the sums of both files.
        let least = NAMES_AT + count * (name + 8) + 2 * name;
        (length >= least).then_some(Self {
            file,
            length,
            count,
            name,
            counts,
            asked: Cell::new(0),
            held: OnceCell::new(),
            room,
        })
    }

    /// Where the object's entry begins.
    pub(super) fn find(&self, id: &ObjectId) -> Option<u64> {
        self.asked.set(self.asked.get().saturating_add(1));
        let wanted = id.padded().get(..usize::try_from(self.name).ok()?)?;
        let first = wanted.first().copied()?;
        let (mut from, mut to) = (
            first
                .checked_sub(1)
                .map_or(Some(0), |before| self.counted(before))?,
            self.counted(first)?,
        );
        let mut name = [0; 32];
        while from < to {
            let middle = from + (to - from) / 2;
            let place = name.get_mut(..wanted.len())?;
            if middle >= self.count || !self.read(place, NAMES_AT + middle * self.name) {
                return None;
            }
            match (*place).cmp(wanted) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => return self.offset(middle),
            }
        }
        None
    }

    fn counted(&self, byte: u8) -> Option<u64> {
        let at = usize::from(byte) * 4;
        let bytes = self.counts.get(at..at + 4)?.first_chunk()?;
        Some(u64::from(u32::from_be_bytes(*bytes)))
    }

    fn offset(&self, index: u64) -> Option<u64> {
        const LARGE: u32 = 1 << 31;
        let offsets = NAMES_AT + self.count * (self.name + 4);
        let mut bytes = [0; 4];
        if !self.read(&mut bytes, offsets + index * 4) {
            return None;
        }
        let small = u32::from_be_bytes(bytes);
        if small & LARGE == 0 {
            return Some(small.into());
        }
        let mut bytes = [0; 8];
        let at = offsets + self.count * 4 + u64::from(small & !LARGE) * 8;
        self.read(&mut bytes, at).then_some(u64::from_be_bytes(bytes))
    }

    fn read(&self, into: &mut [u8], at: u64) -> bool {
        if self.asked.get() < ASKED || self.length > HELD_MAX {
            return read_at(&self.file, into, at);
        }
        let held = self.held.get_or_init(|| {
            let left = self.room.get().checked_sub(self.length)?;
            let mut all = vec![0; usize::try_from(self.length).ok()?];
            self.room.set(left);
            read_at(&self.file, &mut all, 0).then_some(all)
        });
        let Some(held) = held else {
            return read_at(&self.file, into, at);
        };
        let from = usize::try_from(at).ok();
        let part = from.and_then(|at| held.get(at..at.checked_add(into.len())?));
        part.inspect(|part| into.copy_from_slice(part)).is_some()
    }
}
