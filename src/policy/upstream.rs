//! The proxy outside that connections go through, as a company's network wants it. Its password is held here and shown
//! nowhere: neither printed nor serialised.

use super::{Name, NameError};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// Longest user name or password in bytes, and longest URL.
const PART_MAX: usize = 255;

/// Which proxy outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamProxy {
    /// What the user's own variables say (`HTTPS_PROXY`, `http_proxy`, `ALL_PROXY`, `NO_PROXY`).
    #[default]
    Environment,
    /// None, whatever they say.
    None,
    /// This one; `NO_PROXY` still makes exceptions.
    At(ProxyUrl),
    /// The one whose URL is in this variable.
    Variable(String),
    /// The one whose URL is the first line of this file.
    File(PathBuf),
}

/// `http[s]://[user[:password]@]host[:port]`.
///
/// Serialised it has no credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyUrl {
    /// Whether it is spoken to in TLS.
    pub tls: bool,
    /// Where it is.
    pub host: ProxyHost,
    /// Its port.
    pub port: u16,
    /// Who asks.
    pub credentials: Option<Credentials>,
}

/// A proxy's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyHost {
    /// A name, to be looked up.
    Name(Name),
    /// An address.
    Address(IpAddr),
}

/// A user's name and password (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, without a colon.
    user: Vec<u8>,
    /// The password.
    password: Vec<u8>,
}

/// Why a text is no proxy. It holds nothing of the text, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// A kind of proxy that isn't spoken here.
    #[error("a proxy must begin with `http://` or `https://`")]
    Scheme,
    /// No host.
    #[error("a proxy needs a host: {0}")]
    Host(NameError),
    /// No port.
    #[error("the port of a proxy must be 1 to 65535")]
    Port,
    /// More than host and port.
    #[error("a proxy has no path: write `http://host:port`")]
    Path,
    /// A user name or password that can't be sent.
    #[error(
        "the user name or password of a proxy is too long, or has a control character, or `%` without two digits"
    )]
    Credentials,
    /// A variable's name.
    #[error("`env:` needs the name of a variable")]
    Variable,
    /// A file's path.
    #[error("`file:` needs an absolute path, or one that begins with `~/`")]
    File,
}

impl Credentials {
    /// The value of `Proxy-Authorization` (RFC 7617 2).
    #[must_use]
    pub fn basic(&self) -> String {
        let mut pair = self.user.clone();
        pair.push(b':');
        pair.extend_from_slice(&self.password);
        format!("Basic {}", base64(&pair))
    }

    fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let part = |text: &str| {
            decoded(text)
                .filter(|bytes| bytes.len() <= PART_MAX && !bytes.iter().any(u8::is_ascii_control))
                .ok_or(ProxyUrlError::Credentials)
        };
        let credentials = Self {
            user: part(user)?,
            password: part(password)?,
        };
        if credentials.user.contains(&b':') {
            // The other end would end the name there.
            return Err(ProxyUrlError::Credentials);
        }
        Ok(credentials)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(…)")
    }
}

/// Percent-decoding (RFC 3986 2.1); `None` for what isn't encoded rightly.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
            out.push(digit(bytes.next()?)? << 4 | digit(bytes.next()?)?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

/// RFC 4648 4. Nothing of it is left elsewhere in memory.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let value = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4_usize {
            let index = usize::try_from(value >> (18 - 6 * place) & 63).unwrap_or(0);
            let digit = DIGITS.get(index).copied().unwrap_or(b'=');
            out.push(char::from(if place > group.len() { b'=' } else { digit }));
        }
    }
    out
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyUrlError::Scheme)?;
        let tls = if scheme.eq_ignore_ascii_case("http") {
            false
        } else if scheme.eq_ignore_ascii_case("https") {
            true
        } else {
            return Err(ProxyUrlError::Scheme);
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(ProxyUrlError::Path);
        }
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(Credentials::parse(credentials)?), place),
            None => (None, rest),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest
                    .split_once(']')
                    .ok_or(ProxyUrlError::Host(NameError::Empty))?;
                let port = rest.strip_prefix(':').or(rest.is_empty().then_some(""));
                (host, port.ok_or(ProxyUrlError::Port)?)
            }
            None => place.split_once(':').unwrap_or((place, "")),
        };
        let port = match port {
            "" if tls => 443,
            "" => 80,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(ProxyUrlError::Port)?,
            _ => return Err(ProxyUrlError::Port),
        };
        let host = match host.parse::<IpAddr>() {
            Ok(address) => ProxyHost::Address(address.to_canonical()),
            Err(_) => ProxyHost::Name(host.parse().map_err(ProxyUrlError::Host)?),
        };
        Ok(Self {
            tls,
            host,
            port,
            credentials,
        })
    }
}

