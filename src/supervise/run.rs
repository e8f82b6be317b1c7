//! One run, from a plan to the end of everything in it: the order of the security steps stands here and nowhere else.

use super::control::{self, Control};
use super::desk::Desk;
use super::desktop::{self, Desktop};
use super::event::{Emit, Event};
use super::interception::Interception;
use super::listening::{Listeners, Offers};
use super::network::{ForGit, HandedOut, Network};
use super::notify::Roots;
use super::ports::{Ports, PortsLocked};
use super::private_git::{Brought, PrivateGit, Running};
use super::session::{self, Finished, SessionError, Source};
use super::signals::HeldSignals;
use super::state::{StateError, StateFile};
use super::terminal::JobTerminal;
use super::trust::Change;
use super::watch::{Watch, Watched};
use crate::audit::SessionId;
use crate::broker::Broker;
use crate::facts::leads_into;
use crate::failure::FailureKind;
use crate::launch::linux::cgroup::Group;
use crate::launch::linux::parent::{LaunchError, Stage, Standing};
use crate::launch::protocol::{Ending, StageError};
use crate::plan::linux::{StagePlan, Step};
use crate::plan::{Entry, Kind, Plan};
use crate::policy::{Grant, NetworkPreset};
use crate::proxy::{Listening, Live, ObjectStores, OpenPort, Ssh, Upstream};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const SIGTERM: i32 = nix::sys::signal::Signal::SIGTERM as i32;
/// Most changes of files that run later that are written one by one.
const TRUST_EVENTS_MAX: usize = 2_000;

/// What a run needs besides its plan.
pub struct Run<'a> {
    /// What will be done.
    pub plan: &'a Plan,
    /// The policy that is asked while it runs.
    pub live: Arc<Live>,
    /// The proxy outside, where there is one.
    pub upstream: Arc<Upstream>,
    /// What looks into TLS, where rules need it.
    pub interception: Option<Interception>,
    /// The user's ssh for git inside, or why there is none.
    pub ssh: Result<Ssh, String>,
    /// What finds the user's credentials for git inside.
    pub broker: Arc<Broker>,
    /// Where the objects are that a push of it builds on.
    pub objects: ObjectStores,
    /// Takes the events.
    pub events: Arc<dyn Emit>,
    /// The session's id.
    pub session: &'a SessionId,
    /// Where its control socket is made.
    pub control: PathBuf,
    /// Host directories that are made when missing: stores of caches, shared state.
    pub made: Vec<PathBuf>,
    /// State files that are carried back.
    pub state: Vec<StateFile>,
    /// Held while they are, so that runs that end together lose nothing.
    pub state_lock: PathBuf,
    /// Locked while names are made on programs' behalf, so that runs in one project don't move directories meanwhile.
    pub names_lock: PathBuf,
    /// Ports of the host that lead inside.
    pub published: Vec<Listening>,
    /// Why ports may not be opened while it runs.
    pub ports_locked: PortsLocked,
    /// What is looked after while it runs, and compared at its end.
    pub watched: Arc<Watched>,
    /// The private git directory, where one is worked on.
    pub git_apart: Option<PrivateGit>,
    /// Mends what must not stay of what changed, before it is told.
    pub mend: &'a dyn Fn(&mut Vec<Change>),
}

