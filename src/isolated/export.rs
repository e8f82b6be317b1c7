//! The process that reads what an agent's git directory holds: it looks up what the host lacks, and writes that as a pack.
//!
//! Whoever is inside can plant anything among these objects: packs and indices that lead anywhere, links, pipes, files
//! that shrink while they are read. So they are read by a process of its own, confined as the one that looks into pushes
//! ([`crate::gitcheck`]): it holds nothing but the directories of objects and a pipe, can open nothing else, and ends with
//! its one task. It is this program, started again. What it writes isn't believed either: git outside reads the pack as it reads one from any server, and names each object by its
//! content.
//!
//! An object that the host has is whole there, with all that it leads to: that is what git itself rests on. So the walk
//! ends at those. Each content that is read is held against its name; what doesn't fit, or isn't there, makes the whole
//! group that wanted it incomplete, and no other one.

use crate::git::check::Store;
use crate::git::commit::{Commit, tagged};
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::objects::name;
use crate::git::pack::ObjectKind;
use crate::git::tree::{EntryMode, entries};
use crate::gitcheck::{Stores, confine};
use crate::launch::Channel;
use flate2::{Compression, write::ZlibEncoder};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

/// The name that makes this program this process.
pub(crate) const EXPORT_WORD: &str = "aca-git-export";

/// Most bytes of one object.
const OBJECT_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a wanted object in the list: its name, filled up, the number of its group, and what it has to be.
const RECORD: usize = 37;
/// Set in the number of a group that is left out because there is no room for it.
pub(super) const NO_ROOM: u32 = 1 << 31;

/// What is wanted; it comes on standard input. Along come the list in a memory file, the directory of the private objects,
/// and those of the host's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// Whether names have 64 digits.
    pub(super) sha256: bool,
    /// Bytes of the list.
    pub(super) length: u64,
    /// Most objects that may come, and most bytes of their contents.
    pub(super) room: Room,
}

/// How much may still come to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Room {
    /// Objects.
    pub(super) objects: u32,
    /// Bytes of their contents, before they are compressed.
    pub(super) bytes: u64,
}

impl Room {
    /// What one session may bring: more than the history of the largest known repositories' recent years, and less than a
    /// disk.
    pub(super) const OF_A_SESSION: Self = Self {
        objects: 3_000_000,
        bytes: 16 << 30,
    };

    /// Without what came.
    pub(super) const fn less(self, objects: u32, bytes: u64) -> Self {
        Self {
            objects: self.objects.saturating_sub(objects),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }
}

/// What a wanted object has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Anything that a tag may be put on.
    Any,
    /// A branch's.
    Commit,
    /// A file's content.
    Blob,
}

impl Expected {
    const fn byte(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Commit => 1,
            Self::Blob => 2,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Commit,
            2 => Self::Blob,
            _ => Self::Any,
        }
    }

    const fn takes(self, kind: ObjectKind) -> bool {
        match self {
            Self::Any => true,
            Self::Commit => matches!(kind, ObjectKind::Commit),
            Self::Blob => matches!(kind, ObjectKind::Blob),
        }
    }
}

/// The list of what is wanted; what belongs to one group stands together.
pub(super) fn list(wanted: impl Iterator<Item = (ObjectId, Expected, u32)>) -> Vec<u8> {
    let mut list = Vec::new();
    for (id, expected, group) in wanted {
        list.extend_from_slice(id.padded());
        list.extend_from_slice(&group.to_le_bytes());
        list.push(expected.byte());
    }
    list
}

/// The process. On standard output come, as numbers of four bytes with the lowest first, how many groups aren't whole,
/// which (with [`NO_ROOM`] where that is the reason), how many KiB the contents come to, and how many objects the pack has;
/// behind them the pack, if it has any.
pub(crate) fn export_main() -> ExitCode {
    match export() {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::from(1),
    }
}

