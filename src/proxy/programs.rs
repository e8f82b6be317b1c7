//! Which program made a connection: the process that holds the other end of it.
//!
//! The kernel tells a socket's inode by its two addresses (sock_diag(7), asked of the sandbox's own network namespace), and
//! `/proc` which process has a descriptor of that inode. Looking through `/proc` costs more than all else that is done
//! for a connection, so it is done beside it: one look for all connections that wait, first at the programs that made
//! the last ones, and never for more than its budget ([`COST_PER_SECOND`] and its like). Where connections come faster than
//! that, or end before their turn, some stay without a program; a refused one waits a moment for it.
//!
//! What is told is what was so when it was looked at. A program that hands its sockets to another one looks like that
//! one, and a process that shares its descriptors with nobody's `/proc` entry like none. It is for people who wonder who
//! sent what, and decides nothing.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The longest that one look may take.
const LOOK_MAX: Duration = Duration::from_millis(50);
/// What looks may cost: some at first, some each second, and some for each connection. One look takes a few hundred
/// microseconds, and a connection nearly as much in all: so the connections of a usual session are all told, and a flood
/// of them costs a few hundredths more.
const COST_BURST: Duration = Duration::from_millis(20);
const COST_PER_SECOND: Duration = Duration::from_millis(2);
const COST_PER_CONNECTION: Duration = Duration::from_micros(2);
/// How long to wait before it is seen again whether there is something to spend.
const POOR: Duration = Duration::from_millis(50);
/// How long a refused connection waits.
const WAIT_MAX: Duration = Duration::from_millis(200);
/// Connections that wait for a look; those beyond them stay without a program.
const WAITING_MAX: usize = 4096;
/// Programs of earlier connections that are looked at first.
const LAST_MAX: usize = 8;
/// Characters of a program's path.
const PROGRAM_MAX: usize = 200;

/// `SOCK_DIAG_BY_FAMILY`, and the length of such a question and of what is read of its answer (linux/inet_diag.h).
const BY_FAMILY: u16 = 20;
const QUESTION_BYTES: u32 = 16 + 56;
const INODE_AT: usize = 16 + 4 + 48 + 16;
const PORTS_AT: std::ops::Range<usize> = 20..24;
const ASKED_PORTS_AT: std::ops::Range<usize> = 24..28;
const REQUEST: u16 = 1;
const TCP: u8 = 6;

/// A program as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Process id on the host.
    pub pid: i32,
    /// The file that it executes, as the sandbox sees it.
    pub path: String,
}

/// The programs of one session.
#[derive(Debug)]
pub(super) struct Programs {
    /// A socket of the sandbox's network namespace, and the first process; nothing is told without.
    seen: Option<Arc<Seen>>,
    waiting: Mutex<Vec<Wanted>>,
    news: Notify,
}

#[derive(Debug)]
struct Seen {
    questions: OwnedFd,
    first: i32,
    /// Programs of the last connections.
    last: Mutex<Vec<i32>>,
}

#[derive(Debug)]
struct Wanted {
    client: SocketAddr,
    going: SocketAddr,
    answer: Arc<Answer>,
}

/// The answer about one connection, once there is one.
#[derive(Debug, Default)]
pub(super) struct Answer {
    found: OnceLock<Option<Program>>,
    told: Notify,
}

/// A connection's answer; `None` where nothing is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Who(Option<Arc<Answer>>);

impl Who {
    /// The program, if it is known by now.
    pub(super) fn known(&self) -> Option<Program> {
        self.0.as_ref()?.found.get()?.clone()
    }

    /// Waits a moment until it is known.
    pub(super) async fn wait(&self) {
        if let Some(answer) = &self.0
            && answer.found.get().is_none()
        {
            // The word is kept for a waiter that comes after it.
            drop(tokio::time::timeout(WAIT_MAX, answer.told.notified()).await);
        }
    }
}

