//! Host patterns: `host`, `*.host` (sub-domains), `**.host` (with the apex), `*` (any), each with an optional port; and
//! patterns of requests to such hosts, `[METHOD[,METHOD]] http[s]://host[:port]/path` (`super::request`).

use super::request::{Method, RequestsError};
use super::request_path::RequestPath;
use super::{HostOptions, Name, NameError, Origin, Requests, Scheme};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// Ports that a pattern without one stands for: HTTP and HTTPS, and SSH on git hosts is written out.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// Which hosts and ports a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    hosts: Hosts,
    port: Port,
    /// Which requests; `None` for the hosts as a whole.
    requests: Option<Requests>,
}

/// Whom a connection or a request goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Host {
    /// A name.
    Name(Name),
    /// An address that no name stands behind.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "{name}"),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Hosts {
    Any,
    Exactly(Name),
    Below(Name),
    BelowAndApex(Name),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Port {
    Web,
    Any,
    Exactly(u16),
}

/// Why a text is not a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// The name part.
    #[error("`{text}` is not a host pattern: {cause}")]
    Name {
        /// As written.
        text: String,
        /// What is wrong with the name.
        cause: NameError,
    },
    /// The port part.
    #[error("`{0}`: the port must be 1 to 65535 or `*`")]
    Port(String),
    /// A URL where a host was wanted.
    #[error(
        "`{0}` is a URL: write the host alone, as `example.com:443`, or which requests, as `GET https://example.com/path/**`"
    )]
    Url(String),
    /// Requests that aren't.
    #[error("`{text}` is no rule on requests: {cause}")]
    Requests {
        /// As written.
        text: String,
        /// What is wrong with them.
        cause: RequestsError,
    },
}

/// A pattern with its effect and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRule {
    /// Which hosts.
    pub pattern: HostPattern,
    /// Allowed or denied; a deny wins over every allow.
    pub allow: bool,
    /// Denials by this rule are expected (telemetry): they are logged but don't count as news for the user.
    pub quiet: bool,
    /// What it says besides; the default for a deny.
    #[serde(default)]
    pub options: HostOptions,
    /// Where it was written.
    pub origin: Origin,
}

impl HostPattern {
    /// Which requests are meant; `None` where it means its hosts as a whole.
    #[must_use]
    pub const fn requests(&self) -> Option<&Requests> {
        self.requests.as_ref()
    }

    /// The pattern that means one request; `None` for port 0, which nobody can mean.
    #[must_use]
    pub fn of_request(
        host: &Host,
        port: u16,
        scheme: Scheme,
        method: &Method,
        path: &RequestPath,
    ) -> Option<Self> {
        let hosts = match host {
            Host::Name(name) => Hosts::Exactly(name.clone()),
            Host::Address(address) => Hosts::Address(address.to_canonical()),
        };
        (port > 0).then(|| Self {
            hosts,
            port: Port::Exactly(port),
            requests: Some(Requests::exactly(scheme, method.clone(), path)),
        })
    }

    /// Whether a rule on requests has a say about what goes to that host at that port. What is written for one of the
    /// web's two ports has it for both: a host that is known by its requests has no other way in beside them.
    #[must_use]
    pub fn concerns(&self, host: &Host, port: u16) -> bool {
        let web = self.listed_port().is_some_and(|own| DEFAULT_PORTS.contains(&own));
        self.requests.is_some()
            && self.has_host(host)
            && (self.has_port(port, false) || (web && DEFAULT_PORTS.contains(&port)))
    }

    /// Whether a connection to `name` at `port` is meant. Without a port in the pattern 80 and 443 are meant for an
    /// allow; for a deny every port is (`any_port`), so that a deny never is narrower than it looks. Which requests are
    /// meant is another question.
    #[must_use]
    pub fn matches_name(&self, name: &Name, port: u16, any_port: bool) -> bool {
        self.has_port(port, any_port) && self.has_name(name)
    }

    /// Whether an address that no name stands behind is meant. `*` means names only: an address must be written out.
    #[must_use]
    pub fn matches_address(&self, address: IpAddr, port: u16, any_port: bool) -> bool {
        let here = match &self.hosts {
            Hosts::Address(own) => *own == address.to_canonical(),
            Hosts::Any => any_port,
            Hosts::Exactly(_) | Hosts::Below(_) | Hosts::BelowAndApex(_) => false,
        };
        here && self.has_port(port, any_port)
    }

    /// Whether the name is meant, whatever the port: what a DNS question is judged by.
    #[must_use]
    pub fn has_name(&self, name: &Name) -> bool {
        match &self.hosts {
            Hosts::Any => true,
            Hosts::Exactly(own) => own == name,
            Hosts::Below(own) => name.is_below(own),
            Hosts::BelowAndApex(own) => own == name || name.is_below(own),
            Hosts::Address(_) => false,
        }
    }

