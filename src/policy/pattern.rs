//! Patterns of names and of paths in the project: `*`, `?` and `**`, nothing else.
//!
//! What can't be enforced exactly as it reads is refused when it is parsed: a class such as `[ab]` taken for a literal
//! name would leave a file open that the user meant to hide.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest pattern in bytes.
const LENGTH_MAX: usize = 4096;
/// Most components of one pattern.
const COMPONENTS_MAX: usize = 64;
/// Most stars in one name: matching costs at most the product of both lengths.
const STARS_MAX: usize = 8;

/// A pattern of one name: `*` stands for any run of bytes (a leading dot too), `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern {
    text: Vec<u8>,
    case: Case,
    /// Bytes before the first wildcard and after the last.
    fixed: Option<(usize, usize)>,
}

/// Whether letters of different case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// As written.
    Exact,
    /// ASCII letters match both ways: built-in data, since the project may lie on a file system that folds case.
    Folded,
}

/// One step of a path pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Component {
    /// Any number of directories, none as well (`**`).
    AnyDepth,
    /// One name.
    Name(NamePattern),
}

/// A pattern of paths beneath a root. Never empty, never ends with [`Component::AnyDepth`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    components: Vec<Component>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// Nothing to match, or everything.
    #[error("`{0}` matches nothing or everything: name what is meant")]
    Empty(String),
    /// Too long, too many components or too many stars.
    #[error("`{0}` is too long a pattern")]
    TooLong(String),
    /// Something that shells know and this doesn't.
    #[error(
        "`{text}` holds `{character}`, which is not supported: use `*`, `?` and `**`, one pattern for each case"
    )]
    Unsupported {
        /// The pattern.
        text: String,
        /// The first such character.
        character: char,
    },
    /// `**` beside other characters.
    #[error("`{0}`: `**` must stand alone between slashes")]
    AnyDepthInName(String),
    /// `.` or `..` or an empty component.
    #[error("`{0}` must not hold `.`, `..` or doubled slashes")]
    Dots(String),
    /// Absolute where a path in the project is meant, or outside of it.
    #[error("`{0}` does not lie in the project: patterns can only be enforced there")]
    Outside(String),
}

impl NamePattern {
    /// Parses one name.
    ///
    /// # Errors
    /// [`PathPatternError`].
    pub fn parse(text: &str, case: Case) -> Result<Self, PathPatternError> {
        Self::parse_bytes(text.as_bytes(), case)
    }

    fn parse_bytes(text: &[u8], case: Case) -> Result<Self, PathPatternError> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        if text.is_empty() {
            return Err(PathPatternError::Empty(shown()));
        }
        if text == b"." || text == b".." {
            return Err(PathPatternError::Dots(shown()));
        }
        if text.windows(2).any(|pair| pair == b"**") {
            return Err(PathPatternError::AnyDepthInName(shown()));
        }
        let odd = |byte: &u8| matches!(byte, b'[' | b']' | b'{' | b'}' | b'\\' | b'/' | b'\0' | b'\n');
        let leading = text.first().filter(|byte| matches!(byte, b'!' | b'~'));
        if let Some(byte) = text.iter().find(|byte| odd(byte)).or(leading) {
            return Err(PathPatternError::Unsupported {
                text: shown(),
                character: char::from(*byte),
            });
        }
        if text.iter().filter(|byte| **byte == b'*').count() > STARS_MAX {
            return Err(PathPatternError::TooLong(shown()));
        }
        let text = match case {
            Case::Exact => text.to_vec(),
            Case::Folded => text.to_ascii_lowercase(),
        };
        let wild = |byte: &u8| matches!(byte, b'*' | b'?');
        let first = text.iter().position(wild);
        let last = text.iter().rev().position(wild);
        Ok(Self {
            text,
            case,
            fixed: first.zip(last),
        })
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        if !self.fits_edges(name) {
            return false;
        }
        let (mut rest, mut left) = (self.text.as_slice(), name);
        // Where to go on when what follows the last star doesn't fit.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (rest.split_first(), left.split_first()) {
                (None, None) => return true,
                (Some((b'*', after)), _) => {
                    retry = Some((after, left));
                    rest = after;
                    continue;
                }
                (Some((b'?', after)), Some((_, tail))) => {
                    rest = after;
                    // A character of UTF-8 is one leading byte and those of the form 10xxxxxx (RFC 3629).
                    let more = tail.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
                    left = tail.get(more..).unwrap_or_default();
                    continue;
                }
                (Some((wanted, after)), Some((byte, tail))) if *wanted == self.fold(*byte) => {
                    rest = after;
                    left = tail;
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((after, from)) if !from.is_empty() => {
                    let from = from.get(1..).unwrap_or_default();
                    retry = Some((after, from));
                    rest = after;
                    left = from;
                }
                _ => return false,
            }
        }
    }

    /// The bytes before the first wildcard, and those after the last; `None` when there is no wildcard.
    #[must_use]
    pub fn ends(&self) -> Option<(&[u8], &[u8])> {
        let (first, last) = self.fixed?;
        let start = self.text.get(..first).unwrap_or_default();
        Some((start, self.text.get(self.text.len() - last..).unwrap_or_default()))
    }

    /// The letters before the first and after the last wildcard: most names differ there.
    fn fits_edges(&self, name: &[u8]) -> bool {
        let (start, end) = self.ends().unwrap_or((&self.text, &[]));
        let same = |(wanted, byte): (&u8, &u8)| *wanted == self.fold(*byte);
        name.len() >= start.len() + end.len()
            && end.iter().rev().zip(name.iter().rev()).all(same)
            && start.iter().zip(name).all(same)
    }

    /// The pattern as matched: lower case where case is folded.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    const fn fold(&self, byte: u8) -> u8 {
        match self.case {
            Case::Exact => byte,
            Case::Folded => byte.to_ascii_lowercase(),
        }
    }
}

