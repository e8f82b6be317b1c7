//! The proxy outside, where there is one: a company's network lets nothing out by another way. It is chosen by the
//! configuration or by the user's own variables, as programs outside choose it.
//!
//! What goes through it was judged before as anything else. Names are looked up here all the same, where they can be,
//! and one that leads to an address that isn't public is refused; where they can't be, the proxy is trusted to know where
//! it goes, and the connection's event says so. It may look up something else than was seen here: that can't be known.

mod exceptions;
mod tls;
mod tunnel;

pub(super) use tls::Used;
#[cfg(fuzzing)]
pub(super) use tunnel::status;
pub(super) use tunnel::{connect, unauthorized};

use super::gate::Target;
use crate::policy::{ProxyUrl, ProxyUrlError, UpstreamProxy};
use exceptions::Exceptions;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tokio::net::TcpStream;

/// Most bytes of a file that holds a URL.
const FILE_MAX: u64 = 4096;

/// Which connections go through which proxy.
#[derive(Debug, Default)]
pub struct Upstream {
    tls: Setting,
    http: Setting,
    other: Setting,
    exceptions: Exceptions,
    trusted: tls::Trusted,
}

/// A proxy; `Err` where one is wanted that can't be used.
type Setting = Option<Result<ProxyUrl, String>>;

/// Why there is no proxy though one is wanted.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The variable isn't set.
    #[error("`network.upstream_proxy` names the variable {0}, which is not set")]
    Unset(String),
    /// The file can't be read.
    #[error("`network.upstream_proxy` names {}, which can't be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is there is no proxy.
    #[error("`network.upstream_proxy` names {place}, which holds no proxy")]
    Url {
        /// A variable, or a file.
        place: String,
        /// Why.
        #[source]
        source: ProxyUrlError,
    },
}

/// What is going to be spoken, as far as a choice depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// TLS.
    Tls,
    /// HTTP/1 requests, which a proxy takes one by one.
    Http,
    /// HTTP that needs the connection for itself: WebSocket, HTTP/2.
    HttpTunnel,
    /// Anything else.
    Other,
}

impl Upstream {
    /// By the configuration, or by the user's variables, which are those outside.
    ///
    /// # Errors
    /// What the configuration names isn't there. What is wrong with the user's variables is told when it matters.
    pub fn new(
        wanted: &UpstreamProxy,
        environment: &[(OsString, OsString)],
        home: &Path,
    ) -> Result<Self, UpstreamError> {
        let variable = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let (_, value) = environment.iter().find(|(key, _)| key == OsStr::new(name))?;
                Some((*name, value.to_str()?)).filter(|(_, value)| !value.is_empty())
            })
        };
        let exceptions = Exceptions::parse(variable(&["no_proxy", "NO_PROXY"]).map_or("", |(_, text)| text));
        let one = |url: ProxyUrl| Self {
            tls: Some(Ok(url.clone())),
            http: Some(Ok(url.clone())),
            other: Some(Ok(url)),
            exceptions: exceptions.clone(),
            trusted: tls::Trusted::new(environment),
        };
        let parsed = |place: String, text: &str| {
            let url = url(text);
            url.map_err(|source| UpstreamError::Url { place, source })
        };
        match wanted {
            UpstreamProxy::None => Ok(Self::default()),
            UpstreamProxy::At(url) => Ok(one(url.clone())),
            UpstreamProxy::Variable(name) => {
                let value = environment.iter().find(|(key, _)| key == OsStr::new(name));
                let value = value.and_then(|(_, value)| value.to_str());
                let text = value.ok_or_else(|| UpstreamError::Unset(name.clone()))?;
                parsed(format!("the variable {name}"), text).map(one)
            }
            UpstreamProxy::File(path) => {
                let path = path
                    .strip_prefix("~")
                    .map_or_else(|_| path.clone(), |below| home.join(below));
                let text = first_line(&path).map_err(|source| UpstreamError::File {
                    path: path.clone(),
                    source,
                })?;
                parsed(path.display().to_string(), &text).map(one)
            }
            UpstreamProxy::Environment => {
                let all = ["all_proxy", "ALL_PROXY"];
                let setting = |names: &[&'static str]| -> Setting {
                    let (name, text) = variable(names).or_else(|| variable(&all))?;
                    Some(url(text).map_err(|why| {
                        format!("{name} can't be used: {why}; `network.upstream_proxy` wins over it")
                    }))
                };
                Ok(Self {
                    tls: setting(&["https_proxy", "HTTPS_PROXY"]),
                    // A request's field `Proxy` becomes HTTP_PROXY in CGI programs, so nobody else reads that one.
                    http: setting(&["http_proxy"]),
                    other: setting(&[]),
                    exceptions,
                    trusted: tls::Trusted::new(environment),
                })
            }
        }
    }

    /// Whether a password of the user's is held for one.
    #[must_use]
    pub fn has_password(&self) -> bool {
        let all = [&self.tls, &self.http, &self.other];
        all.iter()
            .any(|setting| matches!(setting, Some(Ok(url)) if url.credentials.is_some()))
    }

    /// The connection to a proxy, in TLS where its URL says so; with what must be kept as long as it is used.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        url: &ProxyUrl,
    ) -> std::io::Result<(TcpStream, Option<Used>)> {
        if url.tls {
            let (stream, used) = self.trusted.secure(stream, url).await?;
            Ok((stream, Some(used)))
        } else {
            Ok((stream, None))
        }
    }

    /// The proxy for a connection; `None` where it goes directly.
    ///
    /// # Errors
    /// Why the one that is wanted can't be used.
    pub(super) fn of(&self, target: &Target, kind: Kind) -> Result<Option<&ProxyUrl>, &str> {
        let setting = match kind {
            Kind::Tls => &self.tls,
            Kind::Http | Kind::HttpTunnel => &self.http,
            Kind::Other => &self.other,
        };
        if self.exceptions.hold(target) {
            return Ok(None);
        }
        match setting {
            None => Ok(None),
            Some(Ok(url)) => Ok(Some(url)),
            Some(Err(why)) => Err(why),
        }
    }
}

