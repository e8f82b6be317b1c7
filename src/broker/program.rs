//! A program outside that is asked for a secret: in a session of its own, without a terminal, at `/`, with the variables
//! that it is given and no others, and never longer there than who waits for it.

use super::SourceError;
use crate::sys::process::{Orphan, bind_to_caller};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Most bytes that it may print.
pub(super) const OUTPUT_MAX: usize = 64 * 1024;
/// How long one that closed its output may take to end.
const END_WITHIN: Duration = Duration::from_secs(2);
/// How often that is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// Kills the whole group when it goes.
struct Running {
    process: std::process::Child,
    group: Option<Pid>,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(group) = self.group {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.process.kill().ok();
        // Killed, it can't take long; one that hangs in the kernel is let go.
        self.process.try_wait().ok();
        reap(self.process.id());
    }
}

/// Waits for one that was killed, somewhere else.
fn reap(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    let wait = move || {
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).ok();
    };
    std::thread::Builder::new().name("reap".into()).spawn(wait).ok();
}

/// Runs it on the calling thread, with whose end it is killed; gives what it printed.
pub(super) async fn run(
    program: &Path,
    arguments: &[&str],
    variables: &[(OsString, OsString)],
    input: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // What it says there could be anything, a secret too.
        .stderr(Stdio::null());
    bind_to_caller(&mut command, Orphan::Killed);
    let started =
        |error: io::Error| SourceError::Program(format!("{} can't be started: {error}", program.display()));
    let process = command.spawn().map_err(started)?;
    let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    let mut running = Running {
        process,
        group,
        ended: false,
    };
    match timeout(WITHIN, exchange(&mut running, input)).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(why)) => Err(SourceError::Program(format!("{}: {why}", program.display()))),
        Err(_) => Err(SourceError::Program(format!(
            "{} took longer than {} seconds",
            program.display(),
            WITHIN.as_secs()
        ))),
    }
}

async fn exchange(running: &mut Running, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = |error: io::Error| error.to_string();
    let missing = || "no pipe".to_owned();
    let stdin = running.process.stdin.take().ok_or_else(missing)?;
    let stdout = running.process.stdout.take().ok_or_else(missing)?;
    let mut sender = Sender::from_owned_fd(stdin.into()).map_err(text)?;
    let mut receiver = Receiver::from_owned_fd(stdout.into()).map_err(text)?;
    // A program that reads nothing is no error.
    sender.write_all(input).await.ok();
    drop(sender);
    let mut output = Zeroizing::new(vec![0; OUTPUT_MAX + 1]);
    let mut length = 0;
    loop {
        let room = output.get_mut(length..).unwrap_or_default();
        if room.is_empty() {
            return Err(format!("it printed more than {OUTPUT_MAX} bytes"));
        }
        match receiver.read(room).await.map_err(text)? {
            0 => break,
            count => length += count,
        }
    }
    output.truncate(length);
    let ended = async {
        loop {
            if let Some(status) = running.process.try_wait().map_err(text)? {
                return Ok::<_, String>(status);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let status = timeout(END_WITHIN, ended)
        .await
        .map_err(|_| "it didn't end".to_owned())??;
    running.ended = true;
    match status.success() {
        true => Ok(output),
        false => Err(match status.code() {
            Some(code) => format!("it ended with {code}"),
            None => "it was killed".to_owned(),
        }),
    }
}
