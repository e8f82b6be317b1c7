//! Does to the host's git directory what was done inside: refs, `HEAD`, the stash, remotes and upstreams.

use super::decide::{Handled, Step, after, aside};
use super::host::{HostGit, Input};
use super::import::{News, ids, not_brought};
use super::index_lock::IndexLock;
use super::kept::coming_back;
use super::part::Around;
use super::place::{HeadText, State};
use super::read::Opened;
use crate::facts::git_config::settings;
use crate::git::object_id::ObjectId;
use crate::git::ref_files::{self, Head, LogEntry};
use crate::git::ref_name::RefName;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

/// One part's import, under way.
pub(super) struct Work<'a> {
    pub(super) git: &'a HostGit,
    pub(super) host_dir: &'a Path,
    pub(super) host_work: &'a Path,
    pub(super) session: &'a str,
    pub(super) named: &'a dyn Fn(&str) -> String,
    pub(super) news: &'a mut Vec<News>,
    pub(super) failed: bool,
    pub(super) again: bool,
}

impl<'a> Work<'a> {
    /// `host_dir` is the git directory on the host, `host_work` where in it a work tree's own files are.
    pub(super) fn new(
        around: &Around<'a>,
        (host_dir, host_work): (&'a Path, &'a Path),
        named: &'a dyn Fn(&str) -> String,
        news: &'a mut Vec<News>,
    ) -> Self {
        Self {
            git: around.git,
            host_dir,
            host_work,
            session: around.place.session(),
            named,
            news,
            failed: false,
            again: false,
        }
    }
}

