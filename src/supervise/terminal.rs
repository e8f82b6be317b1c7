//! The user's terminal: whose turn it is, and its modes as they were.

use crate::launch::protocol::Place;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{
    OptionalActions, Termios, ioctl_tiocnxcl, isatty, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp,
};
use std::os::fd::{AsFd, OwnedFd};

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
pub struct JobTerminal(Option<(OwnedFd, Kind)>, Option<Termios>);

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
        let mut looked = Self(terminal, None);
        // In the background the modes are someone else's: a shell's at its prompt.
        if let Some((terminal, _)) = &looked.0
            && looked.is_ours()
        {
            looked.1 = tcgetattr(terminal).ok();
        }
        looked
    }

    /// Where the job is.
    pub(super) fn place(&self) -> Place {
        match &self.0 {
            Some((terminal, Kind::Controlling))
                if tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp()) =>
            {
                Place::Foreground
            }
            Some(_) | None => Place::Background,
        }
    }

    fn is_ours(&self) -> bool {
        matches!(&self.0, Some((_, Kind::Other))) || self.place() == Place::Foreground
    }

    /// After the end: puts the modes back if the terminal is ours to touch. Whoever has it otherwise
    /// has set them as they shall be.
    ///
    /// Nothing is done when the program only stops: as without aca, the modes are then the shell's business and the
    /// program's, which sets them again when it goes on.
    pub(super) fn restore(&self) {
        self.take_back();
        let (Some((terminal, _)), Some(saved)) = (&self.0, &self.1) else {
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
    pub(super) fn take_back(&self) {
        let Some((terminal, Kind::Controlling)) = &self.0 else {
            return;
        };
        let Ok(group) = tcgetpgrp(terminal) else { return };
        if rustix::process::test_kill_process_group(group) == Err(Errno::SRCH) {
            tcsetpgrp(terminal, rustix::process::getpgrp()).ok();
        }
    }
}
