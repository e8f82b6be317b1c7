//! Patterns of refs: `agent/**`, `release-*`, `refs/tags/v*`.

use super::super::pattern::{Case, Component, NamePattern, PathPatternError};
use crate::git::ref_name::RefName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest pattern in bytes.
const LENGTH_MAX: usize = 1024;
/// Most parts.
const PARTS_MAX: usize = 32;
/// Where a pattern that doesn't say it begins.
const BRANCHES: &str = "refs/heads/";

/// A pattern of refs, with slashes between its parts: `*` stands for any letters of one part, `?` for one, `**` for any
/// number of parts (at the end: one or more). What doesn't begin with `refs/` is a branch. The first part after `refs/`
/// is always named: what forges keep there (`refs/for`, `refs/pull`, `refs/notes`) never fits by accident.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefPattern {
    /// As it is shown: a branch without `refs/heads/`.
    text: String,
    parts: Vec<Component>,
}

/// Why a text is no pattern of refs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefPatternError {
    /// Too long.
    #[error("`{0}` is too long a pattern of refs")]
    TooLong(String),
    /// No part, or an empty one.
    #[error("`{0}` is no pattern of refs: write `agent/**`, `release-*` or `refs/notes/**`")]
    Malformed(String),
    /// A part.
    #[error("{0}")]
    Part(PathPatternError),
    /// `refs/*/…`.
    #[error("`{0}`: what follows `refs/` has to be named, such as `refs/notes/**`")]
    Namespace(String),
    /// A tag where none is meant.
    #[error("`{0}` names tags: write `tags = [\"v*\"]`")]
    Tag(String),
    /// Something else where a tag is meant.
    #[error("`{0}` names no tags: write `v*` or `refs/tags/v*`")]
    NoTag(String),
}

impl RefPattern {
    /// A pattern of tags: `v*` is `refs/tags/v*`.
    ///
    /// # Errors
    /// See [`RefPatternError`].
    pub fn tags(text: &str) -> Result<Self, RefPatternError> {
        match text.strip_prefix("refs/") {
            None => Self::full(&format!("refs/tags/{text}")),
            Some(rest) if rest.starts_with("tags/") => Self::full(text),
            Some(_) => Err(RefPatternError::NoTag(text.to_owned())),
        }
    }

    /// Whether it is about tags.
    #[must_use]
    pub fn is_of_tags(&self) -> bool {
        self.text.starts_with("refs/tags/")
    }

    fn full(text: &str) -> Result<Self, RefPatternError> {
        let rest = text
            .strip_prefix("refs/")
            .ok_or_else(|| RefPatternError::Malformed(text.to_owned()))?;
        if text.len() > LENGTH_MAX || rest.split('/').count() > PARTS_MAX {
            return Err(RefPatternError::TooLong(text.chars().take(100).collect()));
        }
        let mut parts = Vec::new();
        for part in rest.split('/') {
            match part {
                "" => return Err(RefPatternError::Malformed(text.to_owned())),
                "**" if parts.last() == Some(&Component::AnyDepth) => {}
                "**" => parts.push(Component::AnyDepth),
                _ => {
                    let name = NamePattern::parse(part, Case::Exact).map_err(RefPatternError::Part)?;
                    parts.push(Component::Name(name));
                }
            }
        }
        match parts.first() {
            Some(Component::Name(name)) if name.ends().is_none() && parts.len() > 1 => {}
            Some(Component::Name(name)) if name.ends().is_none() => {
                return Err(RefPatternError::Malformed(text.to_owned()));
            }
            Some(_) | None => return Err(RefPatternError::Namespace(text.to_owned())),
        }
        let text = text.strip_prefix(BRANCHES).unwrap_or(text).to_owned();
        Ok(Self { text, parts })
    }

    /// Whether a ref is meant.
    #[must_use]
    pub fn matches(&self, name: &RefName) -> bool {
        let rest = name.as_str().strip_prefix("refs/").unwrap_or_default();
        let names: Vec<&str> = rest.split('/').collect();
        fits(&self.parts, &names)
    }

    /// Whether it names this one ref and no other.
    #[must_use]
    pub fn names(&self, name: &RefName) -> bool {
        let is_exact = |part: &Component| match part {
            Component::Name(pattern) => pattern.ends().is_none(),
            Component::AnyDepth => false,
        };
        self.parts.iter().all(is_exact) && self.matches(name)
    }
}

