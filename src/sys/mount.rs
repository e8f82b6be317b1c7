//! `mount_setattr(2)`: neither nix nor rustix has it.

use rustix::{fd::AsFd, io, mount::MountAttrFlags};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether an attribute change reaches the mounts below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This mount alone.
    One,
    /// This mount and all below it.
    Tree,
}

/// Sets attributes on the mount that `mount` refers to.
///
/// # Errors
/// `EPERM` when a locked flag would be cleared, `EINVAL` when the descriptor isn't the root of a mount.
pub(crate) fn set_attributes(mount: impl AsFd, set: MountAttrFlags, reach: Reach) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: u64::from(set.bits()),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if reach == Reach::Tree {
        flags |= libc::AT_RECURSIVE;
    }
    let descriptor: BorrowedFd<'_> = mount.as_fd();
    // SAFETY: mount_setattr(2) reads a NUL-terminated path (a static empty one, AT_EMPTY_PATH is set) and `size` bytes
    // of a mount_attr, which lives on this stack and is passed with its own size. It writes to no user memory. The
    // descriptor is open for the length of the borrow.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            descriptor.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> io::Errno {
    io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(io::Errno::INVAL)
}
