//! The path of a request in the one form that rules are compared with, and patterns of such paths.
//!
//! A server may decode what a rule saw encoded, fold `..`, drop empty segments, take a backslash for a slash. So what
//! servers read differently is no [`RequestPath`] at all: it is refused where rules ask for paths, and never guessed.
//! What is left is decoded, and one path has one form. The query is no part of it.

use super::environment::matches_star;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest target of a request in bytes, with its query.
const TARGET_MAX: usize = 16 * 1024;

/// A path of a request that every server reads in the same way. A slash at its end counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestPath {
    /// Decoded; none is empty, `.` or `..`.
    segments: Vec<String>,
}

/// A pattern of paths: `*` within a segment, `**` for any number of segments, none included.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestPathPattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    /// Any number of segments.
    Deep,
    /// One, decoded, with stars.
    One(String),
}

/// Which letters are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Each is itself: an allow never is wider than it looks.
    Exact,
    /// Capitals and small ones: a deny never is narrower than it looks, and some servers make no difference.
    Folded,
}

/// Why a text is no path that could be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestPathError {
    /// It doesn't begin with a slash.
    #[error("it is no path: it doesn't begin with `/`")]
    NotAbsolute,
    /// Too long.
    #[error("it is too long")]
    TooLong,
    /// A percent sign without two hexadecimal digits.
    #[error("a `%` without two hexadecimal digits after it")]
    Escape,
    /// An encoded slash or backslash.
    #[error("an encoded slash: servers differ in what it means")]
    EncodedSlash,
    /// An encoded percent sign: decoded twice it is something else.
    #[error("an encoded `%`: servers differ in how often they decode")]
    EncodedPercent,
    /// A backslash.
    #[error("a backslash: some servers take it for a slash")]
    Backslash,
    /// A semicolon, encoded or not.
    #[error("a `;`: some servers leave out what follows it")]
    Parameter,
    /// A number sign.
    #[error("a `#`: it belongs to no request")]
    Fragment,
    /// A control character or a space, encoded or not (a space may be encoded).
    #[error("a control character or a space")]
    Control,
    /// An empty segment.
    #[error("an empty segment (`//`): some servers leave it out")]
    Empty,
    /// `.`, `..` and longer rows of dots.
    #[error("a segment of dots alone: servers fold it")]
    Dots,
    /// Bytes that aren't UTF-8: overlong forms of slashes and dots among them.
    #[error("bytes that aren't UTF-8")]
    NotText,
    /// A character that some servers turn into a slash, a dot or the like.
    #[error("a character that some servers take for a slash, a dot or the like")]
    Lookalike,
    /// In a pattern: `**` beside other characters.
    #[error("`**` must be a segment of its own")]
    DeepInSegment,
    /// In a pattern: a query.
    #[error("a rule can't name a query: requests are judged by their path")]
    Query,
    /// In a pattern: an encoded star.
    #[error("a rule can't name a star: `*` stands for any characters, a star among them")]
    EncodedStar,
}

impl RequestPath {
    /// Reads the target of a request in origin form (RFC 9112 3.2.1): a path, and a query that is left out.
    ///
    /// # Errors
    /// For what servers could read in two ways.
    pub fn parse(target: &[u8]) -> Result<Self, RequestPathError> {
        if target.len() > TARGET_MAX {
            return Err(RequestPathError::TooLong);
        }
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let segments = split(path)?.map(segment).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments })
    }

    /// The pattern that means this path. Stars in it become patterns, which mean themselves too.
    #[must_use]
    pub fn pattern(&self) -> RequestPathPattern {
        let one = |segment: &String| {
            let mut glob = String::with_capacity(segment.len());
            for character in segment.chars() {
                // Two stars would be another pattern when it is written down.
                if character != '*' || !glob.ends_with('*') {
                    glob.push(character);
                }
            }
            Part::One(glob)
        };
        RequestPathPattern {
            parts: self.segments.iter().map(one).collect(),
        }
    }
}

