//! A terminal for a full-screen client: tmux on the host, which the client doesn't see.

use crate::support::{Ran, World};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for what the screen shall show.
const PATIENCE: Duration = Duration::from_secs(60);

/// One window of a tmux server; both end with the value.
pub(crate) struct Screen<'a> {
    world: &'a World,
    socket: PathBuf,
}

impl<'a> Screen<'a> {
    /// Runs a command, of which the program, arguments and added variables are taken, as the user.
    pub(crate) fn start(world: &'a World, command: &Command) -> Self {
        let screen = Self {
            world,
            socket: world.outside.join("tmux"),
        };
        let mut tmux = world.command("tmux");
        tmux.arg("-S").arg(&screen.socket).args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "110",
            "-y",
            "40",
            "env",
        ]);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                tmux.arg([name, OsStr::new("="), value].into_iter().collect::<OsString>());
            }
        }
        tmux.arg("TERM=xterm-256color")
            .arg(command.get_program())
            .args(command.get_args());
        tmux.env("TERM", "xterm-256color");
        Ran::from_output(&tmux.output().unwrap()).ok();
        let keep = screen.tmux(&["set-option", "remain-on-exit", "on"]);
        keep.ok();
        screen
    }

    fn tmux(&self, arguments: &[&str]) -> Ran {
        let mut command = self.world.command("tmux");
        command.arg("-S").arg(&self.socket).args(arguments);
        Ran::from_output(&command.output().unwrap())
    }

    /// Waits until the screen shows that text.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        let shown = self.within(PATIENCE, text);
        assert!(shown.contains(text), "{text:?} doesn't appear:\n{shown}");
    }

    /// The screen as it is when it shows that text, or at the end of that time.
    fn within(&self, patience: Duration, text: &str) -> String {
        let start = Instant::now();
        loop {
            let shown = self.tmux(&["capture-pane", "-p"]).out;
            if shown.contains(text) || start.elapsed() > patience {
                return shown;
            }
            // tmux was seen to miss that its child has ended, one time in ten on a busy machine: the child was a zombie
            // that it had not waited for, with no signal pending or blocked. Told again it looks.
            let server = self.tmux(&["display-message", "-p", "#{pid}"]).out;
            if let Some(server) = server.trim().parse().ok().and_then(Pid::from_raw) {
                kill_process(server, Signal::CHILD).ok();
            }
        }
    }

    fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]).ok();
    }

    /// Types a line, sees it appear and enters it. A client may take a key that follows at once for part of a pasted
    /// text, so it is pressed until the screen shows the answer.
    #[track_caller]
    pub(crate) fn enters(&self, line: &str, answer: &str) {
        self.types(line);
        self.shows(line);
        let start = Instant::now();
        loop {
            self.tmux(&["send-keys", "Enter"]).ok();
            let shown = self.within(Duration::from_secs(3), answer);
            if shown.contains(answer) {
                return;
            }
            let user = crate::support::uid().to_string();
            let mut processes = self.world.command("ps");
            processes.args([
                "-L",
                "-u",
                &user,
                "-o",
                "pid,lwp,ppid,pgid,tpgid,stat,wchan:20,args",
            ]);
            assert!(
                start.elapsed() < PATIENCE,
                "{answer:?} doesn't appear:\n{shown}\n{}",
                Ran::from_output(&processes.output().unwrap()).out
            );
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
