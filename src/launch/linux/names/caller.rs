//! What is read of a caller: its memory, its directories. All of it may change at any time, and is looked at once.

use super::World;
use super::arguments::{Address, Named};
use crate::sys::seccomp::Notification;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// `PATH_MAX`, with its zero (limits.h).
const PATH_BYTES: usize = 4096;
/// The smallest page; larger ones are multiples of it.
const PAGE_BYTES: u64 = 4096;
/// What of a path is read in the first go: most are no longer.
const FIRST_BYTES: usize = 256;
/// More than the lines before `Tgid:` and `Umask:` take (proc_pid_status(5)).
const STATUS_BYTES: usize = 512;

/// The thread that called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    /// Its number inside.
    pub(super) thread: i32,
}

impl Caller {
    pub(super) const fn new(call: &Notification) -> Self {
        Self { thread: call.thread }
    }

    /// A path; `None` when it can't be read, or is longer than the kernel takes.
    pub(super) fn path(&self, address: Address) -> Option<Vec<u8>> {
        let mut whole = Vec::with_capacity(FIRST_BYTES);
        let mut page = [0_u8; PATH_BYTES];
        let mut wanted = FIRST_BYTES;
        while whole.len() < PATH_BYTES {
            let from = address.checked_add(u64::try_from(whole.len()).ok()?)?;
            // What ends with the page can't fail half-way.
            let rest = usize::try_from(PAGE_BYTES - from % PAGE_BYTES).ok()?;
            let length = rest.min(wanted).min(PATH_BYTES - whole.len());
            let piece = page.get_mut(..length)?;
            if self.copy(from, piece)? != length {
                return None;
            }
            match piece.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    whole.extend(piece.iter().take(end));
                    return Some(whole);
                }
                None => whole.extend(piece.iter()),
            }
            wanted = PATH_BYTES;
        }
        None
    }

    /// As many bytes as fit.
    pub(super) fn copy(&self, address: Address, target: &mut [u8]) -> Option<usize> {
        let source = [RemoteIoVec {
            base: usize::try_from(address).ok()?,
            len: target.len(),
        }];
        process_vm_readv(
            Pid::from_raw(self.thread),
            &mut [IoSliceMut::new(target)],
            &source,
        )
        .ok()
    }

    /// The directory that a relative path starts in.
    pub(super) fn directory(&self, world: &World, named: Named) -> Result<OwnedFd, Errno> {
        if named.directory != CWD.as_raw_fd() {
            return self.descriptor(world, named.directory);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = format!("{}/cwd", self.thread);
        openat(world.proc.as_fd(), place, flags, Mode::empty())
    }

    /// What a descriptor refers to, without the right to do anything with it.
    pub(super) fn descriptor(&self, world: &World, number: i32) -> Result<OwnedFd, Errno> {
        if number < 0 {
            return Err(Errno::BADF);
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = format!("{}/fd/{number}", self.thread);
        match openat(world.proc.as_fd(), place, flags, Mode::empty()) {
            // The directory belongs to root where the caller can't be looked into (PR_SET_DUMPABLE).
            Err(Errno::ACCESS) => self.own(world, number),
            other => other,
        }
    }

    /// The caller's own descriptor, with all rights to it.
    pub(super) fn own(&self, world: &World, number: i32) -> Result<OwnedFd, Errno> {
        // Before Linux 6.9 there is none for a thread: the process has the same descriptors, nearly always.
        let caller = super::pidfd(self.thread).or_else(|| {
            let leader = self.status(world, b"Tgid:")?.parse().ok()?;
            super::pidfd(leader)
        });
        pidfd_getfd(caller.ok_or(Errno::ACCESS)?, number, PidfdGetfdFlags::empty())
    }

    /// What a line near the beginning of its status says.
    pub(super) fn status(&self, world: &World, name: &[u8]) -> Option<String> {
        let place = format!("{}/status", self.thread);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(world.proc.as_fd(), place, flags, Mode::empty()).ok()?;
        let mut text = [0_u8; STATUS_BYTES];
        let length = rustix::io::read(&file, &mut text).ok()?;
        // The program's name before it may hold anything but a line feed.
        let mut lines = text.get(..length)?.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name))?;
        Some(str::from_utf8(value).ok()?.trim().to_owned())
    }
}
