//! seccomp: installing filters, and answering the calls that a filter hands to a supervisor (seccomp(2),
//! seccomp_unotify(2)).

use libc::{
    SECCOMP_FILTER_FLAG_NEW_LISTENER as NEW_LISTENER, SECCOMP_FILTER_FLAG_SPEC_ALLOW as SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as WAIT_KILLABLE_RECV,
};
use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// One instruction of classic BPF.
pub type Instruction = libc::sock_filter;

/// Wakes the reader on the processor of the caller and the other way round, since one always waits for the other
/// (`linux/include/uapi/linux/seccomp.h`, Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;

/// Installs a filter for this thread and all that it starts.
///
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW` is the default of Linux 5.16 and later: older kernels slow every filtered process
/// down to keep its own memory from its own speculation, which is no border here.
///
/// # Errors
/// `EACCES` without `no_new_privs`, `EINVAL` for a program that the kernel finds wrong, `ENOMEM`.
pub fn install(program: &[Instruction]) -> io::Result<()> {
    set_filter(SPEC_ALLOW, program).map(drop)
}

/// Installs a filter that answers `SECCOMP_RET_USER_NOTIF`, and gives the descriptor that such calls are read from.
///
/// The caller waits in a killable sleep once its call was read (Linux 5.19), so that signals don't make it start the
/// call again; older kernels do without.
///
/// # Errors
/// As [`install`], `EBUSY` when a filter above already has a listener, `EINVAL` where the kernel has none.
pub fn install_with_listener(program: &[Instruction]) -> io::Result<OwnedFd> {
    let descriptor = match set_filter(SPEC_ALLOW | NEW_LISTENER | WAIT_KILLABLE_RECV, program) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            set_filter(SPEC_ALLOW | NEW_LISTENER, program)?
        }
        result => result?,
    };
    // SAFETY: with NEW_LISTENER the kernel's result is a new descriptor, open and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Keeps this thread and all that it starts from a Landlock domain of its own: landlock_create_ruleset(2), the question for
/// the version too, is answered as by a kernel that was started without Landlock. For a process that is under another
/// filter already, which shuts the gates of other architectures.
///
/// # Errors
/// As [`install`].
pub fn install_without_landlock() -> io::Result<()> {
    // Opcodes of classic BPF (linux/include/uapi/linux/bpf_common.h), and the place of the number in struct seccomp_data.
    let load_number = Instruction {
        code: 0x20,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let number = u32::try_from(libc::SYS_landlock_create_ruleset).map_err(io::Error::other)?;
    let is_that = Instruction {
        code: 0x15,
        jt: 0,
        jf: 1,
        k: number,
    };
    let answer = |k| Instruction {
        code: 0x06,
        jt: 0,
        jf: 0,
        k,
    };
    let refused = libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP.unsigned_abs();
    install(&[
        load_number,
        is_that,
        answer(refused),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

fn set_filter(flags: libc::c_ulong, program: &[Instruction]) -> io::Result<RawFd> {
    let len = program
        .len()
        .try_into()
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: seccomp(2) reads `len` instructions from `filter`, which the slice holds for the whole call, and writes
    // to none of them (the pointer is mutable only in C's declaration). Nothing is kept after the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    // Without TSYNC the result is 0, a descriptor, or -1.
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(result).map_err(io::Error::other)
    }
}

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Names this call to the kernel.
    pub id: u64,
    /// The calling thread, in the reader's pid namespace; 0 when it isn't visible there.
    pub thread: i32,
    /// The number of the call.
    pub number: i32,
    /// Its arguments. What they point at may change at any time.
    pub args: [u64; 6],
}

/// What the supervisor reads calls from.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Takes the descriptor of [`install_with_listener`].
    #[must_use]
    pub fn new(descriptor: OwnedFd) -> Self {
        let flags = SYNC_WAKE_UP;
        // SAFETY: the request takes its argument by value (`linux/kernel/seccomp.c`, seccomp_notify_set_flags) and
        // reads or writes no memory of ours. Before Linux 6.6 it is EINVAL, and answers only take longer.
        let _unsupported =
            unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags) };
        Self(descriptor)
    }

    /// Takes the next call; waits when there is none, so poll first. `None` when the caller died meanwhile.
    ///
    /// # Errors
    /// As the kernel says; `EINTR` is tried again.
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        // SAFETY: the type is plain numbers, for which zero is a value; the kernel wants the buffer zeroed.
        let mut raw: libc::seccomp_notif = unsafe { mem::zeroed() };
        loop {
            // SAFETY: the kernel writes one seccomp_notif, whose size is part of the request's number (a kernel with
            // another one refuses it with EINVAL), to a live and exclusive borrow of that type.
            if unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) } == 0 {
                let thread = raw.pid.try_into().unwrap_or(0);
                let args = raw.data.args;
                return Ok(Some(Notification {
                    id: raw.id,
                    thread,
                    number: raw.data.nr,
                    args,
                }));
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::ENOENT) => return Ok(None),
                _ => return Err(error),
            }
        }
    }

    /// Answers a call with an errno, so that the kernel doesn't do it. `false` when the caller is gone.
    ///
    /// # Errors
    /// As the kernel says, other than that the caller is gone.
    pub fn refuse(&self, id: u64, errno: i32) -> io::Result<bool> {
        // SECCOMP_USER_NOTIF_FLAG_CONTINUE is not set and the error is never 0: this can't let a call through.
        let error = if errno == 0 { libc::EPERM } else { errno };
        self.answer(libc::seccomp_notif_resp {
            id,
            val: 0,
            error: -error.abs(),
            flags: 0,
        })
    }

    /// Lets the kernel do the call, with whatever its pointers point at by then. `false` when the caller is gone: then
    /// what was read of its memory may have been another process's. `true` means that the same call waited all along.
    ///
    /// # Errors
    /// As the kernel says, other than that the caller is gone.
    pub fn proceed(&self, id: u64) -> io::Result<bool> {
        let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
        self.answer(libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags,
        })
    }

    /// Answers a call with a result, without the kernel doing it: it was done on the caller's behalf. `false` when the
    /// caller is gone.
    ///
    /// # Errors
    /// As the kernel says, other than that the caller is gone.
    pub fn done(&self, id: u64, result: i32) -> io::Result<bool> {
        self.answer(libc::seccomp_notif_resp {
            id,
            val: result.into(),
            error: 0,
            flags: 0,
        })
    }

    /// Whether the caller still waits: what was read of it before was read of the one that called.
    #[must_use]
    pub fn is_waiting(&self, id: u64) -> bool {
        // SAFETY: the kernel reads one u64, whose size is part of the request's number, from a live borrow.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
                &raw const id,
            )
        };
        result == 0
    }

    /// Puts a copy of `descriptor` into the caller, and gives the number there (Linux 5.14). The caller waits on, so that
    /// what ends with the last descriptor, such as a flock(2), ends with the caller's own where the other is closed before
    /// the answer.
    ///
    /// # Errors
    /// `ENOENT` when the caller is gone, and what stands in the caller's way, such as `EMFILE` at its own limit.
    pub fn add(&self, id: u64, descriptor: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<RawFd> {
        let number = u32::try_from(descriptor.as_raw_fd()).map_err(io::Error::other)?;
        let close = if close_on_exec { libc::O_CLOEXEC } else { 0 };
        let mut given = libc::seccomp_notif_addfd {
            id,
            flags: 0,
            srcfd: number,
            newfd: 0,
            newfd_flags: u32::try_from(close).map_err(io::Error::other)?,
        };
        loop {
            // SAFETY: the kernel reads one seccomp_notif_addfd, whose size is part of the request's number, from a live
            // borrow of that type, and keeps nothing; the descriptor is open for the length of the borrow.
            let result = unsafe {
                libc::ioctl(
                    self.0.as_raw_fd(),
                    libc::SECCOMP_IOCTL_NOTIF_ADDFD,
                    &raw mut given,
                )
            };
            if result >= 0 {
                return Ok(result);
            }
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINTR) {
                return Err(error);
            }
        }
    }

    fn answer(&self, mut response: libc::seccomp_notif_resp) -> io::Result<bool> {
        loop {
            // SAFETY: the kernel reads one seccomp_notif_resp, whose size is part of the request's number, from a live
            // borrow of that type, and keeps nothing.
            if unsafe {
                libc::ioctl(
                    self.0.as_raw_fd(),
                    libc::SECCOMP_IOCTL_NOTIF_SEND,
                    &raw mut response,
                )
            } == 0
            {
                return Ok(true);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::ENOENT) => return Ok(false),
                _ => return Err(error),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