/// As for stars in a name, one level up: where what follows the last `**` doesn't fit, that takes one part more.
fn fits(pattern: &[Component], names: &[&str]) -> bool {
    let (mut rest, mut left) = (pattern, names);
    let mut retry: Option<(&[Component], &[&str])> = None;
    loop {
        match (rest.split_first(), left.split_first()) {
            (None, None) => return true,
            // At the end it stands for one part at least.
            (Some((Component::AnyDepth, [])), _) => return !left.is_empty(),
            (Some((Component::AnyDepth, after)), _) => {
                retry = Some((after, left));
                rest = after;
                continue;
            }
            (Some((Component::Name(name), after)), Some((part, tail))) if name.matches(part.as_bytes()) => {
                (rest, left) = (after, tail);
                continue;
            }
            (Some((Component::Name(_), _)), _) | (None, Some(_)) => {}
        }
        match retry {
            Some((after, [_, from @ ..])) => {
                retry = Some((after, from));
                (rest, left) = (after, from);
            }
            Some((_, [])) | None => return false,
        }
    }
}

impl FromStr for RefPattern {
    type Err = RefPatternError;

    fn from_str(text: &str) -> Result<Self, RefPatternError> {
        if text.starts_with("refs/") {
            Self::full(text)
        } else {
            Self::full(&format!("{BRANCHES}{text}"))
        }
    }
}

impl fmt::Display for RefPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl TryFrom<String> for RefPattern {
    type Error = RefPatternError;

    fn try_from(text: String) -> Result<Self, RefPatternError> {
        text.parse()
    }
}

impl From<RefPattern> for String {
    fn from(pattern: RefPattern) -> Self {
        pattern.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern: RefPattern = pattern.parse().unwrap();
        assert_eq!(pattern, pattern.to_string().parse().unwrap(), "{pattern}");
        pattern.matches(&name.parse().unwrap())
    }

    #[test]
    fn branches_by_their_parts() {
        for (pattern, name, expected) in [
            ("agent/**", "refs/heads/agent/x", true),
            ("agent/**", "refs/heads/agent/x/y", true),
            ("agent/**", "refs/heads/agent", false),
            ("agent/**", "refs/heads/agents/x", false),
            ("agent/**", "refs/heads/x/agent/x", false),
            ("agent/**", "refs/tags/agent/x", false),
            ("agent/*", "refs/heads/agent/x", true),
            ("agent/*", "refs/heads/agent/x/y", false),
            ("**", "refs/heads/main", true),
            ("**", "refs/notes/main", false),
            ("**/fix", "refs/heads/fix", true),
            ("**/fix", "refs/heads/a/b/fix", true),
            ("**/fix", "refs/heads/a/fix/b", false),
            ("a/**/b/**/c", "refs/heads/a/b/x/b/c", true),
            ("a/**/b/**/c", "refs/heads/a/x/c", false),
            ("release-?.*", "refs/heads/release-1.2", true),
            ("release-?.*", "refs/heads/release-10.2", false),
            ("refs/notes/commits", "refs/notes/commits", true),
            ("refs/heads/x", "refs/heads/x", true),
            ("Agent/x", "refs/heads/agent/x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn one_ref_is_named_by_a_pattern_without_stars_alone() {
        let main: RefName = "refs/heads/main".parse().unwrap();
        let names = |pattern: &str| pattern.parse::<RefPattern>().unwrap().names(&main);
        assert!(names("main") && names("refs/heads/main"));
        assert!(!names("**") && !names("m*") && !names("mai?") && !names("other"));
    }

    #[test]
    fn what_is_no_pattern() {
        for text in [
            "",
            "a//b",
            "/a",
            "a/",
            "refs/",
            "refs/**",
            "refs/*/x",
            "refs/heads",
            "a/../b",
            "a/[bc]",
            "a**",
            &"x/".repeat(40),
            &"x".repeat(2000),
        ] {
            assert!(text.parse::<RefPattern>().is_err(), "{text}");
        }
        assert_eq!(RefPattern::tags("v*").unwrap().to_string(), "refs/tags/v*");
        assert!(RefPattern::tags("refs/heads/v*").is_err());
        assert!("refs/tags/x".parse::<RefPattern>().unwrap().is_of_tags());
    }

    /// A name of the agent's costs at most the product of both lengths.
    #[test]
    fn many_stars_end() {
        let pattern = format!("{}x", "**/a/".repeat(14));
        let name = format!("refs/heads/{}y", "a/".repeat(500));
        assert!(!matches(&pattern, &name));
    }
}
