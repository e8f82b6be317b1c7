//! Where the objects of a pack are, and where it ends (gitformat-pack(5)), while it comes in.
//!
//! The reader takes bytes as they come, inflates each object to find where the next begins, keeps nothing of the contents,
//! and holds the sum at the end against all that came. Counts and sizes in the pack are claims; each is held against what is really there, and against [`Limits`].

use super::object_id::ObjectFormat;
use flate2::{Decompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// What is spent on one pack at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the pack.
    pub pack_bytes: u64,
    /// Objects in it.
    pub objects: u32,
    /// Bytes of one object.
    pub object_bytes: u64,
    /// Bytes of all objects and deltas, inflated.
    pub inflated_bytes: u64,
}

/// An object's place in a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins.
    pub offset: u64,
    /// Where its compressed bytes begin.
    pub data: u64,
    /// Where the next begins.
    pub end: u64,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes, inflated: of the object, or of the delta.
    pub size: u64,
}

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A whole object.
    Whole(ObjectKind),
    /// A change of the entry that begins there.
    OffsetDelta(u64),
    /// A change of the object of that name; only as many bytes count as the format has.
    RefDelta([u8; 32]),
}

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// A tree.
    Tree,
    /// A file's content.
    Blob,
    /// An annotated tag.
    Tag,
}

impl ObjectKind {
    /// Its name in an object's header.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// [`Limits::pack_bytes`].
    PackBytes,
    /// [`Limits::objects`].
    Objects,
    /// [`Limits::object_bytes`].
    ObjectBytes,
    /// [`Limits::inflated_bytes`].
    InflatedBytes,
    /// Of all objects, deltas undone.
    AllBytes,
    /// Of those that deltas wait for.
    HeldBytes,
    /// Deltas on deltas.
    Deltas,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::PackBytes => "bytes of the pack",
            Self::Objects => "objects",
            Self::ObjectBytes => "bytes of an object",
            Self::InflatedBytes => "bytes inflated",
            Self::AllBytes => "bytes of all objects",
            Self::HeldBytes => "bytes held",
            Self::Deltas => "deltas in a chain",
        })
    }
}

/// Why a pack is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PackError {
    /// It begins with something else.
    #[error("it is no pack of version 2")]
    Header,
    /// One of [`Limits`].
    #[error("{what}: more than {most}")]
    Limit {
        /// Of what.
        what: Bound,
        /// The bound.
        most: u64,
    },
    /// An entry's head, its compressed bytes, or its size.
    #[error("the object at byte {0} can't be read")]
    Entry(u64),
    /// A delta's base isn't in it: a thin pack, or a circle.
    #[error("it lacks objects that it builds on")]
    Base,
    /// The sum at its end is another.
    #[error("its checksum is wrong")]
    Checksum,
    /// Something follows it.
    #[error("there are bytes behind its end")]
    Trailing,
    /// It ended before its end.
    #[error("it ends too early")]
    Short,
}

/// Reads a pack as it comes.
pub struct PackReader {
    format: ObjectFormat,
    limits: Limits,
    hash: Hash,
    /// Bytes read so far.
    at: u64,
    objects: u32,
    entries: Vec<Entry>,
    inflated: u64,
    state: State,
    inflate: Decompress,
}

enum State {
    /// Bytes of the head, up to 12.
    Header(Vec<u8>),
    /// Bytes of an entry's head, and where it begins.
    Head(Vec<u8>, u64),
    /// Within an entry's compressed bytes; how many came out of them.
    Data(Entry, u64),
    /// Bytes of the sum at the end.
    Trailer(Vec<u8>),
    Done,
}

