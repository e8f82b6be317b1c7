//! Which repositories git may reach through the user's own ssh(1).

use super::{Origin, decide::Deny};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Longest text of a repository.
const TEXT_MAX: usize = 1024;

/// A repository behind ssh, as its user names it: `git@host:acme/app`, or `ssh://git@host:22/acme/app.git`.
///
/// The host is what the user's configuration of ssh knows, an alias as well; in lower case. Paths are compared without
/// the first slash and without `.git` at the end, as the forges read them. Parsed once: what is here is plain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    /// The user's name on the server; in a rule `None` stands for any.
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

/// Why a text is no repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// Neither form.
    #[error("this is no repository behind ssh: write `user@host:path`, or `ssh://user@host:port/path`")]
    Form,
    /// Another scheme.
    #[error("repositories are named by their ssh form, `user@host:path` or `ssh://user@host/path`")]
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
    /// Puts one together, of parts that were read elsewhere.
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
        let plain = path.strip_prefix('/').unwrap_or(path);
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        let plain = plain.strip_suffix(".git").unwrap_or(plain);
        let good = |character: char| character.is_alphanumeric() || "._-~+@,= /".contains(character);
        let parts = plain.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !parts || plain.starts_with('-') || path.len() > TEXT_MAX || !plain.chars().all(good) {
            return Err(RepositoryError::Path);
        }
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_ascii_lowercase(),
            port,
            path: plain.to_owned(),
        })
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

    /// Whether a rule for this one means `asked`. A port that isn't named is the user's configuration's to choose, so
    /// that none and one are two things.
    #[must_use]
    pub fn means(&self, asked: &Self) -> bool {
        let user = self.user.is_none() || self.user == asked.user;
        user && (&self.host, self.port, &self.path) == (&asked.host, asked.port, &asked.path)
    }
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
            return Self::new(user, host, port, path);
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

/// The short form, or the URL where there is a port.
impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
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

/// What git wants of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitOperation {
    /// Clone, fetch, pull, ls-remote: git-upload-pack(1).
    Fetch,
    /// git-receive-pack(1).
    Push,
}

impl GitOperation {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Push => "push",
        }
    }
}

/// A rule on a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitRule {
    /// Which.
    pub repository: Repository,
    /// Whether it may be fetched; a no wins over every yes.
    pub fetch: bool,
    /// Where it was written.
    pub origin: Origin,
}

/// What git may do through the user's ssh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitPolicy {
    /// The rules, in any order.
    pub rules: Vec<GitRule>,
}

impl GitPolicy {
    /// Whether anything is allowed at all: else programs inside aren't told of the way.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.rules.iter().any(|rule| rule.fetch)
    }

    /// What may be fetched, for a refusal that says what would work.
    pub fn allowed(&self) -> impl Iterator<Item = &Repository> {
        let denied = |one: &GitRule| {
            self.rules
                .iter()
                .any(|rule| !rule.fetch && rule.repository.means(&one.repository))
        };
        self.rules
            .iter()
            .filter(move |rule| rule.fetch && !denied(rule))
            .map(|rule| &rule.repository)
    }
}

/// Why no repository can be pushed to.
pub(super) fn push_denied() -> Deny {
    Deny {
        rule: None,
        origin: Origin::BuiltIn("git over ssh".into()),
        reason: "repositories are read-only from inside: push from outside of the sandbox".into(),
        allow_with: None,
        allow_line: None,
        quiet: false,
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
    fn what_is_no_repository() {
        for text in [
            "",
            "x",
            "/srv/x.git",
            "./a:b",
            "https://host/x",
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
