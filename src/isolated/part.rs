//! Brings back what was done in one git directory of a repository: its refs and stash, and in each of its work trees
//! `HEAD` and the index.

use super::apply::Work;
use super::decide::{Step, comes_back, decide};
use super::export::Expected;
use super::fetch::{Fetched, Group, fetch};
use super::follow::{self, RefStep};
use super::going;
use super::host::HostGit;
use super::import::{Mark, News, Progress, ids, not_brought};
use super::index_lock::IndexLock;
use super::layout::{NEIGHBOURS_MAX, Part, TREES_MAX};
use super::limits::{Limits, STASH_MAX};
use super::misleading::Called;
use super::new_tree::{self, NewTree, Unready};
use super::place::{HeadText, Place, State};
use super::read::{Opened, Refs};
use crate::facts::beneath::{open_root, read_file};
use crate::git::index::{self, Entry};
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ref_files::{self, Head, LogEntry};
use crate::git::ref_name::RefName;
use crate::git::under_way::UnderWay;
use rustix::fs::CWD;
use rustix::io::Errno;
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Longest `HEAD` of another work tree.
const HEAD_BYTES_MAX: usize = 4096;

/// What an import works with.
pub(super) struct Around<'a> {
    pub(super) place: &'a Place,
    pub(super) git: &'a HostGit,
    /// The private git directory.
    pub(super) root: &'a OwnedFd,
    /// Nothing inside is alive any more.
    pub(super) last: bool,
    pub(super) limits: &'a Limits,
}

/// One part, and what was done with it.
#[derive(Debug)]
pub(super) struct PartState {
    pub(super) state: State,
    pub(super) start: Refs,
    /// Nothing inside had changed it yet when this began.
    pub(super) is_new: bool,
    pub(super) config_done: Option<Vec<u8>>,
    /// What its configuration was when the private directory was made.
    pub(super) config_made: Option<Vec<u8>>,
    /// For each work tree.
    pub(super) indexes: Vec<IndexMarks>,
    /// Where on the host it is while it is being made.
    pub(super) building: Option<PathBuf>,
}

/// States of a work tree's index: the one that was dealt with, and the one that the private directory was made with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IndexMarks {
    pub(super) done: Option<Mark>,
    pub(super) made: Option<Mark>,
    /// What is under way was brought.
    pub(super) going: bool,
}

/// What came of it.
pub(super) struct Done {
    pub(super) progress: Progress,
    /// Something is in the private directory alone.
    pub(super) kept: bool,
}

impl Done {
    pub(super) const fn settled() -> Self {
        Self {
            progress: Progress::Settled,
            kept: false,
        }
    }
}

/// A work tree inside, as it is now.
pub(super) struct Side {
    pub(super) which: Which,
    pub(super) own: PathBuf,
    pub(super) inside: Opened,
    pub(super) head: Option<Head>,
    pub(super) mark: Option<Mark>,
    pub(super) under_way: bool,
    /// Git is about to change it.
    pub(super) locked: bool,
    pub(super) index: Option<Vec<Entry>>,
    /// What is under way, at the end.
    pub(super) going: Option<UnderWay>,
    /// Why it isn't taken.
    pub(super) not_going: Option<String>,
    /// Holds the index outside as it is.
    pub(super) lock: Option<IndexLock>,
    /// Groups of what is wanted.
    pub(super) head_group: Option<usize>,
    pub(super) going_group: Option<usize>,
    pub(super) index_group: Option<usize>,
}

pub(super) enum Which {
    /// By its number.
    Known(usize),
    New(Box<NewTree>),
}

/// What of the refs is done already when work trees are looked at.
pub(super) struct Rested<'a> {
    pub(super) refs: &'a Refs,
    pub(super) host_refs: &'a Refs,
    pub(super) fetched: &'a Fetched,
}

impl PartState {
    fn part(&self) -> &Part {
        &self.state.part
    }

    pub(super) fn format(&self) -> ObjectFormat {
        self.state.part.format()
    }

    /// Where on the host it is.
    pub(super) fn at(&self) -> &Path {
        self.building.as_deref().unwrap_or(&self.state.part.below)
    }

    /// Where on the host the files of a work tree are.
    pub(super) fn at_tree(&self, own: &Path) -> PathBuf {
        match &self.building {
            Some(building) if own == self.state.part.below => building.clone(),
            _ => own.to_owned(),
        }
    }

