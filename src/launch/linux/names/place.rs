//! Where a name would be made: the directory by descriptor, its real path, the last name.

use super::arguments::Named;
use super::caller::Caller;
use super::{Answer, World};
use crate::facts::joined;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What the kernel adds to the path of a directory that is gone (proc_pid_fd(5)).
const GONE: &[u8] = b" (deleted)";

/// A place for a name.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory.
    pub(super) parent: OwnedFd,
    /// Its real path.
    pub(super) real: PathBuf,
    /// The name, with the slash behind it if there was one: the kernel wants a directory then.
    pub(super) last: Vec<u8>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The kernel says what is wrong, or refuses what this thread can't follow.
    Kernel,
    /// It is a descriptor of the caller's own, by its path in `/proc` (proc_pid_fd(5)).
    Descriptor(i32),
    /// The call fails with it. Left to the kernel, it would be refused for another reason where another thread of the
    /// program makes what lacks in between.
    Fails(Errno),
}

impl From<NoPlace> for Answer {
    fn from(none: NoPlace) -> Self {
        match none {
            NoPlace::Kernel | NoPlace::Descriptor(_) => Self::Kernel,
            NoPlace::Fails(errno) => Self::Fails(errno),
        }
    }
}

impl Place {
    /// The name without a slash.
    pub(super) fn name(&self) -> &[u8] {
        self.last.strip_suffix(b"/").unwrap_or(&self.last)
    }

    /// The path of the name.
    pub(super) fn path(&self) -> PathBuf {
        joined(&self.real, self.name())
    }

    /// Whether the kernel would make no name there for the caller.
    pub(super) fn is_held(&self, world: &World) -> bool {
        is_held(world, &self.real)
    }
}

/// Whether a directory lies where the kernel makes no name for programs inside.
fn is_held(world: &World, directory: &Path) -> bool {
    world.names.held.iter().any(|root| directory.starts_with(root))
}

/// Where a path starts.
#[derive(Debug)]
enum Start {
    /// At the root.
    Root,
    /// At a directory.
    At(OwnedFd),
}

/// Finds the place of a path of the caller's.
pub(super) fn find(
    world: &World,
    caller: &Caller,
    named: Named,
    resolve: ResolveFlags,
) -> Result<Place, NoPlace> {
    let path = caller.path(named.path).ok_or(NoPlace::Kernel)?;
    find_text(world, caller, named, &path, resolve)
}

