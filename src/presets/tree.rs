//! What the walk of the project looks for: secrets, what the host runs later, and what is left out.

use super::{PresetError, built_in, parse};
use crate::policy::{Case, NamePattern, PathPattern, PathPatternError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest content that is looked at; a larger file counts as one that holds what was asked for.
pub const CONTENT_BYTES_MAX: usize = 1 << 20;

/// One row of a data file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeRule {
    /// Paths that match, at any depth.
    #[serde(deserialize_with = "paths")]
    pub paths: Vec<PathPattern>,
    /// Names that don't, although a path does.
    #[serde(default, deserialize_with = "names")]
    pub except: Vec<NamePattern>,
    /// What it must be.
    #[serde(default)]
    pub kind: RuleKind,
    /// Counts only when the content has one of these.
    #[serde(default)]
    pub holds: Vec<String>,
    /// Counts only when the content gives a key that ends so a literal value. Lower case.
    #[serde(default)]
    pub assigns: Vec<String>,
    /// When the host would run it.
    #[serde(default)]
    pub runs_when: Option<RunsWhen>,
    /// What becomes of it where names are held and it isn't there.
    #[serde(default)]
    pub new_names: NewNameRule,
    /// Counts only with an execute bit.
    #[serde(default)]
    pub executable: bool,
    /// Counts only when the directory has one of these.
    #[serde(default)]
    pub inside: Vec<String>,
    /// Counts only when one of these lies beside it.
    #[serde(default)]
    pub beside: Vec<String>,
    /// Why the row is there.
    pub why: String,
    /// Examples that match.
    pub matches: Vec<String>,
    /// Examples that don't.
    pub differs: Vec<String>,
}

/// What a match must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// Anything but a directory: pipes too, since password managers offer secrets so.
    File,
    /// A directory.
    Directory,
    /// Either.
    #[default]
    Any,
}

/// What becomes of a protected name that isn't there, where names are held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewNameRule {
    /// It can't be made.
    #[default]
    Held,
    /// A plain file may be made, which is told after the run; a link can't, whatever it leads to.
    Told,
}

/// When the host would run or trust a file. The order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunsWhen {
    /// A shell stands in the directory.
    EnterDirectory,
    /// A shell starts.
    OpenShell,
    /// An editor opens the project.
    OpenEditor,
    /// Any git command, a prompt's too.
    RunGit,
    /// A build, a test or an installation.
    Build,
    /// An agent starts.
    StartAgent,
    /// The work is pushed.
    Push,
}

impl RunsWhen {
    /// As the report says it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::EnterDirectory => "you enter the directory",
            Self::OpenShell => "you open a shell",
            Self::OpenEditor => "you open the editor",
            Self::RunGit => "you run git",
            Self::Build => "you install, build or test",
            Self::StartAgent => "you start an agent",
            Self::Push => "you push (CI)",
        }
    }
}

impl fmt::Display for RunsWhen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

/// All four files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeRules {
    /// `secrets.toml`: masked.
    pub secrets: Vec<TreeRule>,
    /// `protected.toml`: read-only, and reported.
    pub protected: Vec<TreeRule>,
    /// `protected.toml`, the rows on git directories; their paths are relative to one.
    pub git: Vec<TreeRule>,
    /// `watched.toml`: reported.
    pub watched: Vec<TreeRule>,
    /// `skip.toml`: not walked.
    pub skip: Vec<TreeRule>,
}

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<TreeRule>,
    #[serde(default)]
    git: Vec<TreeRule>,
}

/// Reads the built-in rules.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn tree_rules() -> Result<TreeRules, PresetError> {
    let secrets: File = parse("presets/secrets.toml", built_in!("presets/secrets"))?;
    let protected: File = parse("presets/protected.toml", built_in!("presets/protected"))?;
    let watched: File = parse("presets/watched.toml", built_in!("presets/watched"))?;
    let skip: File = parse("presets/skip.toml", built_in!("presets/skip"))?;
    Ok(TreeRules {
        secrets: secrets.rule,
        protected: protected.rule,
        git: protected.git,
        watched: watched.rule,
        skip: skip.rule,
    })
}

impl TreeRule {
    /// Whether the content matters.
    #[must_use]
    pub fn wants_content(&self) -> bool {
        !self.holds.is_empty() || !self.assigns.is_empty()
    }

    /// Whether this content is what the row means.
    #[must_use]
    pub fn is_meant(&self, content: &[u8]) -> bool {
        if content.len() > CONTENT_BYTES_MAX {
            return true;
        }
        // UTF-16, which Windows editors write: without the zero bytes it reads as the same letters.
        let narrow: Vec<u8>;
        let content = if content.contains(&0) {
            narrow = content.iter().copied().filter(|byte| *byte != 0).collect();
            &narrow
        } else {
            content
        };
        let has = |word: &String| {
            content
                .windows(word.len())
                .any(|window| window == word.as_bytes())
        };
        self.holds.iter().any(has)
            || content
                .split(|byte| matches!(byte, b'\n' | b'\r'))
                .any(|line| self.is_assignment(line))
    }

