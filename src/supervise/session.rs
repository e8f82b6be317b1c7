//! The life of one run, seen from outside: from its start until nothing of it is left.
//!
//! One thread, one poll(2): the control socket, signals, and whatever else wants to be looked at ([`Source`]).

use super::signals::{Heard, HeldSignals, JOB_CONTROL, Sender};
use super::terminal::JobTerminal;
use crate::launch::linux::parent::Standing;
use crate::launch::protocol::{Ending, FromStage, Place, Reach, StageError, ToStage};
use crate::launch::{Channel, ChannelError};
use crate::sys::process::{Disposition, Wake, set_disposition, wake_by};
use nix::sys::signal::{SigSet, Signal, raise};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
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
    #[error(transparent)]
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

/// Stays with the program until all inside is dead.
///
/// # Errors
/// See [`SessionError`].
pub fn run(
    standing: &Standing,
    mut signals: HeldSignals,
    terminal: &JobTerminal,
    sources: &mut [&mut dyn Source],
) -> Result<Finished, SessionError> {
    let mut state = State {
        standing,
        deadline: None,
        terminal,
        signals: &mut signals,
    };
    let finished = state.watch(sources);
    // However it went: nothing inside outlives this point.
    pidfd_send_signal(&standing.pidfd, rustix::process::Signal::KILL).ok();
    reap(&standing.pidfd)?;
    terminal.restore();
    finished
}

struct State<'a> {
    standing: &'a Standing,
    deadline: Option<Instant>,
    terminal: &'a JobTerminal,
    signals: &'a mut HeldSignals,
}

