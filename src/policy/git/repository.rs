//! A repository, by whichever of its names.

use crate::policy::Host;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, net::IpAddr, str::FromStr};

/// Longest text of a repository.
const TEXT_MAX: usize = 1024;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Through the user's own ssh(1).
    Ssh,
    /// Git's smart HTTP in TLS (gitprotocol-http(5)).
    Https,
}

/// The user's name that forges have for git over ssh, whoever it is.
const FORGE_USER: &str = "git";
/// The ports where none is named.
const SSH_PORT: u16 = 22;
const HTTPS_PORT: u16 = 443;

/// A repository as its user names it: `https://host/acme/app`, `git@host:acme/app`, or `ssh://git@host:22/acme/app.git`.
///
/// Behind ssh the host is what the user's configuration of ssh knows, an alias as well; in lower case. Paths are compared
/// without the first slash and without `.git` at the end, as the forges read them. Parsed once: what is here is plain.
///
/// The two transports name one repository where both are a forge's: `git` is the user, and the ports are the usual ones
/// ([`Repository::means`]). Who and what to prove it with an https URL may hold; that is dropped and never kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    transport: Transport,
    /// The user's name on the server behind ssh; in a rule `None` stands for any.
    user: Option<String>,
    host: String,
    /// Of https never the usual one.
    port: Option<u16>,
    path: String,
}

/// Why a text is no repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// Neither form.
    #[error(
        "this is no repository: write `https://host/path`, `user@host:path`, or `ssh://user@host:port/path`"
    )]
    Form,
    /// Another scheme.
    #[error(
        "repositories are named by `https://host/path`, or by their ssh form, `user@host:path` or `ssh://user@host/path`"
    )]
    Scheme,
    /// The host.
    #[error("no host name, no alias and no address")]
    Host,
    /// The port.
    #[error("no port from 1 to 65535")]
    Port,
    /// The user's name.
    #[error("no user's name")]
    User,
    /// The path.
    #[error("no plain path: no part of it may be empty, `.` or `..`, and none of its characters special")]
    Path,
}

impl Repository {
    /// Puts one behind ssh together, of parts that were read elsewhere.
    ///
    /// # Errors
    /// When a part isn't plain.
    pub fn new(
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
        path: &str,
    ) -> Result<Self, RepositoryError> {
        if user.is_some_and(|user| !is_word(user, b"._-")) {
            return Err(RepositoryError::User);
        }
        let is_v6 = host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_ok();
        if !is_v6 && !is_word(host, b"._-") {
            return Err(RepositoryError::Host);
        }
        Ok(Self {
            transport: Transport::Ssh,
            user: user.map(str::to_owned),
            host: host.to_ascii_lowercase(),
            port,
            path: plain(path)?.to_owned(),
        })
    }

    /// The same for https.
    ///
    /// # Errors
    /// When its path isn't plain.
    pub fn https(host: &Host, port: u16, path: &str) -> Result<Self, RepositoryError> {
        let host = match host {
            Host::Name(name) => name.to_string(),
            Host::Address(address) => address.to_canonical().to_string(),
        };
        Ok(Self {
            transport: Transport::Https,
            user: None,
            host,
            port: Some(port).filter(|port| *port != HTTPS_PORT),
            path: plain(path)?.to_owned(),
        })
    }

    /// How it is reached.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The host, or the alias.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one was named.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that it is at, as far as its name tells.
    #[must_use]
    pub const fn usual_port(&self) -> u16 {
        match (self.port, self.transport) {
            (Some(port), _) => port,
            (None, Transport::Ssh) => SSH_PORT,
            (None, Transport::Https) => HTTPS_PORT,
        }
    }

    /// The path, without a slash before it and `.git` behind.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it is, of one that is named by https.
    #[must_use]
    pub fn https_place(&self) -> Option<(Host, u16)> {
        (self.transport == Transport::Https).then_some(())?;
        let address = self.host.parse::<IpAddr>().ok().map(Host::Address);
        let host = address.or_else(|| self.host.parse().ok().map(Host::Name))?;
        Some((host, self.usual_port()))
    }

    /// Whether a rule for this one means `asked`. Behind ssh a port that isn't named is the user's configuration's to
    /// choose, so that none and one are two things. A name of one transport means the same repository of the other where
    /// both are a forge's: at the usual ports, and for ssh with the user `git`. Other users and ports stay with theirs.
    #[must_use]
    pub fn means(&self, asked: &Self) -> bool {
        self.is_way_to(asked) && self.path == asked.path
    }

