//! The objects of a pack, each with the name that its own content gives it: deltas undone, nothing believed.
//!
//! A pack names no object; what it calls a base may be anything. So every content is hashed here, and what isn't reached
//! from a whole object of the same pack refuses it all: a thin pack, a circle, a base that isn't there.

use super::delta;
use super::object_id::{ObjectFormat, ObjectId};
use super::pack::{Bound, Entry, EntryKind, Limits, ObjectKind, PackError, within};
use flate2::{Decompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// Longest chain of deltas. Git makes none over 4095 (git-pack-objects(1), `--depth`).
pub(crate) const DEPTH_MAX: u32 = 4096;

/// The bytes of a pack.
pub trait ReadAt {
    /// Fills `buffer` with the bytes from `offset` on; `false` where they aren't there.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> bool;
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> bool {
        let from = usize::try_from(offset).ok();
        let part = from.and_then(|from| self.get(from..from.checked_add(buffer.len())?));
        part.inspect(|part| buffer.copy_from_slice(part)).is_some()
    }
}

/// What is spent on undoing deltas at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// Bytes of all objects.
    pub total_bytes: u64,
    /// Bytes of those that are held at a time.
    pub held_bytes: u64,
}

/// An object.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Its name, by its content.
    pub id: ObjectId,
    /// What it is.
    pub kind: ObjectKind,
    /// Where its entry begins in the pack.
    pub offset: u64,
    /// Its content.
    pub content: &'a [u8],
}

