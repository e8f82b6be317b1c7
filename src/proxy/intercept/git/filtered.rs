//! What a server says of git's, on its way to the client, and what is told of it.

use super::super::body::BodyError;
use super::route::Step;
use crate::broker::Credential;
use crate::git::fetch::FetchFilter;
use crate::git::hide::{Hidden, HidingStream};
use crate::git::packet::{Packet, take};
use crate::policy::{Deny, GitOperation, Repository};
use crate::proxy::judge::Judge;
use crate::supervise::{Event, PushedRef};
use hyper::body::{Body, Bytes, Incoming};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// Bytes without a packet's end after which it is no list of git's.
const HELD_MAX: usize = 1 << 17;

/// What becomes of one request: told as exactly one event when the value goes.
pub(super) struct Carried {
    judge: Judge,
    operation: GitOperation,
    repository: String,
    /// Why not.
    pub(super) denied: Option<Deny>,
    /// What went wrong.
    pub(super) failed: Option<String>,
    /// What became of each ref of a push.
    pub(super) refs: Vec<PushedRef>,
    /// What was found in it.
    pub(super) findings: Vec<String>,
    /// What the server was told last, which nobody inside is to see.
    hidden: Option<Arc<Hidden>>,
    /// Bytes of the answer's body.
    received: u64,
    started: Instant,
}

impl Carried {
    /// Begins one.
    pub(super) fn new(judge: &Judge, operation: GitOperation, repository: &Repository) -> Self {
        Self {
            judge: judge.clone(),
            operation,
            repository: repository.to_string(),
            denied: None,
            failed: None,
            refs: Vec::new(),
            findings: Vec::new(),
            hidden: None,
            received: 0,
            started: Instant::now(),
        }
    }

    /// What it is, in words.
    pub(super) fn what(&self) -> String {
        format!("git {} of {}", self.operation.word(), self.repository)
    }

    /// The server is told this.
    pub(super) fn sends(&mut self, credential: &Credential) {
        self.hidden = Some(Arc::new(Hidden::new(credential.secret().expose())));
    }

    /// A text that may hold the server's words, without what it was told.
    pub(super) fn hide(&self, text: &str) -> String {
        match &self.hidden {
            Some(hidden) => hidden.hidden(text),
            None => text.to_owned(),
        }
    }

    /// The same of a report, all of which is words.
    pub(super) fn hide_all(&self, report: Vec<u8>) -> Vec<u8> {
        let (Some(mut hiding), Some(hidden)) = (self.hiding(), &self.hidden) else {
            return report;
        };
        let mut out = Vec::with_capacity(report.len());
        hiding.accept(&report, &mut out);
        hiding.finish(&mut out);
        hidden.hide(&mut out);
        out
    }

    /// For bytes of the server's, where it was told something.
    pub(super) fn hiding(&self) -> Option<HidingStream> {
        self.hidden.clone().map(HidingStream::new)
    }