    /// The same for a rule that says no: many forges don't tell small letters from capital ones.
    #[must_use]
    pub fn may_mean(&self, asked: &Self) -> bool {
        let folded = |path: &str| {
            let path = path.to_lowercase();
            path.strip_suffix(".git").unwrap_or(&path).to_owned()
        };
        self.is_way_to(asked) && folded(&self.path) == folded(&asked.path)
    }

    fn is_way_to(&self, asked: &Self) -> bool {
        let is_usual = |one: &Self| matches!(one.port, None | Some(SSH_PORT));
        let is_any_user = self.user.is_none();
        let is_forges = |user: &Option<String>| user.as_deref() == Some(FORGE_USER);
        let here = match (self.transport, asked.transport) {
            (Transport::Ssh, Transport::Ssh) => {
                (is_any_user || self.user == asked.user) && self.port == asked.port
            }
            (Transport::Https, Transport::Https) => self.port == asked.port,
            (Transport::Ssh, Transport::Https) => {
                (is_any_user || is_forges(&self.user)) && is_usual(self) && asked.port.is_none()
            }
            (Transport::Https, Transport::Ssh) => {
                self.port.is_none() && is_forges(&asked.user) && is_usual(asked)
            }
        };
        here && self.host == asked.host
    }

    /// One name for all that name it: of a forge's the https one, of others its own.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let is_forges = self.transport == Transport::Ssh
            && self.user.as_deref() == Some(FORGE_USER)
            && matches!(self.port, None | Some(SSH_PORT));
        if !is_forges {
            return self.clone();
        }
        Self {
            transport: Transport::Https,
            user: None,
            port: None,
            ..self.clone()
        }
    }

    fn parse_https(rest: &str) -> Result<Self, RepositoryError> {
        let (place, path) = rest.split_once('/').ok_or(RepositoryError::Form)?;
        // Who, and what to prove it with: not kept.
        let (_, place) = user_of(place);
        let (host, port) = host_and_port(place)?;
        let host = match host.parse::<IpAddr>() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(host.parse().map_err(|_| RepositoryError::Host)?),
        };
        Self::https(&host, port.unwrap_or(HTTPS_PORT), path)
    }
}

/// A path as it is compared.
fn plain(path: &str) -> Result<&str, RepositoryError> {
    let plain = path.strip_prefix('/').unwrap_or(path);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    let plain = plain.strip_suffix(".git").unwrap_or(plain);
    let good = |character: char| character.is_alphanumeric() || "._-~+@,= /".contains(character);
    let parts = plain.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !parts || plain.starts_with('-') || path.len() > TEXT_MAX || !plain.chars().all(good) {
        return Err(RepositoryError::Path);
    }
    Ok(plain)
}

/// `host`, `host:port`, and an address of IPv6 in brackets.
fn host_and_port(place: &str) -> Result<(&str, Option<u16>), RepositoryError> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(RepositoryError::Host)?)),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port: Option<u16> = digits.parse().ok().filter(|port| *port > 0);
            Some(port.ok_or(RepositoryError::Port)?)
        }
        Some(_) => return Err(RepositoryError::Port),
    };
    Ok((host, port))
}

/// A user's name or a host's: nothing that could read as an option.
fn is_word(text: &str, marks: &[u8]) -> bool {
    let first = text.bytes().next();
    text.len() <= 255
        && first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        if text.len() > TEXT_MAX {
            return Err(RepositoryError::Form);
        }
        let schemes = ["ssh://", "git+ssh://", "ssh+git://"];
        if let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) {
            let (place, path) = rest.split_once('/').ok_or(RepositoryError::Form)?;
            let (user, place) = user_of(place);
            let (host, port) = host_and_port(place)?;
            return Self::new(user, host, port, path);
        }
        if let Some(rest) = text.strip_prefix("https://") {
            return Self::parse_https(rest);
        }
        if text.contains("://") {
            return Err(RepositoryError::Scheme);
        }
        // As git has it: a slash before the first colon makes it a path of this machine.
        let (place, path) = match text.split_once("]:") {
            Some((place, path)) => {
                let (user, host) = user_of(place);
                let host = host.strip_prefix('[').ok_or(RepositoryError::Form)?;
                return Self::new(user, host, None, path);
            }
            None => text.split_once(':').ok_or(RepositoryError::Form)?,
        };
        if place.contains('/') {
            return Err(RepositoryError::Form);
        }
        let (user, host) = user_of(place);
        Self::new(user, host, None, path)
    }
}

fn user_of(place: &str) -> (Option<&str>, &str) {
    match place.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, place),
    }
}

/// The URL of https; behind ssh the short form, or the URL where there is a port.
impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.transport == Transport::Https {
            let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
            return write!(formatter, "https://{host}{port}/{}", self.path);
        }
        let user = match &self.user {
            Some(user) => format!("{user}@"),
            None => String::new(),
        };
        match self.port {
            Some(port) => write!(formatter, "ssh://{user}{host}:{port}/{}", self.path),
            None => write!(formatter, "{user}{host}:{}", self.path),
        }
    }
}