fn export() -> Option<()> {
    let channel = Channel::from_descriptor(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
    let (wanted, descriptors): (Wanted, _) = channel.receive().ok()?;
    drop(channel);
    let mut descriptors = descriptors.into_iter();
    let list = descriptors.next()?;
    let directories: Vec<OwnedFd> = descriptors.collect();
    confine(&directories).ok()?;
    let mut directories = directories.into_iter();
    let private = vec![directories.next()?];
    let format = if wanted.sha256 {
        ObjectFormat::Sha256
    } else {
        ObjectFormat::Sha1
    };
    let mut walk = Walk {
        format,
        private: Stores::new(private, format, OBJECT_BYTES_MAX),
        host: Stores::new(directories.collect(), format, OBJECT_BYTES_MAX),
        seen: HashSet::new(),
        found: Vec::new(),
        bytes: 0,
        room: wanted.room,
        is_full: false,
    };
    let tips = tips(&list, wanted.length, format)?;
    let mut incomplete = Vec::new();
    for group in tips.chunk_by(|one, other| one.group == other.group) {
        if !walk.group(group) {
            let number = group.first()?.group;
            incomplete.push(if walk.is_full { number | NO_ROOM } else { number });
        }
    }
    let mut out = BufWriter::with_capacity(1 << 16, Output);
    let count = u32::try_from(walk.found.len()).ok()?;
    let kibibytes = u32::try_from(walk.bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let head = std::iter::once(u32::try_from(incomplete.len()).ok()?)
        .chain(incomplete)
        .chain([kibibytes, count]);
    for number in head {
        out.write_all(&number.to_le_bytes()).ok()?;
    }
    out.flush().ok()?;
    if count > 0 {
        walk.write(out)?;
    }
    Some(())
}

/// One that is wanted.
struct Tip {
    id: ObjectId,
    group: u32,
    expected: Expected,
}

/// The supervisor's own list.
fn tips(list: &OwnedFd, length: u64, format: ObjectFormat) -> Option<Vec<Tip>> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(list, rest, u64::try_from(read).ok()?).ok()? {
            0 => return None,
            count => read += count,
        }
    }
    let (records, _) = bytes.as_chunks::<RECORD>();
    let tip = |record: &[u8; RECORD]| {
        let (expected, rest) = record.split_last()?;
        let (name, group) = rest.split_last_chunk::<4>()?;
        let name = name.get(..format.digits() / 2)?;
        Some(Tip {
            id: ObjectId::from_bytes(name, format),
            group: u32::from_le_bytes(*group),
            expected: Expected::from_byte(*expected),
        })
    };
    records.iter().map(tip).collect()
}

/// Standard output by its number: the process may write to no other.
struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| {
            rustix::io::write(std::io::stdout().as_fd(), bytes)
        })?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Walk {
    format: ObjectFormat,
    private: Stores,
    host: Stores,
    seen: HashSet<ObjectId>,
    found: Vec<(ObjectId, ObjectKind)>,
    bytes: u64,
    room: Room,
    /// There was no room for the group that was looked up last.
    is_full: bool,
}

impl Walk {
    /// Looks up all that a group leads to; false where something isn't there, and then nothing of it is kept.
    fn group(&mut self, tips: &[Tip]) -> bool {
        let (begun, bytes) = (self.found.len(), self.bytes);
        self.is_full = false;
        let mut here: Vec<ObjectId> = Vec::new();
        let mut waiting: Vec<ObjectId> = tips.iter().map(|tip| tip.id).collect();
        let whole =
            self.all(&mut waiting, &mut here).is_some() && tips.iter().all(|tip| self.is_as_expected(tip));
        if !whole {
            self.found.truncate(begun);
            self.bytes = bytes;
            for id in here {
                self.seen.remove(&id);
            }
        }
        whole
    }

    /// An index that names a directory's object as a file's is one that git stumbles over.
    fn is_as_expected(&mut self, tip: &Tip) -> bool {
        if tip.expected == Expected::Any {
            return true;
        }
        let kind = self.host.kind(&tip.id).or_else(|| self.private.kind(&tip.id));
        kind.is_some_and(|kind| tip.expected.takes(kind))
    }

    fn all(&mut self, waiting: &mut Vec<ObjectId>, here: &mut Vec<ObjectId>) -> Option<()> {
        while let Some(id) = waiting.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            here.push(id);
            if self.host.has(&id) {
                continue;
            }
            let (kind, content) = self.get(&id)?;
            let length = u64::try_from(content.len()).ok()?;
            self.bytes = self.bytes.saturating_add(length);
            let count = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
            if count >= self.room.objects || self.bytes > self.room.bytes {
                self.is_full = true;
                return None;
            }
            match kind {
                ObjectKind::Commit => {
                    let commit = Commit::parse(&content, self.format)?;
                    waiting.push(commit.tree);
                    waiting.extend(commit.parents);
                }
                ObjectKind::Tree => {
                    let inner = entries(&content, self.format)?;
                    let own = inner.iter().filter(|entry| entry.kind != EntryMode::Submodule);
                    waiting.extend(own.map(|entry| entry.id));
                }
                ObjectKind::Tag => waiting.push(tagged(&content, self.format)?),
                ObjectKind::Blob => {}
            }
            self.found.push((id, kind));
        }
        Some(())
    }

    /// The private object of that name; `None` where there is none, or what is there is another.
    fn get(&mut self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)> {
        let (kind, content) = self.private.get(id)?;
        (name(kind, &content, self.format) == *id).then_some((kind, content))
    }

    /// Writes the pack (gitformat-pack(5)); what is read is held against its name once more.
    fn write(&mut self, out: impl Write) -> Option<()> {
        let mut out = Hashing {
            out,
            sha1: Sha1::new(),
            sha256: Sha256::new(),
            format: self.format,
        };
        out.write_all(b"PACK\0\0\0\x02").ok()?;
        let count = u32::try_from(self.found.len()).ok()?;
        out.write_all(&count.to_be_bytes()).ok()?;
        for (id, kind) in std::mem::take(&mut self.found) {
            let (found, content) = self.get(&id)?;
            if found != kind {
                return None;
            }
            out.write_all(&head(kind, content.len())).ok()?;
            let mut packed = ZlibEncoder::new(&mut out, Compression::fast());
            packed.write_all(&content).ok()?;
            packed.finish().ok()?;
        }
        out.finish().ok()
    }
}

