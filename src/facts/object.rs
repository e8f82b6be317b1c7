//! Whether a repository holds a certain content: looks for the object's name, opens no object.
//!
//! A file that looks like a secret and whose very content is in the repository (a key for tests, mostly) can't be kept
//! from anybody who may read the history, and git itself needs it: masked, it would look changed, and `git add -A` would
//! fail. Who runs inside can put objects there, though only of contents that it knows or guesses.

use super::beneath::open_directory;
use rustix::fs::{Mode, OFlags, RawDir};
use sha1::{Digest, Sha1};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Most packs that are looked into; git itself packs anew at 50 (`gc.autoPackLimit`).
const PACKS_MAX: usize = 64;
/// Bytes of an object's name.
const NAME: usize = 20;
/// First bytes of an index of version 2 (gitformat-pack(5)): magic and version, then 256 counts.
const MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
const NAMES_AT: u64 = 8 + 256 * 4;

/// Whether the object store has a blob of that content.
pub(super) fn has_blob(objects: &OwnedFd, content: &[u8]) -> bool {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    let name: [u8; NAME] = hash.finalize().into();
    is_loose(objects, &name) || is_packed(objects, &name)
}

fn is_loose(objects: &OwnedFd, name: &[u8; NAME]) -> bool {
    let text: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let (folder, rest) = text.split_at(2);
    open_directory(objects, folder).is_ok_and(|folder| super::beneath::status(&folder, rest).is_ok())
}

fn is_packed(objects: &OwnedFd, name: &[u8; NAME]) -> bool {
    let Ok(packs) = open_directory(objects, c"pack") else {
        return false;
    };
    let mut buffer = [MaybeUninit::uninit(); 8 << 10];
    let mut entries = RawDir::new(&packs, &mut buffer);
    let mut looked = 0;
    while let Some(Ok(entry)) = entries.next() {
        if looked < PACKS_MAX && entry.file_name().to_bytes().ends_with(b".idx") {
            looked += 1;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let index = rustix::fs::openat(&packs, entry.file_name(), flags, Mode::empty());
            if index.is_ok_and(|index| is_listed(&index, name) == Some(true)) {
                return true;
            }
        }
    }
    false
}

/// Looks a name up in the sorted list of an index; `None` where it isn't one.
fn is_listed(index: &OwnedFd, name: &[u8; NAME]) -> Option<bool> {
    let mut magic = [0_u8; 8];
    read_at(index, &mut magic, 0)?;
    if magic != MAGIC {
        return None;
    }
    let first = u64::from(*name.first()?);
    let mut from = if first == 0 { 0 } else { count(index, first - 1)? };
    let mut to = count(index, first)?;
    while from < to {
        let middle = from + (to - from) / 2;
        let mut found = [0_u8; NAME];
        read_at(index, &mut found, NAMES_AT + u64::from(middle) * NAME as u64)?;
        match found.cmp(name) {
            std::cmp::Ordering::Equal => return Some(true),
            std::cmp::Ordering::Less => from = middle + 1,
            std::cmp::Ordering::Greater => to = middle,
        }
    }
    Some(false)
}

/// How many names begin with a byte up to `byte`.
fn count(index: &OwnedFd, byte: u64) -> Option<u32> {
    let mut bytes = [0_u8; 4];
    read_at(index, &mut bytes, 8 + byte * 4)?;
    Some(u32::from_be_bytes(bytes))
}

fn read_at(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Option<()> {
    let wanted = buffer.len();
    (rustix::io::pread(file, buffer, at).ok()? == wanted).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::beneath::open_root;
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn git(directory: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.test"];
        let done = Command::new("git")
            .current_dir(directory)
            .args(identity)
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    #[test]
    fn finds_what_git_has_loose_and_packed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        git(root, &["init", "-q"]);
        let contents: Vec<String> = (0..300).map(|number| format!("content {number}")).collect();
        for (number, content) in contents.iter().enumerate() {
            std::fs::write(root.join(number.to_string()), content).unwrap();
        }
        git(root, &["add", "-A"]);
        git(root, &["commit", "-qm", "x"]);
        for packed in [false, true] {
            if packed {
                git(root, &["repack", "-adq"]);
            }
            let objects = open_root(&root.join(".git/objects")).unwrap();
            assert!(
                contents
                    .iter()
                    .all(|content| has_blob(&objects, content.as_bytes())),
                "{packed}"
            );
            assert!(!(300..600).any(|number| has_blob(&objects, format!("content {number}").as_bytes())));
        }
    }
}
