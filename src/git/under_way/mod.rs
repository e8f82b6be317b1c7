//! What git is in the middle of: a merge, a cherry-pick or a revert, a rebase; read strictly, and written anew.
//!
//! Git keeps that in small files of its directory, and goes on from them: a list of steps may hold commands of the shell, and
//! options name programs. So what is read becomes a value of few kinds, and what isn't one of those is refused as a whole;
//! the files that git outside goes on from are written from the value alone. Sources: git's `sequencer.c`,
//! `builtin/merge.c` and `builtin/rebase.c`, and gitrepository-layout(5).

mod author;
mod pick;
mod rebase;
mod todo;

pub use author::Author;
pub use pick::{Direction, Pick, Sequence};
pub use rebase::Rebase;
pub use todo::{Named, Step, Verb};

use super::object_id::{ObjectFormat, ObjectId};
use std::collections::BTreeMap;

/// Most bytes of one of the files.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Most files of one of the directories.
pub const FILES_MAX: usize = 512;
/// Files beside the directories that belong to it.
pub const FILES: [&str; 8] = [
    "MERGE_HEAD",
    "MERGE_MODE",
    "MERGE_MSG",
    "MERGE_AUTOSTASH",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "BISECT_LOG",
];
/// The directories.
pub const DIRECTORIES: [&str; 3] = ["sequencer", "rebase-merge", "rebase-apply"];
/// Most commits that are merged at once.
const HEADS_MAX: usize = 64;

/// The files, by their paths in the git directory, each of at most [`FILE_BYTES_MAX`].
pub type Files = BTreeMap<String, Vec<u8>>;

/// What git is in the middle of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnderWay {
    /// `git merge`.
    Merge(Merge),
    /// `git cherry-pick` or `git revert`, of one commit or of several.
    Pick(Pick),
    /// `git rebase`.
    Rebase(Box<Rebase>),
}

/// A merge that wasn't committed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// What is merged.
    pub heads: Vec<ObjectId>,
    /// A commit is made of it even where the branch could just move on.
    pub no_ff: bool,
    /// What the commit will say.
    pub message: Option<String>,
    /// What was put away before, and is put back after.
    pub autostash: Option<ObjectId>,
}

/// Why it isn't taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnderWayError {
    /// Several at once, or of a kind that isn't known.
    #[error("what is under way is more than one merge, cherry-pick, revert or rebase")]
    Kind,
    /// A file that isn't known, or isn't as git writes it.
    #[error("its file {0} is not one that is brought back")]
    File(String),
    /// A step of a list.
    #[error("its list of steps has one that is not brought back (commands, labels and merges are not): {0}")]
    Step(String),
}

/// Reads it; `None` where nothing is under way.
///
/// # Errors
/// See [`UnderWayError`].
pub fn read(files: &Files, format: ObjectFormat) -> Result<Option<UnderWay>, UnderWayError> {
    let reader = Reader { files, format };
    let has = |name: &str| files.contains_key(name);
    let holds = |directory: &str| files.keys().any(|name| name.split('/').next() == Some(directory));
    if has("BISECT_LOG") || holds("rebase-apply") {
        return Err(UnderWayError::Kind);
    }
    let picks = [Direction::Pick, Direction::Revert]
        .into_iter()
        .filter(|way| has(way.head()));
    let pick = holds("sequencer") || picks.clone().next().is_some();
    match (has("MERGE_HEAD"), pick, holds("rebase-merge")) {
        (false, false, false) => Ok(None),
        (true, false, false) => reader.merge().map(UnderWay::Merge).map(Some),
        (false, true, false) if picks.count() <= 1 => pick::read(&reader).map(UnderWay::Pick).map(Some),
        // The commit at which a rebase stopped may be named as one that is picked.
        (false, _, true) if !has("REVERT_HEAD") && !holds("sequencer") => {
            let rebase = rebase::read(&reader)?;
            Ok(Some(UnderWay::Rebase(Box::new(rebase))))
        }
        _ => Err(UnderWayError::Kind),
    }
}

impl UnderWay {
    /// Every commit that it names by its whole name.
    #[must_use]
    pub fn commits(&self) -> Vec<ObjectId> {
        match self {
            Self::Merge(merge) => merge.heads.iter().chain(&merge.autostash).copied().collect(),
            Self::Pick(pick) => pick.commits(),
            Self::Rebase(rebase) => rebase.commits(),
        }
    }

    /// The names that it has in short, in the order of its steps.
    pub fn shortened(&mut self) -> impl Iterator<Item = &mut Named> {
        let steps = match self {
            Self::Pick(pick) => pick.sequence.as_mut().map(|sequence| &mut sequence.todo),
            Self::Merge(_) | Self::Rebase(_) => None,
        };
        let named = steps.into_iter().flatten().filter_map(Step::named_mut);
        named.filter(|named| matches!(named, Named::Short(_)))
    }

