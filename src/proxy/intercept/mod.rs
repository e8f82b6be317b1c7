//! Looks into TLS, for hosts alone that rules name requests of: ends the client's with a certificate of the session's own
//! authority, opens another to the server, and judges each request between the two.
//!
//! The server is asked first, and the client is offered just the protocol that it agreed to, so that nothing is
//! translated. What is passed on is written anew by the HTTP library on either side, so the two ends never differ about
//! where a request begins. A server whose certificate isn't right is never spoken to: its client gets a 502 that says why.

mod apart;
mod authority;
mod body;
mod exchange;
mod fields;
mod git;
mod metered;
mod store;

pub use authority::AuthorityError;
pub(super) use git::Front;
#[cfg(fuzzing)]
pub(super) use git::fuzz_route;
pub use store::java_store;

use super::gate::{Target, refusal};
use super::judge::Judge;
use super::record::Record;
use super::{denial, reach, relay};
use crate::policy::{Host, HostPattern};
use authority::{Authority, Clock};
pub(super) use exchange::split;
use exchange::{Outgoing, Shared, Tasks};
use hyper_util::rt::TokioIo;
use metered::{Metered, Prefixed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

/// How long either handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);
/// Hosts whose certificates are kept.
const LEAVES_MAX: usize = 256;
/// Connections at once: each may hold some megabytes that one side sent and the other has not taken.
const PLACES: usize = 200;

/// The protocols that are looked into, as ALPN names them (RFC 7301).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// All that the session needs for it. Roots are parsed, and leaves made, when the first connection comes.
pub struct Interceptor {
    authority: Authority,
    /// The roots that servers are verified with, PEM.
    roots: Vec<u8>,
    client: OnceLock<Arc<ClientConfig>>,
    configs: Mutex<HashMap<Served, Config>>,
    places: Semaphore,
}

/// What TLS is ended for.
#[derive(PartialEq, Eq, Hash)]
struct Served {
    host: Host,
    /// As ALPN names it; empty for a client that asks for none.
    protocol: Vec<u8>,
}

/// How it is ended.
struct Config {
    tls: Arc<ServerConfig>,
    /// When its certificate is shown.
    shown: Range<SystemTime>,
}

impl Interceptor {
    /// Makes the authority. `roots` are certificates that the host trusts, PEM.
    ///
    /// # Errors
    /// Where no certificate can be made.
    pub fn new(patterns: &[&HostPattern], roots: Vec<u8>) -> Result<Self, AuthorityError> {
        Self::at(patterns, roots, Box::new(SystemTime::now))
    }

    fn at(patterns: &[&HostPattern], roots: Vec<u8>, clock: Clock) -> Result<Self, AuthorityError> {
        Ok(Self {
            authority: Authority::new(patterns, clock)?,
            roots,
            client: OnceLock::new(),
            configs: Mutex::default(),
            places: Semaphore::new(PLACES),
        })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.authority.pem()
    }

    /// The same, DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.authority.certificate()
    }

    /// How servers are spoken to: verified with the host's roots, no client certificate, no early data.
    fn client(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(config) = self.client.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(&self.roots).filter_map(Result::ok);
        roots.add_parsable_certificates(certificates);
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::clone(self.client.get_or_init(|| Arc::new(config))))
    }

    /// How TLS is ended for that host with that protocol.
    fn server(&self, host: &Host, protocol: &[u8]) -> Result<Arc<ServerConfig>, AuthorityError> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Served {
            host: host.clone(),
            protocol: protocol.to_vec(),
        };
        let now = self.authority.now();
        if let Some(config) = configs.get(&key).filter(|config| config.shown.contains(&now)) {
            return Ok(Arc::clone(&config.tls));
        }
        if configs.len() >= LEAVES_MAX {
            configs.clear();
        }
        let leaf = self.authority.leaf(host)?;
        let resolver = rustls::sign::SingleCertAndKey::from(leaf.certified);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.to_vec()];
        }
        let tls = Arc::new(config);
        let config = Config {
            tls: Arc::clone(&tls),
            shown: leaf.shown,
        };
        configs.insert(key, config);
        Ok(tls)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

