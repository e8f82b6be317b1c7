//! Looks at the project while a run goes on, so that what covers a name stays on that name.
//!
//! Masks and protections are mounts, and a mount lies on an inode: when the host replaces the file by rename (every
//! editor does, and so does `git config`), the new inode has none, and a secret that appears during the run never had
//! one. So the directories that the walk saw are watched, and what appears in them is covered at once
//! ([`crate::launch::linux::remask`]).
//!
//! A name decides, not who made it: the kernel doesn't tell an ordinary user who that was, and a file that the agent
//! makes today is one that the user fills tomorrow. So an `.env` that the agent writes itself is masked too, as it would
//! be at the start of the next run; what was open by then stays open. Who wants otherwise names the path in a rule.
//!
//! What this can't do: between the rename and the mask lie some milliseconds in which the new file can be opened. And
//! it is bounded ([`DIRECTORIES_KEPT`], the kernel's number of watches); the log says so when a bound is met.
//!
//! It starts a moment after the program ([`DELAY`]): letting go of a watch costs the kernel up to ten milliseconds at
//! the end, which a command as short as that needn't pay. What happened in between shows in the directories' times.
//! But where something may have changed since the walk, it looks before the program starts ([`Watch::settle`]): what runs
//! in the same project in another sandbox could have moved a directory away while its secrets were being masked.

mod table;

use super::event::{Emit, Event};
use super::session::Source;
use crate::facts::{
    DIRECTORIES_KEPT, Found, Identity, Matcher, Project, Walk, WalkError, identity_of, is_settled,
    look_again, look_at, now_ns, real,
};
use crate::launch::linux::remask::{Guard, guard};
use crate::policy::Access;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use table::{Happened, Table};

/// After the start.
const DELAY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// Between two tries to cover a path, at first and at most: no process can be had for it, say.
const PATIENCE: Duration = Duration::from_millis(100);
const PATIENCE_MAX: Duration = Duration::from_secs(10);
/// How long a project may take to come to rest before a start.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// Most masks that one run gets besides those that it began with: a namespace holds 100,000 mounts (`fs.mount-max`).
const MASKS_MAX: usize = 10_000;

/// What is looked after.
#[derive(Debug)]
pub struct Watched {
    /// The project.
    pub project: Project,
    /// The table that the walk used.
    pub matcher: Matcher,
    /// The same without patterns of the user's, which are relative to the project.
    pub plain: Option<Matcher>,
    /// What the walk found before the run: the project's own first.
    pub walks: Vec<Walk>,
    /// How many of those are the project's own; the others are directories that a rule grants.
    pub own: usize,
    /// What covers which path, absolute, and what was there, where the walk doesn't say.
    pub guards: Vec<(Guard, PathBuf, Option<Identity>)>,
    /// Paths of secrets that a rule of the user's opens, absolute.
    pub opened: Vec<PathBuf>,
    /// Whether anything in the project can have been changed from inside.
    pub writable: bool,
}

impl Watched {
    /// Whether another walk would certainly find the same.
    pub(super) fn is_current(&self) -> bool {
        self.walks.iter().all(Walk::is_current)
    }

    /// The table for one of the walks.
    pub(super) fn matcher(&self, walk: usize) -> &Matcher {
        let plain = self.plain.as_ref().filter(|_| walk >= self.own);
        plain.unwrap_or(&self.matcher)
    }
}

/// The thread that does it, and before that what it needs: a short run never starts it.
pub(super) struct Watch {
    timer: OwnedFd,
    waiting: Option<Waiting>,
    running: Option<(Arc<OwnedFd>, JoinHandle<()>)>,
}

struct Waiting {
    watched: Arc<Watched>,
    mounts: OwnedFd,
    events: Arc<dyn Emit>,
    table: Table,
}