    /// Whether a line gives one of the keys a literal value, as in `export API_TOKEN=x` or `npmAuthToken: "x"`.
    fn is_assignment(&self, line: &[u8]) -> bool {
        if self.assigns.is_empty() || matches!(line.trim_ascii_start().first(), Some(b'#' | b';')) {
            return false;
        }
        let line = line.to_ascii_lowercase();
        self.assigns.iter().any(|key| {
            line.windows(key.len()).enumerate().any(|(at, window)| {
                let rest = line.get(at + key.len()..).unwrap_or_default();
                window == key.as_bytes() && has_literal_value(rest)
            })
        })
    }
}

/// Whether what follows a key is `= value`, where the value isn't taken from elsewhere.
fn has_literal_value(rest: &[u8]) -> bool {
    // The key may go on, as in `TOKEN_CI=x`, and be quoted.
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'"' | b'\'');
    let after = rest
        .iter()
        .position(|byte| !name(byte))
        .and_then(|at| rest.get(at..))
        .unwrap_or_default();
    let after = after.trim_ascii_start();
    let value = match after.split_first() {
        Some((b'=' | b':', value)) => value,
        // yarn 1 writes `key value`.
        Some((b'"', _)) => after,
        _ => return false,
    };
    let value = value.trim_ascii().trim_ascii_start();
    let value = value
        .strip_prefix(b"\"")
        .or_else(|| value.strip_prefix(b"'"))
        .unwrap_or(value);
    !matches!(
        value.first(),
        None | Some(b'$' | b'"' | b'\'' | b'<' | b'%' | b'`')
    )
}

fn paths<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PathPattern>, D::Error> {
    each(deserializer, |text| PathPattern::parse(text, Case::Folded))
}

fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<NamePattern>, D::Error> {
    each(deserializer, |text| NamePattern::parse(text, Case::Folded))
}

fn each<'de, D: serde::Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<T, PathPatternError>,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| parse(text).map_err(serde::de::Error::custom))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_why_and_has_examples() {
        let rules = tree_rules().unwrap();
        for rule in [
            &rules.secrets,
            &rules.protected,
            &rules.git,
            &rules.watched,
            &rules.skip,
        ]
        .into_iter()
        .flatten()
        {
            assert!(
                !rule.paths.is_empty() && !rule.matches.is_empty() && !rule.differs.is_empty(),
                "{rule:?}"
            );
            assert!(rule.why.len() > 10, "{rule:?}");
        }
        assert!(
            rules
                .protected
                .iter()
                .chain(&rules.watched)
                .all(|rule| rule.runs_when.is_some())
        );
    }

    fn row(example: &str) -> TreeRule {
        let rules = tree_rules().unwrap().secrets;
        rules
            .into_iter()
            .find(|rule| rule.wants_content() && rule.matches.iter().any(|path| path == example))
            .unwrap()
    }

    #[test]
    fn a_token_is_told_from_the_name_of_one() {
        let npm = row(".npmrc");
        for text in [
            "//registry.npmjs.org/:_authToken=npm_abc",
            "_password = \"x\"",
            "a=1\r\n_auth=x",
            "npmAuthToken: 'abc'",
            "_authToken \"abc\"",
            "_\0a\0u\0t\0h\0T\0o\0k\0e\0n\0=\0x\0",
        ] {
            assert!(npm.is_meant(text.as_bytes()), "{text}");
        }
        for text in [
            "//r/:_authToken=${NPM_TOKEN}",
            "# _authToken=abc",
            "_authToken=",
            "registry=https://r",
            "_auth=\"$X\"",
        ] {
            assert!(!npm.is_meant(text.as_bytes()), "{text}");
        }
        let envrc = row(".envrc");
        assert!(envrc.is_meant(b"use flake\nexport GITHUB_TOKEN=abc"));
        assert!(envrc.is_meant(b"export API_KEY_CI='abc'"));
        assert!(!envrc.is_meant(b"export GITHUB_TOKEN=$(pass show gh)\nlayout python"));
    }

    #[test]
    fn a_certificate_is_no_key_and_what_is_too_large_to_tell_counts_as_one() {
        let pem = row("bundle.pem");
        assert!(pem.is_meant(b"x\n-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(!pem.is_meant(b"-----BEGIN CERTIFICATE-----\n"));
        assert!(pem.is_meant(&vec![b'a'; CONTENT_BYTES_MAX + 1]));
    }
}
