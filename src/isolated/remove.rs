//! Removes a directory that somebody hostile has filled: by descriptors, following nothing, in constant depth.
//!
//! What runs inside may take from a directory of its own the right to be entered, and may lay directories into one another
//! until no path reaches the last. So each is opened by its name in one that is held, gets its rights back, and what lies in
//! it is moved up to the outermost before it goes: two descriptors are enough for any depth.

use crate::facts::beneath::{open_directory, open_root, status};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Names that are read at once: a directory may hold any number.
const BATCH: usize = 4096;

/// Removes `directory` and all in it. `first` go before everything else, in that order.
///
/// # Errors
/// The first that was met; all that could be removed is gone all the same.
pub(super) fn remove(directory: &Path, first: &[&str]) -> io::Result<()> {
    let root = match open_root(directory) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut fault = None;
    for name in first {
        note(&mut fault, unlinkat(&root, *name, AtFlags::empty()));
    }
    let mut moved = 0_u64;
    loop {
        let names = names(&root)?;
        let mut gone = 0_usize;
        for (name, kind) in &names {
            let removed = if *kind == FileType::Directory {
                empty(&root, name, &mut moved)
            } else {
                unlinkat(&root, name.as_c_str(), AtFlags::empty())
            };
            gone += usize::from(removed.is_ok());
            note(&mut fault, removed);
        }
        // Nothing more, or nothing more that can be removed.
        if names.is_empty() || gone == 0 {
            break;
        }
    }
    drop(root);
    note(&mut fault, rustix::fs::rmdir(directory));
    fault.map_or(Ok(()), |errno| Err(errno.into()))
}

fn note(fault: &mut Option<Errno>, done: Result<(), Errno>) {
    match done {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => {
            fault.get_or_insert(errno);
        }
    }
}

/// Empties one directory in `root`, moving those in it there, and removes it.
fn empty(root: &OwnedFd, name: &CStr, moved: &mut u64) -> Result<(), Errno> {
    open_up(root, name);
    let directory = open_directory(root, name)?;
    loop {
        let names = names(&directory)?;
        if names.is_empty() {
            break;
        }
        for (inner, kind) in names {
            if kind != FileType::Directory {
                unlinkat(&directory, inner.as_c_str(), AtFlags::empty())?;
                continue;
            }
            // Its entry for what it lies in changes with that, so that it has to be writable (rename(2)).
            open_up(&directory, &inner);
            loop {
                *moved += 1;
                match renameat(&directory, inner.as_c_str(), root, format!(".gone-{moved}")) {
                    // Somebody has called one so.
                    Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                    other => break other?,
                }
            }
        }
    }
    drop(directory);
    unlinkat(root, name, AtFlags::REMOVEDIR)
}

/// Gives a directory its owner's rights, by a descriptor that follows no link.
fn open_up(parent: impl AsFd, name: &CStr) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = openat(parent, name, flags, Mode::empty()) else {
        return;
    };
    let open = Mode::RWXU;
    let has = status(&directory, c".").or_else(|_| rustix::fs::fstat(&directory));
    if has.is_ok_and(|has| Mode::from_raw_mode(has.st_mode).contains(open)) {
        return;
    }
    // What can't be opened up is told by what fails next.
    rustix::fs::chmodat(
        CWD,
        format!("/proc/self/fd/{}", directory.as_raw_fd()),
        open,
        AtFlags::empty(),
    )
    .ok();
}

fn names(directory: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            kind = FileType::from_raw_mode(status(directory, name)?.st_mode);
        }
        names.push((name.to_owned(), kind));
        if names.len() >= BATCH {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn all_goes_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (place, outside) = (folder.path().join("place"), folder.path().join("outside"));
        for directory in ["a/b/c", ".gone-1", ".gone-2/.gone-3", "closed/in"] {
            fs::create_dir_all(place.join(directory)).unwrap();
        }
        fs::create_dir_all(outside.join("kept")).unwrap();
        fs::write(outside.join("file"), "kept").unwrap();
        fs::set_permissions(outside.join("kept"), fs::Permissions::from_mode(0o500)).unwrap();
        for (to, at) in [("kept", "a/link"), ("file", "a/b/file"), ("kept", "closed/in/x")] {
            std::os::unix::fs::symlink(outside.join(to), place.join(at)).unwrap();
        }
        fs::hard_link(outside.join("file"), place.join("a/hard")).unwrap();
        rustix::fs::mkfifoat(CWD, place.join("a/b/pipe"), Mode::RUSR).unwrap();
        for number in 0..BATCH + 10 {
            fs::write(place.join("a/b/c").join(number.to_string()), "").unwrap();
        }
        fs::write(place.join("first"), "").unwrap();
        for directory in ["closed/in", "closed"] {
            fs::set_permissions(place.join(directory), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&place, &["first", "not there"]).unwrap();
        assert!(place.symlink_metadata().is_err());
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
        let mode = fs::metadata(outside.join("kept")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o500);
        remove(&place, &[]).unwrap();
    }

    /// A path of all these names would be longer than one can be, and a call for each would be more than a stack holds.
    #[test]
    fn depth_is_no_matter() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        let mut at = open_root(&place).unwrap();
        for _ in 0..20_000 {
            rustix::fs::mkdirat(&at, c"d", Mode::RWXU).unwrap();
            at = open_directory(&at, c"d").unwrap();
        }
        drop(at);
        remove(&place, &[]).unwrap();
        assert!(place.symlink_metadata().is_err());
    }
}
