//! The life of one run, seen from outside: from its start until nothing of it is left.
//!
//! One thread, one poll(2): the control socket, signals, and whatever else wants to be looked at ([`Source`]). Signals
//! are blocked and read from a descriptor, so no handler runs and none is missed.

use super::terminal::SavedTerminal;
use crate::launch::linux::parent::Standing;
use crate::launch::protocol::{Ending, FromStage, StageError, ToStage};
use crate::launch::{Channel, ChannelError};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the program has after a polite end before everything is killed.
const GRACE: Duration = Duration::from_millis(1500);

/// Something else that the loop looks at.
pub trait Source {
    /// What to wait for; none when there is nothing (any more).
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;
    /// One of them is ready.
    fn ready(&mut self);
}

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Finished {
    /// The program ran and ended so.
    Ended(Ending),
    /// The program could not be executed (`ENOENT`, `EACCES`, …).
    NotExecuted(i32),
}

/// Why the run could not be seen to its end. Everything inside is dead all the same.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A last step before the exec failed.
    #[error("{0}")]
    Step(#[from] StageError),
    /// The first process ended without saying how.
    #[error("the sandbox's first process was killed")]
    Lost,
    /// A call of the loop failed.
    #[error("{call}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Its error.
        source: Errno,
    },
    /// Speaking with the first process failed.
    #[error("speaking with the sandbox's first process")]
    Channel(#[source] ChannelError),
}

/// The signals that the loop reads. Job control stops come from the program's own state, so SIGTSTP does nothing here.
const HEARD: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// `si_code` of a signal that the kernel sent, as the terminal's does (sigaction(2)).
const SI_KERNEL: i32 = 0x80;

/// The signals of this process, held back from the moment on when a program could be there that they are meant for.
#[derive(Debug)]
pub struct HeldSignals(SignalFd);

impl HeldSignals {
    /// Holds them back and reads them from a descriptor. After the stage was started, which must not inherit that.
    ///
    /// # Errors
    /// When the kernel gives no descriptor.
    pub fn hold() -> Result<Self, SessionError> {
        let mut heard = SigSet::empty();
        for signal in HEARD {
            heard.add(signal);
        }
        heard.thread_block().map_err(|errno| call("sigprocmask", errno))?;
        SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map(Self)
            .map_err(|errno| call("signalfd", errno))
    }
}

/// Stays with the program until all inside is dead.
///
/// # Errors
/// See [`SessionError`].
pub fn run(
    standing: &Standing,
    signals: &HeldSignals,
    sources: &mut [&mut dyn Source],
) -> Result<Finished, SessionError> {
    let terminal = SavedTerminal::save();
    let mut state = State {
        standing,
        deadline: None,
        terminal: &terminal,
    };
    let finished = state.watch(&signals.0, sources);
    // However it went: nothing inside outlives this point.
    pidfd_send_signal(&standing.pidfd, rustix::process::Signal::KILL).ok();
    reap(&standing.pidfd)?;
    terminal.restore();
    finished
}

struct State<'a> {
    standing: &'a Standing,
    deadline: Option<Instant>,
    terminal: &'a SavedTerminal,
}