impl State<'_> {
    fn watch(&mut self, sources: &mut [&mut dyn Source]) -> Result<Finished, SessionError> {
        loop {
            while let Some(heard) = self.signals.next() {
                self.signal(heard);
            }
            let timeout = match self.deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) => Timespec::try_from(left + Duration::from_millis(1)).ok(),
                    None => return Ok(Finished::Ended(Ending::Signaled(Signal::SIGTERM as i32))),
                },
            };
            let ready = wait(&self.standing.channel, self.signals, sources, timeout.as_ref())?;
            for index in ready.sources {
                if let Some(source) = sources.get_mut(index) {
                    source.ready();
                }
            }
            if ready.control
                && let Some(finished) = self.message()?
            {
                return Ok(finished);
            }
        }
    }

    fn message(&mut self) -> Result<Option<Finished>, SessionError> {
        match self.standing.channel.receive::<FromStage>() {
            Ok((FromStage::Ended(ending), _)) => Ok(Some(Finished::Ended(ending))),
            Ok((FromStage::NotExecuted(errno), _)) => Ok(Some(Finished::NotExecuted(errno))),
            Ok((FromStage::Failed(error), _)) => Err(error.into()),
            Ok((FromStage::Stopped(signal), _)) => {
                self.stop(signal)?;
                Ok(None)
            }
            // It has done its work by arriving: it wakes this process where that is stopped.
            Ok((FromStage::Continued, _)) => Ok(None),
            Ok((
                FromStage::Ready(_) | FromStage::Sockets(_) | FromStage::Network(..) | FromStage::Filtered,
                _,
            )) => Err(SessionError::Channel(ChannelError::Malformed)),
            Err(ChannelError::Gone) => Err(SessionError::Lost),
            Err(error) => Err(SessionError::Channel(error)),
        }
    }

    /// The terminal's own signals go to the whole foreground group, the program included; one that somebody sent to
    /// this process alone, or that came before there was a program, is passed on.
    fn signal(&mut self, heard: Heard) {
        let number = heard.signal as i32;
        match (heard.signal, heard.sender) {
            (Signal::SIGCONT, _) => self.proceed(),
            // The terminal is gone: that concerns a program too that has left our group.
            (Signal::SIGHUP, Sender::Kernel) => self.tell(&ToStage::Signal(number, Reach::OtherGroup)),
            (_, Sender::Kernel) => {}
            (Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU, Sender::Early) => {
                self.tell(&ToStage::Signal(number, Reach::Unstopped));
            }
            (signal, Sender::Process | Sender::Early) => {
                self.tell(&ToStage::Signal(number, Reach::Always));
                if signal == Signal::SIGTERM && self.deadline.is_none() {
                    self.deadline = Some(Instant::now() + GRACE);
                    // A stopped program would never see it.
                    self.proceed();
                }
            }
        }
    }

    /// The program stopped, whoever made it: this process stops the same way, so that the shell gets its prompt.
    fn stop(&mut self, number: i32) -> Result<(), SessionError> {
        let Ok(signal) = Signal::try_from(number) else {
            return Ok(());
        };
        let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        if wants_terminal {
            self.terminal.take_back();
            if self.terminal.place() == Place::Foreground {
                // It is the job's turn already; a shell inside, in a group of its own, is given the terminal on.
                self.proceed();
                return Ok(());
            }
        }
        self.hear_all();
        if self.deadline.is_some() {
            // It is to end, and can't put that off by stopping.
            self.proceed();
            return Ok(());
        }
        match self.stop_here(signal)? {
            Stop::Continued => self.proceed(),
            // Our group is orphaned: nobody could continue it, and the kernel spares its members such a stop. The
            // program is in another group, or it would not have stopped; it is spared as well. But without the terminal
            // that it waits for it would only stop again.
            Stop::Spared if wants_terminal => {}
            Stop::Spared => self.proceed(),
        }
        Ok(())
    }

    /// Stops this process until it is continued by whomever, or until the first process has something to say: that the
    /// program was continued from inside, or killed.
    fn stop_here(&mut self, signal: Signal) -> Result<Stop, SessionError> {
        let mut one = SigSet::empty();
        one.add(signal);
        // A caller may have it ignored; the program has shown that it hasn't.
        set_disposition(signal as i32, Disposition::Default);
        let channel = self.standing.channel.as_fd();
        wake_by(channel, Wake::Continue).map_err(|source| SessionError::Call {
            call: "fcntl",
            source,
        })?;
        // A stop signal that is held back is undone by each SIGCONT that comes after it, and a word that came before it
        // is seen here: no word is slept through. SIGSTOP can't be held back; what comes at its moment comes once more.
        if signal != Signal::SIGSTOP {
            raise(signal).ok();
        }
        if has_word(channel)? {
            raise(Signal::SIGCONT).ok();
        } else if signal == Signal::SIGSTOP {
            raise(signal).ok();
        } else {
            // The stop happens here.
            one.thread_unblock().ok();
            one.thread_block().ok();
        }
        wake_by(channel, Wake::Nothing).map_err(|source| SessionError::Call {
            call: "fcntl",
            source,
        })?;
        Ok(self.hear_all())
    }

    /// Hears what came; job control's own signals have no further meaning around a stop. One that stops takes back a
    /// continuation that wasn't heard yet (signal(7)): it tells of that as well.
    fn hear_all(&mut self) -> Stop {
        let mut stop = Stop::Spared;
        while let Some(heard) = self.signals.next() {
            if JOB_CONTROL.contains(&heard.signal) {
                stop = Stop::Continued;
            } else {
                self.signal(heard);
            }
        }
        stop
    }

    fn proceed(&self) {
        self.tell(&ToStage::Continue(self.terminal.note()));
    }

    fn tell(&self, message: &ToStage) {
        // A first process that is gone shows up as the end of the control socket.
        drop(self.standing.channel.send(message, &[]));
    }
}

/// How a stop of this process went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It was continued.
    Continued,
    /// The kernel did not stop it.
    Spared,
}

/// Whether a message waits.
fn has_word(channel: BorrowedFd<'_>) -> Result<bool, SessionError> {
    let mut waiting = [PollFd::from_borrowed_fd(channel, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    retry_on_intr(|| poll(&mut waiting, Some(&now)))
        .map(|count| count > 0)
        .map_err(|source| SessionError::Call { call: "poll", source })
}

struct Ready {
    control: bool,
    sources: Vec<usize>,
}

fn wait(
    channel: &Channel,
    signals: &HeldSignals,
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
    // Signals are looked for at each turn.
    found.next();
    let mut sources: Vec<usize> = found
        .zip(owners)
        .filter_map(|(ready, owner)| ready.then_some(owner))
        .collect();
    sources.dedup();
    Ok(Ready { control, sources })
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
    // The program left its core file, if any; one of the supervisor would be of no use, and holds what the program must
    // not see. (A limit of 0 doesn't keep the kernel from piping it to a program, core(5); this does.)
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).ok();
    crate::sys::process::die_by(signal);
    u8::try_from(128 + signal).unwrap_or(255)
}
