//! What is asked about: a path, a URL or a host, parsed; where a text could be two things, it is said which it was taken
//! for.

use crate::failure::{Failure, FailureKind};
use crate::policy::{Method, Name, RequestPath, Scheme};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A path inside, absolute; it may hold links and `..`.
    Path(PathBuf),
    /// A host and a port.
    Host(Host),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Which.
    pub(super) to: To,
    /// At which port.
    pub(super) port: u16,
    /// Which request, where a URL says so.
    pub(super) request: Option<Request>,
}

/// A request, as a URL or a method and a URL say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// In TLS or not.
    pub(super) scheme: Scheme,
    /// Its method.
    pub(super) method: Method,
    /// Its path; else why it can't be judged.
    pub(super) path: Result<RequestPath, String>,
    /// Whether a method was typed: else the request is of interest only where rules ask for it.
    pub(super) typed: bool,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// By name.
    Name(Name),
    /// By address, canonical.
    Address(IpAddr),
}

/// What a text was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// Which target.
    pub(super) target: Target,
    /// In one word.
    pub(super) taken_for: &'static str,
    /// What it leaves out.
    pub(super) notes: Vec<String>,
    /// What else it could have been: of interest when it is denied.
    pub(super) doubt: Option<String>,
}

/// The port of HTTPS, for a host without one.
const DEFAULT_PORT: u16 = 443;
/// Ports that schemes stand for (IANA service names).
const SCHEMES: [(&str, u16); 12] = [
    ("http", 80),
    ("https", 443),
    ("ws", 80),
    ("wss", 443),
    ("ssh", 22),
    ("git", 9418),
    ("ftp", 21),
    ("ldap", 389),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("mysql", 3306),
    ("redis", 6379),
];

/// Reads what was typed. A text with a slash, or that names something in the current directory, is a path; one with `://`
/// a URL; any other a host, if it can be one.
pub(super) fn read(text: &OsStr, current: &Path, home: &Path) -> Result<Taken, Failure> {
    let usage = |message: String| Failure::new(FailureKind::Usage, message);
    if text.is_empty() {
        return Err(usage("an empty text is neither a path nor a host".into()));
    }
    if let Some((before, rest)) = text.to_str().and_then(|text| text.split_once("://")) {
        let (method, scheme) = before.split_once(' ').unwrap_or(("", before));
        return url(method, scheme, rest, current, home);
    }
    let path = absolute(text, current, home);
    let there = std::fs::symlink_metadata(&path).is_ok();
    let bytes = text.as_encoded_bytes();
    let like_path = bytes.contains(&b'/') || bytes.first() == Some(&b'~') || bytes == b"." || bytes == b"..";
    let host = text.to_str().map(|text| (text, host(text, None)));
    let as_path = |doubt| {
        Ok(Taken {
            target: Target::Path(path.clone()),
            taken_for: "a path",
            notes: Vec::new(),
            doubt,
        })
    };
    if like_path {
        return as_path(None);
    }
    match host {
        Some((text, Ok(host))) if there => as_path(Some(format!(
            "`{text}` is in the current directory, so it was taken for a path; for the host write `{text}:{}`",
            host.port
        ))),
        _ if there => as_path(None),
        Some((text, Ok(host))) => {
            let with_port = match host.to {
                To::Name(_) | To::Address(IpAddr::V4(_)) => text.contains(':'),
                To::Address(IpAddr::V6(_)) => text.contains("]:"),
            };
            let doubt = format!(
                "nothing of that name is in the current directory, so it was taken for a host; for a file write `./{text}`"
            );
            Ok(Taken {
                taken_for: match host.to {
                    To::Name(_) => "a host",
                    To::Address(_) => "an address",
                },
                target: Target::Host(host),
                notes: if with_port {
                    Vec::new()
                } else {
                    vec![format!("without a port {DEFAULT_PORT} is meant")]
                },
                doubt: Some(doubt).filter(|_| !with_port),
            })
        }
        Some((text, Err(error))) if text.contains(':') => Err(usage(format!(
            "`{text}` is nothing in the current directory, and no host: {error}"
        ))
        .hint("a path that isn't there yet needs a slash: `./NAME`")),
        Some((text, Err(error))) => as_path(Some(format!(
            "`{text}` is no host name ({error}), so it was taken for a path"
        ))),
        None => as_path(Some("it is no host name, so it was taken for a path".into())),
    }
}