impl Watch {
    /// For the sandbox whose mount namespace is `mounts`.
    ///
    /// # Errors
    /// When there is no timer.
    pub(super) fn new(watched: Arc<Watched>, mounts: OwnedFd, events: Arc<dyn Emit>) -> Result<Self, Errno> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: DELAY,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(Self {
            timer,
            waiting: Some(Waiting {
                watched,
                mounts,
                events,
                // Now: the program could use up all that the user may have.
                table: Table::new()?,
            }),
            running: None,
        })
    }

    /// Sees to it, before the program starts, that what the walk found is still where it was, or is covered where it is
    /// now. Costs one look at each directory where nothing changed.
    ///
    /// # Errors
    /// When the project doesn't come to rest, or can't be watched.
    pub(super) fn settle(&mut self) -> std::io::Result<()> {
        let moved = |waiting: &Waiting| !waiting.watched.is_current();
        if !self.waiting.as_ref().is_some_and(moved) {
            return Ok(());
        }
        self.start_with(|watcher| {
            if watcher.settle() {
                Ok(())
            } else {
                Err(std::io::ErrorKind::TimedOut.into())
            }
        })
    }

    fn start(&mut self) -> std::io::Result<()> {
        self.start_with(|watcher| {
            watcher.set_up_later = true;
            Ok(())
        })
    }

    fn start_with(&mut self, first: impl FnOnce(&mut Watcher) -> std::io::Result<()>) -> std::io::Result<()> {
        let Some(waiting) = self.waiting.take() else {
            return Ok(());
        };
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let mut watcher = Watcher::new(waiting, Arc::clone(&stop));
        first(&mut watcher)?;
        let thread = Builder::new().name("watch".into()).spawn(move || watcher.run())?;
        self.running = Some((stop, thread));
        Ok(())
    }

    /// Tells it that the run is over; [`Self::join`] waits for it.
    pub(super) fn stop(&mut self) {
        self.waiting = None;
        if let Some((stop, _)) = &self.running {
            rustix::io::write(stop, &1_u64.to_ne_bytes()).ok();
        }
    }

    /// Waits until it has ended.
    pub(super) fn join(self) {
        if let Some((_, thread)) = self.running {
            drop(thread.join());
        }
    }
}

impl Source for Watch {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.waiting.iter().map(|_| self.timer.as_fd()).collect()
    }

    fn ready(&mut self) {
        let events = self.waiting.as_ref().map(|waiting| Arc::clone(&waiting.events));
        if let (Err(error), Some(events)) = (self.start(), events) {
            events.emit(lost(&error));
        }
    }
}

/// That there is no watch.
pub(super) fn lost(error: &std::io::Error) -> Event {
    Event::Degraded {
        lost: vec![format!(
            "masks on secrets that appear or are replaced during the run ({error})"
        )],
    }
}

/// Whether the run ends within `patience`.
fn stopped(stop: &OwnedFd, patience: &Timespec) -> bool {
    let mut waiting = [PollFd::new(stop, PollFlags::IN)];
    !matches!(poll(&mut waiting, Some(patience)), Ok(0))
}

struct Watcher {
    watched: Arc<Watched>,
    mounts: OwnedFd,
    events: Arc<dyn Emit>,
    stop: Arc<OwnedFd>,
    table: Table,
    guards: BTreeMap<PathBuf, Guard>,
    /// Which inode was covered at a path.
    covered: HashMap<PathBuf, Identity>,
    /// Where secrets were seen last, by another path than the walk's perhaps.
    moved: HashMap<Identity, PathBuf>,
    /// Files that become secrets when they get another content.
    undecided: BTreeSet<PathBuf>,
    /// To be covered next.
    wanted: BTreeMap<PathBuf, Guard>,
    /// What could not be covered, and when it is tried again.
    failed: BTreeSet<PathBuf>,
    patience: Duration,
    /// Something could not be looked at, for want of a descriptor or memory: then everything is, later.
    again: bool,
    masked: usize,
    told: BTreeSet<&'static str>,
    /// The thread begins by watching what the walk saw.
    set_up_later: bool,
}

impl Watcher {
    fn new(waiting: Waiting, stop: Arc<OwnedFd>) -> Self {
        let Waiting {
            watched,
            mounts,
            events,
            table,
        } = waiting;
        let mut covered = HashMap::new();
        for walk in &watched.walks {
            let hidden = walk.user.iter().map(|user| &user.found);
            for found in walk.masks.iter().chain(&walk.protected).chain(hidden) {
                if let Some((path, _, identity)) = found.mountable() {
                    covered.insert(walk.root.join(path), identity);
                }
            }
        }
        for (_, path, identity) in &watched.guards {
            if let Some(identity) = identity {
                covered.entry(path.clone()).or_insert(*identity);
            }
        }
        Self {
            table,
            guards: watched
                .guards
                .iter()
                .map(|(guard, path, _)| (path.clone(), *guard))
                .collect(),
            watched,
            mounts,
            events,
            stop,
            covered,
            moved: HashMap::new(),
            undecided: BTreeSet::new(),
            wanted: BTreeMap::new(),
            failed: BTreeSet::new(),
            patience: PATIENCE,
            again: false,
            masked: 0,
            told: BTreeSet::new(),
            set_up_later: false,
        }
    }

