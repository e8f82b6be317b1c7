//! Processes: the one clone that makes the sandbox, the fork of its first process, signals, descriptors.

use rustix::fd::FromRawFd;
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The descriptor that the stage finds its control socket at.
pub(crate) const CONTROL: RawFd = 3;

/// The namespaces of a sandbox: user, mount, pid, ipc, uts, cgroup and network (namespaces(7)).
pub(crate) const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWNET;

/// A process that [`spawn_self`] made.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its id outside.
    pub(crate) pid: i32,
    /// Refers to it for good (pidfd_open(2)): the number alone could be reused.
    pub(crate) pidfd: OwnedFd,
}

/// `struct clone_args` of clone(2), up to `cgroup` (88 bytes, the version of Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Starts this program again in new namespaces, with an empty environment, `control` as descriptor 3 and every
/// capability of its new user namespace. The caller must have one thread only, so that the copy of this process that
/// exists until the exec holds no lock of another thread.
///
/// # Errors
/// The errno of clone(2): `EPERM` where user namespaces are refused, `ENOSPC` where their number is used up.
pub(crate) fn spawn_self(
    control: BorrowedFd<'_>,
    namespaces: i32,
    arguments: &[CString],
) -> Result<Spawned, Errno> {
    let mut pidfd: RawFd = -1;
    let pointers: Vec<*const libc::c_char> = arguments
        .iter()
        .map(|text| text.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect();
    let clone = CloneArguments {
        flags: u64::from(namespaces.cast_unsigned()) | u64::from(libc::CLONE_PIDFD.cast_unsigned()),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArguments::default()
    };
    // SAFETY: clone3(2) reads `size_of::<CloneArguments>()` bytes, which is the layout of the kernel's clone_args up to
    // `cgroup`; `pidfd` points to a live int. Without CLONE_VM the child has its own copy of memory and of this stack,
    // as after fork(2), and the caller vouches for a single thread, so no lock is held that the child could wait for.
    // The child calls only async-signal-safe functions (below) and never returns.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const clone, size_of::<CloneArguments>()) };
    if result == 0 {
        become_self(control.as_raw_fd(), pointers.as_ptr());
    }
    if result < 0 {
        return Err(last_errno());
    }
    // SAFETY: the call succeeded with CLONE_PIDFD, so the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Spawned {
        pid: i32::try_from(result).unwrap_or(-1),
        pidfd,
    })
}

/// The child's half of [`spawn_self`]: keeps its capabilities over the exec, puts the socket in place, executes.
/// `arguments` is an array of C strings that ends with a null pointer.
fn become_self(control: RawFd, arguments: *const *const libc::c_char) -> ! {
    keep_capabilities();
    if control == CONTROL {
        // SAFETY: fcntl(2) F_SETFD with 0 takes the close-on-exec flag off a descriptor of our own.
        unsafe { libc::fcntl(control, libc::F_SETFD, 0) };
    } else {
        // SAFETY: dup2(2) on an open descriptor; whatever stood at the target is not used by this copy again.
        unsafe { libc::dup2(control, CONTROL) };
    }
    // SAFETY: close_range(2) from 4 up closes descriptors that this copy of the process doesn't use again.
    unsafe { libc::syscall(libc::SYS_close_range, CONTROL + 1, u32::MAX, 0) };
    let environment: [*const libc::c_char; 1] = [std::ptr::null()];
    // SAFETY: the path is a static C string; the caller's array holds C strings that live in this copy of memory and
    // ends with a null pointer, as does the empty environment. On success it doesn't return.
    unsafe { libc::execve(c"/proc/self/exe".as_ptr(), arguments, environment.as_ptr()) };
    // SAFETY: _exit(2) runs no handlers of the parent; it doesn't return.
    unsafe { libc::_exit(125) }
}

/// Raises every permitted capability into the ambient set, so that the exec of a program without file capabilities by
/// an unmapped uid keeps them (capabilities(7)).
fn keep_capabilities() {
    let header = [0x2008_0522_u32, 0];
    let mut data = [0_u32; 6];
    // SAFETY: capget(2) version 3 reads the 8-byte header and writes two 12-byte records: 24 bytes, the array's size.
    unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    let [_, low, _, _, high, _] = data;
    let whole = [low, low, low, high, high, high];
    // SAFETY: capset(2) reads the same two structures; inheritable may be raised up to permitted.
    unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), whole.as_ptr()) };
    for capability in 0..64_u64 {
        let present = if capability < 32 {
            low >> capability & 1
        } else {
            high >> (capability - 32) & 1
        };
        if present == 1 {
            // SAFETY: prctl(2) PR_CAP_AMBIENT takes numbers only.
            unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0) };
        }
    }
}

