//! Carries a plain HTTP/1 connection: each request on it is judged, not the first alone, since a connection that is
//! kept open can carry a request for another host. Carries as well a connection whose client waited for the server: what
//! it says in the end is judged when it comes.
//!
//! Requests are followed by their own framing, strictly; responses are passed on as they come. A change of protocol is
//! carried for WebSocket alone, and only when the server has agreed to it in its first answer.

use super::first_bytes::{self, Spoken};
use super::gate::{Judged, request_fits};
use super::http::{self, Body, BodyReader, HEAD_MAX, Head, Request, Upgrade};
use super::judge::Refused;
use super::reach::{Forward, Outside};
use super::record::{Counts, Way};
use super::relay::AtEnd;
use super::upstream;
use super::{gate, relay};
use crate::policy::Deny;
use std::io;
use std::ops::Range;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a request's head may take from its first byte on.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const BUFFER: usize = 64 * 1024;
/// Bytes of an answer's beginning that are read to see what it is.
const BEGINNING: usize = 4096;
/// The port of an `http` URL without one.
pub(super) const HTTP: u16 = 80;
/// How a server agrees to a change of protocol.
const SWITCHING_BYTES: usize = 12;
const SWITCHING: [&[u8]; 2] = [b"HTTP/1.1 101", b"HTTP/1.0 101"];
/// How a proxy asks for a password.
const UNAUTHORIZED: [&[u8]; 2] = [b"HTTP/1.1 407", b"HTTP/1.0 407"];

/// How long a server may take to end when its client has turned to another.
const LEFT_WITHIN: Duration = Duration::from_secs(2);

/// How it ended.
pub(super) enum End {
    /// Both ends are done.
    Done,
    /// A later request was refused.
    Denied(Deny),
    /// The proxy outside doesn't take requests, and nothing was answered.
    Refused(String),
    /// A request was refused by a rule on requests, which was told.
    Forbidden(Refused),
    /// A later request to a proxy leads elsewhere; here it is, with what followed.
    Elsewhere(Vec<u8>),
}

/// What the client took this for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The server.
    Server,
    /// A proxy: requests have absolute targets, which become paths on their way.
    Proxy,
}

/// How it begins.
pub(super) enum Begin {
    /// With a request, whose host was judged.
    Request(Request),
    /// With too little to tell.
    Undecided,
}

/// Carries until both ends are done; `first` holds what was read of it.
pub(super) async fn carry(
    inside: &mut TcpStream,
    outside: &mut Outside,
    first: Vec<u8>,
    begin: Begin,
    judged: &Judged,
    asked: Asked,
    counts: &Counts,
) -> io::Result<End> {
    let (inside_read, inside_write) = inside.split();
    let forward = outside.forward.as_ref();
    let (outside_read, outside_write) = outside.stream.split();
    let (agreed, agreement) = oneshot::channel();
    let requests = Requests {
        from: inside_read,
        to: outside_write,
        buffer: first,
        passed: 0,
        counts,
        judged,
        asked,
        forward,
    };
    let end = match asked {
        Asked::Server => AtEnd::Close,
        Asked::Proxy => AtEnd::Stay,
    };
    let responses = responses(outside_read, inside_write, agreed, counts, end, forward.is_some());
    let answered = |done| match (done, forward) {
        (Responses::Unauthorized, Some(forward)) => {
            Some(End::Refused(upstream::unauthorized(&forward.url).to_string()))
        }
        (Responses::Unauthorized | Responses::Passed, _) => None,
    };
    let carried = async {
        tokio::pin!(responses);
        let requests = requests.run(begin, agreement);
        tokio::pin!(requests);
        tokio::select! {
            end = &mut requests => match end? {
                End::Done => Ok(answered(responses.await?).unwrap_or(End::Done)),
                // The client has the whole answer, or it would not ask for the next.
                End::Elsewhere(rest) => match timeout(LEFT_WITHIN, responses).await {
                    Ok(done) => Ok(answered(done?).unwrap_or(End::Elsewhere(rest))),
                    Err(_) => Ok(End::Elsewhere(rest)),
                },
                other @ (End::Denied(_) | End::Forbidden(_) | End::Refused(_)) => Ok(other),
            },
            done = &mut responses => {
                if let Some(end) = answered(done?) {
                    return Ok(end);
                }
                match asked {
                    // The server has ended; what the client still sends goes to it as long as it takes it.
                    Asked::Server => requests.await,
                    // Without the server's end an answer may have none.
                    Asked::Proxy => Ok(End::Done),
                }
            }
        }
    };
    relay::until_idle(counts, Box::pin(carried)).await?
}

struct Requests<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    /// Bytes that were read and not passed on.
    buffer: Vec<u8>,
    /// Bytes at the start of it that were passed on all the same.
    passed: usize,
    counts: &'a Counts,
    judged: &'a Judged,
    asked: Asked,
    forward: Option<&'a Forward>,
}