    /// The same of a host, which for `*` is also an address.
    #[must_use]
    pub fn has_host(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => self.has_name(name),
            Host::Address(address) => {
                matches!(self.hosts, Hosts::Any) || self.hosts == Hosts::Address(address.to_canonical())
            }
        }
    }

    /// Whether the name or address that is written in `other` is the one that is written here, or a name beneath it; of
    /// everything, where this is `*`.
    #[must_use]
    pub fn is_above(&self, other: &Self) -> bool {
        match (self.apex(), other.apex()) {
            (Some(own), Some(name)) => own == name || name.is_below(own),
            (None, _) | (_, None) => {
                self.is_any() || (self.address().is_some() && self.address() == other.address())
            }
        }
    }

    /// The address that is written in it.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match self.hosts {
            Hosts::Address(address) => Some(address),
            Hosts::Any | Hosts::Exactly(_) | Hosts::Below(_) | Hosts::BelowAndApex(_) => None,
        }
    }

    /// Whether it is `*`, which names no host.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        matches!(self.hosts, Hosts::Any)
    }

    /// Whether every name that `other` means is meant here too, as a whole, whatever the ports.
    #[must_use]
    pub fn covers_hosts(&self, other: &Self) -> bool {
        if self.requests.is_some() {
            return false;
        }
        match (&self.hosts, &other.hosts) {
            (Hosts::Any, Hosts::Address(_)) => false,
            (Hosts::Any, _) => true,
            (_, Hosts::Exactly(name)) => self.has_name(name),
            (Hosts::Below(own), Hosts::Below(name)) => own == name || name.is_below(own),
            (Hosts::Below(own), Hosts::BelowAndApex(name)) => name.is_below(own),
            (Hosts::BelowAndApex(own), Hosts::Below(name) | Hosts::BelowAndApex(name)) => {
                own == name || name.is_below(own)
            }
            (own, other) => own == other,
        }
    }

    /// The same hosts as a whole at one port; at the web's without one.
    #[must_use]
    pub fn for_port(&self, port: Option<u16>) -> Self {
        Self {
            hosts: self.hosts.clone(),
            port: port.map_or(Port::Web, Port::Exactly),
            requests: None,
        }
    }

    /// The name that is written in it, without `*.` or `**.`.
    #[must_use]
    pub const fn apex(&self) -> Option<&Name> {
        match &self.hosts {
            Hosts::Exactly(name) | Hosts::Below(name) | Hosts::BelowAndApex(name) => Some(name),
            Hosts::Any | Hosts::Address(_) => None,
        }
    }

    /// Ports that the pattern names one by one; what listeners the `ports` capture needs.
    #[must_use]
    pub fn listed_port(&self) -> Option<u16> {
        match self.port {
            Port::Exactly(port) => Some(port),
            Port::Web | Port::Any => None,
        }
    }

    fn has_port(&self, port: u16, any_port: bool) -> bool {
        match self.port {
            Port::Any => true,
            Port::Exactly(own) => own == port,
            Port::Web => any_port || DEFAULT_PORTS.contains(&port),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        if text.contains("://") {
            return of_requests(text);
        }
        if text.contains('/') {
            return Err(HostPatternError::Url(text.to_owned()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self {
                hosts: Hosts::Address(address.to_canonical()),
                port: Port::Web,
                requests: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, Port::Web),
            // The colons of an address.
            Some(_) if text.ends_with(']') => (text, Port::Web),
            Some((host, "*")) => (host, Port::Any),
            Some((host, digits)) => match digits.parse::<u16>() {
                Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                    (host, Port::Exactly(port))
                }
                _ => return Err(HostPatternError::Port(text.to_owned())),
            },
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self {
                hosts: Hosts::Address(address.to_canonical()),
                port,
                requests: None,
            });
        }
        let name = |text: &str| text.parse::<Name>();
        let hosts = if host == "*" {
            Ok(Hosts::Any)
        } else if let Some(apex) = host.strip_prefix("**.") {
            name(apex).map(Hosts::BelowAndApex)
        } else if let Some(apex) = host.strip_prefix("*.") {
            name(apex).map(Hosts::Below)
        } else {
            name(host).map(Hosts::Exactly)
        };
        match hosts {
            Ok(hosts) => Ok(Self {
                hosts,
                port,
                requests: None,
            }),
            Err(cause) => Err(HostPatternError::Name {
                text: text.to_owned(),
                cause,
            }),
        }
    }
}

