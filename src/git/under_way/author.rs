//! Who wrote a commit that is made anew, as git's `author-script` has it: three variables of a shell, which git itself reads
//! and no shell does.

use std::fmt::Write;

/// Longest value.
const VALUE_MAX: usize = 1000;

/// An author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// When, as git writes it: `@1700000000 +0100`.
    pub date: String,
}

impl Author {
    /// Reads the script; `None` where it holds anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |name: &str| {
            let quoted = lines.next()?.strip_prefix(name)?.strip_prefix('=')?;
            unquoted(quoted).filter(|value| value.len() <= VALUE_MAX)
        };
        let author = Self {
            name: value("GIT_AUTHOR_NAME")?,
            email: value("GIT_AUTHOR_EMAIL")?,
            date: value("GIT_AUTHOR_DATE")?,
        };
        let plain = |text: &str| !text.chars().any(char::is_control) && !text.contains(['<', '>']);
        let good = plain(&author.name) && plain(&author.email) && is_date(&author.date);
        (good && lines.next().is_none()).then_some(author)
    }

    /// The script.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut text = String::new();
        for (name, value) in [("NAME", &self.name), ("EMAIL", &self.email), ("DATE", &self.date)] {
            // Git quotes exclamation marks too (`sq_quote_buf`).
            let quoted = value.replace('\'', "'\\''").replace('!', "'\\!'");
            writeln!(text, "GIT_AUTHOR_{name}='{quoted}'").ok();
        }
        text.into_bytes()
    }
}

fn is_date(text: &str) -> bool {
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let Some((seconds, zone)) = text.strip_prefix('@').and_then(|text| text.split_once(' ')) else {
        return false;
    };
    let zone = zone.strip_prefix(['+', '-']);
    digits(seconds, 12) && zone.is_some_and(|zone| zone.len() == 4 && digits(zone, 4))
}

/// What single quotes stand around; within them `'\''` and `'\!'` stand for those two.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut value = String::new();
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\'') {
        value.push_str(before);
        let mut behind = after.strip_prefix('\\')?.chars();
        let meant = behind.next().filter(|character| "'!".contains(*character))?;
        value.push(meant);
        rest = behind.as_str().strip_prefix('\'')?;
    }
    value.push_str(rest);
    Some(value)
}
