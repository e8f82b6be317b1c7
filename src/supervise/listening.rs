//! What listens in the sandbox's network, as the kernel tells it (sock_diag(7), `linux/inet_diag.h`).
//!
//! The question goes over a socket that was made in there. Nothing of the answer is a program's own word but the numbers
//! that it chose, addresses and ports.

use super::desktop::Offering;
use crate::supervise::flood::Bucket;
use crate::supervise::{Emit, Event};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
/// `1 << TCP_LISTEN`.
const LISTEN: u32 = 1 << 10;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_sockid`.
const ID_BYTES: usize = 48;
/// The kernel's answers are at most this long (netlink_dump of af_netlink.c).
const ANSWER_BYTES: usize = 32 * 1024;

/// How long after listen(2) was let go on the kernel is asked: it has done it by then, and servers that begin together are
/// seen together.
const AFTER: Duration = Duration::from_millis(30);
/// When it is asked once more: the caller may not have come to run.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Part of the time that looking may take, as its inverse: programs inside decide how much there is to be seen.
const REST: u32 = 20;
/// Offers at once, and each second after that.
const BURST: u32 = 50;
const PER_SECOND: u32 = 1;

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listener {
    /// The port.
    pub(super) port: u16,
    /// The address; unspecified for all.
    pub(super) address: IpAddr,
    /// The socket's own number.
    inode: u32,
}

/// Asks the kernel.
#[derive(Debug)]
pub(super) struct Listeners {
    socket: OwnedFd,
    sequence: u32,
}

impl Listeners {
    /// Takes a netlink socket of the sandbox's network namespace.
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self { socket, sequence: 0 }
    }

    /// Those that a connection to the loopback reaches, by port; none of aca's own.
    pub(super) fn read(&mut self, own: &OwnSockets) -> Result<Vec<Listener>, Errno> {
        let mut found = Vec::new();
        for family in [INET, INET6] {
            match self.dump(family, &mut found) {
                // A kernel without IPv6, or without this part of it.
                Err(_) if family == INET6 => {}
                other => other?,
            }
        }
        let own = own.numbers();
        found.retain(|listener| is_reached(listener.address) && !own.contains(&u64::from(listener.inode)));
        found.sort_unstable();
        Ok(found)
    }

    fn dump(&mut self, family: u8, found: &mut Vec<Listener>) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, &request(family, self.sequence), SendFlags::empty())?;
        let mut buffer = vec![0_u8; ANSWER_BYTES];
        loop {
            // It is there once the question was taken: nothing is waited for.
            let (count, _) =
                rustix::io::retry_on_intr(|| recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT))?;
            let mut rest = buffer.get(..count).unwrap_or_default();
            if rest.is_empty() {
                return Err(Errno::BADMSG);
            }
            while let Some((message, next)) = message(rest) {
                rest = next;
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(Errno::OPNOTSUPP),
                    SOCK_DIAG_BY_FAMILY => found.extend(listener(message.body)),
                    _ => {}
                }
            }
        }
    }
}

/// Whether a connection to 127.0.0.1 or ::1 gets to who listens there.
fn is_reached(address: IpAddr) -> bool {
    let own = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    address.is_unspecified() || own.contains(&address.to_canonical())
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8, sequence: u32) -> Vec<u8> {
    let length = HEADER_BYTES + 8 + ID_BYTES;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([family, TCP, 0, 0]);
    bytes.extend(LISTEN.to_ne_bytes());
    bytes.extend([0; ID_BYTES]);
    bytes
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The first message, and what follows it.
fn message(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(bytes.get(0..4)?.try_into().ok()?)).ok()?;
    let message = Message {
        kind: u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?),
        sequence: u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?),
        body: bytes.get(HEADER_BYTES..length)?,
    };
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((message, bytes.get(next..)?))
}

/// `struct inet_diag_msg`.
fn listener(body: &[u8]) -> Option<Listener> {
    let address = match *body.first()? {
        INET => IpAddr::from(<[u8; 4]>::try_from(body.get(8..12)?).ok()?),
        INET6 => IpAddr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?),
        _ => return None,
    };
    Some(Listener {
        port: u16::from_be_bytes(body.get(4..6)?.try_into().ok()?),
        address,
        inode: u32::from_ne_bytes(body.get(68..72)?.try_into().ok()?),
    })
}

/// The sockets in the sandbox's network that are aca's: they listen there too.
#[derive(Debug, Default)]
pub(super) struct OwnSockets(Mutex<HashSet<u64>>);

impl OwnSockets {
    /// Adds one.
    pub(super) fn add(&self, socket: impl AsFd) {
        if let Ok(status) = rustix::fs::fstat(socket) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(status.st_ino);
        }
    }

    fn numbers(&self) -> HashSet<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells of each port once, when something begins to listen there.
#[derive(Debug)]
pub(super) struct Offers {
    listeners: Listeners,
    own: Arc<OwnSockets>,
    told: HashSet<u16>,
    callers: Callers,
    due: Option<Instant>,
    again: Option<Instant>,
    not_before: Option<Instant>,
    bucket: Bucket,
    desktop: Option<Offering>,
}

/// Who called listen(2) since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    Nobody,
    One(i32),
    Several,
}

impl Offers {
    /// Over a socket of the sandbox's network.
    pub(super) fn new(listeners: Listeners, own: Arc<OwnSockets>, desktop: Option<Offering>) -> Self {
        Self {
            listeners,
            own,
            told: HashSet::new(),
            callers: Callers::Nobody,
            due: None,
            again: None,
            not_before: None,
            bucket: Bucket::new(PER_SECOND, BURST),
            desktop,
        }
    }

    /// A thread inside calls listen(2).
    pub(super) fn note(&mut self, thread: i32, now: Instant) {
        self.callers = match self.callers {
            Callers::Nobody => Callers::One(thread),
            Callers::One(other) if other == thread => Callers::One(thread),
            Callers::One(_) | Callers::Several => Callers::Several,
        };
        let at = self.not_before.map_or(now + AFTER, |at| at.max(now + AFTER));
        self.due.get_or_insert(at);
        self.again = Some(now + AGAIN_AFTER);
    }

    /// When it wants to look.
    pub(super) fn look_at(&self) -> Option<Instant> {
        [self.due, self.again].into_iter().flatten().min()
    }

    /// Looks, if it is time, and tells what is new.
    pub(super) fn look(&mut self, now: Instant, events: &dyn Emit) {
        if self.look_at().is_none_or(|at| now < at) {
            return;
        }
        self.due = None;
        self.again = self.again.filter(|at| now < *at);
        let Ok(found) = self.listeners.read(&self.own) else {
            return;
        };
        let done = Instant::now();
        self.not_before = done.checked_add((done - now) * REST);
        let mut new: Vec<Listener> = found;
        new.retain(|listener| !self.told.contains(&listener.port));
        new.dedup_by_key(|listener| listener.port);
        let one = new.len() == 1;
        let pid = match std::mem::replace(&mut self.callers, Callers::Nobody) {
            Callers::One(thread) if one => Some(thread),
            Callers::Nobody | Callers::One(_) | Callers::Several => None,
        };
        for listener in new {
            if !self.bucket.take(now) {
                // Left for later looks: there is more to be told in a while.
                self.again.get_or_insert(now + AGAIN_AFTER);
                return;
            }
            self.told.insert(listener.port);
            if let Some(desktop) = &self.desktop {
                desktop.tell(listener.port);
            }
            events.emit(Event::Listening {
                pid,
                address: listener.address,
                port: listener.port,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
    use std::net::TcpListener;
    use std::num::NonZeroU32;

    fn listeners() -> Option<Listeners> {
        let protocol = NonZeroU32::new(4).map(Protocol::from_raw);
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        );
        socket.ok().map(Listeners::new)
    }

    #[test]
    fn what_listens_is_found_and_our_own_is_not() {
        // A kernel without it has nothing to test.
        let Some(mut listeners) = listeners() else { return };
        let own = OwnSockets::default();
        let (a, b) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("0.0.0.0:0").unwrap(),
        );
        let elsewhere = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let found: Vec<u16> = listeners
            .read(&own)
            .unwrap()
            .iter()
            .map(|found| found.port)
            .collect();
        assert!(
            found.contains(&port(&a)) && found.contains(&port(&b)),
            "{found:?}"
        );
        assert!(!found.contains(&port(&elsewhere)), "{found:?}");
        own.add(&a);
        let found = listeners.read(&own).unwrap();
        assert!(found.iter().all(|found| found.port != port(&a)));
        assert!(found.iter().any(|found| found.port == port(&b)));
    }

    struct Told(Mutex<HashSet<u16>>);

    impl Emit for Told {
        fn emit(&self, event: Event) {
            if let Event::Listening { port, .. } = event {
                self.0.lock().unwrap().insert(port);
            }
        }
    }

    /// Whoever fills the bounds first keeps nobody's server from being told of later, also if nothing else listens then.
    #[test]
    fn what_a_flood_of_listeners_left_out_is_told_in_time() {
        let Some(listeners) = listeners() else { return };
        let all: Vec<_> = (0..BURST + 10)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let told = Told(Mutex::default());
        let mut offers = Offers::new(listeners, Arc::default(), None);
        let begin = Instant::now();
        offers.note(1, begin);
        let mut looks = 0;
        while let Some(at) = offers.look_at().filter(|_| looks < 1000) {
            offers.look(at, &told);
            looks += 1;
        }
        let told = told.0.into_inner().unwrap();
        for listener in all {
            let port = listener.local_addr().unwrap().port();
            assert!(
                told.contains(&port),
                "{port} of {} after {looks} looks",
                told.len()
            );
        }
    }

    proptest! {
        #[test]
        fn no_length_is_believed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            while let Some((message, next)) = message(rest) {
                let _listener = listener(message.body);
                prop_assert!(next.len() < rest.len());
                rest = next;
            }
        }
    }
}
