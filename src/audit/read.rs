//! Reads a session's log: tolerant of what a crash leaves (a last line that was cut), plain about all else that is wrong.

use super::{SessionId, log::MAX_LINE_BYTES};
use crate::supervise::{EVENT_VERSION, Record};
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

/// One line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// The line as it is, without the line feed, cut where it is too long.
    pub raw: Vec<u8>,
    /// What it says, where that can be told.
    pub record: Option<Record>,
    /// What is wrong with it.
    pub fault: Option<LineFault>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The last line has no end: the writer died, or the disk was full.
    #[error("was cut off")]
    Cut,
    /// Longer than any that is written.
    #[error("is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// No event.
    #[error("is not an event: {0}")]
    NotAnEvent(String),
    /// Written by another version of aca.
    #[error("has version {0}, this program knows {EVENT_VERSION}")]
    Version(u64),
    /// Lines are missing, doubled or in another order.
    #[error("has running number {found} where {expected} was due: lines were taken out or put in")]
    Sequence {
        /// The number that was due.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
}

/// The lines of a log. Errors are those of reading.
pub fn lines(source: impl Read) -> impl Iterator<Item = io::Result<Entry>> {
    Lines {
        source: BufReader::new(source),
        number: 0,
        due: 0,
    }
}

struct Lines<R> {
    source: BufReader<R>,
    number: u64,
    /// The running number that is due.
    due: u64,
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut raw = Vec::new();
        let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        match self.source.by_ref().take(limit).read_until(b'\n', &mut raw) {
            Err(error) => return Some(Err(error)),
            Ok(0) => return None,
            Ok(_) => self.number += 1,
        }
        let ended = raw.pop_if(|last| *last == b'\n').is_some();
        if !ended && raw.len() >= MAX_LINE_BYTES {
            if let Err(error) = self.skip_line() {
                return Some(Err(error));
            }
            return Some(Ok(self.entry(raw, None, Some(LineFault::TooLong))));
        }
        let (record, fault) = match serde_json::from_slice::<Record>(&raw) {
            Ok(record) if record.v == EVENT_VERSION => {
                let expected = std::mem::replace(&mut self.due, record.seq.saturating_add(1));
                let fault = (record.seq != expected).then_some(LineFault::Sequence {
                    expected,
                    found: record.seq,
                });
                (Some(record), fault)
            }
            Ok(record) => (None, Some(LineFault::Version(record.v.into()))),
            Err(_) if !ended => (None, Some(LineFault::Cut)),
            Err(error) => (
                None,
                Some(other_version(&raw).unwrap_or_else(|| LineFault::NotAnEvent(error.to_string()))),
            ),
        };
        Some(Ok(self.entry(raw, record, fault)))
    }
}

impl<R: Read> Lines<R> {
    fn entry(&self, raw: Vec<u8>, record: Option<Record>, fault: Option<LineFault>) -> Entry {
        Entry {
            number: self.number,
            raw,
            record,
            fault,
        }
    }

    /// Goes on to the next line, without keeping what is passed over.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.source.fill_buf()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let length = bytes.len();
            self.source.consume(end.map_or(length, |end| end + 1));
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

/// The version of a line that isn't ours.
fn other_version(raw: &[u8]) -> Option<LineFault> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    let found = serde_json::from_slice::<Versioned>(raw).ok()?.v;
    (found != u64::from(EVENT_VERSION)).then_some(LineFault::Version(found))
}

