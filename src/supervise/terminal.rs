//! The user's terminal: its modes are put back when a program dies without doing so.

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};
use std::os::fd::AsFd;

/// The modes as they were before the run; nothing when there is no terminal.
#[derive(Debug)]
pub(super) struct SavedTerminal(Option<Termios>);

impl SavedTerminal {
    /// Looks at standard input's terminal.
    #[must_use]
    pub(super) fn save() -> Self {
        let input = std::io::stdin();
        Self(if isatty(input.as_fd()) {
            tcgetattr(input.as_fd()).ok()
        } else {
            None
        })
    }

    /// Before a stop: nothing to do, since a program that stops itself puts its modes back first, and the shell keeps
    /// its own. Here so that the place is known.
    pub(super) const fn leave(&self) {}

    /// After the end: puts the modes back if they differ and the terminal is ours to touch.
    pub(super) fn restore(&self) {
        let Some(saved) = &self.0 else { return };
        let input = std::io::stdin();
        let foreground = tcgetpgrp(input.as_fd()).is_ok_and(|group| group == rustix::process::getpgrp());
        if !foreground {
            self.take_back();
        }
        if tcgetattr(input.as_fd()).is_ok_and(|now| differs(&now, saved)) {
            tcsetattr(input.as_fd(), OptionalActions::Drain, saved).ok();
        }
    }

    /// The program made a group of its own the foreground one and died: nobody is left in it, so the terminal is given
    /// back to ours. Doing so from the background raises SIGTTOU, which is held off for that moment.
    fn take_back(&self) {
        use nix::sys::signal::{SigSet, Signal};
        let input = std::io::stdin();
        let Ok(group) = tcgetpgrp(input.as_fd()) else {
            return;
        };
        if rustix::process::test_kill_process_group(group).is_ok() {
            return;
        }
        let mut one = SigSet::empty();
        one.add(Signal::SIGTTOU);
        one.thread_block().ok();
        rustix::termios::tcsetpgrp(input.as_fd(), rustix::process::getpgrp()).ok();
        one.thread_unblock().ok();
    }
}

fn differs(now: &Termios, saved: &Termios) -> bool {
    now.input_modes != saved.input_modes
        || now.output_modes != saved.output_modes
        || now.control_modes != saved.control_modes
        || now.local_modes != saved.local_modes
}