impl RequestPathPattern {
    /// Whether a path is meant.
    #[must_use]
    pub fn matches(&self, path: &RequestPath, letters: Letters) -> bool {
        let segments: Vec<String> = match letters {
            Letters::Exact => path.segments.clone(),
            Letters::Folded => path.segments.iter().map(|text| text.to_lowercase()).collect(),
        };
        let fits = |glob: &str, segment: &str| match letters {
            Letters::Exact => matches_star(glob, segment),
            Letters::Folded => matches_star(&glob.to_lowercase(), segment),
        };
        let (mut part, mut at) = (0, 0);
        // Where to go on when it doesn't fit: after the last `**`, with one segment more in it.
        let mut again: Option<(usize, usize)> = None;
        loop {
            match (self.parts.get(part), segments.get(at)) {
                (Some(Part::Deep), _) => {
                    part += 1;
                    again = Some((part, at));
                    continue;
                }
                (Some(Part::One(glob)), Some(segment)) if fits(glob, segment) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                (None, None) => return true,
                (Some(Part::One(_)), _) | (None, Some(_)) => {}
            }
            match again {
                Some((after, from)) if from < segments.len() => {
                    again = Some((after, from + 1));
                    (part, at) = (after, from + 1);
                }
                Some(_) | None => return false,
            }
        }
    }
}

/// The segments of an absolute path, encoded. One slash at the end is left out.
fn split(path: &[u8]) -> Result<impl Iterator<Item = &[u8]>, RequestPathError> {
    let rest = path.strip_prefix(b"/").ok_or(RequestPathError::NotAbsolute)?;
    let rest = rest.strip_suffix(b"/").unwrap_or(rest);
    // `//` is an empty segment, `/` has none.
    let none = path.len() == 1;
    Ok(rest.split(|byte| *byte == b'/').skip(usize::from(none)))
}

/// One segment, decoded.
fn segment(encoded: &[u8]) -> Result<String, RequestPathError> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let byte = match byte {
            b'%' => {
                let Some((digits, after)) = rest.split_first_chunk::<2>() else {
                    return Err(RequestPathError::Escape);
                };
                rest = after;
                match decoded(*digits).ok_or(RequestPathError::Escape)? {
                    b'/' | b'\\' => return Err(RequestPathError::EncodedSlash),
                    b'%' => return Err(RequestPathError::EncodedPercent),
                    byte => byte,
                }
            }
            b'\\' => return Err(RequestPathError::Backslash),
            b'#' => return Err(RequestPathError::Fragment),
            b' ' => return Err(RequestPathError::Control),
            byte => *byte,
        };
        match byte {
            b';' => return Err(RequestPathError::Parameter),
            0..=0x1f | 0x7f => return Err(RequestPathError::Control),
            byte => bytes.push(byte),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| RequestPathError::NotText)?;
    if text.is_empty() {
        return Err(RequestPathError::Empty);
    }
    if text.bytes().all(|byte| byte == b'.') {
        return Err(RequestPathError::Dots);
    }
    match text.chars().any(is_lookalike) {
        true => Err(RequestPathError::Lookalike),
        false => Ok(text),
    }
}

fn decoded(digits: [u8; 2]) -> Option<u8> {
    // `from_str_radix` would take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
}

/// Characters whose compatibility form (Unicode NFKC) holds one of `/ \ . % ;`, and control characters of Latin-1.
const fn is_lookalike(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{37e}'
            | '\u{2024}'..='\u{2026}'
            | '\u{2044}'
            | '\u{2100}'
            | '\u{2101}'
            | '\u{2105}'
            | '\u{2106}'
            | '\u{2215}'
            | '\u{2488}'..='\u{249b}'
            | '\u{fe19}'
            | '\u{fe30}'
            | '\u{fe52}'
            | '\u{fe54}'
            | '\u{fe68}'
            | '\u{fe6a}'
            | '\u{ff05}'
            | '\u{ff0e}'
            | '\u{ff0f}'
            | '\u{ff1b}'
            | '\u{ff3c}'
    )
}

impl FromStr for RequestPathPattern {
    type Err = RequestPathError;

