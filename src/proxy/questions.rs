//! Answers the questions of the programs inside: an address of the pool for a name that may be reached on some port,
//! "no such name" for any other, at once. Nothing is asked elsewhere.

use super::Proxy;
use super::dns::{self, Answer, Asked as Question, Family, Malformed};
use crate::policy::{Action, Deny, Name, Verdict};
use crate::supervise::Event;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
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
/// Longest name in an event.
const TEXT_MAX: usize = 300;

/// Which questions were told, and whether as denied: a program asks the same again for each connection.
#[derive(Debug, Default)]
pub(super) struct Asked {
    told: HashSet<(String, String, bool)>,
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
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((count, from)) => {
                if let Some(reply) = proxy.reply(buffer.get(..count).unwrap_or_default()) {
                    // An answer that can't be sent is one that was lost.
                    drop(socket.send_to(&reply, from).await);
                }
            }
            // The error of an earlier answer, whose asker is gone.
            Err(_) => tokio::time::sleep(AFTER_ERROR).await,
        }
    }
}

/// Answers over TCP (RFC 7766): each message has its length before it.
pub(super) async fn serve_stream(proxy: &Proxy, mut stream: TcpStream) {
    for _ in 0..QUESTIONS_MAX {
        match timeout(NEXT_WITHIN, one(proxy, &mut stream)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) | Err(_) => return,
        }
    }
}

async fn one(proxy: &Proxy, stream: &mut TcpStream) -> std::io::Result<bool> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUESTION_MAX {
        return Ok(false);
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    let Some(reply) = proxy.reply(&message) else {
        return Ok(false);
    };
    let mut framed = u16::try_from(reply.len()).unwrap_or(0).to_be_bytes().to_vec();
    framed.extend_from_slice(&reply);
    stream.write_all(&framed).await?;
    Ok(true)
}

impl Proxy {
    fn reply(&self, message: &[u8]) -> Option<Vec<u8>> {
        match dns::parse(message) {
            Ok(question) => {
                let (answer, denied) = self.answer(&question.asked());
                self.tell(&question, denied);
                Some(question.reply(&answer))
            }
            Err(Malformed::Code { id, code }) => Some(dns::error_reply(id, code)),
            Err(Malformed::Silence) => None,
        }
    }

    fn answer(&self, asked: &Question) -> (Answer, Option<Deny>) {
        match asked {
            Question::Address(name, family) if is_localhost(name) => {
                let answer = match family {
                    Family::V4 => Answer::V4(Ipv4Addr::LOCALHOST),
                    Family::V6 => Answer::V6(Ipv6Addr::LOCALHOST),
                };
                (answer, None)
            }
            Question::Address(name, family) => {
                match self
                    .live
                    .current()
                    .decide(&Action::Resolve { name: name.clone() })
                {
                    Verdict::Deny(deny) => (Answer::NoSuchName, Some(deny)),
                    Verdict::Allow(_) => (self.leased(name, *family), None),
                }
            }
            Question::Service(name) => match self
                .live
                .current()
                .decide(&Action::Resolve { name: name.clone() })
            {
                Verdict::Deny(deny) => (Answer::NoSuchName, Some(deny)),
                Verdict::Allow(_) => (Answer::Nothing, None),
            },
            Question::Pointer(address) => (self.pointed(*address), None),
            Question::NotAName => (
                Answer::NoSuchName,
                Some(super::gate::refusal("it is no host name")),
            ),
            Question::Other => (
                Answer::Refused,
                Some(super::gate::refusal("only addresses of names are answered")),
            ),
        }
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
        match self.leases().name_of(address) {
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