/// The sum over a pack.
pub(super) enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hash {
    /// Of nothing yet.
    pub(super) fn new(format: ObjectFormat) -> Self {
        match format {
            ObjectFormat::Sha1 => Self::Sha1(Sha1::new()),
            ObjectFormat::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(super) fn fits(&self, sum: &[u8]) -> bool {
        match self {
            Self::Sha1(hash) => hash.clone().finalize().as_slice() == sum,
            Self::Sha256(hash) => hash.clone().finalize().as_slice() == sum,
        }
    }
}

const HEADER: usize = 12;
/// Longest head of an entry: a size of 64 bits, and a base's name or offset.
pub(crate) const HEAD_MAX: usize = 10 + 32;
/// Where bytes are inflated to, to be forgotten.
const SCRATCH: usize = 16 << 10;

impl PackReader {
    /// For a repository whose objects are named so.
    #[must_use]
    pub fn new(format: ObjectFormat, limits: Limits) -> Self {
        Self {
            format,
            limits,
            hash: Hash::new(format),
            at: 0,
            objects: 0,
            entries: Vec::new(),
            inflated: 0,
            state: State::Header(Vec::new()),
            inflate: Decompress::new(true),
        }
    }

    /// Takes the next bytes; tells how many of them belong to the pack. Fewer than all only at its end.
    ///
    /// # Errors
    /// See [`PackError`].
    pub fn accept(&mut self, bytes: &[u8]) -> Result<usize, PackError> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let state = std::mem::replace(&mut self.state, State::Done);
            if matches!(state, State::Done) {
                break;
            }
            let is_trailer = matches!(state, State::Trailer(_));
            let (count, next) = self.step(state, rest)?;
            if !is_trailer {
                self.hash.update(rest.get(..count).unwrap_or_default());
            }
            self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            within(Bound::PackBytes, self.at, self.limits.pack_bytes)?;
            taken += count;
            self.state = next;
            self.settle()?;
        }
        Ok(taken)
    }

    /// The objects that are whole, in their order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The objects of a pack that has ended, in their order.
    ///
    /// # Errors
    /// [`PackError::Short`].
    pub fn finish(self) -> Result<Vec<Entry>, PackError> {
        match self.state {
            State::Done => Ok(self.entries),
            State::Header(_) | State::Head(..) | State::Data(..) | State::Trailer(_) => Err(PackError::Short),
        }
    }

    /// Takes what the state needs of `rest`, one byte at least.
    fn step(&mut self, state: State, rest: &[u8]) -> Result<(usize, State), PackError> {
        match state {
            State::Header(mut head) => {
                let count = fill(&mut head, rest, HEADER);
                Ok((count, State::Header(head)))
            }
            State::Trailer(mut sum) => {
                let count = fill(&mut sum, rest, self.format.digits() / 2);
                Ok((count, State::Trailer(sum)))
            }
            State::Head(mut head, offset) => {
                // A byte at a time: where the head ends is known when its last byte is there.
                let wanted = head.len() + 1;
                let count = fill(&mut head, rest, wanted);
                if head.len() > HEAD_MAX {
                    return Err(PackError::Entry(offset));
                }
                Ok((count, State::Head(head, offset)))
            }
            State::Data(entry, out) => self.inflate(entry, out, rest),
            State::Done => Ok((0, State::Done)),
        }
    }

    /// Goes on where a state has all that it needs.
    fn settle(&mut self) -> Result<(), PackError> {
        match &self.state {
            State::Header(head) if head.len() == HEADER => {
                let (Some(b"PACK\0\0\0\x02"), Some(count)) =
                    (head.first_chunk::<8>(), head.last_chunk::<4>())
                else {
                    return Err(PackError::Header);
                };
                self.objects = u32::from_be_bytes(*count);
                within(Bound::Objects, self.objects.into(), self.limits.objects.into())?;
                self.state = self.next();
            }
            State::Head(head, offset) => {
                if let Some((kind, size)) = read_head(head, *offset, self.format)? {
                    within(Bound::ObjectBytes, size, self.limits.object_bytes)?;
                    self.inflate.reset(true);
                    self.state = State::Data(
                        Entry {
                            offset: *offset,
                            data: self.at,
                            end: self.at,
                            kind,
                            size,
                        },
                        0,
                    );
                }
            }
            State::Trailer(sum) if sum.len() == self.format.digits() / 2 => {
                if !self.hash.fits(sum) {
                    return Err(PackError::Checksum);
                }
                self.state = State::Done;
            }
            State::Header(_) | State::Data(..) | State::Trailer(_) | State::Done => {}
        }
        Ok(())
    }

    fn inflate(&mut self, mut entry: Entry, mut out: u64, rest: &[u8]) -> Result<(usize, State), PackError> {
        let mut scratch = [0; SCRATCH];
        let mut used = 0;
        loop {
            let input = rest.get(used..).unwrap_or_default();
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, &mut scratch, FlushDecompress::None)
                .map_err(|_| PackError::Entry(entry.offset))?;
            let took = self.inflate.total_in() - before_in;
            let gave = self.inflate.total_out() - before_out;
            used += usize::try_from(took).unwrap_or(usize::MAX);
            out += gave;
            self.inflated += gave;
            within(Bound::InflatedBytes, self.inflated, self.limits.inflated_bytes)?;
            if out > entry.size {
                return Err(PackError::Entry(entry.offset));
            }
            match status {
                Status::StreamEnd if out == entry.size => {
                    entry.end = self.at + u64::try_from(used).unwrap_or(u64::MAX);
                    self.entries.push(entry);
                    return Ok((used, self.next()));
                }
                Status::StreamEnd => return Err(PackError::Entry(entry.offset)),
                // All that came is used, and there was room for more.
                Status::Ok | Status::BufError if used == rest.len() && gave < SCRATCH as u64 => {
                    return Ok((used, State::Data(entry, out)));
                }
                Status::Ok => {}
                Status::BufError if took == 0 && gave == 0 => return Err(PackError::Entry(entry.offset)),
                Status::BufError => {}
            }
        }
    }

    /// What comes after what was read; `at` may not count it yet.
    fn next(&self) -> State {
        let read = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        if read >= self.objects {
            return State::Trailer(Vec::new());
        }
        let offset = self.entries.last().map_or(HEADER as u64, |entry| entry.end);
        State::Head(Vec::new(), offset)
    }
}

