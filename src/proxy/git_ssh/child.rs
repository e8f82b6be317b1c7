//! The user's ssh as a process: in a session and a group of its own, without a terminal, and never longer there than who
//! waits for it.

use super::Ssh;
use crate::sys::process::{Orphan, bind_to_caller};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process_group, pidfd_open, prlimit,
};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::unix::pipe::{Receiver, Sender};

/// How long one that was killed may take to be gone.
const PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// How often it is looked whether it ended: often at first, since its output mostly ended just before.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_LAST: Duration = Duration::from_millis(500);

/// One that runs. When the value goes its whole group is killed.
pub(super) struct Child {
    process: std::process::Child,
    group: Option<Pid>,
    pidfd: OwnedFd,
    input: Option<Sender>,
    output: Receiver,
    errors: Receiver,
}

impl Child {
    /// Starts it, on the network's own thread: it is killed when that thread ends, however this program does.
    pub(super) fn start(ssh: &Ssh, arguments: &[String], protocol: Option<&str>) -> io::Result<Self> {
        let mut command = Command::new(&ssh.program);
        command
            // Not where it is: a name without a directory tells others no more than `ssh`.
            .arg0("ssh")
            .args(arguments)
            .env_clear()
            .envs(ssh.environment.iter().map(|(name, value)| (name, value)));
        if let Some(protocol) = protocol {
            command.env("GIT_PROTOCOL", protocol);
        }
        Self::of(command)
    }

    /// Starts another program so.
    pub(super) fn of(mut command: Command) -> io::Result<Self> {
        command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        bind_to_caller(&mut command, Orphan::Killed);
        let mut process = command.spawn()?;
        let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let parts = (|| {
            let pid = group.ok_or(Errno::SRCH)?;
            let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
            let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
            let input = Sender::from_owned_fd(process.stdin.take().ok_or_else(missing)?.into())?;
            let output = Receiver::from_owned_fd(process.stdout.take().ok_or_else(missing)?.into())?;
            let errors = Receiver::from_owned_fd(process.stderr.take().ok_or_else(missing)?.into())?;
            io::Result::Ok((pidfd, input, output, errors))
        })();
        match parts {
            Ok((pidfd, input, output, errors)) => Ok(Self {
                process,
                group,
                pidfd,
                input: Some(input),
                output,
                errors,
            }),
            Err(error) => {
                process.kill().ok();
                process.wait().ok();
                Err(error)
            }
        }
    }

    /// Ends it, and what it starts from now on, once it writes a file of more bytes.
    pub(super) fn bound_files(&self, most: u64) -> io::Result<()> {
        let had = getrlimit(Resource::Fsize).maximum;
        let most = Some(had.map_or(most, |had| had.min(most)));
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        let pid = self.group.ok_or(Errno::SRCH)?;
        prlimit(Some(pid), Resource::Fsize, limit)?;
        Ok(())
    }

    /// Its parts, for those who use them at once.
    pub(super) fn parts(&mut self) -> (&mut Option<Sender>, &mut Receiver, &mut Receiver, Exit<'_>) {
        let exit = Exit {
            process: &mut self.process,
        };
        (&mut self.input, &mut self.output, &mut self.errors, exit)
    }
}

/// Its end.
pub(super) struct Exit<'a> {
    process: &'a mut std::process::Child,
}

impl Exit<'_> {
    /// Waits for it; the exit status as shells have it.
    pub(super) async fn wait(&mut self) -> io::Result<u8> {
        let mut pause = LOOK_FIRST;
        loop {
            if let Some(status) = self.process.try_wait()? {
                let signal = status.signal().and_then(|signal| u8::try_from(signal).ok());
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.or(signal.map(|signal| signal | 128)).unwrap_or(255));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LAST);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // What it started may outlive it, so the group is told before it is reaped: its number is taken until then.
        let ended = self.process.try_wait().is_ok_and(|status| status.is_some());
        if ended {
            return;
        }
        if let Some(group) = self.group {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.process.kill().ok();
        // It can't be waited for without a bound: a process may hang in the kernel.
        let mut waiting = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if poll(&mut waiting, Some(&PATIENCE)).is_ok_and(|ready| ready > 0) {
            self.process.wait().ok();
        }
    }
}
