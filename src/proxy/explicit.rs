//! Proxies that programs inside can be told of, at a fixed address: HTTP (CONNECT and absolute targets, RFC 9110 9.3.6,
//! RFC 9112 3.2.2) and SOCKS5 (RFC 1928), each on both ports. No program needs one here; some insist.
//!
//! What is asked for is judged as a connection to there would be, and so is what is spoken in a tunnel.

use super::connection::{carry, failed, refuse};
use super::denial;
use super::first_bytes::{self, Spoken};
use super::gate::{self, Candidates, Judged, Target, refusal};
use super::http::{Authority, Request};
use super::live::Ticket;
use super::programs::Who;
use super::reach::{Outside, depends, reach};
use super::record::Record;
use super::requests::{self, Asked};
use super::upstream::Kind;
use super::{Proxy, host_port, socks};
use crate::plan::linux::{OWN_ADDRESSES, PROXY_PORTS};
use crate::policy::{Deny, HostPort, Protocol};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Agrees to a tunnel (RFC 9110 9.3.6).
const AGREED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Whether a connection was going to the proxies.
pub(super) fn is_meant(going: SocketAddr) -> bool {
    let (v4, v6) = OWN_ADDRESSES;
    let own = [IpAddr::V4(v4), IpAddr::V6(v6)];
    own.contains(&going.ip()) && PROXY_PORTS.contains(&going.port())
}

/// Serves a connection to the proxies, which are at `own`.
pub(super) async fn serve(proxy: &Proxy, mut stream: TcpStream, own: IpAddr, who: Who) {
    let mut bytes = Vec::new();
    loop {
        let mut record = Record::new(Arc::clone(&proxy.told), (own, 0).into(), who.clone());
        let request = match first_bytes::read(&mut stream, &mut bytes, true).await {
            Ok(Spoken::Http(request)) => request,
            Ok(Spoken::Other) if bytes.first() == Some(&socks::VERSION) => {
                return socks::serve(proxy, stream, bytes, own, record).await;
            }
            Ok(Spoken::Ended) => return record.forget(),
            Ok(spoken) => {
                record.protocol = spoken.protocol();
                let why = match spoken {
                    Spoken::Wrong(_, why) => why,
                    Spoken::Tls { .. }
                    | Spoken::Http(_)
                    | Spoken::Http2
                    | Spoken::Ssh
                    | Spoken::Other
                    | Spoken::Undecided
                    | Spoken::Ended => "neither HTTP/1 nor SOCKS5",
                };
                let deny = refusal(&format!("a proxy can't understand it: {why}"));
                return refuse(stream, (own, 0).into(), &mut record, deny).await;
            }
            Err(error) => {
                record.failed = Some(error.to_string());
                return denial::reset(&stream);
            }
        };
        record.protocol = Some(Protocol::Http);
        if let Some(authority) = request.connect.clone() {
            bytes.drain(..request.length.min(bytes.len()));
            return connect(proxy, stream, bytes, authority, own, record).await;
        }
        match forward(proxy, stream, bytes, request, own, record).await {
            Some((same, rest)) => (stream, bytes) = (same, rest),
            None => return,
        }
    }
}

