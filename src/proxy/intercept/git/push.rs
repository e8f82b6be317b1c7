//! Pushes over https: the bodies of requests and answers as what `super::super::super::git_push` works on.
//!
//! Smart HTTP has no memory: a push is one request, and what the server offered came with another. So that nothing has to be
//! believed that a client says, what the server has is asked anew with every push, with the user's credential. Git tries
//! with an empty push first where the real one is large; that is answered here, and asks the server nothing.

use super::super::body::{BodyError, Given, Own, RequestBody, Sent};
use super::super::exchange::{Answer, Tasks};
use super::filtered::{Carried, service};
use super::past::HttpsPast;
use super::unpacked::Unpacked;
use super::{Asking, Failed, read_away, refusal, upstream};
use crate::git::hide::HidingStream;
use crate::git::object_id::ObjectFormat;
use crate::git::push::Push;
use crate::policy::Repository;
use crate::proxy::Proxy;
use crate::proxy::git_push::{self, AdvertiseError, Packets, PassError, ReceiveError, Sink, Source};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Pieces of a body that wait for who takes them.
const PIECES: usize = 4;
/// How much of a refused push is read and let go, so that git reads the answer; and how long git may think meanwhile.
const LET_GO: u64 = 8 << 30;
const THINKING: Duration = Duration::from_secs(600);
/// What git tries with before a push that is large (`probe_rpc` in git's remote-curl.c).
const TRIAL: &[u8] = b"0000";

/// A body's bytes. Before an advertisement the lines of smart HTTP are left out.
pub(super) struct Reading<B> {
    body: B,
    held: Bytes,
    /// What is read while it isn't known whether those lines come.
    lines: Option<Vec<u8>>,
}

impl<B> Reading<B> {
    pub(super) const fn new(body: B, lines: Option<Vec<u8>>) -> Self {
        Self {
            body,
            held: Bytes::new(),
            lines,
        }
    }
}

impl<B> Source for Reading<B>
where
    B: Body<Data = Bytes> + Unpin + Send,
    B::Error: Into<BodyError>,
{
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.held.is_empty() {
                let count = self.held.len().min(into.len());
                let part = self.held.split_to(count);
                if let Some(room) = into.get_mut(..count) {
                    room.copy_from_slice(&part);
                }
                return Ok(count);
            }
            let data = match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_) => continue,
                },
                Some(Err(error)) => return Err(io::Error::other(error.into())),
                None => return Ok(0),
            };
            match &mut self.lines {
                Some(lines) => {
                    lines.extend_from_slice(&data);
                    let length = service(lines).map_err(io::Error::other)?;
                    if let Some(length) = length {
                        self.held = lines.split_off(length).into();
                        self.lines = None;
                    }
                }
                None => self.held = data,
            }
        }
    }
}

/// Where bytes go that become a body.
struct Writing(mpsc::Sender<Result<Bytes, BodyError>>);

impl Sink for Writing {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.0.send(Ok(Bytes::copy_from_slice(bytes))).await;
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// The same, without what the server was told.
struct Hiding {
    to: Writing,
    hiding: Option<HidingStream>,
}

impl Sink for Hiding {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.hiding {
            Some(hiding) => {
                let mut out = Vec::with_capacity(bytes.len());
                hiding.accept(bytes, &mut out);
                self.to.write(&out).await
            }
            None => self.to.write(bytes).await,
        }
    }
}

/// Where bytes go that nobody needs.
struct Nowhere;