    fn from_str(text: &str) -> Result<Self, RequestPathError> {
        if text.contains('?') {
            return Err(RequestPathError::Query);
        }
        let part = |encoded: &[u8]| match encoded {
            b"**" => Ok(Part::Deep),
            encoded if encoded.windows(2).any(|two| two == b"**") => Err(RequestPathError::DeepInSegment),
            encoded if encoded.windows(3).any(|three| three.eq_ignore_ascii_case(b"%2a")) => {
                Err(RequestPathError::EncodedStar)
            }
            encoded => segment(encoded).map(Part::One),
        };
        let mut parts = split(text.as_bytes())?.map(part).collect::<Result<Vec<_>, _>>()?;
        // Any number, twice.
        parts.dedup_by(|next, last| *next == Part::Deep && *last == Part::Deep);
        Ok(Self { parts })
    }
}

impl FromStr for RequestPath {
    type Err = RequestPathError;

    fn from_str(text: &str) -> Result<Self, RequestPathError> {
        Self::parse(text.as_bytes())
    }
}

impl TryFrom<String> for RequestPath {
    type Error = RequestPathError;
    fn try_from(text: String) -> Result<Self, RequestPathError> {
        text.parse()
    }
}

impl From<RequestPath> for String {
    fn from(path: RequestPath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(formatter, self.segments.iter().map(String::as_str))
    }
}

impl fmt::Display for RequestPathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().map(|part| match part {
            Part::Deep => "**",
            Part::One(glob) => glob,
        });
        show(formatter, parts)
    }
}

