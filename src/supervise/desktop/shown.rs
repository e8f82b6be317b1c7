//! A notification that is shown: the process that shows it, and what it says was chosen.
//!
//! The process may hang, print without end, or leave others behind that keep its output open; none of that is waited for.

use super::program::Program;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsString;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

/// Bytes of an answer: one word. More is none of ours.
const SAID_MAX: usize = 64;
/// Bytes of the help that are read, and how long it may take.
const HELP_MAX: usize = 64 << 10;
const HELP_WITHIN: Duration = Duration::from_secs(5);
/// How often it is seen meanwhile whether that is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// A process of notify-send(1); killed with the value.
#[derive(Debug)]
pub(super) struct Shown {
    child: Child,
    out: ChildStdout,
    said: Vec<u8>,
    most: usize,
    /// Nothing more is printed.
    silent: bool,
    reaped: bool,
}

/// How it is with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// It is shown still.
    Open,
    /// It is gone, and this was chosen; empty for nothing.
    Chosen(String),
    /// It could not be shown.
    Failed,
}

impl Shown {
    /// Starts one; `None` where that isn't possible.
    pub(super) fn start(program: &Program, arguments: Vec<OsString>) -> Option<Self> {
        let mut child = program.command().args(arguments).spawn().ok()?;
        let out = child.stdout.take();
        let shown = out.map(|out| Self {
            child,
            out,
            said: Vec::new(),
            most: SAID_MAX,
            silent: false,
            reaped: false,
        })?;
        rustix::io::ioctl_fionbio(&shown.out, true).ok()?;
        Some(shown)
    }

    /// Whether the program can show buttons (libnotify 0.8), as its help has it. An answer that is wanted no more is no.
    pub(super) fn has_actions(program: &Program, is_wanted: impl Fn() -> bool) -> bool {
        let Some(mut help) = Self::start(program, vec!["--help".into()]) else {
            return false;
        };
        help.most = HELP_MAX;
        let until = Instant::now() + HELP_WITHIN;
        while is_wanted() && Instant::now() < until {
            help.wait(LOOK);
            match help.look() {
                Look::Open => {}
                Look::Chosen(text) => return text.contains("--action"),
                Look::Failed => return false,
            }
        }
        false
    }

    /// How it is now.
    pub(super) fn look(&mut self) -> Look {
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else {
            return Look::Failed;
        };
        // Left unreaped until its group was killed: so long the number is nobody else's.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = match waitid(WaitId::Pid(pid), options) {
            Ok(ended) => ended.is_some(),
            Err(Errno::INTR) => false,
            Err(_) => return Look::Failed,
        };
        if !self.read() {
            return Look::Failed;
        }
        if !ended {
            return Look::Open;
        }
        kill_process_group(pid, Signal::KILL).ok();
        self.reaped = true;
        match self.child.wait() {
            Ok(status) if status.success() => {
                Look::Chosen(String::from_utf8_lossy(&self.said).trim().to_owned())
            }
            Ok(_) | Err(_) => Look::Failed,
        }
    }

    /// Takes what it has printed by now; `false` where that is too much.
    fn read(&mut self) -> bool {
        let mut buffer = [0_u8; 4096];
        while self.said.len() <= self.most {
            match rustix::io::read(&self.out, &mut buffer) {
                Ok(0) => {
                    self.silent = true;
                    return true;
                }
                Ok(count) => self
                    .said
                    .extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(_) => return self.said.len() <= self.most,
            }
        }
        false
    }

    /// Waits until it prints or ends, or for that long.
    fn wait(&self, within: Duration) {
        let Ok(within) = Timespec::try_from(within) else {
            return;
        };
        let mut polled = [PollFd::new(&self.out, PollFlags::IN)];
        // An end of the output would be told for ever.
        let polled = if self.silent {
            &mut []
        } else {
            polled.as_mut_slice()
        };
        // It is looked at again in any case.
        poll(polled, Some(&within)).ok();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process_group(pid, Signal::KILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
