//! Directories of objects as git keeps them (gitrepository-layout(5)), read without believing any of it.
//!
//! Whoever runs inside writes there. So a file is opened without following a link and without waiting (a pipe in an object's
//! place is seen as one), read by number and never mapped (a file that shrinks under a mapping is a fault), and bounded in
//! all that it may say. Of the ways in which a repository points elsewhere (alternates, grafts, replacements, a commit graph,
//! a shallow list, an index over several packs) none is looked at: whose directories count is the caller's to say. What an
//! object holds is not held against its name here; who asks does that.

use super::child::read_at;
use super::packs::{Packs, Room};
use crate::git::check::Store;
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::pack::ObjectKind;
use flate2::{Decompress, FlushDecompress, Status};
use rustix::fs::{FileType, Mode, OFlags};
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Longest head of a loose object: a kind, a size of 20 digits, a zero.
const HEAD_MAX: usize = 32;
/// Bytes that are read at once: most objects that are asked for are smaller.
const READ: usize = 4096;

/// Some of them, in the order in which they are asked.
#[derive(Debug)]
pub struct Stores {
    stores: Vec<Directory>,
    object_bytes: u64,
    inflater: Inflater,
}

#[derive(Debug)]
struct Directory {
    objects: OwnedFd,
    packs: Packs,
}

impl Stores {
    /// Of directories of objects, by their descriptors (`O_PATH` is enough). Objects of more bytes than that aren't given.
    #[must_use]
    pub fn new(stores: Vec<OwnedFd>, format: ObjectFormat, object_bytes: u64) -> Self {
        let mut room = Room::default();
        let directory = |objects| Directory {
            packs: Packs::of(&objects, format, &mut room),
            objects,
        };
        Self {
            stores: stores.into_iter().map(directory).collect(),
            object_bytes,
            inflater: Inflater::default(),
        }
    }
}

impl Stores {
    /// Whether one of them has a file or a pack's entry of that name, whatever it holds.
    #[must_use]
    pub fn has(&self, id: &ObjectId) -> bool {
        self.stores
            .iter()
            .any(|store| store.packs.has(id) || loose_file(&store.objects, id).is_some())
    }

    /// What kind of object stands under that name, as far as its beginning tells: nothing is held against the name.
    #[must_use]
    pub fn kind(&mut self, id: &ObjectId) -> Option<ObjectKind> {
        let inflater = &mut self.inflater;
        self.stores.iter().find_map(|store| {
            let loose =
                || loose_head(&inflater.begin(&loose_file(&store.objects, id)?)?).map(|(kind, _, _)| kind);
            store.packs.kind(id).or_else(loose)
        })
    }
}

impl Store for Stores {
    fn get(&mut self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)> {
        let (most, inflater) = (self.object_bytes, &mut self.inflater);
        self.stores.iter_mut().find_map(|store| {
            store
                .packs
                .get(id, most, inflater)
                .or_else(|| loose(&store.objects, id, most, inflater))
        })
    }
}

/// Opens a regular file; tells how long it is.
pub(super) fn open_file(directory: &OwnedFd, name: &CStr) -> Option<(OwnedFd, u64)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty()).ok()?;
    let status = rustix::fs::fstat(&file).ok()?;
    let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
    let length = u64::try_from(status.st_size).ok().filter(|_| is_file)?;
    Some((file, length))
}

fn loose_file(objects: &OwnedFd, id: &ObjectId) -> Option<OwnedFd> {
    let text = id.to_string();
    let (folder, rest) = text.split_at_checked(2)?;
    let name = std::ffi::CString::new(format!("{folder}/{rest}")).ok()?;
    open_file(objects, &name).map(|(file, _)| file)
}

fn loose(
    objects: &OwnedFd,
    id: &ObjectId,
    most: u64,
    inflater: &mut Inflater,
) -> Option<(ObjectKind, Vec<u8>)> {
    let file = loose_file(objects, id)?;
    let whole = usize::try_from(most).ok()?.checked_add(HEAD_MAX)?;
    let mut content = inflater.inflate(&file, 0, whole)?;
    let (kind, size, end) = loose_head(&content)?;
    let content = content.split_off(end);
    (content.len() == size).then_some((kind, content))
}

/// What a loose object begins with: its kind, its size, and where its content begins.
fn loose_head(content: &[u8]) -> Option<(ObjectKind, usize, usize)> {
    let end = content.iter().take(HEAD_MAX).position(|byte| *byte == 0)?;
    let head = str::from_utf8(content.get(..end)?).ok()?;
    let (kind, size) = head.split_once(' ')?;
    let kind = [
        ObjectKind::Commit,
        ObjectKind::Tree,
        ObjectKind::Blob,
        ObjectKind::Tag,
    ]
    .into_iter()
    .find(|known| known.word() == kind)?;
    Some((kind, size.parse().ok()?, end + 1))
}

/// Inflates from files.
#[derive(Debug)]
pub(super) struct Inflater {
    inflate: Decompress,
    buffer: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            inflate: Decompress::new(true),
            buffer: vec![0; READ],
        }
    }
}

impl Inflater {
    /// The first bytes of what is compressed in a file.
    fn begin(&mut self, file: &OwnedFd) -> Option<Vec<u8>> {
        self.inflate.reset(true);
        let mut packed = [0; 4 * HEAD_MAX];
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut packed, 0)).ok()?;
        let mut out = Vec::with_capacity(HEAD_MAX);
        self.inflate
            .decompress_vec(packed.get(..count)?, &mut out, FlushDecompress::None)
            .ok()?;
        Some(out)
    }

    /// What is compressed from `at` on (RFC 1950), if it ends and has at most that many bytes.
    pub(super) fn inflate(&mut self, file: &OwnedFd, mut at: u64, most: usize) -> Option<Vec<u8>> {
        self.inflate.reset(true);
        let mut out = Vec::new();
        loop {
            let count = rustix::io::retry_on_intr(|| rustix::io::pread(file, self.buffer.as_mut_slice(), at))
                .ok()
                .filter(|count| *count > 0)?;
            at = at.checked_add(u64::try_from(count).ok()?)?;
            let mut input = self.buffer.get(..count)?;
            loop {
                if out.len() == out.capacity() {
                    // One more than may be: what goes on then is too long.
                    let room = most
                        .checked_add(1)?
                        .checked_sub(out.len())
                        .filter(|room| *room > 0)?;
                    out.reserve_exact(out.len().max(READ).min(room));
                }
                let before = (self.inflate.total_in(), self.inflate.total_out());
                let status = self
                    .inflate
                    .decompress_vec(input, &mut out, FlushDecompress::None)
                    .ok()?;
                let took = usize::try_from(self.inflate.total_in() - before.0).ok()?;
                input = input.get(took..)?;
                if status == Status::StreamEnd {
                    return (out.len() <= most).then_some(out);
                }
                let still = took == 0 && self.inflate.total_out() == before.1;
                // All is used and there was room for more: the next bytes are wanted.
                if input.is_empty() && out.len() < out.capacity() {
                    break;
                }
                if still && out.len() < out.capacity() {
                    return None;
                }
            }
        }
    }
}

/// Reads that many bytes.
pub(super) fn read(file: &OwnedFd, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    read_at(file, &mut bytes, at).then_some(bytes)
}
