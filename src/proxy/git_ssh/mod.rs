//! Git over ssh: what git inside starts for ssh speaks to here (`crate::git::frame`), and the user's own ssh is started
//! outside, with what of the words was understood. No key, no agent and no configuration of it is seen inside.
//!
//! A refusal is told as git's protocol has it, so that git says why and ends; to it the server works and says no.

mod carry;
mod child;
mod past;
mod push;
mod words;

pub use past::{HISTORY_BYTES, History};

use super::gate::{Target, refusal};
use super::programs::Who;
use super::record::Record;
use super::told::Told;
use super::{Proxy, denial};
use crate::git::frame::{self, HEADER, Hello, Kind};
use crate::git::report::error_packet;
use crate::git::ssh_words::{self, Service, SshRequest};
use crate::plan::linux::{OWN_ADDRESSES, SSH_PORT};
use crate::policy::{Action, Deny, GitOperation, Name, Repository};
use crate::supervise::{Event, PushedRef};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a client has to say what it wants.
const BEGINNING: Duration = Duration::from_secs(10);
/// How long it has to take a refusal, or the last words, and how much of it is read meanwhile.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// Programs of ssh at once; who comes later waits. Fewer than a server lets log in at the same time (`MaxStartups` of
/// sshd_config(5), 10).
pub(super) const PROGRAMS_MAX: usize = 8;
/// The exit status of git's own programs when something is wrong.
const FATAL: u8 = 128;
/// Repositories that a refusal names.
const NAMED_MAX: usize = 8;
/// Characters of what was asked that an event shows.
const SHOWN_MAX: usize = 200;

/// The user's own ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Absolute.
    pub program: PathBuf,
    /// All of its variables.
    pub environment: Vec<(OsString, OsString)>,
    /// What loads history that a push needs and that isn't inside; `None` where there is no git.
    pub history: Option<History>,
}

/// Whether a connection was going here.
pub(super) fn is_meant(going: SocketAddr) -> bool {
    let (v4, v6) = OWN_ADDRESSES;
    [IpAddr::V4(v4), IpAddr::V6(v6)].contains(&going.ip()) && going.port() == SSH_PORT
}

/// What becomes of one request: told as exactly one event when the value goes, however that comes.
struct Asked {
    told: Arc<Told>,
    record: Record,
    operation: Option<GitOperation>,
    /// Which, or what was asked.
    repository: String,
    code: Option<i32>,
    /// Of a push.
    refs: Vec<PushedRef>,
    findings: Vec<String>,
    started: Instant,
}

/// Serves one.
pub(super) async fn serve(proxy: &Proxy, mut stream: TcpStream, own: IpAddr, who: Who) {
    let mut record = Record::new(Arc::clone(&proxy.told), (own, SSH_PORT).into(), who);
    let hello = match timeout(BEGINNING, hello(&mut stream)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(_)) | Err(_) => {
            record.denied = Some(refusal("only what git starts for ssh is served there"));
            return denial::reset(&stream);
        }
    };
    let mut asked = Asked {
        told: Arc::clone(&proxy.told),
        record,
        operation: None,
        repository: shown(&hello.words.join(" ")),
        code: None,
        refs: Vec::new(),
        findings: Vec::new(),
        started: Instant::now(),
    };
    let answer = answer(proxy, &mut stream, &hello, &mut asked).await;
    let last = timeout(LINGER, Box::pin(end(&mut stream, answer))).await;
    // However it went: nobody is there any more.
    drop(last);
    if asked.record.denied.is_some() {
        asked.record.who.wait().await;
    }
}

/// The last frames to the client.
#[derive(Debug, Default)]
struct Answer {
    /// For git.
    output: Vec<u8>,
    /// For people.
    errors: String,
    code: u8,
}