impl Sink for Nowhere {
    async fn write(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Where a report goes, which is bounded.
struct Gathered(Vec<u8>);

impl Sink for Gathered {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// What the server has, on its way to the client: with what may be asked for alone.
pub(super) fn offered(response: Response<Incoming>, tasks: &Tasks, carried: Carried) -> Answer {
    let (sender, receiver) = mpsc::channel(PIECES);
    let body = response.into_body();
    tasks.spawn(async move {
        let mut carried = carried;
        let mut to_client = Hiding {
            to: Writing(sender),
            hiding: carried.hiding(),
        };
        let line = b"001f# service=git-receive-pack\n0000";
        let told = async {
            to_client.write(line).await?;
            let mut server = Packets::new(Reading::new(body, Some(Vec::new())));
            git_push::advertise(&mut server, &mut to_client).await.map(drop)
        };
        if let Err(error) = told.await {
            carried.failed = Some(error.to_string());
            to_client.to.0.send(Err(error.to_string().into())).await.ok();
        }
    });
    answer("advertisement", Given::Own(Own::Pieces(receiver)))
}

fn answer(what: &str, body: Given) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&format!("application/x-git-receive-pack-{what}")) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn result(bytes: Vec<u8>) -> Answer {
    answer("result", Given::Own(Own::whole(bytes)))
}

impl Asking<'_> {
    /// A push.
    pub(super) async fn push(
        &self,
        proxy: &Proxy,
        base: &str,
        body: RequestBody,
        carried: &mut Carried,
    ) -> Result<Answer, Failed> {
        let bad = |why: String| Failed::new(StatusCode::BAD_GATEWAY, why);
        let broken =
            |error: io::Error| Failed::new(StatusCode::BAD_REQUEST, format!("the push broke off: {error}"));
        if base != self.asked.base && self.standing(base) != Ok(self.standing) {
            return Err(Failed::forbidden(format!(
                "it moved to {base}, which isn't allowed"
            )));
        }
        let mut client = Packets::new(Unpacked::new(Reading::new(body, None), self.fields.is_packed()));
        if client.bytes().await.map_err(broken)? == TRIAL {
            // More may come, and then it isn't one.
            client.used(TRIAL.len());
            return match client.bytes().await.map_err(broken)?.is_empty() {
                true => Ok(result(Vec::new())),
                false => Err(Failed::new(StatusCode::BAD_REQUEST, "bytes follow an empty push")),
            };
        }
        let server = self.offer(base, carried).await;
        let server = match server {
            Ok(server) => server,
            Err(failed) => {
                let_go(&mut client).await;
                return Err(failed);
            }
        };
        // What was offered is there, and the push would go here.
        if self.moved_base() != base {
            let_go(&mut client).await;
            return Err(Failed::forbidden(
                "the server says that it moved, just now: try once more",
            ));
        }
        let format = server.format().unwrap_or(ObjectFormat::Sha1);
        let push = match git_push::commands(&mut client, format).await {
            Ok(Some(push)) => push,
            Ok(None) => return Ok(result(Vec::new())),
            Err(ReceiveError::Broken(error)) => return Err(broken(error)),
            Err(ReceiveError::Push(error)) => {
                let_go(&mut client).await;
                return Err(Failed::forbidden(format!(
                    "the push can't be understood: {error}"
                )));
            }
        };
        // Where it goes, whose rules may be others than those of the name that it was asked by.
        let judge = &self.shared.judge;
        let repository = Repository::https(judge.host(), judge.port(), base);
        let repository = &repository.map_err(|why| Failed::forbidden(why.to_string()))?;
        let past = HttpsPast {
            asking: self,
            base,
            history: proxy.ssh.as_ref().ok().and_then(|ssh| ssh.history.as_ref()),
        };
        let judged = Box::pin(git_push::judge(
            proxy,
            repository,
            &server,
            &push,
            &mut client,
            &past,
        ))
        .await;
        let judged = match judged {
            Ok(judged) => judged,
            Err(refused) => {
                let_go(&mut client).await;
                carried.refs = git_push::told(&push, Err(&refused));
                carried.findings = refused.findings.clone();
                let report = refused
                    .refusal
                    .encode(&push)
                    .map_err(|error| bad(error.to_string()))?;
                let lines = refused
                    .refusal
                    .lines
                    .iter()
                    .map(|line| format!("{line}\n"))
                    .collect();
                carried.denied = Some(refused.deny);
                return Ok(match report {
                    Some(report) => result(report),
                    // It asked for none.
                    None => refusal::said(lines),
                });
            }
        };
        drop(client);
        self.pass_on(proxy, repository, base, &push, format, judged, carried)
            .await
    }

    /// What the server has, asked anew.
    async fn offer(
        &self,
        base: &str,
        carried: &mut Carried,
    ) -> Result<crate::git::advertisement::PushAdvertisement, Failed> {
        let bad = |why: String| Failed::new(StatusCode::BAD_GATEWAY, why);
        let response = self.refs_at(base, carried).await?;
        super::is_gits(&response, self.asked.service, super::Step::Refs)
            .map_err(|(status, why)| Failed::new(status, why))?;
        let mut server = Packets::new(Reading::new(response.into_body(), Some(Vec::new())));
        let read = git_push::advertise(&mut server, &mut Nowhere).await;
        match read {
            Ok(read) => {
                // To its end, so that the connection can be used again.
                while let Ok(bytes) = server.bytes().await {
                    if bytes.is_empty() {
                        break;
                    }
                    let count = bytes.len();
                    server.used(count);
                }
                Ok(read)
            }
            Err(AdvertiseError::Silent) => Err(bad("the server said nothing".into())),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    /// Sends a push that was judged, and passes the report on.
    #[expect(clippy::too_many_arguments, reason = "all of one push, and used once")]
    async fn pass_on(
        &self,
        proxy: &Proxy,
        repository: &Repository,
        base: &str,
        push: &Push,
        format: ObjectFormat,
        judged: git_push::Judged,
        carried: &mut Carried,
    ) -> Result<Answer, Failed> {
        let bad = |why: String| Failed::new(StatusCode::BAD_GATEWAY, why);
        let shared = self.shared;
        let credential = self.credential(base, carried).await?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let way = self.way(base, credential.as_deref()).await.map_err(bad)?;
        let target = format!("{base}/{}", self.asked.service.word());
        let request = upstream::request(
            &shared.judge,
            &way,
            super::Step::Call,
            &target,
            &self.fields.unpacked(),
            credential.as_deref(),
            Sent::Own(Own::Pieces(receiver)),
        );
        let request = request.map_err(|error| bad(error.to_string()))?;
        let mut to_server = Writing(sender);
        let sending = async {
            let sent = git_push::send(push, format, judged, &mut to_server).await;
            drop(to_server);
            sent
        };
        let (sent, response) = tokio::join!(sending, way.send(request));
        let response = response.map_err(|error| bad(upstream::why(&error)))?;
        // A server that had enough says why.
        if let Err(error @ (PassError::Malformed | PassError::TooLong)) = sent {
            return Err(bad(error.to_string()));
        }
        if let Err((status, why)) = super::is_gits(&response, self.asked.service, super::Step::Call) {
            read_away(response).await;
            return Err(Failed::new(status, why));
        }
        let mut server = Packets::new(Reading::new(response.into_body(), None));
        let mut report = Gathered(Vec::new());
        let outcome = git_push::report(proxy, repository, push, &mut server, &mut report).await;
        let outcome = outcome.map_err(|error| bad(format!("the server's report broke off: {error}")))?;
        carried.refs = git_push::told(push, Ok(&outcome));
        Ok(result(carried.hide_all(report.0)))
    }
}

/// Reads what the client still sends, to nowhere.
async fn let_go(client: &mut Packets<impl Source>) {
    let mut left = LET_GO;
    while left > 0 {
        let read = match timeout(THINKING, client.bytes()).await {
            Ok(Ok(bytes)) if !bytes.is_empty() => bytes.len(),
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        };
        client.used(read);
        left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
    }
}