type Client = tokio_rustls::server::TlsStream<Prefixed<TcpStream>>;
type Server = tokio_rustls::client::TlsStream<Metered>;

/// Carries a connection whose ClientHello was judged; `bytes` were read of it.
pub(super) async fn carry(
    inside: TcpStream,
    outside: TcpStream,
    bytes: Vec<u8>,
    judge: &Judge,
    record: &mut Record,
) {
    let Some(interceptor) = judge.interceptor() else {
        record.denied = Some(refusal(
            "only some requests are allowed there, and this session began without the means to look into TLS",
        ));
        return denial::reset(&inside);
    };
    let counts = Arc::clone(&record.counts);
    let work = Box::pin(relay::until_idle(
        &counts,
        Box::pin(connection(
            interceptor,
            inside,
            outside,
            bytes,
            judge,
            Arc::clone(&counts),
        )),
    ));
    let ended = tokio::select! {
        biased;
        deny = record.cut() => return record.denied = Some(deny),
        ended = work => ended,
    };
    match ended {
        Ok(End::Done) => {}
        Ok(End::Denied(why)) => record.denied = Some(refusal(&why)),
        Ok(End::Failed(why)) => record.failed = Some(why),
        Err(error) => record.end_with(error),
    }
    if let Some(deny) = record.counts.overdrawn() {
        (record.denied, record.failed) = (Some(deny), None);
    }
}

enum End {
    Done,
    Denied(String),
    Failed(String),
}

async fn connection(
    interceptor: &Interceptor,
    inside: TcpStream,
    outside: TcpStream,
    bytes: Vec<u8>,
    judge: &Judge,
    counts: Arc<super::record::Counts>,
) -> End {
    let Ok(Ok(_place)) = timeout(HANDSHAKE_WITHIN, interceptor.places.acquire()).await else {
        return End::Failed(format!(
            "{PLACES} connections are looked into, and none of them ended"
        ));
    };
    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), Prefixed::new(bytes, inside));
    let start = match timeout(HANDSHAKE_WITHIN, acceptor).await {
        Ok(Ok(start)) => start,
        Ok(Err(error)) => return End::Failed(format!("the client's TLS: {error}")),
        Err(_) => return End::Failed("the client's TLS was not whole in time".into()),
    };
    let offered: Option<Vec<Vec<u8>>> = start
        .client_hello()
        .alpn()
        .map(|protocols| protocols.map(<[u8]>::to_vec).collect());
    let known = |protocol: &&[u8]| offered.iter().flatten().any(|offered| offered == protocol);
    let common: Vec<Vec<u8>> = [HTTP2, HTTP1]
        .iter()
        .filter(|p| known(p))
        .map(|p| p.to_vec())
        .collect();
    if offered.is_some() && common.is_empty() {
        return End::Denied(
            "only some requests are allowed there, and the client speaks no HTTP in TLS".into(),
        );
    }
    // First the server: what it speaks is all that the client is offered.
    let again = Again {
        protocols: common.clone(),
        counts: Arc::clone(&counts),
    };
    let reached = Box::pin(server(interceptor, outside, judge.host(), common.clone(), counts)).await;
    let spoken = match &reached {
        Ok(server) => server.get_ref().1.alpn_protocol().map(<[u8]>::to_vec),
        Err(_) => common.first().cloned(),
    };
    let (protocol, reached) = match spoken {
        Some(protocol) => (protocol, reached),
        None if common.is_empty() || known(&HTTP1) => {
            let protocol = if common.is_empty() {
                Vec::new()
            } else {
                HTTP1.to_vec()
            };
            (protocol, reached)
        }
        None => (
            HTTP2.to_vec(),
            Err("the server doesn't speak HTTP/2, and the client speaks nothing else".to_owned()),
        ),
    };
    let failed = reached.as_ref().err().cloned();
    let config = match interceptor.server(judge.host(), &protocol) {
        Ok(config) => config,
        Err(error) => return End::Failed(error.to_string()),
    };
    let client = match timeout(HANDSHAKE_WITHIN, start.into_stream(config)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            return End::Failed(format!("the client doesn't take aca's certificate: {error}"));
        }
        Err(_) => return End::Failed("the client's TLS was not whole in time".into()),
    };
    match Box::pin(exchange(client, reached, again, protocol == HTTP2, judge)).await {
        Ok(()) => failed.map_or(End::Done, End::Failed),
        Err(error) if error.is_parse() => {
            End::Denied("only some requests are allowed there, and what is spoken in TLS is no HTTP".into())
        }
        // However a client ends a connection, all that it asked for was judged.
        Err(_) => failed.map_or(End::Done, End::Failed),
    }
}

