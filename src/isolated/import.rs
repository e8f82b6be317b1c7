//! Brings back what was done in a private git directory, each time it has changed, and a last time at the end.
//!
//! Objects first, then refs, `HEAD`, the stash and the index, then remotes and upstreams. What can't come back stays where
//! it is, is told once, and keeps the private directory from being removed if it would be lost with it.

use super::host::HostGit;
use super::index_lock::IndexLock;
use super::layout::{MODULES_MAX, Part, check_format};
use super::limits::{self, Limits};
use super::new_part::{self, NewPart};
use super::new_tree::{self, Unready};
use super::part::{Around, Done, IndexMarks, PartState};
use super::place::{HeadText, MadeKind, Place, State, TreeState};
use super::read::{Opened, Refs, ref_directories};
use crate::facts::beneath::{open_root, read_below, read_file};
use crate::facts::git_config::{CONFIG_BYTES_MAX, Setting, last, settings};
use crate::facts::git_pointer::lexical;
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ref_files::{self, Head, LogEntry};
use rustix::fs::CWD;
use std::collections::{BTreeMap, BTreeSet};
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

impl News {
    /// Whether it is mended by what everybody does anyway: then it is only in the log.
    #[must_use]
    pub fn is_minor(&self) -> bool {
        matches!(self, Self::NotBrought { what, .. } if what.contains(TRACKING))
    }
}

/// What remotes have.
pub(super) const TRACKING: &str = "refs/remotes/";

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All that can be done is.
    Settled,
    /// Git inside, or outside, is in the middle of something.
    Again,
}

/// One state of an index.
pub(super) type Mark = (u64, i64, i64, u64);

/// The importer of one session.
#[derive(Debug)]
pub struct Import {
    place: Place,
    git: HostGit,
    root: OwnedFd,
    parts: Vec<PartState>,
    /// What a new part was when it couldn't be brought: it isn't tried again before it has changed.
    tried: BTreeMap<PathBuf, (Option<Head>, Option<Refs>)>,
    limits: Limits,
    /// Something is in the private directory alone.
    kept: bool,
}

impl Import {
    /// For a session's place; `is_new` is one that was made just now, which nothing has changed yet.
    ///
    /// # Errors
    /// When what it was made from can't be read.
    pub fn new(place: Place, git: HostGit, is_new: bool) -> std::io::Result<Self> {
        let root = open_root(&place.git())?;
        // Before anything is read: what a killed session left at work is done then.
        let git = git.holding(place.at_work()?);
        let kept = place.state();
        let is_new = is_new && kept.is_none();
        let states = kept.unwrap_or_else(|| first_states(&place));
        let mut parts = Vec::new();
        for (number, state) in states.into_iter().enumerate() {
            let format = state.part.format();
            let start = place.refs(number).unwrap_or_default();
            let start = ref_files::packed(&start, format).unwrap_or_default();
            // Of one that was left over it isn't known any more.
            let config = is_new.then(|| place.config(number).ok()).flatten();
            let indexes = state.trees.iter().map(|tree| {
                let opened = Opened::open(&root, &state.part.below, &tree.own, format);
                let mark = opened.ok().filter(|_| is_new);
                let mark = mark.and_then(|opened| opened.index_mark());
                IndexMarks {
                    done: mark,
                    made: mark,
                    going: false,
                }
            });
            parts.push(PartState {
                start: start.into_iter().collect(),
                is_new,
                config_done: config.clone(),
                config_made: config,
                indexes: indexes.collect(),
                building: None,
                state,
            });
        }
        let mut import = Self {
            place,
            git,
            root,
            parts,
            tried: BTreeMap::new(),
            limits: Limits::default(),
            kept: false,
        };
        if !is_new {
            import.take_up();
        }
        Ok(import)
    }

    /// What was made on the host and not written down any more before a kill.
    fn take_up(&mut self) {
        for (part, one) in self.parts.iter().enumerate() {
            for (tree, known) in one.state.trees.iter().enumerate() {
                let work = self.place.about.layout.host.join(&known.own);
                IndexLock::recover(&work.join("index"), &self.place.lock_note((part, tree)));
            }
            let refs = self
                .place
                .about
                .layout
                .host
                .join(&one.state.part.below)
                .join("refs");
            IndexLock::recover(&refs.join("stash"), &self.place.stash_note(part));
        }
        new_tree::discard(&self.place.beside()).ok();
        let host = self.place.about.layout.host.clone();
        for (kind, own) in self.place.made() {
            if host.join(&own).symlink_metadata().is_err() {
                continue;
            }
            let placed = match kind {
                MadeKind::Tree => self.take_up_tree(&host, &own),
                MadeKind::Part => self.take_up_part(&host, &own),
            };
            // What is staged there is what was brought.
            if let Some((at, format)) = placed {
                let opened =
                    open_root(&host).and_then(|root| Opened::open(&root, Path::new(""), &own, format));
                let index = opened.ok().and_then(|opened| opened.index());
                self.place.set_index(at, &index.unwrap_or_default()).ok();
            }
        }
    }

