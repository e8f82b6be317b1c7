//! The supervisor's signals: blocked and read from a descriptor, so no handler runs and none is missed.

use super::session::SessionError;
use crate::launch::linux::parent::Interrupt;
use crate::sys::process::is_ignored;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

/// Those that end a program that does nothing about them, as users send them.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP];

/// Those of job control: the program's own state tells when this process is to stop. Were they not held back, the
/// terminal would stop this process beside the program, and the word of the program's stop would stop it once more.
pub(super) const JOB_CONTROL: [Signal; 4] =
    [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGCONT];

/// Those that are only passed on.
const PASSED_ON: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];

/// `si_code` of a signal that the kernel sent, as the terminal's does (sigaction(2)).
const SI_KERNEL: i32 = 0x80;

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// Anybody, before the program was there for sure: it may have got it or not.
    Early,
    /// The terminal, to the whole foreground group.
    Kernel,
    /// A process, to this one or to a group.
    Process,
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) signal: Signal,
    pub(super) sender: Sender,
}

/// The signals of this process, held back from the moment on when a program could be there that they are meant for.
#[derive(Debug)]
pub struct HeldSignals {
    descriptor: SignalFd,
    /// Those that came before the program was there for sure: whoever sent them, it may not have got them.
    early: VecDeque<Heard>,
}

impl HeldSignals {
    /// Holds them back and reads them from a descriptor. After the stage was started, which must not inherit that.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn hold() -> Result<Self, SessionError> {
        let failed = |call, errno: nix::errno::Errno| SessionError::Call {
            call,
            source: Errno::from_raw_os_error(errno as i32),
        };
        let mut heard = SigSet::empty();
        for signal in ENDING.into_iter().chain(JOB_CONTROL).chain(PASSED_ON) {
            heard.add(signal);
        }
        heard
            .thread_block()
            .map_err(|errno| failed("sigprocmask", errno))?;
        let descriptor = SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|errno| failed("signalfd", errno))?;
        Ok(Self {
            descriptor,
            early: VecDeque::new(),
        })
    }

    /// From here on the program is there: what came so far was early.
    pub(super) fn begin(&mut self) {
        while let Some(heard) = self.read() {
            self.early.push_back(Heard {
                sender: Sender::Early,
                ..heard
            });
        }
    }

    /// The next one that came, if any.
    pub(super) fn next(&mut self) -> Option<Heard> {
        self.early.pop_front().or_else(|| self.read())
    }

    /// The one that gave the start up.
    #[must_use]
    pub fn ending(&self) -> Option<i32> {
        self.early
            .iter()
            .map(|heard| heard.signal)
            // A signal that is ignored is held back all the same.
            .find(|signal| ENDING.contains(signal) && !is_ignored(*signal as i32))
            .map(|signal| signal as i32)
    }

    fn read(&self) -> Option<Heard> {
        loop {
            let information = self.descriptor.read_signal().ok()??;
            let number = i32::try_from(information.ssi_signo).unwrap_or(0);
            if let Ok(signal) = Signal::try_from(number) {
                let sender = if information.ssi_code == SI_KERNEL {
                    Sender::Kernel
                } else {
                    Sender::Process
                };
                return Some(Heard { signal, sender });
            }
        }
    }
}

impl AsFd for HeldSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Interrupt for HeldSignals {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    fn given_up(&mut self) -> bool {
        self.begin();
        self.ending().is_some()
    }
}
