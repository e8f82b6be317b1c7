//! Text that programs inside chose (names, paths, arguments) made safe for a terminal and for the reader's eye.

use std::borrow::Cow;

/// Escapes what would move the cursor, change colours, reorder or hide text: control characters (with the line feed
/// and the tab), bidirectional controls, zero-width and other invisible characters, and line separators. What is
/// left is one line that shows what it holds.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// As [`line()`], but each such character becomes one replacement character, so that columns stay where they are; a tab
/// becomes a blank.
#[must_use]
pub fn replaced(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' => ' ',
            other if is_unsafe(other) => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// As [`line()`], cut after `limit` characters with an ellipsis.
#[must_use]
pub fn line_within(text: &str, limit: usize) -> String {
    let safe = line(text);
    match safe.char_indices().nth(limit) {
        None => safe.into_owned(),
        Some((end, _)) => format!("{}…", safe.get(..end).unwrap_or_default()),
    }
}

/// Characters that act instead of showing, by the Unicode general categories Cc and Cf, the separators Zl and Zp,
/// the variation selectors, and blanks that look like nothing.
const fn is_unsafe(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn acting_characters_are_shown() {
        assert_eq!(
            line("a\x1b[31mb\r\n\u{202e}c\u{200b}"),
            r"a\u{1b}[31mb\u{d}\u{a}\u{202e}c\u{200b}"
        );
        assert!(matches!(line("Grüße, 世界"), Cow::Borrowed(_)));
    }

    #[test]
    fn cut_at_characters() {
        assert_eq!(line_within("äöü", 2), "äö…");
        assert_eq!(line_within("äöü", 3), "äöü");
    }

    proptest! {
        #[test]
        fn nothing_acts_afterwards(text in any::<String>()) {
            let safe = line(&text);
            prop_assert!(!safe.chars().any(|c| c.is_control() || is_unsafe(c)));
            prop_assert_eq!(line(&safe).into_owned(), safe.into_owned());
        }
    }
}
