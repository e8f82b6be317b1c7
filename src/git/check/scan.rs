//! Looks for secrets in what a push holds, one pass over each object.
//!
//! A text in UTF-16 is looked through as well ([`super::unfold`]). What lies compressed in an object, as in an archive, isn't.
//!
//! Every shape begins with letters of its own, so a table over pairs of bytes says at nearly every place that none begins
//! there. Nothing is tried twice from one place: the time is that of the bytes.

use super::shapes::{self, Shape};
use crate::presets::{Body, PresetError, Token, tokens};

/// All shapes that are looked for.
#[derive(Debug)]
pub struct Scanner {
    /// By the first two bytes of a beginning.
    pairs: Box<[u64; 1024]>,
    /// Sorted by those.
    starts: Vec<(u16, Start)>,
    tokens: Vec<Token>,
}

#[derive(Debug)]
struct Start {
    text: &'static [u8],
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// A token by its number, and which of its beginnings.
    Token(usize, usize),
    Shape(Shape),
}

impl Scanner {
    /// Of the built-in shapes.
    ///
    /// # Errors
    /// When the built-in data is wrong, which a test holds.
    pub fn new() -> Result<Self, PresetError> {
        let tokens = tokens()?;
        let mut starts = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            for (which, text) in token.starts.iter().enumerate() {
                starts.extend(pair(text.as_bytes()).map(|pair| {
                    (
                        pair,
                        Start {
                            text: b"",
                            what: What::Token(index, which),
                        },
                    )
                }));
            }
        }
        for (text, shape) in shapes::STARTS {
            starts.extend(pair(text).map(|pair| {
                (
                    pair,
                    Start {
                        text,
                        what: What::Shape(*shape),
                    },
                )
            }));
        }
        starts.sort_by_key(|(pair, _)| *pair);
        let mut pairs = Box::new([0; 1024]);
        for (pair, _) in &starts {
            if let Some(word) = pairs.get_mut(usize::from(pair >> 6)) {
                *word |= 1 << (pair & 63);
            }
        }
        Ok(Self {
            pairs,
            starts,
            tokens,
        })
    }

    /// What the first one is that stands in `bytes`.
    #[must_use]
    pub fn first(&self, bytes: &[u8]) -> Option<&str> {
        for (at, two) in bytes.windows(2).enumerate() {
            let Some(pair) = pair(two) else { continue };
            let may_be = self
                .pairs
                .get(usize::from(pair >> 6))
                .is_some_and(|word| word >> (pair & 63) & 1 == 1);
            if may_be && let Some(found) = self.begins(pair, bytes, at) {
                return Some(found);
            }
        }
        None
    }

    fn begins(&self, pair: u16, bytes: &[u8], at: usize) -> Option<&str> {
        let (before, here) = bytes.split_at_checked(at)?;
        let from = self.starts.partition_point(|(other, _)| *other < pair);
        self.starts
            .get(from..)?
            .iter()
            .take_while(|(other, _)| *other == pair)
            .find_map(|(_, start)| match start.what {
                What::Token(index, which) => {
                    let token = self.tokens.get(index)?;
                    let text = token.starts.get(which)?;
                    let after = here.strip_prefix(text.as_bytes())?;
                    is_token(token, before, after).then_some(token.name.as_str())
                }
                What::Shape(shape) => {
                    let after = here.strip_prefix(start.text)?;
                    shape.is_there(before, start.text, after).then_some(shape.name())
                }
            })
    }
}

fn pair(text: &[u8]) -> Option<u16> {
    text.first_chunk().copied().map(u16::from_le_bytes)
}

fn is_token(token: &Token, before: &[u8], after: &[u8]) -> bool {
    // Within a word it is one of those that end so.
    if before
        .last()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    {
        return false;
    }
    let most = token.most.unwrap_or(TOKEN_MAX);
    let length = after
        .iter()
        .take(most + 1)
        .take_while(|byte| is_in(token.body, **byte))
        .count();
    let Some(body) = after
        .get(..length)
        .filter(|_| (token.least..=most).contains(&length))
    else {
        return false;
    };
    let holds = token
        .holds
        .as_ref()
        .is_none_or(|text| body.windows(text.len()).any(|part| part == text.as_bytes()));
    holds && is_random(body)
}