/// Whether something is there, in what is held, by a path that was read of the caller; a link isn't followed. Of other places
/// nothing is said: this thread's own descriptors and `/proc` entries are more than a caller may look at.
pub(super) fn is_there(world: &World, caller: &Caller, named: Named, path: &[u8]) -> bool {
    let Ok((start, path)) = start(world, caller, named, path, ResolveFlags::empty()) else {
        return false;
    };
    let start = match &start {
        Start::Root => world.root.as_fd(),
        Start::At(directory) => directory.as_fd(),
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(start, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
        .is_ok_and(|there| real_path(world, there.as_fd()).is_ok_and(|real| is_held(world, &real)))
}

/// Finds the place of a path that was read of the caller.
pub(super) fn find_text(
    world: &World,
    caller: &Caller,
    named: Named,
    path: &[u8],
    resolve: ResolveFlags,
) -> Result<Place, NoPlace> {
    // What most redirections name: it lies in nothing that is held.
    if path == b"/dev/null" {
        return Err(NoPlace::Kernel);
    }
    let (start, path) = start(world, caller, named, path, resolve)?;
    match start {
        Start::Root => from(world, world.root.as_fd(), path, resolve),
        // A name alone, as most programs give it: the directory is the one that they stand in.
        Start::At(parent) if !path.contains(&b'/') && !matches!(path, b"" | b"." | b"..") => {
            let real = real_path(world, parent.as_fd())?;
            let last = path.to_vec();
            Ok(Place { parent, real, last })
        }
        Start::At(directory) => from(world, directory.as_fd(), path, resolve),
    }
}

/// What a link in `place` leads to.
pub(super) fn follow(
    world: &World,
    place: &Place,
    link: &[u8],
    resolve: ResolveFlags,
) -> Result<Place, NoPlace> {
    match link.strip_prefix(b"/") {
        Some(_) => from(world, world.root.as_fd(), link, resolve),
        None => from(world, place.parent.as_fd(), link, resolve),
    }
}

/// The directory that a path is relative to, and the rest of the path. A path that leads by way of the caller's own
/// descriptors or working directory in `/proc` starts there: those names would be this thread's here.
fn start<'a>(
    world: &World,
    caller: &Caller,
    named: Named,
    path: &'a [u8],
    resolve: ResolveFlags,
) -> Result<(Start, &'a [u8]), NoPlace> {
    let own = |directory: i32, rest: &'a [u8]| {
        let named = Named { directory, ..named };
        let directory = caller.directory(world, named).map_err(|_| NoPlace::Kernel)?;
        Ok((Start::At(directory), rest))
    };
    if path.is_empty() {
        return Err(NoPlace::Kernel);
    }
    let slashes = path.len() - path.trim_ascii_start_slashes().len();
    let path = path.get(slashes.saturating_sub(1)..).unwrap_or_default();
    if !path.starts_with(b"/") || resolve.contains(ResolveFlags::IN_ROOT) {
        return own(named.directory, path.trim_ascii_start_slashes());
    }
    let Some(rest) = path
        .strip_prefix(b"/proc/self/")
        .or_else(|| path.strip_prefix(b"/proc/thread-self/"))
        .or_else(|| {
            path.strip_prefix(b"/dev/")
                .filter(|rest| rest.starts_with(b"fd/"))
        })
    else {
        return Ok((Start::Root, path));
    };
    if let Some(rest) = rest.strip_prefix(b"cwd/") {
        return own(rustix::fs::CWD.as_raw_fd(), rest);
    }
    let Some(rest) = rest.strip_prefix(b"fd/") else {
        return Err(NoPlace::Kernel);
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = rest
        .get(..digits)
        .and_then(|digits| str::from_utf8(digits).ok()?.parse().ok())
        .ok_or(NoPlace::Kernel)?;
    match rest.get(digits..).unwrap_or_default() {
        [] => Err(NoPlace::Descriptor(number)),
        [b'/', rest @ ..] if !rest.is_empty() => own(number, rest),
        _ => Err(NoPlace::Kernel),
    }
}

trait Slashes {
    /// Without slashes before it.
    fn trim_ascii_start_slashes(&self) -> &Self;
}

impl Slashes for [u8] {
    fn trim_ascii_start_slashes(&self) -> &Self {
        let count = self.iter().take_while(|byte| **byte == b'/').count();
        self.get(count..).unwrap_or_default()
    }
}

fn from(world: &World, start: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> Result<Place, NoPlace> {
    let bare = path.len() - path.iter().rev().take_while(|byte| **byte == b'/').count();
    let slash = bare < path.len();
    let bare = path.get(..bare).unwrap_or_default();
    let split = bare.iter().rposition(|byte| *byte == b'/');
    let (parent, last) = match split {
        Some(at) => (
            bare.get(..=at).unwrap_or_default(),
            bare.get(at + 1..).unwrap_or_default(),
        ),
        None => (b".".as_slice(), bare),
    };
    if matches!(last, b"" | b"." | b"..") {
        return Err(NoPlace::Kernel);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // A magic link would lead where this thread's descriptors do.
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    let parent = match openat2(start, parent, flags, Mode::empty(), resolve) {
        Ok(parent) => parent,
        Err(errno @ (Errno::NOENT | Errno::NOTDIR)) if begins_held(world, start, path) => {
            return Err(NoPlace::Fails(errno));
        }
        Err(_) => return Err(NoPlace::Kernel),
    };
    let real = real_path(world, parent.as_fd())?;
    let mut last = last.to_vec();
    if slash {
        last.push(b'/');
    }
    Ok(Place { parent, real, last })
}

/// Whether a path sets out in what is held: it leads to the same for the caller, unless a link in there names something of
/// `/proc`.
fn begins_held(world: &World, start: BorrowedFd<'_>, path: &[u8]) -> bool {
    let path = Path::new(OsStr::from_bytes(path));
    if path.is_absolute() {
        return is_held(world, path);
    }
    real_path(world, start).is_ok_and(|start| is_held(world, &start))
}

/// Where a directory is. In one that is gone nothing can be made; of a path that is longer than the kernel tells nothing
/// is known.
pub(super) fn real_path(world: &World, directory: BorrowedFd<'_>) -> Result<PathBuf, NoPlace> {
    let number = directory.as_raw_fd().to_string();
    let text = readlinkat(world.own.as_fd(), number.as_str(), Vec::with_capacity(256));
    let text = text.map_err(|_| NoPlace::Kernel)?.into_bytes();
    if !text.starts_with(b"/") {
        return Err(NoPlace::Kernel);
    }
    if text.ends_with(GONE)
        && rustix::fs::fstat(directory)
            .map_err(|_| NoPlace::Kernel)?
            .st_nlink
            == 0
    {
        return Err(NoPlace::Fails(Errno::NOENT));
    }
    Ok(OsString::from_vec(text).into())
}

/// What a link holds; `None` for what is no link.
pub(super) fn link(place: &Place) -> Result<Option<Vec<u8>>, Errno> {
    match readlinkat(place.parent.as_fd(), place.last.as_slice(), Vec::new()) {
        Ok(text) => Ok(Some(text.into_bytes())),
        Err(Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}
