//! The index (gitformat-index(5)): read strictly, and written anew.
//!
//! An index names paths that git writes to and reads from, so each is looked at as if it were hostile: none leads into
//! git's own directory or out of the work tree, none is both a file and a directory, they are in order and none comes
//! twice. Extensions are left out, but for those that change what the entries mean: then it isn't read at all.

use super::object_id::{ObjectFormat, ObjectId};
use super::tree::is_name;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::HashMap;

/// Most entries. The largest known repositories have about four million files, and use a sparse index for that.
const ENTRIES_MAX: u32 = 4_000_000;
/// Longest path (`PATH_MAX` of Linux).
const PATH_MAX: usize = 4096;
/// Most bytes of all paths: so many, and no more than so often what the file has. Version 4 writes of each path what it
/// doesn't share with the one before it, so that a file of 256 MiB could stand for 16 GiB of them.
const PATHS_BYTES_MAX: usize = 512 << 20;
const PATHS_TIMES_MAX: usize = 16;
/// Flags: the stage, the bit for paths that are taken as unchanged, the one for more flags.
const STAGE: u16 = 0x3000;
const ASSUMED: u16 = 0x8000;
const EXTENDED: u16 = 0x4000;
/// More flags: not in the work tree; meant to be added.
const SKIPPED: u16 = 0x4000;
const INTENDED: u16 = 0x2000;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A file.
    File,
    /// A file that can be executed.
    Executable,
    /// A symbolic link.
    Link,
    /// A submodule's commit.
    Submodule,
}

impl Mode {
    const fn number(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Link => 0o120_000,
            Self::Submodule => 0o160_000,
        }
    }

    const fn from_number(number: u32) -> Option<Self> {
        match number {
            0o100_644 => Some(Self::File),
            0o100_755 => Some(Self::Executable),
            0o120_000 => Some(Self::Link),
            0o160_000 => Some(Self::Submodule),
            _ => None,
        }
    }
}

/// What git remembers of a file to see whether it changed; all zero is nothing.
pub type Stat = [u8; 36];

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, relative to the work tree.
    pub path: Vec<u8>,
    /// 0, or 1 to 3 for the sides of a merge.
    pub stage: u8,
    /// What it is.
    pub mode: Mode,
    /// Its content.
    pub id: ObjectId,
    /// What is known of the file.
    pub stat: Stat,
    /// Git takes it as unchanged (`--assume-unchanged`).
    pub assumed: bool,
    /// Git leaves it out of the work tree (`--skip-worktree`).
    pub skipped: bool,
    /// It is only meant to be added (`git add -N`).
    pub intended: bool,
}

impl Entry {
    /// When its file was changed last, as far as is known, in seconds since 1970.
    fn changed(&self) -> i64 {
        let seconds = self.stat.get(8..).and_then(<[u8]>::first_chunk);
        seconds.map_or(0, |seconds| i64::from(u32::from_be_bytes(*seconds)))
    }
}

/// Why an index isn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It isn't one.
    #[error("it is no index")]
    Malformed,
    /// A path that none may have.
    #[error("it names a path that no file of the work tree can have")]
    Path,
    /// Not in order, or one twice.
    #[error("its paths are out of order")]
    Order,
    /// A directory in place of its files.
    #[error("it is a sparse index")]
    Sparse,
    /// An extension that changes what the entries mean.
    #[error("it is split, or has another extension that can't be left out")]
    Extension,
    /// Too much.
    #[error("it has more than {ENTRIES_MAX} entries, or its paths are too long")]
    TooMany,
    /// Its hash isn't that of its content.
    #[error("its hash is another's")]
    Hash,
}

