//! Rules on commands: words that the beginning of a command is held against.
//!
//! They are advice about the command that aca starts, and no wall: a program inside may run any copy, interpreter or
//! loader under any name. What binds programs inside is the sandbox.

use super::Origin;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::{fmt, str::FromStr};

/// Most words of one rule.
const WORDS_MAX: usize = 64;

/// Words, the program first. `*` stands for any one word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandPattern {
    words: Vec<String>,
}

/// Why a text is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandPatternError {
    /// Nothing, or `*` alone.
    #[error(
        "`{0}` means no command or every one: write a program and the words after it, as `git push --force`"
    )]
    Empty(String),
    /// Too many words.
    #[error("a rule on commands has at most {WORDS_MAX} words")]
    TooLong,
    /// A path in place of the program.
    #[error("`{0}`: the program is known by its file name: write that alone")]
    Path(String),
    /// What a shell would read otherwise.
    #[error(
        "`{word}` holds `{character}`, which is not supported: a rule is plain words, with `*` for one whole word"
    )]
    Unsupported {
        /// The word.
        word: String,
        /// The first such character.
        character: char,
    },
}

/// A rule that denies commands, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRule {
    /// Which commands.
    pub pattern: CommandPattern,
    /// Where it was written.
    pub origin: Origin,
}

impl CommandPattern {
    /// Whether a command begins with these words; the program counts by its file name.
    #[must_use]
    pub fn matches(&self, argv: &[OsString]) -> bool {
        argv.len() >= self.words.len()
            && self
                .words
                .iter()
                .zip(argv)
                .enumerate()
                .all(|(index, (word, given))| {
                    let given = if index == 0 {
                        program(given)
                    } else {
                        given.as_os_str()
                    };
                    word == "*" || given == word.as_str()
                })
    }

    /// How many of its words a command has at its beginning.
    #[must_use]
    pub fn shared(&self, argv: &[OsString]) -> usize {
        (1..=self.words.len())
            .take_while(|count| {
                let words = self.words.get(..*count).unwrap_or_default().to_vec();
                Self { words }.matches(argv)
            })
            .count()
    }
}

/// The file name of a program.
fn program(word: &OsStr) -> &OsStr {
    Path::new(word).file_name().unwrap_or(word)
}

impl FromStr for CommandPattern {
    type Err = CommandPatternError;

    fn from_str(text: &str) -> Result<Self, CommandPatternError> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if words.len() > WORDS_MAX {
            return Err(CommandPatternError::TooLong);
        }
        if words.iter().all(|word| word == "*") {
            return Err(CommandPatternError::Empty(text.to_owned()));
        }
        // What reads as more than it would do here is refused: a rule that never fits protects nobody.
        let odd = |character: &char| "\"'`\\|&;<>(){}[]?#!$\0".contains(*character);
        for word in words.iter().filter(|word| *word != "*") {
            let star = word.chars().find(|character| *character == '*');
            if let Some(character) = word.chars().find(odd).or(star) {
                return Err(CommandPatternError::Unsupported {
                    word: word.clone(),
                    character,
                });
            }
        }
        match words.first() {
            Some(first) if first.contains('/') => Err(CommandPatternError::Path(first.clone())),
            _ => Ok(Self { words }),
        }
    }
}

impl fmt::Display for CommandPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words.join(" "))
    }
}

impl TryFrom<String> for CommandPattern {
    type Error = CommandPatternError;
    fn try_from(text: String) -> Result<Self, CommandPatternError> {
        text.parse()
    }
}

impl From<CommandPattern> for String {
    fn from(pattern: CommandPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_prefix_of_words() {
        for (pattern, command, expected) in [
            ("git push --force", "git push --force origin", true),
            ("git push --force", "/usr/bin/git push --force", true),
            ("git push --force", "git push --forced", false),
            ("git push --force", "git push", false),
            ("git push --force", "git push origin --force", false),
            ("git push * --force", "git push origin --force", true),
            ("git push * --force", "git push --force", false),
            ("terraform destroy", "terraform", false),
            ("rm", "rm", true),
            ("rm", "rmdir x", false),
            ("* destroy", "tofu destroy now", true),
        ] {
            let pattern: CommandPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&words(command)), expected, "{pattern}: {command}");
        }
        assert!(!"rm".parse::<CommandPattern>().unwrap().matches(&[]));
    }

    #[test]
    fn how_near() {
        let pattern: CommandPattern = "git push --force".parse().unwrap();
        for (command, shared) in [
            ("git push origin", 2),
            ("git", 1),
            ("ls", 0),
            ("git push --force x", 3),
        ] {
            assert_eq!(pattern.shared(&words(command)), shared, "{command}");
        }
    }

    #[test]
    fn what_would_never_fit_is_refused() {
        for text in [
            "",
            "  ",
            "*",
            "* *",
            "/usr/bin/git push",
            "git 'push --force'",
            "git push; rm",
            "git push*",
            "git $X",
            "a\0b",
        ] {
            assert!(text.parse::<CommandPattern>().is_err(), "{text:?}");
        }
        assert!("a ".repeat(65).parse::<CommandPattern>().is_err());
        let shown: CommandPattern = " git   push  * ".parse().unwrap();
        assert_eq!(shown.to_string(), "git push *");
    }
}
