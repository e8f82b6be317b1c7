//! From a target that was allowed to a connection: directly, or through the proxy outside where there is one.

use super::first_bytes::Spoken;
use super::gate::{self, Candidates, Judged, Target};
use super::http::Upgrade;
use super::programs::Who;
use super::record::Record;
use super::resolve::ResolveError;
use super::upstream::{self, Kind};
use super::{Proxy, dial};
use crate::policy::ProxyUrl;
use crate::supervise::{Event, Via};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;

/// The connection outside.
pub(super) struct Outside {
    /// To the far end, or to a proxy that passes on what comes.
    pub(super) stream: TcpStream,
    /// The proxy at its other end takes requests one by one, each with the URL as its target.
    pub(super) forward: Option<Forward>,
    /// Keeps what is between it and a proxy that is spoken to in TLS.
    pub(super) used: Option<upstream::Used>,
}

impl From<TcpStream> for Outside {
    /// Nothing stands between.
    fn from(stream: TcpStream) -> Self {
        Self {
            stream,
            forward: None,
            used: None,
        }
    }
}

/// What such requests need.
pub(super) struct Forward {
    /// The proxy.
    pub(super) url: ProxyUrl,
    /// Host and port for the URLs; the port is left out where it is the usual.
    pub(super) authority: String,
}

impl From<&Spoken> for Kind {
    fn from(spoken: &Spoken) -> Self {
        match spoken {
            Spoken::Tls { .. } => Self::Tls,
            Spoken::Http(request) if request.upgrade == Upgrade::None => Self::Http,
            Spoken::Http(_) | Spoken::Http2 => Self::HttpTunnel,
            Spoken::Ssh | Spoken::Other | Spoken::Undecided | Spoken::Ended | Spoken::Wrong(..) => {
                Self::Other
            }
        }
    }
}

/// Whether it depends on what is spoken how a target is reached: whoever could connect before had better wait.
pub(super) fn depends(proxy: &Proxy, candidates: &Candidates) -> bool {
    let target = &candidates.judged.target;
    let by_request = target.port() == 80 && !matches!(proxy.upstream.of(target, Kind::Http), Ok(None));
    by_request || candidates.several()
}

/// Connects to the target; else the record tells why not.
pub(super) async fn reach(
    proxy: &Proxy,
    judged: &Judged,
    kind: Kind,
    record: &mut Record,
) -> Option<Outside> {
    let target = &judged.target;
    record.draw_on(&proxy.budgets, target).ok()?;
    if let Target::Name(name, _) = target
        && proxy.resolver.asks(name)
        && let Err(error) = record.counts.ask(name)
    {
        record.end_with(error);
        return None;
    }
    let url = match proxy.upstream.of(target, kind) {
        Ok(url) => url,
        Err(why) => {
            record.failed = Some(why.to_owned());
            return None;
        }
    };
    // What a fixed address names is near, where no proxy outside gets to.
    let is_fixed = matches!(target, Target::Name(name, _) if !proxy.resolver.asks(name));
    let reached = match url.filter(|_| !is_fixed) {
        Some(url) => through(proxy, url, target, kind, record).await,
        None => directly(proxy, judged, record).await,
    };
    match reached {
        Ok(outside) => {
            outside.stream.set_nodelay(true).ok();
            Some(outside)
        }
        Err(Unreached::NotPublic(why)) => {
            record.denied = Some(gate::refusal(&why));
            None
        }
        Err(Unreached::Failed(why)) => {
            record.failed = Some(why);
            None
        }
    }
}

/// Another connection to where one was let through; else why there is none. Its bytes are counted with those of the first.
pub(super) async fn again(proxy: &Proxy, target: Target) -> Result<Outside, String> {
    let going = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), target.port());
    let mut record = Record::new(Arc::clone(&proxy.told), going, Who::default());
    let judged = Judged::strict(target);
    let reached = reach(proxy, &judged, Kind::Tls, &mut record).await;
    let denied = record.denied.take().map(|deny| deny.reason.into());
    let why = denied.or_else(|| record.failed.take());
    record.forget();
    reached.ok_or_else(|| why.unwrap_or_else(|| "it can't be reached".into()))
}

enum Unreached {
    NotPublic(String),
    Failed(String),
}

impl From<ResolveError> for Unreached {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotPublic { .. } => Self::NotPublic(error.to_string()),
            ResolveError::Failed { .. } => Self::Failed(error.to_string()),
        }
    }
}

async fn directly(proxy: &Proxy, judged: &Judged, record: &mut Record) -> Result<Outside, Unreached> {
    let mut addresses = match &judged.target {
        Target::Name(name, port) => proxy.resolver.addresses(name, *port).await?,
        Target::Address(address) => vec![*address],
    };
    // The one that was dialled inside, as long as the name has it.
    if let Some(at) = judged.at.filter(|at| addresses.contains(at)) {
        addresses = vec![at];
    }
    let stream = dial::connect(addresses).await;
    let stream = stream.map_err(|error| Unreached::Failed(format!("cannot connect: {error}")))?;
    record.upstream = stream.peer_addr().ok().map(|address| address.ip());
    Ok(stream.into())
}

async fn through(
    proxy: &Proxy,
    url: &ProxyUrl,
    target: &Target,
    kind: Kind,
    record: &mut Record,
) -> Result<Outside, Unreached> {
    let checked = match target {
        Target::Name(name, _) => proxy.resolver.looks_public(name).await?,
        // A rule writes it out.
        Target::Address(_) => true,
    };
    record.via = Some(Via {
        proxy: url.to_string(),
        checked,
    });
    if !checked && proxy.is_first_unchecked() {
        let lost = format!(
            "names that only the proxy {url} can look up may lead anywhere: their addresses can't be checked"
        );
        proxy.told.emit(Event::Degraded { lost: vec![lost] });
    }
    let failed = |error: io::Error| Unreached::Failed(format!("cannot connect to the proxy {url}: {error}"));
    let addresses = proxy
        .resolver
        .of_proxy(&url.host, url.port)
        .await
        .map_err(failed)?;
    let stream = dial::connect(addresses).await.map_err(failed)?;
    record.upstream = stream.peer_addr().ok().map(|address| address.ip());
    stream.set_nodelay(true).ok();
    let (mut stream, used) = proxy.upstream.secure(stream, url).await.map_err(failed)?;
    let (host, port) = match target {
        Target::Name(name, port) => (name.to_string(), *port),
        Target::Address(address) if address.is_ipv6() => (format!("[{}]", address.ip()), address.port()),
        Target::Address(address) => (address.ip().to_string(), address.port()),
    };
    let forward = (kind == Kind::Http).then(|| Forward {
        url: url.clone(),
        authority: if port == 80 {
            host.clone()
        } else {
            format!("{host}:{port}")
        },
    });
    if forward.is_none() {
        let tunnel = upstream::connect(&mut stream, url, &format!("{host}:{port}")).await;
        tunnel.map_err(|error| Unreached::Failed(error.to_string()))?;
    }
    Ok(Outside {
        stream,
        forward,
        used,
    })
}