    /// Watches, and covers what is found wanting, until nothing has happened meanwhile; false when that doesn't come.
    fn settle(&mut self) -> bool {
        let start = Instant::now();
        self.set_up();
        while start.elapsed() < SETTLED_WITHIN {
            self.cover();
            let failed = !self.wanted.is_empty();
            match self.table.read() {
                Happened::Names(names) => self.look(names),
                Happened::TooMuch => self.look_everywhere(),
                Happened::Nothing if std::mem::take(&mut self.again) => self.look_everywhere(),
                Happened::Nothing if failed => {
                    let patience = Timespec::try_from(self.patience.min(PATIENCE)).ok();
                    // However it ends, it is looked at once more.
                    poll(&mut [PollFd::new(&self.table, PollFlags::IN)], patience.as_ref()).ok();
                }
                Happened::Nothing if self.is_certain() => return true,
                // What isn't watched went elsewhere, or may have.
                Happened::Nothing => {
                    self.look_everywhere();
                    self.cover();
                    let patience = Timespec::try_from(PATIENCE).ok();
                    poll(&mut [PollFd::new(&self.table, PollFlags::IN)], patience.as_ref()).ok();
                }
            }
        }
        false
    }

    /// Whether all secrets are covered where they are. Where all that they may lie in is watched, no event says so; else
    /// no directory that leads to one may have changed since it was covered.
    fn is_certain(&mut self) -> bool {
        let watched = Arc::clone(&self.watched);
        let begun = now_ns();
        let mut places = Vec::new();
        for walk in watched.walks.iter().filter(|walk| !walk.is_whole()) {
            for (path, _, identity) in walk.hidden().filter_map(|found| found.mountable()) {
                let path = walk.root.join(path);
                // What a rule opens has none.
                if let Some(guard @ (Guard::Mask | Guard::Hollow)) = self.guards.get(&path) {
                    let path = self.moved.get(&identity).cloned().unwrap_or(path);
                    places.push((*guard, &walk.root, path, identity));
                }
            }
        }
        let wanted: Vec<(Guard, PathBuf)> = places
            .iter()
            .map(|(guard, _, path, _)| (*guard, path.clone()))
            .collect();
        if wanted.is_empty() {
            return true;
        }
        guard(self.mounts.as_fd(), &wanted).is_ok()
            && places
                .iter()
                .all(|(_, root, path, identity)| is_settled(root, path, *identity, begun))
    }

    fn run(&mut self) {
        if self.set_up_later {
            self.set_up();
        }
        loop {
            self.cover();
            let mut waiting = [
                PollFd::new(&self.table, PollFlags::IN),
                PollFd::new(&*self.stop, PollFlags::IN),
            ];
            // What could not be covered is tried again.
            let patience = (self.again || !self.wanted.is_empty())
                .then(|| Timespec::try_from(self.patience).ok())
                .flatten();
            match poll(&mut waiting, patience.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return self.tell("poll", format!("the watch of the project (poll: {errno})")),
            }
            let [_, stop] = &waiting;
            if !stop.revents().is_empty() {
                return;
            }
            match self.table.read() {
                Happened::Names(names) => self.look(names),
                Happened::Nothing if std::mem::take(&mut self.again) => self.look_everywhere(),
                Happened::Nothing => {}
                Happened::TooMuch => self.look_everywhere(),
            }
        }
    }

    fn is_stopped(&self) -> bool {
        stopped(&self.stop, &Timespec::default())
    }

    fn set_up(&mut self) {
        let watched = Arc::clone(&self.watched);
        let parents: BTreeSet<&Path> = watched
            .guards
            .iter()
            .filter_map(|(_, path, _)| path.parent())
            .collect();
        for parent in parents {
            self.watch(parent, None);
        }
        for (root, walk) in watched.walks.iter().enumerate() {
            for found in &walk.undecided {
                let path = walk.root.join(&found.path);
                self.note_undecided(&path);
                // Written before the watch was there: no directory's time tells.
                if !found.is_as_it_was(&path, walk.begun_ns) {
                    self.look_at_name(root, &path);
                }
            }
        }
        let mut changed = Vec::new();
        for (root, walk) in watched.walks.iter().enumerate() {
            if walk.directory_count > u64::try_from(DIRECTORIES_KEPT).unwrap_or(u64::MAX) {
                self.tell(
                    "directories",
                    format!(
                        "masks on secrets that appear during the run in all but the first {DIRECTORIES_KEPT} directories of {}",
                        walk.root.display()
                    ),
                );
            }
            for (count, listed) in walk.directories.iter().enumerate() {
                if count % 64 == 0 && self.is_stopped() {
                    return;
                }
                if let Some(now) = self.watch(&walk.root.join(&listed.path), Some(root))
                    && listed.may_differ(walk.begun_ns, now)
                {
                    changed.push((root, listed.path.clone()));
                }
            }
        }
        self.look_at_changed(changed);
        // Names in git directories and outside of the project, which no list of names was made of.
        let replaced: Vec<(PathBuf, Guard)> = self
            .guards
            .iter()
            .filter(|(path, guard)| {
                // A pin holds by itself: nothing inside can have moved it, and who replaces it removes it first.
                let known = self.covered.get(path.as_path());
                **guard != Guard::Pin && identity_of(path).is_some_and(|now| known != Some(&now))
            })
            .map(|(path, guard)| (path.clone(), *guard))
            .collect();
        for (path, guard) in replaced {
            self.want(path, guard);
        }
    }

