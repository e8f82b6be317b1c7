//! Starting it, and what it leaves.

use super::child::{CHECK_WORD, NOT_CONFINED, SEALS};
use crate::git::check::{AnswerError, Question};
use crate::launch::Channel;
use crate::sys::process::{Orphan, bind_to_caller};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::net::SendFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// This program, whatever stands at its path by now.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";
/// Most directories of objects.
const STORES_MAX: usize = 32;
/// How long one that was killed may take to be gone.
const PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// What the descriptors are: a question, a pack if there is a second one, and that many directories behind.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) stores: usize,
}

/// Why there is no answer. The push is refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The process couldn't be started.
    #[error("the process that looks into a push could not be started: {0}")]
    Start(#[source] io::Error),
    /// More directories of objects than it takes.
    #[error("the repository's objects lie in more than {STORES_MAX} directories")]
    Stores,
    /// It couldn't confine itself.
    #[error(
        "the process that looks into a push could not confine itself: `aca doctor` says what the kernel lacks"
    )]
    NotConfined,
    /// It ended without an answer.
    #[error("the push could not be looked into: {0}")]
    Ended(Ending),
    /// It took too long.
    #[error("the push could not be looked into within {0} seconds")]
    Deadline(u64),
    /// What it said is no answer.
    #[error("the push could not be looked into: {0}")]
    Answer(#[from] AnswerError),
    /// Reading what it said failed.
    #[error("the push could not be looked into: {0}")]
    Read(#[source] io::Error),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a status.
    Code(i32),
    /// By a signal: out of memory or time, a fault, or a call that it has no use for.
    Signal(i32),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(to, "who should ended with status {code}"),
            Self::Signal(signal) => write!(
                to,
                "who should was ended by signal {signal}: what it holds takes more memory or time than there is for it, or \
                 is made to break who reads it"
            ),
        }
    }
}

/// One that runs. When the value goes it is killed.
#[derive(Debug)]
pub struct Running {
    process: std::process::Child,
    pidfd: OwnedFd,
    output: Option<OwnedFd>,
    /// Where it hears of the pack, while that grows.
    pack: Option<Channel>,
}

/// Starts it for one question. `program` is this program: its own path where `None`. The pack is a memory file that is
/// only appended to, and is sealed before [`Running::pack_is_whole`].
///
/// The calling thread must be the one that waits: the process is killed when that thread ends.
///
/// # Errors
/// [`CheckError::Start`], [`CheckError::Stores`].
pub fn start(
    program: Option<&Path>,
    question: &Question,
    pack: Option<BorrowedFd<'_>>,
    stores: &[OwnedFd],
) -> Result<Running, CheckError> {
    if stores.len() > STORES_MAX {
        return Err(CheckError::Stores);
    }
    let other = |error: postcard::Error| CheckError::Start(io::Error::other(error));
    let channel = |error| CheckError::Start(io::Error::other(error));
    let question = sealed(&postcard::to_stdvec(question).map_err(other)?).map_err(CheckError::Start)?;
    let (ours, theirs) = Channel::pair().map_err(channel)?;
    let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(question.as_fd())
        .chain(pack)
        .chain(stores.iter().map(AsFd::as_fd))
        .collect();
    let sent = Sent { stores: stores.len() };
    // The first message of a new pair has room.
    ours.send(&sent, &descriptors).map_err(channel)?;
    let mut command = Command::new(program.unwrap_or_else(|| Path::new(OWN_PROGRAM)));
    command
        .arg0(CHECK_WORD)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    bind_to_caller(&mut command, Orphan::Killed);
    let mut process = command.spawn().map_err(CheckError::Start)?;
    let parts = i32::try_from(process.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidData.into())
        .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?));
    match parts {
        Ok(pidfd) => Ok(Running {
            output: process.stdout.take().map(OwnedFd::from),
            process,
            pidfd,
            pack: Some(ours),
        }),
        Err(error) => {
            process.kill().ok();
            process.wait().ok();
            Err(CheckError::Start(error))
        }
    }
}

impl Running {
    /// Tells that the pack has so many bytes by now.
    pub fn pack_grew(&self, bytes: u64) {
        if let Some(pack) = &self.pack {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            // Where there is no room it has enough to read; what comes next tells of this too, as does the end. When it is gone
            // its answer says why.
            rustix::net::send(pack, &bytes.to_le_bytes(), flags).ok();
        }
    }

    /// Tells that nothing follows.
    pub fn pack_is_whole(&mut self) {
        self.pack = None;
    }

    /// What the answer comes from. Once.
    #[must_use]
    pub fn take_output(&mut self) -> Option<OwnedFd> {
        self.output.take()
    }

    /// Whether it ended well; `None` while it runs.
    pub fn judge(&mut self) -> Option<Result<(), CheckError>> {
        match self.process.try_wait() {
            Ok(status) => status.map(judge),
            Err(error) => Some(Err(CheckError::Read(error))),
        }
    }
}

fn judge(status: ExitStatus) -> Result<(), CheckError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(NOT_CONFINED), _) => Err(CheckError::NotConfined),
        (Some(code), _) => Err(CheckError::Ended(Ending::Code(code))),
        (None, signal) => Err(CheckError::Ended(Ending::Signal(signal.unwrap_or_default()))),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        self.process.kill().ok();
        // It can't be waited for without a bound: a process may hang in the kernel.
        let mut waiting = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if poll(&mut waiting, Some(&PATIENCE)).is_ok_and(|ready| ready > 0) {
            self.process.wait().ok();
        }
    }
}

/// A memory file that can't change any more.
fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("aca-question", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = rest.get(count..).unwrap_or_default();
    }
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}
