//! Answers the questions of the programs inside: an address of the pool for a name that may be reached on some port,
//! "no such name" for any other, at once.
//!
//! Little is asked outside, since a question is a way to carry data there: the real addresses of names that a rule wants
//! to have them, and texts, mail servers and services of names that may be reached. Each kind so often at most, and for
//! names of no more than so many characters. What such records name is judged when it is connected to, as any name.

use super::Proxy;
use super::budget::Overdrawn;
use super::dns::{self, Answer, Asked as Question, Family, Malformed};
use super::gate::{Target, refusal};
use super::resolve::{Missing, ResolveError};
use super::upstream::Kind;
use crate::policy::{Action, Deny, Dns, Name, Verdict};
use crate::supervise::{Bucket, Event};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Largest question that is read.
const QUESTION_MAX: usize = 1500;
/// Questions over one TCP connection, and how long the next may take.
const QUESTIONS_MAX: usize = 1000;
const NEXT_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait after an error, so that one that stays costs nothing.
const AFTER_ERROR: Duration = Duration::from_millis(10);
/// Questions that are remembered as told.
const TOLD_MAX: usize = 4096;
/// Longest name of a question for records that goes outside. Services of real hosts have half of that.
const RECORDS_NAME_MAX: usize = 120;
/// Such questions each second, and at once.
const RECORDS_PER_SECOND: u32 = 10;
const RECORDS_BURST: u32 = 60;
/// Questions for real addresses: a page has some dozens of hosts.
const REAL_PER_SECOND: u32 = 50;
const REAL_BURST: u32 = 500;
/// Questions that wait for an answer from outside.
const WAITING_MAX: usize = 64;
/// How long real addresses are kept.
const REAL_TTL_S: u32 = 60;
/// The port of the questions, for what counts by host.
const DNS: u16 = 53;
/// Names that have addresses when one gets its own that no rule allows.
const UNLISTED_MAX: usize = 16_000;
/// Longest name in an event.
const TEXT_MAX: usize = 300;

/// What was asked so far.
#[derive(Debug)]
pub(super) struct Asked {
    /// Which questions were told, and whether as denied: a program asks the same again for each connection.
    told: HashSet<(String, String, bool)>,
    records: Bucket,
    real: Bucket,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            told: HashSet::new(),
            records: Bucket::new(RECORDS_PER_SECOND, RECORDS_BURST),
            real: Bucket::new(REAL_PER_SECOND, REAL_BURST),
        }
    }
}

impl Asked {
    /// Whether it is news; everything is once there were too many to remember.
    fn is_new(&mut self, name: &str, kind: &str, denied: bool) -> bool {
        self.told.len() >= TOLD_MAX || self.told.insert((name.to_owned(), kind.to_owned(), denied))
    }
}

