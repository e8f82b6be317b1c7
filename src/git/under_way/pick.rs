//! A cherry-pick or a revert.

use super::todo::{self, Step, Verb};
use super::{Reader, UnderWayError, line};
use crate::git::object_id::ObjectId;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `git cherry-pick`.
    Pick,
    /// `git revert`.
    Revert,
}

impl Direction {
    pub(super) const fn head(self) -> &'static str {
        match self {
            Self::Pick => "CHERRY_PICK_HEAD",
            Self::Revert => "REVERT_HEAD",
        }
    }

    const fn verb(self) -> Verb {
        match self {
            Self::Pick => Verb::Pick,
            Self::Revert => Verb::Revert,
        }
    }
}

/// One that stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Which way.
    pub direction: Direction,
    /// The commit at which it stopped.
    pub at: Option<ObjectId>,
    /// What the commit will say.
    pub message: Option<String>,
    /// What comes after, where there were several.
    pub sequence: Option<Sequence>,
}

/// A cherry-pick or revert of several commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Where it began, and `--abort` leads back to.
    pub head: ObjectId,
    /// Where it is: `--abort` does nothing from elsewhere.
    pub safe: Option<ObjectId>,
    /// What is to be done, from the commit on at which it stopped.
    pub todo: Vec<Step>,
    /// Options that are on.
    pub options: Vec<&'static str>,
}

/// Options without a value that git keeps, and that start nothing.
const OPTIONS: [&str; 8] = [
    "no-commit",
    "edit",
    "allow-empty",
    "allow-empty-message",
    "keep-redundant-commits",
    "signoff",
    "record-origin",
    "allow-ff",
];
const KNOWN: [&str; 4] = [
    "sequencer/head",
    "sequencer/todo",
    "sequencer/opts",
    "sequencer/abort-safety",
];

pub(super) fn read(reader: &Reader<'_>) -> Result<Pick, UnderWayError> {
    let direction = if reader.flag(Direction::Revert.head()) {
        Direction::Revert
    } else {
        Direction::Pick
    };
    let mut known = KNOWN.to_vec();
    known.extend([direction.head(), "MERGE_MSG"]);
    reader.only(&known)?;
    let sequence = if reader.flag("sequencer/todo") {
        Some(sequence(reader)?)
    } else {
        // What lies there without one is no longer, or not yet, one.
        reader.only(&[direction.head(), "MERGE_MSG"])?;
        None
    };
    let direction = match sequence.as_ref().and_then(|sequence| sequence.todo.first()) {
        Some(Step::Do {
            verb: Verb::Revert, ..
        }) => Direction::Revert,
        _ => direction,
    };
    let one_way = |step: &Step| matches!(step, Step::Do { verb, .. } if *verb == direction.verb());
    if let Some(other) = sequence
        .iter()
        .flat_map(|sequence| &sequence.todo)
        .find(|step| !one_way(step))
    {
        let shown = String::from_utf8_lossy(&todo::write(std::slice::from_ref(other))).into_owned();
        return Err(UnderWayError::Step(shown.trim_end().to_owned()));
    }
    Ok(Pick {
        direction,
        at: reader.id(direction.head())?,
        message: reader.text("MERGE_MSG")?,
        sequence,
    })
}

fn sequence(reader: &Reader<'_>) -> Result<Sequence, UnderWayError> {
    let mut options = Vec::new();
    for text in reader.text("sequencer/opts")?.unwrap_or_default().lines() {
        let text = text.trim();
        if text.is_empty() || text == "[options]" {
            continue;
        }
        let known = OPTIONS.iter().find(|option| {
            let value = text.strip_prefix(**option).map(str::trim_start);
            let value = value.and_then(|value| value.strip_prefix('=')).map(str::trim);
            value == Some("true")
        });
        options.push(*known.ok_or_else(|| Reader::refused("sequencer/opts"))?);
    }
    Ok(Sequence {
        head: reader.needed_id("sequencer/head")?,
        safe: match reader.word("sequencer/abort-safety")?.as_deref() {
            None | Some("") => None,
            Some(_) => reader.id("sequencer/abort-safety")?,
        },
        todo: reader.steps("sequencer/todo")?,
        options,
    })
}

impl Pick {
    pub(super) fn commits(&self) -> Vec<ObjectId> {
        let mut commits: Vec<ObjectId> = self.at.into_iter().collect();
        if let Some(sequence) = &self.sequence {
            commits.push(sequence.head);
            commits.extend(sequence.safe);
            commits.extend(sequence.todo.iter().filter_map(Step::commit));
        }
        commits
    }

    pub(super) fn write(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut file = |name: &str, content: Vec<u8>| files.push((name.to_owned(), content));
        if let Some(message) = &self.message {
            file("MERGE_MSG", message.clone().into_bytes());
        }
        if let Some(sequence) = &self.sequence {
            file("sequencer/head", line(&sequence.head));
            file("sequencer/todo", todo::write(&sequence.todo));
            if let Some(safe) = sequence.safe {
                file("sequencer/abort-safety", line(&safe));
            }
            if !sequence.options.is_empty() {
                let options: String = sequence
                    .options
                    .iter()
                    .map(|option| format!("\t{option} = true\n"))
                    .collect();
                file("sequencer/opts", format!("[options]\n{options}").into_bytes());
            }
        }
        if let Some(at) = self.at {
            file(self.direction.head(), line(&at));
        }
        files
    }
}
