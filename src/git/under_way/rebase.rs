//! A rebase, as git's newer way of it keeps it (`rebase-merge`).

use super::author::Author;
use super::todo::{self, Step};
use super::{Reader, UnderWayError, line};
use crate::git::object_id::ObjectId;
use crate::git::ref_name::RefName;

/// Files that say something by being there.
const FLAGS: [&str; 8] = [
    "quiet",
    "verbose",
    "signoff",
    "drop_redundant_commits",
    "keep_redundant_commits",
    "no-reschedule-failed-exec",
    "reschedule-failed-exec",
    "cdate_is_adate",
];
/// Messages that are put together of several commits.
const MESSAGES: [&str; 3] = ["message", "message-fixup", "message-squash"];
/// Files that are read, or made anew from what is.
const KNOWN: [&str; 18] = [
    "head-name",
    "onto",
    "orig-head",
    "interactive",
    "git-rebase-todo",
    "git-rebase-todo.backup",
    "done",
    "end",
    "msgnum",
    "author-script",
    "stopped-sha",
    "amend",
    "patch",
    "current-fixups",
    "autostash",
    // Of notes that are copied, and of what a hook is told.
    "rewritten-list",
    "rewritten-pending",
    "strategy",
];
/// Strategies that are git's own; any other is the name of a program.
const STRATEGIES: [&str; 5] = ["ort", "recursive", "resolve", "ours", "subtree"];
const DIRECTORY: &str = "rebase-merge/";

/// One that stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebase {
    /// The branch that will become what it comes to; `None` where none was checked out.
    pub branch: Option<RefName>,
    /// What it goes on from.
    pub onto: ObjectId,
    /// Where it began, and `--abort` leads back to.
    pub from: ObjectId,
    /// What was done.
    pub done: Vec<Step>,
    /// What is to be done.
    pub todo: Vec<Step>,
    /// The commit at which it stopped.
    pub stopped: Option<ObjectId>,
    /// The commit that is to be amended, if nothing was changed.
    pub amend: Option<ObjectId>,
    /// What was put away before, and is put back after.
    pub autostash: Option<ObjectId>,
    /// Who wrote the commit at which it stopped.
    pub author: Option<Author>,
    /// What that one's commit, and those that are melded, will say: by the names of their files.
    pub messages: Vec<(&'static str, String)>,
    /// What a commit made outside of the rebase's own steps will say.
    pub merge_message: Option<String>,
    /// Melded so far.
    pub fixups: Vec<Step>,
    /// Options, by their names.
    pub flags: Vec<&'static str>,
    /// How files are merged, by the name of one of git's own ways.
    pub strategy: Option<&'static str>,
}

pub(super) fn read(reader: &Reader<'_>) -> Result<Rebase, UnderWayError> {
    let at = |name: &str| format!("{DIRECTORY}{name}");
    for name in reader.files.keys() {
        let known = match name.strip_prefix(DIRECTORY) {
            Some(own) => FLAGS.contains(&own) || MESSAGES.contains(&own) || KNOWN.contains(&own),
            None => matches!(name.as_str(), "REBASE_HEAD" | "CHERRY_PICK_HEAD" | "MERGE_MSG"),
        };
        if !known {
            return Err(Reader::refused(name));
        }
    }
    let head_name = reader.word(&at("head-name"))?.unwrap_or_default();
    let branch = match head_name.as_str() {
        "detached HEAD" => None,
        other => {
            let name = other.parse::<RefName>().ok();
            let name = name.filter(|name| name.branch().is_some());
            Some(name.ok_or_else(|| Reader::refused("rebase-merge/head-name"))?)
        }
    };
    let author = match reader.text(&at("author-script"))? {
        None => None,
        Some(text) => Some(Author::read(&text).ok_or_else(|| Reader::refused("rebase-merge/author-script"))?),
    };
    let mut messages = Vec::new();
    for name in MESSAGES {
        messages.extend(reader.text(&at(name))?.map(|text| (name, text)));
    }
    let strategy = match reader.word(&at("strategy"))? {
        None => None,
        Some(word) => {
            let known = STRATEGIES.iter().find(|known| **known == word);
            Some(*known.ok_or_else(|| Reader::refused("rebase-merge/strategy"))?)
        }
    };
    // Git writes whole names there.
    let steps = |name: &str| {
        let steps = reader.steps(&at(name))?;
        let whole = |step: &Step| step.commit().is_some() || matches!(step, Step::Break | Step::Noop);
        match steps.iter().find(|step| !whole(step)) {
            None => Ok(steps),
            Some(_) => Err(Reader::refused(name)),
        }
    };
    Ok(Rebase {
        branch,
        onto: reader.needed_id(&at("onto"))?,
        from: reader.needed_id(&at("orig-head"))?,
        done: steps("done")?,
        todo: steps("git-rebase-todo")?,
        stopped: reader.id(&at("stopped-sha"))?,
        amend: reader.id(&at("amend"))?,
        autostash: reader.id(&at("autostash"))?,
        author,
        messages,
        merge_message: reader.text("MERGE_MSG")?,
        fixups: steps("current-fixups")?,
        flags: FLAGS.into_iter().filter(|name| reader.flag(&at(name))).collect(),
        strategy,
    })
}

impl Rebase {
    pub(super) fn commits(&self) -> Vec<ObjectId> {
        let steps = self.done.iter().chain(&self.todo).chain(&self.fixups);
        let mut commits: Vec<ObjectId> = steps.filter_map(Step::commit).collect();
        commits.extend([self.onto, self.from]);
        commits.extend(self.stopped.iter().chain(&self.amend).chain(&self.autostash));
        commits.sort_unstable();
        commits.dedup();
        commits
    }

    pub(super) fn write(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        if let Some(message) = &self.merge_message {
            files.push(("MERGE_MSG".to_owned(), message.clone().into_bytes()));
        }
        if let Some(stopped) = self.stopped {
            files.push(("REBASE_HEAD".to_owned(), line(&stopped)));
        }
        let mut file = |name: &str, content: Vec<u8>| files.push((format!("{DIRECTORY}{name}"), content));
        let branch = self.branch.as_ref().map_or("detached HEAD", RefName::as_str);
        file("head-name", line(&branch));
        file("onto", line(&self.onto));
        file("orig-head", line(&self.from));
        file("interactive", Vec::new());
        file("git-rebase-todo", todo::write(&self.todo));
        let all = [self.done.as_slice(), &self.todo].concat();
        file("git-rebase-todo.backup", todo::write(&all));
        file("done", todo::write(&self.done));
        file("msgnum", line(&self.done.len()));
        file("end", line(&all.len()));
        for (name, id) in [
            ("stopped-sha", self.stopped),
            ("amend", self.amend),
            ("autostash", self.autostash),
        ] {
            if let Some(id) = id {
                file(name, line(&id));
            }
        }
        if let Some(author) = &self.author {
            file("author-script", author.write());
        }
        for (name, text) in &self.messages {
            file(name, text.clone().into_bytes());
        }
        if !self.fixups.is_empty() {
            file("current-fixups", todo::write(&self.fixups));
        }
        for name in &self.flags {
            file(name, Vec::new());
        }
        if let Some(strategy) = self.strategy {
            file("strategy", line(&strategy));
        }
        files
    }
}
