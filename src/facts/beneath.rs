//! Opening things beneath a directory, in a tree that may be hostile: no symbolic link is followed, no pipe is opened.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens a directory for reading.
///
/// # Errors
/// Those of openat(2); `ELOOP` or `ENOTDIR` for a symbolic link.
pub(crate) fn open_directory(parent: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
}

/// Opens the absolute path of a directory, following no link at all, only to refer to it.
///
/// # Errors
/// Those of openat2(2); `ELOOP` where a link is on the way.
pub(crate) fn open_without_links(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

/// Opens the absolute path of a directory that the user named: links in it are the user's.
///
/// # Errors
/// Those of open(2).
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What a name is, not following it.
///
/// # Errors
/// Those of fstatat(2).
pub(crate) fn status(parent: impl AsFd, name: impl rustix::path::Arg) -> Result<Stat, Errno> {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// The content of a regular file, up to `bytes_max` and one byte more, so that the caller sees that there is more.
///
/// # Errors
/// Those of openat(2) and read(2); `EINVAL` for anything that is no regular file.
pub(crate) fn read_file(
    parent: impl AsFd,
    name: impl rustix::path::Arg,
    bytes_max: usize,
) -> Result<Vec<u8>, Errno> {
    let file = rustix::fs::openat(parent, name, READ, Mode::empty())?;
    read_open(&file, bytes_max).map(|(content, _)| content)
}

/// The same of a path of several names, none of which may be a link; with what was found.
///
/// # Errors
/// Those of openat2(2) and read(2); `EINVAL` for anything that is no regular file.
pub(crate) fn read_below(root: impl AsFd, path: &Path, bytes_max: usize) -> Result<(Vec<u8>, Stat), Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(root, path, READ, Mode::empty(), resolve)?;
    read_open(&file, bytes_max)
}

/// O_NONBLOCK: the name may have become a pipe since it was looked at, and opening one for reading waits for a writer
/// (open(2)). O_NOCTTY: or a terminal.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

fn read_open(file: &OwnedFd, bytes_max: usize) -> Result<(Vec<u8>, Stat), Errno> {
    let status = rustix::fs::fstat(file)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let wanted = bytes_max.saturating_add(1);
    let mut content = Vec::with_capacity(
        usize::try_from(status.st_size)
            .unwrap_or(0)
            .saturating_add(1)
            .min(wanted),
    );
    let mut buffer = [0_u8; 16 << 10];
    while content.len() < wanted {
        match rustix::io::read(file, &mut buffer) {
            Ok(0) => break,
            Ok(count) => content.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    content.truncate(wanted);
    Ok((content, status))
}

/// The inode's change time in nanoseconds since 1970.
pub(crate) fn changed_ns(status: &Stat) -> i64 {
    let nanoseconds = i64::try_from(status.st_ctime_nsec).unwrap_or(0);
    status
        .st_ctime
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// The time, in nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
