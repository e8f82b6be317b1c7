//! Credentials that are known by their shape.

use super::{PresetError, built_in, parse};
use serde::Deserialize;

/// The file of the shapes, as errors name it.
const FILE: &str = "presets/tokens.toml";

/// `tokens.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    token: Vec<Token>,
}

/// One shape.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is, with its article.
    pub name: String,
    /// What it begins with, one of them.
    pub starts: Vec<String>,
    /// The characters that follow.
    pub body: Body,
    /// How many at least.
    pub least: usize,
    /// How many at most.
    #[serde(default)]
    pub most: Option<usize>,
    /// What is among them.
    #[serde(default)]
    pub holds: Option<String>,
    /// Who says so.
    pub source: String,
}

/// Kinds of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Letters and digits.
    Alnum,
    /// Those, `_` and `-`.
    Word,
    /// Those, and `.`.
    Dotted,
    /// Letters, digits and `/`.
    Path,
    /// Hexadecimal digits of either case.
    Hex,
    /// Large letters and digits.
    Upper,
    /// Letters, digits, `+`, `/` and `=`.
    Base64,
}

/// The shapes.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn tokens() -> Result<Vec<Token>, PresetError> {
    Ok(parse::<Tokens>(FILE, built_in!("presets/tokens"))?.token)
}