    /// Brings back what has changed.
    pub(super) fn bring(&mut self, around: &Around<'_>, number: usize, news: &mut Vec<News>) -> Done {
        let below = self.part().below.clone();
        let prefix = below.display().to_string();
        let named = |what: &str| {
            if prefix.is_empty() {
                what.to_owned()
            } else {
                format!("{prefix}: {what}")
            }
        };
        let inside = match Opened::open(around.root, &below, &below, self.format()) {
            Ok(inside) => inside,
            Err(Errno::NOENT) if self.state.ours => {
                news.push(not_brought(
                    &named("the git directory"),
                    "it was removed inside; what came back before stays",
                ));
                return Done::settled();
            }
            Err(_) => {
                news.push(not_brought(&named("the git directory"), "it isn't one any more"));
                return Done {
                    progress: Progress::Settled,
                    kept: true,
                };
            }
        };
        if !around.last && inside.is_packing() {
            return Done {
                progress: Progress::Again,
                kept: false,
            };
        }
        let (sides, absent) = self.sides(around);
        let news_at = news.len();
        let new = self.new_sides(around, news);
        let is_quiet = new.is_empty() && absent.is_empty() && news.len() == news_at;
        if is_quiet && self.is_untouched(&inside, &sides) {
            return Done::settled();
        }
        let sides = sides.into_iter().chain(new).collect();
        self.bring_changed(around, number, news, &named, (&inside, sides, absent))
    }

    /// Whether nothing has changed inside: then the host isn't even looked at.
    fn is_untouched(&self, inside: &Opened, sides: &[Side]) -> bool {
        let is_untouched = |side: &Side| {
            let Which::Known(number) = side.which else {
                return false;
            };
            let (tree, marks) = (self.state.trees.get(number), self.indexes.get(number));
            marks.is_some_and(|marks| side.mark == marks.made)
                && tree.is_some_and(|tree| side.head.clone().map(HeadText::from) == tree.head)
                && !side.under_way
        };
        self.is_new
            && self.state.handled.is_empty()
            && self.state.stash_own.is_empty()
            && sides.iter().all(is_untouched)
            && inside.config() == self.config_made
            && inside.stash().is_some_and(|log| ids(&log) == self.state.stash)
            && inside.refs().is_some_and(|refs| refs == self.start)
    }

    /// The known work trees as they are inside, and the numbers of those that aren't there.
    fn sides(&self, around: &Around<'_>) -> (Vec<Side>, Vec<usize>) {
        let (mut sides, mut absent) = (Vec::new(), Vec::new());
        for (number, tree) in self.state.trees.iter().enumerate().filter(|(_, tree)| !tree.gone) {
            match self.side(around, Which::Known(number), tree.own.clone()) {
                Some(side) => sides.push(side),
                None => absent.push(number),
            }
        }
        (sides, absent)
    }

    fn side(&self, around: &Around<'_>, which: Which, own: PathBuf) -> Option<Side> {
        let inside = Opened::open(around.root, &self.part().below, &own, self.format()).ok()?;
        let under_way = inside.is_under_way();
        let (going, not_going) = match around.last.then(|| going::read(&inside)) {
            Some(Ok(going)) if under_way => (going, None),
            Some(Err(why)) if under_way => (None, Some(why)),
            _ => (None, None),
        };
        Some(Side {
            which,
            own,
            head: inside.head(),
            mark: inside.index_mark(),
            under_way,
            locked: inside.is_locked(),
            inside,
            index: None,
            going,
            not_going,
            lock: None,
            head_group: None,
            going_group: None,
            index_group: None,
        })
    }

