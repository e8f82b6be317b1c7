//! Ports that lead over the wall, as they are opened and closed while a run lasts.

use super::accept::{self, Places};
use super::published::{self, Inside, InsideSockets, Listening, PublishError, Visitors};
use super::{Captured, Proxy};
use crate::policy::{HostPortRule, Origin, PortKind, PublishRule};
use crate::supervise::Event;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// Doors at once.
const DOORS_MAX: usize = 256;
/// How long the first process of the sandbox may take to listen: it may be stopped.
const DEADLINE: Duration = Duration::from_secs(5);

/// A change that is asked for, and where the answer goes.
#[derive(Debug)]
pub struct PortsAsked {
    /// Which.
    pub change: PortsChange,
    /// Takes all that is open then, or why nothing changed.
    pub answer: oneshot::Sender<Result<Vec<OpenPort>, PortsError>>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortsChange {
    /// Nothing: what is open is wanted.
    List,
    /// Lets a service of the host's be reached.
    HostPort(HostPortRule),
    /// Lets the host reach a server inside.
    Publish(PublishRule),
    /// Closes the port inside that leads to a service of the host's, and its connections.
    CloseHostPort(u16),
    /// Closes the port of the host that leads inside, and its connections.
    ClosePublished(u16),
}

/// A port that leads over the wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPort {
    /// Which way.
    pub kind: PortKind,
    /// The address of the host; its loopback if `None`.
    pub address: Option<std::net::IpAddr>,
    /// The port of the host.
    pub host: u16,
    /// The port inside.
    pub inside: u16,
    /// Who wants it.
    pub origin: Origin,
}

/// Why nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// The host doesn't give the port.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The sandbox doesn't give the port.
    #[error(
        "port {port} of the loopback inside can't be listened on: {}",
        inside_reason(source)
    )]
    Inside {
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is there already.
    #[error("port {0} inside leads to a service of the host's already")]
    Taken(u16),
    /// It isn't there.
    #[error("port {0} isn't open")]
    NotOpen(u16),
    /// Enough.
    #[error("{DOORS_MAX} ports are open, and no more can be")]
    TooMany,
}

fn inside_reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        "a program inside listens there already (`OTHER:PORT` takes another port inside)".into()
    } else if error.kind() == io::ErrorKind::TimedOut {
        "the sandbox's first process doesn't answer; is it stopped?".into()
    } else {
        error.to_string()
    }
}

struct Door {
    port: OpenPort,
    tasks: Vec<AbortHandle>,
}

/// All that are open.
pub(super) struct Doors {
    proxy: Arc<Proxy>,
    visitors: Arc<Visitors>,
    places: Places,
    open: Vec<Door>,
    tasks: JoinSet<()>,
}

impl Doors {
    pub(super) fn new(proxy: Arc<Proxy>, inside: Arc<dyn Inside>, places: Places) -> Self {
        let visitors = Visitors::new(Arc::clone(&proxy.told), inside, places.clone());
        Self {
            proxy,
            visitors: Arc::new(visitors),
            places,
            open: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Answers what is asked, for ever.
    pub(super) async fn serve(&mut self, mut asked: mpsc::UnboundedReceiver<PortsAsked>) {
        while let Some(PortsAsked { change, answer }) = asked.recv().await {
            while self.tasks.try_join_next().is_some() {}
            let changed = self.change(change).await;
            // Who asked may have gone.
            drop(answer.send(changed.map(|()| self.open.iter().map(|door| door.port.clone()).collect())));
        }
        std::future::pending().await
    }

    async fn change(&mut self, change: PortsChange) -> Result<(), PortsError> {
        match change {
            PortsChange::List => Ok(()),
            PortsChange::Publish(_) | PortsChange::HostPort(_) if self.open.len() >= DOORS_MAX => {
                Err(PortsError::TooMany)
            }
            PortsChange::Publish(rule) => {
                let listening = Listening::bind(rule)?;
                self.proxy.told.emit(listening.opened());
                self.publish(listening);
                Ok(())
            }
            PortsChange::HostPort(rule) => self.add_host_port(rule).await,
            PortsChange::CloseHostPort(port) => {
                self.close(port, |open| {
                    open.kind == PortKind::HostPort && open.inside == port
                })?;
                self.proxy.forget_host_port(port);
                Ok(())
            }
            PortsChange::ClosePublished(port) => {
                self.close(port, |open| open.kind == PortKind::Published && open.host == port)
            }
        }
    }

    async fn add_host_port(&mut self, rule: HostPortRule) -> Result<(), PortsError> {
        let port = rule.port.inside;
        if self.proxy.live.current().network.host_port(port).is_some() {
            return Err(PortsError::Taken(port));
        }
        let wanted = self.visitors.inside.sockets(InsideSockets::Listening(port));
        let made = timeout(DEADLINE, wanted)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| PortsError::Inside { port, source })?;
        self.proxy.add_host_port(rule.clone());
        self.proxy.told.emit(OpenPort::of_host(rule.clone()).event(true));
        self.host_port(rule, made.into_iter().map(TcpListener::from).collect());
        Ok(())
    }

    /// Opens one that the policy has.
    pub(super) fn host_port(&mut self, rule: HostPortRule, listeners: Vec<TcpListener>) {
        let mut tasks = Vec::new();
        for listener in listeners {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                let serve = accept::serve(
                    Arc::clone(&self.proxy),
                    listener,
                    Captured::Ports,
                    self.places.clone(),
                );
                tasks.push(self.tasks.spawn(serve));
            }
        }
        let port = OpenPort::of_host(rule);
        self.open.push(Door { port, tasks });
    }

