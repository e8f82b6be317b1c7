//! Requests and answers of one connection: each request is judged, passed on, and told with the status of its answer.
//! Bodies stream both ways as they come.

use super::apart::Apart;
use super::body::{AnswerBody, Given, Own, RequestBody, Sent};
use super::{Again, fields, git};
use crate::policy::Deny;
use crate::policy::Scheme;
use crate::proxy::gate::refusal;
use crate::proxy::judge::{self, Judge, Line};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version, upgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How long a kept-alive connection may wait for its next request's head, and that may take.
const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// Bytes of a head.
const HEAD_MAX: usize = 64 * 1024;
const HEAD_MAX_HTTP2: u32 = 64 * 1024;
/// Requests of HTTP/2 at once.
const STREAMS_MAX: u32 = 100;
/// Bytes of HTTP/2 that one side sent and the other has not taken: of a connection, and of one answer or body in it.
const WINDOW: u32 = 1 << 20;
const SEND_MAX: usize = 16 * 1024;

/// What is passed on, or a text of ours.
pub(super) type Answer = Response<Given>;

/// Tasks of one connection: they end with it.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Begins one.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// Waits for them.
    pub(super) async fn finish(&self) {
        let mut set = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        while set.join_next().await.is_some() {}
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

/// The way outside.
pub(super) enum Outgoing {
    /// One request at a time.
    Http1(tokio::sync::Mutex<http1::SendRequest<Sent>>),
    /// Many.
    Http2(http2::SendRequest<Sent>),
    /// None, and why.
    None(String),
}

impl Outgoing {
    /// Begins to speak; `closed` is told when the server has ended.
    pub(super) async fn begin<S>(
        stream: S,
        http2: bool,
        tasks: &Tasks,
        closed: &Arc<Notify>,
    ) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let closed = Arc::clone(closed);
        if http2 {
            let mut builder = http2::Builder::new(tasks.clone());
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_send_buf_size(SEND_MAX)
                .max_header_list_size(HEAD_MAX_HTTP2);
            let (sender, connection) = builder.handshake(stream).await?;
            tasks.spawn(async move {
                connection.await.ok();
                closed.notify_one();
            });
            Ok(Self::Http2(sender))
        } else {
            let (sender, connection) = http1::Builder::new()
                .preserve_header_case(true)
                .max_buf_size(HEAD_MAX)
                .handshake(stream)
                .await?;
            tasks.spawn(async move {
                connection.with_upgrades().await.ok();
                closed.notify_one();
            });
            Ok(Self::Http1(tokio::sync::Mutex::new(sender)))
        }
    }

    /// Whether requests are written in HTTP/2.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether the server still takes requests.
    pub(super) async fn is_open(&self) -> bool {
        match self {
            // Who has it is at it.
            Self::Http1(sender) => sender.try_lock().is_ok_and(|sender| !sender.is_closed()),
            Self::Http2(sender) => !sender.is_closed(),
            Self::None(_) => false,
        }
    }

    /// Sends one; gives what is answered.
    pub(super) async fn send(&self, request: Request<Sent>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                let mut sender = sender.clone();
                sender.ready().await?;
                sender.send_request(request).await
            }
            // Asked before.
            Self::None(_) => std::future::pending().await,
        }
    }
}

/// What the requests of a connection share.
pub(super) struct Shared {
    /// Who is asked.
    pub(super) judge: Judge,
    /// The server.
    pub(super) outgoing: Outgoing,
    /// Another connection to it, where one more is needed.
    pub(super) again: Again,
    /// Those for requests in the user's name.
    pub(super) apart: Apart,
    /// Those of the connection.
    pub(super) tasks: Tasks,
}

impl Shared {
    /// For one connection.
    pub(super) fn new(judge: Judge, outgoing: Outgoing, again: Again, tasks: Tasks) -> Self {
        Self {
            judge,
            outgoing,
            again,
            apart: Apart::default(),
            tasks,
        }
    }
}

/// Serves the client until it is done, or the server is.
pub(super) async fn serve<S>(
    stream: TokioIo<S>,
    http2: bool,
    shared: Arc<Shared>,
    closed: &Notify,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tasks = shared.tasks.clone();
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { exchange(&shared, request).await }
    });
    if http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(tasks);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND_MAX)
            .max_header_list_size(HEAD_MAX_HTTP2)
            .max_concurrent_streams(STREAMS_MAX);
        let connection = builder.serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            done = connection.as_mut() => return done,
            () = closed.notified() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    } else {
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_MAX)
            .preserve_header_case(true)
            .serve_connection(stream, service)
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            done = connection.as_mut() => return done,
            () = closed.notified() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

async fn exchange(shared: &Shared, request: Request<Incoming>) -> hyper::Result<Response<AnswerBody>> {
    let waits = request.headers().contains_key(EXPECT);
    let request = request.map(|body| RequestBody::new(body, waits, shared.tasks.clone()));
    // HTTP/1 has no stream to reset, and a length tells its clients of the end.
    let is_http2 = request.version() == Version::HTTP_2;
    let pieces = request.body().pieces().filter(|_| is_http2);
    let answer = answer(shared, request).await?;
    Ok(answer.map(|body| AnswerBody::new(body, pieces)))
}