impl Serialize for Repository {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Repository {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Repository {
        text.parse().unwrap()
    }

    #[test]
    fn the_forms_of_one_repository() {
        let one = parse("git@github.com:acme/app");
        for text in [
            "git@GitHub.com:acme/app.git",
            "git@github.com:/acme/app.git",
            "ssh://git@github.com/acme/app.git",
            "ssh://git@github.com/acme/app/",
            "git+ssh://git@github.com/acme/app",
        ] {
            assert_eq!(parse(text), one, "{text}");
        }
        assert_eq!(one.to_string(), "git@github.com:acme/app");
        for text in [
            "ssh://git@work:2222/acme/app",
            "work:x",
            "git@[::1]:x/y",
            "ssh://[::1]:22/x",
        ] {
            let one = parse(text);
            assert_eq!(parse(&one.to_string()), one, "{text}");
        }
    }

    #[test]
    fn a_rule_means_its_user_host_port_and_path() {
        let rule = parse("git@host:acme/app");
        assert!(rule.means(&parse("ssh://git@host/acme/app.git")));
        for other in [
            "root@host:acme/app",
            "host:acme/app",
            "git@host2:acme/app",
            "git@host:acme/App",
            "git@host:acme/app/sub",
            "ssh://git@host:22/acme/app",
        ] {
            assert!(!rule.means(&parse(other)), "{other}");
        }
        assert!(parse("host:acme/app").means(&rule), "a rule without a user");
    }

    #[test]
    fn the_two_transports_name_one_repository_of_a_forge() {
        let https = parse("https://github.com/acme/app");
        assert_eq!(https.to_string(), "https://github.com/acme/app");
        for text in [
            "https://GitHub.com/acme/app.git",
            "https://github.com:443/acme/app/",
            "https://alice:s3cr3t@github.com./acme/app.git",
        ] {
            assert_eq!(parse(text), https, "{text}");
        }
        for text in [
            "git@github.com:acme/app.git",
            "ssh://git@github.com/acme/app",
            "ssh://git@github.com:22/acme/app",
        ] {
            let ssh = parse(text);
            assert!(ssh.means(&https) && https.means(&ssh), "{text}");
            assert_eq!(ssh.canonical(), https);
        }
        assert!(
            parse("github.com:acme/app").means(&https),
            "a rule without a user"
        );
        for text in [
            "alice@github.com:acme/app",
            "ssh://git@github.com:2222/acme/app",
            "https://github.com:8443/acme/app",
            "git@github.com:acme/other",
            "git@gitlab.com:acme/app",
        ] {
            let other = parse(text);
            assert!(!other.means(&https) && !https.means(&other), "{text}");
            assert_ne!(other.canonical(), https);
        }
        assert!(
            !https.means(&parse("github.com:acme/app")),
            "nobody knows which user"
        );
        let other = parse("https://h.test:8443/x");
        assert_eq!(
            other.https_place(),
            Some((Host::Name("h.test".parse().unwrap()), 8443))
        );
        assert_eq!(parse("https://[::1]:8443/x").to_string(), "https://[::1]:8443/x");
        assert_eq!(parse("git@h.test:x").https_place(), None);
    }

    #[test]
    fn a_no_holds_for_other_letters() {
        let rule = parse("https://github.com/acme/app");
        for text in [
            "https://github.com/ACME/App",
            "https://github.com/acme/app.GIT",
            "git@github.com:Acme/app",
        ] {
            assert!(rule.may_mean(&parse(text)) && !rule.means(&parse(text)), "{text}");
        }
        assert!(!rule.may_mean(&parse("https://github.com/acme/apps")));
    }

    #[test]
    fn what_is_no_repository() {
        for text in [
            "",
            "x",
            "/srv/x.git",
            "./a:b",
            "http://host/x",
            "https://host",
            "https://host/",
            "https://host/a/../b",
            "https://host/a%2e",
            "https://host/a?b",
            "https://host:0/a",
            "https://ho_st!/a",
            "https://127.1/a",
            "HTTPS://host/a",
            "git@host:",
            "git@host:../x",
            "git@host:a//b",
            "git@host:a/./b",
            "git@-oProxyCommand=x:a",
            "-x@host:a",
            "host:-x",
            "ssh://host:0/x",
            "ssh://host:99999/x",
            "ssh://host:+1/x",
            "ssh://host",
            "host:a'b",
            "host:a\nb",
            "ho st:x",
            "host:.git",
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text:?}");
        }
    }
}
