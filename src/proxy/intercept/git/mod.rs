//! Git's smart HTTP (gitprotocol-http(5)) on hosts where a rule names a repository: what is listed goes outside with the
//! user's own credential, which nothing inside ever sees.
//!
//! Requests are never passed on. Each is read into what is known ([`route`]), judged, and written anew ([`upstream`]): of
//! the client's fields only which version of the protocol it speaks, which program it is and how its body is packed are
//! kept, so nothing that it says about who it is gets outside. Of an answer the status and a body of git's own type get
//! inside, and nothing else: a page of the server's could say what it was sent. What goes with a credential goes by
//! connections of its own (`super::apart`). A server that asks who one is (401) is
//! answered here, and never inside, where git would ask a terminal.
//!
//! A refusal is a text, which git prints as `remote: aca: …` ([`refusal`]).

mod filtered;
mod past;
mod push;
mod refusal;
mod route;
mod unpacked;
mod upstream;

pub(super) use filtered::Filtered;

use super::body::{Given, Own, RequestBody, Sent};
use super::exchange::{Answer, Outgoing, Shared};
use crate::broker::{Broker, Credential, Place};
use crate::git::ssh_words::Service;
use crate::policy::{Action, Deny, GitOperation, Repository, Scheme, Unlisted};
use crate::proxy::gate;
use crate::proxy::judge::Judge;
use filtered::Carried;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Request, Response, StatusCode};
#[cfg(fuzzing)]
pub(in crate::proxy) use route::fuzz_route;
use route::{Asked, Route, Step, route};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use upstream::Fields;

/// Most bytes of a request for a pack.
const CALL_MAX: usize = 16 << 20;
/// Bytes of an answer that nobody gets: read, so that the connection can be used again.
const DROPPED_MAX: usize = 64 * 1024;
/// Redirections that are followed.
const HOPS_MAX: usize = 3;
/// Times that a credential is asked for.
const ATTEMPTS: usize = 2;
/// Repositories of which something is remembered.
const KNOWN_MAX: usize = 1024;

/// What lasts as long as the session.
#[derive(Default)]
pub(in crate::proxy) struct Front {
    broker: Arc<Broker>,
    known: Mutex<HashMap<Repository, Known>>,
}

/// What was learnt of a repository.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The server wants to know who asks.
    needs: bool,
    /// Where the server says that it is.
    moved: Option<String>,
}

impl Front {
    /// What finds credentials, and holds them.
    pub(in crate::proxy) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// With what finds credentials.
    pub(in crate::proxy) fn new(broker: Arc<Broker>) -> Self {
        Self {
            broker,
            ..Self::default()
        }
    }

    fn known(&self, repository: &Repository) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(repository).cloned().unwrap_or_default()
    }

    fn learn(&self, repository: &Repository, learn: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        learn(known.entry(repository.clone()).or_default());
    }
}

/// What a request is, on a host with rules on repositories.
pub(super) enum Read {
    /// None of git's: rules on requests decide.
    Other,
    /// Git's.
    Git(Box<Asked>),
    /// Neither plainly.
    Refused(&'static str),
}

/// Looks at a request.
pub(super) fn read(judge: &Judge, request: &Request<RequestBody>, target: &str) -> Read {
    if !judge.has_repositories() {
        return Read::Other;
    }
    let mut kinds = request.headers().get_all(CONTENT_TYPE).iter();
    let kind = kinds
        .next()
        .map(HeaderValue::as_bytes)
        .filter(|_| kinds.next().is_none());
    match route(
        judge.host(),
        judge.port(),
        request.method().as_str(),
        target,
        kind,
    ) {
        Route::Other => Read::Other,
        Route::Git(asked) => Read::Git(Box::new(asked)),
        Route::Refused(why) => Read::Refused(why),
    }
}

/// How a repository may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A rule names it: with the user's credential where the server asks for one.
    Listed,
    /// None does: as anybody may.
    Anonymous,
}

