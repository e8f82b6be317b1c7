//! From a name to the addresses that may be dialled: once for each connection, after it was allowed, and never for a
//! name that isn't.
//!
//! The system's own configuration is used (`/etc/resolv.conf`, and `/etc/hosts` as every program of the host would),
//! read when the first name is resolved. The program is one static file, so the C library's plug-ins (nss) play no part.
//! Names are taken as they are: no search domain is ever appended, since the policy judged the name without it.

use super::dns::{self, Records};
use super::guard;
use crate::policy::{Name, Policy, ProxyHost, ResolveOverride};
use hickory_proto::rr::RecordType;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::NetError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a look-up may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Look-ups at once.
const AT_ONCE: usize = 64;
/// How long a look-up may take that a proxy outside does again, and for how long none is tried after one that took longer.
const BESIDE_PROXY: Duration = Duration::from_secs(2);
const SILENT: Duration = Duration::from_secs(60);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

const SILENT_SERVER: &str = "the name server does not answer";

/// Looks names up.
pub(super) struct Resolver {
    fixed: Vec<ResolveOverride>,
    system: OnceCell<TokioResolver>,
    places: Semaphore,
    /// Until when no name server is asked for what a proxy outside can look up itself.
    silent_until: Mutex<Option<Instant>>,
}

/// Why there is nothing to dial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// Only addresses that no name may lead to.
    #[error("{name} leads to {address}, which is {word}")]
    NotPublic {
        /// The name.
        name: Name,
        /// The first such address.
        address: IpAddr,
        /// What it is.
        word: &'static str,
    },
    /// The look-up failed.
    #[error("cannot look up {name}: {cause}")]
    Failed {
        /// The name.
        name: Name,
        /// Why.
        cause: String,
        /// Whether a name server said that there is no such name, or that it has no address.
        missing: Missing,
    },
}

/// What a name server said of a name that has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is none.
    Name,
    /// It is there.
    Address,
    /// Nothing that can be understood.
    Unknown,
}

/// Why a look-up gave nothing.
struct Unfound {
    cause: String,
    missing: Missing,
}

impl From<NetError> for Unfound {
    fn from(error: NetError) -> Self {
        let missing = if error.is_nx_domain() {
            Missing::Name
        } else if error.is_no_records_found() {
            Missing::Address
        } else {
            Missing::Unknown
        };
        Self {
            cause: error.to_string(),
            missing,
        }
    }
}

impl From<&str> for Unfound {
    fn from(cause: &str) -> Self {
        Self {
            cause: cause.to_owned(),
            missing: Missing::Unknown,
        }
    }
}