/// What [`fork`] returned to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Forked {
    /// In the new process.
    Child,
    /// In the old one, with the new one's id.
    Parent(i32),
}

/// Copies a process that has one thread. Only the stage calls this: it never starts a thread.
///
/// # Errors
/// `EAGAIN` at the process limit.
pub(crate) fn fork() -> Result<Forked, Errno> {
    // SAFETY: fork(2) is safe to continue from in a process with a single thread, since no other thread can hold a lock
    // of the allocator or of the standard library. The stage makes no thread.
    match unsafe { libc::fork() } {
        -1 => Err(last_errno()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Ends a forked copy at once, without the parent's exit handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and doesn't return.
    unsafe { libc::_exit(code) }
}

/// What a signal does to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// The kernel's default.
    Default,
    /// Nothing.
    Ignore,
}

/// Sets what `signal` does.
pub(crate) fn set_disposition(signal: i32, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    // SAFETY: SIG_DFL and SIG_IGN run no code of ours; a bad number gives EINVAL and changes nothing.
    unsafe { libc::signal(signal, handler) };
}

/// Whether this process ignores `signal`, as `nohup` and shells without job control have it.
#[must_use]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action sigaction(2) only writes the current one, into memory of that type.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeroes are a valid sigaction (SIG_DFL, no flags), and a successful call has filled it in.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Whether what arrives on a socket raises a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// SIGCONT to this process: it goes on if it is stopped.
    Continue,
    /// None.
    Nothing,
}

/// Sets that (fcntl(2): `F_SETOWN`, `F_SETSIG`, `O_ASYNC`).
///
/// # Errors
/// Those of fcntl(2).
pub(crate) fn wake_by(socket: BorrowedFd<'_>, wake: Wake) -> Result<(), Errno> {
    let call = |command: libc::c_int, value: libc::c_int| {
        // SAFETY: these three commands of fcntl(2) take a number and change how the open file behaves, no memory.
        let result = unsafe { libc::fcntl(socket.as_raw_fd(), command, value) };
        if result < 0 { Err(last_errno()) } else { Ok(result) }
    };
    let flags = call(libc::F_GETFL, 0)?;
    match wake {
        Wake::Continue => {
            call(libc::F_SETOWN, rustix::process::getpid().as_raw_nonzero().get())?;
            call(F_SETSIG, libc::SIGCONT)?;
            call(libc::F_SETFL, flags | libc::O_ASYNC)?;
        }
        Wake::Nothing => {
            call(libc::F_SETFL, flags & !libc::O_ASYNC)?;
        }
    }
    Ok(())
}

/// `F_SETSIG` of `linux/fcntl.h`, which the libc crate doesn't name for every C library.
const F_SETSIG: libc::c_int = 10;

/// Marks every descriptor from 3 up close-on-exec (close_range(2)), whatever the caller of aca left open.
///
/// # Errors
/// `EINVAL` on kernels before 5.11; the stage then refuses to go on.
pub(crate) fn close_on_exec_above_stdio() -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: with CLOSE_RANGE_CLOEXEC no descriptor is closed here, so none that Rust owns becomes stale.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Takes over the control socket that [`spawn_self`] put at descriptor 3. Called once, first thing in the stage.
pub(crate) fn take_control() -> OwnedFd {
    // SAFETY: the stage is started with its control socket at 3 and calls this once, before anything else opens or owns
    // a descriptor.
    let control = unsafe { OwnedFd::from_raw_fd(CONTROL) };
    // SAFETY: F_SETFD on the descriptor just taken.
    unsafe { libc::fcntl(CONTROL, libc::F_SETFD, libc::FD_CLOEXEC) };
    control
}

/// Gives the process a fresh session keyring (keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`), since the one that it inherited
/// is shared with all of the user's sessions and no namespace separates it.
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings: then there is nothing to separate.
pub(crate) fn new_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: with a null name an anonymous keyring is made; no memory is read or written.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Joins the user and mount namespaces of a process (setns(2) with a pidfd, Linux 5.8). The caller has one thread.
///
/// # Errors
/// `EPERM` when the target isn't a sandbox of the same user, `ESRCH` when it is gone.
pub(crate) fn join_user_and_mounts(pidfd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: setns(2) takes a descriptor and flags; it changes which namespaces this process is in and no memory.
    let result = unsafe { libc::setns(pidfd.as_raw_fd(), libc::CLONE_NEWUSER | libc::CLONE_NEWNS) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