    /// Opens one that is listened on.
    pub(super) fn publish(&mut self, listening: Listening) {
        let port = listening.open_port();
        let mut tasks = Vec::new();
        for listener in listening.listeners {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                let serve = published::serve(Arc::clone(&self.visitors), listener, port.host, port.inside);
                tasks.push(self.tasks.spawn(serve));
            }
        }
        self.open.push(Door { port, tasks });
    }

    fn close(&mut self, port: u16, is: impl Fn(&OpenPort) -> bool) -> Result<(), PortsError> {
        let (closed, open): (Vec<Door>, Vec<Door>) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|door| is(&door.port));
        self.open = open;
        if closed.is_empty() {
            return Err(PortsError::NotOpen(port));
        }
        for door in closed {
            for task in &door.tasks {
                task.abort();
            }
            self.proxy.told.emit(door.port.event(false));
        }
        Ok(())
    }

    /// Cuts all.
    pub(super) async fn shut(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl OpenPort {
    /// A service of the host's.
    #[must_use]
    pub fn of_host(rule: HostPortRule) -> Self {
        Self {
            kind: PortKind::HostPort,
            address: None,
            host: rule.port.host,
            inside: rule.port.inside,
            origin: rule.origin,
        }
    }

    /// That it was opened, or closed.
    #[must_use]
    pub fn event(&self, open: bool) -> Event {
        Event::Port {
            kind: self.kind,
            open,
            address: self.address,
            host: self.host,
            inside: self.inside,
            origin: self.origin.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents;
    use crate::config::{Bases, Layers, merge};
    use crate::policy::UpstreamProxy;
    use crate::proxy::{Live, MadeInside, Upstream};
    use crate::supervise::Emit;
    use std::path::Path;

    struct Nowhere;

    impl Emit for Nowhere {
        fn emit(&self, _event: Event) {}
    }

    impl Inside for Nowhere {
        fn sockets(&self, _kind: InsideSockets) -> MadeInside<'_> {
            Box::pin(std::future::pending())
        }
    }

    /// Makes none.
    struct Refusing;

    impl Inside for Refusing {
        fn sockets(&self, _kind: InsideSockets) -> MadeInside<'_> {
            Box::pin(async { Err(io::ErrorKind::NotConnected.into()) })
        }
    }

    fn doors() -> Doors {
        doors_with(Arc::new(Nowhere), Places::new())
    }

    fn doors_with(inside: Arc<dyn Inside>, places: Places) -> Doors {
        let place = Path::new("/p");
        let bases = Bases {
            home: place,
            project: place,
            current: place,
        };
        let agent = agents::load(agents::GENERIC).unwrap();
        let policy = merge(&agent, &Layers::default(), bases).unwrap().policy;
        let upstream = Upstream::new(&UpstreamProxy::default(), &[], place).unwrap();
        let live = Live::new(Arc::new(policy), None, Arc::new(Nowhere));
        let proxy = Proxy::new(live, Arc::new(upstream), Arc::new(Nowhere));
        Doors::new(Arc::new(proxy), inside, places)
    }

    fn origin() -> Origin {
        Origin::Session("aca ports add".into())
    }

    #[tokio::test]
    async fn no_more_are_opened_than_the_bound() {
        let mut doors = doors();
        let publish = || {
            PortsChange::Publish(PublishRule {
                port: "127.0.0.1::80".parse().unwrap(),
                origin: origin(),
            })
        };
        for _ in 0..DOORS_MAX {
            doors.change(publish()).await.unwrap();
        }
        let error = doors.change(publish()).await.unwrap_err();
        assert!(matches!(error, PortsError::TooMany), "{error}");
        let one = doors.open[0].port.host;
        doors.change(PortsChange::ClosePublished(one)).await.unwrap();
        doors.change(publish()).await.unwrap();
    }

    /// With as few places as a machine may have that gives few descriptors.
    #[tokio::test]
    async fn doors_that_nobody_comes_to_keep_no_place_from_others() {
        use tokio::io::AsyncReadExt as _;
        let mut doors = doors_with(Arc::new(Refusing), Places::of(8));
        for _ in 0..10 {
            let rule = PublishRule {
                port: ":80".parse().unwrap(),
                origin: origin(),
            };
            doors.change(PortsChange::Publish(rule)).await.unwrap();
            tokio::task::yield_now().await;
        }
        for door in &doors.open {
            let mut visit = tokio::net::TcpStream::connect(("127.0.0.1", door.port.host))
                .await
                .unwrap();
            // Nothing can be made inside: that is told at once.
            let ended = timeout(Duration::from_secs(20), visit.read(&mut [0])).await;
            assert!(ended.is_ok(), "nobody took it");
        }
    }

    /// The first process may be stopped from outside.
    #[tokio::test(start_paused = true)]
    async fn a_first_process_that_does_not_answer_is_given_up() {
        let mut doors = doors();
        let change = PortsChange::HostPort(HostPortRule {
            port: "5432".parse().unwrap(),
            origin: origin(),
        });
        let error = doors.change(change).await.unwrap_err();
        assert!(error.to_string().contains("is it stopped?"), "{error}");
        assert!(doors.open.is_empty() && doors.proxy.live.current().network.host_ports.is_empty());
    }
}
