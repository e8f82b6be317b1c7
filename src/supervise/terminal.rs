//! The user's terminal: whose turn it is, and its modes as they were.

use crate::launch::protocol::Place;
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::termios::{
    OptionalActions, Termios, ioctl_tiocnxcl, isatty, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp,
};
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Which terminal it is.
#[derive(Debug)]
enum Kind {
    /// The session's: it has a foreground group.
    Controlling,
    /// One that standard input merely is on.
    Other,
}

/// The terminal of a run, looked at before the program can have touched it.
#[derive(Debug)]
pub struct JobTerminal {
    terminal: Option<(OwnedFd, Kind)>,
    saved: Option<Termios>,
    /// Whether the job had the terminal when it was last looked at.
    was_ours: Cell<bool>,
    /// The flags of standard input, output and error, which whoever opened them shares with the program.
    flags: [Option<OFlags>; 3],
}

impl JobTerminal {
    /// The controlling terminal whatever standard input is (`git log | aca run -- less`), else that of standard input.
    #[must_use]
    pub fn look() -> Self {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = match rustix::fs::open("/dev/tty", flags, Mode::empty()) {
            Ok(terminal) => Some((terminal, Kind::Controlling)),
            Err(_) => {
                let input = std::io::stdin();
                let copy = if isatty(&input) {
                    input.as_fd().try_clone_to_owned().ok()
                } else {
                    None
                };
                copy.map(|terminal| (terminal, Kind::Other))
            }
        };
        let mut looked = Self {
            terminal,
            saved: None,
            was_ours: Cell::new(false),
            flags: with_standard(|_, descriptor| fcntl_getfl(descriptor).ok()),
        };
        looked.note();
        // In the background the modes are someone else's: a shell's at its prompt.
        if let Some((terminal, _)) = &looked.terminal
            && looked.is_ours()
        {
            looked.saved = tcgetattr(terminal).ok();
        }
        looked
    }

    /// Looks where the job is, for [`Self::take_back`].
    pub(super) fn note(&self) -> Place {
        let place = self.place();
        self.was_ours.set(place == Place::Foreground);
        place
    }

    /// Where the job is.
    pub(super) fn place(&self) -> Place {
        match &self.terminal {
            Some((terminal, Kind::Controlling))
                if tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp()) =>
            {
                Place::Foreground
            }
            Some(_) | None => Place::Background,
        }
    }

    fn is_ours(&self) -> bool {
        matches!(&self.terminal, Some((_, Kind::Other))) || self.place() == Place::Foreground
    }

    /// After the end: puts the modes back if the terminal is ours to touch. Whoever has it otherwise
    /// has set them as they shall be.
    ///
    /// Nothing is done when the program only stops: as without aca, the modes are then the shell's business and the
    /// program's, which sets them again when it goes on.
    pub(super) fn restore(&self) {
        // Such as O_NONBLOCK, with which the next reader of the same terminal or pipe would fail.
        with_standard(|index, descriptor| {
            let flags = self.flags.get(index).copied().flatten()?;
            if fcntl_getfl(descriptor) == Ok(flags) {
                return None;
            }
            fcntl_setfl(descriptor, flags).ok()
        });
        self.take_back();
        let (Some((terminal, _)), Some(saved)) = (&self.terminal, &self.saved) else {
            return;
        };
        if self.is_ours() {
            // At once: waiting for output to drain would wait for ever on a terminal that was stopped with Ctrl-S.
            tcsetattr(terminal, OptionalActions::Now, saved).ok();
            // Whoever set it is gone, and nobody else could open the terminal (ioctl_tty(2) TIOCEXCL).
            ioctl_tiocnxcl(terminal).ok();
        }
    }

    /// A shell inside made a group of its own the foreground one and ended: it can't give the terminal back, since our
    /// group has no number inside. Nobody is left in its group, so the terminal is given to ours. That is done from the
    /// background, which SIGTTOU would stop, were it not held back.
    ///
    /// Only where the terminal was ours before: else the group without members is a job of the shell outside, which is
    /// about to take the terminal back for itself.
    pub(super) fn take_back(&self) {
        let Some((terminal, Kind::Controlling)) = &self.terminal else {
            return;
        };
        if !self.was_ours.get() {
            return;
        }
        let Ok(group) = tcgetpgrp(terminal) else { return };
        if rustix::process::test_kill_process_group(group) == Err(Errno::SRCH) {
            tcsetpgrp(terminal, rustix::process::getpgrp()).ok();
        }
    }
}

fn with_standard<T>(mut each: impl FnMut(usize, BorrowedFd<'_>) -> T) -> [T; 3] {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    [
        each(0, input.as_fd()),
        each(1, output.as_fd()),
        each(2, error.as_fd()),
    ]
}
