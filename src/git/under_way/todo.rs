//! A list of steps (git-rebase(1), "interactive mode"), of which those are known that name one commit and nothing else.

use super::UnderWayError;
use crate::git::object_id::{ObjectFormat, ObjectId};
use std::fmt::Write;

/// Most steps.
const STEPS_MAX: usize = 100_000;
/// Longest subject that is kept beside one; git doesn't read it.
const SUBJECT_MAX: usize = 400;
/// Shortest beginning of a name (git's `MINIMUM_ABBREV`).
const SHORT_MIN: usize = 4;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The commit is made anew here.
    Pick,
    /// Undone.
    Revert,
    /// With another message.
    Reword,
    /// To be amended.
    Edit,
    /// Melded into the one before, with both messages.
    Squash,
    /// Melded into the one before.
    Fixup,
    /// Left out.
    Drop,
}

const VERBS: [(Verb, &str, &str); 7] = [
    (Verb::Pick, "pick", "p"),
    (Verb::Revert, "revert", "revert"),
    (Verb::Reword, "reword", "r"),
    (Verb::Edit, "edit", "e"),
    (Verb::Squash, "squash", "s"),
    (Verb::Fixup, "fixup", "f"),
    (Verb::Drop, "drop", "d"),
];

impl Verb {
    /// As git writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        let found = VERBS.iter().find(|(verb, _, _)| *verb == self);
        found.map_or("pick", |(_, word, _)| word)
    }
}

/// A commit's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The whole.
    Whole(ObjectId),
    /// Its beginning: hexadecimal digits.
    Short(String),
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something is done with a commit.
    Do {
        /// What.
        verb: Verb,
        /// With which.
        commit: Named,
        /// What the commit says, for people.
        subject: String,
    },
    /// It stops there.
    Break,
    /// Nothing at all.
    Noop,
}

impl Step {
    /// The commit, where it is named by its whole name.
    #[must_use]
    pub const fn commit(&self) -> Option<ObjectId> {
        match self {
            Self::Do {
                commit: Named::Whole(id),
                ..
            } => Some(*id),
            Self::Do { .. } | Self::Break | Self::Noop => None,
        }
    }

    pub(super) const fn named_mut(&mut self) -> Option<&mut Named> {
        match self {
            Self::Do { commit, .. } => Some(commit),
            Self::Break | Self::Noop => None,
        }
    }
}

pub(super) fn read(text: &str, format: ObjectFormat) -> Result<Vec<Step>, UnderWayError> {
    let lines = text.lines().map(str::trim);
    let steps: Result<Vec<Step>, UnderWayError> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .take(STEPS_MAX + 1)
        .map(|line| {
            let shown = || line.chars().take(40).collect();
            step(line, format).ok_or_else(|| UnderWayError::Step(shown()))
        })
        .collect();
    steps.and_then(|steps| match steps.get(STEPS_MAX) {
        None => Ok(steps),
        Some(_) => Err(UnderWayError::Step("…".into())),
    })
}

fn step(line: &str, format: ObjectFormat) -> Option<Step> {
    match line {
        "noop" => return Some(Step::Noop),
        "break" | "b" => return Some(Step::Break),
        _ => {}
    }
    let (word, rest) = line.split_once([' ', '\t'])?;
    let (verb, _, _) = VERBS
        .iter()
        .find(|(_, long, short)| *long == word || *short == word)?;
    let (commit, subject) = rest.trim_start().split_once([' ', '\t']).unwrap_or((rest, ""));
    let commit = match ObjectId::parse(commit.as_bytes(), format) {
        Some(id) if !id.is_zero() => Named::Whole(id),
        Some(_) => return None,
        None => {
            let digits = commit
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let length = SHORT_MIN..format.digits();
            (digits && length.contains(&commit.len())).then(|| Named::Short(commit.to_owned()))?
        }
    };
    Some(Step::Do {
        verb: *verb,
        commit,
        subject: subject
            .chars()
            .take(SUBJECT_MAX)
            .collect::<String>()
            .trim_end()
            .to_owned(),
    })
}

pub(super) fn write(steps: &[Step]) -> Vec<u8> {
    let mut text = String::new();
    for step in steps {
        let written = match step {
            Step::Noop => writeln!(text, "noop"),
            Step::Break => writeln!(text, "break"),
            Step::Do {
                verb,
                commit,
                subject,
            } => {
                let name = match commit {
                    Named::Whole(id) => id.to_string(),
                    Named::Short(short) => short.clone(),
                };
                let line = format!("{} {name} {subject}", verb.word());
                writeln!(text, "{}", line.trim_end())
            }
        };
        // Text takes everything.
        written.ok();
    }
    text.into_bytes()
}