impl Requests<'_> {
    async fn run(mut self, begin: Begin, agreement: oneshot::Receiver<bool>) -> io::Result<End> {
        let first = match begin {
            Begin::Request(request) => self.judge(request),
            Begin::Undecided => self.decide().await?,
        };
        let mut request = match first {
            Next::Request(request) => request,
            Next::Denied(deny) => return Ok(End::Denied(deny)),
            Next::Refused(refused) => return Ok(End::Forbidden(refused)),
            Next::Other | Next::Elsewhere | Next::End => return self.pass_rest().await,
        };
        let mut agreement = Some(agreement);
        loop {
            let websocket = request.upgrade == Upgrade::WebSocket && agreement.is_some();
            self.pass_head(&request, websocket).await?;
            self.pass_body(request.body).await?;
            if websocket && let Some(agreement) = agreement.take() {
                // A client waits for the answer too (RFC 6455 4.1).
                if agreement.await.unwrap_or(false) {
                    return self.pass_rest().await;
                }
            }
            agreement = None;
            request = match self.next().await? {
                Next::Request(request) => request,
                Next::Denied(deny) => return Ok(End::Denied(deny)),
                Next::Refused(refused) => return Ok(End::Forbidden(refused)),
                Next::Elsewhere => {
                    self.to.shutdown().await?;
                    return Ok(End::Elsewhere(self.buffer));
                }
                Next::Other | Next::End => {
                    self.to.shutdown().await?;
                    return Ok(End::Done);
                }
            };
        }
    }

    /// Passes a head on, without the fields that ask for a protocol that isn't carried, and with the target in the form
    /// that the other end takes.
    async fn pass_head(&mut self, request: &Request, keep_upgrade: bool) -> io::Result<()> {
        let head: Vec<u8> = self
            .buffer
            .drain(..request.length.min(self.buffer.len()))
            .collect();
        let mut changes: Vec<(Range<usize>, String)> = Vec::new();
        let without = |place: &Range<usize>| (place.clone(), String::new());
        if !keep_upgrade {
            changes.extend(request.upgrade_fields.iter().map(without));
        }
        if self.asked == Asked::Proxy || self.forward.is_some() {
            changes.extend(request.proxy_fields.iter().map(without));
            changes.extend(self.target(request, &head));
        }
        if let Some(credentials) = self.forward.and_then(|forward| forward.url.credentials.as_ref()) {
            let line = head
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            let field = format!("Proxy-Authorization: {}\r\n", credentials.basic());
            changes.push((line..line, field));
        }
        changes.sort_by_key(|(place, _)| place.start);
        let mut kept = Vec::with_capacity(head.len() + 256);
        let mut at = 0;
        for (place, text) in changes {
            kept.extend_from_slice(head.get(at..place.start).unwrap_or_default());
            kept.extend_from_slice(text.as_bytes());
            at = place.end;
        }
        kept.extend_from_slice(head.get(at..).unwrap_or_default());
        // What was passed on before is a part of the first line, where no field stands.
        let passed = std::mem::take(&mut self.passed);
        self.send(kept.get(passed..).unwrap_or_default()).await
    }

    /// Where the target changes, and into what: a path for a server, a URL for a proxy.
    fn target(&self, request: &Request, head: &[u8]) -> Option<(Range<usize>, String)> {
        let url = self
            .forward
            .map(|forward| format!("http://{}", forward.authority));
        let Some(absolute) = &request.absolute else {
            let start = head.iter().position(|byte| *byte == b' ')? + 1;
            // `OPTIONS *` is about the server: a URL without a path (RFC 9112 3.2.4).
            let end = if head.get(start) == Some(&b'*') {
                start + 1
            } else {
                start
            };
            return Some((start..end, url?));
        };
        let mut text = url.unwrap_or_default();
        if head.get(absolute.place.end) != Some(&b'/') {
            text.push('/');
        }
        Some((absolute.place.clone(), text))
    }

    async fn pass_body(&mut self, body: Body) -> io::Result<()> {
        let mut reader = BodyReader::new(body);
        while !reader.is_done() {
            if self.buffer.is_empty() && self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = reader
                .take(&self.buffer)
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
            self.counts.send(count)?;
            self.to
                .write_all(self.buffer.get(..count).unwrap_or_default())
                .await?;
            self.buffer.drain(..count);
        }
        Ok(())
    }

    /// Reads on until it is clear what is spoken, and passes on meanwhile what no server acts on.
    async fn decide(&mut self) -> io::Result<Next> {
        loop {
            if let Some(spoken) = first_bytes::tell(&self.buffer) {
                return Ok(match (gate::fits(self.judged, &spoken), spoken) {
                    (Err(deny), _) => Next::Denied(deny),
                    (Ok(()), Spoken::Http(request)) => self.judge(request),
                    (Ok(()), _) => Next::Other,
                });
            }
            let read = if first_bytes::may_pass(&self.buffer) {
                let new = self.buffer.get(self.passed..).unwrap_or_default();
                self.counts.send(new.len())?;
                self.to.write_all(new).await?;
                self.passed = self.buffer.len();
                self.fill().await?
            } else {
                match timeout(HEAD_WITHIN, self.fill()).await {
                    Ok(read) => read?,
                    Err(_) => {
                        return Ok(Next::Denied(gate::refusal(
                            "its first bytes were not whole in time",
                        )));
                    }
                }
            };
            if read == 0 {
                return Ok(match first_bytes::may_pass(&self.buffer) {
                    true => Next::End,
                    false => Next::Denied(gate::refusal("its first bytes ended before they were whole")),
                });
            }
        }
    }

    async fn next(&mut self) -> io::Result<Next> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Ok(Next::End);
        }
        match timeout(HEAD_WITHIN, self.whole_head()).await {
            Ok(next) => next,
            Err(_) => Ok(Next::Denied(gate::refusal(
                "a request's head was not whole in time",
            ))),
        }
    }

    async fn whole_head(&mut self) -> io::Result<Next> {
        loop {
            match http::parse(&self.buffer) {
                Head::Whole(request) if self.leads_elsewhere(&request) => return Ok(Next::Elsewhere),
                Head::Whole(request) => {
                    return Ok(match request_fits(&self.judged.target, &request) {
                        Ok(()) => self.judge(request),
                        Err(deny) => Next::Denied(deny),
                    });
                }
                Head::Malformed(why) => {
                    return Ok(Next::Denied(gate::refusal(&format!(
                        "a request can't be understood: {why}"
                    ))));
                }
                Head::Partial if self.buffer.len() > HEAD_MAX => {
                    return Ok(Next::Denied(gate::refusal("a request's head is too long")));
                }
                Head::Partial => {}
            }
            if self.fill().await? == 0 {
                return Ok(Next::Denied(gate::refusal(
                    "a request's head ended before it was whole",
                )));
            }
        }
    }

    /// By the rules on requests, where there are some.
    fn judge(&self, request: Request) -> Next {
        match self.judged.judge.as_ref().map(|judge| judge.plain(&request)) {
            Some(Err(refused)) => Next::Refused(refused),
            Some(Ok(())) | None => Next::Request(request),
        }
    }

    /// Whether a proxy is asked for another host than before, or for anything but that.
    fn leads_elsewhere(&self, request: &Request) -> bool {
        let here = |absolute: &http::Absolute| {
            absolute.is_http
                && self.judged.target.is(&absolute.authority.host)
                && absolute.authority.port.unwrap_or(HTTP) == self.judged.target.port()
        };
        self.asked == Asked::Proxy && !request.absolute.as_ref().is_some_and(here)
    }

    /// All that comes, as it comes.
    async fn pass_rest(mut self) -> io::Result<End> {
        let rest = std::mem::take(&mut self.buffer);
        self.send(rest.get(self.passed..).unwrap_or_default()).await?;
        relay::one_way(self.from, self.to, Way::Out(self.counts), AtEnd::Close).await?;
        Ok(End::Done)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(BUFFER);
        self.from.read_buf(&mut self.buffer).await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.counts.send(bytes.len())?;
        self.to.write_all(bytes).await
    }
}