impl PathPattern {
    /// Parses a pattern relative to the root: `a/b`, `./secret`, `**/*.pem`. `a/**` is `a` itself, since a rule on a
    /// directory holds for all beneath it.
    ///
    /// # Errors
    /// [`PathPatternError`].
    pub fn parse(text: &str, case: Case) -> Result<Self, PathPatternError> {
        Self::parse_bytes(text.as_bytes(), case)
    }

    /// Parses an absolute pattern that begins with `root`. The root is taken as it is: wildcards in it are letters.
    ///
    /// # Errors
    /// [`PathPatternError::Outside`] when it doesn't begin with the root, and the others.
    pub fn beneath(root: &Path, path: &Path) -> Result<Self, PathPatternError> {
        match path.strip_prefix(root) {
            Ok(rest) => Self::parse_bytes(rest.as_os_str().as_bytes(), Case::Exact),
            Err(_) => Err(PathPatternError::Outside(path.to_string_lossy().into_owned())),
        }
    }

    /// The pattern of one path beneath `root`: every character stands for itself. There is none for a path that holds a
    /// wildcard.
    ///
    /// # Errors
    /// As [`Self::beneath`].
    pub fn literal(root: &Path, path: &Path) -> Result<Self, PathPatternError> {
        let shown = || path.to_string_lossy().into_owned();
        let rest = path
            .strip_prefix(root)
            .map_err(|_| PathPatternError::Outside(shown()))?;
        let mut components = Vec::new();
        for name in rest {
            let text = name.as_bytes().to_vec();
            if let Some(wild) = text.iter().find(|byte| matches!(byte, b'*' | b'?')) {
                return Err(PathPatternError::Unsupported {
                    text: shown(),
                    character: char::from(*wild),
                });
            }
            components.push(Component::Name(NamePattern {
                text,
                case: Case::Exact,
                fixed: None,
            }));
        }
        match components.len() {
            0 => Err(PathPatternError::Empty(shown())),
            count if count > COMPONENTS_MAX => Err(PathPatternError::TooLong(shown())),
            _ => Ok(Self { components }),
        }
    }

    fn parse_bytes(text: &[u8], case: Case) -> Result<Self, PathPatternError> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        if text.len() > LENGTH_MAX {
            return Err(PathPatternError::TooLong(shown()));
        }
        if text.starts_with(b"/") {
            return Err(PathPatternError::Outside(shown()));
        }
        let bare = text.strip_prefix(b"./").unwrap_or(text);
        let bare = bare.strip_suffix(b"/").unwrap_or(bare);
        let mut components = Vec::new();
        for part in bare.split(|byte| *byte == b'/') {
            match part {
                b"**" if components.last() == Some(&Component::AnyDepth) => {}
                b"**" => components.push(Component::AnyDepth),
                b"" if bare.is_empty() => {}
                b"" => return Err(PathPatternError::Dots(shown())),
                _ => components.push(Component::Name(NamePattern::parse_bytes(part, case)?)),
            }
        }
        if components.last() == Some(&Component::AnyDepth) {
            components.pop();
        }
        match components.len() {
            0 => Err(PathPatternError::Empty(shown())),
            count if count > COMPONENTS_MAX => Err(PathPatternError::TooLong(shown())),
            _ => Ok(Self { components }),
        }
    }

    /// Whether a path relative to the root is meant, or lies beneath one that is.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        let names: Vec<&[u8]> = path.iter().map(OsStrExt::as_bytes).collect();
        fits(&self.components, &names)
    }

    /// The steps, outermost first.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }
}

