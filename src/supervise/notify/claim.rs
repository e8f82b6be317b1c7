//! What a caller of `execve(2)` says that it starts.
//!
//! Only for the log. Another thread of the caller can change the memory between our read and the kernel's, so nothing
//! is decided by it. Every read is bounded, and the caller waits for all that is done here.

use crate::sys::seccomp::Notification;
use nix::{
    errno::Errno,
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, ResolveFlags};
use std::{
    io::IoSliceMut,
    os::fd::{AsFd, OwnedFd},
};

/// The most bytes of one string; `PATH_MAX`, so that no path is cut.
const STRING_BYTES: usize = 4096;
/// The most arguments.
const ARGUMENTS: usize = 16;
/// The most bytes of all arguments.
const ARGUMENT_BYTES: usize = 8192;
/// What of each argument is read in the first go.
const FIRST_BYTES: usize = 256;
/// The smallest page; larger ones are multiples of it.
const PAGE_BYTES: u64 = 4096;
const POINTER_BYTES: usize = size_of::<u64>();

/// A claimed start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// What was passed as the path, `None` when it couldn't be read; the link's text for a descriptor.
    pub(super) path: String,
    /// The first arguments.
    pub(super) argv: Vec<String>,
}

/// Reads claims; holds the buffers.
#[derive(Debug)]
pub(super) struct Reader {
    path: Box<[u8; STRING_BYTES]>,
    arguments: Box<[[u8; FIRST_BYTES]; ARGUMENTS]>,
    /// The root of the first caller, which all have unless they nest sandboxes.
    root: Option<OwnedFd>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            path: Box::new([0; STRING_BYTES]),
            arguments: Box::new([[0; FIRST_BYTES]; ARGUMENTS]),
            root: None,
        }
    }

    /// The claim of a waiting call; `None` when the call will fail because there is nothing at that path, as when
    /// `execvp(3)` tries the folders of `PATH`.
    pub(super) fn read(&mut self, call: &Notification) -> Option<Claim> {
        let [first, second, third, _, fifth, _] = call.args;
        let at = i64::from(call.number) == libc::SYS_execveat;
        let (path_address, argv_address) = if at { (second, third) } else { (first, second) };
        let pid = Pid::from_raw(call.thread);

        let mut pointers = [0_u8; ARGUMENTS * POINTER_BYTES];
        let path_room = room(path_address, STRING_BYTES);
        let pointers_room = room(argv_address, pointers.len());
        let (Some(path), Some(pointers_now)) =
            (self.path.get_mut(..path_room), pointers.get_mut(..pointers_room))
        else {
            return None;
        };
        let read = copy(
            pid,
            &mut [path, pointers_now],
            &[(path_address, path_room), (argv_address, pointers_room)],
        );
        let path = match read {
            Err(Errno::EFAULT) => return None,
            Err(_) => {
                return Some(Claim {
                    path: String::new(),
                    argv: Vec::new(),
                });
            }
            Ok(_) => finish(pid, path_address, path, STRING_BYTES),
        };
        if path.first() == Some(&b'/') && self.is_absent(call.thread, &path) {
            return None;
        }
        if pointers_room < ARGUMENTS * POINTER_BYTES && read == Ok(path_room + pointers_room) {
            if let Some(rest) = pointers.get_mut(pointers_room..) {
                let address = argv_address.wrapping_add(pointers_room as u64);
                let length = rest.len();
                let _unreadable = copy(pid, &mut [rest], &[(address, length)]);
            }
        }
        let path = if path.is_empty() && at && flags(fifth).contains(AtFlags::EMPTY_PATH) {
            descriptor(call.thread, first)
        } else {
            text(&path)
        };
        Some(Claim {
            path,
            argv: self.arguments(pid, &pointers),
        })
    }

    fn arguments(&mut self, pid: Pid, pointers: &[u8; ARGUMENTS * POINTER_BYTES]) -> Vec<String> {
        let (pointers, _) = pointers.as_chunks::<POINTER_BYTES>();
        let pointers = pointers
            .iter()
            .map(|bytes| u64::from_ne_bytes(*bytes))
            .take_while(|address| *address != 0);
        let sources: Vec<(u64, usize)> = pointers
            .map(|address| (address, room(address, FIRST_BYTES)))
            .collect();
        let mut targets: Vec<&mut [u8]> = Vec::with_capacity(sources.len());
        for (buffer, (_, length)) in self.arguments.iter_mut().zip(&sources) {
            targets.extend(buffer.get_mut(..*length));
        }
        let mut readable = copy(pid, &mut targets, &sources).unwrap_or(0);
        let mut left = ARGUMENT_BYTES;
        let mut argv = Vec::with_capacity(sources.len());
        for (buffer, (address, length)) in targets.into_iter().zip(&sources) {
            if readable < *length || left == 0 {
                break;
            }
            readable -= length;
            let bytes = finish(pid, *address, buffer, STRING_BYTES.min(left));
            left = left.saturating_sub(bytes.len());
            argv.push(text(&bytes));
        }
        argv
    }

    /// Whether there is certainly nothing at an absolute path of the caller's view.
    ///
    /// Symbolic links aren't followed, since ours would differ from the caller's (`/proc/self`): a path with one isn't
    /// called absent, so that nobody hides a start behind a link. The first caller's root answers for most; where it
    /// has nothing, the caller's own is asked.
    fn is_absent(&mut self, thread: i32, path: &[u8]) -> bool {
        if self.root.is_none() {
            self.root = root_of(thread);
        }
        self.root.as_ref().is_some_and(|root| is_absent_below(root, path))
            && root_of(thread).is_some_and(|root| is_absent_below(root, path))
    }
}