    /// Watches a directory; tells when it last changed. `root` is that of the walk that holds it against patterns.
    fn watch(&mut self, path: &Path, root: Option<usize>) -> Option<i64> {
        match self.table.add(path, root) {
            Ok(changed) => Some(changed),
            Err(Errno::NOSPC) => {
                self.tell(
                    "watches",
                    "masks on secrets that appear during the run in some directories (the kernel's fs.inotify.max_user_watches, or aca's own bound, is used up)"
                        .into(),
                );
                None
            }
            // Gone, or a link by now: its parent says so, or will.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => None,
            Err(_) => {
                self.again = true;
                None
            }
        }
    }

    fn note_undecided(&mut self, path: &Path) {
        if let Some(parent) = path.parent() {
            self.table.watch_writes(parent).ok();
        }
        self.undecided.insert(path.to_owned());
    }

    /// Names that appeared or were written.
    fn look(&mut self, names: BTreeSet<PathBuf>) {
        // What is covered by name first: patterns take longer, and whoever is inside decides how many names there are.
        for path in &names {
            self.look_at_guards(path);
        }
        self.cover();
        for (count, path) in names.into_iter().enumerate() {
            if count % 64 == 63 {
                self.cover();
            }
            if self.is_stopped() {
                return;
            }
            let Some(root) = path.parent().and_then(|parent| self.table.root_of(parent)) else {
                continue;
            };
            self.look_at_name(root, &path);
        }
    }

    fn look_at_name(&mut self, root: usize, path: &Path) {
        let watched = Arc::clone(&self.watched);
        let Some(walk) = watched.walks.get(root) else {
            return;
        };
        let Ok(relative) = path.strip_prefix(&walk.root) else {
            return;
        };
        let directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let named = path.file_name().is_some_and(|name| {
            watched
                .matcher(root)
                .may_matter(std::os::unix::ffi::OsStrExt::as_bytes(name))
        });
        if directory || named {
            let found = look_at(&walk.root, relative, watched.matcher(root));
            self.take(root, found);
        }
    }

    /// Puts back what covered a path that was replaced, and all beneath.
    fn look_at_guards(&mut self, path: &Path) {
        let beneath: Vec<(PathBuf, Guard)> = self
            .guards
            .range(path.to_owned()..)
            .take_while(|(guarded, _)| guarded.starts_with(path))
            .map(|(guarded, guard)| (guarded.clone(), *guard))
            .collect();
        for (guarded, _) in &beneath {
            if let Some(parent) = guarded.parent().filter(|parent| parent.starts_with(path)) {
                self.watch(parent, None);
            }
        }
        for (guarded, guard) in beneath {
            // A secret of the home that became a link: what it leads to is seen as well.
            if guard == Guard::Mask
                && let Ok(target) = real(&guarded)
                && target != guarded
            {
                self.want(target, guard);
            }
            self.want(guarded, guard);
        }
    }

    /// Lists directories again. What is new in them is watched and, since it may have got names before that, listed once
    /// more.
    fn look_at_changed(&mut self, mut changed: Vec<(usize, PathBuf)>) {
        let watched = Arc::clone(&self.watched);
        while let Some((root, path)) = changed.pop() {
            if self.is_stopped() {
                return;
            }
            let Some(walk) = watched.walks.get(root) else {
                continue;
            };
            let found = {
                let known = |path: &Path| self.table.root_of(&walk.root.join(path)).is_some();
                look_again(&walk.root, &path, watched.matcher(root), &known)
            };
            changed.extend(self.record(root, found));
        }
    }

    fn look_everywhere(&mut self) {
        let watched = Arc::clone(&self.watched);
        for (root, walk) in watched.walks.iter().enumerate() {
            if !walk.directories.is_empty() {
                let found = look_again(&walk.root, Path::new(""), watched.matcher(root), &|_| false);
                self.take(root, found);
            }
        }
        for (path, guard) in self.guards.clone() {
            self.want(path, guard);
        }
    }