/// Answers datagrams for ever.
pub(super) async fn serve_datagrams(proxy: Arc<Proxy>, socket: UdpSocket) {
    let mut buffer = [0; QUESTION_MAX + 1];
    let socket = Arc::new(socket);
    let mut waiting = JoinSet::new();
    loop {
        let (count, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // The error of an earlier answer, whose asker is gone.
            Err(_) => {
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let question = match dns::parse(buffer.get(..count).unwrap_or_default()) {
            Ok(question) => question,
            Err(Malformed::Code { id, code }) => {
                drop(socket.send_to(&dns::error_reply(id, code), from).await);
                continue;
            }
            Err(Malformed::Silence) => continue,
        };
        while waiting.try_join_next().is_some() {}
        let max = question.datagram_max();
        let reply = match proxy.answer(&question.asked()) {
            Answered::Now(answer, denied) => {
                proxy.tell(&question, denied);
                question.reply(&answer, max)
            }
            Answered::Outside(_) if waiting.len() >= WAITING_MAX => question.reply(&Answer::Failure, max),
            Answered::Outside(outside) => {
                let (proxy, socket) = (Arc::clone(&proxy), Arc::clone(&socket));
                waiting.spawn(async move {
                    let (answer, denied) = proxy.ask(outside).await;
                    proxy.tell(&question, denied);
                    drop(socket.send_to(&question.reply(&answer, max), from).await);
                });
                continue;
            }
        };
        // An answer that can't be sent is one that was lost.
        drop(socket.send_to(&reply, from).await);
    }
}

/// Answers over TCP (RFC 7766): each message has its length before it.
pub(super) async fn serve_stream(proxy: &Proxy, mut stream: TcpStream) {
    for _ in 0..QUESTIONS_MAX {
        let question = match timeout(NEXT_WITHIN, read(&mut stream)).await {
            Ok(Ok(Some(question))) => question,
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        };
        let reply = match dns::parse(&question) {
            Ok(question) => {
                let (answer, denied) = match proxy.answer(&question.asked()) {
                    Answered::Now(answer, denied) => (answer, denied),
                    Answered::Outside(outside) => proxy.ask(outside).await,
                };
                proxy.tell(&question, denied);
                question.reply(&answer, usize::from(u16::MAX))
            }
            Err(Malformed::Code { id, code }) => dns::error_reply(id, code),
            Err(Malformed::Silence) => return,
        };
        let mut framed = u16::try_from(reply.len()).unwrap_or(0).to_be_bytes().to_vec();
        framed.extend_from_slice(&reply);
        match timeout(NEXT_WITHIN, stream.write_all(&framed)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUESTION_MAX {
        return Ok(None);
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Where an answer comes from.
enum Answered {
    /// From here.
    Now(Answer, Option<Deny>),
    /// From outside.
    Outside(Outside),
}

/// What is asked outside.
enum Outside {
    /// The real addresses of a name.
    Real(Name, Family),
    /// Other records.
    Records(Name, dns::Records),
}

impl Proxy {
    fn answer(&self, asked: &Question) -> Answered {
        let (answer, denied) = match asked {
            Question::Address(name, family) if is_localhost(name) => {
                let answer = match family {
                    Family::V4 => Answer::V4(Ipv4Addr::LOCALHOST),
                    Family::V6 => Answer::V6(Ipv6Addr::LOCALHOST),
                };
                (answer, None)
            }
            Question::Address(name, family) => match self.may_ask(name) {
                // Without an address there would be no connection to ask about.
                Err(_) if self.will_hold(name) => (self.leased(name, *family), None),
                Err(deny) => (Answer::NoSuchName, Some(deny)),
                Ok(Dns::Real) if self.asked().real.take(Instant::now()) => match self.charge(name) {
                    Ok(()) => return Answered::Outside(Outside::Real(name.clone(), *family)),
                    Err(deny) => (Answer::Refused, Some(deny)),
                },
                Ok(Dns::Real | Dns::Leased) => (self.leased(name, *family), None),
            },
            Question::Records(name, kind) => match self.may_ask_records(name) {
                Ok(true) => return Answered::Outside(Outside::Records(name.clone(), *kind)),
                Ok(false) => (Answer::Nothing, None),
                Err(refused) => (refused.0, Some(refused.1)),
            },
            Question::Service(name) | Question::Else(name) => match self.may_ask(name) {
                Err(_) if self.will_hold(name) => (Answer::Nothing, None),
                Err(deny) => (Answer::NoSuchName, Some(deny)),
                Ok(_) => (Answer::Nothing, None),
            },
            Question::Pointer(address) => (self.pointed(*address), None),
            Question::NotAName => (Answer::NoSuchName, Some(refusal("it is no host name"))),
            Question::Any => (Answer::NotDone, Some(refusal("all records at once aren't told"))),
            Question::Other => (
                Answer::Refused,
                Some(refusal("only single records of names are answered")),
            ),
        };
        Answered::Now(answer, denied)
    }

    /// Whether a name may be reached on some port, and which addresses it has then.
    fn may_ask(&self, name: &Name) -> Result<Dns, Deny> {
        let action = Action::Resolve { name: name.clone() };
        let policy = self.live.current();
        match policy.decide(&action) {
            Verdict::Allow(_) => Ok(policy.options(&action).dns),
            Verdict::Deny(deny) => Err(deny),
        }
    }

    /// Whether other records of a name are asked for outside; `false` where it is known that there are none.
    fn may_ask_records(&self, name: &Name) -> Result<bool, Box<(Answer, Deny)>> {
        let refused = |answer, deny| Err(Box::new((answer, deny)));
        let Some(about) = name.without_service() else {
            return refused(Answer::NoSuchName, refusal("it is no host name"));
        };
        if let Err(deny) = self.may_ask(&about) {
            return refused(Answer::NoSuchName, deny);
        }
        if !self.resolver.asks(&about) || is_localhost(&about) {
            return Ok(false);
        }
        if name.as_str().len() > RECORDS_NAME_MAX {
            let why = format!("a name of more than {RECORDS_NAME_MAX} characters isn't asked for outside");
            return refused(Answer::Refused, refusal(&why));
        }
        if !self.asked().records.take(Instant::now()) {
            let why = format!("more than {RECORDS_PER_SECOND} such questions a second aren't asked outside");
            return refused(Answer::Failure, refusal(&why));
        }
        match self.charge(name) {
            Ok(()) => Ok(true),
            Err(deny) => refused(Answer::Refused, deny),
        }
    }

    /// Takes the name from what may be sent outside.
    fn charge(&self, name: &Name) -> Result<(), Deny> {
        let accounts = self.budgets.open(&Target::Name(name.clone(), DNS))?;
        let bytes = u64::try_from(name.as_str().len()).unwrap_or(u64::MAX);
        accounts
            .take(bytes)
            .map_err(|error| Overdrawn::of(error).unwrap_or_else(|error| refusal(&error.to_string())))
    }

    async fn ask(&self, outside: Outside) -> (Answer, Option<Deny>) {
        match outside {
            Outside::Records(name, kind) => {
                let answer = match self.resolver.records(&name, kind).await {
                    Ok((data, ttl_s)) => Answer::Data(data, ttl_s),
                    Err(missing) => absent(missing),
                };
                (answer, None)
            }
            Outside::Real(name, family) => match self.resolver.real(&name).await {
                Ok(Some(addresses)) => (self.really(&name, family, &addresses), None),
                Ok(None) => (self.leased(&name, family), None),
                Err(error @ ResolveError::NotPublic { .. }) => {
                    (Answer::NoSuchName, Some(refusal(&error.to_string())))
                }
                // The proxy outside may find it.
                Err(ResolveError::Failed { .. }) if self.goes_through_proxy(&name) => {
                    (self.leased(&name, family), None)
                }
                Err(ResolveError::Failed { missing, .. }) => (absent(missing), None),
            },
        }
    }

    fn goes_through_proxy(&self, name: &Name) -> bool {
        !matches!(
            self.upstream.of(&Target::Name(name.clone(), 443), Kind::Tls),
            Ok(None)
        )
    }

    /// The real addresses of a name; one of aca's own when there are too many to remember.
    fn really(&self, name: &Name, family: Family, addresses: &[IpAddr]) -> Answer {
        let mut real = self.real();
        if !addresses.iter().all(|address| real.lease(name, *address)) {
            drop(real);
            return self.leased(name, family);
        }
        drop(real);
        let data: Vec<Vec<u8>> = addresses
            .iter()
            .filter_map(|address| match (address, family) {
                (IpAddr::V4(v4), Family::V4) => Some(v4.octets().to_vec()),
                (IpAddr::V6(v6), Family::V6) => Some(v6.octets().to_vec()),
                (IpAddr::V4(_), Family::V6) | (IpAddr::V6(_), Family::V4) => None,
            })
            .collect();
        if data.is_empty() {
            Answer::Nothing
        } else {
            Answer::Data(data, REAL_TTL_S)
        }
    }

    /// Whether a connection to that name would be held until somebody is asked. So many names, and no more: those that rules allow need
    /// addresses too.
    fn will_hold(&self, name: &Name) -> bool {
        let resolve = Action::Resolve { name: name.clone() };
        !name.is_single_label()
            && self.live.asks_about(&resolve)
            && self.live.asks().is_heard()
            && self.leases().has_room(name, UNLISTED_MAX)
    }

    fn leased(&self, name: &Name, family: Family) -> Answer {
        let leased = self
            .leases()
            .lease(name, Instant::now(), |name| self.live.is_open(name));
        match (leased, family) {
            (Some((v4, _)), Family::V4) => Answer::V4(v4),
            (Some((_, v6)), Family::V6) => Answer::V6(v6),
            (None, _) => Answer::Failure,
        }
    }

    fn pointed(&self, address: IpAddr) -> Answer {
        if address.is_loopback() {
            return Answer::Name("localhost".into());
        }
        if let Some(name) = self.leases().name_of(address) {
            return Answer::Name(name.to_string());
        }
        match self.real().names_of(address).first() {
            Some(name) => Answer::Name(name.to_string()),
            None => Answer::NoSuchName,
        }
    }

    fn tell(&self, question: &dns::Question, denied: Option<Deny>) {
        let name: String = question
            .text
            .chars()
            .take(TEXT_MAX)
            .collect::<String>()
            .to_ascii_lowercase();
        let kind = question.kind_word();
        if self.asked().is_new(&name, &kind, denied.is_some()) {
            self.told.emit(Event::Lookup { name, kind, denied });
        }
    }
}

/// RFC 6761 6.3.
fn is_localhost(name: &Name) -> bool {
    name.labels().next_back() == Some("localhost")
}

fn absent(missing: Missing) -> Answer {
    match missing {
        Missing::Name => Answer::NoSuchName,
        Missing::Address => Answer::Nothing,
        Missing::Unknown => Answer::Failure,
    }
}