/// Shows every object of a pack to `visit`, in no order that means anything.
///
/// # Errors
/// See [`PackError`]; what `visit` saw before means nothing then.
pub fn each(
    pack: &(impl ReadAt + ?Sized),
    entries: &[Entry],
    format: ObjectFormat,
    limits: Limits,
    spend: Spend,
    visit: &mut dyn FnMut(Object<'_>),
) -> Result<(), PackError> {
    let mut objects = Objects::new(format, limits, spend);
    for entry in entries {
        objects.came(pack, entry, visit)?;
    }
    objects.rest(pack, entries, visit)
}

/// The same while a pack comes in: what builds on nothing is shown as soon as it is there, all else at the end.
#[derive(Debug)]
pub struct Objects {
    format: ObjectFormat,
    limits: Limits,
    spend: Spend,
    /// Bytes of those that were shown.
    total: u64,
    /// The names of those that build on nothing, in the pack's order.
    whole: Vec<ObjectId>,
    room: Room,
}

/// What one object after the other is read into: new memory for each would have to be got from the kernel, and cleared.
#[derive(Debug, Default)]
struct Room {
    packed: Vec<u8>,
    content: Vec<u8>,
}

impl Objects {
    /// For a pack of which nothing is there.
    #[must_use]
    pub fn new(format: ObjectFormat, limits: Limits, spend: Spend) -> Self {
        Self {
            format,
            limits,
            spend,
            total: 0,
            whole: Vec::new(),
            room: Room::default(),
        }
    }

    /// Takes the next entry, whose bytes are all there.
    ///
    /// # Errors
    /// As [`each`].
    pub fn came(
        &mut self,
        pack: &(impl ReadAt + ?Sized),
        entry: &Entry,
        visit: &mut dyn FnMut(Object<'_>),
    ) -> Result<(), PackError> {
        if let EntryKind::Whole(kind) = entry.kind {
            let mut room = std::mem::take(&mut self.room);
            let id = self.show(entry, kind, inflate_into(&mut room, pack, entry)?, visit)?;
            self.room = room;
            self.whole.push(id);
        }
        Ok(())
    }

    /// Shows what is left, once all entries came.
    ///
    /// # Errors
    /// As [`each`].
    pub fn rest(
        mut self,
        pack: &(impl ReadAt + ?Sized),
        entries: &[Entry],
        visit: &mut dyn FnMut(Object<'_>),
    ) -> Result<(), PackError> {
        self.room = Room::default();
        let mut waits = Waits::of(entries);
        let mut seen = self.whole.len();
        let mut whole = std::mem::take(&mut self.whole).into_iter();
        for entry in entries {
            let EntryKind::Whole(kind) = entry.kind else {
                continue;
            };
            let id = whole.next().ok_or(PackError::Base)?;
            // Most bases are read once more; the others are done with.
            waits.on(entry, &id, kind, 0, self.spend, || inflate(pack, entry))?;
            while let Some(next) = waits.ready.pop() {
                let change = inflate(pack, next.entry)?;
                let content = delta::apply(&next.base.bytes, &change, self.limits.object_bytes)
                    .map_err(|_| PackError::Entry(next.entry.offset))?;
                seen += 1;
                let id = self.show(next.entry, next.kind, &content, visit)?;
                waits.on(next.entry, &id, next.kind, next.depth, self.spend, || Ok(content))?;
            }
        }
        if seen == entries.len() {
            Ok(())
        } else {
            Err(PackError::Base)
        }
    }

    fn show(
        &mut self,
        entry: &Entry,
        kind: ObjectKind,
        content: &[u8],
        visit: &mut dyn FnMut(Object<'_>),
    ) -> Result<ObjectId, PackError> {
        self.total = self.total.saturating_add(length(content));
        within(Bound::AllBytes, self.total, self.spend.total_bytes)?;
        within(Bound::ObjectBytes, length(content), self.limits.object_bytes)?;
        let id = name(kind, content, self.format);
        visit(Object {
            id,
            kind,
            offset: entry.offset,
            content,
        });
        Ok(id)
    }
}

/// Deltas, and what they wait for.
struct Waits<'a> {
    by_offset: HashMap<u64, Vec<&'a Entry>>,
    by_name: HashMap<[u8; 32], Vec<&'a Entry>>,
    /// Those whose base is there.
    ready: Vec<Ready<'a>>,
    held: Rc<Cell<u64>>,
}

struct Ready<'a> {
    base: Rc<Held>,
    kind: ObjectKind,
    entry: &'a Entry,
    depth: u32,
}

/// A content that deltas wait for; counted as long as one does.
struct Held {
    bytes: Vec<u8>,
    all: Rc<Cell<u64>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.set(self.all.get().saturating_sub(length(&self.bytes)));
    }
}

impl<'a> Waits<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut waits = Self {
            by_offset: HashMap::new(),
            by_name: HashMap::new(),
            ready: Vec::new(),
            held: Rc::default(),
        };
        for entry in entries {
            match entry.kind {
                EntryKind::Whole(_) => {}
                EntryKind::OffsetDelta(base) => waits.by_offset.entry(base).or_default().push(entry),
                EntryKind::RefDelta(base) => waits.by_name.entry(base).or_default().push(entry),
            }
        }
        waits
    }

    /// Makes those ready that build on an object; its content is asked for where there are some.
    fn on(
        &mut self,
        entry: &Entry,
        id: &ObjectId,
        kind: ObjectKind,
        depth: u32,
        spend: Spend,
        content: impl FnOnce() -> Result<Vec<u8>, PackError>,
    ) -> Result<(), PackError> {
        let mut deltas: Vec<&'a Entry> = self.by_offset.remove(&entry.offset).unwrap_or_default();
        deltas.extend(self.by_name.remove(id.padded()).unwrap_or_default());
        if deltas.is_empty() {
            return Ok(());
        }
        within(Bound::Deltas, (depth + 1).into(), DEPTH_MAX.into())?;
        let content = content()?;
        self.held.set(self.held.get().saturating_add(length(&content)));
        let base = Rc::new(Held {
            bytes: content,
            all: Rc::clone(&self.held),
        });
        within(Bound::HeldBytes, self.held.get(), spend.held_bytes)?;
        self.ready.extend(deltas.into_iter().map(|entry| Ready {
            base: Rc::clone(&base),
            kind,
            entry,
            depth: depth + 1,
        }));
        Ok(())
    }
}

/// The name of an object. One that was made to collide with another has a name that nobody else gives it (git dies of such
/// a one: sha1dc in its own build).
#[must_use]
pub fn name(kind: ObjectKind, content: &[u8], format: ObjectFormat) -> ObjectId {
    let head = format!("{} {}\0", kind.word(), content.len());
    match format {
        ObjectFormat::Sha1 => ObjectId::from_bytes(&sha1(head.as_bytes(), content), format),
        ObjectFormat::Sha256 => {
            let hash = Sha256::new().chain_update(head).chain_update(content);
            ObjectId::from_bytes(&hash.finalize(), format)
        }
    }
}

