//! A directory that gets another name: whether something in it would then be what the host runs or trusts.

use super::Answer;
use super::place::Place;
use crate::facts::{KeptName, NameJudge, NewKind, joined};
use crate::policy::NewNames;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, openat, statat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Most names that are looked at: about a second's worth. A directory with more isn't moved to where they count.
const NAMES_MAX: usize = 500_000;
/// Deepest level: each holds a descriptor.
const DEPTH_MAX: usize = 200;
/// Bytes that are asked for at once (getdents64(2)).
const LIST_BYTES: usize = 8 << 10;

/// Refuses the move of a directory that holds such a thing. Where no pattern goes on beneath the new name, nothing in it
/// can mean more than it did: it was judged when it was made, unless that was where other names may be made. What marks
/// such a place may be gone by now.
pub(super) fn look(judge: &NameJudge<'_>, from: &Place, old: &Path, new: &Path) -> Result<(), Answer> {
    let leads_on = leads_on(judge.names, new).is_some();
    if judge.is_left_out(new) && !leads_on {
        return Ok(());
    }
    let opened = |opened: &PathBuf| opened.starts_with(old) || old.starts_with(opened);
    let everything =
        judge.may_be_left_out(old) || judge.names.opened.iter().chain(&judge.names.open_in).any(opened);
    if !everything && !judge.goes_on(new) && !leads_on {
        return Ok(());
    }
    let mut look = Look {
        judge,
        everything,
        left: NAMES_MAX,
    };
    let directory = open(from.parent.as_fd(), from.name()).map_err(Answer::Fails)?;
    match look.directory(&directory, new, 0) {
        Ok(None) => Ok(()),
        Ok(Some((path, kept))) => Err(Answer::Refused(path, kept)),
        Err(errno) => Err(Answer::Fails(errno)),
    }
}

/// A single path that lies beneath another: that counts wherever it is, and so does what a link of the project's leads to.
fn leads_on<'a>(names: &'a NewNames, path: &Path) -> Option<&'a PathBuf> {
    let targets = names.aliases.iter().map(|alias| &alias.target);
    let beneath = |single: &&PathBuf| single.starts_with(path) && single.as_path() != path;
    names.exact.iter().chain(targets).find(beneath)
}

/// Why no link may be made on the way to a single path: what it leads to would have that path, whatever it is called. The
/// judge knows links on the way to what a pattern means.
pub(super) fn link_on_the_way(names: &NewNames, path: &Path) -> Option<KeptName> {
    let protected = leads_on(names, path)?;
    let opens = |rule: &PathBuf| path.starts_with(rule);
    if names.opened.iter().any(opens) {
        return None;
    }
    Some(KeptName {
        protected: protected.clone(),
        why: "what it leads to would count as what lies here".into(),
        runs_when: None,
    })
}

struct Look<'a> {
    judge: &'a NameJudge<'a>,
    /// Nothing in there was judged when it was made.
    everything: bool,
    left: usize,
}

fn open(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

impl Look<'_> {
    /// The first thing in a directory that may not be there once that is at `path`.
    fn directory(
        &mut self,
        directory: &OwnedFd,
        path: &Path,
        depth: usize,
    ) -> Result<Option<(PathBuf, KeptName)>, Errno> {
        if depth > DEPTH_MAX {
            return Err(Errno::ACCESS);
        }
        let mut directories: Vec<(CString, PathBuf)> = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); LIST_BYTES];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.left = self.left.checked_sub(1).ok_or(Errno::ACCESS)?;
            let below = joined(path, name.to_bytes());
            let kind = kind(directory, name, entry.file_type());
            let on_the_way = || link_on_the_way(self.judge.names, &below).filter(|_| kind == NewKind::Link);
            if let Some(kept) = self.judge.judge(&below, kind).or_else(on_the_way) {
                return Ok(Some((below, kept)));
            }
            let goes_on = self.everything || self.judge.goes_on(&below);
            let looked =
                (goes_on && !self.judge.is_left_out(&below)) || leads_on(self.judge.names, &below).is_some();
            if kind == NewKind::Directory && looked {
                directories.push((name.to_owned(), below));
            }
        }
        for (name, below) in directories {
            let inner = open(directory, name.to_bytes())?;
            if let Some(found) = self.directory(&inner, &below, depth + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn kind(directory: &OwnedFd, name: &CStr, listed: FileType) -> NewKind {
    if listed != FileType::Unknown {
        return kind_of(listed);
    }
    // Some file systems don't tell (readdir(3)).
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_or(NewKind::Link, |status| {
        kind_of(FileType::from_raw_mode(status.st_mode))
    })
}

/// What a judge takes it for.
pub(super) const fn kind_of(kind: FileType) -> NewKind {
    match kind {
        FileType::Directory => NewKind::Directory,
        FileType::Symlink => NewKind::Link,
        FileType::RegularFile
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => NewKind::File,
    }
}