/// A path from where it starts; `~` is the home.
fn absolute(text: &OsStr, current: &Path, home: &Path) -> PathBuf {
    let path = Path::new(text);
    match path.strip_prefix("~") {
        Ok(rest) if rest.as_os_str().is_empty() => home.to_owned(),
        Ok(rest) => home.join(rest),
        Err(_) => current.join(path),
    }
}

fn url(method: &str, scheme: &str, rest: &str, current: &Path, home: &Path) -> Result<Taken, Failure> {
    let usage = |message: String| Failure::new(FailureKind::Usage, message);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if scheme.eq_ignore_ascii_case("file") {
        return Ok(Taken {
            target: Target::Path(absolute(OsStr::new(path), current, home)),
            taken_for: "a path",
            notes: Vec::new(),
            doubt: None,
        });
    }
    let default = SCHEMES
        .iter()
        .find(|(known, _)| scheme.eq_ignore_ascii_case(known))
        .map(|(_, port)| *port);
    // A user and a password say nothing of where it goes (RFC 3986 3.2).
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let place = place.strip_suffix(':').unwrap_or(place);
    let mut found = host(place, Some(default)).map_err(|error| {
        let hint = "write the host with its port, as `example.com:5432`";
        usage(format!("`{scheme}://{rest}` can't be understood: {error}")).hint(hint)
    })?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        _ => None,
    };
    let method = match method {
        "" => None,
        text => Some(
            text.parse::<Method>()
                .map_err(|error| usage(format!("`{text}`: {error}")))?,
        ),
    };
    let typed = method.is_some();
    found.request = match (scheme, method) {
        (Some(scheme), method) => Some(Request {
            scheme,
            method: method
                .or_else(|| "GET".parse().ok())
                .ok_or_else(|| usage("no method".into()))?,
            path: path_of(path),
            typed,
        }),
        (None, None) => None,
        (None, Some(method)) => {
            return Err(usage(format!(
                "{method} is a method of HTTP: the URL must begin with `https://` or `http://`"
            )));
        }
    };
    Ok(Taken {
        target: Target::Host(found),
        taken_for: if typed { "a request" } else { "a URL" },
        notes: Vec::new(),
        doubt: None,
    })
}

/// The path of a request, without its query.
fn path_of(text: &str) -> Result<RequestPath, String> {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = if text.is_empty() { "/" } else { text };
    text.parse()
        .map_err(|error: crate::policy::RequestPathError| error.to_string())
}

/// `NAME`, `NAME:PORT`, an address, or `[ADDRESS]:PORT`. Without a port that of the scheme, or of HTTPS, is meant.
fn host(text: &str, scheme: Option<Option<u16>>) -> Result<Host, String> {
    let default = || {
        scheme
            .unwrap_or(Some(DEFAULT_PORT))
            .ok_or_else(|| "the scheme stands for no port that is known here".to_owned())
    };
    let at = |address: IpAddr, port| Host {
        to: To::Address(address.to_canonical()),
        port,
        request: None,
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(at(address, default()?));
    }
    if let Some((inner, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let address: std::net::Ipv6Addr = inner
            .parse()
            .map_err(|_| format!("`{inner}` is no IPv6 address"))?;
        let port = match after.strip_prefix(':') {
            Some(digits) => port(digits)?,
            None if after.is_empty() => default()?,
            None => return Err(format!("`{after}` after the address")),
        };
        return Ok(at(address.into(), port));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, digits)) => (name, port(digits)?),
        None => (text, default()?),
    };
    if let Ok(address) = name.parse::<std::net::Ipv4Addr>() {
        return Ok(at(address.into(), port));
    }
    let name: Name = name
        .parse()
        .map_err(|error: crate::policy::NameError| error.to_string())?;
    Ok(Host {
        to: To::Name(name),
        port,
        request: None,
    })
}