/// What became of the answers.
enum Responses {
    /// All went inside.
    Passed,
    /// The first was a proxy's, which wants a password; nothing went inside.
    Unauthorized,
}

enum Next {
    Request(Request),
    /// Another protocol, which was judged.
    Other,
    Denied(Deny),
    Refused(Refused),
    /// A request to a proxy that is not for this server.
    Elsewhere,
    End,
}

/// Passes responses on, and tells of the first whether it agrees to a change of protocol.
async fn responses(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    agreed: oneshot::Sender<bool>,
    counts: &Counts,
    end: AtEnd,
    forwarded: bool,
) -> io::Result<Responses> {
    let mut buffer = vec![0; BEGINNING];
    let mut filled = 0;
    loop {
        let read = from.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        filled += read;
        let bytes = buffer.get(..filled).unwrap_or_default();
        let beginning = bytes.get(..filled.min(SWITCHING_BYTES)).unwrap_or_default();
        if forwarded && UNAUTHORIZED.contains(&beginning) {
            return Ok(Responses::Unauthorized);
        }
        match switches(beginning) {
            // So few bytes are nothing to anybody yet.
            None if read > 0 => {}
            answer => {
                counts.receive(filled);
                to.write_all(bytes).await?;
                // Nobody listens when no change was asked for.
                agreed.send(answer.unwrap_or(false)).ok();
                break;
            }
        }
    }
    drop(buffer);
    relay::one_way(from, to, Way::In(counts), end).await?;
    Ok(Responses::Passed)
}

/// Whether a response begins by agreeing; `None` when it can't be told yet.
fn switches(bytes: &[u8]) -> Option<bool> {
    if SWITCHING.iter().any(|line| bytes.starts_with(line)) {
        return Some(true);
    }
    if SWITCHING
        .iter()
        .chain(&UNAUTHORIZED)
        .any(|line| line.starts_with(bytes))
    {
        None
    } else {
        Some(false)
    }
}
