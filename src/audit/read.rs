//! Reads a session's log: tolerant of what a crash or a full disk leaves, plain about all else that is wrong.

use super::chain::{self, Head};
use super::{SessionId, log::MAX_LINE_BYTES};
use crate::supervise::{EVENT_VERSION, Record};
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

/// The version without a chain.
const UNCHAINED: u32 = 1;

/// Most lines in a row that are taken for torn: so many are remembered until the next one tells.
const TORN_MAX: usize = 64;

/// One line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// The line as it is, without the line feed; empty where it is no event.
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
    /// It could be written in part only, and the next one is bound to just that part.
    #[error("was cut off when it was written: the disk was full")]
    Torn,
    /// Longer than any that is written.
    #[error("is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// No event.
    #[error("is not an event: {0}")]
    NotAnEvent(String),
    /// Written by another version of aca.
    #[error("has version {0}, this program knows {UNCHAINED} and {EVENT_VERSION}")]
    Version(u64),
    /// A log is of one version.
    #[error("has version {found} in a log of version {log}")]
    Mixed {
        /// The line's.
        found: u32,
        /// That of the lines before.
        log: u32,
    },
    /// Lines are missing, doubled or in another order.
    #[error("has running number {found} where {expected} was due: lines were taken out, put in or moved")]
    Sequence {
        /// The number that was due.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// Its hash isn't that of its content after the line before.
    #[error("is not as it was written: its hash does not fit it and the line before")]
    Changed,
    /// As [`Self::Changed`], at the beginning of the chain.
    #[error("is not as it was written, or not of session {0}: its hash does not fit")]
    Foreign(SessionId),
}

impl LineFault {
    /// Whether nobody but the machine need have done it.
    #[must_use]
    pub const fn is_harmless(&self) -> bool {
        match self {
            Self::Cut | Self::Torn => true,
            Self::TooLong
            | Self::NotAnEvent(_)
            | Self::Version(_)
            | Self::Mixed { .. }
            | Self::Sequence { .. }
            | Self::Changed
            | Self::Foreign(_) => false,
        }
    }
}

/// The lines of a session's log. Errors are those of reading.
pub fn lines<R: Read>(source: R, session: &SessionId) -> Lines<R> {
    Lines {
        source: BufReader::with_capacity(64 << 10, source),
        partial: Vec::new(),
        too_long: false,
        number: 0,
        checker: Checker {
            session: session.clone(),
            head: Head::of(session),
            due: 0,
            version: None,
            pending: Vec::new(),
            torn: Head::of(session),
            excused: false,
        },
        ready: VecDeque::new(),
    }
}

/// See [`lines`]. As an iterator it gives every line, also one at the end that has no line feed.
#[derive(Debug)]
pub struct Lines<R> {
    source: BufReader<R>,
    /// The line that is being read.
    partial: Vec<u8>,
    /// There is more of it than is kept.
    too_long: bool,
    number: u64,
    checker: Checker,
    ready: VecDeque<Entry>,
}