    fn take(&mut self, root: usize, found: Result<Walk, WalkError>) {
        let changed = self.record(root, found);
        self.look_at_changed(changed);
    }

    /// Takes what a look found; gives the directories that are to be listed again.
    fn record(&mut self, root: usize, found: Result<Walk, WalkError>) -> Vec<(usize, PathBuf)> {
        let walk = match found {
            Ok(walk) => walk,
            Err(error) => {
                self.tell(
                    "look",
                    format!("masks on secrets that appear, for a while: {error}"),
                );
                self.again = true;
                return Vec::new();
            }
        };
        let hidden = walk.user.iter().filter(|user| user.access == Access::Hide);
        for found in walk.masks.iter().chain(hidden.map(|user| &user.found)) {
            self.want_mask(&walk.root, found);
        }
        for found in &walk.undecided {
            let path = walk.root.join(&found.path);
            if !self.undecided.contains(&path) {
                self.note_undecided(&path);
                // It may have been written before the watch was there.
                let again = look_at(&walk.root, &found.path, self.watched.matcher(root));
                for found in again.iter().flat_map(|walk| &walk.masks) {
                    self.want_mask(&walk.root, found);
                }
            }
        }
        let mut changed = Vec::new();
        for listed in &walk.directories {
            let path = walk.root.join(&listed.path);
            let known = self.table.root_of(&path).is_some();
            if let Some(now) = self.watch(&path, Some(root))
                && !known
                && listed.may_differ(walk.begun_ns, now)
            {
                changed.push((root, listed.path.clone()));
            }
        }
        changed
    }

    fn want_mask(&mut self, root: &Path, found: &Found) {
        let Some((path, _, identity)) = found.mountable() else {
            return;
        };
        let path = root.join(path);
        self.moved.insert(identity, path.clone());
        if self.watched.opened.contains(&path) {
            return;
        }
        if !self.guards.contains_key(&path) {
            if self.masked >= MASKS_MAX {
                return self.tell(
                    "masks",
                    format!("masks on more than {MASKS_MAX} secrets that appeared"),
                );
            }
            self.masked += 1;
        }
        // A link's target may have any name: only as a guarded path is it noticed when that is replaced.
        if found.path != path && !self.guards.contains_key(&path) {
            self.guards.insert(path.clone(), Guard::Mask);
            if let Some(parent) = path.parent() {
                self.watch(parent, None);
            }
        }
        // A part of it may be shown.
        let hollow = self.guards.get(&path) == Some(&Guard::Hollow);
        self.want(path, if hollow { Guard::Hollow } else { Guard::Mask });
    }

    /// Covers what was found wanting.
    fn cover(&mut self) {
        let wanted: Vec<(Guard, PathBuf)> = std::mem::take(&mut self.wanted)
            .into_iter()
            .map(|(path, guard)| (guard, path))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let whole = guard(self.mounts.as_fd(), &wanted).is_ok();
        let mut failed = false;
        for one in wanted {
            // One that fails must not keep the others from being covered, nor its name from being told.
            let done = if whole {
                Ok(())
            } else if self.is_stopped() {
                return;
            } else {
                guard(self.mounts.as_fd(), std::slice::from_ref(&one))
            };
            let (kind, path) = one;
            match done {
                Ok(()) => self.note_covered(kind, path),
                Err(error) => {
                    failed = true;
                    if self.failed.insert(path.clone()) {
                        self.events.emit(Event::Degraded {
                            lost: vec![format!("what covers {}: {error}", path.display())],
                        });
                    }
                    self.want(path, kind);
                }
            }
        }
        self.patience = if failed {
            (self.patience * 2).min(PATIENCE_MAX)
        } else {
            PATIENCE
        };
    }

    fn note_covered(&mut self, kind: Guard, path: PathBuf) {
        self.failed.remove(&path);
        // It may be gone again.
        let Some(identity) = identity_of(&path) else {
            return;
        };
        if self.covered.insert(path.clone(), identity) == Some(identity) {
            return;
        }
        match kind {
            Guard::Hollow | Guard::Mask => self.events.emit(Event::Masked { path }),
            Guard::ReadOnly => self.events.emit(Event::Protected { path }),
            Guard::Pin => {}
        }
    }

    /// Covers a path next time; the stricter way, where there are two.
    fn want(&mut self, path: PathBuf, guard: Guard) {
        let wanted = self.wanted.entry(path).or_insert(guard);
        *wanted = guard.max(*wanted);
    }

    /// Says once what is lost.
    fn tell(&mut self, what: &'static str, text: String) {
        if self.told.insert(what) {
            self.events.emit(Event::Degraded { lost: vec![text] });
        }
    }
}