impl State<'_> {
    fn watch(
        &mut self,
        signals: &SignalFd,
        sources: &mut [&mut dyn Source],
    ) -> Result<Finished, SessionError> {
        loop {
            let timeout = match self.deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) => Timespec::try_from(left + Duration::from_millis(1)).ok(),
                    None => return Ok(Finished::Ended(Ending::Signaled(Signal::SIGTERM as i32))),
                },
            };
            let ready = wait(&self.standing.channel, signals, sources, timeout.as_ref())?;
            if ready.signals {
                while let Ok(Some(signal)) = signals.read_signal() {
                    self.signal(i32::try_from(signal.ssi_signo).unwrap_or(0), signal.ssi_code);
                }
            }
            for index in ready.sources {
                if let Some(source) = sources.get_mut(index) {
                    source.ready();
                }
            }
            if ready.control
                && let Some(finished) = self.message(signals)?
            {
                return Ok(finished);
            }
        }
    }

    fn message(&mut self, signals: &SignalFd) -> Result<Option<Finished>, SessionError> {
        match self.standing.channel.receive::<FromStage>() {
            Ok((FromStage::Ended(ending), _)) => Ok(Some(Finished::Ended(ending))),
            Ok((FromStage::NotExecuted(errno), _)) => Ok(Some(Finished::NotExecuted(errno))),
            Ok((FromStage::Failed(error), _)) => Err(error.into()),
            Ok((FromStage::Stopped(signal), _)) => {
                self.stop(signal, signals);
                Ok(None)
            }
            Ok((FromStage::Ready(_) | FromStage::Network(..) | FromStage::Filtered, _)) => {
                Err(SessionError::Channel(ChannelError::Malformed))
            }
            Err(ChannelError::Gone) => Err(SessionError::Lost),
            Err(error) => Err(SessionError::Channel(error)),
        }
    }

    /// The terminal's own signals go to the whole foreground group, the program included; one that somebody sent to
    /// this process alone is passed on.
    fn signal(&mut self, number: i32, code: i32) {
        let Ok(signal) = Signal::try_from(number) else {
            return;
        };
        if signal == Signal::SIGCONT {
            self.tell(&ToStage::Continue);
            return;
        }
        if code == SI_KERNEL {
            return;
        }
        self.tell(&ToStage::Signal(number));
        if signal == Signal::SIGTERM && self.deadline.is_none() {
            self.deadline = Some(Instant::now() + GRACE);
            // A stopped program would never see it.
            self.tell(&ToStage::Continue);
        }
    }

    /// The program stopped, whoever made it: this process stops the same way, so that the shell gets its prompt.
    fn stop(&self, number: i32, signals: &SignalFd) {
        let Ok(signal) = Signal::try_from(number) else {
            return;
        };
        self.terminal.leave();
        // What arrived together with the stop (the terminal's SIGTSTP) must not count as a continuation.
        while let Ok(Some(_)) = signals.read_signal() {}
        let mut one = SigSet::empty();
        one.add(signal);
        raise(signal).ok();
        // Delivery of a blocked signal happens here; a stopped process goes on below once it is continued.
        one.thread_unblock().ok();
        if signal != Signal::SIGSTOP {
            one.thread_block().ok();
        }
        let mut continued = false;
        while let Ok(Some(heard)) = signals.read_signal() {
            continued |= heard.ssi_signo == Signal::SIGCONT as u32;
        }
        if !continued {
            // An orphaned process group ignores SIGTSTP and its like; SIGSTOP always works.
            raise(Signal::SIGSTOP).ok();
            while let Ok(Some(_)) = signals.read_signal() {}
        }
        self.tell(&ToStage::Continue);
    }

    fn tell(&self, message: &ToStage) {
        // A first process that is gone shows up as the end of the control socket.
        drop(self.standing.channel.send(message, &[]));
    }
}

struct Ready {
    control: bool,
    signals: bool,
    sources: Vec<usize>,
}

fn wait(
    channel: &Channel,
    signals: &SignalFd,
    sources: &[&mut dyn Source],
    timeout: Option<&Timespec>,
) -> Result<Ready, SessionError> {
    let mut waiting = vec![
        PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
    ];
    let mut owners = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for descriptor in source.descriptors() {
            waiting.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
            owners.push(index);
        }
    }
    match poll(&mut waiting, timeout) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(source) => return Err(SessionError::Call { call: "poll", source }),
    }
    let mut found = waiting.iter().map(|entry| !entry.revents().is_empty());
    let control = found.next().unwrap_or(false);
    let signals = found.next().unwrap_or(false);
    let mut sources: Vec<usize> = found
        .zip(owners)
        .filter_map(|(ready, owner)| ready.then_some(owner))
        .collect();
    sources.dedup();
    Ok(Ready {
        control,
        signals,
        sources,
    })
}

/// Waits until the first process, and with it everything in its pid namespace, is gone.
fn reap(pidfd: &OwnedFd) -> Result<(), SessionError> {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(_) | Err(Errno::CHILD) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(source) => {
                return Err(SessionError::Call {
                    call: "waitid",
                    source,
                });
            }
        }
    }
}

/// Ends this process the way the program ended, so that the caller sees the same (a shell prints `Segmentation fault`).
/// Returns the exit code for the case that the signal doesn't end it.
#[must_use]
pub fn end_alike(signal: i32) -> u8 {
    // The program left its core file, if any; a second one of the supervisor would be of no use.
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0).ok();
    if let Ok(signal) = Signal::try_from(signal) {
        crate::sys::process::set_disposition(signal as i32, crate::sys::process::Disposition::Default);
        let mut one = SigSet::empty();
        one.add(signal);
        kill(Pid::this(), signal).ok();
        one.thread_unblock().ok();
    }
    u8::try_from(128 + signal).unwrap_or(255)
}

fn call(call: &'static str, errno: nix::errno::Errno) -> SessionError {
    SessionError::Call {
        call,
        source: Errno::from_raw_os_error(errno as i32),
    }
}
