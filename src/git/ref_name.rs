//! Names of refs, held to the rules of git-check-ref-format(1) before anything looks at them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most bytes of a name. Git has no bound; the file that holds a ref on the server has one of 255 bytes a part.
const NAME_MAX: usize = 1024;

/// The full name of a ref: `refs/…`, text that can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RefName(String);

/// Why a text is no name of a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefNameError {
    /// `HEAD` and the like aren't pushed to.
    #[error("it doesn't begin with refs/")]
    NotFull,
    /// Over 1024 bytes.
    #[error("it is too long")]
    TooLong,
    /// A rule of git-check-ref-format(1).
    #[error("it breaks the rules of git-check-ref-format")]
    Malformed,
}

impl RefName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch that it names, if it names one.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }

    /// As people say it: without `refs/heads/`.
    #[must_use]
    pub fn short(&self) -> &str {
        self.branch().unwrap_or(&self.0)
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> Self {
        name.0
    }
}

impl TryFrom<String> for RefName {
    type Error = RefNameError;

    fn try_from(text: String) -> Result<Self, RefNameError> {
        text.parse()
    }
}

impl FromStr for RefName {
    type Err = RefNameError;

    fn from_str(text: &str) -> Result<Self, RefNameError> {
        let Some(rest) = text.strip_prefix("refs/") else {
            return Err(RefNameError::NotFull);
        };
        if text.len() > NAME_MAX {
            return Err(RefNameError::TooLong);
        }
        let part_is_good =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
        let is_bad = |character: char| {
            character.is_control()
                || character.is_whitespace()
                || "~^:?*[\\".contains(character)
                || hides(character)
        };
        let good = rest.split('/').all(part_is_good)
            && !text.chars().any(is_bad)
            && !["..", "@{"].iter().any(|bad| text.contains(bad))
            && !text.ends_with('.');
        good.then(|| Self(text.to_owned())).ok_or(RefNameError::Malformed)
    }
}

/// Characters that are not seen or turn the text around (Unicode's format characters): git takes them, and a user
/// can't tell what is asked.
pub(super) const fn hides(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

impl fmt::Display for RefName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_git_check_ref_format_says() {
        for text in [
            "refs/heads/main",
            "refs/heads/agent/x.y",
            "refs/tags/v1",
            "refs/heads/ünder",
            "refs/heads/@",
            "refs/x",
            "refs/heads/a@b",
        ] {
            assert_eq!(text.parse::<RefName>().unwrap().as_str(), text);
        }
        for text in [
            "HEAD",
            "",
            "refs",
            "refs/",
            "main",
            "refs//x",
            "refs/heads/",
            "refs/heads//x",
            "refs/heads/.x",
            "refs/heads/x.lock",
            "refs/heads/x.lock/y",
            "refs/heads/a..b",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a\u{7f}",
            "refs/heads/a~1",
            "refs/heads/a^",
            "refs/heads/a:b",
            "refs/heads/a?",
            "refs/heads/a*",
            "refs/heads/a[",
            "refs/heads/a\\b",
            "refs/heads/a@{1}",
            "refs/heads/a.",
            "refs/../x",
            "refs/heads/a\u{202e}b",
            "refs/heads/a\u{200b}",
        ] {
            assert!(text.parse::<RefName>().is_err(), "{text:?}");
        }
        let long = format!("refs/heads/{}", "x".repeat(2000));
        assert_eq!(long.parse::<RefName>(), Err(RefNameError::TooLong));
    }

    #[test]
    fn branches_are_said_shortly() {
        let name: RefName = "refs/heads/agent/x".parse().unwrap();
        assert_eq!((name.branch(), name.short()), (Some("agent/x"), "agent/x"));
        let name: RefName = "refs/tags/v1".parse().unwrap();
        assert_eq!((name.branch(), name.short()), (None, "refs/tags/v1"));
    }
}