fn port(digits: &str) -> Result<u16, String> {
    match digits.parse::<u16>() {
        Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(format!("`{digits}` is no port from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn shown(text: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.test"), "").unwrap();
        let taken = match read(OsStr::from_bytes(text), folder.path(), Path::new("/home/u")) {
            Ok(taken) => taken,
            Err(failure) => return failure.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        let what = match taken.target {
            Target::Path(path) => path.strip_prefix(folder.path()).map_or_else(
                |_| path.display().to_string(),
                |path| format!("./{}", path.display()),
            ),
            Target::Host(Host { to, port, request }) => {
                let to = match to {
                    To::Name(name) => name.to_string(),
                    To::Address(address) => address.to_string(),
                };
                let request = request.map(|request| {
                    let path = request.path.map_or_else(|why| why, |path| path.to_string());
                    format!(" {} {} {path}", request.scheme.word(), request.method)
                });
                format!("{to} {port}{}", request.unwrap_or_default())
            }
        };
        format!(
            "{} {what}{}",
            taken.taken_for,
            ", noted".repeat(taken.notes.len() + usize::from(taken.doubt.is_some()))
        )
    }

    #[test]
    fn each_form() {
        for (text, expected) in [
            ("/etc/passwd", "a path /etc/passwd"),
            ("~/.ssh", "a path /home/u/.ssh"),
            ("~", "a path /home/u"),
            ("a/b", "a path ./a/b"),
            (".", "a path ./"),
            (".env", "a path ./.env, noted"),
            ("there.test", "a path ./there.test, noted"),
            ("there.test:80", "a host there.test 80"),
            ("a.test", "a host a.test 443, noted, noted"),
            ("A.test.:22", "a host a.test 22"),
            ("Makefile", "a host makefile 443, noted, noted"),
            ("1.2.3.4", "an address 1.2.3.4 443, noted, noted"),
            ("1.2.3.4:80", "an address 1.2.3.4 80"),
            ("::1", "an address ::1 443, noted, noted"),
            ("[::1]:80", "an address ::1 80"),
            ("[::ffff:10.0.0.1]:80", "an address 10.0.0.1 80"),
            ("https://a.test/x?y#z", "a URL a.test 443 https GET /x"),
            ("PUT https://a.test", "a request a.test 443 https PUT /"),
            (
                "GET https://a.test/x/../y",
                "a request a.test 443 https GET a segment of dots alone: servers fold it",
            ),
            ("HTTP://u:p@a.test:8080", "a URL a.test 8080 http GET /"),
            ("ssh://git@a.test/x", "a URL a.test 22"),
            ("https://[::1]/", "a URL ::1 443 https GET /"),
            ("file:///etc/passwd", "a path /etc/passwd"),
            ("foo://a.test:1", "a URL a.test 1"),
        ] {
            assert_eq!(shown(text.as_bytes()), expected, "{text}");
        }
        assert!(shown(b"a\xff").starts_with("a path ./"));
    }

    #[test]
    fn what_is_neither() {
        for text in [
            "",
            "a.test:0",
            "a.test:70000",
            "a.test:+1",
            "foo://a.test",
            "https://",
            "http://a b/",
            "get https://a.test/",
            "GET ssh://a.test/",
            "[::1",
            "[::1]x",
        ] {
            let shown = shown(text.as_bytes());
            assert!(
                shown.starts_with("error: ") || shown.starts_with("a path ./["),
                "{text}: {shown}"
            );
        }
    }

    proptest::proptest! {
        /// Whatever is typed is one thing or a failure; what is taken for a host is one whole text.
        #[test]
        fn any_text_is_read(text in "[a-z0-9.:/@\\[\\]%~ -]{0,24}") {
            let taken = read(OsStr::new(&text), Path::new("/nonexistent"), Path::new("/home/u"));
            if let Ok(Taken { target: Target::Host(Host { to, port, .. }), .. }) = taken {
                proptest::prop_assert!(port > 0);
                let shown = match to {
                    To::Name(name) => name.to_string(),
                    To::Address(address) => address.to_string(),
                };
                let again = read(OsStr::new(&shown), Path::new("/nonexistent"), Path::new("/home/u"));
                proptest::prop_assert!(matches!(again, Ok(Taken { target: Target::Host(_), .. })), "{shown}");
            }
        }
    }
}
