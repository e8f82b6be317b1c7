//! One session in a few words, from the first line of its log and the end: never from all of it.

use super::chain::Head;
use super::find::{FindError, open_log};
use super::log::MAX_LINE_BYTES;
use super::{SessionId, lock, read};
use crate::supervise::{Event, Record};
use jiff::Timestamp;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read at each end; more only where a line is longer.
const PART: usize = 8 << 10;

/// A session in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its id.
    pub session: SessionId,
    /// When it began.
    pub started: Timestamp,
    /// The agent's name, `generic` for a plain command.
    pub agent: String,
    /// The command.
    pub argv: Vec<String>,
    /// The project's directory.
    pub project: PathBuf,
    /// How it ended, if it did.
    pub ending: Ending,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Ending {
    /// Its end is in the log.
    Ended {
        /// Exit code, where it exited.
        code: Option<i32>,
        /// Signal, where it was killed.
        signal: Option<i32>,
        /// How long it took.
        duration_ms: u64,
        /// How many events were denials.
        denied: u64,
    },
    /// Its supervisor is there.
    Running,
    /// Its supervisor is gone, and the log has no end.
    CutOff {
        /// When the last event was written.
        last: Timestamp,
    },
}

/// Why a log can't be summed up.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] FindError),
    /// It can't be read.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It doesn't begin as a log does.
    #[error("its first line is not the beginning of a session")]
    Beginning,
    /// It begins as another session's, or its first line was changed.
    #[error("its first line is not as it was written, or is another session's")]
    Foreign,
}

/// Sums up the log of one session.
///
/// # Errors
/// See [`Damage`].
pub fn summary(sessions: &Path, id: &SessionId) -> Result<Summary, Damage> {
    let file = open_log(sessions, id)?;
    // Before the end is read: a log whose writer is gone gets no further line.
    let running = lock::is_held(&file).unwrap_or(false);
    let length = file.metadata()?.len();
    let first = beginning(&file, id)?;
    let Event::SessionStart {
        session,
        agent,
        argv,
        project,
        ..
    } = first.event
    else {
        return Err(Damage::Beginning);
    };
    if session != id.as_str() {
        return Err(Damage::Foreign);
    }
    Ok(Summary {
        session: id.clone(),
        started: first.time,
        agent,
        argv,
        project,
        ending: ending(last_record(&file, length)?, running, first.time),
    })
}

fn ending(last: Option<Record>, running: bool, started: Timestamp) -> Ending {
    if let Some(Record {
        event:
            Event::SessionEnd {
                code,
                signal,
                duration_ms,
                denied,
            },
        ..
    }) = last
    {
        return Ending::Ended {
            code,
            signal,
            duration_ms,
            denied,
        };
    }
    if running {
        Ending::Running
    } else {
        Ending::CutOff {
            last: last.map_or(started, |last| last.time),
        }
    }
}

/// The first line.
fn beginning(file: &File, id: &SessionId) -> Result<Record, Damage> {
    let mut bytes = part(file, 0, PART)?;
    if bytes.len() == PART && !bytes.contains(&b'\n') {
        bytes = part(file, 0, MAX_LINE_BYTES)?;
    }
    if bytes.is_empty() {
        return Err(Damage::Empty);
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let parsed = read::parse(line).map_err(|_| Damage::Beginning)?;
    if let Some((length, hash)) = &parsed.hash
        && Head::of(id).then(line.get(..*length).unwrap_or_default()) != *hash
    {
        return Err(Damage::Foreign);
    }
    Ok(parsed.record)
}

/// The last line that is an event; what was cut off behind it is passed over.
fn last_record(file: &File, length: u64) -> Result<Option<Record>, Damage> {
    for size in [PART, 2 * MAX_LINE_BYTES] {
        let start = length.saturating_sub(u64::try_from(size).unwrap_or(u64::MAX));
        let bytes = part(file, start, size)?;
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        if start > 0 {
            // The part before it isn't here.
            lines.remove(0);
        }
        let found = lines
            .iter()
            .rev()
            .filter(|line| !line.is_empty())
            .find_map(|line| read::parse(line).ok());
        match found {
            Some(parsed) => return Ok(Some(parsed.record)),
            None if start == 0 => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

/// At most `size` bytes from `start` on.
fn part(file: &File, start: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        let offset = start.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        match file.read_at(room, offset) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