/// Does what was asked; gives what is left to say.
async fn answer(proxy: &Proxy, stream: &mut TcpStream, hello: &Hello, asked: &mut Asked) -> Answer {
    let request = match ssh_words::parse(&hello.words) {
        Ok(request) => request,
        Err(why) => return asked.refuse(refusal(&format!("git over ssh: {why}")), None, &[]),
    };
    let operation = match request.service {
        Service::UploadPack => GitOperation::Fetch,
        Service::ReceivePack => GitOperation::Push,
    };
    asked.operation = Some(operation);
    let SshRequest {
        user,
        host,
        port,
        path,
        ..
    } = &request;
    let repository = match Repository::new(user.as_deref(), host, *port, path) {
        Ok(repository) => repository,
        Err(why) => return asked.refuse(refusal(&format!("git over ssh: {why}")), Some(operation), &[]),
    };
    asked.repository = shown(&repository.to_string());
    let action = Action::Git {
        operation,
        repository: repository.clone(),
    };
    // Entered among what is open, so that a rule that comes later can end it.
    let admitted = proxy.live.admit(action);
    if let Err(deny) = admitted {
        let policy = proxy.live.current();
        let allowed: Vec<String> = policy
            .git
            .allowed()
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect();
        return asked.refuse(deny, Some(operation), &allowed);
    }
    asked.record.ticket = admitted.ok();
    let target = match (host.parse::<IpAddr>(), host.parse::<Name>()) {
        (Ok(address), _) => Target::Address((address, port.unwrap_or(SSH_PORT)).into()),
        (_, Ok(name)) => Target::Name(name, port.unwrap_or(SSH_PORT)),
        (Err(_), Err(_)) => return asked.refuse(refusal("that is no host name"), Some(operation), &[]),
    };
    if asked.record.draw_on(&proxy.budgets, &target).is_err() {
        let deny = asked.record.denied.take();
        let deny = deny.unwrap_or_else(|| refusal("a budget is spent"));
        return asked.refuse(deny, Some(operation), &[]);
    }
    let ssh = match &proxy.ssh {
        Ok(ssh) => ssh,
        Err(why) => return asked.fail(why),
    };
    // It can't be closed, so that a place comes.
    let place = tokio::select! {
        biased;
        deny = asked.record.cut() => return asked.cut(operation, deny),
        gone = carry::until_closed(stream) => return asked.fail(&gone.to_string()),
        place = proxy.ssh_places.acquire() => place,
    };
    let Ok(_place) = place else {
        return asked.fail("no place for another ssh");
    };
    let started = child::Child::start(
        ssh,
        &words::arguments(&request, &hello.protocol),
        words::protocol(&hello.protocol),
    );
    let child = match started {
        Ok(child) => child,
        Err(error) => return asked.fail(&format!("{} can't be started: {error}", ssh.program.display())),
    };
    if operation == GitOperation::Push {
        let past = past::SshPast {
            ssh,
            request: &request,
        };
        let pushed = tokio::select! {
            biased;
            deny = asked.record.cut() => Err(deny),
            pushed = Box::pin(push::push(proxy, &repository, stream, child, &past, &asked.record.counts)) => Ok(pushed),
        };
        return match pushed {
            Ok(Ok(pushed)) => asked.pushed(pushed, host),
            Ok(Err(error)) => asked.broken(operation, error),
            Err(deny) => asked.cut(operation, deny),
        };
    }
    let carried = tokio::select! {
        biased;
        deny = asked.record.cut() => Err(deny),
        carried = carry::carry(stream, child, &asked.record.counts) => Ok(carried),
    };
    let carried = match carried {
        Ok(carried) => carried,
        Err(deny) => return asked.cut(operation, deny),
    };
    match carried {
        Ok(ended) => {
            asked.code = Some(ended.code.into());
            Answer {
                errors: failed_outside(ended.code, host),
                code: ended.code,
                ..Answer::default()
            }
        }
        Err(error) => asked.broken(operation, error),
    }
}

/// What is said where ssh itself failed (ssh(1), "EXIT STATUS").
fn failed_outside(code: u8, host: &str) -> String {
    match code {
        255 => format!("aca: ssh failed outside of the sandbox; see there what `ssh -T {host}` says\n"),
        _ => String::new(),
    }
}

impl Asked {
    /// Says no, so that git says why. `operation` is none where git would not understand it.
    fn refuse(&mut self, deny: Deny, operation: Option<GitOperation>, allowed: &[String]) -> Answer {
        let what = match operation {
            Some(operation) => format!("git {} of {}", operation.word(), self.repository),
            None => format!("`{}` over ssh", self.repository),
        };
        let first = format!("aca: {what} is not allowed: {}", deny.reason);
        let output = operation
            .and_then(|_| error_packet(&first).ok())
            .unwrap_or_default();
        let mut errors = String::new();
        if operation.is_none() {
            errors.push_str(&format!("{first}\n"));
        }
        if let Some(rule) = &deny.rule {
            errors.push_str(&format!("aca: the rule is `{rule}` ({})\n", deny.origin));
        }
        if operation.is_some() && !allowed.is_empty() {
            errors.push_str(&format!("aca: may be fetched: {}\n", allowed.join(", ")));
        }
        if let Some(flag) = &deny.allow_with {
            errors.push_str(&format!("aca: to allow it, outside: `aca run {flag} …`"));
            if let Some(line) = &deny.allow_line {
                let line = line.replace('\n', "; ");
                errors.push_str(&format!(", or in the configuration: {line}"));
            }
            errors.push('\n');
        }
        self.record.denied = Some(deny);
        Answer {
            output,
            errors,
            code: FATAL,
        }
    }

