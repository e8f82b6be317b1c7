//! Which ports lead over the wall: asked and changed from other threads while the run lasts.

use super::desk::Desk;
use super::listening::{Listener, Listeners, OwnSockets};
use crate::control::protocol::{self, PortsState, Refused};
use crate::policy::{HostPortRule, Origin, PublishRule};
use crate::proxy::{OpenPort, PortsAsked, PortsChange, PortsError};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Asks the network's thread, which starts by that.
#[derive(Debug)]
pub struct Ports {
    asking: UnboundedSender<PortsAsked>,
    woken: Option<Arc<OwnedFd>>,
    listeners: Option<Mutex<Listeners>>,
    own: Arc<OwnSockets>,
}

impl Ports {
    pub(super) fn new(
        asking: UnboundedSender<PortsAsked>,
        woken: Option<Arc<OwnedFd>>,
        listeners: Option<Listeners>,
        own: Arc<OwnSockets>,
    ) -> Self {
        Self {
            asking,
            woken,
            listeners: listeners.map(Mutex::new),
            own,
        }
    }

    /// Changes something; gives all that is open then. Waits for it, so no thread that serves anything may call it.
    ///
    /// # Errors
    /// Why nothing changed; `None` when the network's thread is gone.
    pub fn change(&self, change: PortsChange) -> Result<Vec<OpenPort>, Option<PortsError>> {
        let (answer, answered) = oneshot::channel();
        self.asking
            .send(PortsAsked { change, answer })
            .map_err(|_| None)?;
        if let Some(woken) = &self.woken {
            // Full is as good.
            rustix::io::write(woken, &1_u64.to_ne_bytes()).ok();
        }
        answered.blocking_recv().map_err(|_| None)?.map_err(Some)
    }

    /// What listens inside, where the kernel tells it.
    #[must_use]
    pub fn listening(&self) -> Option<Vec<SocketAddr>> {
        let mut listeners = self
            .listeners
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut found = listeners.read(&self.own).ok()?;
        found.dedup_by_key(|found: &mut Listener| (found.port, found.address));
        let addresses = found
            .iter()
            .map(|found| SocketAddr::new(found.address, found.port));
        Some(addresses.collect())
    }
}

/// Listeners that one answer tells.
const TOLD_MAX: usize = 200;

/// What an administrator locked: who says so, and whom to ask.
#[derive(Debug, Clone, Default)]
pub struct PortsLocked {
    /// Services of the host's.
    pub host_ports: Option<Refused>,
    /// Servers inside.
    pub publish: Option<Refused>,
}

/// Does what is asked of the ports.
pub(super) fn answer(desk: &Desk, asked: protocol::PortsAsked) -> Result<PortsState, Refused> {
    use protocol::PortsAsked as Asked;
    let Some(ports) = &desk.ports else {
        return Err(Refused::new(
            "the network of this session is off, so no port leads anywhere",
            "start the run with another preset: `--net listed` reaches nothing but what is named",
        ));
    };
    let said = |words: String| Origin::Session(format!("aca ports {words}"));
    let change = match asked {
        Asked::List => PortsChange::List,
        Asked::Publish(port) => {
            not_locked(desk.ports_locked.publish.as_ref())?;
            PortsChange::Publish(PublishRule {
                port,
                origin: said(format!("add {port}")),
            })
        }
        Asked::HostPort(port) => {
            not_locked(desk.ports_locked.host_ports.as_ref())?;
            PortsChange::HostPort(HostPortRule {
                port,
                origin: said(format!("add --host {port}")),
            })
        }
        Asked::ClosePublished(port) => PortsChange::ClosePublished(port),
        Asked::CloseHostPort(port) => PortsChange::CloseHostPort(port),
    };
    let open = ports.change(change).map_err(refused)?;
    let mut listening = ports.listening();
    let left_out = listening
        .as_ref()
        .map_or(0, |all| all.len().saturating_sub(TOLD_MAX));
    if let Some(listening) = &mut listening {
        listening.truncate(TOLD_MAX);
    }
    Ok(PortsState {
        open: open.into_iter().map(shown).collect(),
        listening,
        left_out: u64::try_from(left_out).unwrap_or(u64::MAX),
    })
}

fn not_locked(locked: Option<&Refused>) -> Result<(), Refused> {
    locked.cloned().map_or(Ok(()), Err)
}

fn shown(port: OpenPort) -> protocol::OpenPort {
    let OpenPort {
        kind,
        address,
        host,
        inside,
        origin,
    } = port;
    protocol::OpenPort {
        kind,
        address,
        host,
        inside,
        origin,
    }
}

fn refused(error: Option<PortsError>) -> Refused {
    let Some(error) = error else {
        return Refused {
            message: "the session's network has ended".into(),
            hint: None,
        };
    };
    Refused {
        hint: match &error {
            PortsError::Publish(error) => Some(error.hint()),
            PortsError::NotOpen(_) | PortsError::Taken(_) => Some("`aca ports` lists what is open".into()),
            PortsError::Inside { .. } | PortsError::TooMany => None,
        },
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents;
    use crate::config::{Bases, Layers, merge};
    use crate::control::protocol::PortsAsked as Asked;
    use crate::proxy::Live;
    use crate::supervise::{Emit, Event};
    use std::path::Path;

    struct Nowhere;

    impl Emit for Nowhere {
        fn emit(&self, _event: Event) {}
    }

    fn desk(ports: Option<Ports>, ports_locked: PortsLocked) -> Desk {
        let place = Path::new("/p");
        let bases = Bases {
            home: place,
            project: place,
            current: place,
        };
        let agent = agents::load(agents::GENERIC).unwrap();
        let policy = merge(&agent, &Layers::default(), bases).unwrap().policy;
        Desk {
            session: String::new(),
            agent: String::new(),
            project: place.to_owned(),
            live: Live::new(Arc::new(policy), None, Arc::new(Nowhere)),
            events: Arc::new(Nowhere),
            ports: ports.map(Arc::new),
            ports_locked,
        }
    }

    #[test]
    fn a_lock_and_a_network_that_is_off_refuse() {
        let said = |desk: &Desk, asked| answer(desk, asked).unwrap_err().message;
        let (publish, host) = (
            Asked::Publish("3000".parse().unwrap()),
            Asked::HostPort("5432".parse().unwrap()),
        );
        let off = desk(None, PortsLocked::default());
        assert!(said(&off, publish.clone()).contains("the network of this session is off"));
        let (asking, asked) = tokio::sync::mpsc::unbounded_channel();
        let ports = Ports::new(asking, None, None, Arc::default());
        let locked = desk(
            Some(ports),
            PortsLocked {
                host_ports: Some(Refused::new("hosts are locked", "")),
                publish: Some(Refused::new("servers are locked", "")),
            },
        );
        assert_eq!(said(&locked, publish), "servers are locked");
        assert_eq!(said(&locked, host), "hosts are locked");
        assert!(asked.is_empty(), "nobody was asked");
        drop(asked);
        // What makes narrower isn't locked; here nobody is there to do it.
        assert!(said(&locked, Asked::ClosePublished(3000)).contains("has ended"));
    }
}
