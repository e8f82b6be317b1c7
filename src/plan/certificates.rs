//! What of the view makes programs trust the session's own authority, where rules need TLS to be looked into. The plan
//! says where; what is in the files comes when the run starts, since it is made for each run ([`Step`]s hold it then).

use super::Entry;
use super::linux::{StagePlan, Step};
use crate::policy::{HostRule, NetworkPreset, Policy, Scheme};
use std::path::{Path, PathBuf};

/// Files of the run's own.
const BUNDLE: &str = "/run/aca/certificates.pem";
const EXTRA: &str = "/run/aca/authority.pem";

/// Where systems keep what they trust, as a file that is no link; those that aren't there are passed over.
const SYSTEM: [&str; 8] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The same for Java, which reads no PEM.
const JAVA: [&str; 3] = [
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
    "/var/lib/ca-certificates/java-cacerts",
];
/// Variables that name a file with all that is trusted.
const INSTEAD: [&str; 13] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NPM_CONFIG_CAFILE",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NIX_SSL_CERT_FILE",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "BUNDLE_SSL_CA_CERT",
];
/// Variables that name a file with what is trusted besides.
const BESIDES: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All that is trusted, PEM.
    Bundle,
    /// The authority and what the user's variables name, PEM.
    Extra,
    /// All that is trusted, PKCS#12.
    Java,
}

impl Form {
    const ALL: [Self; 3] = [Self::Bundle, Self::Extra, Self::Java];

    /// What stands in the plan for it.
    fn placeholder(self) -> Vec<u8> {
        let word = match self {
            Self::Bundle => "all that is trusted",
            Self::Extra => "the session's authority, and what the user trusts besides",
            Self::Java => "all that is trusted, for Java",
        };
        format!("# put here when the run starts: {word}\n").into_bytes()
    }
}

/// Whether a run has to look into TLS.
#[must_use]
pub fn looks_into_tls(policy: &Policy) -> bool {
    let repositories = policy.git.https_places().next().is_some();
    policy.network.preset != NetworkPreset::None && (repositories || policy.network.rules.iter().any(needs))
}

/// Whether a rule is about requests in TLS. One that denies requests has a say about both schemes.
fn needs(rule: &HostRule) -> bool {
    let scheme = rule.pattern.requests().map(crate::policy::Requests::scheme);
    scheme.is_some_and(|scheme| !rule.allow || scheme == Scheme::Https)
}

/// Adds the files.
pub(super) fn add(entries: &mut Vec<Entry>) {
    entries.push(Entry::Directory {
        at: "/run/aca".into(),
        mode: 0o755,
    });
    for (at, form) in [(BUNDLE, Form::Bundle), (EXTRA, Form::Extra)] {
        entries.push(Entry::File {
            at: at.into(),
            content: form.placeholder(),
            mode: 0o444,
        });
    }
    let covered = SYSTEM.iter().map(|at| (*at, Form::Bundle));
    for (at, form) in covered.chain(JAVA.iter().map(|at| (*at, Form::Java))) {
        entries.push(Entry::Cover {
            at: PathBuf::from(at),
            content: form.placeholder(),
            writable: false,
            why: "what programs trust, and the authority of this run besides: rules ask for requests in TLS, or name repositories over https"
                .into(),
        });
    }
}

/// The variables by which programs find them.
pub(super) fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    let instead = INSTEAD.iter().map(|name| (*name, BUNDLE));
    instead.chain(BESIDES.iter().map(|name| (*name, EXTRA)))
}

impl StagePlan {
    /// Puts certificates where the plan has places for them.
    pub fn supply(&mut self, content: impl Fn(Form) -> Vec<u8>) {
        for step in &mut self.view {
            if let Step::File {
                at, content: held, ..
            }
            | Step::Cover {
                at, content: held, ..
            } = step
                && is_place(at)
                && let Some(form) = Form::ALL.into_iter().find(|form| *held == form.placeholder())
            {
                *held = content(form);
            }
        }
    }
}

fn is_place(at: &Path) -> bool {
    [BUNDLE, EXTRA]
        .iter()
        .chain(&SYSTEM)
        .chain(&JAVA)
        .any(|place| Path::new(place) == at)
}