/// Reads one.
///
/// # Errors
/// See [`IndexError`].
pub fn read(bytes: &[u8], format: ObjectFormat) -> Result<Vec<Entry>, IndexError> {
    let digits = format.digits() / 2;
    let split = bytes.len().checked_sub(digits).ok_or(IndexError::Malformed)?;
    let (content, sum) = bytes.split_at_checked(split).ok_or(IndexError::Malformed)?;
    // `index.skipHash` leaves it zero.
    if sum.iter().any(|byte| *byte != 0) && sum != hash(content, format) {
        return Err(IndexError::Hash);
    }
    let mut reader = Reader { rest: content };
    if reader.take(4)? != b"DIRC" {
        return Err(IndexError::Malformed);
    }
    let version = reader.number()?;
    if !(2..=4).contains(&version) {
        return Err(IndexError::Malformed);
    }
    let count = reader.number()?;
    if count > ENTRIES_MAX {
        return Err(IndexError::TooMany);
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut room = bytes.len().saturating_mul(PATHS_TIMES_MAX).min(PATHS_BYTES_MAX);
    for _ in 0..count {
        let before = entries.last().map_or(&[][..], |entry| entry.path.as_slice());
        let entry = reader.entry(version, before, format)?;
        check_path(&entry.path)?;
        room = room.checked_sub(entry.path.len()).ok_or(IndexError::TooMany)?;
        if let Some(last) = entries.last()
            && (&last.path, last.stage) >= (&entry.path, entry.stage)
        {
            return Err(IndexError::Order);
        }
        entries.push(entry);
    }
    while !reader.rest.is_empty() {
        let name = reader.take(4)?;
        let length = usize::try_from(reader.number()?).map_err(|_| IndexError::Malformed)?;
        // A capital is one that may be left out.
        if !name.first().is_some_and(u8::is_ascii_uppercase) {
            return Err(if name == b"sdir" {
                IndexError::Sparse
            } else {
                IndexError::Extension
            });
        }
        reader.take(length)?;
    }
    check_directories(&entries)?;
    Ok(entries)
}

fn check_path(path: &[u8]) -> Result<(), IndexError> {
    let good = !path.is_empty() && path.len() <= PATH_MAX && path.split(|byte| *byte == b'/').all(is_name);
    good.then_some(()).ok_or(IndexError::Path)
}

/// No path is another one's directory. They are in order, so that all that begin with one come next after it: those that
/// the path at hand begins with are kept, and nothing else is looked up.
fn check_directories(entries: &[Entry]) -> Result<(), IndexError> {
    let mut above: Vec<&[u8]> = Vec::new();
    for entry in entries {
        while above.pop_if(|outer| !entry.path.starts_with(outer)).is_some() {}
        let is_in = |outer: &&[u8]| entry.path.get(outer.len()) == Some(&b'/');
        if entry.stage == 0 && above.iter().any(is_in) {
            return Err(IndexError::Order);
        }
        above.push(&entry.path);
    }
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(IndexError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, IndexError> {
        let (number, rest) = self.rest.split_first_chunk().ok_or(IndexError::Malformed)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn flags(&mut self) -> Result<u16, IndexError> {
        let (number, rest) = self.rest.split_first_chunk().ok_or(IndexError::Malformed)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*number))
    }

    /// How many bytes of the path before are cut off (version 4): as offsets in packs.
    fn cut(&mut self) -> Result<usize, IndexError> {
        let mut value = 0_usize;
        for turn in 0..4 {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            if turn > 0 {
                value += 1;
            }
            value = (value << 7) | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(IndexError::Malformed)
    }

    fn entry(&mut self, version: u32, before: &[u8], format: ObjectFormat) -> Result<Entry, IndexError> {
        let start = self.rest.len();
        let mut stat = [0; 36];
        let (times, rest) = stat.split_at_mut(24);
        times.copy_from_slice(self.take(24)?);
        let mode = self.number()?;
        rest.copy_from_slice(self.take(12)?);
        let id = ObjectId::from_bytes(self.take(format.digits() / 2)?, format);
        let flags = self.flags()?;
        let more = if flags & EXTENDED == 0 {
            0
        } else if version >= 3 {
            self.flags()?
        } else {
            return Err(IndexError::Malformed);
        };
        if mode == 0o040_000 {
            return Err(IndexError::Sparse);
        }
        let mode = Mode::from_number(mode).ok_or(IndexError::Malformed)?;
        let mut path = Vec::new();
        if version == 4 {
            let kept = before
                .len()
                .checked_sub(self.cut()?)
                .ok_or(IndexError::Malformed)?;
            path.extend_from_slice(before.get(..kept).unwrap_or_default());
        }
        // The longest path and what ends it.
        let window = self
            .rest
            .get(..(PATH_MAX + 1).min(self.rest.len()))
            .unwrap_or_default();
        let end = window
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(IndexError::Path)?;
        path.extend_from_slice(self.take(end)?);
        if version == 4 {
            self.take(1)?;
        } else {
            let written = start - self.rest.len();
            self.take(8 - written % 8)?;
        }
        Ok(Entry {
            path,
            stage: u8::try_from((flags & STAGE) >> 12).unwrap_or_default(),
            mode,
            id,
            stat,
            assumed: flags & ASSUMED != 0,
            skipped: more & SKIPPED != 0,
            intended: more & INTENDED != 0,
        })
    }
}

/// Writes one: version 2, or 3 where an entry isn't in the work tree.
#[must_use]
pub fn write(entries: &[Entry], format: ObjectFormat) -> Vec<u8> {
    let version: u32 = if entries.iter().any(|entry| entry.skipped || entry.intended) {
        3
    } else {
        2
    };
    let mut out = b"DIRC".to_vec();
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
    for entry in entries {
        let start = out.len();
        let (times, rest) = entry.stat.split_at(24);
        out.extend_from_slice(times);
        out.extend_from_slice(&entry.mode.number().to_be_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(entry.id.padded().get(..format.digits() / 2).unwrap_or_default());
        let more = if entry.skipped { SKIPPED } else { 0 } | if entry.intended { INTENDED } else { 0 };
        let length = u16::try_from(entry.path.len()).unwrap_or(0xfff).min(0xfff);
        let flags = length
            | (u16::from(entry.stage) << 12) & STAGE
            | if entry.assumed { ASSUMED } else { 0 }
            | if more == 0 { 0 } else { EXTENDED };
        out.extend_from_slice(&flags.to_be_bytes());
        if more != 0 {
            out.extend_from_slice(&more.to_be_bytes());
        }
        out.extend_from_slice(&entry.path);
        let written = out.len() - start;
        out.extend(std::iter::repeat_n(0, 8 - written % 8));
    }
    let sum = hash(&out, format);
    out.extend_from_slice(&sum);
    out
}

/// What becomes of an index that was written inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// The entries, as they are written outside.
    pub entries: Vec<Entry>,
    /// How many were marked so that git doesn't look at their files, and aren't any more.
    pub unmarked: usize,
}

/// Makes of an index of the inside what the host is given. What git knows of a file, and marks that keep git from
/// looking at one, are those that the host's own index has: an agent could hide a change by either.
///
/// `written` is when the host's was written, in seconds since 1970. A file that was changed in that second or later may have
/// been changed after git looked at it, without a trace in what git knows of it (git's `racy-git.txt`): with the index
/// written anew, later, git would not look again. So nothing is known of it then.
#[must_use]
pub fn brought(inside: Vec<Entry>, host: &[Entry], written: i64) -> Brought {
    let known: HashMap<(&[u8], u8), &Entry> = host
        .iter()
        .map(|entry| ((entry.path.as_slice(), entry.stage), entry))
        .collect();
    let mut unmarked = 0;
    let entries = inside
        .into_iter()
        // As a file that is only meant to be added it has no content.
        .filter(|entry| !entry.intended)
        .map(|mut entry| {
            let own = known.get(&(entry.path.as_slice(), entry.stage));
            let (skipped, assumed) = own.map_or((false, false), |own| (own.skipped, own.assumed));
            if (entry.skipped && !skipped) || (entry.assumed && !assumed) {
                unmarked += 1;
            }
            entry.skipped &= skipped;
            entry.assumed &= assumed;
            entry.stat = own
                .filter(|own| own.id == entry.id && own.mode == entry.mode && own.changed() < written)
                .map_or([0; 36], |own| own.stat);
            entry
        })
        .collect();
    Brought { entries, unmarked }
}

/// Whether two say the same of the files' contents and marks, whatever is known of the files.
#[must_use]
pub fn same(one: &[Entry], other: &[Entry]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            (&one.path, one.stage, one.mode, one.id, one.skipped, one.assumed)
                == (
                    &other.path,
                    other.stage,
                    other.mode,
                    other.id,
                    other.skipped,
                    other.assumed,
                )
        })
}