/// Longest token.
const TOKEN_MAX: usize = 1000;

const fn is_in(body: Body, byte: u8) -> bool {
    match body {
        Body::Alnum => byte.is_ascii_alphanumeric(),
        Body::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
        Body::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
        Body::Path => byte.is_ascii_alphanumeric() || byte == b'/',
        Body::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b'A'..=b'F'),
        Body::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        Body::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
    }
}

/// Whether it may be random, and is nobody's example: enough different characters, no word of those that stand for a value.
pub(super) fn is_random(text: &[u8]) -> bool {
    const STANDS_FOR: [&[u8]; 9] = [
        b"example",
        b"xxxx",
        b"0000000",
        b"1234567890",
        b"abcdefgh",
        b"your",
        b"placeholder",
        b"redacted",
        b"dummy",
    ];
    let mut seen = [false; 256];
    for byte in text {
        if let Some(seen) = seen.get_mut(usize::from(byte.to_ascii_lowercase())) {
            *seen = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let lower = text.to_ascii_lowercase();
    different >= 6.max(text.len().min(30) / 3)
        && !STANDS_FOR
            .iter()
            .any(|word| lower.windows(word.len()).any(|part| part == *word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a token's body may be: no two runs alike, nobody's.
    fn body(kind: Body, length: usize, holds: Option<&str>) -> String {
        let alphabet: Vec<u8> = (0..128)
            .filter(|byte| is_in(kind, *byte) && byte.is_ascii_alphanumeric())
            .collect();
        let mut state = 88_172_645_463_325_252_u64;
        let mut text: String = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()])
        })
        .take(length)
        .collect();
        if let Some(holds) = holds {
            text.replace_range(4..4 + holds.len(), holds);
        }
        text
    }

    #[test]
    fn every_shape_is_found_and_only_whole() {
        let scanner = Scanner::new().unwrap();
        for token in tokens().unwrap() {
            assert!(!token.source.is_empty());
            for start in &token.starts {
                let good = body(token.body, token.least, token.holds.as_deref());
                let whole = format!("{start}{good}");
                for text in [
                    whole.clone(),
                    format!("token = \"{whole}\"\n"),
                    format!("TOKEN={whole} more"),
                    format!("\0\n{whole}\0"),
                ] {
                    assert_eq!(
                        scanner.first(text.as_bytes()),
                        Some(token.name.as_str()),
                        "{text}"
                    );
                }
                for text in [
                    format!("{start}{}", good.get(1..).unwrap()),
                    format!("{start}{}", "x".repeat(token.least)),
                    format!("{start}{}example", good.get(..token.least - 7).unwrap()),
                    format!("a{whole}"),
                    start.clone(),
                ] {
                    let found = scanner.first(text.as_bytes());
                    assert_ne!(found, Some(token.name.as_str()), "{text}");
                }
                if let Some(most) = token.most {
                    let long = body(token.body, most + 1, token.holds.as_deref());
                    assert_eq!(
                        scanner.first(format!("{start}{long}").as_bytes()),
                        None,
                        "{start}{long}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_ordinary_is_not_found() {
        let scanner = Scanner::new().unwrap();
        let mut text = String::new();
        for number in 0..20_000_u32 {
            text.push_str(&format!("{:08x}", number.wrapping_mul(2_654_435_761)));
            if number % 8 == 0 {
                text.push('\n');
            }
        }
        assert_eq!(scanner.first(text.as_bytes()), None);
        for text in [
            "sk-learn, ask-me-anything, risk-free, disk-usage-of-the-very-long-named-directory-in-here",
            "const AKIA = 1; AKIAIOSFODNN7EXAMPLE",
            "ghp_ is the prefix of GitHub's tokens: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "npm_config_registry npm_lifecycle_event npm_package_version_and_more_of_them",
            "sha512-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4==",
        ] {
            assert_eq!(scanner.first(text.as_bytes()), None, "{text}");
        }
    }
}