/// Answers one of git's.
pub(super) async fn serve(shared: &Shared, asked: Asked, request: Request<RequestBody>) -> Answer {
    let judge = &shared.judge;
    let operation = match asked.service {
        Service::UploadPack => GitOperation::Fetch,
        Service::ReceivePack => GitOperation::Push,
    };
    let mut carried = Carried::new(judge, operation, &asked.repository);
    let fetch = standing(judge, &asked, &asked.base);
    if operation == GitOperation::Push
        && let Err(deny) = pushed(judge, &asked, &asked.base)
    {
        return refusal::push(judge, &asked, fetch.is_ok(), *deny, &mut carried);
    }
    let fetch = match operation {
        GitOperation::Fetch => fetch,
        GitOperation::Push => Ok(Standing::Listed),
    };
    let standing = match fetch {
        Ok(standing) => standing,
        Err(deny) => return refusal::fetch(judge, &asked, *deny, &mut carried),
    };
    if let Outgoing::None(why) = &shared.outgoing {
        return refusal::failed(Failed::new(StatusCode::BAD_GATEWAY, why.as_str()), &mut carried);
    }
    let fields = Fields::of(request.headers());
    let asking = Asking {
        shared,
        asked,
        standing,
        fields,
    };
    let answered = match (operation, asking.asked.step) {
        (_, Step::Refs) => asking.refs(&mut carried).await,
        (GitOperation::Fetch, Step::Call) => asking.call(request.into_body(), &mut carried).await,
        (GitOperation::Push, Step::Call) => {
            let pushed = match judge.proxy() {
                Some(proxy) => {
                    let base = asking.moved_base();
                    Box::pin(asking.push(&proxy, &base, request.into_body(), &mut carried)).await
                }
                None => Err(Failed::new(StatusCode::BAD_GATEWAY, "the session is ending")),
            };
            return pushed.unwrap_or_else(|failed| refusal::failed(failed, &mut carried));
        }
    };
    match answered {
        Ok(response) => match is_gits(&response, asking.asked.service, asking.asked.step) {
            Ok(()) if operation == GitOperation::Push => push::offered(response, &shared.tasks, carried),
            Ok(()) => given(response, &asking.asked, carried),
            Err((status, why)) => refusal::failed(Failed::new(status, why), &mut carried),
        },
        Err(failed) => refusal::failed(failed, &mut carried),
    }
}

/// Whether a repository may be pushed to at a path.
fn pushed(judge: &Judge, asked: &Asked, base: &str) -> Result<(), Box<Deny>> {
    let push = action(judge, GitOperation::Push, base)?;
    judge.decide(&push)?;
    match as_request(judge, asked, base) {
        // A rule that says no of its requests says so of git's.
        Err(deny) if deny.rule.is_some() => Err(Box::new(deny)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn action(judge: &Judge, operation: GitOperation, base: &str) -> Result<Action, Box<Deny>> {
    let repository = Repository::https(judge.host(), judge.port(), base)
        .map_err(|why| Box::new(gate::refusal(&format!("git over https: {why}"))))?;
    Ok(Action::Git {
        operation,
        repository,
    })
}

/// What rules on requests say.
fn as_request(judge: &Judge, asked: &Asked, base: &str) -> Result<(), Deny> {
    let method = match asked.step {
        Step::Refs => "GET",
        Step::Call => "POST",
    };
    judge.ask(Scheme::Https, method, asked.target_at(base).as_bytes())
}

/// Whether a repository may be fetched at a path, and how.
fn standing(judge: &Judge, asked: &Asked, base: &str) -> Result<Standing, Box<Deny>> {
    let fetch = action(judge, GitOperation::Fetch, base)?;
    match (judge.decide(&fetch), as_request(judge, asked, base)) {
        // A rule that says no of its requests says so of git's.
        (Ok(()), Err(deny)) if deny.rule.is_some() => Err(Box::new(deny)),
        (Ok(()), _) => Ok(Standing::Listed),
        (Err(deny), Ok(())) if deny.rule.is_none() && judge.unlisted() == Unlisted::Anonymous => {
            Ok(Standing::Anonymous)
        }
        (Err(deny), _) => Err(Box::new(deny)),
    }
}

/// Why git gets no answer of the server's.
struct Failed {
    status: StatusCode,
    why: String,
    /// What the user alone may know of it: where credentials are looked for is nobody's business inside.
    outside: Option<String>,
}

impl Failed {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
            outside: None,
        }
    }

    fn forbidden(why: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, why)
    }

    /// With what goes to the log and nowhere else.
    fn and_outside(self, outside: impl Into<String>) -> Self {
        Self {
            outside: Some(outside.into()),
            ..self
        }
    }
}