fn fits(pattern: &[Component], names: &[&[u8]]) -> bool {
    match (pattern.split_first(), names.split_first()) {
        (None, _) => true,
        (Some((Component::AnyDepth, rest)), left) => {
            fits(rest, names) || left.is_some_and(|(_, below)| fits(pattern, below))
        }
        (Some((Component::Name(pattern), rest)), Some((name, below))) => {
            pattern.matches(name) && fits(rest, below)
        }
        (Some((Component::Name(_), _)), None) => false,
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, component) in self.components.iter().enumerate() {
            if index > 0 {
                formatter.write_str("/")?;
            }
            match component {
                Component::AnyDepth => formatter.write_str("**")?,
                Component::Name(name) => formatter.write_str(&String::from_utf8_lossy(name.bytes()))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(pattern: &str, text: &str) -> bool {
        NamePattern::parse(pattern, Case::Exact)
            .unwrap()
            .matches(text.as_bytes())
    }

    #[test]
    fn names() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ".env"),
            ("*.key", ".key"),
            ("a*c*e", "abcde"),
            ("?", "ü"),
            ("a?c", "abc"),
            ("*a*", "bab"),
        ] {
            assert!(name(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "A"),
            ("*.key", "a.keys"),
            ("a*c", "ab"),
            ("?", "ab"),
            ("?", ""),
            ("*ab", "ba"),
        ] {
            assert!(!name(pattern, text), "{pattern} {text}");
        }
        assert!(NamePattern::parse(".ENV", Case::Folded).unwrap().matches(b".eNv"));
    }

    #[test]
    fn what_cannot_be_enforced_is_refused() {
        for text in [
            "",
            "/",
            "**",
            "./",
            "**/**",
            "a[bc]",
            "{a,b}",
            "a\\b",
            "../a",
            "a/../b",
            "a//b",
            "a**b",
            "!a",
            "~/a",
            "/**/*.pem",
        ] {
            assert!(PathPattern::parse(text, Case::Exact).is_err(), "{text:?}");
        }
        assert!(PathPattern::parse(&"*a".repeat(9), Case::Exact).is_err());
        assert!(PathPattern::parse(&"a/".repeat(70), Case::Exact).is_err());
    }

    #[test]
    fn a_directory_stands_for_all_beneath_it() {
        for text in ["logs/**", "./logs", "logs/", "logs/**/**"] {
            assert_eq!(
                PathPattern::parse(text, Case::Exact).unwrap().to_string(),
                "logs",
                "{text}"
            );
        }
        assert_eq!(
            PathPattern::parse("**/**/a", Case::Exact).unwrap().to_string(),
            "**/a"
        );
    }

    #[test]
    fn paths_that_are_meant() {
        for (pattern, path, expected) in [
            ("a", "a", true),
            ("a", "a/b", true),
            ("a", "b/a", false),
            ("**/*.key", "x.key", true),
            ("**/*.key", "a/b/x.key", true),
            ("**/*.key", "a/x.key/y", true),
            ("**/*.key", "a/x.keys", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/b/c", true),
            ("a/**/c", "a/b", false),
        ] {
            let parsed = PathPattern::parse(pattern, Case::Exact).unwrap();
            assert_eq!(parsed.holds(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_root_is_no_pattern() {
        let root = Path::new("/home/u/a[1]*");
        let pattern = PathPattern::beneath(root, Path::new("/home/u/a[1]*/x/*.pem")).unwrap();
        assert_eq!(pattern.to_string(), "x/*.pem");
        assert!(PathPattern::beneath(root, Path::new("/**/*.pem")).is_err());
        assert!(PathPattern::beneath(root, root).is_err());
    }

    /// The definition, without any thought of speed.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            (Some((b'?', rest)), Some((_, tail))) => slow(rest, tail),
            (Some((wanted, rest)), Some((byte, tail))) => wanted == byte && slow(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_defined(pattern in "[ab?*]{1,8}", text in "[ab]{0,10}") {
            if let Ok(parsed) = NamePattern::parse(&pattern, Case::Exact) {
                prop_assert_eq!(parsed.matches(text.as_bytes()), slow(pattern.as_bytes(), text.as_bytes()));
            }
        }
    }
}