impl<R: Read> Lines<R> {
    /// The next line that has its line feed; `None` where there is no further one yet. Of a line that is half written the
    /// rest is read at a later call.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_whole(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            if !self.read_line()? {
                return Ok(None);
            }
            self.number += 1;
            let raw = std::mem::take(&mut self.partial);
            if std::mem::take(&mut self.too_long) {
                self.checker.too_long(self.number, &mut self.ready);
            } else {
                self.checker.whole(self.number, raw, &mut self.ready);
            }
        }
    }

    /// What is left once nothing more will come: lines that the next one would have told about, and one without line feed.
    pub fn finish(&mut self) -> Option<Entry> {
        let raw = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.too_long) {
            self.number += 1;
            self.checker.too_long(self.number, &mut self.ready);
        } else if !raw.is_empty() {
            self.number += 1;
            self.checker.last(self.number, raw, &mut self.ready);
        }
        self.checker.settle(false, &mut self.ready);
        self.ready.pop_front()
    }

    /// Reads on to the next line feed; whether there was one.
    fn read_line(&mut self) -> io::Result<bool> {
        loop {
            let bytes = match self.source.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if bytes.is_empty() {
                return Ok(false);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(bytes.len());
            let kept = length.min((MAX_LINE_BYTES - 1).saturating_sub(self.partial.len()));
            self.partial
                .extend_from_slice(bytes.get(..kept).unwrap_or_default());
            self.too_long |= kept < length;
            self.source.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_whole() {
            Ok(Some(entry)) => Some(Ok(entry)),
            Ok(None) => self.finish().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Judges each line by those before it. Once something is wrong it goes on from what is there, so that only the lines
/// that are wrong are told.
#[derive(Debug)]
struct Checker {
    session: SessionId,
    head: Head,
    /// The running number that is due.
    due: u64,
    /// The log's version, once a line told it.
    version: Option<u32>,
    /// Lines that are no events: torn when they were written, if the next line is bound to them.
    pending: Vec<(u64, String)>,
    /// What the next line is bound to in that case.
    torn: Head,
    /// Something was wrong since the last event: that this one doesn't follow is no news.
    excused: bool,
}

impl Checker {
    fn whole(&mut self, number: u64, raw: Vec<u8>, out: &mut VecDeque<Entry>) {
        match parse(&raw) {
            Ok(Parsed { record, hash: None }) => {
                self.settle(false, out);
                let mixed = self.is_of_other_version(record.v);
                let fault = mixed.or_else(|| self.out_of_sequence(record.seq));
                self.due = record.seq.saturating_add(1);
                out.push_back(Entry {
                    number,
                    raw,
                    record: Some(record),
                    fault,
                });
            }
            Ok(Parsed {
                record,
                hash: Some((length, hash)),
            }) => {
                let content = raw.get(..length).unwrap_or_default();
                let fits = |head: &Head| head.then(content) == hash;
                let torn = !self.pending.is_empty() && fits(&self.torn);
                let follows = torn || fits(&self.head);
                let excused = self.excused || !self.pending.is_empty();
                self.settle(torn, out);
                let fault = self.is_of_other_version(record.v).or_else(|| {
                    let sequence = self.out_of_sequence(record.seq);
                    match (follows, excused) {
                        (true, _) => sequence,
                        (false, true) => None,
                        (false, false) if number == 1 => {
                            sequence.or(Some(LineFault::Foreign(self.session.clone())))
                        }
                        (false, false) => sequence.or(Some(LineFault::Changed)),
                    }
                });
                self.head = hash;
                self.due = record.seq.saturating_add(1);
                self.excused = false;
                out.push_back(Entry {
                    number,
                    raw,
                    record: Some(record),
                    fault,
                });
            }
            Err(LineFault::NotAnEvent(why))
                if self.version != Some(UNCHAINED) && self.pending.len() < TORN_MAX =>
            {
                let before = if self.pending.is_empty() {
                    &self.head
                } else {
                    &self.torn
                };
                self.torn = before.then_torn(&raw);
                self.pending.push((number, why));
            }
            Err(fault) => self.wrong(number, fault, out),
        }
    }

    /// A line without line feed, at the end.
    fn last(&mut self, number: u64, raw: Vec<u8>, out: &mut VecDeque<Entry>) {
        match parse(&raw) {
            Err(LineFault::NotAnEvent(_)) => self.wrong(number, LineFault::Cut, out),
            // Whole but for its line feed: it says all that it was to say.
            Ok(_) | Err(_) => self.whole(number, raw, out),
        }
    }

    fn too_long(&mut self, number: u64, out: &mut VecDeque<Entry>) {
        self.wrong(number, LineFault::TooLong, out);
    }

    fn wrong(&mut self, number: u64, fault: LineFault, out: &mut VecDeque<Entry>) {
        self.settle(false, out);
        self.excused = true;
        out.push_back(no_event(number, fault));
    }

    /// Tells about the lines that were no events.
    fn settle(&mut self, torn: bool, out: &mut VecDeque<Entry>) {
        out.extend(self.pending.drain(..).map(|(number, why)| {
            let fault = if torn {
                LineFault::Torn
            } else {
                LineFault::NotAnEvent(why)
            };
            no_event(number, fault)
        }));
    }

    fn is_of_other_version(&mut self, found: u32) -> Option<LineFault> {
        let log = *self.version.get_or_insert(found);
        (log != found).then_some(LineFault::Mixed { found, log })
    }

    fn out_of_sequence(&self, found: u64) -> Option<LineFault> {
        let expected = self.due;
        (found != expected).then_some(LineFault::Sequence { expected, found })
    }
}

const fn no_event(number: u64, fault: LineFault) -> Entry {
    Entry {
        number,
        raw: Vec::new(),
        record: None,
        fault: Some(fault),
    }
}

/// What a line says.
pub(super) struct Parsed {
    /// Its event.
    pub(super) record: Record,
    /// The length of its content, and its hash; none in version 1.
    pub(super) hash: Option<(usize, Head)>,
}

/// Reads one line, without looking at the others.
pub(super) fn parse(raw: &[u8]) -> Result<Parsed, LineFault> {
    let wrong = |object: &[u8], error: &serde_json::Error| {
        other_version(object).unwrap_or_else(|| LineFault::NotAnEvent(error.to_string()))
    };
    let version = |record: &Record, instead: &str| match record.v {
        UNCHAINED | EVENT_VERSION => LineFault::NotAnEvent(instead.to_owned()),
        other => LineFault::Version(other.into()),
    };
    let Some((content, hash)) = chain::split(raw) else {
        return match serde_json::from_slice::<Record>(raw) {
            Ok(record) if record.v == UNCHAINED => Ok(Parsed { record, hash: None }),
            Ok(record) => Err(version(&record, "it carries no hash")),
            Err(error) => Err(wrong(raw, &error)),
        };
    };
    let object = [content, b"}"].concat();
    match serde_json::from_slice::<Record>(&object) {
        Ok(record) if record.v == EVENT_VERSION => Ok(Parsed {
            record,
            hash: Some((content.len(), hash)),
        }),
        Ok(record) => Err(version(&record, "version 1 carries no hash")),
        Err(error) => Err(wrong(&object, &error)),
    }
}

/// The version of a line that isn't ours.
fn other_version(object: &[u8]) -> Option<LineFault> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    let found = serde_json::from_slice::<Versioned>(object).ok()?.v;
    let known = [UNCHAINED, EVENT_VERSION].map(u64::from);
    (!known.contains(&found)).then_some(LineFault::Version(found))
}
