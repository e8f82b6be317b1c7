//! A service on the host's loopback, reached at a port of the loopback inside.
//!
//! Which port of the host's it is stands in the policy, and nothing that comes from inside has a part in it.

use super::gate::{self, Target};
use super::live::Ticket;
use super::programs::Who;
use super::record::Record;
use super::{Proxy, denial, relay};
use crate::policy::{Deny, HostPort, HostPortRule, Name};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the service may take to let a connection in. Its machine is this one.
const DEADLINE: Duration = Duration::from_secs(10);

/// The name that is judged, whatever the address.
const LOCALHOST: &str = "localhost";
/// Why a grant isn't enough where rules name requests.
const UNSEEN: &str = "rules name requests to it, and what is sent to a port of the host isn't looked at";

impl Proxy {
    /// The service that stands behind an address inside.
    pub(super) fn host_port(&self, going: SocketAddr) -> Option<HostPort> {
        let own = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        let policy = self.live.current();
        let rule = policy.network.host_port(going.port());
        rule.filter(|_| own.contains(&going.ip())).map(|rule| rule.port)
    }

    /// The same for a host that was asked of one of the proxies inside, with the address that is meant.
    pub(super) fn host_port_of(&self, host: &str, port: u16) -> Option<(SocketAddr, HostPort)> {
        let address = match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical(),
            Err(_) => {
                let is_it = host.parse::<Name>().is_ok_and(|name| name.as_str() == LOCALHOST);
                is_it.then_some(IpAddr::from(Ipv4Addr::LOCALHOST))?
            }
        };
        let going = SocketAddr::new(address, port);
        Some((going, self.host_port(going)?))
    }

    /// Lets one be reached from now on.
    pub(super) fn add_host_port(&self, rule: HostPortRule) {
        self.live.change_host_ports(|ports| ports.push(rule));
    }

    /// Lets one be reached no more.
    pub(super) fn forget_host_port(&self, inside: u16) {
        self.live
            .change_host_ports(|ports| ports.retain(|rule| rule.port.inside != inside));
    }
}

/// Serves one connection that was going to `going`.
pub(super) async fn serve(proxy: &Proxy, stream: TcpStream, going: SocketAddr, port: HostPort, who: Who) {
    let mut record = Record::new(Arc::clone(&proxy.told), going, who);
    match open(proxy, going, port, &mut record).await {
        Some(service) => carry(stream, service, &[], &mut record).await,
        None => denial::reset(&stream),
    }
}

/// A service that was reached.
pub(super) struct Service {
    /// The connection to it.
    pub(super) stream: TcpStream,
    /// A deny may be written of the name, which the record has, or of the address.
    pub(super) by_address: Ticket,
}

/// Reaches the service; else the record tells why not.
pub(super) async fn open(
    proxy: &Proxy,
    going: SocketAddr,
    port: HostPort,
    record: &mut Record,
) -> Option<Service> {
    let by_address = admit(proxy, going, port, record)
        .map_err(|deny| record.denied = Some(deny))
        .ok()?;
    let stream = match connect(port.host).await {
        Ok(stream) => stream,
        Err(error) => {
            record.failed = Some(format!(
                "cannot connect to port {} of the host: {error}",
                port.host
            ));
            return None;
        }
    };
    stream.set_nodelay(true).ok();
    record.upstream = stream.peer_addr().ok().map(|address| address.ip());
    Some(Service { stream, by_address })
}

/// Carries what is sent, `bytes` first, which were read already.
pub(super) async fn carry(mut stream: TcpStream, service: Service, bytes: &[u8], record: &mut Record) {
    let Service {
        stream: mut service,
        by_address,
    } = service;
    let counts = &record.counts;
    let work = async {
        if !bytes.is_empty() {
            counts.send(bytes.len())?;
            service.write_all(bytes).await?;
        }
        relay::both_ways(&mut stream, &mut service, counts).await
    };
    let ended = tokio::select! {
        carried = work => carried.map_err(Ended::Failed),
        deny = record.cut() => Err(Ended::Cut(deny)),
        deny = by_address.cut() => Err(Ended::Cut(deny)),
    };
    match ended {
        Ok(()) => return,
        Err(Ended::Failed(error)) => record.failed = Some(error.to_string()),
        Err(Ended::Cut(deny)) => record.denied = Some(deny),
    }
    denial::reset(&stream);
    denial::reset(&service);
}

/// Why a connection ended before its ends did.
enum Ended {
    Failed(io::Error),
    Cut(Deny),
}

/// Enters it among the open ones, by its name and by its address.
fn admit(proxy: &Proxy, going: SocketAddr, port: HostPort, record: &mut Record) -> Result<Ticket, Deny> {
    if let Ok(name) = LOCALHOST.parse::<Name>() {
        record.name = Some(name.clone());
        let judged = proxy.admit(Target::Name(name, port.inside), record)?;
        if judged.judge.is_some() {
            return Err(gate::refusal(UNSEEN));
        }
    }
    let ticket = proxy.live.admit(Target::Address(going).action())?;
    if ticket.is_by_request() {
        return Err(gate::refusal(UNSEEN));
    }
    Ok(ticket)
}

/// Connects to the service: by IPv4, which nearly all of them have, else by IPv6.
async fn connect(port: u16) -> io::Result<TcpStream> {
    let either = async {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(stream) => Ok(stream),
            Err(first) => TcpStream::connect((Ipv6Addr::LOCALHOST, port))
                .await
                .map_err(|_| first),
        }
    };
    timeout(DEADLINE, either)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
