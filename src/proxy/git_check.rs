//! Asking about a push: starts the process that looks into it, and waits for what it says.

use crate::git::check::{ANSWER_MAX, Findings, Question, read_answer};
use crate::git::pack::PackError;
use crate::gitcheck::{CheckError, Running, start};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

/// Seconds that it has.
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
    let running = start(program, question, pack.as_ref().map(AsFd::as_fd), &stores)?;
    let bytes = timeout(Duration::from_secs(DEADLINE), said(running))
        .await
        .map_err(|_| CheckError::Deadline(DEADLINE))??;
    Ok(read_answer(&bytes, question).map_err(CheckError::from)??)
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