    fn take_up_tree(&mut self, host: &Path, own: &Path) -> Option<((usize, usize), ObjectFormat)> {
        let holds = |one: &PartState| own.parent() == Some(one.state.part.below.join("worktrees").as_path());
        let number = self.parts.iter().position(holds)?;
        let part = self.parts.get_mut(number)?;
        let trees = &mut part.state.trees;
        if trees.iter().any(|tree| !tree.gone && tree.own == own) {
            return None;
        }
        let (format, tree) = (part.state.part.format(), trees.len());
        trees.push(TreeState::new(
            own.to_owned(),
            head_of(&host.join(own), format),
            true,
        ));
        part.indexes.push(IndexMarks::default());
        Some(((number, tree), format))
    }

    fn take_up_part(&mut self, host: &Path, own: &Path) -> Option<((usize, usize), ObjectFormat)> {
        if self.parts.iter().any(|part| part.state.part.below == own) {
            return None;
        }
        let at = host.join(own);
        let text = settings(&read_file(CWD, at.join("config"), CONFIG_BYTES_MAX).ok()?);
        let (inside, _) = read_below(&self.root, &own.join("config"), CONFIG_BYTES_MAX).ok()?;
        let tree_of = |text: &[Setting]| last(text, "core", "worktree").and_then(|tree| lexical(&at, &tree));
        if tree_of(&text) != tree_of(&settings(&inside)) {
            return None;
        }
        let part = Part {
            stores: vec![at.join("objects")],
            sha256: check_format(&text).ok()?,
            trees: vec![own.to_owned()],
            below: own.to_owned(),
        };
        let format = part.format();
        let mut part = made_part(part);
        if let Some(tree) = part.state.trees.first_mut() {
            tree.head = head_of(&host.join(own), format);
        }
        let number = self.parts.len();
        self.parts.push(part);
        Some(((number, 0), format))
    }