/// Holds a value against its bound.
pub(crate) fn within(what: Bound, value: u64, most: u64) -> Result<(), PackError> {
    if value > most {
        return Err(PackError::Limit { what, most });
    }
    Ok(())
}

/// Takes from `rest` until `into` has that many bytes.
fn fill(into: &mut Vec<u8>, rest: &[u8], wanted: usize) -> usize {
    let count = wanted.saturating_sub(into.len()).min(rest.len());
    into.extend_from_slice(rest.get(..count).unwrap_or_default());
    count
}

/// An entry's head; `None` while it isn't whole.
pub(crate) fn read_head(
    head: &[u8],
    offset: u64,
    format: ObjectFormat,
) -> Result<Option<(EntryKind, u64)>, PackError> {
    let wrong = PackError::Entry(offset);
    let Some((first, rest)) = head.split_first() else {
        return Ok(None);
    };
    let (mut size, mut shift, mut more) = (u64::from(first & 0x0f), 4_u32, first & 0x80 != 0);
    let mut rest = rest.iter();
    while more {
        let Some(byte) = rest.next() else {
            return Ok(None);
        };
        // 4 bits and nine times 7: more would not fit 64.
        if shift > 60 {
            return Err(wrong);
        }
        size |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        more = byte & 0x80 != 0;
    }
    let whole = |kind| Ok(Some((EntryKind::Whole(kind), size)));
    match first >> 4 & 7 {
        1 => whole(ObjectKind::Commit),
        2 => whole(ObjectKind::Tree),
        3 => whole(ObjectKind::Blob),
        4 => whole(ObjectKind::Tag),
        6 => {
            let Some(byte) = rest.next() else {
                return Ok(None);
            };
            let (mut back, mut more) = (u64::from(byte & 0x7f), byte & 0x80 != 0);
            while more {
                let Some(byte) = rest.next() else {
                    return Ok(None);
                };
                back = back
                    .checked_add(1)
                    .and_then(|back| back.checked_mul(128))
                    .ok_or(wrong)?
                    | u64::from(byte & 0x7f);
                more = byte & 0x80 != 0;
            }
            match offset.checked_sub(back) {
                Some(base) if back > 0 => Ok(Some((EntryKind::OffsetDelta(base), size))),
                Some(_) | None => Err(wrong),
            }
        }
        7 => {
            let name = rest.as_slice();
            if name.len() < format.digits() / 2 {
                return Ok(None);
            }
            let mut base = [0; 32];
            for (to, from) in base.iter_mut().zip(name) {
                *to = *from;
            }
            Ok(Some((EntryKind::RefDelta(base), size)))
        }
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    const WIDE: Limits = Limits {
        pack_bytes: 1 << 20,
        objects: 1000,
        object_bytes: 1 << 20,
        inflated_bytes: 1 << 22,
    };

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn head(kind: u8, size: usize) -> Vec<u8> {
        let mut out = vec![kind << 4 | u8::try_from(size & 0x0f).unwrap()];
        let mut rest = size >> 4;
        while rest > 0 {
            *out.last_mut().unwrap() |= 0x80;
            out.push(u8::try_from(rest & 0x7f).unwrap());
            rest >>= 7;
        }
        out
    }

    /// A pack of entries: kind, what stands between head and data, and the content.
    fn pack(count: u32, entries: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
        let mut out = b"PACK\0\0\0\x02".to_vec();
        out.extend_from_slice(&count.to_be_bytes());
        for (kind, base, content) in entries {
            out.extend_from_slice(&head(*kind, content.len()));
            out.extend_from_slice(base);
            out.extend_from_slice(&deflated(content));
        }
        let sum = Sha1::digest(&out);
        out.extend_from_slice(&sum);
        out
    }

    fn read(bytes: &[u8], at_once: usize, limits: Limits) -> Result<(usize, Vec<Entry>), PackError> {
        let mut reader = PackReader::new(ObjectFormat::Sha1, limits);
        let mut taken = 0;
        for part in bytes.chunks(at_once) {
            taken += reader.accept(part)?;
        }
        reader.finish().map(|entries| (taken, entries))
    }

    #[test]
    fn the_end_is_found_however_it_comes() {
        let large = vec![b'x'; 100_000];
        let bytes = pack(3, &[(3, b"", b"hello"), (1, b"", &large), (3, b"", b"")]);
        let mut more = bytes.clone();
        more.extend_from_slice(b"0000 and more");
        for at_once in [1, 7, 4096, more.len()] {
            let (taken, entries) = read(&more, at_once, WIDE).unwrap();
            assert_eq!((taken, entries.len()), (bytes.len(), 3));
            assert_eq!(entries[1].size, 100_000);
            assert_eq!(entries[1].kind, EntryKind::Whole(ObjectKind::Commit));
            assert_eq!((entries[0].offset, entries[0].end), (12, entries[1].offset));
            assert_eq!(entries[2].end, bytes.len() as u64 - 20);
        }
        assert_eq!(read(&pack(0, &[]), 1, WIDE).unwrap().1, []);
    }

    #[test]
    fn deltas_know_their_bases() {
        let bytes = pack(3, &[(3, b"", b"hello"), (6, &[14], b"d"), (7, &[9; 20], b"d")]);
        let (_, entries) = read(&bytes, 5, WIDE).unwrap();
        let EntryKind::OffsetDelta(base) = entries[1].kind else {
            panic!()
        };
        assert_eq!(base, entries[1].offset - 14);
        let EntryKind::RefDelta(base) = entries[2].kind else {
            panic!()
        };
        assert_eq!(base[..20], [9; 20]);
    }

    #[test]
    fn lies() {
        let good = pack(1, &[(3, b"", b"hello")]);
        for (at, byte) in [
            (0, b'Q'),
            (7, 3),
            (11, 2),
            (12, 0x35 | 0x80),
            (12, 0x36),
            (12, 0x34),
        ] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert!(read(&bytes, 64, WIDE).is_err(), "{at} {byte}");
        }
        let mut bytes = good.clone();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(read(&bytes, 64, WIDE), Err(PackError::Checksum));
        assert_eq!(read(&good[..good.len() - 1], 64, WIDE), Err(PackError::Short));
        for (kind, base) in [(0, &b""[..]), (5, b""), (6, &[13]), (6, &[0]), (6, &[0xff; 12])] {
            let bytes = pack(1, &[(kind, base, b"x")]);
            assert!(read(&bytes, 64, WIDE).is_err(), "{kind}");
        }
    }

    #[test]
    fn p51_limits_bite_before_the_work_is_done() {
        let bomb = vec![0; 1 << 20];
        let bytes = pack(1, &[(3, b"", &bomb)]);
        let limited = |change: fn(&mut Limits)| {
            let mut limits = WIDE;
            change(&mut limits);
            read(&bytes, 64, limits)
        };
        assert!(limited(|_| ()).is_ok());
        for change in [
            (|limits| limits.pack_bytes = 1000) as fn(&mut Limits),
            |limits| limits.object_bytes = 1000,
            |limits| limits.inflated_bytes = 1000,
            |limits| limits.objects = 0,
        ] {
            assert!(matches!(limited(change), Err(PackError::Limit { .. })));
        }
        // A size that is a lie is no way to more.
        let mut lie = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
        lie.extend_from_slice(&head(3, 10));
        lie.extend_from_slice(&deflated(&bomb));
        assert_eq!(read(&lie, 64, WIDE), Err(PackError::Entry(12)));
        // Nor is a count.
        let many = pack(0x8000_0000, &[]);
        assert!(matches!(read(&many, 64, WIDE), Err(PackError::Limit { .. })));
    }
}