    /// The files that git goes on from; the last makes it so. Those in a directory belong there together.
    #[must_use]
    pub fn write(&self) -> Vec<(String, Vec<u8>)> {
        match self {
            Self::Merge(merge) => merge.write(),
            Self::Pick(pick) => pick.write(),
            Self::Rebase(rebase) => rebase.write(),
        }
    }

    /// As people say it.
    #[must_use]
    pub const fn said(&self) -> &'static str {
        match self {
            Self::Merge(_) => "a merge",
            Self::Pick(pick) => match pick.direction {
                Direction::Pick => "a cherry-pick",
                Direction::Revert => "a revert",
            },
            Self::Rebase(_) => "a rebase",
        }
    }
}

impl Merge {
    fn write(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        if let Some(message) = &self.message {
            files.push(("MERGE_MSG".to_owned(), message.clone().into_bytes()));
        }
        let mode: &[u8] = if self.no_ff { b"no-ff" } else { b"" };
        files.push(("MERGE_MODE".to_owned(), mode.to_vec()));
        if let Some(id) = self.autostash {
            files.push(("MERGE_AUTOSTASH".to_owned(), line(&id)));
        }
        let heads = self.heads.iter().flat_map(line).collect();
        files.push(("MERGE_HEAD".to_owned(), heads));
        files
    }
}

fn line(text: &impl std::fmt::Display) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

/// Takes the files one by one.
struct Reader<'a> {
    files: &'a Files,
    format: ObjectFormat,
}

impl Reader<'_> {
    fn refused(name: &str) -> UnderWayError {
        UnderWayError::File(name.to_owned())
    }

    fn merge(&self) -> Result<Merge, UnderWayError> {
        self.only(&["MERGE_HEAD", "MERGE_MODE", "MERGE_MSG", "MERGE_AUTOSTASH"])?;
        let text = self.text("MERGE_HEAD")?.unwrap_or_default();
        let heads: Option<Vec<ObjectId>> = text.lines().map(|line| self.id_of(line)).collect();
        let heads = heads.filter(|heads| (1..=HEADS_MAX).contains(&heads.len()));
        let no_ff = match self.text("MERGE_MODE")?.unwrap_or_default().trim_end() {
            "" => false,
            "no-ff" => true,
            _ => return Err(Self::refused("MERGE_MODE")),
        };
        Ok(Merge {
            heads: heads.ok_or_else(|| Self::refused("MERGE_HEAD"))?,
            no_ff,
            message: self.text("MERGE_MSG")?,
            autostash: self.id("MERGE_AUTOSTASH")?,
        })
    }

    /// Nothing but those is there, and what an earlier rebase has left.
    fn only(&self, names: &[&str]) -> Result<(), UnderWayError> {
        let known = |name: &str| names.contains(&name) || name == "REBASE_HEAD";
        let other = self.files.keys().find(|name| !known(name));
        other.map_or(Ok(()), |name| Err(Self::refused(name)))
    }

    /// What a file says, where it is plain text.
    fn text(&self, name: &str) -> Result<Option<String>, UnderWayError> {
        let Some(bytes) = self.files.get(name) else {
            return Ok(None);
        };
        let plain = |text: &&str| {
            let bad = |character: char| character.is_control() && !"\n\t\r".contains(character);
            text.len() <= FILE_BYTES_MAX && !text.chars().any(bad)
        };
        let text = str::from_utf8(bytes).ok().filter(plain);
        text.map(|text| Some(text.to_owned()))
            .ok_or_else(|| Self::refused(name))
    }

    /// One line.
    fn word(&self, name: &str) -> Result<Option<String>, UnderWayError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.contains(['\n', '\r']) {
            return Err(Self::refused(name));
        }
        Ok(Some(line.to_owned()))
    }

    fn id(&self, name: &str) -> Result<Option<ObjectId>, UnderWayError> {
        let Some(word) = self.word(name)? else {
            return Ok(None);
        };
        let id = self.id_of(&word);
        id.map(Some).ok_or_else(|| Self::refused(name))
    }

    fn needed_id(&self, name: &str) -> Result<ObjectId, UnderWayError> {
        self.id(name)?.ok_or_else(|| Self::refused(name))
    }

    fn id_of(&self, word: &str) -> Option<ObjectId> {
        ObjectId::parse(word.as_bytes(), self.format).filter(|id| !id.is_zero())
    }

    /// A file that says something by being there.
    fn flag(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn steps(&self, name: &str) -> Result<Vec<Step>, UnderWayError> {
        todo::read(&self.text(name)?.unwrap_or_default(), self.format)
    }
}

#[cfg(test)]
mod tests;