impl Resolver {
    /// With the fixed answers of the policy.
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            fixed: policy.network.resolve.clone(),
            system: OnceCell::new(),
            places: Semaphore::new(AT_ONCE),
            silent_until: Mutex::new(None),
        }
    }

    /// Whether a name server may be asked for a name: for one with a fixed answer none is.
    pub(super) fn asks(&self, name: &Name) -> bool {
        !self.fixed.iter().any(|fixed| fixed.name == *name)
    }

    /// The addresses to dial for a name that was allowed.
    pub(super) async fn addresses(&self, name: &Name, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        if let Some(fixed) = self.fixed.iter().find(|fixed| fixed.name == *name) {
            // A trusted layer wrote the address out: it may be any.
            return Ok(vec![(fixed.address, fixed.port.unwrap_or(port)).into()]);
        }
        let found = match timeout(DEADLINE, self.look_up(name)).await {
            Ok(found) => found,
            Err(_) => Err(SILENT_SERVER.into()),
        };
        let found = found.map_err(|unfound: Unfound| ResolveError::Failed {
            name: name.clone(),
            cause: unfound.cause,
            missing: unfound.missing,
        })?;
        checked(name, port, &found)
    }

    /// Whether a name that a proxy outside will look up leads to public addresses alone, as seen from here; `false` where
    /// that can't be seen.
    pub(super) async fn looks_public(&self, name: &Name) -> Result<bool, ResolveError> {
        let now = Instant::now();
        let silent = |until: &Mutex<Option<Instant>>| *until.lock().unwrap_or_else(PoisonError::into_inner);
        if silent(&self.silent_until).is_some_and(|until| now < until) {
            return Ok(false);
        }
        match timeout(BESIDE_PROXY, self.look_up(name)).await {
            Ok(Ok(found)) if !found.is_empty() => {
                // Which of them is dialled isn't up to us.
                found
                    .iter()
                    .try_for_each(|address| checked(name, 0, &[*address]).map(drop))?;
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(_) => {
                *self.silent_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + SILENT);
                Ok(false)
            }
        }
    }

    /// The addresses of a proxy outside, whatever they are: to be configured is its grant. Its name is looked up as
    /// programs outside do, in the search domains too.
    pub(super) async fn of_proxy(&self, host: &ProxyHost, port: u16) -> io::Result<Vec<SocketAddr>> {
        let name = match host {
            ProxyHost::Address(address) => return Ok(vec![(*address, port).into()]),
            ProxyHost::Name(name) => name.as_str(),
        };
        let found = match timeout(DEADLINE, self.find(name)).await {
            Ok(found) => found.map_err(|unfound| io::Error::other(unfound.cause))?,
            Err(_) => return Err(io::Error::other(SILENT_SERVER)),
        };
        Ok(found.into_iter().map(|address| (address, port).into()).collect())
    }

    /// The public addresses that a name can be told to have inside; `None` where it must have one of aca's own.
    pub(super) async fn real(&self, name: &Name) -> Result<Option<Vec<IpAddr>>, ResolveError> {
        if let Some(fixed) = self.fixed.iter().find(|fixed| fixed.name == *name) {
            // One that isn't public means something else inside, and another port would be lost.
            let public = guard::refused(fixed.address, &guard::own_addresses()).is_none();
            return Ok((public && fixed.port.is_none()).then(|| vec![fixed.address]));
        }
        let found = self.addresses(name, 0).await?;
        Ok(Some(found.iter().map(SocketAddr::ip).collect()))
    }

    /// What else is known of a name, and for how many seconds.
    pub(super) async fn records(&self, name: &Name, kind: Records) -> Result<(Vec<Vec<u8>>, u32), Missing> {
        let asked = async {
            let _place = self.places.acquire().await.map_err(|_| Missing::Unknown)?;
            let resolver = self.system.get_or_try_init(|| async { system() }).await;
            let resolver = resolver.map_err(|_| Missing::Unknown)?;
            let whole = hickory_proto::rr::Name::from_ascii(format!("{name}.")).map_err(|_| Missing::Name)?;
            let kind = match kind {
                Records::Txt => RecordType::TXT,
                Records::Mx => RecordType::MX,
                Records::Srv => RecordType::SRV,
            };
            let found = resolver.lookup(whole, kind).await;
            found.map_err(|error| Unfound::from(error).missing)
        };
        let found = timeout(DEADLINE, asked).await.map_err(|_| Missing::Unknown)??;
        let answers = found.answers();
        let ttl_s = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
        let data = dns::data(kind, answers.iter().map(|record| &record.data)).ok_or(Missing::Unknown)?;
        if data.is_empty() {
            Err(Missing::Address)
        } else {
            Ok((data, ttl_s))
        }
    }

    async fn look_up(&self, name: &Name) -> Result<Vec<IpAddr>, Unfound> {
        // The dot at the end: the name is whole.
        self.find(&format!("{name}.")).await
    }

    async fn find(&self, name: &str) -> Result<Vec<IpAddr>, Unfound> {
        let _place = self.places.acquire().await.map_err(|_| "no look-ups any more")?;
        let resolver = self.system.get_or_try_init(|| async { system() }).await?;
        let found = resolver.lookup_ip(name).await?;
        Ok(found.iter().take(ADDRESSES_MAX).collect())
    }
}

fn system() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Always;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

