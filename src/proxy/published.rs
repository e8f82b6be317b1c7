//! Servers inside that the host reaches: aca listens on the host, and connects to the loopback inside with a socket that
//! was made there. A socket belongs to the network namespace that it was made in, whoever connects it.
//!
//! Here the host's programs are the clients, and what listens inside is hostile: nothing of what it sends is looked at.

use super::accept::{EXHAUSTED, Places, is_of_one_connection};
use super::record::Counts;
use super::told::Told;
use super::{OpenPort, denial, relay};
use crate::policy::{PortKind, PublishRule};
use crate::supervise::Event;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections to published ports at once: whoever may connect on the host must not take every place of the sandbox.
const AT_ONCE: usize = 500;
/// Connections that wait to be taken.
const BACKLOG: i32 = 1024;
/// How long the server inside may take to let a connection in.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often another free port is tried that both families have.
const FREE_TRIES: usize = 16;

/// Makes sockets in the network of the sandbox, while it runs.
pub trait Inside: Send + Sync {
    /// Makes them.
    fn sockets(&self, kind: InsideSockets) -> MadeInside<'_>;
}

/// Sockets that are made, or why not.
pub type MadeInside<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<OwnedFd>>> + Send + 'a>>;

/// Which sockets are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsideSockets {
    /// TCP sockets that aren't connected: one for IPv4, then perhaps one for IPv6.
    Connecting,
    /// TCP sockets that listen at this port of the loopback inside, of each family that there is.
    Listening(u16),
}

/// A published port that is listened on.
#[derive(Debug)]
pub struct Listening {
    /// What was asked for.
    pub rule: PublishRule,
    /// The port of the host.
    pub port: u16,
    pub(super) listeners: Vec<TcpListener>,
}

/// Why a port can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot publish port {inside}: {} on the host", described(*address, source))]
pub struct PublishError {
    /// The port inside.
    pub inside: u16,
    /// The address and port of the host.
    pub address: SocketAddr,
    /// What the kernel says.
    #[source]
    pub source: io::Error,
}

fn described(address: SocketAddr, error: &io::Error) -> String {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        format!("{address} is in use already")
    } else if kind == io::ErrorKind::PermissionDenied {
        format!("{address} needs a privilege that you don't have")
    } else if kind == io::ErrorKind::AddrNotAvailable {
        format!("{} is no address", address.ip())
    } else {
        format!("listening on {address} fails ({error})")
    }
}

impl PublishError {
    /// What to do instead.
    #[must_use]
    pub fn hint(&self) -> String {
        let (inside, kind) = (self.inside, self.source.kind());
        if kind == io::ErrorKind::AddrInUse {
            format!(
                "another program, or another run, has it: `:{inside}` takes any free port, `HOST:{inside}` that one; `ss -ltnp` shows who listens"
            )
        } else if kind == io::ErrorKind::PermissionDenied {
            format!("take a port from 1024 on: `8080:{inside}`")
        } else {
            format!("`{inside}` alone listens on the host's loopback")
        }
    }
}