/// `[METHOD[,METHOD]] http[s]://host[:port]/path`. A URL alone that names no path more likely means its host.
fn of_requests(text: &str) -> Result<HostPattern, HostPatternError> {
    let url = || HostPatternError::Url(text.to_owned());
    let (methods, rest) = text.split_once(' ').unwrap_or(("", text));
    let (scheme, rest) = match rest.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(_) | None => return Err(url()),
    };
    let at = rest.find('/').ok_or_else(url)?;
    let (host, path) = rest.split_at_checked(at).ok_or_else(url)?;
    if methods.is_empty() && path == "/" {
        return Err(url());
    }
    let host: HostPattern = host.parse()?;
    let requests = Requests::parse(scheme, methods, path).map_err(|cause| HostPatternError::Requests {
        text: text.to_owned(),
        cause,
    })?;
    Ok(HostPattern {
        port: match host.port {
            Port::Web => Port::Exactly(scheme.port()),
            port @ (Port::Any | Port::Exactly(_)) => port,
        },
        hosts: host.hosts,
        requests: Some(requests),
    })
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(requests) = &self.requests {
            write!(formatter, "{}{}://", requests.prefix(), requests.scheme().word())?;
        }
        match &self.hosts {
            Hosts::Any => write!(formatter, "*")?,
            Hosts::Exactly(name) => write!(formatter, "{name}")?,
            Hosts::Below(name) => write!(formatter, "*.{name}")?,
            Hosts::BelowAndApex(name) => write!(formatter, "**.{name}")?,
            Hosts::Address(IpAddr::V6(address)) if self.port != Port::Web => {
                write!(formatter, "[{address}]")?;
            }
            Hosts::Address(address) => write!(formatter, "{address}")?,
        }
        let usual = self.requests.as_ref().map(|requests| requests.scheme().port());
        match self.port {
            Port::Web => {}
            Port::Any => write!(formatter, ":*")?,
            Port::Exactly(port) if Some(port) == usual => {}
            Port::Exactly(port) => write!(formatter, ":{port}")?,
        }
        match &self.requests {
            Some(requests) => write!(formatter, "{}", requests.path()),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;
    fn try_from(text: String) -> Result<Self, HostPatternError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str, port: u16) -> bool {
        pattern
            .parse::<HostPattern>()
            .unwrap()
            .matches_name(&name.parse().unwrap(), port, false)
    }

    #[test]
    fn n04_subdomain_patterns() {
        assert!(matches("*.github.com", "api.github.com", 443));
        assert!(!matches("*.github.com", "github.com", 443));
        assert!(!matches("*.github.com", "evilgithub.com", 443));
        assert!(matches("**.github.com", "github.com", 443));
        assert!(!matches("**.github.com", "evilgithub.com", 443));
    }

    #[test]
    fn n07_n18_ports() {
        assert!(matches("a.test", "a.test", 80));
        assert!(!matches("a.test", "a.test", 25));
        assert!(!matches("a.test:443", "a.test", 80));
        assert!(matches("a.test:*", "a.test", 25));
    }

    #[test]
    fn covering() {
        let covers = |a: &str, b: &str| {
            a.parse::<HostPattern>()
                .unwrap()
                .covers_hosts(&b.parse().unwrap())
        };
        for (wide, narrow) in [
            ("*", "**.a.test"),
            ("**.a.test", "*.a.test"),
            ("*.a.test", "**.b.a.test"),
            ("*.a.test", "b.a.test:1"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
            assert!(!covers(narrow, wide), "{narrow} {wide}");
        }
        assert!(!covers("*", "127.0.0.1"));
        assert!(!covers("*.a.test", "**.a.test"));
    }

    #[test]
    fn requests_concern_both_ports_of_the_web() {
        let host = Host::Name("a.test".parse().unwrap());
        for (pattern, ports) in [
            ("https://a.test/x", &[80, 443][..]),
            ("http://*/x", &[80, 443]),
            ("https://a.test:8443/x", &[8443]),
            ("https://a.test:*/x", &[22, 80, 443, 8443]),
            ("https://*.a.test/x", &[]),
            ("a.test", &[]),
        ] {
            let pattern: HostPattern = pattern.parse().unwrap();
            let concerned = [22, 80, 443, 8443]
                .into_iter()
                .filter(|port| pattern.concerns(&host, *port));
            assert_eq!(concerned.collect::<Vec<_>>(), ports, "{pattern}");
        }
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        for text in [
            "",
            "https://a.test",
            "a.test:0",
            "a.test:70000",
            "a.test:+1",
            "*a.test",
            "a.*.test",
            "a test",
            "https://a.test/",
            "GET https://a.test",
            "GET ftp://a.test/x",
            "get https://a.test/x",
            "GET, PUT https://a.test/x",
            "GET  https://a.test/x",
            "https://u@a.test/x",
            "https://a.test/x?y",
            "https://a.test/x#y",
            "https://a.test/../x",
            "https:///x",
            "https://a.test:0/x",
            "GET a.test",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn shown_as_read() {
        for text in [
            "*",
            "a.test",
            "*.a.test:22",
            "**.a.test:*",
            "127.0.0.1:80",
            "[::1]:80",
            "::1",
            "https://a.test/x",
            "GET https://a.test/",
            "GET,PUT https://*.a.test:8443/x/**",
            "http://**.a.test:443/*/y",
            "https://a.test:*/x",
            "GET https://[::1]/x",
            "GET https://1.2.3.4:80/x",
            "GET https://*/**",
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }
}