impl TryFrom<String> for ProxyUrl {
    type Error = ProxyUrlError;
    fn try_from(text: String) -> Result<Self, ProxyUrlError> {
        text.parse()
    }
}

impl From<ProxyUrl> for String {
    fn from(url: ProxyUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for ProxyHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(formatter),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => address.fmt(formatter),
        }
    }
}

/// Without the credentials.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl FromStr for UpstreamProxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        if text == "none" {
            return Ok(Self::None);
        }
        if text == "environment" {
            return Ok(Self::Environment);
        }
        if let Some(name) = text.strip_prefix("env:") {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if is_name {
                Ok(Self::Variable(name.to_owned()))
            } else {
                Err(ProxyUrlError::Variable)
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.starts_with('/') || path.starts_with("~/") {
                Ok(Self::File(path.into()))
            } else {
                Err(ProxyUrlError::File)
            };
        }
        text.parse().map(Self::At)
    }
}

/// As in a configuration, without credentials.
impl fmt::Display for UpstreamProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => formatter.write_str("environment"),
            Self::None => formatter.write_str("none"),
            Self::At(url) => url.fmt(formatter),
            Self::Variable(name) => write!(formatter, "env:{name}"),
            Self::File(path) => write!(formatter, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, shown) in [
            ("http://proxy.test:3128", "http://proxy.test:3128"),
            ("HTTP://Proxy.Test.:8080/", "http://proxy.test:8080"),
            ("https://proxy.test", "https://proxy.test:443"),
            ("http://proxy", "http://proxy:80"),
            ("http://u:p@10.0.0.1:1", "http://10.0.0.1:1"),
            ("http://[::1]:3128", "http://[::1]:3128"),
            ("http://u@[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(text.parse::<ProxyUrl>().unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "proxy.test:3128",
            "socks5://proxy.test",
            "http://",
            "http://:1",
            "http://a b",
            "http://proxy.test:0",
            "http://proxy.test:70000",
            "http://proxy.test:+1",
            "http://proxy.test/x",
            "http://u:%zz@proxy.test",
            "http://u:%0d%0aX@proxy.test",
            "http://u%3ax:p@proxy.test",
            "http://[::1",
            "http://[::1]x",
        ] {
            assert!(text.parse::<ProxyUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_password_is_sent_and_never_shown() {
        let url: ProxyUrl = "http://us%65r:p%40ss%3aword@proxy.test:3128".parse().unwrap();
        let basic = url.credentials.as_ref().unwrap().basic();
        assert_eq!(basic, "Basic dXNlcjpwQHNzOndvcmQ=");
        let policy = UpstreamProxy::At(url.clone());
        for shown in [
            format!("{url} {url:?} {policy} {policy:?}"),
            serde_json::to_string(&policy).unwrap(),
        ] {
            assert!(!shown.contains("word") && !shown.contains("user"), "{shown}");
        }
        // What is wrong isn't shown either.
        let error = "http://user:pass%@word".parse::<ProxyUrl>().unwrap_err();
        assert!(!error.to_string().contains("pass%"), "{error}");
    }

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn references() {
        for (text, wanted) in [
            ("none", Some(UpstreamProxy::None)),
            ("environment", Some(UpstreamProxy::Environment)),
            (
                "env:CORP_PROXY",
                Some(UpstreamProxy::Variable("CORP_PROXY".into())),
            ),
            ("file:~/proxy", Some(UpstreamProxy::File("~/proxy".into()))),
            ("env:", None),
            ("env:A-B", None),
            ("file:proxy", None),
        ] {
            assert_eq!(text.parse::<UpstreamProxy>().ok(), wanted, "{text}");
        }
    }
}