    /// Work trees that were made inside.
    fn new_sides(&self, around: &Around<'_>, news: &mut Vec<News>) -> Vec<Side> {
        let layout = &around.place.about.layout;
        let below = self.part().below.join("worktrees");
        let (mut found, mut told) = (Vec::new(), 0);
        let alive = self.state.trees.iter().filter(|tree| !tree.gone).count();
        for name in self.new_names(around) {
            let own = below.join(&name);
            let what = format!("the work tree {}", own.display());
            let host = layout.host.join(&own);
            if host.symlink_metadata().is_ok() {
                // The user's, which isn't worked on inside; or another of its name.
                let is_other = || {
                    let now = self.side(around, Which::Known(usize::MAX), own.clone());
                    now.is_some_and(|side| !new_tree::is_same(&side.inside, &host))
                };
                if around.last && told < TREES_MAX && is_other() {
                    told += 1;
                    news.push(not_brought(&what, "your git has another of that name"));
                }
                continue;
            }
            if found.len() + alive >= TREES_MAX
                || self.state.trees.len() >= NEIGHBOURS_MAX
                || told >= TREES_MAX
            {
                news.push(not_brought(&what, "there are too many"));
                break;
            }
            let Some(mut side) = self.side(around, Which::Known(usize::MAX), own.clone()) else {
                continue;
            };
            match new_tree::look(&side.inside, &name, &host, &layout.ground) {
                Ok(_) if !around.last && (side.under_way || side.locked) => {}
                Ok(new) => {
                    side.which = Which::New(Box::new(new));
                    found.push(side);
                }
                // While the run goes on it may become one.
                Err(Unready(why)) => {
                    told += 1;
                    news.push(not_brought(&what, why));
                }
            }
        }
        found
    }

    /// Names of directories of work trees that aren't worked on, or not yet.
    pub(super) fn new_names(&self, around: &Around<'_>) -> Vec<std::ffi::OsString> {
        let below = self.part().below.join("worktrees");
        let known: BTreeSet<&OsStr> = self
            .state
            .trees
            .iter()
            .filter(|tree| !tree.gone)
            .filter_map(|tree| tree.own.strip_prefix(&below).ok().map(Path::as_os_str))
            .collect();
        new_tree::listed(around.root, &below)
            .into_iter()
            .filter(|name| !known.contains(name.as_os_str()))
            .collect()
    }