impl Work<'_> {
    pub(super) fn tell(&mut self, news: News) {
        self.news.push(news);
    }

    /// It is in the private directory alone.
    pub(super) fn fail(&mut self, what: &str, why: impl std::fmt::Display) {
        self.failed = true;
        self.news.push(not_brought(&(self.named)(what), why));
    }

    pub(super) fn told_brought(&mut self, what: &str, value: impl std::fmt::Display) {
        self.news.push(News::Brought {
            what: (self.named)(what),
            value: value.to_string(),
        });
    }

    pub(super) fn call(
        &self,
        arguments: &[&str],
        more: &[(&str, &str)],
        input: Input<'_>,
    ) -> Result<Vec<u8>, String> {
        self.call_in(self.host_dir, arguments, more, input)
    }

    fn call_in(
        &self,
        git_dir: &Path,
        arguments: &[&str],
        more: &[(&str, &str)],
        input: Input<'_>,
    ) -> Result<Vec<u8>, String> {
        let words: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let what = arguments.first().copied().unwrap_or_default();
        let answer = self.git.call(git_dir, &words, more, input);
        answer
            .map_err(|error| format!("git {what}: {error}"))?
            .checked(what)
    }

    fn message(&self) -> String {
        format!("aca: brought back from {}", self.session)
    }

    pub(super) fn refs(
        &mut self,
        steps: Vec<(RefName, ObjectId, Step)>,
        handled: &mut BTreeMap<RefName, Handled>,
        taken: &BTreeSet<RefName>,
    ) {
        let mut moves: Vec<(RefName, ObjectId, Option<ObjectId>)> = Vec::new();
        for (name, id, step) in steps {
            match step {
                Step::Nothing => {}
                Step::Create => moves.push((name, id, None)),
                Step::Move { .. } if taken.contains(&name) => {
                    self.aside(name, id, "another work tree outside has it", handled);
                }
                Step::Move { old, behind } => {
                    let forward = behind.is_none_or(|behind| self.is_behind(&behind, &id));
                    let own = name.branch().is_some() || name.as_str().starts_with("refs/notes/");
                    if forward && (own || behind.is_none()) {
                        moves.push((name, id, Some(old)));
                    } else {
                        self.aside(name, id, "it doesn't come after what the host has", handled);
                    }
                }
                Step::Leave(why) => self.tell(not_brought(&(self.named)(name.as_str()), why)),
                Step::Aside(why) => self.aside(name, id, why, handled),
            }
        }
        if moves.is_empty() {
            return;
        }
        let all = self.update(&moves);
        for one in moves {
            let done = match &all {
                Ok(()) => Ok(()),
                // One of them stands in the way of all.
                Err(_) => self.update(std::slice::from_ref(&one)),
            };
            let (name, id, old) = one;
            match done {
                Ok(()) => {
                    let known = after(id, handled.get(&name), old);
                    self.told_brought(name.as_str(), id);
                    handled.insert(name, known);
                }
                Err(error) => {
                    self.again = true;
                    self.fail(name.as_str(), error);
                }
            }
        }
    }

    /// What the session made goes where it is gone inside.
    pub(super) fn delete(&mut self, name: &RefName, id: ObjectId, handled: &mut BTreeMap<RefName, Handled>) {
        let line = format!("delete {name} {id}\n");
        let done = self.call(&["update-ref", "--stdin"], &[], Input::Bytes(line.as_bytes()));
        match done {
            Ok(_) => {
                self.told_brought(name.as_str(), "gone again");
                handled.remove(name);
            }
            Err(error) => self.tell(not_brought(&(self.named)(name.as_str()), error)),
        }
    }

    fn update(&self, moves: &[(RefName, ObjectId, Option<ObjectId>)]) -> Result<(), String> {
        let lines: String = moves
            .iter()
            .map(|(name, id, old)| match old {
                Some(old) => format!("update {name} {id} {old}\n"),
                None => format!("create {name} {id}\n"),
            })
            .collect();
        let message = self.message();
        let arguments = ["update-ref", "-m", &message, "--stdin"];
        self.call(&arguments, &[], Input::Bytes(lines.as_bytes()))
            .map(drop)
    }

    fn aside(&mut self, name: RefName, id: ObjectId, why: &str, handled: &mut BTreeMap<RefName, Handled>) {
        let at = aside(&name, self.session);
        let message = self.message();
        let new = id.to_string();
        match self.call(&["update-ref", "-m", &message, &at, &new], &[], Input::Nothing) {
            Ok(_) => {
                self.news.push(News::Aside {
                    what: (self.named)(name.as_str()),
                    at,
                    why: why.to_owned(),
                });
                let known = handled.get(&name).copied();
                let kept = Handled {
                    inside: id,
                    base: known.and_then(|known| known.base),
                    host: known.and_then(|known| known.host),
                };
                handled.insert(name, kept);
            }
            Err(error) => self.fail(name.as_str(), error),
        }
    }

    fn is_behind(&self, old: &ObjectId, new: &ObjectId) -> bool {
        let (old, new) = (old.to_string(), new.to_string());
        self.call(&["merge-base", "--is-ancestor", &old, &new], &[], Input::Nothing)
            .is_ok()
    }

    /// `HEAD` follows where the host's is still what it was, and the branch is the same on both sides.
    pub(super) fn head(
        &mut self,
        inside: Option<&Head>,
        host: &Opened,
        whole: bool,
        seen: &mut Option<HeadText>,
    ) {
        let now = host.head();
        let Some(inside) = inside else {
            self.tell(not_brought(
                &(self.named)("HEAD"),
                "inside it leads to nothing that can be checked out",
            ));
            return;
        };
        if now.as_ref() == Some(inside) {
            *seen = now.map(HeadText::from);
            return;
        }
        if now.clone().map(HeadText::from) != *seen {
            self.tell(not_brought(
                &(self.named)("HEAD"),
                "it was switched outside meanwhile",
            ));
            return;
        }
        if !whole {
            let why = "what is checked out inside isn't outside under that name";
            self.tell(not_brought(&(self.named)("HEAD"), why));
            return;
        }
        let shown = |head: &Head| match head {
            Head::Branch(name) => name.short().to_owned(),
            Head::Detached(id) => id.to_string(),
        };
        let from = now.as_ref().map(&shown).unwrap_or_default();
        let message = format!("checkout: moving from {from} to {}", shown(inside));
        match self.set_head(now.as_ref(), inside, host, &message) {
            Ok(()) => {
                self.told_brought("HEAD", shown(inside));
                *seen = Some(inside.clone().into());
            }
            Err(error) => self.fail("HEAD", error),
        }
    }

    /// Sets `HEAD` where it still is what it was.
    fn set_head(&self, from: Option<&Head>, to: &Head, host: &Opened, message: &str) -> Result<(), String> {
        let Head::Branch(name) = to else {
            let Head::Detached(id) = to else {
                return Ok(());
            };
            let old = match from {
                Some(Head::Branch(name)) => host.refs().and_then(|refs| refs.get(name).copied()),
                Some(Head::Detached(id)) => Some(*id),
                None => None,
            };
            // Nothing stands for one that isn't there yet.
            let (id, old) = (id.to_string(), old.map(|id| id.to_string()).unwrap_or_default());
            let words = ["update-ref", "-m", message, "--no-deref", "HEAD", &id, &old];
            return self
                .call_in(self.host_work, &words, &[], Input::Nothing)
                .map(drop);
        };
        let old = match from {
            Some(Head::Branch(name)) => format!("ref {name}"),
            Some(Head::Detached(id)) => format!("oid {id}"),
            None => return Err("it leads nowhere outside".into()),
        };
        let line = format!("symref-update HEAD {name} {old}\n");
        let words = ["update-ref", "-m", message, "--no-deref", "--stdin"];
        match self.call_in(self.host_work, &words, &[], Input::Bytes(line.as_bytes())) {
            Ok(_) => Ok(()),
            // Git has that since 2.46. Before, it can only be looked at once more.
            Err(error) if error.contains("unknown command") => {
                if host.head().as_ref() != from {
                    return Err("it was switched outside at the same moment".into());
                }
                let words = ["symbolic-ref", "-m", message, "HEAD", name.as_str()];
                self.call_in(self.host_work, &words, &[], Input::Nothing)
                    .map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Commits that no branch has are kept aside at the end, where `HEAD` doesn't follow: a rebase may be under way.
    pub(super) fn keep_detached(&mut self, id: ObjectId, own: &Path) {
        // Of a linked work tree under its name, which is one of a ref.
        let linked = own.iter().rev().nth(1).is_some_and(|above| above == "worktrees");
        let tree = own.file_name().and_then(OsStr::to_str).filter(|_| linked);
        let tree = tree.map_or_else(String::new, |name| format!("worktrees/{name}/"));
        let (at, id) = (format!("refs/aca/{}/{tree}HEAD", self.session), id.to_string());
        let holding = self.call(
            &["for-each-ref", "--count=1", "--contains", &id],
            &[],
            Input::Nothing,
        );
        if holding.is_ok_and(|refs| !refs.is_empty()) {
            return;
        }
        match self.call(&["update-ref", &at, &id], &[], Input::Nothing) {
            Ok(_) => self.news.push(News::Aside {
                what: (self.named)("HEAD"),
                at,
                why: "no branch outside has it".into(),
            }),
            Err(error) => self.fail("HEAD", error),
        }
    }

    /// New entries are added; of those that are gone inside, the session's own go.
    pub(super) fn stash(
        &mut self,
        inside: &[LogEntry],
        new: &[LogEntry],
        host: &Opened,
        (state, note): (&mut State, &Path),
    ) {
        let now = inside.iter().map(|entry| entry.new).collect::<BTreeSet<_>>();
        let gone: Vec<ObjectId> = state
            .stash
            .iter()
            .filter(|id| !now.contains(id))
            .copied()
            .collect();
        let (own, users): (Vec<ObjectId>, Vec<ObjectId>) =
            gone.into_iter().partition(|id| state.stash_own.contains(id));
        for id in users {
            let why = "an entry that you had is gone inside; it stays";
            self.tell(not_brought(&(self.named)(&format!("stash {id}")), why));
        }
        if new.is_empty() && own.is_empty() {
            return;
        }
        let Some(before) = host.stash() else {
            return self.fail("stash", "the host's can't be read");
        };
        let mut listed = ids(&before);
        if listed != state.stash {
            for entry in new {
                let (at, id) = (
                    format!("refs/aca/{}/stash-{}", self.session, entry.new),
                    entry.new.to_string(),
                );
                match self.call(&["update-ref", &at, &id], &[], Input::Nothing) {
                    Ok(_) => self.news.push(News::Aside {
                        what: (self.named)("stash"),
                        at,
                        why: "the stash changed outside meanwhile".into(),
                    }),
                    Err(error) => self.fail("stash", error),
                }
                state.stash.push(entry.new);
            }
            return;
        }
        for id in own {
            match self.drop_stashed(&id, &mut listed, host, note) {
                Ok(()) => {
                    state.stash_own.remove(&id);
                }
                Err(error) => self.tell(not_brought(&(self.named)("stash"), error)),
            }
        }
        for entry in new {
            match self.add_stashed(entry, listed.last()) {
                Ok(()) => {
                    listed.push(entry.new);
                    state.stash_own.insert(entry.new);
                    self.told_brought("stash", entry.new);
                }
                Err(error) => {
                    self.again = true;
                    self.fail("stash", error);
                }
            }
        }
        state.stash = listed;
    }

    /// Adds an entry where the last one still is what it was.
    fn add_stashed(&self, entry: &LogEntry, last: Option<&ObjectId>) -> Result<(), String> {
        let date = format!("@{}", entry.when);
        let who = [
            ("GIT_COMMITTER_NAME", entry.name.as_str()),
            ("GIT_COMMITTER_EMAIL", entry.email.as_str()),
            ("GIT_COMMITTER_DATE", date.as_str()),
        ];
        let new = entry.new.to_string();
        let old = last.map(ToString::to_string).unwrap_or_default();
        let message = entry.message.as_str();
        let words = [
            "update-ref",
            "--create-reflog",
            "-m",
            message,
            "refs/stash",
            &new,
            &old,
        ];
        self.call(&words, &who, Input::Nothing).map(drop)
    }

    /// Drops an entry. Git knows them by number alone, so that it could take another one if the user stashed something at the
    /// same moment: so the log is written anew here, under git's own lock of it.
    fn drop_stashed(
        &self,
        id: &ObjectId,
        listed: &mut Vec<ObjectId>,
        host: &Opened,
        note: &Path,
    ) -> Result<(), String> {
        let Some(at) = listed.iter().position(|known| known == id) else {
            return Ok(());
        };
        if listed.len() == 1 {
            // All of it goes if it still is this one.
            let old = id.to_string();
            self.call(&["update-ref", "-d", "refs/stash", &old], &[], Input::Nothing)?;
            listed.clear();
            return Ok(());
        }
        let text = |error: std::io::Error| error.to_string();
        let busy = "git outside is at work on the stash";
        let lock = IndexLock::of(self.host_dir.join("refs/stash"), note.to_owned());
        let lock = lock.map_err(text)?.ok_or(busy)?;
        let file = self.host_dir.join("logs/refs/stash");
        let log = std::fs::read(&file).map_err(text)?;
        let is_seen = host.stash().is_some_and(|log| ids(&log) == *listed);
        let top = host.stashed();
        if !is_seen || top.as_ref() != listed.last() {
            return Err("the stash changed outside at the same moment".into());
        }
        let log = ref_files::without(&log, at, host.format()).ok_or("its log can't be read")?;
        let beside = note.with_extension("log");
        let logs = IndexLock::of(file, beside).map_err(text)?.ok_or(busy)?;
        logs.commit(&log).map_err(text)?;
        listed.remove(at);
        match listed.last() {
            Some(last) if top.as_ref() != Some(last) => {
                lock.commit(format!("{last}\n").as_bytes()).map_err(text)
            }
            _ => Ok(()),
        }
    }

    /// Whether a key has values from another file than the repository's own, as one that it includes.
    fn is_set_elsewhere(&self, key: &str, file: &Path) -> bool {
        let values = |words: &[&OsStr]| {
            let answer = self.git.call(self.host_dir, words, &[], Input::Nothing);
            answer
                .ok()
                .filter(|answer| answer.code.is_some())
                .map(|answer| answer.out)
        };
        let [config, from, all, key] = ["config", "--file", "--get-all", key].map(OsStr::new);
        let own = values(&[config, from, file.as_os_str(), all, key]);
        own.is_none() || values(&[config, all, key]) != own
    }

    /// `is_users` tells branches that were there before the session.
    pub(super) fn config(
        &mut self,
        before: &[u8],
        after: &[u8],
        host: &Opened,
        is_users: &dyn Fn(&RefName) -> bool,
    ) {
        let Some(text) = host.config() else { return };
        let back = coming_back(&settings(before), &settings(after), &settings(&text), is_users);
        let file = self.host_dir.join("config");
        for (key, values) in back.set {
            // Git would push to both, or from now on to this one.
            if self.is_set_elsewhere(&key, &file) {
                let why = "another file of your configuration says it already";
                self.tell(not_brought(&(self.named)(&key), why));
                continue;
            }
            for (count, value) in values.iter().enumerate() {
                let how = if count == 0 { "--replace-all" } else { "--add" };
                let words = ["config", "--file"].map(OsStr::new);
                let words = [
                    &words[..],
                    &[file.as_os_str()],
                    &[how, &key, value].map(OsStr::new),
                ]
                .concat();
                let answer = self.git.call(self.host_dir, &words, &[], Input::Nothing);
                let done = answer
                    .map_err(|error| error.to_string())
                    .and_then(|answer| answer.checked("config"));
                match done {
                    Ok(_) => self.told_brought(&key, value),
                    Err(error) => self.tell(not_brought(&(self.named)(&key), error)),
                }
            }
        }
        for key in back.left {
            self.tell(not_brought(
                &(self.named)(&key),
                "of the configuration only new remotes and upstreams come back",
            ));
        }
    }
}