    /// The private git directory.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.place.git()
    }

    /// Directories in it where a change shows, `most` at most.
    #[must_use]
    pub fn watched(&self, most: usize) -> Vec<PathBuf> {
        let root = self.place.git();
        let mut watched = vec![root.clone()];
        for part in &self.parts {
            let below = &part.state.part.below;
            watched.extend(
                [below.to_owned(), below.join("logs/refs"), below.join("worktrees")]
                    .map(|one| root.join(one)),
            );
            watched.extend(part.state.trees.iter().map(|tree| root.join(&tree.own)));
            let host = self.place.about.layout.host.join(below).join("worktrees");
            let new = part.new_names(&self.around(false)).into_iter();
            let new = new.filter(|name| host.join(name).symlink_metadata().is_err());
            watched.extend(new.map(|name| root.join(below).join("worktrees").join(name)));
        }
        for holder in self.holders() {
            watched.push(root.join(&holder).join("modules"));
            let found = new_part::found(&self.root, &holder);
            watched.extend(found.seen.iter().chain(&found.parts).map(|one| root.join(one)));
        }
        for part in &self.parts {
            watched.extend(ref_directories(&root.join(&part.state.part.below), most));
        }
        watched.truncate(most);
        watched
    }

    /// What directories of submodules lie in: git directories, and those of linked work trees.
    fn holders(&self) -> Vec<PathBuf> {
        self.parts
            .iter()
            .flat_map(|part| {
                let below = &part.state.part.below;
                let linked = part
                    .state
                    .trees
                    .iter()
                    .filter(move |tree| !tree.gone && tree.own != *below);
                std::iter::once(below.to_owned()).chain(linked.map(|tree| tree.own.clone()))
            })
            .collect()
    }

    const fn around(&self, last: bool) -> Around<'_> {
        Around {
            place: &self.place,
            git: &self.git,
            root: &self.root,
            limits: &self.limits,
            last,
        }
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
                for index in &mut part.indexes {
                    index.done = index.made;
                }
                part.config_done = part.config_made.clone();
            }
        }
        let around = Around {
            place: &self.place,
            git: &self.git,
            root: &self.root,
            limits: &self.limits,
            last,
        };
        for (number, part) in self.parts.iter_mut().enumerate() {
            let done = part.bring(&around, number, &mut news);
            self.kept |= done.kept;
            if done.progress == Progress::Again {
                progress = Progress::Again;
            }
        }
        if self.grow(last, &mut news) == Progress::Again {
            progress = Progress::Again;
        }
        let states: Vec<&State> = self.parts.iter().map(|part| &part.state).collect();
        if let Err(error) = self.place.keep(&states) {
            news.push(not_brought("state", error));
        }
        (progress, limits::bounded(news))
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

    /// Submodules that were got inside, and those that were got in them.
    fn grow(&mut self, last: bool, news: &mut Vec<News>) -> Progress {
        let mut progress = Progress::Settled;
        let mut done = BTreeSet::new();
        while let Some(holder) = self.holders().into_iter().find(|holder| !done.contains(holder)) {
            for below in new_part::found(&self.root, &holder).parts {
                if self.parts.iter().any(|part| part.state.part.below == below) {
                    continue;
                }
                let what = format!("the submodule {}", below.display());
                if self.parts.len() > MODULES_MAX {
                    news.push(not_brought(&what, "there are too many"));
                    return progress;
                }
                let holders = self.holders();
                let is_known = |path: &Path| holders.iter().any(|holder| holder == path);
                let layout = &self.place.about.layout;
                match new_part::look(&self.root, &below, layout, &is_known) {
                    Ok(new) => match self.add(&new, last, news) {
                        Ok(Progress::Settled) => news.push(News::Brought {
                            what,
                            value: "a new git directory".into(),
                        }),
                        Ok(Progress::Again) => progress = Progress::Again,
                        Err(why) => {
                            self.kept = true;
                            news.push(not_brought(&what, why));
                        }
                    },
                    Err(Unready(why)) => news.push(not_brought(&what, why)),
                }
            }
            done.insert(holder);
        }
        progress
    }

    /// Makes the git directory of one on the host, whole or not at all.
    fn add(&mut self, new: &NewPart, last: bool, news: &mut Vec<News>) -> Result<Progress, String> {
        let text = |error: std::io::Error| error.to_string();
        let (below, number) = (&new.part.below, self.parts.len());
        let opened = Opened::open(&self.root, below, below, new.part.format());
        let opened = opened.map_err(|errno| errno.to_string())?;
        if opened.is_locked() && !last {
            return Ok(Progress::Again);
        }
        let now = (opened.head(), opened.refs());
        let not_whole = "what is checked out in it isn't whole";
        if !last && self.tried.get(below) == Some(&now) {
            return Err(not_whole.into());
        }
        let beside = self.place.beside();
        let layout = &self.place.about.layout;
        let building = beside
            .strip_prefix(&layout.host)
            .map_err(|error| error.to_string())?;
        new_part::begin(new, &beside, layout).map_err(text)?;
        self.place.set_config(number, &new.usual).map_err(text)?;
        self.place.set_index((number, 0), &[]).map_err(text)?;
        let mut part = made_part(new.part.clone());
        part.building = Some(building.to_owned());
        if let Some(tree) = part.state.trees.first_mut() {
            tree.head = Some(match &new.head {
                Head::Branch(name) => HeadText::Branch(name.clone()),
                Head::Detached(_) => HeadText::Branch(new_part::unborn().parse().map_err(|_| not_whole)?),
            });
        }
        let mut inner = Vec::new();
        let Done { progress, kept } = part.bring(&self.around(last), number, &mut inner);
        let host = Opened::open(
            open_root(&layout.host).map_err(|errno| errno.to_string())?,
            building,
            building,
            new.part.format(),
        );
        let is_whole = host.is_ok_and(|host| {
            let at = |opened: &Opened, head: &Head| match head {
                Head::Branch(name) => opened.refs().and_then(|refs| refs.get(name).copied()),
                Head::Detached(id) => Some(*id),
            };
            host.head()
                .is_some_and(|head| now.0.as_ref() == Some(&head) && at(&host, &head) == at(&opened, &head))
        });
        if !is_whole {
            news.extend(
                inner
                    .into_iter()
                    .filter(|news| matches!(news, News::NotBrought { .. })),
            );
            self.tried.insert(below.clone(), now);
            new_tree::discard(&beside).map_err(text)?;
            return match progress {
                Progress::Again if !last => Ok(Progress::Again),
                Progress::Again | Progress::Settled => Err(not_whole.into()),
            };
        }
        if let Some(refs) = &now.1 {
            new_part::defaults(&self.root, below, &beside, refs).map_err(text)?;
        }
        self.place.note_made(MadeKind::Part, below).map_err(text)?;
        new_part::finish(&beside, layout, below).map_err(text)?;
        self.kept |= kept;
        part.building = None;
        news.extend(inner);
        self.parts.push(part);
        Ok(Progress::Settled)
    }
}

/// The state of what was made just now.
fn first_states(place: &Place) -> Vec<State> {
    let parts = place.about.layout.parts.iter().enumerate();
    parts
        .map(|(number, part)| {
            let format = part.format();
            let trees = part.trees.iter().enumerate().map(|(tree, own)| {
                let head = ref_files::head(&place.head((number, tree)), format);
                TreeState::new(own.clone(), head.map(HeadText::from), false)
            });
            State {
                trees: trees.collect(),
                stash: ids(&ref_files::log(&place.stash(number), format).unwrap_or_default()),
                ..State::new(part.clone(), false)
            }
        })
        .collect()
}

fn made_part(part: Part) -> PartState {
    let trees = part
        .trees
        .iter()
        .map(|own| TreeState::new(own.clone(), None, true));
    PartState {
        start: Refs::new(),
        is_new: false,
        config_done: None,
        config_made: None,
        indexes: vec![IndexMarks::default(); part.trees.len()],
        building: None,
        state: State {
            trees: trees.collect(),
            ..State::new(part, true)
        },
    }
}

fn head_of(directory: &Path, format: ObjectFormat) -> Option<HeadText> {
    let text = read_file(CWD, directory.join("HEAD"), 4096).ok()?;
    ref_files::head(&text, format).map(HeadText::from)
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
