//! Reads a whole log to say whether it is as it was written.

use super::find::{FindError, open_log};
use super::read::{LineFault, lines};
use super::{SessionId, lock};
use crate::supervise::{EVENT_VERSION, Event};
use std::io::{self, Read};
use std::path::Path;

/// Most faults that are kept; the rest is counted.
const FAULTS_KEPT: usize = 100;

/// What a log is worth.
#[derive(Debug)]
#[must_use]
pub struct Verified {
    /// How many events it holds.
    pub events: u64,
    /// What is wrong, by the number of the line.
    pub faults: Vec<(u64, LineFault)>,
    /// How many faults more there are.
    pub more_faults: u64,
    /// Lines that a full disk or a crash cut, which is no fault.
    pub torn: Vec<u64>,
    /// Whether its lines are chained: version 1 has running numbers alone.
    pub chained: bool,
    /// Whether it has its end.
    pub ended: bool,
    /// Whether its writer is there.
    pub running: bool,
}

impl Verified {
    /// Whether it is all that was written: nothing is wrong, and it has its end or is still being written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.more_faults == 0 && self.events > 0 && (self.ended || self.running)
    }
}

/// Why a log can't be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] FindError),
    /// It can't be read.
    #[error("cannot read the log of session {session}")]
    Read {
        /// Whose.
        session: SessionId,
        /// What the system says.
        source: io::Error,
    },
}

/// Reads the log of one session and checks each line.
///
/// # Errors
/// It can't be read.
pub fn verify(sessions: &Path, id: &SessionId) -> Result<Verified, VerifyError> {
    let file = open_log(sessions, id)?;
    // Before it is read: what is missing then is missing for good.
    let running = lock::is_held(&file).unwrap_or(false);
    check(file, id, running).map_err(|source| VerifyError::Read {
        session: id.clone(),
        source,
    })
}

/// Checks each line.
pub(super) fn check(source: impl Read, id: &SessionId, running: bool) -> io::Result<Verified> {
    let mut verified = Verified {
        events: 0,
        faults: Vec::new(),
        more_faults: 0,
        torn: Vec::new(),
        chained: false,
        ended: false,
        running,
    };
    for entry in lines(source, id) {
        let entry = entry?;
        if let Some(record) = &entry.record {
            verified.events += 1;
            verified.chained |= record.v == EVENT_VERSION;
            verified.ended = matches!(record.event, Event::SessionEnd { .. });
        }
        match entry.fault {
            None => {}
            // Half written, so far.
            Some(LineFault::Cut) if verified.running => {}
            Some(fault) if fault.is_harmless() => {
                verified
                    .torn
                    .extend((verified.torn.len() < FAULTS_KEPT).then_some(entry.number));
            }
            Some(_) if verified.faults.len() >= FAULTS_KEPT => verified.more_faults += 1,
            Some(fault) => verified.faults.push((entry.number, fault)),
        }
    }
    Ok(verified)
}
