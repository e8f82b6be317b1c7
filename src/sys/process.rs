//! Processes: the one clone that makes the sandbox, the fork of its first process, signals, descriptors.

use rustix::fd::FromRawFd;
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

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

/// A process that was made here.
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

/// What [`clone_into`] returned to.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// In the new process, which owns the control socket.
    Child(OwnedFd),
    /// In the old one.
    Parent(Spawned),
}

/// Makes a process in new namespaces, with every capability of its new user namespace, that goes on in this program as
/// after fork(2) and has no descriptor above `control`. The caller must have one thread.
///
/// What the new process holds of this one's memory is what was there by now, and the caller's arguments and
/// variables, which [`forget_arguments`] wipes.
///
/// # Errors
/// The errno of clone(2): `EPERM` where user namespaces are refused, `ENOSPC` where their number is used up.
pub(crate) fn clone_into(namespaces: i32, control: OwnedFd) -> Result<Cloned, Errno> {
    match clone(namespaces)? {
        None => {
            take_place(control.as_raw_fd());
            // The number was moved to its place and closed with all the others.
            let _moved = control.into_raw_fd();
            Ok(Cloned::Child(take_control()))
        }
        Some(spawned) => Ok(Cloned::Parent(spawned)),
    }
}

/// Starts this program again, with an empty environment and `control` as descriptor 3.
///
/// Unlike after [`clone_into`], other threads may exist: between the clone and the exec the copy calls nothing that
/// takes a lock, and its memory is gone with the exec.
///
/// # Errors
/// The errno of clone(2).
pub(crate) fn spawn_self(control: BorrowedFd<'_>, arguments: &[CString]) -> Result<Spawned, Errno> {
    let pointers: Vec<*const libc::c_char> = arguments
        .iter()
        .map(|text| text.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect();
    match clone(0)? {
        None => {
            take_place(control.as_raw_fd());
            execute_self(pointers.as_ptr())
        }
        Some(spawned) => Ok(spawned),
    }
}

/// clone3(2) without shared memory: as fork(2), and a descriptor for the child. `None` in the child.
fn clone(namespaces: i32) -> Result<Option<Spawned>, Errno> {
    let mut pidfd: RawFd = -1;
    let clone = CloneArguments {
        flags: u64::from(namespaces.cast_unsigned()) | u64::from(libc::CLONE_PIDFD.cast_unsigned()),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArguments::default()
    };
    // SAFETY: clone3(2) reads `size_of::<CloneArguments>()` bytes, which is the layout of the kernel's clone_args up to
    // `cgroup`; `pidfd` points to a live int. Without CLONE_VM the child has its own copy of memory and of this stack,
    // as after fork(2). A caller with one thread may go on in it (no lock is held that another thread would release);
    // any other only calls what takes no lock until it executes a program.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const clone, size_of::<CloneArguments>()) };
    if result == 0 {
        return Ok(None);
    }
    if result < 0 {
        return Err(last_errno());
    }
    // SAFETY: the call succeeded with CLONE_PIDFD, so the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some(Spawned {
        pid: i32::try_from(result).unwrap_or(-1),
        pidfd,
    }))
}

/// In a new process: puts the control socket at its place and closes everything above. Takes no lock.
fn take_place(control: RawFd) {
    if control == CONTROL {
        // SAFETY: fcntl(2) F_SETFD with 0 takes the close-on-exec flag off a descriptor of our own.
        unsafe { libc::fcntl(control, libc::F_SETFD, 0) };
    } else {
        // SAFETY: dup2(2) on an open descriptor; whatever stood at the target is not used by this copy again.
        unsafe { libc::dup2(control, CONTROL) };
    }
    // SAFETY: close_range(2) from 4 up closes descriptors that this copy of the process doesn't use again.
    unsafe { libc::syscall(libc::SYS_close_range, CONTROL + 1, u32::MAX, 0) };
}

/// Executes this program. `arguments` is an array of C strings that ends with a null pointer.
fn execute_self(arguments: *const *const libc::c_char) -> ! {
    let environment: [*const libc::c_char; 1] = [std::ptr::null()];
    // SAFETY: the path is a static C string; the caller's array holds C strings that live in this copy of memory and
    // ends with a null pointer, as does the empty environment. On success it doesn't return.
    unsafe { libc::execve(c"/proc/self/exe".as_ptr(), arguments, environment.as_ptr()) };
    // SAFETY: _exit(2) runs no handlers of the parent; it doesn't return.
    unsafe { libc::_exit(125) }
}

/// Overwrites what this process was started with, arguments and variables, and gives it another name: both can hold
/// secrets, and the arguments are readable for everybody in `/proc/PID/cmdline`. Called once, by a copy that needs
/// neither any more.
///
/// # Errors
/// When the kernel doesn't tell where they are.
pub(crate) fn forget_arguments(name: &CStr) -> std::io::Result<()> {
    // Fields 48 to 51 of proc_pid_stat(5), counted behind the command name, which may hold anything.
    let text = std::fs::read("/proc/self/stat")?;
    let fields: Vec<usize> = text
        .rsplit(|byte| *byte == b')')
        .next()
        .unwrap_or_default()
        .split(|byte| *byte == b' ')
        .map(|field| {
            str::from_utf8(field)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(0)
        })
        .collect();
    let (Some(start), Some(middle), Some(environment), Some(end)) =
        (fields.get(46), fields.get(47), fields.get(48), fields.get(49))
    else {
        return Err(std::io::ErrorKind::InvalidData.into());
    };
    for (from, to) in [(*start, *middle), (*environment, *end)] {
        let Some(length) = to.checked_sub(from).filter(|_| from != 0) else {
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        // SAFETY: the kernel laid the strings of execve(2) out between these addresses of the main thread's stack, which
        // is mapped and writable for as long as the process lives. Nothing in this copy of the process, which has one
        // thread, reads them again or holds a reference into them: Rust copies what `std::env` gives.
        unsafe { std::ptr::write_bytes(std::ptr::without_provenance_mut::<u8>(from), 0, length) };
    }
    let room = middle
        .saturating_sub(*start)
        .saturating_sub(1)
        .min(name.count_bytes());
    // SAFETY: as above; at most the length of the arguments is written, and a zero is left behind them.
    unsafe {
        std::ptr::copy_nonoverlapping(
            name.as_ptr().cast(),
            std::ptr::without_provenance_mut::<u8>(*start),
            room,
        )
    };
    // SAFETY: PR_SET_NAME reads a NUL-terminated string of up to 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
    Ok(())
}

/// What becomes of a process when the thread that started it ends before it does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Orphan {
    /// It is killed.
    Killed,
    /// It gets `SIGTERM`, and cleans up.
    Asked,
    /// It goes on to its end, which isn't far, and has this descriptor open until then.
    Finishes(RawFd),
}

