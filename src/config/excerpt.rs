//! The place of a fault in a file: path, line, column, the line itself and a caret under the fault.

use crate::{policy::Origin, ui::sanitize};
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// Characters of a line that are shown.
const SHOWN: usize = 100;

/// A file's text, and where it is from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// Lines for people, see the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    path: PathBuf,
    line: u32,
    column: u32,
    shown: String,
    indent: usize,
    width: usize,
}

impl Source {
    /// Where the byte `offset` is.
    pub(super) fn origin(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Origin::File {
            path: self.path.clone(),
            line: narrow(line),
            column: narrow(column),
        }
    }

    /// The excerpt of a span of bytes; of a span over several lines, its part of the first.
    pub(super) fn excerpt(&self, span: Range<usize>) -> Excerpt {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        let text = self
            .text
            .get(line_start..)
            .unwrap_or_default()
            .split('\n')
            .next()
            .unwrap_or_default();
        let text = text.strip_suffix('\r').unwrap_or(text);
        let indent = before.get(line_start..).unwrap_or_default().chars().count();
        let within = self.text.get(start..span.end.max(start)).unwrap_or_default();
        let width = within.split('\n').next().unwrap_or_default().chars().count();
        Excerpt::new(&self.path, before.matches('\n').count() + 1, text, indent, width)
    }

    /// The excerpt of a value that was read from this file, by its origin.
    pub(super) fn excerpt_at(&self, origin: &Origin) -> Option<Excerpt> {
        let Origin::File { path, line, column } = origin else {
            return None;
        };
        if *path != self.path {
            return None;
        }
        let (line, column) = (usize::try_from(*line).ok()?, usize::try_from(*column).ok()?);
        let text = self.text.lines().nth(line.checked_sub(1)?)?;
        let indent = column.checked_sub(1)?;
        let rest: Vec<char> = text.chars().skip(indent).collect();
        let quote = rest.first().copied().filter(|first| matches!(first, '"' | '\''));
        let end = rest
            .iter()
            .skip(1)
            .position(|character| quote.map_or(!character.is_alphanumeric(), |quote| *character == quote));
        let width = end.map_or(rest.len(), |end| end + 1 + usize::from(quote.is_some()));
        Some(Excerpt::new(&self.path, line, text, indent, width))
    }
}

impl Excerpt {
    fn new(path: &Path, line: usize, text: &str, indent: usize, width: usize) -> Self {
        // Of a very long line the part around the fault is shown.
        let skipped = indent.saturating_sub(SHOWN / 2);
        let shown: String = sanitize::replaced(text)
            .chars()
            .skip(skipped)
            .take(SHOWN)
            .collect();
        let indent_shown = indent - skipped;
        let room = shown.chars().count().saturating_sub(indent_shown).max(1);
        Self {
            path: path.to_owned(),
            line: narrow(line),
            column: narrow(indent + 1),
            shown,
            indent: indent_shown,
            width: width.clamp(1, room),
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let margin = self.line.to_string().len();
        let empty = "";
        writeln!(
            formatter,
            "{empty:margin$}--> {}:{}:{}",
            self.path.display(),
            self.line,
            self.column
        )?;
        writeln!(formatter, "{empty:margin$} |")?;
        writeln!(formatter, "{} | {}", self.line, self.shown)?;
        writeln!(
            formatter,
            "{empty:margin$} | {empty:indent$}{}",
            "^".repeat(self.width),
            indent = self.indent
        )
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_lines_are_cut_around_the_fault() {
        let source = Source {
            path: "c.toml".into(),
            text: format!("{}fault{}", "a".repeat(300), "b".repeat(300)),
        };
        let shown = source.excerpt(300..305).to_string();
        assert!(shown.lines().all(|line| line.chars().count() < 120), "{shown}");
        let caret = shown.lines().last().unwrap().find('^').unwrap();
        assert!(
            shown
                .lines()
                .nth(2)
                .unwrap()
                .get(caret..)
                .unwrap()
                .starts_with("fault"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_has_an_excerpt(text in any::<String>(), start in 0..200usize, end in 0..200usize) {
            let source = Source { path: "c.toml".into(), text };
            prop_assert!(source.excerpt(start..end).to_string().contains('^'));
            drop(source.excerpt_at(&source.origin(start)));
        }
    }
}
