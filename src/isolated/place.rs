//! Where a session's private git directory is kept, and what is known of it: enough to bring its work back after this
//! process was killed.

use super::decide::Handled;
use super::host::HostGit;
use super::layout::{Layout, Part};
use super::make::{make, open_regular, refs_file};
use super::remove::remove;
use crate::facts::{Ambient, Project};
use crate::git::object_id::ObjectId;
use crate::git::ref_files::Head;
use crate::git::ref_name::RefName;
use crate::policy::path_text;
use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The private git directory, in the session's place.
const GIT: &str = "git";
const ABOUT: &str = "about.json";
const STATE: &str = "state.json";
const LOCK: &str = "lock";
/// Whose lock git outside holds while it is at work.
const AT_WORK: &str = "at-work";
/// How long one that a killed session left at work is waited for: it has a ref to move.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// What was made on the host.
const MADE: &str = "made";
/// How long making one may take.
const YOUNG: Duration = Duration::from_secs(600);

/// What doesn't change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// The project.
    #[serde(with = "crate::policy::path_text")]
    pub(super) project: PathBuf,
    pub(super) layout: Layout,
}

/// What was done so far in one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The part, which may have been made inside.
    pub(super) part: Part,
    /// Whether it was.
    pub(super) ours: bool,
    pub(super) handled: BTreeMap<RefName, Handled>,
    /// The host's stash, as the session saw or set it last; the oldest first.
    pub(super) stash: Vec<ObjectId>,
    /// What of it the session brought.
    pub(super) stash_own: BTreeSet<ObjectId>,
    /// Its work trees. None is taken out again: files are named by their numbers.
    pub(super) trees: Vec<TreeState>,
}

impl State {
    /// Nothing was, with no work tree.
    pub(super) const fn new(part: Part, ours: bool) -> Self {
        Self {
            part,
            ours,
            handled: BTreeMap::new(),
            stash: Vec::new(),
            stash_own: BTreeSet::new(),
            trees: Vec::new(),
        }
    }
}

/// What of the host's was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MadeKind {
    /// The git directory of a work tree.
    Tree,
    /// That of a submodule.
    Part,
}

/// What was done so far in one work tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TreeState {
    /// Where its files lie beneath the repository's.
    #[serde(with = "crate::policy::path_text")]
    pub(super) own: PathBuf,
    /// The host's `HEAD`, as the session saw or set it last.
    pub(super) head: Option<HeadText>,
    /// Whether it was made inside.
    pub(super) ours: bool,
    /// Whether it was taken away again.
    pub(super) gone: bool,
    /// Whether the session locked it outside.
    pub(super) locked: bool,
}

impl TreeState {
    pub(super) const fn new(own: PathBuf, head: Option<HeadText>, ours: bool) -> Self {
        Self {
            own,
            head,
            ours,
            gone: false,
            locked: false,
        }
    }
}

/// `HEAD`, in a form that is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum HeadText {
    Branch(RefName),
    Detached(ObjectId),
}

impl From<Head> for HeadText {
    fn from(head: Head) -> Self {
        match head {
            Head::Branch(name) => Self::Branch(name),
            Head::Detached(id) => Self::Detached(id),
        }
    }
}

/// The place of one session.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    session: String,
    pub(super) about: About,
    /// Held for as long as the session lives: a place whose lock nobody holds was left over.
    _lock: OwnedFd,
}

