//! Bodies where the answer may overtake the request: a server may answer before it has read all that it is sent, and a
//! request may be denied. A client that is stopped in the middle of its body loses the answer: HTTP/2 resets the stream,
//! HTTP/1 the connection (RFC 9112 9.6). So what nobody reads any more is read for a while and thrown away, and HTTP/2
//! ends an answer only once its request has ended, or rests: some clients (curl 7.88) miss an end that comes before that.

use super::exchange::Tasks;
use super::fields::Outward;
use super::git::Filtered;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long the rest of a body is read, and the end of an answer may wait for it.
const REST_WITHIN: Duration = Duration::from_secs(5);
/// Most bytes of it.
const REST_MAX: usize = 32 << 20;
/// A body of which nothing comes for so long rests.
const RESTS_AFTER: Duration = Duration::from_millis(250);

/// The body of a request, whose rest is read wherever it is dropped.
pub(super) struct RequestBody {
    /// `None` once all of it was read, or the rest is read elsewhere.
    body: Option<Outward>,
    /// Told of each piece, and gone once there are no more.
    pieces: Option<watch::Sender<()>>,
    /// The client waits to be told to go on: what nobody reads is never sent.
    waits: bool,
    /// Those of the connection; `None` where this is the rest.
    tasks: Option<Tasks>,
}

impl RequestBody {
    /// Of a request whose client `waits` for a word before it sends it (RFC 9110 10.1.1).
    pub(super) fn new(body: Incoming, waits: bool, tasks: Tasks) -> Self {
        Self {
            pieces: (!body.is_end_stream()).then(|| watch::Sender::new(())),
            body: Some(Outward::from(body)),
            waits,
            tasks: Some(tasks),
        }
    }

    /// To wait for its end.
    pub(super) fn pieces(&self) -> Option<watch::Receiver<()>> {
        self.pieces.as_ref().map(watch::Sender::subscribe)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.waits = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        let ended = body.is_end_stream();
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        if ended || self.body.is_none() {
            self.pieces = None;
        } else if let Some(pieces) = &self.pieces {
            pieces.send_replace(());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        self.body.as_ref().map_or_else(none, Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(pieces), Some(tasks), false) = (self.pieces.take(), self.tasks.take(), self.waits) {
            let rest = Self {
                body: self.body.take(),
                pieces: Some(pieces),
                waits: false,
                tasks: None,
            };
            tasks.spawn(async move {
                timeout(REST_WITHIN, throw_away(rest, REST_MAX)).await.ok();
            });
        }
    }
}

/// Reads to the end, or somewhat beyond `most` bytes.
async fn throw_away(mut body: impl Body<Data = Bytes> + Unpin, most: usize) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > most {
            return;
        }
    }
}

/// Why a body ends before its end.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body of ours.
pub(super) enum Own {
    /// All of it at once.
    Whole(Full<Bytes>),
    /// What somebody gives piece by piece.
    Pieces(mpsc::Receiver<Result<Bytes, BodyError>>),
}

impl Own {
    /// These bytes.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }
}

impl Body for Own {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match self.get_mut() {
            Self::Whole(bytes) => {
                ready!(Pin::new(bytes).poll_frame(context)).map(|frame| frame.map_err(|never| match never {}))
            }
            Self::Pieces(pieces) => ready!(pieces.poll_recv(context)).map(|piece| piece.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_end_stream(),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => bytes.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// What a request outside has.
pub(super) enum Sent {
    /// What the client sends.
    Passed(RequestBody),
    /// Of ours.
    Own(Own),
    /// What was read of the client's already, and what it sends besides, up to so many bytes.
    Begun {
        /// Read already.
        first: Option<Bytes>,
        /// The rest.
        rest: RequestBody,
        /// How many bytes it may have.
        left: usize,
    },
}

impl Sent {
    /// Nothing.
    pub(super) fn nothing() -> Self {
        Self::Own(Own::whole(Bytes::new()))
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Passed(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Own(body) => Pin::new(body).poll_frame(context),
            Self::Begun { first, rest, left } => {
                if let Some(first) = first.take() {
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                loop {
                    let frame = match ready!(Pin::new(&mut *rest).poll_frame(context)) {
                        Some(Ok(frame)) => frame,
                        Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                        None => return Poll::Ready(None),
                    };
                    // What follows a body says nothing that git needs.
                    let Ok(data) = frame.into_data() else { continue };
                    return Poll::Ready(Some(match left.checked_sub(data.len()) {
                        Some(rest) => {
                            *left = rest;
                            Ok(Frame::data(data))
                        }
                        None => Err("the request is larger than git's are".into()),
                    }));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
            Self::Begun { first, rest, .. } => first.is_none() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
            Self::Begun { .. } => SizeHint::default(),
        }
    }
}

/// What an answer inside has.
pub(super) enum Given {
    /// What the server sends.
    Passed(Incoming),
    /// Of ours.
    Own(Own),
    /// What the server sends of git's, looked through.
    Git(Box<Filtered>),
}

impl Body for Given {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Passed(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Own(body) => Pin::new(body).poll_frame(context),
            Self::Git(body) => Poll::Ready(ready!(body.poll(context)).map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
            Self::Git(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
            Self::Git(_) => SizeHint::default(),
        }
    }
}

/// The body of an answer.
pub(super) struct AnswerBody {
    body: Given,
    /// All of it was passed on.
    done: bool,
    end: End,
    /// What is held back with the end.
    trailers: Option<Frame<Bytes>>,
}

enum End {
    /// As it comes.
    Free,
    /// Once these have ended.
    After(watch::Receiver<()>),
    /// They are waited for.
    Waits(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl AnswerBody {
    /// Ends after the request whose pieces these are, where there are such.
    pub(super) fn new(body: Given, after: Option<watch::Receiver<()>>) -> Self {
        Self {
            body,
            done: false,
            end: after.map_or(End::Free, End::After),
            trailers: None,
        }
    }

    /// Waits until the end may be told.
    fn poll_free(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let End::After(pieces) = &self.end {
            let mut pieces = pieces.clone();
            let rests = async move { while let Ok(Ok(())) = timeout(RESTS_AFTER, pieces.changed()).await {} };
            self.end = End::Waits(Box::pin(async move {
                timeout(REST_WITHIN, rests).await.ok();
            }));
        }
        if let End::Waits(waits) = &mut self.end {
            ready!(waits.as_mut().poll(context));
            self.end = End::Free;
        }
        Poll::Ready(())
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.done && !self.body.is_end_stream() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            match frame {
                Some(Ok(frame)) if frame.is_trailers() => self.trailers = Some(frame),
                None => {}
                frame => return Poll::Ready(frame),
            }
            self.done = true;
        }
        ready!(self.poll_free(context));
        Poll::Ready(self.trailers.take().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.end, End::Free) && self.trailers.is_none() && (self.done || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