/// Why a session can't be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The directory can't be read.
    #[error("cannot read the directory of session logs {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are none.
    #[error("there are no sessions yet in {}", .0.display())]
    Empty(PathBuf),
    /// None begins like that.
    #[error("there is no session `{0}`")]
    Unknown(String),
    /// Several begin like that.
    #[error("{count} sessions begin with `{prefix}`")]
    Ambiguous {
        /// As asked for.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// The log can't be opened.
    #[error("cannot read the session log {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Opens the log of the session whose id begins with `prefix`, or of the newest.
///
/// # Errors
/// None, or several.
pub fn open(sessions: &Path, prefix: Option<&str>) -> Result<(SessionId, File), FindError> {
    let mut ids = ids(sessions)?;
    ids.sort_unstable();
    let id = match prefix {
        None => ids.pop().ok_or_else(|| FindError::Empty(sessions.to_owned()))?,
        Some(prefix) => {
            let mut fitting: Vec<SessionId> = ids
                .into_iter()
                .filter(|id| id.as_str().starts_with(prefix))
                .collect();
            match (fitting.pop(), fitting.len()) {
                (Some(id), 0) => id,
                (None, _) => return Err(FindError::Unknown(prefix.to_owned())),
                (Some(_), others) => {
                    return Err(FindError::Ambiguous {
                        prefix: prefix.to_owned(),
                        count: others + 1,
                    });
                }
            }
        }
    };
    let path = sessions.join(format!("{id}.jsonl"));
    let file = File::open(&path).map_err(|source| FindError::Open { path, source })?;
    Ok((id, file))
}

fn ids(sessions: &Path) -> Result<Vec<SessionId>, FindError> {
    let failed = |source| FindError::Directory {
        path: sessions.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(sessions) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(FindError::Empty(sessions.to_owned()));
        }
        other => other.map_err(failed)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        // Other files there are none of ours.
        ids.extend(
            name.to_str()
                .and_then(|name| name.strip_suffix(".jsonl"))
                .and_then(|id| id.parse::<SessionId>().ok()),
        );
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(seq: u64) -> String {
        format!(
            "{{\"v\":1,\"time\":\"2026-11-23T09:08:07Z\",\"seq\":{seq},\"event\":{{\"type\":\"masked\",\"path\":\"/p\"}}}}\n"
        )
    }

    fn faults(text: &str) -> Vec<(u64, Option<LineFault>)> {
        lines(text.as_bytes())
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.number, entry.fault))
            .collect()
    }

    #[test]
    fn a_last_line_that_was_cut() {
        let text = format!("{}{}", line(0), line(1).get(..40).unwrap());
        assert_eq!(faults(&text), [(1, None), (2, Some(LineFault::Cut))]);
        // Whole but for its line feed: it says all that it was to say.
        assert_eq!(faults(line(0).trim_end()), [(1, None)]);
    }

    #[test]
    fn lines_taken_out_doubled_or_foreign() {
        let text = [
            line(0),
            line(2),
            line(2),
            "{}\n".into(),
            line(3).replace("masked", "mask"),
            line(3).replace("\"v\":1", "\"v\":9"),
            "\n".into(),
        ];
        let found = faults(&text.concat());
        assert_eq!(
            found[1].1,
            Some(LineFault::Sequence {
                expected: 1,
                found: 2
            })
        );
        assert_eq!(
            found[2].1,
            Some(LineFault::Sequence {
                expected: 3,
                found: 2
            })
        );
        assert!(matches!(found[3].1, Some(LineFault::NotAnEvent(_))));
        assert!(matches!(found[4].1, Some(LineFault::NotAnEvent(_))));
        assert_eq!(found[5].1, Some(LineFault::Version(9)));
        assert!(matches!(found[6].1, Some(LineFault::NotAnEvent(_))));
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let text = format!("{}\n{}", "x".repeat(3 * MAX_LINE_BYTES), line(0));
        let entries: Vec<_> = lines(text.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(entries[0].fault, Some(LineFault::TooLong));
        assert!(entries[0].raw.len() <= MAX_LINE_BYTES);
        assert_eq!((entries.len(), entries[1].fault.clone()), (2, None));
    }

    #[test]
    fn sessions_by_the_beginning_of_their_id() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path(), None), Err(FindError::Empty(_))));
        assert!(matches!(
            open(&folder.path().join("none"), None),
            Err(FindError::Empty(_))
        ));
        let names = [
            "20261123T090807006Z-aaaaaaaaaaaa",
            "20261123T090807006Z-bbbbbbbbbbbb",
            "20261124T090807006Z-000000000000",
        ];
        for name in names {
            std::fs::write(folder.path().join(format!("{name}.jsonl")), name).unwrap();
        }
        std::fs::write(folder.path().join("zzz.jsonl"), "").unwrap();
        let found = |prefix| open(folder.path(), prefix).map(|(id, _)| id.to_string());
        assert_eq!(found(None).unwrap(), names[2]);
        assert_eq!(found(Some("20261124")).unwrap(), names[2]);
        assert_eq!(found(Some("20261123T090807006Z-b")).unwrap(), names[1]);
        assert!(matches!(
            found(Some("20261123")),
            Err(FindError::Ambiguous { count: 2, .. })
        ));
        assert!(matches!(found(Some("../x")), Err(FindError::Unknown(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_the_end(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400)) {
            let entries = lines(&bytes[..]).map(Result::unwrap).count();
            let feeds = bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(entries, feeds + usize::from(bytes.last().is_some_and(|byte| *byte != b'\n')));
        }
    }
}