impl Place {
    /// Makes the private git directory of a session in `places`, a directory of aca's own.
    ///
    /// # Errors
    /// Of the file system; nothing is left then.
    pub fn make(places: &Path, session: &str, project: &Path, layout: &Layout) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(places)?;
        let directory = places.join(session);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let made = Self::fill(&directory, session, project, layout);
        if made.is_err() {
            remove(&directory, &[]).ok();
        }
        made
    }

    fn fill(directory: &Path, session: &str, project: &Path, layout: &Layout) -> io::Result<Self> {
        let lock = lock(directory)?.ok_or(io::ErrorKind::ResourceBusy)?;
        let about = About {
            project: project.to_owned(),
            layout: layout.clone(),
        };
        let refs = make(layout, &directory.join(GIT))?;
        for (index, (text, part)) in refs.iter().zip(&layout.parts).enumerate() {
            fs::write(refs_file(directory, index), text)?;
            let host = layout.host_of(part);
            for (number, tree) in part.trees.iter().enumerate() {
                let own = layout.host.join(tree);
                copy_if_there(&own.join("index"), &index_file(directory, (index, number)))?;
                copy_if_there(&own.join("HEAD"), &head_file(directory, (index, number)))?;
            }
            let inside = directory.join(GIT).join(&part.below).join("config");
            fs::copy(inside, config_file(directory, index))?;
            copy_if_there(&host.join("logs/refs/stash"), &stash_file(directory, index))?;
        }
        // The last: a place without it was never begun.
        fs::write(directory.join(ABOUT), serde_json::to_vec(&about)?)?;
        Ok(Self {
            directory: directory.to_owned(),
            session: session.to_owned(),
            about,
            _lock: lock,
        })
    }

    /// Those in `places` that a session left over which didn't come to its end, of one project or of all. One that was
    /// never begun is removed.
    #[must_use]
    pub fn left_over(places: &Path, project: Option<&Project>) -> Vec<Self> {
        let Ok(names) = fs::read_dir(places) else {
            return Vec::new();
        };
        let mut found: Vec<Self> = names
            .filter_map(|entry| {
                let (path, name) = (entry.as_ref().ok()?.path(), entry.ok()?.file_name());
                let session = name.into_string().ok()?;
                let held = lock(&path).ok()??;
                let Ok(text) = fs::read(path.join(ABOUT)) else {
                    // It may be made at this moment.
                    let age = path
                        .metadata()
                        .ok()?
                        .modified()
                        .ok()?
                        .elapsed()
                        .unwrap_or_default();
                    if age > YOUNG {
                        remove(&path, &[]).ok();
                    }
                    return None;
                };
                let about: About = serde_json::from_slice(&text).ok()?;
                let wanted = project.is_none_or(|project| project.root == about.project);
                wanted.then_some(Self {
                    directory: path,
                    session,
                    about,
                    _lock: held,
                })
            })
            .collect();
        found.sort_unstable_by(|one, other| one.session.cmp(&other.session));
        found
    }

    /// Whether another session of the same repository goes on.
    pub(super) fn has_others(&self) -> bool {
        let names = self.directory.parent().map(fs::read_dir);
        let mut others = names
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| *path != self.directory);
        others.any(|path| {
            let about = fs::read(path.join(ABOUT)).ok();
            let about = about.and_then(|text| serde_json::from_slice::<About>(&text).ok());
            let is_same = about.is_some_and(|about| about.layout.host == self.about.layout.host);
            is_same && matches!(lock(&path), Ok(None))
        })
    }

    /// The private git directory.
    #[must_use]
    pub fn git(&self) -> PathBuf {
        self.directory.join(GIT)
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &Path {
        &self.about.project
    }

    /// The lock that says that git outside is at work, which a session that was killed may have left so: that is waited for.
    pub(super) fn at_work(&self) -> io::Result<OwnedFd> {
        let file = open_lock(&self.directory, AT_WORK)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < until => {
                    poll(&mut [], Timespec::try_from(PAUSE).ok().as_ref()).ok();
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    pub(super) fn refs(&self, part: usize) -> io::Result<Vec<u8>> {
        fs::read(refs_file(&self.directory, part))
    }

    pub(super) fn config(&self, part: usize) -> io::Result<Vec<u8>> {
        fs::read(config_file(&self.directory, part))
    }

    pub(super) fn set_config(&self, part: usize, content: &[u8]) -> io::Result<()> {
        fs::write(config_file(&self.directory, part), content)
    }

    /// A file of the host's as the session saw or wrote it last, of a part's work tree; empty where there was none.
    pub(super) fn index(&self, tree: (usize, usize)) -> Vec<u8> {
        fs::read(index_file(&self.directory, tree)).unwrap_or_default()
    }

    pub(super) fn set_index(&self, tree: (usize, usize), content: &[u8]) -> io::Result<()> {
        fs::write(index_file(&self.directory, tree), content)
    }

    pub(super) fn stash(&self, part: usize) -> Vec<u8> {
        fs::read(stash_file(&self.directory, part)).unwrap_or_default()
    }

    pub(super) fn head(&self, tree: (usize, usize)) -> Vec<u8> {
        fs::read(head_file(&self.directory, tree)).unwrap_or_default()
    }

    /// Notes a directory that is about to be made on the host: after a kill it is known as the session's own.
    pub(super) fn note_made(&self, kind: MadeKind, own: &Path) -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join(MADE))?;
        let kind = match kind {
            MadeKind::Tree => "tree",
            MadeKind::Part => "part",
        };
        file.write_all(format!("{kind} {}\n", path_text::show(own)).as_bytes())
    }

    /// The directories that were.
    pub(super) fn made(&self) -> Vec<(MadeKind, PathBuf)> {
        let text = fs::read_to_string(self.directory.join(MADE)).unwrap_or_default();
        let read = |line: &str| {
            let (kind, path) = line.split_once(' ')?;
            let kind = match kind {
                "tree" => MadeKind::Tree,
                "part" => MadeKind::Part,
                _ => return None,
            };
            Some((kind, path_text::read(path)?))
        };
        text.lines().filter_map(read).collect()
    }

    /// What says which lock of an index on the host is held.
    pub(super) fn lock_note(&self, (part, tree): (usize, usize)) -> PathBuf {
        self.directory.join(format!("lock-{part}-{tree}"))
    }

    /// The same of a stash's.
    pub(super) fn stash_note(&self, part: usize) -> PathBuf {
        self.directory.join(format!("lock-stash-{part}"))
    }

    /// A name in the host's git directory, for what is made there and renamed to its place.
    pub(super) fn beside(&self) -> PathBuf {
        self.about.layout.host.join(format!("aca-{}", self.session))
    }

    /// What was done so far; `None` where nothing was.
    pub(super) fn state(&self) -> Option<Vec<State>> {
        serde_json::from_slice(&fs::read(self.directory.join(STATE)).ok()?).ok()
    }

    pub(super) fn keep(&self, state: &[&State]) -> io::Result<()> {
        let beside = self.directory.join("state.new");
        fs::write(&beside, serde_json::to_vec(state)?)?;
        fs::rename(beside, self.directory.join(STATE))
    }

    /// Removes it; first what says that there is something to bring back.
    pub(super) fn remove(self) -> io::Result<()> {
        remove(&self.directory, &[ABOUT, STATE])
    }

    /// Where it lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Git outside, for a session that is over: nothing inside is writable any more but what was.
    #[must_use]
    pub fn git_outside(&self, ambient: &Ambient) -> Option<HostGit> {
        let mut open = self.about.layout.ground.open.clone();
        open.push(self.about.project.clone());
        HostGit::find(ambient, &open)
    }
}

fn index_file(directory: &Path, (part, tree): (usize, usize)) -> PathBuf {
    directory.join(format!("index-{part}-{tree}"))
}

fn config_file(directory: &Path, part: usize) -> PathBuf {
    directory.join(format!("config-{part}"))
}

fn stash_file(directory: &Path, part: usize) -> PathBuf {
    directory.join(format!("stash-{part}"))
}

fn head_file(directory: &Path, (part, tree): (usize, usize)) -> PathBuf {
    directory.join(format!("head-{part}-{tree}"))
}

fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(mut from) = open_regular(rustix::fs::CWD, from)? {
        io::copy(&mut from, &mut fs::File::create_new(to)?)?;
    }
    Ok(())
}

fn open_lock(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(
        directory.join(name),
        flags,
        Mode::RUSR | Mode::WUSR,
    )?)
}

/// Takes the lock of a place; `None` where somebody holds it.
fn lock(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let file = open_lock(directory, LOCK)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