/// Makes what `command` will start a session of its own, without the caller's terminal and signals, that has its three
/// standard descriptors alone.
pub(crate) fn bind_to_caller(command: &mut Command, orphan: Orphan) {
    /// Signals that a program expects to end it, or to be told by.
    const USUAL: [libc::c_int; 9] = [
        libc::SIGPIPE,
        libc::SIGXFSZ,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGCHLD,
        libc::SIGTSTP,
        libc::SIGCONT,
    ];
    let caller = rustix::process::getpid().as_raw_nonzero().get();
    let prepare = move || {
        // SAFETY: setsid(2) takes nothing.
        if unsafe { libc::setsid() } < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let signal = match orphan {
            Orphan::Killed => libc::SIGKILL,
            Orphan::Asked => libc::SIGTERM,
            Orphan::Finishes(_) => 0,
        };
        // SAFETY: PR_SET_PDEATHSIG takes a number; 0 is no signal.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: getppid(2) takes nothing. It had another parent if the caller ended before the call above.
        if signal != 0 && unsafe { libc::getppid() } != caller {
            return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
        }
        for signal in USUAL {
            set_disposition(signal, Disposition::Default);
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: sigemptyset(3) initialises the set it is given.
        unsafe { libc::sigemptyset(none.as_mut_ptr()) };
        // SAFETY: sigprocmask(2) reads an initialised set; the old one isn't asked for.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) };
        close_on_exec_above_stdio()?;
        if let Orphan::Finishes(kept) = orphan {
            // SAFETY: fcntl(2) with F_SETFD takes numbers.
            if unsafe { libc::fcntl(kept, libc::F_SETFD, 0) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork(2) and execve(2), where other threads' locks may be held for
    // ever: it makes system calls alone, and neither allocates nor takes a lock (an error is a number).
    unsafe { command.pre_exec(prepare) };
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

/// Ends this process by `signal`, or returns where that signal ends nobody. It has no thread any more that would be hit
/// in its place.
pub(crate) fn die_by(signal: i32) {
    set_disposition(signal, Disposition::Default);
    let mut one = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset(3) initialises the set it is given.
    unsafe { libc::sigemptyset(one.as_mut_ptr()) };
    // SAFETY: sigaddset(3) changes an initialised set; a bad number gives EINVAL.
    unsafe { libc::sigaddset(one.as_mut_ptr(), signal) };
    // SAFETY: raise(3) takes a number.
    unsafe { libc::raise(signal) };
    // SAFETY: pthread_sigmask(3) reads an initialised set; the old one isn't asked for. What is pending strikes here.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, one.as_ptr(), std::ptr::null_mut()) };
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

/// Makes a command's process end with the thread that starts it, and have none of our descriptors but its standard ones.
/// Killed as well is one whose starter dies before it can ask for that.
pub(crate) fn tie(command: &mut Command) {
    let starter = rustix::process::getpid();
    let tied = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        if rustix::process::getppid() != Some(starter) {
            return Err(Errno::SRCH.into());
        }
        Ok(close_on_exec_above_stdio()?)
    };
    // SAFETY: between fork(2) and execve(2) this calls prctl(2), getppid(2) and close_range(2), which take no lock, and
    // makes errors out of numbers, which allocates nothing.
    unsafe { command.pre_exec(tied) };
}

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

/// Takes over the control socket that [`take_place`] put at descriptor 3. Called once, first thing in a new process.
pub(crate) fn take_control() -> OwnedFd {
    // SAFETY: a new process has its control socket at 3, everything above closed, and calls this once, before anything
    // else opens or owns a descriptor.
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

/// Joins a mount namespace, and before that the user namespace that owns it, with every capability there (setns(2),
/// ioctl_nsfs(2)). The caller has one thread. By descriptor: the first process of a sandbox can't be looked into, so that
/// no `pidfd` of it serves.
///
/// # Errors
/// `EPERM` when the namespace isn't a sandbox of the same user.
pub(crate) fn join_mounts(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: NS_GET_USERNS takes no argument and gives a new descriptor, or -1.
    let owner = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) };
    if owner < 0 {
        return Err(last_errno());
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    let owner = unsafe { OwnedFd::from_raw_fd(owner) };
    for (descriptor, kind) in [
        (owner.as_raw_fd(), libc::CLONE_NEWUSER),
        (namespace.as_raw_fd(), libc::CLONE_NEWNS),
    ] {
        // SAFETY: setns(2) takes a descriptor and flags; it changes which namespaces this process is in and no memory.
        if unsafe { libc::setns(descriptor, kind) } != 0 {
            return Err(last_errno());
        }
    }
    Ok(())
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