fn root_of(thread: i32) -> Option<OwnedFd> {
    let path = format!("/proc/{thread}/root");
    fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .ok()
}

fn is_absent_below(root: impl AsFd, path: &[u8]) -> bool {
    let below = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let opened = fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), below);
    matches!(opened, Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR))
}

fn flags(argument: u64) -> AtFlags {
    u32::try_from(argument & u64::from(u32::MAX)).map_or(AtFlags::empty(), AtFlags::from_bits_retain)
}

/// The text of the link behind a descriptor of the caller's.
fn descriptor(thread: i32, number: u64) -> String {
    let number = number & u64::from(u32::MAX);
    fs::readlinkat(CWD, format!("/proc/{thread}/fd/{number}"), Vec::new())
        .map_or_else(|_| String::new(), |link| text(link.as_bytes()))
}

/// How much may be read at once: what ends with the page can't fail half-way.
fn room(address: u64, most: usize) -> usize {
    usize::try_from(PAGE_BYTES - address % PAGE_BYTES).map_or(most, |rest| rest.min(most))
}

/// The string that begins in `start`, which was read from `address`, read on to its end or to `most` bytes.
fn finish(pid: Pid, address: u64, start: &[u8], most: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    let mut piece = start;
    let mut page = [0; STRING_BYTES];
    loop {
        let end = piece.iter().position(|byte| *byte == 0);
        whole.extend(piece.iter().take(end.unwrap_or(piece.len())));
        whole.truncate(most);
        if end.is_some() || whole.len() >= most {
            return whole;
        }
        let next = address.wrapping_add(whole.len() as u64);
        let length = room(next, most - whole.len());
        let Some(target) = page.get_mut(..length) else {
            return whole;
        };
        if copy(pid, &mut [&mut *target], &[(next, length)]) != Ok(length) {
            return whole;
        }
        piece = target;
    }
}

/// Copies from another process's memory; the number of bytes up to the first place that couldn't be read.
fn copy(pid: Pid, targets: &mut [&mut [u8]], sources: &[(u64, usize)]) -> Result<usize, Errno> {
    let mut targets: Vec<IoSliceMut<'_>> = targets.iter_mut().map(|target| IoSliceMut::new(target)).collect();
    let sources: Vec<RemoteIoVec> = sources
        .iter()
        .filter_map(|(base, len)| {
            usize::try_from(*base)
                .ok()
                .map(|base| RemoteIoVec { base, len: *len })
        })
        .collect();
    process_vm_readv(pid, &mut targets, &sources)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
