//! Calls that the self-test makes to see whether they are refused. Each is harmless where it isn't.

use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Asks for the id of the user's session keyring (keyctl(2) `KEYCTL_GET_KEYRING_ID`), which is shared by all of the
/// user's processes.
///
/// # Errors
/// Those of keyctl(2).
pub(crate) fn find_session_keyring() -> Result<(), Errno> {
    const KEYCTL_GET_KEYRING_ID: i32 = 0;
    const KEY_SPEC_USER_SESSION_KEYRING: i32 = -5;
    // SAFETY: takes three numbers and touches no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_KEYRING_ID,
            KEY_SPEC_USER_SESSION_KEYRING,
            1,
        )
    };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Makes a ring of io_uring_setup(2) and lets it go.
///
/// # Errors
/// Those of io_uring_setup(2).
pub(crate) fn make_ring() -> Result<(), Errno> {
    /// `struct io_uring_params`.
    #[repr(C, align(8))]
    struct Parameters([u8; 120]);
    let mut parameters = Parameters([0; 120]);
    // SAFETY: the kernel reads and writes 120 bytes, the size of its `struct io_uring_params`, at a live address.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, (&raw mut parameters).cast::<u8>()) };
    if result < 0 {
        return Err(last_errno());
    }
    close(result);
    Ok(())
}

/// Makes a descriptor of userfaultfd(2) for faults of user code, which needs no privilege, and lets it go.
///
/// # Errors
/// Those of userfaultfd(2).
pub(crate) fn watch_faults() -> Result<(), Errno> {
    const UFFD_USER_MODE_ONLY: i32 = 1;
    // SAFETY: takes one number and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_userfaultfd, UFFD_USER_MODE_ONLY | libc::O_CLOEXEC) };
    if result < 0 {
        return Err(last_errno());
    }
    close(result);
    Ok(())
}

/// Types a line feed into a terminal (TIOCSTI of ioctl_tty(2)), as if its user had.
///
/// # Errors
/// Those of ioctl(2): `ENOTTY` where the descriptor is no terminal.
pub(crate) fn push_input(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    let byte = b'\n';
    // SAFETY: the kernel reads one byte at a live address.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, &raw const byte) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Closes a descriptor that a call has just made.
fn close(made: libc::c_long) {
    if let Ok(descriptor) = RawFd::try_from(made) {
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