impl Programs {
    /// With a socket for questions, and the first process of the sandbox.
    pub(super) fn new(seen: Option<(OwnedFd, i32)>) -> Self {
        Self {
            seen: seen.map(|(questions, first)| {
                Arc::new(Seen {
                    questions,
                    first,
                    last: Mutex::default(),
                })
            }),
            waiting: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Asks who made the connection from `client` to `going`.
    pub(super) fn ask(&self, client: SocketAddr, going: SocketAddr) -> Who {
        if self.seen.is_none() {
            return Who::default();
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            return Who::default();
        }
        let answer = Arc::new(Answer::default());
        waiting.push(Wanted {
            client,
            going,
            answer: Arc::clone(&answer),
        });
        drop(waiting);
        self.news.notify_one();
        Who(Some(answer))
    }

    /// Answers for ever.
    pub(super) async fn serve(&self) {
        let Some(seen) = &self.seen else { return };
        let (mut credit, mut last) = (COST_BURST, Instant::now());
        let mut debt = Duration::ZERO;
        loop {
            self.news.notified().await;
            let mut counted = 0;
            loop {
                let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
                let new = u32::try_from(waiting.saturating_sub(counted)).unwrap_or(u32::MAX);
                counted = waiting;
                let passed = COST_PER_SECOND.mul_f64(last.elapsed().as_secs_f64());
                last = Instant::now();
                credit = (credit + passed + COST_PER_CONNECTION * new).min(COST_BURST);
                let paid = debt.min(credit);
                (credit, debt) = (credit - paid, debt - paid);
                if debt.is_zero() {
                    break;
                }
                tokio::time::sleep(POOR).await;
            }
            let wanted = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            let seen = Arc::clone(seen);
            let looked = tokio::task::spawn_blocking(move || {
                let start = worked();
                seen.look(&wanted, Instant::now() + LOOK_MAX);
                worked().saturating_sub(start)
            });
            let Ok(cost) = looked.await else { return };
            debt += cost;
        }
    }
}

/// How long the thread has had a processor: on a busy machine a look takes longer than it costs.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Seen {
    fn look(&self, wanted: &[Wanted], until: Instant) {
        // One that nobody waits for any more is not looked for.
        let open = wanted
            .iter()
            .filter(|wanted| Arc::strong_count(&wanted.answer) > 1);
        let mut left: HashMap<u32, Vec<&Answer>> = HashMap::new();
        for wanted in open {
            match self.inode(wanted) {
                Some(inode) => left.entry(inode).or_default().push(&wanted.answer),
                None => wanted.answer.tell(None),
            }
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::new();
        for pid in last.clone() {
            seen.insert(pid);
            if !holders(pid, &mut left, until) {
                last.retain(|known| *known != pid);
            }
        }
        let mut next = vec![self.first];
        while let Some(pid) = next.pop() {
            if left.is_empty() || Instant::now() > until {
                break;
            }
            next.extend(children(pid));
            if seen.insert(pid) && holders(pid, &mut left, until) {
                last.insert(0, pid);
                last.truncate(LAST_MAX);
            }
        }
        for answer in left.into_values().flatten() {
            answer.tell(None);
        }
    }

    /// The inode of a connection's end in the sandbox.
    fn inode(&self, wanted: &Wanted) -> Option<u32> {
        let client = SocketAddr::new(wanted.client.ip().to_canonical(), wanted.client.port());
        let going = SocketAddr::new(wanted.going.ip().to_canonical(), wanted.going.port());
        let asked = question(client, going);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.questions, &asked, SendFlags::empty(), &kernel).ok()?;
        let mut bytes = [0_u8; 512];
        let (count, _, from) = recvfrom(&self.questions, &mut bytes[..], RecvFlags::DONTWAIT).ok()?;
        let from = SocketAddrNetlink::try_from(from?).ok()?;
        let answer = bytes.get(..count)?;
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        let inode = u32::from_ne_bytes(answer.get(INODE_AT..INODE_AT + 4)?.try_into().ok()?);
        let meant = answer.get(PORTS_AT) == asked.get(ASKED_PORTS_AT);
        // One that was closed has none.
        (from.pid() == 0 && kind == BY_FAMILY && meant && inode != 0).then_some(inode)
    }
}

impl Answer {
    fn tell(&self, program: Option<Program>) {
        if self.found.set(program).is_ok() {
            self.told.notify_one();
        }
    }
}

/// A question for one TCP socket by its own address and the other one (struct inet_diag_req_v2).
fn question(own: SocketAddr, other: SocketAddr) -> Vec<u8> {
    const INET: u8 = 2;
    const INET6: u8 = 10;
    let family = if own.is_ipv4() { INET } else { INET6 };
    let mut bytes = Vec::with_capacity(72);
    bytes.extend(QUESTION_BYTES.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, TCP, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(own.port().to_be_bytes());
    bytes.extend(other.port().to_be_bytes());
    for address in [own.ip(), other.ip()] {
        let mut octets = [0; 16];
        match address {
            IpAddr::V4(v4) => octets
                .iter_mut()
                .zip(v4.octets())
                .for_each(|(slot, octet)| *slot = octet),
            IpAddr::V6(v6) => octets = v6.octets(),
        }
        bytes.extend(octets);
    }
    // Any interface, any cookie.
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}

/// Tells which of the sockets a process holds, and whether there was one.
fn holders(pid: i32, left: &mut HashMap<u32, Vec<&Answer>>, until: Instant) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut program = None;
    for descriptor in descriptors.flatten() {
        if left.is_empty() || Instant::now() > until {
            break;
        }
        let inode = fs::read_link(descriptor.path()).ok().and_then(socket_inode);
        let Some(answers) = inode.and_then(|inode| left.remove(&inode)) else {
            continue;
        };
        let program = program.get_or_insert_with(|| Program {
            pid,
            path: executed(pid),
        });
        for answer in answers {
            answer.tell(Some(program.clone()));
        }
    }
    program.is_some()
}

/// The number in `socket:[NUMBER]` (proc_pid_fd(5)).
fn socket_inode(link: PathBuf) -> Option<u32> {
    let text = link.into_os_string().into_string().ok()?;
    text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The file that a process executes, as its own mounts have it.
fn executed(pid: i32) -> String {
    let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    path.to_string_lossy().chars().take(PROGRAM_MAX).collect()
}

/// The processes that the threads of a process started and that are there still (proc_pid_task(5), `children`).
fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let texts = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    texts
        .flat_map(|text| {
            text.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
