//! Asking about a push: starts the process that looks into it, and waits for what it says.

use crate::git::check::{ANSWER_MAX, Findings, Question, read_answer};
use crate::git::pack::PackError;
use crate::gitcheck::{CheckError, Running, start};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

/// Seconds that it has, once all is there.
const DEADLINE: u64 = 60;
/// How often it is looked whether it has ended.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(100);

/// Why a push isn't let through before anything was found.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The pack isn't taken.
    #[error("the pack is refused: {0}")]
    Pack(#[from] PackError),
    /// It couldn't be told.
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// What a push holds. `pack` is a memory file with all seals; `stores` are directories of objects, the repository's and
/// those that it borrows from. The process ends with the value that waits for it, however it goes.
///
/// # Errors
/// [`Refused`]; nothing is sent on then.
pub async fn check(
    question: &Question,
    pack: Option<OwnedFd>,
    stores: Vec<OwnedFd>,
) -> Result<Findings, Refused> {
    check_by(None, question, pack, stores).await
}

/// As [`check()`], by a program that isn't the running one: a test's is another.
///
/// # Errors
/// As [`check()`].
pub async fn check_by(
    program: Option<&Path>,
    question: &Question,
    pack: Option<OwnedFd>,
    stores: Vec<OwnedFd>,
) -> Result<Findings, Refused> {
    let looking = Looking::start(program, question, pack.as_ref().map(AsFd::as_fd), &stores)?;
    looking.findings(question).await
}

/// A look into a push whose pack may still come in. The process ends with the value.
pub struct Looking(Running);

impl Looking {
    /// Starts it; `pack` is a memory file that is only appended to.
    ///
    /// # Errors
    /// [`Refused::Check`].
    pub fn start(
        program: Option<&Path>,
        question: &Question,
        pack: Option<BorrowedFd<'_>>,
        stores: &[OwnedFd],
    ) -> Result<Self, Refused> {
        Ok(Self(start(program, question, pack, stores)?))
    }

    /// Tells that the pack has so many bytes by now.
    pub fn grew(&self, bytes: u64) {
        self.0.pack_grew(bytes);
    }

    /// What the push holds, whose pack is whole and has all seals. `question` is the one that it was started with.
    ///
    /// # Errors
    /// As [`check()`].
    pub async fn findings(mut self, question: &Question) -> Result<Findings, Refused> {
        self.0.pack_is_whole();
        let bytes = timeout(Duration::from_secs(DEADLINE), said(self.0))
            .await
            .map_err(|_| CheckError::Deadline(DEADLINE))??;
        Ok(read_answer(&bytes, question).map_err(CheckError::from)??)
    }
}

/// All that it says, once it has ended well.
async fn said(mut running: Running) -> Result<Vec<u8>, CheckError> {
    let output = running
        .take_output()
        .ok_or_else(|| CheckError::Read(io::ErrorKind::BrokenPipe.into()))?;
    let output = Receiver::from_owned_fd(output).map_err(CheckError::Read)?;
    let mut bytes = Vec::new();
    // One more than an answer has: what is longer is none.
    let most = u64::try_from(ANSWER_MAX).unwrap_or(u64::MAX).saturating_add(1);
    output
        .take(most)
        .read_to_end(&mut bytes)
        .await
        .map_err(CheckError::Read)?;
    if bytes.len() > ANSWER_MAX {
        // It isn't waited for.
        return Ok(bytes);
    }
    // It closed that end by ending: it is gone at once, or soon.
    let mut pause = LOOK_FIRST;
    loop {
        if let Some(ended) = running.judge() {
            return ended.map(|()| bytes);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
}