/// SHA-1 as git has it, but for what a collision attack made.
fn sha1(head: &[u8], content: &[u8]) -> [u8; 20] {
    let mut hash = sha1dc::mitigate::Hasher::new();
    hash.update(head);
    hash.update(content);
    let digest = match hash.finalize() {
        Ok(digest) => digest,
        Err(mitigated) => mitigated.digest(),
    };
    digest.into()
}

pub(super) fn inflate(pack: &(impl ReadAt + ?Sized), entry: &Entry) -> Result<Vec<u8>, PackError> {
    let mut room = Room::default();
    let length = inflate_into(&mut room, pack, entry)?.len();
    room.content.truncate(length);
    Ok(room.content)
}

fn inflate_into<'r>(
    room: &'r mut Room,
    pack: &(impl ReadAt + ?Sized),
    entry: &Entry,
) -> Result<&'r [u8], PackError> {
    let wrong = PackError::Entry(entry.offset);
    let packed = usize::try_from(entry.end.saturating_sub(entry.data)).map_err(|_| wrong)?;
    let size = usize::try_from(entry.size).map_err(|_| wrong)?;
    let from = first(&mut room.packed, packed);
    if !pack.read_at(from, entry.data) {
        return Err(wrong);
    }
    // One more than there is: what doesn't end there is another object than was read before.
    let out = first(&mut room.content, size + 1);
    let mut decompress = Decompress::new(true);
    match decompress.decompress(from, out, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) if decompress.total_out() == entry.size => out.get(..size).ok_or(wrong),
        Ok(_) | Err(_) => Err(wrong),
    }
}

/// So many bytes of a buffer, which grows where it has fewer.
fn first(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        // Not what it held before: that would be copied for nothing.
        *buffer = vec![0; length];
    }
    buffer.get_mut(..length).unwrap_or_default()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy from before its own beginning (RFC 1951, section 3.2.5), which would be of what the object before left in memory.
    #[test]
    fn nothing_of_an_object_is_seen_in_the_next() {
        use std::io::Write;
        let mut whole = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        whole.write_all(&[b'A'; 4096]).unwrap();
        let first = whole.finish().unwrap();
        // Three bytes from one before, with the sum that "AAA" has.
        let second = [0x78, 0x9c, 0x03, 0x02, 0x00, 0x01, 0x89, 0x00, 0xc4];
        let packed = [first.as_slice(), &second].concat();
        let entry = |data: usize, end: usize, size| Entry {
            offset: length(&packed[..data]),
            data: length(&packed[..data]),
            end: length(&packed[..end]),
            kind: EntryKind::Whole(ObjectKind::Blob),
            size,
        };
        let limits = Limits {
            pack_bytes: 1 << 20,
            objects: 9,
            object_bytes: 1 << 20,
            inflated_bytes: 1 << 20,
        };
        let spend = Spend {
            total_bytes: 1 << 20,
            held_bytes: 1 << 20,
        };
        let mut objects = Objects::new(ObjectFormat::Sha1, limits, spend);
        let mut seen = Vec::new();
        let mut came = |entry: &Entry| {
            objects.came(packed.as_slice(), entry, &mut |object| {
                seen.push(object.content.to_vec())
            })
        };
        came(&entry(0, first.len(), 4096)).unwrap();
        let bad = entry(first.len(), packed.len(), 3);
        assert_eq!(came(&bad), Err(PackError::Entry(bad.offset)));
        assert_eq!(seen, [[b'A'; 4096]]);
    }

    #[test]
    fn who_collides_has_another_name() {
        // Leurent and Peyrin, "SHA-1 is a Shambles" (2020): the first pair with chosen beginnings.
        let one = include_bytes!("../../tests/git/data/sha-mbles-1.bin");
        let other = include_bytes!("../../tests/git/data/sha-mbles-2.bin");
        let plain = |bytes: &[u8]| <sha1::Sha1 as Digest>::digest(bytes);
        assert_eq!(plain(one), plain(other));
        let (first, second) = (sha1(b"", one), sha1(b"", other));
        assert!(first != second && first != plain(one).as_slice() && second != plain(one).as_slice());
        let (head, rest) = one.split_at(100);
        assert_eq!(sha1(head, rest), first);
        // Everything else has git's.
        assert_eq!(sha1(b"blob 0\0", b"").as_slice(), plain(b"blob 0\0").as_slice());
    }
}
