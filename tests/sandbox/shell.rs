//! A shell inside, while the host goes on: for what happens during a run.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test may stop, and asks again until a deadline"
)]

use super::support::{Ran, World};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// How long something may take to come about. Generous: a loaded machine is slow, and only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ends each answer.
const END: &str = "--end-of-answer--";

/// `aca run FLAGS -- sh`, waiting for what to do.
pub(crate) struct Shell {
    child: Option<Child>,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What a command inside printed (both streams), and its exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.text
    }

    #[track_caller]
    pub(crate) fn refused(&self, with: &str) {
        assert_ne!(self.code, 0, "{self:?}");
        assert!(self.text.contains(with), "{self:?} without {with}");
    }
}

impl Shell {
    pub(crate) fn start(world: &World, flags: &[&str]) -> Self {
        let mut command = world.aca(&["run"]);
        command.args(flags).args(["--", "sh"]);
        Self::from_command(&mut command)
    }

    pub(crate) fn from_command(command: &mut std::process::Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child: Some(child),
        }
    }

    /// Runs a command inside.
    #[track_caller]
    pub(crate) fn ask(&mut self, script: &str) -> Answer {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "( {script}\n) 2>&1; echo \"\n$? {END}\"").unwrap();
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                let output = self.child.take().unwrap().wait_with_output().unwrap();
                panic!("the shell is gone: {output:?} after {text}");
            }
            if let Some(code) = line.trim_end().strip_suffix(END) {
                let code = code.trim().parse().unwrap();
                let text = text.trim_end_matches('\n').to_owned();
                return Answer { code, text };
            }
            text.push_str(&line);
        }
    }

    /// Runs it until the answer is as wanted.
    #[track_caller]
    pub(crate) fn until(&mut self, script: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let start = Instant::now();
        loop {
            let answer = self.ask(script);
            if wanted(&answer) {
                return answer;
            }
            assert!(start.elapsed() < PATIENCE, "{script}: still {answer:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs it until it is refused with such a text.
    #[track_caller]
    pub(crate) fn until_refused(&mut self, script: &str, with: &str) {
        self.until(script, |answer| answer.code != 0 && answer.text.contains(with));
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Ran {
        drop(self.input.take());
        Ran::from_output(&self.child.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
