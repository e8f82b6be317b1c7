//! Does to the host's git directory what was done inside: refs, `HEAD`, the stash, remotes and upstreams.

use super::decide::{Handled, Step, after, aside};
use super::host::{HostGit, Input};
use super::import::{News, ids, not_brought};
use super::kept::coming_back;
use super::place::{HeadText, State};
use super::read::Opened;
use crate::facts::git_config::settings;
use crate::git::object_id::ObjectId;
use crate::git::ref_files::{Head, LogEntry};
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

    fn call(&self, arguments: &[&str], more: &[(&str, &str)], input: Input<'_>) -> Result<Vec<u8>, String> {
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
                    let tracking = name.as_str().starts_with("refs/remotes/");
                    if forward && (own || tracking || behind.is_none()) {
                        moves.push((name, id, Some(old)));
                    } else if tracking {
                        // The next fetch outside says what the server has.
                        let why = "it doesn't come after what the host has; fetch outside";
                        self.tell(not_brought(&(self.named)(name.as_str()), why));
                    } else {
                        self.aside(name, id, "it doesn't come after what the host has", handled);
                    }
                }
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
        let done = match inside {
            Head::Branch(name) => self.call_in(
                self.host_work,
                &["symbolic-ref", "-m", &message, "HEAD", name.as_str()],
                &[],
                Input::Nothing,
            ),
            Head::Detached(id) => {
                let id = id.to_string();
                self.call_in(
                    self.host_work,
                    &["update-ref", "-m", &message, "--no-deref", "HEAD", &id],
                    &[],
                    Input::Nothing,
                )
            }
        };
        match done {
            Ok(_) => {
                self.told_brought("HEAD", shown(inside));
                *seen = Some(inside.clone().into());
            }
            Err(error) => self.fail("HEAD", error),
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
    pub(super) fn stash(&mut self, inside: &[LogEntry], new: &[LogEntry], host: &Opened, state: &mut State) {
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
        let Some(mut listed) = host.stash().map(|log| ids(&log)) else {
            return self.fail("stash", "the host's can't be read");
        };
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
            let Some(at) = listed.iter().position(|known| *known == id) else {
                continue;
            };
            let name = format!("stash@{{{}}}", listed.len() - 1 - at);
            let dropped = self.call(
                &["reflog", "delete", "--updateref", "--rewrite", &name],
                &[],
                Input::Nothing,
            );
            if let Err(error) = dropped {
                self.tell(not_brought(&(self.named)("stash"), error));
                continue;
            }
            listed.remove(at);
            state.stash_own.remove(&id);
            if listed.is_empty()
                && let Err(error) = self.call(&["update-ref", "-d", "refs/stash"], &[], Input::Nothing)
            {
                self.tell(not_brought(&(self.named)("stash"), error));
            }
        }
        for entry in new {
            let id = entry.new.to_string();
            let date = format!("@{}", entry.when);
            let who = [
                ("GIT_COMMITTER_NAME", entry.name.as_str()),
                ("GIT_COMMITTER_EMAIL", entry.email.as_str()),
                ("GIT_COMMITTER_DATE", date.as_str()),
            ];
            let arguments = [
                "update-ref",
                "--create-reflog",
                "-m",
                &entry.message,
                "refs/stash",
                &id,
            ];
            match self.call(&arguments, &who, Input::Nothing) {
                Ok(_) => {
                    listed.push(entry.new);
                    state.stash_own.insert(entry.new);
                    self.told_brought("stash", &id);
                }
                Err(error) => self.fail("stash", error),
            }
        }
        state.stash = listed;
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