/// Why there was no run, or why its end isn't known. Nothing ran outside of the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The sandbox could not be started.
    #[error("cannot start the sandbox")]
    Launch(#[from] LaunchError),
    /// A directory on the host could not be made.
    #[error("cannot make the directory {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The control group could not be made.
    #[error("cannot limit the run")]
    Limits(#[from] StageError),
    /// The run could not be seen to its end.
    #[error("the run broke off")]
    Session(#[from] SessionError),
    /// The project changed all the time while it was looked at.
    #[error("the project doesn't come to rest: what covers its secrets can't be put in place for certain")]
    Unsettled(#[source] std::io::Error),
    /// The project changed, and there is no watch.
    #[error(
        "the project changed since it was looked at, and can't be watched: what covers its secrets can't be put in place for certain"
    )]
    Unwatched(#[source] std::io::Error),
    /// A descriptor could not be copied.
    #[error("cannot copy a descriptor")]
    Descriptor(#[source] std::io::Error),
}

/// How it went.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    /// How the program ended.
    pub finished: Finished,
    /// State that could not be carried back.
    pub state_lost: Vec<(PathBuf, StateError)>,
    /// What the host runs later and that is not as it was.
    pub trust: Vec<Change>,
    /// Whether that is all that changed: the project could be walked again.
    pub trust_known: bool,
    /// What came of the private git directory.
    pub git: Brought,
}

/// SHA-256 of the plan's JSON, hexadecimal: the same plan always has the same.
#[must_use]
pub fn plan_hash(plan: &Plan) -> String {
    let bytes = serde_json::to_vec(plan).unwrap_or_default();
    Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The first event of a session: written before anything starts.
#[must_use]
pub fn first_event(plan: &Plan, session: &str) -> Event {
    Event::SessionStart {
        session: session.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        agent: plan.agent.clone(),
        agent_why: plan.agent_why.clone(),
        argv: plan
            .program
            .argv
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
        project: plan.project.clone(),
        plan_hash: plan_hash(plan),
        degraded: plan
            .degraded
            .iter()
            .map(|entry| format!("{}: {}", entry.lost, entry.because))
            .collect(),
    }
}

impl Run<'_> {
    /// Starts the program in the sandbox that `stage` becomes, and stays until all of it is gone.
    ///
    /// # Errors
    /// See [`RunError`]; the program did not run unless it is [`RunError::Session`].
    pub fn execute(mut self, stage: Stage) -> Result<Outcome, RunError> {
        let started = Instant::now();
        let published = std::mem::take(&mut self.published);
        let mut git_apart = self.git_apart.take();
        let outcome = self.attempt(stage, published, &mut git_apart);
        if let Some(unused) = git_apart {
            unused.forget();
        }
        self.emit_end(outcome.as_ref().map(|outcome| outcome.finished).ok(), started);
        outcome
    }

    fn attempt(
        &self,
        stage: Stage,
        published: Vec<Listening>,
        git_apart: &mut Option<PrivateGit>,
    ) -> Result<Outcome, RunError> {
        // Before anything is made that a signal could leave behind.
        let mut signals = HeldSignals::hold()?;
        // Before the program can have changed its modes.
        let terminal = JobTerminal::look();
        make_directories(&self.made)?;
        let group = match &self.plan.cgroup {
            Some(plan) => Some(Group::make(plan, self.session.as_str(), stage.pid())?),
            None => None,
        };
        // Found before anything inside runs.
        let desktop = match self.live.current().network.ask {
            true => Desktop::find(&self.live),
            false => None,
        };
        let asking = desktop.as_ref().and_then(Desktop::start);
        let mut steps = self.plan.stage();
        if let Some(interception) = &self.interception {
            interception.supply(&mut steps);
        }
        if let Some(git) = git_apart.as_ref() {
            git.supply(&mut steps);
        }
        let git_place = git_apart.as_ref().map(PrivateGit::at);
        let turns = steps.names.is_some().then(|| names_lock(&self.names_lock));
        let turns_lost = turns.as_ref().and_then(|turns| turns.as_ref().err().copied());
        let turns = turns.and_then(Result::ok);
        let mut standing = match stage.build(&steps, turns, Some(&mut signals)) {
            Ok(standing) => standing,
            Err(LaunchError::Interrupted) => {
                let signal = signals.ending().unwrap_or(SIGTERM);
                return Ok(Outcome {
                    finished: Finished::Ended(Ending::Signaled(signal)),
                    state_lost: Vec::new(),
                    trust: Vec::new(),
                    trust_known: true,
                    git: Brought::default(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        // The program's process is there, and holds back what the terminal sends until it is executed: passed on as well, it
        // would get that twice.
        signals.begin();
        // The sandbox is made, and its processes are told of nothing that comes.
        if self.upstream.has_password() {
            crate::broker::guard();
        }
        // The program's start waits for the listener's answer: until then nothing of it runs.
        let mut watch = match self.settled(&standing) {
            Ok(watch) => watch,
            Err(error) => {
                standing.end();
                return Err(error);
            }
        };
        let (mut network, listeners) = self.network(&mut standing, published);
        let offering = match (desktop, &network) {
            (Some(desktop), Some(network)) if self.ports_locked.publish.is_none() => {
                desktop::start_offers(desktop, network.ports())
            }
            _ => None,
        };
        let (offering, offerer) = offering.unzip();
        let own = network.as_ref().map(Network::own);
        let offers = listeners
            .zip(own)
            .map(|(listeners, own)| Offers::new(listeners, own, offering));
        let mut control = self.control(network.as_ref().map(Network::ports));
        let nested = self.plan.grants.contains(&Grant::NestedUserns);
        let roots = if nested { Roots::Different } else { Roots::Same };
        let passed = standing.names.take();
        let watcher = match standing.listener.take() {
            // Without its thread the listener closes, and every reported call fails inside, the exec too.
            Some(listener) => {
                super::notify::spawn_with(listener, passed, Arc::clone(&self.events), roots, offers).ok()
            }
            None => None,
        };
        let home = standing.home.take();
        let bringing = git_apart.take().and_then(|git| {
            let running = git.start(Arc::clone(&self.events));
            running
                .map_err(|error| self.events.emit(no_bringing(&error)))
                .ok()
        });
        self.emit_lost(&standing, &steps, watcher.is_some(), turns_lost);
        let finished = {
            let mut sources: Vec<&mut dyn Source> = Vec::new();
            if let Some(network) = &mut network {
                sources.push(network);
            }
            if let Some(control) = &mut control {
                sources.push(control);
            }
            if let Some(watch) = &mut watch {
                sources.push(watch);
            }
            session::run(&standing, signals, &terminal, &mut sources)
        };
        // Nothing is asked of it any more.
        drop(control);
        self.live.asks().close();
        if let Some(thread) = asking {
            drop(thread.join());
        }
        // The kernel takes its time to let go of the watches: meanwhile the rest is done.
        if let Some(watch) = &mut watch {
            watch.stop();
        }
        if let Some(network) = &mut network {
            network.finish();
        }
        if let Some(thread) = watcher {
            drop(thread.join());
        }
        // What told it of ports went with the watcher.
        if let Some(thread) = offerer {
            drop(thread.join());
        }
        drop(group);
        let state_lost = match &home {
            Some(home) => super::state::carry_back(home, &self.state, &self.state_lock, &self.events),
            None => Vec::new(),
        };
        let git = bringing.map(Running::finish).unwrap_or_default();
        let (trust, trust_known) = self.trust(git_place.as_deref());
        if let Some(watch) = watch {
            watch.join();
        }
        Ok(Outcome {
            finished: finished?,
            state_lost,
            trust,
            trust_known,
            git,
        })
    }

    fn control(&self, ports: Option<Arc<Ports>>) -> Option<Control> {
        let desk = Arc::new(Desk {
            session: self.session.to_string(),
            agent: self.plan.agent.clone(),
            project: self.plan.project.clone(),
            live: Arc::clone(&self.live),
            events: Arc::clone(&self.events),
            ports,
            ports_locked: self.ports_locked.clone(),
        });
        Control::new(&self.control, self.session, desk, Arc::clone(&self.events))
            .map_err(|error| self.events.emit(control::lost(&error)))
            .ok()
    }

    /// The watch, once all that was found is covered where it is. Without a watch only what can't have changed is: who uses
    /// up what it needs, from inside of another run, must not get at what that one moves about.
    fn settled(&self, standing: &Standing) -> Result<Option<Watch>, RunError> {
        let watch = standing.mounts.try_clone().and_then(|mounts| {
            let (watched, events) = (Arc::clone(&self.watched), Arc::clone(&self.events));
            Ok(Watch::new(watched, mounts, events)?)
        });
        match watch {
            Ok(mut watch) => {
                watch.settle().map_err(RunError::Unsettled)?;
                Ok(Some(watch))
            }
            Err(error) if self.watched.is_current() => {
                self.events.emit(super::watch::lost(&error));
                Ok(None)
            }
            Err(error) => Err(RunError::Unwatched(error)),
        }
    }

    /// What the host runs later is compared with what it was, once nobody inside can change it any more.
    fn trust(&self, apart: Option<&Path>) -> (Vec<Change>, bool) {
        let super::trust::Report { mut changes, cut } = match super::trust::changes(&self.watched) {
            Ok(report) => report,
            Err(error) => {
                self.events.emit(Event::Degraded {
                    lost: vec![format!("the report of files that run later: {error}")],
                });
                // What a submodule's place has is found without the walk.
                (self.mend)(&mut Vec::new());
                return (Vec::new(), false);
            }
        };
        // Nothing inside can have written there: it is what was brought back, and what the user did. So are work trees and
        // submodules that are known there.
        let is_known = |change: &Change, apart: &Path| {
            let path = change.root.join(change.below());
            let tree = path
                .parent()
                .filter(|_| path.file_name() == Some(OsStr::new(".git")));
            path.starts_with(apart) || tree.is_some_and(|tree| leads_into(tree, apart))
        };
        changes.retain(|change| !apart.is_some_and(|apart| is_known(change, apart)));
        // With no change as well: not all is walked.
        (self.mend)(&mut changes);
        if cut {
            self.events.emit(Event::Degraded {
                lost: vec![
                    "part of the report of files that run later: there is more than is looked at".into(),
                ],
            });
        }
        for change in changes.iter().take(TRUST_EVENTS_MAX) {
            self.events.emit(Event::TrustChange {
                path: change.path.clone(),
                change: change.change,
                runs_when: change.runs_when.clone(),
            });
        }
        let more = changes.len().saturating_sub(TRUST_EVENTS_MAX);
        if more > 0 {
            self.events.emit(Event::Dropped {
                count: u64::try_from(more).unwrap_or(u64::MAX),
                kind: "trust_change".into(),
            });
        }
        (changes, !cut)
    }

    fn network(
        &self,
        standing: &mut Standing,
        published: Vec<Listening>,
    ) -> (Option<Network>, Option<Listeners>) {
        let handed_out = HandedOut {
            redirected: standing.network.redirected,
            sockets: std::mem::take(&mut standing.sockets),
            more_sockets: standing.more_sockets.take(),
            first: standing.pid,
        };
        if self.plan.network.preset == NetworkPreset::None {
            return (None, None);
        }
        let host_ports = self.plan.network.host_ports.iter().cloned();
        for opened in host_ports.map(|rule| OpenPort::of_host(rule).event(true)) {
            self.events.emit(opened);
        }
        for listening in &published {
            self.events.emit(listening.opened());
        }
        let (network, listeners) = Network::new(
            Arc::clone(&self.live),
            Arc::clone(&self.upstream),
            self.interception.as_ref().map(Interception::interceptor),
            Arc::clone(&self.events),
            handed_out,
            published,
            ForGit {
                ssh: self.ssh.clone(),
                broker: Arc::clone(&self.broker),
            },
        );
        (Some(network.with_objects(self.objects.clone())), listeners)
    }

    /// What the kernel did not give though it was tried; the plan's own losses stand in the first event.
    fn emit_lost(&self, standing: &Standing, stage: &StagePlan, observed: bool, turns_lost: Option<Errno>) {
        let mut lost = standing.outcome.lost.clone();
        lost.extend(standing.network.lost.iter().cloned());
        let files = stage
            .wall
            .iter()
            .any(|step| matches!(step, Step::Landlock { files: true, .. }));
        if files && standing.outcome.landlock != "full" && self.plan.degraded.is_empty() {
            lost.push(format!("Landlock is {}", standing.outcome.landlock));
        }
        if !observed {
            lost.push(
                "the record of process starts and refused system calls (no seccomp listener here)".into(),
            );
        }
        if !observed && stage.names.is_some() {
            let names =
                "the refusal of new names that the host would run or trust (no seccomp listener here)";
            lost.push(names.into());
        }
        if let Some(errno) = turns_lost {
            lost.push(format!(
                "the order in which runs in one project make names (no lock on {}: {errno}): one may move a directory \
                 while another judges a name in it",
                self.names_lock.display()
            ));
        }
        if !lost.is_empty() {
            self.events.emit(Event::Degraded { lost });
        }
    }

    /// `None` is a run that failed.
    fn emit_end(&self, finished: Option<Finished>, started: Instant) {
        let (code, signal) = match finished {
            Some(Finished::Ended(Ending::Exited(code))) => (Some(code), None),
            Some(Finished::Ended(Ending::Signaled(signal))) => (None, Some(signal)),
            Some(Finished::NotExecuted(errno)) => (Some(i32::from(not_executed(errno).code())), None),
            None => (Some(i32::from(FailureKind::Machine.code())), None),
        };
        self.events.emit(Event::SessionEnd {
            code,
            signal,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            denied: self.events.denied(),
        });
    }
}

/// The kind of failure that an errno of execve(2) is.
#[must_use]
pub fn not_executed(errno: i32) -> FailureKind {
    if errno == rustix::io::Errno::NOENT.raw_os_error() {
        FailureKind::NotFound
    } else {
        FailureKind::NotExecutable
    }
}

/// That nothing is brought back before the next run.
fn no_bringing(error: &std::io::Error) -> Event {
    Event::Degraded {
        lost: vec![format!(
            "bringing back what is done in git, until the next run in the project ({error})"
        )],
    }
}

fn make_directories(paths: &[PathBuf]) -> Result<(), RunError> {
    for path in paths {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| RunError::Directory {
                path: path.clone(),
                source,
            })?;
    }
    Ok(())
}

/// The host directories that a plan binds writable and that may be missing before the first run.
#[must_use]
pub fn directories_to_make(plan: &Plan, project: &std::path::Path) -> Vec<PathBuf> {
    let stores = plan.view.entries.iter().filter_map(|entry| match entry {
        Entry::Grant {
            source,
            kind: Kind::Directory,
            identity: None,
            ..
        } if source != project => Some(source.clone()),
        Entry::Directory { .. }
        | Entry::Link { .. }
        | Entry::File { .. }
        | Entry::Scratch { .. }
        | Entry::Show { .. }
        | Entry::Grant { .. }
        | Entry::Protect { .. }
        | Entry::Pin { .. }
        | Entry::Cover { .. }
        | Entry::Mask { .. }
        | Entry::Seal { .. }
        | Entry::Proc { .. }
        | Entry::Sys
        | Entry::Devices { .. }
        | Entry::Terminal { .. } => None,
    });
    stores.chain(plan.made.iter().cloned()).collect()
}

/// The file that names are made under, once it is sure that it can be locked (not so on some network file systems).
fn names_lock(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => flock(&file, FlockOperation::Unlock)?,
        // Somebody moves a directory.
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(errno),
    }
    Ok(file)
}
