//! The first process of the sandbox: reaps, relays stops and signals, reports how the program ended.
//!
//! When it ends, the kernel kills everything else in its pid namespace (pid_namespaces(7)); nothing inside outlives it.
//! It is undumpable, without capabilities, in a Landlock domain, and holds no secret. What runs inside can't stop or
//! kill it: the kernel drops signals to the first process of a namespace that it has no handler for.

use super::job::{Answered, Job};
use super::stage::broken;
use super::step::Executor;
use super::{During, network};
use crate::launch::protocol::{
    Ending, FromStage, Place, Reach, SocketKind, SocketsMade, SocketsWanted, StageError, ToStage,
};
use crate::launch::{Channel, ChannelError};
use crate::sys::process::exit_now;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgid, getpgrp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use std::os::fd::{AsFd, BorrowedFd};

/// Holds every signal back: SIGCHLD for the descriptor that [`run`] reads it from, the rest because this process has no
/// use for them and its child shall have them at the exec.
pub(super) fn block_signals() -> Result<(), StageError> {
    SigSet::all().thread_block().during("sigprocmask")
}

/// Stays until the program ends. `executor` holds what must stay open meanwhile: the terminal's node lives as long as
/// its descriptor. `sockets` is where sockets of the sandbox's network are asked for.
pub(super) fn run(
    channel: &Channel,
    mut sockets: Option<Channel>,
    program: i32,
    executor: Executor,
) -> Result<(), StageError> {
    let _kept = executor.kept;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let signals =
        SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).during("signalfd")?;
    let mut watch = Watch {
        channel,
        program: Pid::from_raw(program),
        job: Job::new(),
    };
    loop {
        while let Ok(Some(_)) = signals.read_signal() {}
        watch.reap()?;
        let mut waiting = vec![
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN),
        ];
        waiting.extend(
            sockets
                .iter()
                .map(|sockets| PollFd::from_borrowed_fd(sockets.as_fd(), PollFlags::IN)),
        );
        match poll(&mut waiting, watch.patience()) {
            Ok(0) => watch.repeat()?,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).during("poll"),
        }
        let ready = |index: usize| {
            waiting
                .get(index)
                .is_some_and(|entry| !entry.revents().is_empty())
        };
        let (control, wanted) = (ready(1), ready(2));
        if wanted && sockets.as_ref().is_some_and(|sockets| !hand_out(sockets)) {
            sockets = None;
        }
        if !control {
            continue;
        }
        match channel.receive::<ToStage>() {
            Ok((ToStage::Continue(place), _)) => {
                watch.reap()?;
                watch.proceed(place)?;
            }
            Ok((ToStage::Signal(number, reach), _)) => {
                watch.reap()?;
                watch.signal(number, reach);
            }
            Ok((ToStage::Plan, _)) => return Err(broken(ChannelError::Malformed)),
            // The supervisor is gone: everything ends with this process.
            Err(_) => exit_now(125),
        }
    }
}

/// Makes the sockets that are wanted. `false` when nobody will ask again. The supervisor waits for each answer, or bounds
/// how many it doesn't wait for, so that none finds the socket full and holds this process up.
fn hand_out(sockets: &Channel) -> bool {
    let Ok((SocketsWanted { id, kind }, _)) = sockets.receive() else {
        return false;
    };
    let made = match kind {
        SocketKind::Connecting => network::connecting(),
        SocketKind::Listening(port) => network::loopback_listeners(port),
    };
    let (errno, made) = match made {
        Ok(made) => (None, made),
        Err(error) => (Some(error.errno), Vec::new()),
    };
    let descriptors: Vec<BorrowedFd<'_>> = made.iter().map(AsFd::as_fd).collect();
    match sockets.send(&SocketsMade { id, errno }, &descriptors) {
        // Too many of them are under way: that one is lost, and whoever wanted it gives up after a while.
        Ok(()) | Err(ChannelError::Call { .. }) => true,
        Err(ChannelError::Gone | ChannelError::Malformed) => false,
    }
}

/// When [`FromStage::Continued`] is told once more. It wakes a supervisor that is stopped; one that was about to stop
/// itself by SIGSTOP, which can't be held back, may have slept through it.
const REPEATED_AFTER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

struct Watch<'a> {
    channel: &'a Channel,
    program: Pid,
    job: Job,
}

impl Watch<'_> {
    /// Collects every child that changed; reports the program's stops. At the program's end it doesn't return.
    fn reap(&mut self) -> Result<(), StageError> {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        loop {
            let (pid, status) = match wait(options) {
                Ok(Some(changed)) => changed,
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno).during("waitpid"),
            };
            if pid.as_raw_nonzero().get() != self.program.as_raw() {
                continue;
            }
            // Numbers and not names: a program can die by a real-time signal, which has none.
            if let Some(code) = status.exit_status() {
                return self.end(Ending::Exited(code));
            } else if let Some(signal) = status.terminating_signal() {
                return self.end(Ending::Signaled(signal));
            }
            let word = if let Some(signal) = status.stopping_signal() {
                let in_our_group = self.is_in_our_group();
                self.job.stop(signal, in_our_group)
            } else if status.continued() {
                self.job.continued()
            } else {
                None
            };
            if let Some(word) = word {
                self.tell(&word)?;
            }
        }
    }

    fn end(&self, ending: Ending) -> Result<(), StageError> {
        self.tell(&FromStage::Ended(ending))?;
        exit_now(0)
    }

    fn is_in_our_group(&self) -> bool {
        getpgid(Some(self.program)) == Ok(getpgrp())
    }

    fn patience(&self) -> Option<&'static Timespec> {
        self.job
            .may_have_slept(|| self.is_in_our_group())
            .then_some(&REPEATED_AFTER)
    }

    fn repeat(&mut self) -> Result<(), StageError> {
        let word = self.job.repeat();
        self.tell(&word)
    }

    fn proceed(&mut self, place: Place) -> Result<(), StageError> {
        match self.job.answered() {
            Answered::Tell(signal) => self.tell(&FromStage::Stopped(signal)),
            Answered::Resume { stopped } => {
                self.resume(place, stopped);
                Ok(())
            }
        }
    }

    /// Where the program has put itself into a group of its own, as interactive shells do, that group gets the terminal
    /// back (the shell outside gave it to ours) and is continued, which the shell outside could not do.
    fn resume(&self, place: Place, stopped: bool) {
        let Ok(group) = getpgid(Some(self.program)) else {
            return;
        };
        if group == getpgrp() {
            if stopped {
                kill(self.program, Signal::SIGCONT).ok();
            }
            return;
        }
        if !stopped {
            return;
        }
        if place == Place::Foreground {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            if let Ok(terminal) = rustix::fs::open("/dev/tty", flags, Mode::empty()) {
                // From the background, which is why SIGTTOU must be blocked: it is.
                nix::unistd::tcsetpgrp(&terminal, group).ok();
            }
        }
        killpg(group, Signal::SIGCONT).ok();
    }

    fn signal(&self, number: i32, reach: Reach) {
        let meant = match reach {
            Reach::Always => true,
            Reach::Unstopped => !self.job.was_stopped(),
            Reach::OtherGroup => !self.is_in_our_group(),
        };
        if !meant {
            return;
        }
        if let Ok(signal) = Signal::try_from(number) {
            kill(self.program, signal).ok();
        }
    }

    fn tell(&self, message: &FromStage) -> Result<(), StageError> {
        self.channel.send(message, &[]).map_err(broken)
    }
}