    /// A push came to its end, whichever.
    fn pushed(&mut self, pushed: push::Pushed, host: &str) -> Answer {
        self.code = Some(pushed.code.into());
        self.refs = pushed.refs;
        self.findings = pushed.findings;
        self.record.denied = pushed.deny;
        self.record.failed = pushed.failed;
        Answer {
            errors: pushed.errors + &failed_outside(pushed.code, host),
            code: pushed.code,
            ..Answer::default()
        }
    }

    /// It broke off.
    fn broken(&mut self, operation: GitOperation, error: io::Error) -> Answer {
        self.record.end_with(error);
        let why = match (&self.record.denied, &self.record.failed) {
            (Some(deny), _) => deny.reason.to_string(),
            (None, Some(failed)) => failed.clone(),
            (None, None) => "it broke off".into(),
        };
        Answer {
            errors: format!("aca: git {} of {}: {why}\n", operation.word(), self.repository),
            code: FATAL,
            ..Answer::default()
        }
    }

    /// It is denied since it began: git is in the middle of something else than a refusal.
    fn cut(&mut self, operation: GitOperation, deny: Deny) -> Answer {
        let errors = format!(
            "aca: git {} of {}: {} ({})\n",
            operation.word(),
            self.repository,
            deny.reason,
            deny.origin
        );
        self.record.denied = Some(deny);
        Answer {
            output: Vec::new(),
            errors,
            code: FATAL,
        }
    }

    /// It was allowed, and can't be done.
    fn fail(&mut self, why: &str) -> Answer {
        self.record.failed = Some(why.to_owned());
        Answer {
            output: error_packet(&format!("aca: {why}")).unwrap_or_default(),
            errors: String::new(),
            code: FATAL,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.record.silence();
        let (sent, received) = (self.record.counts.sent(), self.record.counts.received());
        self.told.emit(Event::GitRequest {
            pid: self.record.who.known().map(|program| program.pid),
            operation: self.operation,
            repository: std::mem::take(&mut self.repository),
            denied: self.record.denied.take(),
            failed: self.record.failed.take(),
            code: self.code,
            refs: std::mem::take(&mut self.refs),
            findings: std::mem::take(&mut self.findings),
            sent,
            received,
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

/// The first frame.
async fn hello(stream: &mut TcpStream) -> io::Result<Hello> {
    let mut bytes = [0; HEADER];
    stream.read_exact(&mut bytes).await?;
    let (kind, length) = frame::header(bytes).map_err(io::Error::other)?;
    if kind != Kind::Hello {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Hello::parse(&payload).map_err(io::Error::other)
}

/// Tells the last, and waits until the client is gone: to close with bytes unread would overtake what it was told.
async fn end(stream: &mut TcpStream, answer: Answer) -> io::Result<()> {
    send(stream, Kind::Errors, answer.errors.as_bytes()).await?;
    send(stream, Kind::Output, &answer.output).await?;
    send(stream, Kind::Exit, &[answer.code]).await?;
    stream.shutdown().await?;
    let (mut scratch, mut read) = ([0; 4096], 0);
    while read < LINGER_BYTES {
        match stream.read(&mut scratch).await? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}

/// Sends bytes as frames of one kind.
async fn send(to: &mut (impl AsyncWriteExt + Unpin), kind: Kind, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(frame::PAYLOAD_MAX) {
        let header = frame::put_header(kind, part.len()).map_err(io::Error::other)?;
        to.write_all(&header).await?;
        to.write_all(part).await?;
    }
    Ok(())
}

/// What came from inside, so that it can be shown.
fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN_MAX)
        .map(|character| if character.is_control() { '?' } else { character })
        .collect()
}