/// `CONNECT`: a tunnel.
async fn connect(
    proxy: &Proxy,
    mut stream: TcpStream,
    bytes: Vec<u8>,
    authority: Authority,
    own: IpAddr,
    mut record: Record,
) {
    let going = SocketAddr::new(own, authority.port.unwrap_or(0));
    let host_port = authority
        .port
        .and_then(|port| proxy.host_port_of(&authority.host, port));
    if let Some((going, port)) = host_port {
        record.going = going;
        let Some(service) = host_port::open(proxy, going, port, &mut record).await else {
            return failed(stream, going, &Target::Address(going), &record).await;
        };
        return match stream.write_all(AGREED).await {
            Ok(()) => host_port::carry(stream, service, &bytes, &mut record).await,
            Err(error) => record.failed = Some(error.to_string()),
        };
    }
    let candidates = match authority.port {
        Some(port) => judge(proxy, &authority.host, port, &mut record).await,
        None => Err(refusal("CONNECT without a port")),
    };
    let candidates = match candidates {
        Ok(candidates) => candidates,
        Err(deny) => return refuse(stream, going, &mut record, deny).await,
    };
    let upstream = if depends(proxy, &candidates) {
        None
    } else {
        let judged = &candidates.judged;
        match reach(proxy, judged, Kind::Tls, &mut record).await {
            Some(upstream) => Some(upstream),
            None => return failed(stream, going, &judged.target, &record).await,
        }
    };
    if let Err(error) = stream.write_all(AGREED).await {
        record.failed = Some(error.to_string());
        return;
    }
    tunnel(proxy, stream, upstream, bytes, candidates, record).await;
}

/// What is spoken in a tunnel is judged before it gets to the other end, which is reached now if it wasn't before.
pub(super) async fn tunnel(
    proxy: &Proxy,
    mut stream: TcpStream,
    upstream: Option<Outside>,
    mut bytes: Vec<u8>,
    candidates: Candidates,
    mut record: Record,
) {
    let going = record.going;
    record.protocol = None;
    let spoken = match first_bytes::read(&mut stream, &mut bytes, candidates.is_web()).await {
        Ok(spoken) => spoken,
        Err(error) => {
            record.failed = Some(error.to_string());
            return denial::reset(&stream);
        }
    };
    record.protocol = spoken.protocol();
    let judged = match candidates.settle(&spoken, proxy, &mut record) {
        Ok(judged) => judged,
        Err(deny) => {
            if let Some(upstream) = &upstream {
                denial::reset(&upstream.stream);
            }
            return refuse(stream, going, &mut record, deny).await;
        }
    };
    if spoken == Spoken::Ended {
        return;
    }
    let upstream = match upstream {
        Some(upstream) => Some(upstream),
        None => reach(proxy, &judged, (&spoken).into(), &mut record).await,
    };
    if let Some(upstream) = upstream {
        carry(stream, upstream, bytes, spoken, &judged, going, &mut record).await;
    } else {
        failed(stream, going, &judged.target, &record).await;
    }
}

/// A request with an absolute target, and those that follow it to the same host. Gives the connection back where the
/// next one leads elsewhere.
async fn forward(
    proxy: &Proxy,
    stream: TcpStream,
    bytes: Vec<u8>,
    request: Request,
    own: IpAddr,
    mut record: Record,
) -> Option<(TcpStream, Vec<u8>)> {
    let asked = request.absolute.as_ref().filter(|absolute| absolute.is_http);
    let port = asked.map_or(0, |absolute| absolute.authority.port.unwrap_or(requests::HTTP));
    let host_port = asked.and_then(|absolute| proxy.host_port_of(&absolute.authority.host, port));
    if let Some((going, port)) = host_port {
        return forward_to_host(proxy, stream, bytes, request, (going, port), record).await;
    }
    let going = SocketAddr::new(own, port);
    let candidates = match asked {
        Some(absolute) => judge(proxy, &absolute.authority.host, port, &mut record).await,
        None => Err(refusal("a proxy needs CONNECT, or the URL of an HTTP server")),
    };
    // A tunnel is what leads to a port of TLS: that is refused with the rest.
    let spoken = Spoken::Http(request.clone());
    let judged = match candidates.and_then(|candidates| candidates.settle(&spoken, proxy, &mut record)) {
        Ok(judged) => judged,
        Err(deny) => {
            refuse(stream, going, &mut record, deny).await;
            return None;
        }
    };
    let Some(mut upstream) = reach(proxy, &judged, Kind::Http, &mut record).await else {
        failed(stream, going, &judged.target, &record).await;
        return None;
    };
    requests_of(
        stream,
        &mut upstream,
        bytes,
        request,
        &judged,
        (going, None),
        record,
    )
    .await
}