/// An object's kind and size as they stand before it.
fn head(kind: ObjectKind, size: usize) -> Vec<u8> {
    let number: u8 = match kind {
        ObjectKind::Commit => 1,
        ObjectKind::Tree => 2,
        ObjectKind::Blob => 3,
        ObjectKind::Tag => 4,
    };
    let low = |value: usize, bits: u32| u8::try_from(value & ((1 << bits) - 1)).unwrap_or_default();
    let mut bytes = vec![number << 4 | low(size, 4)];
    let mut rest = size >> 4;
    while rest > 0 {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(low(rest, 7));
        rest >>= 7;
    }
    bytes
}

struct Hashing<W> {
    out: W,
    sha1: Sha1,
    sha256: Sha256,
    format: ObjectFormat,
}

impl<W: Write> Hashing<W> {
    fn finish(mut self) -> std::io::Result<()> {
        match self.format {
            ObjectFormat::Sha1 => self.out.write_all(&self.sha1.finalize())?,
            ObjectFormat::Sha256 => self.out.write_all(&self.sha256.finalize())?,
        }
        self.out.flush()
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write_all(bytes)?;
        match self.format {
            ObjectFormat::Sha1 => self.sha1.update(bytes),
            ObjectFormat::Sha256 => self.sha256.update(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::beneath::open_root;
    use std::process::Command;

    const SHA1: ObjectFormat = ObjectFormat::Sha1;

    /// Of a repository with one commit of one file, in one directory, and an empty one beside it: the walk, the commit, its
    /// tree and its file.
    fn walk(folder: &std::path::Path, room: Room) -> (Walk, [ObjectId; 3]) {
        let git = |words: &[&str]| {
            let mut command = Command::new("git");
            let given = ["-c", "user.name=A", "-c", "user.email=a@test"];
            let output = command
                .current_dir(folder)
                .args(given)
                .args(words)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        if folder.join(".git").symlink_metadata().is_err() {
            git(&["init", "-q", "."]);
            git(&["init", "-q", "--bare", "empty"]);
            std::fs::write(folder.join("f"), "content").unwrap();
            git(&["add", "f"]);
            git(&["commit", "-q", "-m", "x"]);
        }
        let ids = ["HEAD", "HEAD^{tree}", "HEAD:f"]
            .map(|name| ObjectId::parse(git(&["rev-parse", name]).as_bytes(), SHA1).unwrap());
        let stores = |name: &str| {
            let directory = open_root(&folder.join(name)).unwrap();
            Stores::new(vec![directory], SHA1, OBJECT_BYTES_MAX)
        };
        let walk = Walk {
            format: SHA1,
            private: stores(".git/objects"),
            host: stores("empty/objects"),
            seen: HashSet::new(),
            found: Vec::new(),
            bytes: 0,
            room,
            is_full: false,
        };
        (walk, ids)
    }

    fn tip(id: ObjectId, expected: Expected) -> [Tip; 1] {
        [Tip {
            id,
            group: 0,
            expected,
        }]
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::OF_A_SESSION;
        let (mut all, [commit, _, file]) = walk(folder.path(), room);
        assert!(all.group(&tip(commit, Expected::Commit)));
        assert_eq!((all.found.len(), all.is_full), (3, false));
        for small in [Room { objects: 2, ..room }, Room { bytes: 50, ..room }] {
            let (mut walk, _) = walk(folder.path(), small);
            assert!(!walk.group(&tip(commit, Expected::Commit)));
            assert_eq!((walk.found.len(), walk.bytes, walk.is_full), (0, 0, true));
            // What comes after it and is small comes.
            assert!(walk.group(&tip(file, Expected::Blob)));
            assert!(!walk.is_full);
        }
    }

    #[test]
    fn each_is_of_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let (_, [commit, tree, file]) = walk(folder.path(), Room::OF_A_SESSION);
        for (id, expected, good) in [
            (commit, Expected::Commit, true),
            (file, Expected::Blob, true),
            (tree, Expected::Any, true),
            (tree, Expected::Blob, false),
            (commit, Expected::Blob, false),
            (file, Expected::Commit, false),
        ] {
            let (mut inside, _) = walk(folder.path(), Room::OF_A_SESSION);
            assert_eq!(inside.group(&tip(id, expected)), good, "{expected:?}");
            assert_eq!(inside.found.is_empty(), !good);
            // The host's are looked at, too.
            std::mem::swap(&mut inside.host, &mut inside.private);
            inside.seen.clear();
            assert_eq!(inside.group(&tip(id, expected)), good, "{expected:?} outside");
        }
    }
}