async fn answer(shared: &Shared, mut request: Request<RequestBody>) -> hyper::Result<Answer> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |path| path.as_str())
        .to_owned();
    let line = Line::new(Scheme::Https, request.method().as_str(), &target);
    let judge = &shared.judge;
    let denied = |refused: Box<(StatusCode, Deny)>, line| {
        let (status, deny) = *refused;
        Ok(text(status, "denied", judge.refuse(line, deny).text))
    };
    if let Err(refused) = fit(judge, &request) {
        return denied(refused, line);
    }
    match git::read(judge, &request, &target) {
        git::Read::Other => {}
        git::Read::Git(asked) => return Ok(Box::pin(git::serve(shared, *asked, request)).await),
        git::Read::Refused(why) => {
            let deny = refusal(&format!("git over https: {why}"));
            return Ok(text(
                StatusCode::FORBIDDEN,
                "denied",
                judge.refuse(line, deny).text,
            ));
        }
    }
    if let Err(deny) = judge.ask(Scheme::Https, request.method().as_str(), target.as_bytes()) {
        return denied(Box::new((StatusCode::FORBIDDEN, deny)), line);
    }
    if let Outgoing::None(why) = &shared.outgoing {
        judge.tell(line, None, Some(StatusCode::BAD_GATEWAY.as_u16()));
        return Ok(text(StatusCode::BAD_GATEWAY, "failed", format!("aca: {why}\n")));
    }
    let websocket = fields::asks_for_websocket(&request).then(|| upgrade::on(&mut request));
    if fields::outgoing(&mut request, &judge.authority()).is_err() {
        let deny = refusal("the request's target can't be understood");
        return Ok(text(
            StatusCode::FORBIDDEN,
            "denied",
            judge.refuse(line, deny).text,
        ));
    }
    let mut answer = match shared.outgoing.send(request.map(Sent::Passed)).await {
        Ok(answer) => answer,
        Err(error) => {
            judge.tell(line, None, None);
            // As if there had been nobody between: the connection ends, and the client may try another.
            return Err(error);
        }
    };
    let switches = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    match websocket {
        Some(inside) if switches => {
            let outside = upgrade::on(&mut answer);
            shared.tasks.spawn(async move {
                if let (Ok(inside), Ok(outside)) = tokio::join!(inside, outside) {
                    let (mut inside, mut outside) = (TokioIo::new(inside), TokioIo::new(outside));
                    tokio::io::copy_bidirectional(&mut inside, &mut outside)
                        .await
                        .ok();
                }
            });
        }
        Some(_) | None if switches => {
            let why = "aca: the server changed the protocol, and nobody asked for that\n";
            judge.tell(line, None, Some(StatusCode::BAD_GATEWAY.as_u16()));
            return Ok(text(StatusCode::BAD_GATEWAY, "failed", why.to_owned()));
        }
        Some(_) | None => {}
    }
    judge.tell(line, None, Some(answer.status().as_u16()));
    fields::incoming(answer.headers_mut(), switches);
    Ok(answer.map(Given::Passed))
}

/// Whether the request is for this host, and means what it seems to.
fn fit(judge: &Judge, request: &Request<RequestBody>) -> Result<(), Box<(StatusCode, Deny)>> {
    let forbidden = |deny| Box::new((StatusCode::FORBIDDEN, deny));
    if request.method() == Method::CONNECT {
        return Err(forbidden(refusal("CONNECT asks for a tunnel to another host")));
    }
    for sent in hosts(request).map_err(|why| forbidden(refusal(why)))? {
        if !judge.is(&sent) {
            // A client that takes one connection for several hosts opens another (RFC 9110 15.5.20).
            let shown: String = sent.chars().take(255).filter(char::is_ascii_graphic).collect();
            let why = format!("the request's host `{shown}` is not the one that was connected to");
            return Err(Box::new((StatusCode::MISDIRECTED_REQUEST, refusal(&why))));
        }
    }
    let names = || request.headers().keys().map(HeaderName::as_str);
    if names().any(judge::is_override) {
        return Err(forbidden(judge::overridden()));
    }
    if names().any(judge::is_almost) {
        return Err(forbidden(refusal(
            "the request can't be judged: some servers take a field of it for another",
        )));
    }
    Ok(())
}

/// Every host that a request names; none is an error, and so are two fields.
fn hosts(request: &Request<RequestBody>) -> Result<Vec<String>, &'static str> {
    let mut all: Vec<String> = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .into_iter()
        .collect();
    let mut fields = request.headers().get_all(HOST).iter();
    if let Some(field) = fields.next() {
        all.push(
            field
                .to_str()
                .map_err(|_| "a Host field that isn't text")?
                .to_owned(),
        );
    } else if request.version() < Version::HTTP_2 {
        return Err("no Host field");
    }
    if fields.next().is_some() {
        return Err("more than one Host field");
    }
    let scheme = request.uri().scheme_str();
    if scheme.is_some_and(|scheme| scheme != "https") {
        return Err("a URL of another scheme");
    }
    if all.is_empty() { Err("no host") } else { Ok(all) }
}

/// A text of ours as an answer.
pub(super) fn text(status: StatusCode, word: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Given::Own(Own::whole(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-aca-sandbox", HeaderValue::from_static(word));
    answer
}

/// A host as it is sent, split from its port.
pub(in crate::proxy) fn split(text: &str) -> Option<(String, Option<u16>)> {
    if text.contains('@') {
        return None;
    }
    // As a part of a URL a path, a query or a fragment could follow it.
    let authority: Authority = text.parse().ok()?;
    let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
    let has_port = authority.as_str().len() > authority.host().len();
    match (has_port, authority.port_u16()) {
        (true, None) => None,
        (_, port) => Some((bare.to_owned(), port)),
    }
}
