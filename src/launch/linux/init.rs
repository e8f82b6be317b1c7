//! The first process of the sandbox: reaps, relays stops and signals, reports how the program ended.
//!
//! When it ends, the kernel kills everything else in its pid namespace (pid_namespaces(7)); nothing inside outlives it.
//! It is undumpable, without capabilities, under the same Landlock domain, and holds no secret.

use super::During;
use super::stage::broken;
use super::step::Executor;
use crate::launch::protocol::{Ending, FromStage, StageError, ToStage};
use crate::launch::{Channel, ChannelError};
use crate::sys::process::exit_now;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp, tcgetpgrp, tcsetpgrp};
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::AsFd;

/// Holds SIGCHLD back for the descriptor that [`run`] reads it from.
pub(super) fn block_child_signal() -> Result<(), StageError> {
    child_signal().thread_block().during("sigprocmask")
}

fn child_signal() -> SigSet {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children
}

/// Stays until the program ends. `executor` holds what must stay open meanwhile: the terminal's node lives as long as
/// its descriptor.
pub(super) fn run(channel: &Channel, program: i32, executor: Executor) -> Result<(), StageError> {
    let program = Pid::from_raw(program);
    let _kept = executor.kept;
    let signals = SignalFd::with_flags(&child_signal(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .during("signalfd")?;
    if let Some(ending) = reap(channel, program)? {
        channel.send(&FromStage::Ended(ending), &[]).map_err(broken)?;
        exit_now(0);
    }
    loop {
        let mut waiting = [
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN),
        ];
        match poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).during("poll"),
        }
        let [_, control] = &waiting;
        if !control.revents().is_empty() {
            match channel.receive::<ToStage>() {
                Ok((ToStage::Continue, _)) => resume(program),
                Ok((ToStage::Signal(number), _)) => {
                    if let Ok(signal) = Signal::try_from(number) {
                        kill(program, signal).ok();
                    }
                }
                Ok((ToStage::Plan, _)) => return Err(broken(ChannelError::Malformed)),
                // The supervisor is gone: everything ends with this process.
                Err(_) => exit_now(125),
            }
        }
        while let Ok(Some(_)) = signals.read_signal() {}
        if let Some(ending) = reap(channel, program)? {
            channel.send(&FromStage::Ended(ending), &[]).map_err(broken)?;
            exit_now(0);
        }
    }
}

/// Collects every child that changed; tells the program's end, reports its stops.
fn reap(channel: &Channel, program: Pid) -> Result<Option<Ending>, StageError> {
    loop {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        match waitpid(None, Some(flags)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == program => return Ok(Some(Ending::Exited(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                return Ok(Some(Ending::Signaled(signal as i32)));
            }
            Ok(WaitStatus::Stopped(pid, signal)) if pid == program => {
                channel
                    .send(&FromStage::Stopped(signal as i32), &[])
                    .map_err(broken)?;
            }
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(None),
            Err(nix::errno::Errno::EINTR)
            | Ok(
                WaitStatus::Exited(..)
                | WaitStatus::Signaled(..)
                | WaitStatus::Stopped(..)
                | WaitStatus::Continued(_)
                | WaitStatus::PtraceEvent(..)
                | WaitStatus::PtraceSyscall(_),
            ) => {}
            Err(errno) => return Err(errno).during("waitpid"),
        }
    }
}

/// `fg` continued the job: the program too, and when it had put itself into a group of its own, that group gets the
/// terminal back (the shell gave it to ours).
fn resume(program: Pid) {
    let Ok(group) = getpgid(Some(program)) else { return };
    if group == getpgrp() {
        kill(program, Signal::SIGCONT).ok();
        return;
    }
    let mut terminal_output = SigSet::empty();
    terminal_output.add(Signal::SIGTTOU);
    terminal_output.thread_block().ok();
    if tcgetpgrp(std::io::stdin()) == Ok(getpgrp()) {
        tcsetpgrp(std::io::stdin(), group).ok();
    }
    killpg(group, Signal::SIGCONT).ok();
}