/// The same to a service of the host's.
async fn forward_to_host(
    proxy: &Proxy,
    stream: TcpStream,
    bytes: Vec<u8>,
    request: Request,
    (going, port): (SocketAddr, HostPort),
    mut record: Record,
) -> Option<(TcpStream, Vec<u8>)> {
    let named = request
        .absolute
        .as_ref()
        .map(|absolute| absolute.authority.host.parse());
    record.going = going;
    let judged = Judged::strict(match named {
        Some(Ok(name)) => Target::Name(name, going.port()),
        Some(Err(_)) | None => Target::Address(going),
    });
    if let Err(deny) = gate::request_fits(&judged.target, &request) {
        refuse(stream, going, &mut record, deny).await;
        return None;
    }
    let Some(service) = host_port::open(proxy, going, port, &mut record).await else {
        failed(stream, going, &judged.target, &record).await;
        return None;
    };
    let mut outside = Outside::from(service.stream);
    let also = Some(service.by_address);
    requests_of(
        stream,
        &mut outside,
        bytes,
        request,
        &judged,
        (going, also),
        record,
    )
    .await
}

/// Carries a request, and those that follow it; what ends them besides the record's own entry is `also`.
async fn requests_of(
    mut stream: TcpStream,
    upstream: &mut Outside,
    bytes: Vec<u8>,
    request: Request,
    judged: &Judged,
    (going, also): (SocketAddr, Option<Ticket>),
    mut record: Record,
) -> Option<(TcpStream, Vec<u8>)> {
    let begin = requests::Begin::Request(request);
    let (inside, outside) = (&mut stream, &mut *upstream);
    let (asked, counts) = (Asked::Proxy, &record.counts);
    let cut = async {
        match &also {
            Some(ticket) => ticket.cut().await,
            None => std::future::pending().await,
        }
    };
    let cut = async {
        tokio::select! {
            deny = record.cut() => deny,
            deny = cut => deny,
        }
    };
    let carried = tokio::select! {
        biased;
        deny = cut => {
            record.denied = Some(deny);
            denial::reset(&stream);
            denial::reset(&upstream.stream);
            return None;
        }
        carried = requests::carry(inside, outside, bytes, begin, judged, asked, counts) => carried,
    };
    match carried {
        Ok(requests::End::Elsewhere(rest)) => Some((stream, rest)),
        Ok(requests::End::Done) => {
            // A reader that was told of no length waits for this end.
            stream.shutdown().await.ok();
            None
        }
        Ok(requests::End::Denied(deny)) => {
            denial::reset(&upstream.stream);
            refuse(stream, going, &mut record, deny).await;
            None
        }
        Ok(requests::End::Refused(why)) => {
            record.failed = Some(why);
            failed(stream, going, &judged.target, &record).await;
            None
        }
        Ok(requests::End::Forbidden(refused)) => {
            denial::reset(&upstream.stream);
            denial::forbid(stream, &refused.text).await;
            None
        }
        Err(error) => {
            record.end_with(error);
            denial::reset(&stream);
            denial::reset(&upstream.stream);
            None
        }
    }
}

/// What was asked for, if it may be reached.
pub(super) async fn judge(
    proxy: &Proxy,
    host: &str,
    port: u16,
    record: &mut Record,
) -> Result<Candidates, Deny> {
    record.going.set_port(port);
    let candidates = proxy.candidates_of(host, port, record);
    if let Ok(address) = host.parse::<IpAddr>()
        && record.name.is_none()
        && gate::unreachable(address.to_canonical()).is_none()
    {
        record.going = (address.to_canonical(), port).into();
    }
    match candidates {
        Err(deny) => match proxy.holdable_of(host, port) {
            Some(target) => Box::pin(proxy.hold(target, deny, record))
                .await
                .map(Candidates::from),
            None => Err(deny),
        },
        candidates => candidates,
    }
}