/// Keeps the public addresses; when there is none, tells of the first.
fn checked(name: &Name, port: u16, found: &[IpAddr]) -> Result<Vec<SocketAddr>, ResolveError> {
    let own = guard::own_addresses();
    let mut kept = Vec::new();
    let mut refused = None;
    for address in found.iter().map(IpAddr::to_canonical) {
        match guard::refused(address, &own) {
            None => kept.push(SocketAddr::new(address, port)),
            Some(word) => {
                refused.get_or_insert((address, word));
            }
        }
    }
    match refused {
        _ if !kept.is_empty() => Ok(kept),
        Some((address, word)) => Err(ResolveError::NotPublic {
            name: name.clone(),
            address,
            word,
        }),
        None => Err(ResolveError::Failed {
            name: name.clone(),
            cause: "it has no address".into(),
            missing: Missing::Address,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n13_only_public_addresses_are_kept() {
        let name: Name = "a.test".parse().unwrap();
        let found = |texts: &[&str]| {
            let addresses: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            checked(&name, 443, &addresses)
        };
        assert_eq!(
            found(&["127.0.0.1", "8.8.8.8"]).unwrap(),
            ["8.8.8.8:443".parse().unwrap()]
        );
        for text in ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "::1"] {
            let error = found(&[text]).unwrap_err();
            assert!(matches!(error, ResolveError::NotPublic { .. }), "{error}");
        }
        assert!(matches!(found(&[]), Err(ResolveError::Failed { .. })));
    }

    /// A name server on loopback that gives the answers in turn, then the last for ever.
    async fn server(answers: &'static [[u8; 4]]) -> Resolver {
        use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let here = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut buffer, mut given) = ([0; 512], 0);
            loop {
                let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = super::super::dns::parse(&buffer[..count]).unwrap();
                let answer = if question.kind_word() == "A" {
                    given += 1;
                    super::super::dns::Answer::V4(answers[given.min(answers.len()) - 1].into())
                } else {
                    super::super::dns::Answer::Nothing
                };
                socket.send_to(&question.reply(&answer, 512), from).await.unwrap();
            }
        });
        let mut udp = ConnectionConfig::udp();
        udp.port = here.port();
        let mut named = NameServerConfig::udp(here.ip());
        named.connections = vec![udp];
        let config = ResolverConfig::from_parts(None, vec![], vec![named]);
        let mut builder = TokioResolver::builder_with_config(
            config,
            hickory_resolver::net::runtime::TokioRuntimeProvider::default(),
        );
        // Each connection of the test asks anew.
        builder.options_mut().cache_size = 0;
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        Resolver {
            fixed: vec![],
            system: OnceCell::new_with(Some(builder.build().unwrap())),
            places: Semaphore::new(1),
            silent_until: Mutex::new(None),
        }
    }

    #[tokio::test]
    async fn n13_a_name_that_turns_private_is_refused_then() {
        let resolver = server(&[[8, 8, 8, 8], [127, 0, 0, 1], [169, 254, 169, 254], [8, 8, 4, 4]]).await;
        let name: Name = "a.test".parse().unwrap();
        assert_eq!(
            resolver.addresses(&name, 443).await.unwrap(),
            ["8.8.8.8:443".parse().unwrap()]
        );
        for address in ["127.0.0.1", "169.254.169.254"] {
            let error = resolver.addresses(&name, 443).await.unwrap_err();
            assert!(error.to_string().contains(address), "{error}");
        }
        assert_eq!(
            resolver.addresses(&name, 443).await.unwrap(),
            ["8.8.4.4:443".parse().unwrap()]
        );
    }

    #[tokio::test]
    async fn a_fixed_answer_asks_nobody() {
        let mut resolver = server(&[[8, 8, 8, 8]]).await;
        let name: Name = "a.test".parse().unwrap();
        resolver.fixed.push(ResolveOverride {
            name: name.clone(),
            address: "127.0.0.1".parse().unwrap(),
            port: Some(81),
            origin: crate::policy::Origin::Flag("--resolve".into()),
        });
        assert_eq!(
            resolver.addresses(&name, 443).await.unwrap(),
            ["127.0.0.1:81".parse().unwrap()]
        );
    }
}
