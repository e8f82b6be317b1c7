//! A terminal of its own for one process: what is typed, what is shown, its size and its modes.
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop, and what other processes do can only be looked at again and again"
)]

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A process on a terminal that it controls.
pub(crate) struct Pty {
    master: File,
    /// The terminal's name, such as `/dev/pts/3`.
    pub(crate) name: PathBuf,
    child: Child,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    /// How much of what was shown has been expected already.
    seen: usize,
    /// Ends the reading thread when it is closed.
    stop: Option<OwnedFd>,
}

#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
    ended: bool,
}

impl Pty {
    /// Starts a command as the leader of a session on a new terminal of 80 columns and 24 lines.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        if rustix::process::getuid().is_root() {
            // As login(1) does.
            std::os::unix::fs::lchown(&name, Some(crate::support::ORDINARY), None).unwrap();
        }
        let terminal = rustix::fs::open(
            &name,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .unwrap();
        set_size(&master, 24, 80);
        command
            .stdin(terminal.try_clone().unwrap())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal);
        lead_session(&mut command);
        let child = command.spawn().unwrap();
        // The command holds copies of the terminal.
        drop(command);
        let master = File::from(master);
        let shown = Arc::new((Mutex::new(Shown::default()), Condvar::new()));
        let (mut reader, writer) = (master.try_clone().unwrap(), Arc::clone(&shown));
        let (stopped, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            loop {
                let mut waiting = [
                    PollFd::new(&reader, PollFlags::IN),
                    PollFd::new(&stopped, PollFlags::IN),
                ];
                poll(&mut waiting, None).unwrap();
                let stop = !waiting[1].revents().is_empty();
                // EIO once nobody has the terminal open any more (pty(7)).
                let count = if stop {
                    0
                } else {
                    reader.read(&mut buffer).unwrap_or(0)
                };
                if stop {
                    reader = File::open("/dev/null").unwrap();
                }
                let (shown, changed) = &*writer;
                let mut shown = shown.lock().unwrap();
                shown.bytes.extend_from_slice(&buffer[..count]);
                shown.ended = count == 0;
                changed.notify_all();
                if shown.ended {
                    return;
                }
            }
        });
        Self {
            master,
            name,
            child,
            shown,
            seen: 0,
            stop: Some(stop),
        }
    }

    /// Types; `\n` is the return key, `\x03` is Ctrl-C, `\x1a` is Ctrl-Z.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until that text is shown after what was expected before; gives what came before it.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        match self.find(text) {
            Ok(before) => before,
            Err(shown) => panic!("{text:?} does not come; since the last one: {shown:?}"),
        }
    }

    fn find(&mut self, text: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let (shown, changed) = &*self.shown;
        let mut shown = shown.lock().unwrap();
        loop {
            let new = &shown.bytes[self.seen..];
            if let Some(at) = new.windows(text.len()).position(|part| part == text.as_bytes()) {
                let before = String::from_utf8_lossy(&new[..at]).into_owned();
                self.seen += at + text.len();
                return Ok(before);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || shown.ended {
                return Err(String::from_utf8_lossy(new).into_owned());
            }
            shown = changed.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// All that was shown.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.0.lock().unwrap().bytes).into_owned()
    }

    /// Changes the window's size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.master, rows, columns);
    }

    /// The terminal's local modes (`ECHO`, `ICANON`, …).
    pub(crate) fn modes(&self) -> LocalModes {
        tcgetattr(&self.master).unwrap().local_modes
    }

    /// The foreground process group.
    pub(crate) fn foreground(&self) -> i32 {
        tcgetpgrp(&self.master).unwrap().as_raw_nonzero().get()
    }

    /// Hangs up, as closing a window does; the first process is not waited for.
    pub(crate) fn hang_up(&mut self) {
        self.stop = None;
        // The reading thread has a copy, and lets go of it now.
        let (shown, changed) = &*self.shown;
        let mut shown = shown.lock().unwrap();
        while !shown.ended {
            shown = changed.wait(shown).unwrap();
        }
        self.master = File::open("/dev/null").unwrap();
    }

    /// The first process's id, which is that of its session and its group too.
    pub(crate) fn leader(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// Waits for the first process's end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_within(&mut self.child)
    }

    /// As [`Self::wait`]; 128 + n for a signal.
    #[track_caller]
    pub(crate) fn code(&mut self) -> i32 {
        let status = self.wait();
        status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .unwrap()
    }
}

impl Drop for Pty {
    /// A failed test leaves nothing behind.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes a command lead a session on the terminal that is its standard input.
#[expect(unsafe_code, reason = "there is no safe way to do it in the child")]
fn lead_session(command: &mut Command) {
    let lead = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(std::io::stdin())?;
        Ok(())
    };
    // SAFETY: setsid(2) and ioctl(2) TIOCSCTTY are async-signal-safe and touch no memory of the parent's.
    unsafe { command.pre_exec(lead) };
}

fn set_size(terminal: impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal.as_fd(), size).unwrap();
}

/// Waits for a process; it must end before the patience does.
#[track_caller]
pub(crate) fn wait_within(child: &mut Child) -> ExitStatus {
    let mut ended = None;
    until("the process ends", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
