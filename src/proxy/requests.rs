//! Carries a plain HTTP/1 connection: each request on it is judged, not the first alone, since a connection that is
//! kept open can carry a request for another host.
//!
//! Requests are followed by their own framing, strictly; responses are passed on as they come. A change of protocol is
//! carried for WebSocket alone, and only when the server has agreed to it in its first answer.

use super::gate::{Target, request_fits};
use super::http::{self, Body, BodyReader, HEAD_MAX, Head, Request, Upgrade};
use super::record::Counts;
use super::{gate, relay};
use crate::policy::Deny;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a request's head may take from its first byte on.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const BUFFER: usize = 64 * 1024;
/// How a server agrees to a change of protocol.
const SWITCHING: [&[u8]; 2] = [b"HTTP/1.1 101", b"HTTP/1.0 101"];

/// How it ended.
pub(super) enum End {
    /// Both ends are done.
    Done,
    /// A later request was refused.
    Denied(Deny),
}

/// Carries until both ends are done; `first` begins with the first request, which was judged.
pub(super) async fn carry(
    inside: &mut TcpStream,
    outside: &mut TcpStream,
    first: Vec<u8>,
    request: Request,
    target: &Target,
    counts: &Counts,
) -> io::Result<End> {
    let (inside_read, inside_write) = inside.split();
    let (outside_read, outside_write) = outside.split();
    let (agreed, agreement) = oneshot::channel();
    let requests = Requests {
        from: inside_read,
        to: outside_write,
        buffer: first,
        counts,
        target,
    };
    let responses = responses(outside_read, inside_write, agreed, counts);
    let carried = async {
        tokio::pin!(responses);
        let requests = requests.run(request, agreement);
        tokio::pin!(requests);
        tokio::select! {
            end = &mut requests => match end? {
                End::Done => responses.await.map(|()| End::Done),
                denied => Ok(denied),
            },
            done = &mut responses => {
                done?;
                // The server has ended; what the client still sends goes to it as long as it takes it.
                requests.await
            }
        }
    };
    relay::until_idle(counts, Box::pin(carried)).await?
}

struct Requests<'a, R, W> {
    from: R,
    to: W,
    /// Bytes that were read and not passed on.
    buffer: Vec<u8>,
    counts: &'a Counts,
    target: &'a Target,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Requests<'_, R, W> {
    async fn run(mut self, first: Request, agreement: oneshot::Receiver<bool>) -> io::Result<End> {
        let mut request = first;
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
                Next::End => {
                    self.to.shutdown().await?;
                    return Ok(End::Done);
                }
            };
        }
    }

    /// Passes a head on, without the fields that ask for a protocol that isn't carried.
    async fn pass_head(&mut self, request: &Request, keep_upgrade: bool) -> io::Result<()> {
        let head: Vec<u8> = self
            .buffer
            .drain(..request.length.min(self.buffer.len()))
            .collect();
        let mut kept = Vec::with_capacity(head.len());
        let mut at = 0;
        if !keep_upgrade {
            for place in &request.upgrade_fields {
                kept.extend_from_slice(head.get(at..place.start).unwrap_or_default());
                at = place.end;
            }
        }
        kept.extend_from_slice(head.get(at..).unwrap_or_default());
        self.send(&kept).await
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
            let part: Vec<u8> = self.buffer.drain(..count).collect();
            self.send(&part).await?;
        }
        Ok(())
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
                Head::Whole(request) => {
                    return Ok(match request_fits(self.target, &request) {
                        Ok(()) => Next::Request(request),
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

    /// All that comes, as it comes.
    async fn pass_rest(mut self) -> io::Result<End> {
        let rest = std::mem::take(&mut self.buffer);
        self.send(&rest).await?;
        relay::one_way(self.from, self.to, &self.counts.sent).await?;
        Ok(End::Done)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(BUFFER);
        self.from.read_buf(&mut self.buffer).await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes).await?;
        relay::add(&self.counts.sent, bytes.len());
        Ok(())
    }
}

enum Next {
    Request(Request),
    Denied(Deny),
    End,
}

/// Passes responses on, and tells of the first whether it agrees to a change of protocol.
async fn responses(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    agreed: oneshot::Sender<bool>,
    counts: &Counts,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut seen = Vec::new();
    let mut agreed = Some(agreed);
    loop {
        let read = from.read(&mut buffer).await?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if let Some(sender) = agreed.take() {
            seen.extend_from_slice(bytes.get(..bytes.len().min(16)).unwrap_or_default());
            match switches(&seen) {
                None if read > 0 => agreed = Some(sender),
                // Nobody listens when no change was asked for.
                answer => drop(sender.send(answer.unwrap_or(false))),
            }
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(bytes).await?;
        relay::add(&counts.received, read);
    }
}

/// Whether a response begins by agreeing; `None` when it can't be told yet.
fn switches(bytes: &[u8]) -> Option<bool> {
    if SWITCHING.iter().any(|line| bytes.starts_with(line)) {
        return Some(true);
    }
    if SWITCHING.iter().any(|line| line.starts_with(bytes)) {
        None
    } else {
        Some(false)
    }
}