impl Listening {
    /// Listens on the host, on all addresses that are meant. A family that the host doesn't have is left out.
    ///
    /// # Errors
    /// The first address that can't be had.
    pub fn bind(rule: PublishRule) -> Result<Self, PublishError> {
        let mut tries = FREE_TRIES;
        loop {
            match Self::bind_once(&rule) {
                Ok((port, listeners)) => {
                    return Ok(Self {
                        rule,
                        port,
                        listeners,
                    });
                }
                // Free in one family, and not in the other.
                Err(error)
                    if rule.port.host.is_none()
                        && error.source.kind() == io::ErrorKind::AddrInUse
                        && tries > 0 =>
                {
                    tries -= 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What becomes readable when somebody connects.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().map(AsFd::as_fd)
    }

    /// That it leads inside, as an event.
    #[must_use]
    pub fn opened(&self) -> Event {
        self.open_port().event(true)
    }

    pub(super) fn open_port(&self) -> OpenPort {
        OpenPort {
            kind: PortKind::Published,
            address: self.rule.port.address,
            host: self.port,
            inside: self.rule.port.inside,
            origin: self.rule.origin.clone(),
        }
    }

    fn bind_once(rule: &PublishRule) -> Result<(u16, Vec<TcpListener>), PublishError> {
        let mut port = rule.port.host.unwrap_or(0);
        let mut listeners = Vec::new();
        for address in rule.port.addresses() {
            let wanted = SocketAddr::new(address, port);
            match listen(wanted) {
                Ok(listener) => {
                    port = listener.local_addr().map_or(port, |address| address.port());
                    listeners.push(listener);
                }
                Err(error) if !listeners.is_empty() && is_without(&error) => {}
                Err(source) => {
                    return Err(PublishError {
                        inside: rule.port.inside,
                        address: wanted,
                        source,
                    });
                }
            }
        }
        Ok((port, listeners))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Whether the host doesn't have the family.
fn is_without(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// What connections to published ports need.
pub(super) struct Visitors {
    pub(super) told: Arc<Told>,
    pub(super) inside: Arc<dyn Inside>,
    places: Places,
    at_once: Arc<Semaphore>,
}

impl Visitors {
    pub(super) fn new(told: Arc<Told>, inside: Arc<dyn Inside>, places: Places) -> Self {
        let at_once = Arc::new(Semaphore::new(places.a_quarter().min(AT_ONCE)));
        Self {
            told,
            inside,
            places,
            at_once,
        }
    }
}

/// Accepts for ever. Dropping the future cuts its connections.
pub(super) async fn serve(
    visitors: Arc<Visitors>,
    listener: tokio::net::TcpListener,
    host: u16,
    inside: u16,
) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                // Not before: a listener that nobody comes to would keep a place from the others.
                let Ok(one) = Arc::clone(&visitors.at_once).acquire_owned().await else {
                    return;
                };
                let Some(place) = visitors.places.take().await else {
                    return;
                };
                let visitors = Arc::clone(&visitors);
                open.spawn(async move {
                    let visit = Visit::new(Arc::clone(&visitors.told), from, host, inside);
                    visit.carry(&*visitors.inside, stream).await;
                    drop((one, place));
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(EXHAUSTED).await,
        }
    }
}

/// One connection; told when the value goes.
struct Visit {
    told: Arc<Told>,
    from: SocketAddr,
    host: u16,
    inside: u16,
    started: Instant,
    failed: Option<String>,
    counts: Counts,
}

impl Visit {
    fn new(told: Arc<Told>, from: SocketAddr, host: u16, inside: u16) -> Self {
        Self {
            told,
            from: SocketAddr::new(from.ip().to_canonical(), from.port()),
            host,
            inside,
            started: Instant::now(),
            failed: None,
            counts: Counts::default(),
        }
    }

    async fn carry(mut self, inside: &dyn Inside, mut stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let connected = timeout(DEADLINE, connect(inside, self.inside))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let mut server = match connected {
            Ok(server) => server,
            Err(error) => {
                self.failed = Some(if error.kind() == io::ErrorKind::ConnectionRefused {
                    "nothing listens there inside".to_owned()
                } else {
                    format!("cannot connect inside: {error}")
                });
                return denial::reset(&stream);
            }
        };
        server.set_nodelay(true).ok();
        if let Err(error) = relay::both_ways(&mut server, &mut stream, &self.counts).await {
            self.failed = Some(error.to_string());
            denial::reset(&stream);
            denial::reset(&server);
        }
    }
}

/// Connects to the server inside: by IPv4, else by IPv6.
async fn connect(inside: &dyn Inside, port: u16) -> io::Result<TcpStream> {
    let sockets = inside.sockets(InsideSockets::Connecting).await?;
    let addresses = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let mut first = None;
    for (socket, address) in sockets.into_iter().zip(addresses) {
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        match socket.connect((address, port).into()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.told.emit(Event::Visit {
            from: self.from,
            port: self.host,
            inside: self.inside,
            failed: self.failed.take(),
            sent: self.counts.sent(),
            received: self.counts.received(),
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;

    fn rule(text: &str) -> PublishRule {
        PublishRule {
            port: text.parse().unwrap(),
            origin: Origin::Flag(String::new()),
        }
    }

    #[test]
    fn any_free_port_is_the_same_of_both_families() {
        let listening = Listening::bind(rule(":80")).unwrap();
        assert_ne!(listening.port, 0);
        for listener in &listening.listeners {
            let address = listener.local_addr().unwrap();
            assert!(address.ip().is_loopback());
            assert_eq!(address.port(), listening.port);
        }
    }

    #[test]
    fn a_port_that_is_in_use_is_told() {
        for taken in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to take there.
            let Ok(other) = TcpListener::bind(taken) else {
                continue;
            };
            let port = other.local_addr().unwrap().port();
            let error = Listening::bind(rule(&format!("{port}:80"))).unwrap_err();
            assert!(error.to_string().contains("is in use already"), "{error}");
            assert!(error.hint().contains("`:80`"), "{}", error.hint());
        }
        let error = Listening::bind(rule("192.0.2.7:8080:80")).unwrap_err();
        assert!(error.to_string().contains("192.0.2.7 is no address"), "{error}");
    }
}
