//! Watches a private git directory while a run goes on, and has what changes in it brought back, in a thread of its own:
//! git outside is waited for there.

use super::event::{Emit, Event};
use crate::isolated::{Import, News, Progress};
use crate::plan::linux::{BindAccess, StagePlan, Step};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How long nothing has to change before it is looked at, and how long that may be put off.
const QUIET: Duration = Duration::from_millis(150);
const LATEST: Duration = Duration::from_secs(2);
/// Between two tries while git is in the middle of something, and how many there are at the end.
const PATIENCE: Duration = Duration::from_millis(300);
const LAST_TRIES: usize = 10;
/// Most directories that are watched; what changes in others is seen at the end.
const WATCHES_MAX: usize = 1024;

/// The private git directory of a run.
#[derive(Debug)]
pub struct PrivateGit {
    import: Import,
    at: PathBuf,
}

/// What there is to say at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// What is kept under another name: the ref, and that.
    pub aside: Vec<(String, String)>,
    /// What didn't come back.
    pub missing: Vec<String>,
    /// The private directory, where something is in there alone.
    pub kept: Option<PathBuf>,
}

impl Brought {
    fn add(&mut self, news: &News) {
        match news {
            _ if news.is_minor() => {}
            News::Brought { .. } => {}
            News::Aside { what, at, .. } => self.aside.push((what.clone(), at.clone())),
            News::NotBrought { what, .. } => self.missing.push(what.clone()),
        }
    }
}

/// The event of it.
#[must_use]
pub fn event(news: News) -> Event {
    match news {
        News::Brought { what, value } => Event::GitBrought { what, value },
        News::Aside { what, at, why } => Event::GitAside { what, at, why },
        News::NotBrought { what, why } => Event::GitNotBrought { what, why },
    }
}

impl PrivateGit {
    /// The one that is shown at `at`.
    #[must_use]
    pub const fn new(import: Import, at: PathBuf) -> Self {
        Self { import, at }
    }

    /// Where it is shown: at the host's place.
    pub(super) fn at(&self) -> PathBuf {
        self.at.clone()
    }

    /// Puts its place into the steps, which don't know the session.
    pub(super) fn supply(&self, steps: &mut StagePlan) {
        for step in &mut steps.view {
            if let Step::Bind {
                source,
                at,
                access: BindAccess::Own,
                ..
            } = step
                && *at == self.at
            {
                *source = self.import.root();
            }
        }
    }

    /// Lets it go again: nothing was started.
    pub(super) fn forget(self) {
        drop(self.import.finish());
    }

    /// Starts to watch it.
    ///
    /// # Errors
    /// When there is no thread: then the next run in the project brings it back.
    pub(super) fn start(self, events: Arc<dyn Emit>) -> std::io::Result<Running> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let keeper = Keeper {
            // A user has 128 of them at a time (`fs.inotify.max_user_instances`): without one, all comes back at the end.
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(),
            import: self.import,
            stop: Arc::clone(&stop),
            events,
            brought: Brought::default(),
        };
        let thread = Builder::new().name("git".into()).spawn(move || keeper.run())?;
        Ok(Running { stop, thread })
    }
}

/// Brings back what a session left that was cut off; gives its news.
#[must_use]
pub fn bring_left_over(mut import: Import) -> (Vec<News>, Option<PathBuf>) {
    let mut all = Vec::new();
    bring_last(&mut import, |news, done| all.extend(due(news, done)));
    (all, import.finish())
}

/// Brings back what is left, once nothing inside is alive. Git outside may be in the middle of something, and is waited for.
fn bring_last(import: &mut Import, mut tell: impl FnMut(Vec<News>, bool)) {
    for left in (0..LAST_TRIES).rev() {
        let (progress, news) = import.bring(true);
        let done = progress == Progress::Settled || left == 0;
        tell(news, done);
        if done {
            break;
        }
        poll(&mut [], Timespec::try_from(PATIENCE).ok().as_ref()).ok();
    }
}

/// The thread.
pub(super) struct Running {
    stop: Arc<OwnedFd>,
    thread: JoinHandle<Brought>,
}

impl Running {
    /// Brings back what is left, once nothing inside is alive.
    pub(super) fn finish(self) -> Brought {
        rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).ok();
        self.thread.join().unwrap_or_default()
    }
}

/// What there is to tell now: what didn't come back may come yet, and is said at the end.
fn due(news: Vec<News>, done: bool) -> impl Iterator<Item = News> {
    news.into_iter()
        .filter(move |one| done || !matches!(one, News::NotBrought { .. }))
}

fn told(brought: &mut Brought, events: &Arc<dyn Emit>, news: Vec<News>, done: bool) {
    for one in due(news, done) {
        brought.add(&one);
        events.emit(event(one));
    }
}

struct Keeper {
    inotify: Option<OwnedFd>,
    import: Import,
    stop: Arc<OwnedFd>,
    events: Arc<dyn Emit>,
    brought: Brought,
}

impl Keeper {
    fn run(mut self) -> Brought {
        self.watch();
        // When something changed that wasn't looked at yet, and when it is at the latest.
        let mut waits: Option<(Instant, Duration)> = None;
        loop {
            let patience =
                waits.map(|(latest, quiet)| quiet.min(latest.saturating_duration_since(Instant::now())));
            let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
            let mut waiting = vec![PollFd::new(&*self.stop, PollFlags::IN)];
            waiting.extend(
                self.inotify
                    .iter()
                    .map(|inotify| PollFd::new(inotify, PollFlags::IN)),
            );
            match poll(&mut waiting, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
            let mut ready = waiting.iter().map(|one| !one.revents().is_empty());
            let stop = ready.next().unwrap_or(true);
            let changed = ready.next().unwrap_or(false);
            if stop {
                break;
            }
            if changed {
                self.drain();
                let latest = waits.map_or_else(|| Instant::now() + LATEST, |(latest, _)| latest);
                waits = Some((latest, QUIET));
            }
            let due = waits.is_some_and(|(latest, _)| Instant::now() >= latest);
            if waits.is_some() && (due || !changed) {
                // Directories first: what appears in a new one while it is looked at is seen.
                self.watch();
                let (progress, news) = self.import.bring(false);
                told(&mut self.brought, &self.events, news, false);
                waits = match progress {
                    Progress::Settled => None,
                    Progress::Again => Some((Instant::now() + LATEST, PATIENCE)),
                };
            }
        }
        let (brought, events) = (&mut self.brought, &self.events);
        bring_last(&mut self.import, |news, done| told(brought, events, news, done));
        self.brought.kept = self.import.finish();
        self.brought
    }

    fn watch(&self) {
        let Some(inotify) = &self.inotify else { return };
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        for directory in self.import.watched(WATCHES_MAX) {
            inotify::add_watch(inotify, &directory, flags).ok();
        }
    }

    fn drain(&self) {
        let mut buffer = [0_u8; 16 << 10];
        while let Some(inotify) = &self.inotify
            && rustix::io::read(inotify, &mut buffer).is_ok_and(|count| count > 0)
        {}
    }
}