fn hash(content: &[u8], format: ObjectFormat) -> Vec<u8> {
    match format {
        ObjectFormat::Sha1 => Sha1::digest(content).to_vec(),
        ObjectFormat::Sha256 => Sha256::digest(content).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: ObjectFormat = ObjectFormat::Sha1;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.into(),
            stage: 0,
            mode: Mode::File,
            id: ObjectId::from_bytes(&[7; 20], SHA1),
            stat: [1; 36],
            assumed: false,
            skipped: false,
            intended: false,
        }
    }

    fn again(entries: &[Entry]) -> Result<Vec<Entry>, IndexError> {
        read(&write(entries, SHA1), SHA1)
    }

    #[test]
    fn read_as_written() {
        let mut all = vec![entry("a"), entry("b/c"), entry("b/d e"), entry("b0")];
        assert_eq!(again(&all).unwrap(), all);
        all[1].skipped = true;
        all[2].assumed = true;
        all[3].mode = Mode::Submodule;
        assert_eq!(again(&all).unwrap(), all);
        let sides: Vec<Entry> = (1..=3).map(|stage| Entry { stage, ..entry("a") }).collect();
        assert_eq!(again(&sides).unwrap(), sides);
        assert_eq!(again(&[]).unwrap(), []);
        for length in 1..40 {
            let one = [entry(&"x".repeat(length))];
            assert_eq!(again(&one).unwrap(), one, "{length}");
        }
    }

    #[test]
    fn a_path_is_no_directory_of_another() {
        for (paths, good) in [
            (&["a", "a-b", "a/c"][..], false),
            (&["a", "a-b", "a.c", "ab/c", "b"], true),
            (&["a", "aa", "aaa/b"], true),
            (&["a", "aa", "aaa", "aaa-", "aaa/b"], false),
            (&["d/a", "d/a.b/c", "d/a/b"], false),
        ] {
            let entries: Vec<Entry> = paths.iter().map(|path| entry(path)).collect();
            assert_eq!(again(&entries).is_ok(), good, "{paths:?}");
        }
    }

    /// Version 4 says of each path only what is new in it.
    #[test]
    fn a_small_file_does_not_stand_for_endless_paths() {
        let index = |count: u32, length: usize| {
            let mut out = b"DIRC\0\0\0\x04".to_vec();
            out.extend_from_slice(&count.to_be_bytes());
            for number in 0..count {
                out.extend_from_slice(&[0; 24]);
                out.extend_from_slice(&0o100_644_u32.to_be_bytes());
                out.extend_from_slice(&[0; 12]);
                out.extend_from_slice(&[7; 20]);
                out.extend_from_slice(&[0, 0]);
                let path = format!("{}{number:06}", "x".repeat(length));
                if number == 0 {
                    out.push(0);
                    out.extend_from_slice(path.as_bytes());
                } else {
                    out.push(6);
                    out.extend_from_slice(&path.as_bytes()[length..]);
                }
                out.push(0);
            }
            let sum = hash(&out, SHA1);
            out.extend_from_slice(&sum);
            out
        };
        assert_eq!(read(&index(1000, 200), SHA1).unwrap().len(), 1000);
        assert_eq!(read(&index(1000, 4000), SHA1), Err(IndexError::TooMany));
    }

    #[test]
    fn what_leads_elsewhere() {
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "../a",
            ".git",
            ".git/hooks/pre-commit",
            "a/.GIT/x",
            "a/git~1/x",
            ".git. /config",
            "a/.g\u{200c}it/config",
        ] {
            assert_eq!(again(&[entry(path)]), Err(IndexError::Path), "{path:?}");
        }
        for [one, other] in [["b", "a"], ["a", "a"], ["a", "a/b"]] {
            assert_eq!(
                again(&[entry(one), entry(other)]),
                Err(IndexError::Order),
                "{one} {other}"
            );
        }
        let mut bytes = write(&[entry("a")], SHA1);
        bytes[20] ^= 1;
        assert_eq!(read(&bytes, SHA1), Err(IndexError::Hash));
        let length = bytes.len();
        for cut in 0..length - 20 {
            let mut short = bytes[..cut].to_vec();
            short.extend_from_slice(&[0; 20]);
            assert!(read(&short, SHA1).is_err(), "{cut}");
        }
    }

    #[test]
    fn nothing_inside_hides_a_change() {
        let host = [
            entry("a"),
            Entry {
                skipped: true,
                ..entry("s")
            },
        ];
        let mut changed = entry("a");
        changed.id = ObjectId::from_bytes(&[8; 20], SHA1);
        changed.stat = [9; 36];
        let inside = vec![
            changed.clone(),
            Entry {
                intended: true,
                ..entry("i")
            },
            Entry {
                assumed: true,
                ..entry("n")
            },
            Entry {
                skipped: true,
                stat: [5; 36],
                ..entry("s")
            },
        ];
        let brought = brought(inside, &host, i64::MAX);
        assert_eq!(brought.unmarked, 1);
        assert_eq!(
            brought.entries,
            [
                Entry {
                    stat: [0; 36],
                    ..changed
                },
                Entry {
                    stat: [0; 36],
                    ..entry("n")
                },
                Entry {
                    skipped: true,
                    ..entry("s")
                },
            ]
        );
    }

    /// What was changed in the second in which the index was written is looked at again.
    #[test]
    fn what_is_racily_clean_is_not_known() {
        let host = [entry("a"), entry("b")];
        let second = i64::from(u32::from_be_bytes([1; 4]));
        for (written, known) in [(second + 1, [1; 36]), (second, [0; 36]), (second - 1, [0; 36])] {
            let brought = brought(host.to_vec(), &host, written);
            assert!(
                brought.entries.iter().all(|entry| entry.stat == known),
                "{written}"
            );
        }
    }

    #[test]
    fn as_git_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut command = std::process::Command::new("git");
            let output = command
                .current_dir(folder.path())
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        git(&["init", "-q"]);
        for path in ["a", "dir/one", "dir/two", "dirt"] {
            std::fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(path), path).unwrap();
        }
        git(&["add", "-A"]);
        git(&["update-index", "--skip-worktree", "dir/two"]);
        let file = folder.path().join(".git/index");
        let listed = git(&["ls-files", "-s", "-v"]);
        for version in ["2", "3", "4"] {
            git(&["update-index", "--index-version", version]);
            let entries = read(&std::fs::read(&file).unwrap(), SHA1).unwrap();
            assert_eq!(entries.len(), 4, "{version}");
            std::fs::write(&file, write(&entries, SHA1)).unwrap();
            assert_eq!(git(&["ls-files", "-s", "-v"]), listed, "{version}");
            assert_eq!(git(&["diff-files", "--name-only"]), "", "{version}");
        }
    }
}
