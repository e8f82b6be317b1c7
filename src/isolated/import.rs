//! Brings back what was done in a private git directory, each time it has changed, and a last time at the end.
//!
//! Objects first, then refs, `HEAD`, the stash and the index, then remotes and upstreams. What can't come back stays where
//! it is, is told once, and keeps the private directory from being removed if it would be lost with it.

use super::apply::Work;
use super::decide::{Step, comes_back, decide};
use super::fetch::{Fetched, fetch};
use super::host::HostGit;
use super::layout::Part;
use super::place::{HeadText, Place, State};
use super::read::{Opened, Refs};
use crate::facts::beneath::{open_root, read_file};
use crate::git::index;
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ref_files::{self, Head, LogEntry};
use crate::git::ref_name::RefName;
use rustix::fs::CWD;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Something of the host's is as it is inside.
    Brought {
        /// A ref, `HEAD`, `index`, `stash`, or a key of the configuration.
        what: String,
        /// What it is now.
        value: String,
    },
    /// A value is kept under another name.
    Aside {
        /// The ref.
        what: String,
        /// The other name.
        at: String,
        /// Why.
        why: String,
    },
    /// It didn't come back.
    NotBrought {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All that can be done is.
    Settled,
    /// Git inside, or outside, is in the middle of something.
    Again,
}

/// Longest `HEAD` of another work tree.
const HEAD_BYTES_MAX: usize = 4096;

/// One state of an index.
type Mark = (u64, i64, i64, u64);

/// The importer of one session.
#[derive(Debug)]
pub struct Import {
    place: Place,
    git: HostGit,
    root: OwnedFd,
    parts: Vec<PartState>,
    /// Something is in the private directory alone.
    kept: bool,
}

#[derive(Debug)]
struct PartState {
    part: Part,
    start: Refs,
    state: State,
    index_done: Option<Mark>,
    config_done: Option<Vec<u8>>,
    /// What both were when the private directory was made.
    made: (Option<Mark>, Option<Vec<u8>>),
}

impl PartState {
    /// Whether nothing has changed inside: then the host isn't even looked at.
    fn is_untouched(&self, inside: &Opened) -> bool {
        let (mark, config) = &self.made;
        mark.is_some()
            && self.state.handled.is_empty()
            && self.state.stash_own.is_empty()
            && inside.index_mark() == *mark
            && inside.config() == *config
            && inside.head().map(HeadText::from) == self.state.head
            && inside.stash().is_some_and(|log| ids(&log) == self.state.stash)
            && inside.refs().is_some_and(|refs| refs == self.start)
            && !inside.is_under_way()
    }
}

impl Import {
    /// For a session's place; `is_new` is one that was made just now, which nothing has changed yet.
    ///
    /// # Errors
    /// When what it was made from can't be read.
    pub fn new(place: Place, git: HostGit, is_new: bool) -> std::io::Result<Self> {
        let root = open_root(&place.git())?;
        let kept = place.state();
        let mut parts = Vec::new();
        for (index, part) in place.about.layout.parts.iter().enumerate() {
            let format = part.format();
            let start = ref_files::packed(&place.refs(index)?, format).unwrap_or_default();
            let state = kept.as_ref().and_then(|all| all.get(index)).cloned();
            let state = state.unwrap_or_else(|| State {
                head: ref_files::head(&place.head(index), format).map(HeadText::from),
                stash: ids(&ref_files::log(&place.stash(index), format).unwrap_or_default()),
                ..State::default()
            });
            // Of one that was left over it isn't known any more.
            let opened = Opened::open(&root, &part.below, &place.about.layout.work_of(part), format);
            let made = match (&kept, opened) {
                (None, Ok(opened)) if is_new => (opened.index_mark(), place.config(index).ok()),
                _ => (None, None),
            };
            parts.push(PartState {
                part: part.clone(),
                start: start.into_iter().collect(),
                state,
                index_done: made.0,
                config_done: made.1.clone(),
                made,
            });
        }
        Ok(Self {
            place,
            git,
            root,
            parts,
            kept: false,
        })
    }

    /// The private git directory, and where in it the work tree's own files are.
    #[must_use]
    pub fn watched(&self) -> (PathBuf, PathBuf) {
        (self.place.git(), self.place.about.layout.work.clone())
    }