/// Encodes again what can't stand in a path (RFC 3986 3.3).
fn show<'a>(
    formatter: &mut fmt::Formatter<'_>,
    segments: impl ExactSizeIterator<Item = &'a str>,
) -> fmt::Result {
    if segments.len() == 0 {
        return formatter.write_str("/");
    }
    for segment in segments {
        formatter.write_str("/")?;
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
                write!(formatter, "{}", char::from(byte))?;
            } else {
                write!(formatter, "%{byte:02X}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_form_for_each_path() {
        for (target, shown) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a?x=/../y", "/a"),
            ("/%61%2Db", "/a-b"),
            ("/a%20b/%c3%a9", "/a%20b/%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/@scope/pkg:1", "/@scope/pkg:1"),
            ("/a%3fb", "/a%3Fb"),
            ("/...a", "/...a"),
        ] {
            assert_eq!(
                RequestPath::parse(target.as_bytes()).unwrap().to_string(),
                shown,
                "{target}"
            );
        }
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        use RequestPathError as E;
        for (target, why) in [
            (&b""[..], E::NotAbsolute),
            (b"*", E::NotAbsolute),
            (b"a", E::NotAbsolute),
            (b"?/a", E::NotAbsolute),
            (b"//", E::Empty),
            (b"//a", E::Empty),
            (b"/a//b", E::Empty),
            (b"/a//", E::Empty),
            (b"/.", E::Dots),
            (b"/a/..", E::Dots),
            (b"/a/../b", E::Dots),
            (b"/a/%2e%2E/b", E::Dots),
            (b"/a/.%2e/b", E::Dots),
            (b"/a/.../b", E::Dots),
            (b"/a\\b", E::Backslash),
            (b"/a%5cb", E::EncodedSlash),
            (b"/a%2fb", E::EncodedSlash),
            (b"/a%2F..%2Fb", E::EncodedSlash),
            (b"/a%252e", E::EncodedPercent),
            (b"/a;b", E::Parameter),
            (b"/a/..;/b", E::Parameter),
            (b"/a%3bb", E::Parameter),
            (b"/a%00b", E::Control),
            (b"/a%0d%0ab", E::Control),
            (b"/a\0b", E::Control),
            (b"/a b", E::Control),
            (b"/a\tb", E::Control),
            (b"/a#b", E::Fragment),
            (b"/a%", E::Escape),
            (b"/a%2", E::Escape),
            (b"/a%zz", E::Escape),
            (b"/a%+1", E::Escape),
            (b"/%c0%af", E::NotText),
            (b"/%c0%ae%c0%ae/", E::NotText),
            (b"/\xff", E::NotText),
            ("/a\u{ff0f}b".as_bytes(), E::Lookalike),
            (b"/%e2%80%a5/b", E::Lookalike),
        ] {
            assert_eq!(RequestPath::parse(target), Err(why), "{}", target.escape_ascii());
        }
        assert_eq!(RequestPath::parse(&[b'/'; TARGET_MAX + 1]), Err(E::TooLong));
    }

    fn matches(pattern: &str, path: &str, letters: Letters) -> bool {
        let pattern: RequestPathPattern = pattern.parse().unwrap();
        pattern.matches(&path.parse().unwrap(), letters)
    }

    #[test]
    fn patterns() {
        for (pattern, path, meant) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/a", "/a", true),
            ("/a/", "/a", true),
            ("/a", "/a/", true),
            ("/a", "/a/b", false),
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/repos/acme/**", "/repos/acme/x/y", true),
            ("/repos/acme/**", "/repos/acme", true),
            ("/repos/acme/**", "/repos/acmes/x", false),
            ("/repos/*/pulls", "/repos/a/pulls", true),
            ("/repos/*/pulls", "/repos/a/b/pulls", false),
            ("/repos/*/pulls", "/repos/pulls", false),
            ("/a*", "/abc", true),
            ("/a*c*", "/abcd", true),
            ("/a*", "/b", false),
            ("/**/x/**/y", "/x/y", true),
            ("/**/x/**/y", "/a/x/b/x/c/y", true),
            ("/**/x/**/y", "/a/x/b", false),
            ("/**/b/*", "/b/b/b", true),
            ("/%61", "/a", true),
        ] {
            assert_eq!(matches(pattern, path, Letters::Exact), meant, "{pattern} {path}");
        }
        assert!(!matches("/repos/acme/**", "/REPOS/Acme/x", Letters::Exact));
        assert!(matches("/repos/Acme/**", "/REPOS/acme/x", Letters::Folded));
        assert!(matches("/É", "/%c3%a9", Letters::Folded));
    }

    #[test]
    fn what_is_no_pattern() {
        for text in [
            "", "a", "/a**", "/***", "/a?b", "/../a", "/a//b", "/%2a", "/a;b", "/a b",
        ] {
            assert!(text.parse::<RequestPathPattern>().is_err(), "{text:?}");
        }
    }

    /// The definition: each `**` takes every number of segments in turn.
    fn naive(parts: &[Part], segments: &[String]) -> bool {
        match parts.split_first() {
            None => segments.is_empty(),
            Some((Part::Deep, rest)) => (0..=segments.len()).any(|skip| naive(rest, &segments[skip..])),
            Some((Part::One(glob), rest)) => segments
                .split_first()
                .is_some_and(|(segment, after)| matches_star(glob, segment) && naive(rest, after)),
        }
    }

    proptest! {
        #[test]
        fn a_path_is_a_fixed_point(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let target = [b"/", &bytes[..]].concat();
            if let Ok(path) = RequestPath::parse(&target) {
                prop_assert_eq!(path.to_string().parse::<RequestPath>(), Ok(path.clone()));
                prop_assert!(path.pattern().matches(&path, Letters::Exact));
                prop_assert!(path.pattern().matches(&path, Letters::Folded));
                let written = path.pattern().to_string();
                prop_assert_eq!(written.parse(), Ok(path.pattern()));
            }
        }

        #[test]
        fn matching_is_as_defined(pattern in "(/(\\*\\*|a|b|\\*|a\\*)){1,6}", path in "(/[ab]{1,2}){1,7}") {
            let pattern: RequestPathPattern = pattern.parse().unwrap();
            let path: RequestPath = path.parse().unwrap();
            prop_assert_eq!(pattern.matches(&path, Letters::Exact), naive(&pattern.parts, &path.segments));
            if pattern.matches(&path, Letters::Exact) {
                prop_assert!(pattern.matches(&path, Letters::Folded));
            }
        }

        #[test]
        fn a_pattern_is_shown_as_read(text in "(/(\\*\\*|[a-c*%é]{1,4})){0,5}/?") {
            if let Ok(pattern) = text.parse::<RequestPathPattern>() {
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
        }
    }
}
