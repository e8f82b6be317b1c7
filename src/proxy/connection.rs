//! One connection, from its first byte to its last.

use super::denial::{self, Status};
use super::first_bytes::{self, Spoken};
use super::gate::{self, Candidates, Judged, Target};
use super::programs::Who;
use super::reach::{Outside, reach};
use super::record::Record;
use super::requests::Asked;
use super::{Proxy, explicit, git_ssh, host_port, intercept, questions, relay, requests};
use crate::policy::Deny;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// DNS over TCP goes to the same answers as over UDP, whichever server was meant.
const DNS: u16 = 53;

/// Serves one connection that was going to `going`.
pub(super) async fn handle(proxy: Arc<Proxy>, stream: TcpStream, going: Option<SocketAddr>) {
    // Small writes go out at once: an agent's requests are many and small.
    stream.set_nodelay(true).ok();
    let Some(going) = going else {
        if let Ok(local) = stream.local_addr() {
            let mut record = Record::new(Arc::clone(&proxy.told), local, Who::default());
            record.denied = Some(gate::refusal("the kernel doesn't tell where it was going"));
        }
        denial::reset(&stream);
        return;
    };
    if going.port() == DNS {
        return questions::serve_stream(&proxy, stream).await;
    }
    let who = match stream.peer_addr() {
        Ok(client) => proxy.programs.ask(client, going),
        Err(_) => Who::default(),
    };
    if let Some(port) = proxy.host_port(going) {
        return Box::pin(host_port::serve(&proxy, stream, going, port, who)).await;
    }
    if explicit::is_meant(going) {
        return Box::pin(explicit::serve(&proxy, stream, going.ip(), who)).await;
    }
    if git_ssh::is_meant(going) {
        return Box::pin(git_ssh::serve(&proxy, stream, going.ip(), who)).await;
    }
    let mut record = Record::new(Arc::clone(&proxy.told), going, who);
    Box::pin(serve(&proxy, stream, going, &mut record)).await;
}

async fn serve(proxy: &Proxy, mut stream: TcpStream, going: SocketAddr, record: &mut Record) {
    let candidates = proxy.candidates(going, record);
    let held = candidates.is_err().then(|| proxy.holdable(going)).flatten();
    let web = candidates
        .as_ref()
        .map_or(gate::is_web(going.port()), Candidates::is_web);
    let mut bytes = Vec::new();
    let read = first_bytes::read(&mut stream, &mut bytes, web).await;
    let spoken = match read {
        Ok(spoken) => spoken,
        Err(error) => {
            record.failed = Some(error.to_string());
            record.denied = candidates.err();
            return denial::reset(&stream);
        }
    };
    record.protocol = spoken.protocol();
    let judged = match candidates.and_then(|candidates| candidates.settle(&spoken, proxy, record)) {
        // Nobody is asked about what would be refused anyway.
        Err(deny) if spoken != Spoken::Ended => match held.map(Judged::strict) {
            Some(judged) if gate::fits(&judged, &spoken).is_ok() => {
                Box::pin(proxy.hold(judged.target, deny, record)).await
            }
            Some(_) | None => Err(deny),
        },
        judged => judged,
    };
    let judged = match judged {
        Ok(judged) => judged,
        Err(deny) => return refuse(stream, going, record, deny).await,
    };
    if spoken == Spoken::Ended {
        return;
    }
    let Some(upstream) = reach(proxy, &judged, (&spoken).into(), record).await else {
        return failed(stream, going, &judged.target, record).await;
    };
    carry(stream, upstream, bytes, spoken, &judged, going, record).await;
}

/// Tells the client why its target wasn't reached.
pub(super) async fn failed(stream: TcpStream, going: SocketAddr, target: &Target, record: &Record) {
    let (status, text) = match &record.denied {
        Some(deny) => {
            record.who.wait().await;
            (Status::Forbidden, denial::reason(going, Some(target), deny))
        }
        None => {
            let why = record.failed.as_deref().unwrap_or("it can't be reached");
            (Status::BadGateway, format!("aca: {why}\n"))
        }
    };
    denial::answer(stream, record.protocol, status, &text).await;
}

/// Carries a connection that was judged; `bytes` were read of it.
pub(super) async fn carry(
    mut stream: TcpStream,
    mut upstream: Outside,
    bytes: Vec<u8>,
    spoken: Spoken,
    judged: &Judged,
    going: SocketAddr,
    record: &mut Record,
) {
    if let (Some(judge), Spoken::Tls { .. }) = (&judged.judge, &spoken) {
        return intercept::carry(stream, upstream.stream, bytes, judge, record).await;
    }
    let begin = match spoken {
        Spoken::Http(request) => Some(requests::Begin::Request(request)),
        Spoken::Undecided => Some(requests::Begin::Undecided),
        Spoken::Tls { .. }
        | Spoken::Http2
        | Spoken::Ssh
        | Spoken::Other
        | Spoken::Ended
        | Spoken::Wrong(..) => None,
    };
    let (inside, outside, counts) = (&mut stream, &mut upstream, &record.counts);
    let work = async {
        match begin {
            Some(begin) => {
                requests::carry(inside, outside, bytes, begin, judged, Asked::Server, counts).await
            }
            None => {
                counts.send(bytes.len())?;
                let outside = &mut outside.stream;
                outside.write_all(&bytes).await?;
                // A connection may stay for hours.
                drop(bytes);
                relay::both_ways(inside, outside, counts).await?;
                Ok(requests::End::Done)
            }
        }
    };
    let carried = tokio::select! {
        biased;
        deny = record.cut() => {
            record.denied = Some(deny);
            denial::reset(&stream);
            return denial::reset(&upstream.stream);
        }
        carried = work => carried,
    };
    match carried {
        Ok(requests::End::Denied(deny)) => {
            denial::reset(&upstream.stream);
            drop(upstream);
            refuse(stream, going, record, deny).await;
        }
        Ok(requests::End::Refused(why)) => {
            record.failed = Some(why);
            failed(stream, going, &judged.target, record).await;
        }
        Ok(requests::End::Forbidden(refused)) => {
            denial::reset(&upstream.stream);
            drop(upstream);
            denial::forbid(stream, &refused.text).await;
        }
        Ok(requests::End::Done | requests::End::Elsewhere(_)) => {}
        Err(error) => {
            record.end_with(error);
            // Half of an answer must not look whole.
            denial::reset(&stream);
            denial::reset(&upstream.stream);
        }
    }
}

pub(super) async fn refuse(stream: TcpStream, going: SocketAddr, record: &mut Record, deny: Deny) {
    let target = record.name.clone().map(|name| Target::Name(name, going.port()));
    let text = denial::reason(going, target.as_ref(), &deny);
    record.denied = Some(deny);
    record.who.wait().await;
    denial::answer(stream, record.protocol, Status::Forbidden, &text).await;
}
