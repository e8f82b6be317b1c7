//! What of `/proc` is the whole machine's, closed.
//!
//! The settings below `/proc/sys` and their like are guarded by the file's owner alone, who is uid 0, whatever
//! capabilities a process has: where root runs aca, `/proc/sys/kernel/core_pattern` would be a command of the host's. An
//! ordinary user can't write them anyway, and has `/proc/sys` closed besides.

use super::During;
use super::mounts::{NewRoot, attach_on, clone_tree, read_only};
use crate::launch::protocol::StageError;
use crate::plan::{Closed, Kind};
use crate::sys::mount::{Reach, set_attributes};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, statat};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const PROC: &str = "/proc";
/// Links into a process's own directory.
const OWN: [&[u8]; 4] = [b"self", b"thread-self", b"mounts", b"net"];

/// Closes what the plan says.
pub(super) fn close(root: &NewRoot, closed: Closed) -> Result<(), StageError> {
    match closed {
        Closed::Nothing => Ok(()),
        Closed::Settings => seal(root, &Path::new(PROC).join("sys")),
        Closed::Machine => close_all(root),
    }
}

fn close_all(root: &NewRoot) -> Result<(), StageError> {
    let proc = rustix::fs::openat(
        root.open(Path::new(PROC))?,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .during("openat")?;
    for entry in Dir::read_from(&proc).during("getdents64")? {
        let entry = entry.during("getdents64")?;
        let name = entry.file_name().to_bytes();
        let of_a_process = name.first().is_none_or(u8::is_ascii_digit) || OWN.contains(&name);
        if of_a_process || name.starts_with(b".") {
            continue;
        }
        let status = statat(proc.as_fd(), entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).during("fstatat")?;
        let path = Path::new(PROC).join(std::ffi::OsStr::from_bytes(name));
        let kind = FileType::from_raw_mode(status.st_mode);
        let mode = status.st_mode & 0o777;
        if kind == FileType::Directory {
            seal(root, &path)?;
        } else if kind == FileType::RegularFile && mode & 0o004 == 0 {
            // For root alone: the kernel's memory, its allocations, its keys.
            root.mask(&path, Kind::File)?;
        } else if kind == FileType::RegularFile && mode & 0o222 != 0 {
            seal(root, &path)?;
        }
    }
    Ok(())
}

/// Binds a path onto itself, read-only.
fn seal(root: &NewRoot, path: &Path) -> Result<(), StageError> {
    let target = root.open(path)?;
    let tree = clone_tree(&target)?;
    set_attributes(&tree, read_only(), Reach::Tree).during("mount_setattr")?;
    attach_on(&tree, &target)
}