/// A URL, or `host:port` as curl takes it.
fn url(text: &str) -> Result<ProxyUrl, ProxyUrlError> {
    let text = text.trim();
    if text.contains("://") {
        text.parse()
    } else {
        format!("http://{text}").parse()
    }
}

fn first_line(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(FILE_MAX)
        .read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let pair = |(name, value): &(&str, &str)| (name.into(), value.into());
        pairs.iter().map(pair).collect()
    }

    fn chosen(pairs: &[(&str, &str)], host: &str, port: u16, kind: Kind) -> String {
        let upstream =
            Upstream::new(&UpstreamProxy::Environment, &environment(pairs), Path::new("/")).unwrap();
        let target = match host.parse() {
            Ok(address) => Target::Address(std::net::SocketAddr::new(address, port)),
            Err(_) => Target::Name(host.parse().unwrap(), port),
        };
        match upstream.of(&target, kind) {
            Ok(url) => url.map_or_else(|| "-".into(), ToString::to_string),
            Err(why) => why.to_owned(),
        }
    }

    #[test]
    fn n27_variables_mean_what_they_mean_outside() {
        let both = [("HTTPS_PROXY", "http://u:p@s.test:1"), ("http_proxy", "h.test:2")];
        let of = |pairs: &[(&str, &str)], kind| chosen(pairs, "a.test", 443, kind);
        assert_eq!(of(&both, Kind::Tls), "http://s.test:1");
        assert_eq!(of(&both, Kind::Http), "http://h.test:2");
        assert_eq!(of(&both, Kind::Other), "-");
        // What a web server's request can set counts for nobody.
        assert_eq!(of(&[("HTTP_PROXY", "http://evil.test:1")], Kind::Http), "-");
        let all = [("ALL_PROXY", "http://all.test:3"), ("https_proxy", "")];
        for kind in [Kind::Tls, Kind::Http, Kind::Other] {
            assert_eq!(of(&all, kind), "http://all.test:3");
        }
        let lower = [
            ("https_proxy", "http://l.test:1"),
            ("HTTPS_PROXY", "http://u.test:1"),
        ];
        assert_eq!(of(&lower, Kind::Tls), "http://l.test:1");
        // One that isn't spoken is no reason to go another way.
        let socks = of(&[("ALL_PROXY", "socks5h://tor.test:9050")], Kind::Tls);
        assert!(socks.starts_with("ALL_PROXY can't be used"), "{socks}");
    }

    #[test]
    fn n27_exceptions_go_directly() {
        for (list, host, port, direct) in [
            ("a.test", "a.test", 443, true),
            ("a.test", "x.a.test", 443, true),
            ("a.test", "xa.test", 443, false),
            (".a.test", "a.test", 443, true),
            (".a.test", "x.a.test", 443, true),
            ("*.a.test", "x.a.test", 443, true),
            ("A.TEST.", "x.a.test", 443, true),
            ("b.test, a.test", "a.test", 443, true),
            ("b.test a.test", "a.test", 443, true),
            ("a.test:8443", "a.test", 443, false),
            ("a.test:8443", "a.test", 8443, true),
            ("*", "a.test", 443, true),
            ("*", "8.8.8.8", 443, true),
            ("8.8.8.0/24", "8.8.8.8", 443, true),
            ("8.8.8.0/24", "8.8.9.8", 443, false),
            ("8.8.8.8", "8.8.8.8", 443, true),
            ("8.8.8.8:80", "8.8.8.8", 443, false),
            ("2600::/12", "2600::1", 443, true),
            ("[2600::1]", "2600::1", 443, true),
            ("[2600::1]:443", "2600::1", 443, true),
            ("2600::1", "2600::1", 443, true),
            ("8", "8.8.8.8", 443, false),
            ("", "a.test", 443, false),
            (",, ,", "a.test", 443, false),
        ] {
            let pairs = [("ALL_PROXY", "http://p.test:1"), ("NO_PROXY", list)];
            let way = chosen(&pairs, host, port, Kind::Tls);
            assert_eq!(way == "-", direct, "{list} {host}:{port}: {way}");
        }
    }

    #[test]
    fn what_the_configuration_names_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("proxy"), "http://u:p@f.test:1\nmore\n").unwrap();
        let pairs = environment(&[
            ("CORP", "https://c.test:2"),
            ("BAD", "ftp://secret"),
            ("HTTPS_PROXY", "http://e.test:3"),
        ]);
        let shown = |text: &str| {
            let upstream = Upstream::new(&text.parse().unwrap(), &pairs, folder.path());
            match upstream {
                Ok(upstream) => {
                    let target = Target::Name("a.test".parse().unwrap(), 443);
                    let url = upstream.of(&target, Kind::Tls).unwrap();
                    url.map_or_else(|| "-".into(), ToString::to_string)
                }
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(shown("none"), "-");
        assert_eq!(shown("environment"), "http://e.test:3");
        assert_eq!(shown("http://u:p@x.test:9"), "http://x.test:9");
        assert_eq!(shown("env:CORP"), "https://c.test:2");
        assert_eq!(shown("file:~/proxy"), "http://f.test:1");
        assert!(shown("env:NONE").contains("not set"));
        assert!(shown("env:BAD").contains("no proxy") && !shown("env:BAD").contains("secret"));
        assert!(shown("file:~/none").contains("can't be read"));
    }
}