/// A connection to the server.
enum Way<'a> {
    /// The one that belongs to the client's: nothing goes there that says who asks.
    Clients(&'a Outgoing),
    /// Another, that nothing of the client's own goes by.
    Own(Arc<Outgoing>),
}

impl std::ops::Deref for Way<'_> {
    type Target = Outgoing;

    fn deref(&self) -> &Outgoing {
        match self {
            Self::Clients(outgoing) => outgoing,
            Self::Own(outgoing) => outgoing,
        }
    }
}

/// A request that was let through.
struct Asking<'a> {
    shared: &'a Shared,
    asked: Asked,
    standing: Standing,
    fields: Fields,
}

impl Asking<'_> {
    /// Asks what there is. Follows the server to another name of the repository, and tells it who asks, where it wants to
    /// know and the rules let it.
    async fn refs(&self, carried: &mut Carried) -> Result<Response<Incoming>, Failed> {
        self.refs_at(&self.asked.base, carried).await
    }

    /// The same from a path on.
    async fn refs_at(&self, base: &str, carried: &mut Carried) -> Result<Response<Incoming>, Failed> {
        let (mut base, mut attempts, mut hops) = (base.to_owned(), 0, 0);
        loop {
            let credential = self.credential(&base, carried).await?;
            let target = format!("{base}/info/refs?service={}", self.asked.service.word());
            let response = self.send(&base, &target, credential.as_deref()).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED => {
                    attempts += 1;
                    self.asks_who(&base, credential.as_deref(), attempts)?;
                }
                status if status.is_redirection() => {
                    hops += 1;
                    base = self.moved(&response, hops)?;
                }
                _ => {
                    if base != self.asked.base && response.status() == StatusCode::OK {
                        let front = self.front();
                        front.learn(&self.asked.repository, |known| known.moved = Some(base.clone()));
                    }
                    return Ok(response);
                }
            }
            read_away(response).await;
        }
    }

    /// Asks for a pack.
    async fn call(&self, body: RequestBody, carried: &mut Carried) -> Result<Response<Incoming>, Failed> {
        let base = self.moved_base();
        if base != self.asked.base && self.standing(&base) != Ok(self.standing) {
            return Err(Failed::forbidden(format!(
                "it moved to {base}, which isn't allowed"
            )));
        }
        let bad = |why: String| Failed::new(StatusCode::BAD_GATEWAY, why);
        let credential = self.credential(&base, carried).await?;
        let target = self.asked.target_at(&base);
        let body = Sent::Begun {
            first: None,
            rest: body,
            left: CALL_MAX,
        };
        let way = self.way(&base, credential.as_deref()).await.map_err(bad)?;
        let request = upstream::request(
            &self.shared.judge,
            &way,
            self.asked.step,
            &target,
            &self.fields,
            credential.as_deref(),
            body,
        );
        let request = request.map_err(|error| bad(error.to_string()))?;
        let response = way.send(request).await;
        let response = response.map_err(|error| bad(upstream::why(&error)))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.asks_who(&base, credential.as_deref(), 1)?;
            // What was sent can't be sent again.
            return Err(Failed::forbidden(
                "the server asked in the middle who asks, and will be told the next time: try once more",
            ));
        }
        Ok(response)
    }

    /// What may be done with a repository at another path, as it was asked.
    fn standing(&self, base: &str) -> Result<Standing, Box<Deny>> {
        let judge = &self.shared.judge;
        match self.asked.service {
            Service::UploadPack => standing(judge, &self.asked, base),
            Service::ReceivePack => pushed(judge, &self.asked, base).map(|()| Standing::Listed),
        }
    }

    /// Asks for a pack of ours.
    async fn fetch(&self, base: &str, body: impl Fn() -> Sent) -> Result<Response<Incoming>, String> {
        let shared = self.shared;
        let front = self.front();
        let credential = match front.known(&self.asked.repository).needs {
            true => {
                let found = front.broker.credential(&self.place(base)).await;
                Some(found.map_err(|_| "no credential for it was found outside")?.0)
            }
            false => None,
        };
        let target = format!("{base}/{}", Service::UploadPack.word());
        let (judge, fields) = (&shared.judge, Fields::of_version_2());
        let credential = credential.as_deref();
        let way = self.way(base, credential).await?;
        let request = upstream::request(judge, &way, Step::Call, &target, &fields, credential, body());
        let request = request.map_err(|error| error.to_string())?;
        way.send(request).await.map_err(|error| upstream::why(&error))
    }

    /// The way to the server: with a credential one of the repository's own, else the one of the client's connection.
    async fn way(&self, base: &str, credential: Option<&Credential>) -> Result<Way<'_>, String> {
        let shared = self.shared;
        match credential {
            Some(_) => shared.apart.connection(shared, base).await.map(Way::Own),
            None if shared.outgoing.is_open().await => Ok(Way::Clients(&shared.outgoing)),
            None => {
                let again = shared.again.connect(&shared.judge, &shared.tasks).await?;
                Ok(Way::Own(Arc::new(again)))
            }
        }
    }

    /// The path of the repository, where the server said that it is.
    fn moved_base(&self) -> String {
        let moved = self.front().known(&self.asked.repository).moved;
        moved.unwrap_or_else(|| self.asked.base.clone())
    }

    /// The credential, where the repository is listed and the server is known to want one.
    async fn credential(&self, base: &str, carried: &mut Carried) -> Result<Option<Arc<Credential>>, Failed> {
        let front = self.front();
        if self.standing == Standing::Anonymous || !front.known(&self.asked.repository).needs {
            return Ok(None);
        }
        match front.broker.credential(&self.place(base)).await {
            Ok((credential, is_new)) => {
                carried.sends(&credential);
                if is_new {
                    carried.found(credential.source());
                }
                Ok(Some(credential))
            }
            Err(missing) => Err(Failed::forbidden(
                "the server wants to know who asks, and no credential for it was found outside; `aca log` there says where \
                 it was looked for",
            )
            .and_outside(missing.to_string())),
        }
    }

    /// The server answered 401.
    fn asks_who(&self, base: &str, sent: Option<&Credential>, attempts: usize) -> Result<(), Failed> {
        let front = self.front();
        match (self.standing, sent) {
            (Standing::Anonymous, _) => Err(Failed::forbidden(
                "the server wants to know who asks, and a repository that no rule names is asked for without that",
            )),
            (Standing::Listed, None) => {
                front.learn(&self.asked.repository, |known| known.needs = true);
                Ok(())
            }
            (Standing::Listed, Some(credential)) => {
                front.broker.rejected(&self.place(base));
                if attempts <= ATTEMPTS {
                    return Ok(());
                }
                Err(Failed::forbidden(
                    "the server doesn't take the credential that was found outside: sign in again there",
                )
                .and_outside(format!("it came from {}", credential.source())))
            }
        }
    }

    /// Where the server says that it is: another path of the same host, that may be fetched in the same way.
    fn moved(&self, response: &Response<Incoming>, hops: usize) -> Result<String, Failed> {
        let judge = &self.shared.judge;
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        let location = location.unwrap_or_default();
        let elsewhere = || Failed::forbidden("the server leads elsewhere, where nobody follows it");
        let target = match location.strip_prefix("https://") {
            Some(rest) => {
                let at = rest.find('/').ok_or_else(elsewhere)?;
                let (authority, target) = rest.split_at_checked(at).ok_or_else(elsewhere)?;
                Some(target)
                    .filter(|_| judge.is(authority))
                    .ok_or_else(elsewhere)?
            }
            None if location.starts_with('/') && !location.starts_with("//") => location,
            None => return Err(elsewhere()),
        };
        if hops > HOPS_MAX {
            return Err(Failed::forbidden("the server leads from one place to the next"));
        }
        match route(judge.host(), judge.port(), "GET", target, None) {
            Route::Git(there) if there.service == self.asked.service && there.step == Step::Refs => {
                if self.standing(&there.base) != Ok(self.standing) {
                    return Err(Failed::forbidden(format!(
                        "the server says that it moved to {}, which isn't allowed",
                        there.repository
                    )));
                }
                Ok(there.base)
            }
            Route::Git(_) | Route::Other | Route::Refused(_) => Err(elsewhere()),
        }
    }

    /// Sends what can be sent again: over another connection where the server has ended the first.
    async fn send(
        &self,
        base: &str,
        target: &str,
        credential: Option<&Credential>,
    ) -> Result<Response<Incoming>, Failed> {
        let shared = self.shared;
        let bad = |why: String| Failed::new(StatusCode::BAD_GATEWAY, why);
        let way = self.way(base, credential).await.map_err(bad)?;
        let request = |outgoing: &Outgoing| {
            upstream::request(
                &shared.judge,
                outgoing,
                Step::Refs,
                target,
                &self.fields,
                credential,
                Sent::nothing(),
            )
            .map_err(|error| bad(error.to_string()))
        };
        match way.send(request(&way)?).await {
            Ok(response) => return Ok(response),
            Err(error) if error.is_closed() || error.is_canceled() => {}
            Err(error) => return Err(bad(upstream::why(&error))),
        }
        let again = match (&way, credential) {
            (Way::Own(ended), Some(_)) => {
                shared.apart.forget(ended);
                self.way(base, credential).await
            }
            (Way::Own(_) | Way::Clients(_), _) => {
                let again = shared.again.connect(&shared.judge, &shared.tasks).await;
                again.map(|again| Way::Own(Arc::new(again)))
            }
        };
        let again = again.map_err(bad)?;
        let response = again.send(request(&again)?).await;
        response.map_err(|error| bad(upstream::why(&error)))
    }

    fn place(&self, base: &str) -> Place {
        let judge = &self.shared.judge;
        Place {
            host: judge.host().clone(),
            port: judge.port(),
            path: base.trim_start_matches('/').to_owned(),
        }
    }

    fn front(&self) -> &Front {
        self.shared.judge.front()
    }
}

