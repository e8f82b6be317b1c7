//! Where the credentials come from that git's requests outside are made with.

use crate::policy::{Host, Origin};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::path::{Path, PathBuf};
use std::{fmt, str::FromStr};

/// What a repository that no rule names is, on a host with rules on repositories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unlisted {
    /// Not reached.
    Deny,
    /// Fetched with nothing that tells who asks, where rules on hosts let its requests pass.
    #[default]
    Anonymous,
}

impl Unlisted {
    /// The word that stands for it in configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Where one credential is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// What `git credential fill` says, and nothing else.
    Helper,
    /// The value of this variable of the user's.
    Variable(String),
    /// What this program prints: an absolute path and its arguments.
    Command(Vec<String>),
    /// The first line of this file.
    File(PathBuf),
}

impl CredentialSource {
    /// The paths that it names: a file, or a program with those of its arguments that are some.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let (file, words) = match self {
            Self::Helper | Self::Variable(_) => (None, &[][..]),
            Self::File(path) => (Some(path.as_path()), &[][..]),
            Self::Command(words) => (None, words.as_slice()),
        };
        let paths = words.iter().filter(|word| word.starts_with('/'));
        file.into_iter().chain(paths.map(Path::new))
    }
}

/// Why a text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialSourceError {
    /// Another word.
    #[error(
        "a credential comes `from` `helper`, `env:NAME`, `file:/absolute/path` or `command:/absolute/path ARGUMENT…`"
    )]
    Form,
    /// A path that depends on where one is.
    #[error("the path must be absolute")]
    Relative,
}

impl FromStr for CredentialSource {
    type Err = CredentialSourceError;

    fn from_str(text: &str) -> Result<Self, CredentialSourceError> {
        if text.chars().any(char::is_control) {
            return Err(CredentialSourceError::Form);
        }
        match text.split_once(':') {
            None if text == "helper" => Ok(Self::Helper),
            Some(("env", name)) => {
                let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let good = !name.is_empty() && name.chars().all(is_good);
                good.then(|| Self::Variable(name.to_owned()))
                    .ok_or(CredentialSourceError::Form)
            }
            Some(("file", path)) => match path.starts_with('/') {
                true => Ok(Self::File(path.into())),
                false => Err(CredentialSourceError::Relative),
            },
            Some(("command", words)) => {
                let words: Vec<String> = words.split_ascii_whitespace().map(str::to_owned).collect();
                match words.first() {
                    Some(program) if program.starts_with('/') => Ok(Self::Command(words)),
                    Some(_) => Err(CredentialSourceError::Relative),
                    None => Err(CredentialSourceError::Form),
                }
            }
            Some(_) | None => Err(CredentialSourceError::Form),
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helper => formatter.write_str("helper"),
            Self::Variable(name) => write!(formatter, "env:{name}"),
            Self::Command(words) => write!(formatter, "command:{}", words.join(" ")),
            Self::File(path) => write!(formatter, "file:{}", path.display()),
        }
    }
}

impl Serialize for CredentialSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CredentialSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A host at a port, in https.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialHost {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// It is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a credential is for one host: `HOST` or `HOST:PORT`")]
pub struct CredentialHostError;

impl FromStr for CredentialHost {
    type Err = CredentialHostError;

    fn from_str(text: &str) -> Result<Self, CredentialHostError> {
        // As a repository's URL has them.
        let repository: super::Repository = format!("https://{text}/x")
            .parse()
            .map_err(|_| CredentialHostError)?;
        let is_plain = !text.contains(['/', '@']);
        let place = repository.https_place().filter(|_| is_plain);
        place
            .map(|(host, port)| Self { host, port })
            .ok_or(CredentialHostError)
    }
}

impl TryFrom<String> for CredentialHost {
    type Error = CredentialHostError;
    fn try_from(text: String) -> Result<Self, CredentialHostError> {
        text.parse()
    }
}

impl From<CredentialHost> for String {
    fn from(host: CredentialHost) -> Self {
        host.to_string()
    }
}

impl fmt::Display for CredentialHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            443 => write!(formatter, "{}", self.host),
            port => write!(formatter, "{}:{port}", self.host),
        }
    }
}

/// Where the user says that the credential of a host is; never a project's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRule {
    /// Which host, at which port.
    pub host: CredentialHost,
    /// Where.
    pub from: CredentialSource,
    /// The user's name on the server, where the source has none.
    pub user: Option<String>,
    /// Where it was written.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for text in [
            "helper",
            "env:MY_TOKEN",
            "file:/run/x",
            "command:/usr/bin/pass show git",
        ] {
            assert_eq!(text.parse::<CredentialSource>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Helper",
            "env:",
            "env:A-B",
            "file:x",
            "file:~/x",
            "command:",
            "command:pass x",
            "command:/a\nb",
            "x:y",
        ] {
            assert!(text.parse::<CredentialSource>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn hosts() {
        for (text, shown) in [
            ("GitHub.com", "github.com"),
            ("a.test:8443", "a.test:8443"),
            ("a.test:443", "a.test"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(text.parse::<CredentialHost>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "a.test/x",
            "u@a.test",
            "https://a.test",
            "a.test\nb.test",
            "*.a.test",
            "a.test:0",
        ] {
            assert!(text.parse::<CredentialHost>().is_err(), "{text:?}");
        }
    }
}
