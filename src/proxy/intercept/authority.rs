//! The session's own certificate authority: its key lives in this process's memory alone and ends with it.

use crate::policy::{Host, HostPattern};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Before now, for clocks that differ a little.
const BEFORE: Duration = Duration::from_secs(10 * 60);
/// From then on. A session may stay open for weeks, and what trusts the authority is made once, when it begins.
const VALID: Duration = Duration::from_secs(30 * 24 * 3600);
/// The same for one host's: clients meet a new one while a session lasts.
const LEAF_VALID: Duration = Duration::from_secs(24 * 3600);
/// Before its end a certificate is made anew, so that no client meets one that is about to end.
const RENEWED: Duration = Duration::from_secs(6 * 3600);

/// Tells the time: a test turns it by hand.
pub(super) type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// A host's certificate with its key.
pub(super) struct Leaf {
    /// For the handshake.
    pub(super) certified: CertifiedKey,
    /// When it is shown: from then, and until another should be made.
    pub(super) shown: Range<SystemTime>,
}

/// The authority. Leaves share one key, which isn't its own.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    certificate: CertificateDer<'static>,
    pem: String,
    validity: (SystemTime, SystemTime),
    clock: Clock,
    serial: AtomicU64,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// It could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The key isn't taken.
    #[error("cannot use a key")]
    Key(#[from] rustls::Error),
}

impl Authority {
    /// Makes one that can vouch for what `patterns` mean and nothing else, where they name hosts.
    pub(super) fn new(patterns: &[&HostPattern], clock: Clock) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let begin = clock() - BEFORE;
        let validity = (begin, begin + VALID);
        let mut params = CertificateParams::default();
        // A store that outlives the session must not take one session's for another's.
        let number: String = key
            .public_key_raw()
            .iter()
            .skip(1)
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("aca session {number}"));
        (params.not_before, params.not_after) = (validity.0.into(), validity.1.into());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.name_constraints = constraints(patterns);
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            leaf_key,
            validity,
            clock,
            serial: AtomicU64::new(2),
        })
    }

    /// Its certificate, PEM.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// The same, DER.
    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The time.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// A certificate for exactly that host, from now on and never beyond the authority's own.
    pub(super) fn leaf(&self, host: &Host) -> Result<Leaf, AuthorityError> {
        let (first, last) = self.validity;
        let begin = (self.now() - BEFORE).clamp(first, last);
        let end = (begin + LEAF_VALID).min(last);
        let mut params = CertificateParams::default();
        let (name, text) = match host {
            Host::Name(name) => (SanType::DnsName(name.as_str().try_into()?), name.to_string()),
            Host::Address(address) => (SanType::IpAddress(*address), address.to_string()),
        };
        // A common name has at most 64 characters (RFC 5280, ub-common-name); nobody reads it.
        let short: String = text.chars().take(64).collect();
        params.distinguished_name.push(DnType::CommonName, short);
        params.subject_alt_names = vec![name];
        (params.not_before, params.not_after) = (begin.into(), end.into());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(self.serial.fetch_add(1, Ordering::Relaxed)));
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()));
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&key)?;
        Ok(Leaf {
            certified: CertifiedKey::new(vec![certificate.der().clone()], key),
            shown: begin..end - RENEWED,
        })
    }
}

/// The hosts that it may vouch for (RFC 5280 4.2.1.10); none where a pattern means any.
fn constraints(patterns: &[&HostPattern]) -> Option<NameConstraints> {
    if patterns.iter().any(|pattern| pattern.is_any()) {
        return None;
    }
    let mut permitted: Vec<GeneralSubtree> = patterns
        .iter()
        .filter_map(|pattern| pattern.apex())
        .map(|name| GeneralSubtree::DnsName(name.to_string()))
        .collect();
    let names = !permitted.is_empty();
    let addresses: Vec<IpAddr> = patterns.iter().filter_map(|pattern| pattern.address()).collect();
    permitted.extend(addresses.iter().map(|address| {
        GeneralSubtree::IpAddress(match address {
            IpAddr::V4(address) => CidrSubnet::V4(address.octets(), [255; 4]),
            IpAddr::V6(address) => CidrSubnet::V6(address.octets(), [255; 16]),
        })
    }));
    // A kind of name that no constraint speaks of is free.
    let mut excluded = Vec::new();
    if !addresses.iter().any(IpAddr::is_ipv4) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])));
    }
    if !addresses.iter().any(IpAddr::is_ipv6) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])));
    }
    if !names {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    Some(NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: excluded,
    })
}