/// Whether an answer is one of git's; else what its client is told.
fn is_gits(response: &Response<Incoming>, service: Service, step: Step) -> Result<(), (StatusCode, String)> {
    let status = response.status();
    let fields = response.headers();
    let kind = kind(service, step);
    let is_kind = fields
        .get(CONTENT_TYPE)
        .is_some_and(|own| own.as_bytes() == kind.as_bytes());
    let is_plain = fields
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding == "identity");
    if status == StatusCode::OK && is_kind && is_plain {
        return Ok(());
    }
    let says = |status: StatusCode| format!("the server says {}", status.as_u16());
    Err(match status {
        StatusCode::OK => (
            StatusCode::BAD_GATEWAY,
            "what the server says isn't git's smart HTTP".to_owned(),
        ),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => (
            StatusCode::FORBIDDEN,
            format!("{}: whoever asks may not do that there", says(status)),
        ),
        StatusCode::NOT_FOUND | StatusCode::GONE => (
            StatusCode::NOT_FOUND,
            "the server says that there is no such repository".to_owned(),
        ),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            (status, says(status))
        }
        status => (StatusCode::BAD_GATEWAY, says(status)),
    })
}

fn kind(service: Service, step: Step) -> String {
    let what = match step {
        Step::Refs => "advertisement",
        Step::Call => "result",
    };
    format!("application/x-{}-{what}", service.word())
}

/// What the client gets of an answer.
fn given(response: Response<Incoming>, asked: &Asked, carried: Carried) -> Answer {
    let filtered = Filtered::new(response.into_body(), asked.step, carried);
    let mut answer = Response::new(Given::Git(Box::new(filtered)));
    let headers = answer.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind(asked.service, asked.step)) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// Reads a body that nobody gets.
async fn read_away(response: Response<Incoming>) {
    let (mut body, mut read) = (response.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, hyper::body::Bytes::len);
        if read > DROPPED_MAX {
            return;
        }
    }
}
