//! Requests as they go outside: none of their fields is one of the client's as it came.

use super::super::body::Sent;
use super::super::exchange::Outgoing;
use super::route::Step;
use crate::broker::Credential;
use crate::proxy::judge::Judge;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Uri};
use zeroize::Zeroizing;

/// Which version of the protocol is spoken (gitprotocol-http(5)).
const PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");
/// Longest name of a program.
const AGENT_MAX: usize = 128;

/// What is kept of a client's fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    protocol: Option<&'static str>,
    agent: Option<HeaderValue>,
    /// Its body is packed (RFC 9110 8.4.1.3).
    gzip: bool,
}

impl Fields {
    /// Those of a request of ours.
    pub(super) fn of_version_2() -> Self {
        Self {
            protocol: Some("version=2"),
            ..Self::default()
        }
    }

    /// Whether the body is packed.
    pub(super) const fn is_packed(&self) -> bool {
        self.gzip
    }

    /// The same with a body that isn't packed.
    pub(super) fn unpacked(&self) -> Self {
        Self {
            gzip: false,
            ..self.clone()
        }
    }

    /// Reads them.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let one = |name: &HeaderName| {
            let mut all = headers.get_all(name).iter();
            all.next().filter(|_| all.next().is_none())
        };
        let protocols = ["version=0", "version=1", "version=2"];
        let asked = one(&PROTOCOL).map(HeaderValue::as_bytes);
        let is_plain = |agent: &&HeaderValue| {
            let bytes = agent.as_bytes();
            bytes.len() <= AGENT_MAX && bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        };
        Self {
            protocol: protocols
                .into_iter()
                .find(|known| asked == Some(known.as_bytes())),
            agent: one(&USER_AGENT).filter(is_plain).cloned(),
            gzip: one(&CONTENT_ENCODING).is_some_and(|value| value.as_bytes() == b"gzip"),
        }
    }
}

/// Writes a request for a target in origin form.
pub(super) fn request(
    judge: &Judge,
    outgoing: &Outgoing,
    step: Step,
    target: &str,
    fields: &Fields,
    credential: Option<&Credential>,
    body: Sent,
) -> Result<Request<Sent>, hyper::http::Error> {
    let service = target.rsplit(['/', '=']).next().unwrap_or_default();
    let mut builder = Request::builder().header(ACCEPT_ENCODING, "identity");
    builder = match step {
        Step::Refs => builder.method(Method::GET).header(ACCEPT, "*/*"),
        Step::Call => builder
            .method(Method::POST)
            .header(CONTENT_TYPE, format!("application/x-{service}-request"))
            .header(ACCEPT, format!("application/x-{service}-result")),
    };
    builder = match outgoing.is_http2() {
        true => {
            let uri = Uri::builder().scheme("https").authority(judge.authority());
            builder.uri(uri.path_and_query(target).build()?)
        }
        false => builder
            .uri(Uri::builder().path_and_query(target).build()?)
            .header(HOST, judge.authority()),
    };
    if let Some(protocol) = fields.protocol {
        builder = builder.header(PROTOCOL, protocol);
    }
    if let Some(agent) = &fields.agent {
        builder = builder.header(USER_AGENT, agent.clone());
    }
    if fields.gzip && step == Step::Call {
        builder = builder.header(CONTENT_ENCODING, "gzip");
    }
    if let Some(credential) = credential {
        builder = builder.header(AUTHORIZATION, authorization(credential.basic())?);
    }
    builder.body(body)
}

/// A value that isn't shown, that HTTP/2 never puts into a table of fields (RFC 7541 7.1.3), and that is overwritten when
/// the last who holds it lets it go.
///
/// Copies of it that can't be overwritten stay: the HTTP library's buffer of what it writes, and the TLS library's, for as
/// long as their connection has those, and where the allocator puts nothing else there afterwards. Neither library has a
/// way to give it memory. What keeps them from others is that this process can't be looked into (`crate::broker`), and that
/// the connection is the repository's own and ends with the client's.
fn authorization(value: Zeroizing<Vec<u8>>) -> Result<HeaderValue, hyper::http::Error> {
    let bytes = Bytes::from_owner(Wiped(value));
    let mut value = HeaderValue::from_maybe_shared(bytes)?;
    value.set_sensitive(true);
    Ok(value)
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What went wrong with the server, in words.
pub(super) fn why(error: &hyper::Error) -> String {
    let mut text = format!("the server can't be asked: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_clients_fields_little_is_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("git-protocol", "version=2"),
            ("user-agent", "git/2.47"),
            ("content-encoding", "gzip"),
            ("authorization", "Basic x"),
            ("cookie", "a=b"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let fields = Fields::of(&headers);
        assert_eq!((fields.protocol, fields.gzip), (Some("version=2"), true));
        assert_eq!(fields.agent.unwrap(), "git/2.47");
        headers.append("git-protocol", HeaderValue::from_static("version=1"));
        headers.insert("user-agent", HeaderValue::from_bytes(b"a\xff").unwrap());
        headers.insert("content-encoding", HeaderValue::from_static("gzip, br"));
        let fields = Fields::of(&headers);
        assert!(fields.protocol.is_none() && fields.agent.is_none() && !fields.gzip);
    }

    #[test]
    fn who_asks_is_not_shown() {
        let value = authorization(Zeroizing::new(b"Basic czNjcjN0".to_vec())).unwrap();
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert_eq!(value.as_bytes(), b"Basic czNjcjN0");
    }
}