    /// A credential was asked for and found.
    pub(super) fn found(&self, source: &str) {
        self.judge.emit(Event::CredentialUsed {
            repository: self.repository.clone(),
            source: source.to_owned(),
        });
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let mut refs = std::mem::take(&mut self.refs);
        for told in &mut refs {
            told.why = told.why.take().map(|why| self.hide(&why));
        }
        self.judge.emit(Event::GitRequest {
            pid: None,
            operation: Some(self.operation),
            repository: std::mem::take(&mut self.repository),
            denied: self.denied.take(),
            failed: self.failed.take().map(|failed| self.hide(&failed)),
            code: None,
            refs,
            findings: std::mem::take(&mut self.findings),
            sent: 0,
            received: self.received,
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

/// The body of an answer. Of an advertisement of version 2 what would lead past the policy is left out, and of all that
/// isn't a pack what the server was told.
pub(in crate::proxy::intercept) struct Filtered {
    body: Incoming,
    stage: Stage,
    hiding: Option<HidingStream>,
    carried: Carried,
}

enum Stage {
    /// The lines that smart HTTP puts before an advertisement may stand there; what is read of them.
    Service(Vec<u8>),
    /// The advertisement.
    Refs(FetchFilter),
    /// All goes as it comes.
    Rest,
    /// It is over.
    Ended,
}

impl Filtered {
    /// For an answer to that step.
    pub(super) fn new(body: Incoming, step: Step, carried: Carried) -> Self {
        let stage = match step {
            Step::Refs => Stage::Service(Vec::new()),
            Step::Call => Stage::Rest,
        };
        Self {
            body,
            stage,
            hiding: carried.hiding(),
            carried,
        }
    }

    /// The next bytes.
    pub(in crate::proxy::intercept) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if matches!(self.stage, Stage::Ended) {
                return Poll::Ready(None);
            }
            let data = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                // What follows a body isn't git's.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_) => continue,
                },
                Some(Err(error)) => {
                    self.carried.failed = Some(super::upstream::why(&error));
                    self.stage = Stage::Ended;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    let rest = match std::mem::replace(&mut self.stage, Stage::Ended) {
                        Stage::Service(held) => held,
                        Stage::Refs(filter) => filter.finish(),
                        Stage::Rest | Stage::Ended => Vec::new(),
                    };
                    let rest = match &mut self.hiding {
                        Some(hiding) => {
                            let mut out = Vec::new();
                            hiding.accept(&rest, &mut out);
                            hiding.finish(&mut out);
                            out
                        }
                        None => rest,
                    };
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(rest.into())));
                }
            };
            self.carried.received += u64::try_from(data.len()).unwrap_or(0);
            let accepted = self.stage.accept(data).map(|data| match &mut self.hiding {
                Some(hiding) => {
                    let mut out = Vec::with_capacity(data.len());
                    hiding.accept(&data, &mut out);
                    out.into()
                }
                None => data,
            });
            match accepted {
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(out))),
                Err(error) => {
                    self.carried.failed = Some(error.to_string());
                    self.stage = Stage::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Stage {
    fn accept(&mut self, data: Bytes) -> Result<Bytes, BodyError> {
        match self {
            Self::Service(held) => {
                held.extend_from_slice(&data);
                let Some(length) = service(held)? else {
                    return Ok(Bytes::new());
                };
                let rest = held.split_off(length);
                let mut out = std::mem::take(held);
                let mut filter = FetchFilter::default();
                filter.accept(&rest, &mut out)?;
                *self = Self::Refs(filter);
                Ok(out.into())
            }
            Self::Refs(filter) => {
                let mut out = Vec::with_capacity(data.len());
                filter.accept(&data, &mut out)?;
                Ok(out.into())
            }
            Self::Rest | Self::Ended => Ok(data),
        }
    }
}

/// How many bytes the lines have that smart HTTP puts before an advertisement: `# service=…` and a flush, or nothing.
/// `None` where that can't be told yet.
pub(super) fn service(held: &[u8]) -> Result<Option<usize>, BodyError> {
    let Some((first, length)) = take(held)? else {
        return match held.len() > HELD_MAX {
            true => Err("what the server says isn't git's smart HTTP".into()),
            false => Ok(None),
        };
    };
    if !matches!(first, Packet::Data(data) if data.starts_with(b"# service=git-")) {
        return Ok(Some(0));
    }
    Ok(match take(held.get(length..).unwrap_or_default())? {
        Some((Packet::Flush, flush)) => Some(length + flush),
        Some(_) => Some(length),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(text: &[u8], at_once: usize) -> Result<Vec<u8>, BodyError> {
        let (mut stage, mut out) = (Stage::Service(Vec::new()), Vec::new());
        for part in text.chunks(at_once) {
            out.extend(stage.accept(Bytes::copy_from_slice(part))?);
        }
        out.extend(match stage {
            Stage::Service(held) => held,
            Stage::Refs(filter) => filter.finish(),
            Stage::Rest | Stage::Ended => Vec::new(),
        });
        Ok(out)
    }

    #[test]
    fn of_version_2_what_leads_elsewhere_is_left_out_behind_the_lines_of_smart_http() {
        let list = b"000eversion 2\n000fbundle-uri\n0012object-format\n0000";
        let kept = b"000eversion 2\n0012object-format\n0000";
        let lines = b"001e# service=git-upload-pack\n0000";
        for at_once in [1, 7, 1000] {
            assert_eq!(filtered(list, at_once).unwrap(), kept);
            let both = filtered(&[&lines[..], list].concat(), at_once).unwrap();
            assert_eq!(both, [&lines[..], kept].concat());
        }
        let old = [
            &lines[..],
            b"0032ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6 HEAD\0x0000",
        ]
        .concat();
        assert_eq!(filtered(&old, 5).unwrap(), old);
        assert_eq!(filtered(b"", 1).unwrap(), b"");
        assert!(filtered(b"<html>", 1).is_err());
    }
}