    fn bring_changed(
        &mut self,
        around: &Around<'_>,
        number: usize,
        news: &mut Vec<News>,
        named: &dyn Fn(&str) -> String,
        (inside, mut sides, absent): (&Opened, Vec<Side>, Vec<usize>),
    ) -> Done {
        let (layout, format) = (&around.place.about.layout, self.format());
        let at = self.at().to_owned();
        let host_dir = layout.host.join(&at);
        let unreadable = |what: &str, news: &mut Vec<News>| {
            news.push(not_brought(&named(what), "they can't be read as git writes them"));
            Done {
                progress: Progress::Settled,
                kept: true,
            }
        };
        let host = open_root(&layout.host)
            .ok()
            .and_then(|root| Opened::open(&root, &at, &at, format).ok());
        let (Some(host), Some(refs)) = (host, inside.refs()) else {
            return unreadable("refs", news);
        };
        let Some(host_refs) = host.refs() else {
            return unreadable("the refs outside", news);
        };
        let stash = inside.stash();
        let mut work = Work::new(around, (&host_dir, &host_dir), named, &mut *news);
        if stash.is_none() {
            work.fail("stash", "it can't be read as git writes it");
        }
        // What is wanted: each ref by itself, each entry of the stash, each index as a whole.
        let mut steps: Vec<RefStep> = Vec::new();
        let mut left: Vec<(&str, &str)> = Vec::new();
        for (name, id) in refs.iter().filter(|(name, _)| comes_back(name)) {
            let step = decide(
                name,
                *id,
                self.start.get(name).copied(),
                self.state.handled.get(name),
                host_refs.get(name).copied(),
            );
            match step {
                Step::Nothing => {}
                Step::Leave(why) => left.push((name.as_str(), why)),
                Step::Create | Step::Move { .. } | Step::Aside(_) => steps.push((name.clone(), *id, step)),
            }
        }
        keep_apart(&mut steps, &host_refs, &self.state);
        let over = around.limits.cut(&mut steps, around.last);
        if around.last {
            if let Some((name, why)) = left.first() {
                let more = match left.len() {
                    1 => String::new(),
                    count => format!(" and {} more", count - 1),
                };
                work.tell(not_brought(&named(&format!("{name}{more}")), why));
            }
            if over > 0 {
                work.fail(&format!("{over} refs"), "they are more than come at once");
            }
        }
        let gone: Vec<(RefName, ObjectId)> = self
            .state
            .handled
            .iter()
            .filter(|(name, _)| !refs.contains_key(name))
            .filter_map(|(name, handled)| Some((name.clone(), handled.own(host_refs.get(name).copied())?)))
            .collect();
        let known: BTreeSet<ObjectId> = self.state.stash.iter().copied().collect();
        let mut new_stash: Vec<&LogEntry> = stash
            .iter()
            .flatten()
            .filter(|entry| !known.contains(&entry.new))
            .collect();
        if new_stash.len() > STASH_MAX {
            new_stash.truncate(STASH_MAX);
            work.fail("stash", "it has more new entries than come at once");
        }
        for side in &mut sides {
            let is_done = match side.which {
                Which::Known(number) => self
                    .indexes
                    .get(number)
                    .is_some_and(|marks| side.mark == marks.done),
                Which::New(_) => side.mark.is_none(),
            };
            let rests = !side.under_way || side.going.is_some() || matches!(side.which, Which::New(_));
            if !is_done && rests && (around.last || !side.locked) {
                side.index = work.read_index(&side.inside, format);
            }
        }
        let commit = |id: ObjectId| vec![(id, Expected::Commit)];
        let mut wanted: Vec<Group> = steps
            .iter()
            .map(|(name, id, _)| vec![(*id, expected(name))])
            .collect();
        let stash_from = wanted.len();
        wanted.extend(new_stash.iter().map(|entry| commit(entry.new)));
        for side in &mut sides {
            if let Some(Head::Detached(id)) = side.head {
                side.head_group = Some(wanted.len());
                wanted.push(commit(id));
            }
            if let Some(going) = &side.going {
                side.going_group = Some(wanted.len());
                wanted.push(going.commits().into_iter().flat_map(commit).collect());
            }
        }
        let commits = wanted.len();
        let is_content = |entry: &&Entry| entry.mode != index::Mode::Submodule;
        for side in &mut sides {
            if let Some(entries) = &side.index {
                // What is staged outside already is a file's content, and there.
                let outside = self
                    .outside(around, &side.own)
                    .and_then(|outside| outside.index());
                let outside = follow::entries(outside, format).unwrap_or_default();
                let known: HashSet<ObjectId> =
                    outside.iter().filter(is_content).map(|entry| entry.id).collect();
                let own = entries.iter().filter(is_content).map(|entry| entry.id);
                side.index_group = Some(wanted.len());
                let new = own.filter(|id| !known.contains(id));
                wanted.push(new.map(|id| (id, Expected::Blob)).collect());
            }
        }
        let fetched = if wanted.iter().all(Vec::is_empty) {
            Fetched::default()
        } else {
            let mut part = self.part().clone();
            if self.building.is_some() {
                part.stores = vec![host_dir.join("objects")];
            }
            let room = &around.limits.room;
            match fetch(around.git, &host_dir, inside, &part, (&wanted, commits), room) {
                Ok(fetched) => fetched,
                Err(error) => {
                    work.fail("objects", error);
                    return Done {
                        progress: if around.last {
                            Progress::Settled
                        } else {
                            Progress::Again
                        },
                        kept: true,
                    };
                }
            }
        };
        let is_whole = |group: usize| fetched.is_whole(group);
        let mut whole_steps = Vec::new();
        for (group, step) in steps.into_iter().enumerate() {
            if is_whole(group) {
                whole_steps.push(step);
            } else {
                work.fail(step.0.as_str(), fetched.why(group));
            }
        }
        let held = self.hold(around, number, &mut sides, &mut whole_steps, &is_whole);
        work.again |= !held.busy.is_empty();
        for (name, _, _) in &held.busy {
            work.fail(name.as_str(), "git outside is at work on the index beneath it");
        }
        let own: Vec<PathBuf> = sides.iter().map(|side| side.own.clone()).collect();
        let checked_out = |part: &Self| -> BTreeSet<RefName> {
            let heads = own.iter().filter_map(|own| part.outside(around, own)?.head());
            heads
                .filter_map(|head| match head {
                    Head::Branch(name) => Some(name),
                    Head::Detached(_) => None,
                })
                .collect()
        };
        let out = if gone.is_empty() {
            BTreeSet::new()
        } else {
            checked_out(self)
        };
        let (gone_later, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(|(name, _)| out.contains(name));
        for (name, id) in gone {
            work.delete(&name, id, &mut self.state.handled);
        }
        let taken = || {
            let own: BTreeSet<&Path> = own.iter().map(PathBuf::as_path).collect();
            other_trees(&layout.host, &self.state.part.below, &own, format)
        };
        let taken = if whole_steps.is_empty() && held.later.is_empty() {
            BTreeSet::new()
        } else {
            taken()
        };
        if !whole_steps.is_empty() {
            work.refs(whole_steps, &mut self.state.handled, &taken);
        }
        let new_stash: Vec<LogEntry> = new_stash
            .into_iter()
            .enumerate()
            .filter(|(at, _)| is_whole(stash_from + at))
            .map(|(_, entry)| entry.clone())
            .collect();
        if let Some(stash) = &stash {
            let note = around.place.stash_note(number);
            work.stash(stash, &new_stash, &host, (&mut self.state, &note));
        }
        let (mut failed, mut again) = (work.failed, work.again);
        // As they are now: work trees follow them.
        let host_refs = host.refs().unwrap_or_default();
        let rested = Rested {
            refs: &refs,
            host_refs: &host_refs,
            fetched: &fetched,
        };
        for tree in absent {
            self.absent(around, tree, news);
        }
        for side in sides {
            let done = self.tree(around, number, news, side, &rested);
            failed |= done.kept;
            again |= done.progress == Progress::Again;
        }
        if !held.later.is_empty() || !gone_later.is_empty() {
            let mut work = Work::new(around, (&host_dir, &host_dir), named, &mut *news);
            let out = checked_out(self);
            for (name, id) in gone_later {
                if !out.contains(&name) {
                    work.delete(&name, id, &mut self.state.handled);
                }
            }
            let mut later = held.later;
            for (_, _, step) in later.iter_mut().filter(|(name, _, _)| out.contains(name)) {
                *step = if around.last {
                    work.tell(not_brought(&named("HEAD"), "it did not follow to another branch"));
                    Step::Aside("you have it checked out")
                } else {
                    Step::Nothing
                };
            }
            work.refs(later, &mut self.state.handled, &taken);
            (failed, again) = (failed | work.failed, again | work.again);
        }
        let config = inside.config();
        if config != self.config_done {
            let mut work = Work::new(around, (&host_dir, &host_dir), named, &mut *news);
            let before = around.place.config(number).unwrap_or_default();
            let is_users = |branch: &RefName| self.start.contains_key(branch);
            work.config(&before, config.as_deref().unwrap_or_default(), &host, &is_users);
            (failed, again) = (failed | work.failed, again | work.again);
            self.config_done = config;
        }
        Done {
            progress: if again { Progress::Again } else { Progress::Settled },
            kept: failed,
        }
    }
}

/// A new ref whose name would be taken for one of the user's, or of git's own, gets another.
fn keep_apart(steps: &mut [RefStep], host: &Refs, state: &State) {
    if !steps.iter().any(|(_, _, step)| *step == Step::Create) {
        return;
    }
    let is_users = |(name, id): &(&RefName, &ObjectId)| {
        let handled = state.handled.get(*name);
        handled.is_none_or(|handled| handled.own(Some(**id)).is_none())
    };
    let called = Called::new(host.iter().filter(is_users).map(|(name, _)| name));
    for (name, _, step) in steps.iter_mut().filter(|(_, _, step)| *step == Step::Create) {
        if let Some(why) = called.why_not(name) {
            *step = Step::Aside(why);
        }
    }
}

/// What git lets a ref stand for.
fn expected(name: &RefName) -> Expected {
    if name.as_str().starts_with("refs/tags/") {
        Expected::Any
    } else {
        Expected::Commit
    }
}

/// Branches that work trees have which aren't worked on inside.
fn other_trees(host: &Path, below: &Path, own: &BTreeSet<&Path>, format: ObjectFormat) -> BTreeSet<RefName> {
    let names = std::fs::read_dir(host.join(below).join("worktrees"));
    let linked = names
        .into_iter()
        .flatten()
        .take(NEIGHBOURS_MAX)
        .filter_map(|entry| Some(entry.ok()?.file_name()));
    let directories = linked
        .map(|name| below.join("worktrees").join(name))
        .chain([below.to_owned()])
        .filter(|directory| !own.contains(directory.as_path()));
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
