use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

const HOUR: u64 = 3600;

/// An interceptor whose clock shows so many seconds more than the real one.
fn turned() -> (Interceptor, Arc<AtomicU64>) {
    let turned = Arc::new(AtomicU64::new(0));
    let (start, shown) = (SystemTime::now(), Arc::clone(&turned));
    let clock = move || start + Duration::from_secs(shown.load(Ordering::SeqCst));
    let pattern: HostPattern = "GET https://a.test/x".parse().unwrap();
    let interceptor = Interceptor::at(&[&pattern], Vec::new(), Box::new(clock)).unwrap();
    (interceptor, turned)
}

/// The certificate that a client meets, where one that lives at the clock's time takes it.
async fn met(interceptor: &Interceptor) -> Option<CertificateDer<'static>> {
    let host: Host = "a.test".parse().map(Host::Name).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(interceptor.authority.certificate().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.time_provider = Arc::new(At(interceptor.authority.now()));
    let server = interceptor.server(&host, HTTP1).unwrap();
    let (here, there) = tokio::io::duplex(1 << 16);
    let acceptor = tokio_rustls::TlsAcceptor::from(server);
    let (client, _server) = tokio::join!(
        TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("a.test").unwrap(), here),
        acceptor.accept(there)
    );
    let client = client.ok()?;
    let chain = client.get_ref().1.peer_certificates().unwrap();
    Some(chain[0].clone().into_owned())
}

#[derive(Debug)]
struct At(SystemTime);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(since))
    }
}

#[tokio::test]
async fn a_session_of_weeks_shows_new_certificates_in_time() {
    let (interceptor, clock) = turned();
    let first = met(&interceptor).await.unwrap();
    clock.store(17 * HOUR, Ordering::SeqCst);
    assert_eq!(met(&interceptor).await.unwrap(), first);
    // Some hours are left of it.
    clock.store(18 * HOUR, Ordering::SeqCst);
    let second = met(&interceptor).await.unwrap();
    assert_ne!(second, first);
    for day in 2..30 {
        clock.store(day * 24 * HOUR, Ordering::SeqCst);
        assert_ne!(met(&interceptor).await.unwrap(), second, "day {day}");
    }
    // A clock that is set back doesn't leave one that isn't right yet.
    clock.store(HOUR, Ordering::SeqCst);
    assert!(met(&interceptor).await.is_some());
    clock.store(31 * 24 * HOUR, Ordering::SeqCst);
    assert_eq!(met(&interceptor).await, None);
}
