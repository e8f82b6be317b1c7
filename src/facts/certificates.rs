//! The certificates that this machine and its user trust: read only where a run looks into TLS.

use super::Ambient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where systems keep all of them in one file; the first that is there counts.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Variables by which users name more, or others.
const VARIABLES: [&str; 15] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NIX_SSL_CERT_FILE",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "BUNDLE_SSL_CA_CERT",
];
/// Most bytes of one file: the bundles of systems have a quarter of a megabyte.
const FILE_MAX: u64 = 16 << 20;

/// What is trusted outside, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The system's.
    pub system: Vec<CertificateDer<'static>>,
    /// Those that the user's variables name besides.
    pub user: Vec<CertificateDer<'static>>,
}

impl Certificates {
    /// Reads them. A file that isn't there, or holds none, adds nothing: fewer are trusted then.
    #[must_use]
    pub fn read(ambient: &Ambient) -> Self {
        let mut known = HashSet::new();
        let mut new = |paths: &[PathBuf]| {
            let all = paths.iter().flat_map(|path| certificates(path));
            all.filter(|certificate| known.insert(certificate.clone()))
                .collect()
        };
        let bundle = BUNDLES
            .iter()
            .map(PathBuf::from)
            .find(|path| std::fs::metadata(path).is_ok());
        let system = new(bundle.as_slice());
        let named: Vec<PathBuf> = VARIABLES
            .iter()
            .filter_map(|name| ambient.variable(name))
            .map(|value| ambient.directory.join(value))
            .collect();
        let user = new(&named);
        Self { system, user }
    }

    /// All of them as PEM.
    #[must_use]
    pub fn pem(&self) -> Vec<u8> {
        pem(self.system.iter().chain(&self.user))
    }

    /// The user's alone as PEM.
    #[must_use]
    pub fn user_pem(&self) -> Vec<u8> {
        pem(self.user.iter())
    }
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => CertificateDer::pem_slice_iter(&bytes)
            .filter_map(Result::ok)
            .collect(),
        Err(_) => Vec::new(),
    }
}

fn pem<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> Vec<u8> {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = base64(certificate);
        for line in encoded.as_bytes().chunks(64) {
            let _infallible = writeln!(text, "{}", String::from_utf8_lossy(line));
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}

/// RFC 4648 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = (0..3).fold(0_u32, |value, at| {
            value << 8 | chunk.get(at).copied().map_or(0, u32::from)
        });
        for at in 0..4 {
            let index = usize::try_from(value >> (18 - 6 * at) & 63).unwrap_or(0);
            let letter = LETTERS.get(index).copied().unwrap_or(b'=');
            text.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_written_by_others() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes), text);
        }
        let certificate = CertificateDer::from(vec![0x30; 100]);
        let text = pem(std::iter::once(&certificate));
        let read: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .map(Result::unwrap)
            .collect();
        assert_eq!(read, [certificate]);
    }
}