    /// Brings back what has changed. `last` is when nothing inside is alive any more: then nothing is waited for. What
    /// doesn't come back may come the next time; it is said anew each time.
    pub fn bring(&mut self, last: bool) -> (Progress, Vec<News>) {
        let mut news = Vec::new();
        let mut progress = Progress::Settled;
        self.kept = false;
        if last {
            // All that doesn't come back is told now.
            for part in &mut self.parts {
                part.index_done = part.made.0;
                part.config_done = part.made.1.clone();
            }
        }
        for index in 0..self.parts.len() {
            if self.part(index, last, &mut news) == Some(Progress::Again) {
                progress = Progress::Again;
            }
        }
        let states: Vec<&State> = self.parts.iter().map(|part| &part.state).collect();
        if let Err(error) = self.place.keep(&states) {
            news.push(not_brought("state", error));
        }
        if last {
            self.look_for_more(&mut news);
        }
        (progress, news)
    }

    /// Removes the private directory; gives its place where something is in there alone.
    #[must_use]
    pub fn finish(self) -> Option<PathBuf> {
        let directory = self.place.directory().to_owned();
        if self.kept || self.place.remove().is_err() {
            return Some(directory);
        }
        None
    }

    fn part(&mut self, number: usize, last: bool, news: &mut Vec<News>) -> Option<Progress> {
        let layout = &self.place.about.layout;
        let one = self.parts.get_mut(number)?;
        let (below, work) = (one.part.below.clone(), layout.work_of(&one.part));
        let (host_dir, host_work) = (layout.host.join(&below), layout.host.join(&work));
        let format = one.part.format();
        let prefix = below.display().to_string();
        let named = |what: &str| {
            if prefix.is_empty() {
                what.to_owned()
            } else {
                format!("{prefix}: {what}")
            }
        };
        let Ok(inside) = Opened::open(&self.root, &below, &work, format) else {
            self.kept = true;
            news.push(not_brought(&named("the git directory"), "it isn't one any more"));
            return None;
        };
        if !last && inside.is_locked() {
            return Some(Progress::Again);
        }
        if one.is_untouched(&inside) {
            return Some(Progress::Settled);
        }
        let host = open_root(&layout.host)
            .ok()
            .and_then(|root| Opened::open(&root, &below, &work, format).ok());
        let (Some(host), Some(refs)) = (host, inside.refs()) else {
            self.kept = true;
            news.push(not_brought(
                &named("refs"),
                "they can't be read as git writes them",
            ));
            return None;
        };
        let stash = inside.stash();
        if stash.is_none() {
            self.kept = true;
            news.push(not_brought(&named("stash"), "it can't be read as git writes it"));
        }
        let host_refs = host.refs()?;
        let (head, index_mark) = (inside.head(), inside.index_mark());
        let mut work = Work {
            git: &self.git,
            host_dir: &host_dir,
            host_work: &host_work,
            session: self.place.session(),
            named: &named,
            news,
            failed: false,
            again: false,
        };
        // What is wanted: each ref by itself, each entry of the stash, the index as a whole.
        let mut steps: Vec<(RefName, ObjectId, Step)> = Vec::new();
        for (name, id) in refs.iter().filter(|(name, _)| comes_back(name)) {
            let step = decide(
                *id,
                one.start.get(name).copied(),
                one.state.handled.get(name),
                host_refs.get(name).copied(),
            );
            if step != Step::Nothing {
                steps.push((name.clone(), *id, step));
            }
        }
        let gone: Vec<(RefName, ObjectId)> = one
            .state
            .handled
            .iter()
            .filter(|(name, _)| !refs.contains_key(name))
            .filter_map(|(name, handled)| Some((name.clone(), handled.own(host_refs.get(name).copied())?)))
            .collect();
        let new_stash: Vec<&LogEntry> = stash
            .iter()
            .flatten()
            .filter(|entry| !one.state.stash.contains(&entry.new))
            .collect();
        let under_way = inside.is_under_way();
        let index = if index_mark != one.index_done && !under_way {
            work.read_index(&inside, format)
        } else {
            None
        };
        let detached = head.iter().filter_map(|head| match head {
            Head::Detached(id) => Some(*id),
            Head::Branch(_) => None,
        });
        let mut wanted: Vec<Vec<ObjectId>> = steps.iter().map(|(_, id, _)| vec![*id]).collect();
        wanted.extend(new_stash.iter().map(|entry| vec![entry.new]));
        wanted.extend(detached.map(|id| vec![id]));
        let with_commits = wanted.len();
        if let Some(entries) = &index {
            let own = entries
                .iter()
                .filter(|entry| entry.mode != index::Mode::Submodule);
            wanted.push(own.map(|entry| entry.id).collect());
        }
        let incomplete = if wanted.iter().all(Vec::is_empty) {
            BTreeSet::new()
        } else {
            match fetch(&self.git, &host_dir, &inside, &one.part, &wanted, with_commits) {
                Ok(Fetched { incomplete }) => incomplete,
                Err(error) => {
                    self.kept = true;
                    work.news.push(not_brought(&(work.named)("objects"), error));
                    return (!last).then_some(Progress::Again);
                }
            }
        };
        let is_whole = |group: usize| !incomplete.contains(&group);
        let mut whole_steps = Vec::new();
        for (group, step) in steps.into_iter().enumerate() {
            if is_whole(group) {
                whole_steps.push(step);
            } else {
                work.fail(
                    step.0.as_str(),
                    "objects that it leads to aren't there, or aren't what their names say",
                );
            }
        }
        for (name, id) in gone {
            work.delete(&name, id, &mut one.state.handled);
        }
        let count = whole_steps.len();
        let stash_from =
            with_commits - new_stash.len() - usize::from(matches!(head, Some(Head::Detached(_))));
        let new_stash: Vec<LogEntry> = new_stash
            .into_iter()
            .enumerate()
            .filter(|(at, _)| is_whole(stash_from + at))
            .map(|(_, entry)| entry.clone())
            .collect();
        if count > 0 {
            let taken = other_trees(&layout.host, &layout.work, format);
            work.refs(whole_steps, &mut one.state.handled, &taken);
        }
        if under_way {
            if last {
                work.tell(not_brought(
                    &(work.named)("HEAD and the index"),
                    "something is under way inside (a rebase, a merge): they are as they were; the branches came back",
                ));
            }
        } else if host.is_under_way() {
            // Its next step would take what was brought for what it left.
            work.tell(not_brought(
                &(work.named)("HEAD and the index"),
                "something is under way outside (a rebase, a merge): they are as they were there",
            ));
        } else {
            let detached_is_whole = is_whole(with_commits.saturating_sub(1));
            let is_same = match &head {
                Some(Head::Branch(name)) => host.refs()?.get(name) == refs.get(name),
                Some(Head::Detached(_)) => detached_is_whole,
                None => false,
            };
            work.head(head.as_ref(), &host, is_same, &mut one.state.head);
            if let Some(stash) = &stash {
                work.stash(stash, &new_stash, &host, &mut one.state);
            }
            if let Some(entries) = index {
                let whole = is_whole(with_commits);
                if whole && work.index(entries, &inside, &host, number, &self.place, format) {
                    one.index_done = index_mark;
                } else if !whole {
                    work.fail("index", "contents that it names aren't there");
                }
            }
        }
        if last
            && let Some(Head::Detached(id)) = &head
            && is_whole(with_commits.saturating_sub(1))
            && host.head() != head
        {
            work.keep_detached(*id);
        }
        let config = inside.config();
        if config != one.config_done {
            let before = self.place.config(number).unwrap_or_default();
            let is_users = |branch: &RefName| one.start.contains_key(branch);
            work.config(&before, config.as_deref().unwrap_or_default(), &host, &is_users);
            one.config_done = config;
        }
        self.kept |= work.failed;
        Some(if work.again {
            Progress::Again
        } else {
            Progress::Settled
        })
    }

