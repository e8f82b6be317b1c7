//! TLS to a proxy itself (`https://`). What carries connections needs a socket of its own at their end, so this ends in
//! one: a pair of sockets, between the second of which and the proxy a task passes everything on.

use crate::policy::{ProxyHost, ProxyUrl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long the handshake may take.
const WITHIN: Duration = Duration::from_secs(15);
/// How long what was sent may take to get to the proxy, once nobody uses the connection any more.
const LEFT_WITHIN: Duration = Duration::from_secs(2);
/// Most bytes of a file of certificates.
const FILE_MAX: u64 = 16 << 20;
/// Where systems keep the certificates that they trust; the first that is there counts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Variables by which users name more.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "CURL_CA_BUNDLE"];

/// Says that a connection is used, until it is dropped.
pub(in crate::proxy) struct Used(
    #[expect(dead_code, reason = "its end is what is told")] oneshot::Sender<()>,
);

/// What proxies are verified with; read when the first is spoken to.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    named: Vec<PathBuf>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Trusted {
    /// Those of the system, and those that the user's variables name.
    pub(super) fn new(environment: &[(OsString, OsString)]) -> Self {
        let named = environment
            .iter()
            .filter(|(name, _)| VARIABLES.iter().any(|known| name == known));
        Self {
            named: named.map(|(_, path)| path.into()).collect(),
            config: OnceLock::new(),
        }
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        let system = BUNDLES.iter().find_map(|path| certificates(Path::new(path)));
        let named = self.named.iter().filter_map(|path| certificates(path));
        for pem in named.chain(system) {
            let all = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            roots.add_parsable_certificates(all);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }

    /// Speaks TLS on a connection to the proxy; gives the socket at whose other end is what it carries, and what must be
    /// kept as long as that is used.
    ///
    /// # Errors
    /// The handshake's: the certificate isn't right, or isn't trusted.
    pub(super) async fn secure(&self, stream: TcpStream, url: &ProxyUrl) -> io::Result<(TcpStream, Used)> {
        let name = match &url.host {
            ProxyHost::Name(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other)?,
            ProxyHost::Address(address) => ServerName::IpAddress((*address).into()),
        };
        let connector = TlsConnector::from(self.config()?);
        let mut proxy = match timeout(WITHIN, Box::pin(connector.connect(name, stream))).await {
            Ok(connected) => connected?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let mut far = UnixStream::from_std(far.into())?;
        let (used, unused) = oneshot::channel();
        // It ends when both sides have; a far end that doesn't must not keep what nobody uses any more.
        tokio::spawn(async move {
            let left = async {
                unused.await.ok();
                tokio::time::sleep(LEFT_WITHIN).await;
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut proxy, &mut far) => {}
                () = left => {}
            }
        });
        Ok((TcpStream::from_std(near.into())?, Used(used)))
    }
}

fn certificates(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    #[tokio::test]
    async fn what_nobody_uses_any_more_ends_though_the_far_end_stays() {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["p.test".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let trusted = Trusted::new(&[("SSL_CERT_FILE".into(), path.into())]);
        let url: ProxyUrl = "https://p.test".parse().unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, accepted) = tokio::join!(trusted.secure(stream, &url), async {
            let (stream, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(server)).accept(stream).await.unwrap()
        });
        let ((mut near, used), mut far) = (near.unwrap(), accepted);
        near.write_all(b"all of it").await.unwrap();
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = alive();
        drop((near, used));
        // Neither says anything nor ends.
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"all of it");
        let end = tokio::time::Instant::now() + LEFT_WITHIN * 10;
        while alive() >= before && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(alive() < before);
        drop(far);
    }
}