/// TLS to the server, verified for exactly that host; else why not.
async fn server(
    interceptor: &Interceptor,
    outside: TcpStream,
    host: &Host,
    protocols: Vec<Vec<u8>>,
    counts: Arc<super::record::Counts>,
) -> Result<Server, String> {
    let config = interceptor.client().map_err(|error| error.to_string())?;
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = protocols;
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|error| error.to_string())?,
        Host::Address(address) => ServerName::from(*address),
    };
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, Metered::new(outside, counts));
    match timeout(HANDSHAKE_WITHIN, connecting).await {
        Ok(Ok(server)) => Ok(server),
        Ok(Err(error)) => Err(format!("TLS with {host} failed: {error}")),
        Err(_) => Err(format!("TLS with {host} was not whole in time")),
    }
}

/// Another connection to the server.
struct Again {
    /// What the client offered.
    protocols: Vec<Vec<u8>>,
    /// What the first counts in.
    counts: Arc<super::record::Counts>,
}

impl Again {
    /// Makes it.
    async fn connect(&self, judge: &Judge, tasks: &Tasks) -> Result<Outgoing, String> {
        let over = || "the session is ending".to_owned();
        let (proxy, interceptor) = (
            judge.proxy().ok_or_else(over)?,
            judge.interceptor().ok_or_else(over)?,
        );
        let target = match judge.host() {
            Host::Name(name) => Target::Name(name.clone(), judge.port()),
            Host::Address(address) => Target::Address((*address, judge.port()).into()),
        };
        let outside = reach::again(&proxy, target).await?;
        let protocols = self.protocols.clone();
        let counts = Arc::clone(&self.counts);
        let server = server(interceptor, outside.stream, judge.host(), protocols, counts).await?;
        let http2 = server.get_ref().1.alpn_protocol() == Some(HTTP2);
        let closed = Arc::new(Notify::new());
        let outgoing = Outgoing::begin(server, http2, tasks, &closed).await;
        if let Some(used) = outside.used {
            tasks.spawn(async move {
                closed.notified().await;
                drop(used);
            });
        }
        outgoing.map_err(|error| error.to_string())
    }
}

/// Carries requests until both ends are done.
async fn exchange(
    client: Client,
    server: Result<Server, String>,
    again: Again,
    http2: bool,
    judge: &Judge,
) -> Result<(), hyper::Error> {
    let tasks = Tasks::default();
    let closed = Arc::new(Notify::new());
    let outgoing = match server {
        Ok(server) => Outgoing::begin(server, http2, &tasks, &closed).await?,
        Err(why) => Outgoing::None(why),
    };
    let shared = Arc::new(Shared::new(judge.clone(), outgoing, again, tasks.clone()));
    exchange::serve(TokioIo::new(client), http2, shared, &closed).await?;
    // What became of a change of protocol.
    tasks.finish().await;
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