    /// Repositories and work trees that were made inside and stay there.
    fn look_for_more(&self, news: &mut Vec<News>) {
        let (inside, host) = (self.place.git(), &self.place.about.layout.host);
        for (directory, what) in [("worktrees", "the work tree"), ("modules", "the submodule")] {
            // A link could name what lies anywhere.
            if inside.join(directory).is_symlink() {
                continue;
            }
            let Ok(names) = std::fs::read_dir(inside.join(directory)) else {
                continue;
            };
            for name in names
                .filter_map(Result::ok)
                .map(|entry| entry.file_name())
                .take(100)
            {
                if host.join(directory).join(&name).symlink_metadata().is_err() {
                    let what = format!("{what} {}", name.display());
                    news.push(not_brought(
                        &what,
                        "it was made inside, and is known there alone; its branches came back",
                    ));
                }
            }
        }
    }
}

/// Branches that other work trees have.
fn other_trees(host: &Path, own: &Path, format: ObjectFormat) -> BTreeSet<RefName> {
    let names = std::fs::read_dir(host.join("worktrees"));
    let linked = names
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name()));
    let directories = linked
        .map(|name| Path::new("worktrees").join(name))
        .chain([PathBuf::new()])
        .filter(|directory| directory != own);
    directories
        .filter_map(|directory| {
            let text = read_file(CWD, host.join(directory).join("HEAD"), HEAD_BYTES_MAX).ok()?;
            match ref_files::head(&text, format)? {
                Head::Branch(name) => Some(name),
                Head::Detached(_) => None,
            }
        })
        .collect()
}

pub(super) fn ids(log: &[LogEntry]) -> Vec<ObjectId> {
    log.iter().map(|entry| entry.new).collect()
}

pub(super) fn not_brought(what: &str, why: impl std::fmt::Display) -> News {
    News::NotBrought {
        what: what.to_owned(),
        why: why.to_string(),
    }
}
