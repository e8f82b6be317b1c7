//! Makes names on behalf of programs inside, so that none comes to be that the host would run or trust.
//!
//! Two things hold together. The program's Landlock domain keeps the kernel from making a name in what holds the project,
//! whatever a program does: threads that change a path while it is read, io_uring, descriptors that were passed around. And
//! the filter hands the calls that make names to a thread of the sandbox's first process, which is in no such domain: it
//! reads the path once, finds the real directory, judges the name there, and makes it by the descriptor of that directory
//! and the last name alone. What it can't read, can't place or has no word for it lets the kernel do, which refuses it
//! where it would make a name in there. So nothing is decided by memory that the caller can change, and nothing is open
//! where this thread has a fault.
//!
//! The thread has no capability but `CAP_SYS_PTRACE` in the sandbox's own user namespace, for callers that can't be looked
//! into otherwise; it sees what the sandbox sees, and programs inside can neither signal nor trace it. When it ends, the
//! first process does, and with it the run. It is one thread: names are made one after the other, so that no directory is
//! moved between the judging of a name in it and the making.
//!
//! Runs in one project have a thread each, and hold a lock between them ([`turn`]). Only the host's own programs can still
//! move a directory to where a pattern goes on, between the judging of a name in it and the making; that is told after the
//! run as what appeared.
//!
//! What it rests on rules two things out. Programs inside have no Landlock domain of their own: this thread isn't in it, and
//! would make for them what their own domain forbids; the kernel has no question whether a domain allows a call. Programs
//! that make user namespaces of their own, to mount in them, can't have their names held: a Landlock domain that handles any
//! right to files refuses mount(2) and pivot_root(2) to all that are in it, in namespaces of their own too
//! (security/landlock/fs.c, hook_sb_mount), and without the domain nothing stands behind what is read of a caller's memory.

mod arguments;
mod bind;
mod caller;
mod make;
mod moved;
mod place;
mod turn;
mod umask;

use super::capabilities;
use crate::facts::{KeptName, Matcher, Ways};
use crate::launch::Channel;
use crate::launch::protocol::{FromNames, StageError};
use crate::policy::NewNames;
use crate::presets::{TreeRules, tree_rules};
use crate::sys::process::exit_now;
use crate::sys::seccomp::{Listener, Notification};
use caller::Caller;
use place::Place;
use rustix::fs::{Mode, OFlags, ftruncate};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::Builder;
use std::time::{Duration, Instant};
use turn::Turns;
use umask::Masks;

/// Paths are read into vectors; the deepest calls are those of a directory that is looked through.
const STACK_BYTES: usize = 256 << 10;
/// Refusals that are told: a second, and at once. Above that they are counted.
const TOLD_PER_SECOND: u32 = 20;

/// What becomes of a call.
#[derive(Debug)]
enum Answer {
    /// The kernel does it, and keeps to the caller's Landlock domain.
    Kernel,
    /// It was done.
    Done,
    /// A file was opened for the caller.
    Opened {
        file: OwnedFd,
        close_on_exec: bool,
        /// Where, if it is new.
        made: Option<Place>,
        /// What it holds is to go.
        empties: bool,
    },
    /// It fails.
    Fails(Errno),
    /// The name isn't to be made there.
    Refused(PathBuf, KeptName),
}

/// What the thread works with.
struct Broker {
    listener: Listener,
    supervisor: Channel,
    world: World,
    masks: Masks,
    told: u32,
    told_since: Instant,
    untold: u64,
}

/// What it sees and knows.
struct World {
    names: NewNames,
    matcher: Option<Matcher>,
    ways: Ways,
    root: OwnedFd,
    proc: OwnedFd,
    own: OwnedFd,
    turns: Turns,
}

impl World {
    /// Opens what calls are resolved from. The view must stand.
    fn new(names: NewNames, turns: Option<OwnedFd>) -> Result<Self, StageError> {
        use super::During;
        let path = |path: &str| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty()).during("open")
        };
        Ok(Self {
            names,
            matcher: None,
            ways: Ways::default(),
            root: path("/")?,
            proc: path("/proc")?,
            own: path("/proc/self/fd")?,
            turns: Turns(turns),
        })
    }

    /// The table, which is read when the first name is made.
    fn matcher(&mut self) -> &Matcher {
        self.matcher.get_or_insert_with(|| {
            // A test holds that the built-in data can be read; without it nothing is made at all.
            let rules = tree_rules().unwrap_or_else(|_| exit_now(125));
            let TreeRules {
                protected, git, skip, ..
            } = rules;
            let rules = TreeRules {
                secrets: Vec::new(),
                protected,
                git,
                watched: Vec::new(),
                skip,
            };
            Matcher::new(rules, Vec::new())
        })
    }
}

/// Starts the thread, which waits for the seccomp listener on `listener`, tells `supervisor` what isn't its own, and keeps to
/// its turn by the lock on `turns`. Called by the first process once the view stands, with capabilities left. Returns when
/// the thread has given up its own.
///
/// # Errors
/// When it can't be started.
pub(super) fn start(
    names: NewNames,
    listener: Channel,
    supervisor: Channel,
    turns: Option<OwnedFd>,
) -> Result<(), StageError> {
    use super::During;
    let world = World::new(names, turns)?;
    let (ready, is_ready) = mpsc::channel();
    let work = move || {
        // A mask and a working directory of its own, which change with each caller.
        let locked = nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)
            .during("unshare")
            .and_then(|()| capabilities::keep_tracing())
            .and_then(|()| rustix::thread::set_no_new_privs(true).during("prctl PR_SET_NO_NEW_PRIVS"));
        let failed = locked.is_err();
        drop(ready.send(locked));
        if failed {
            return;
        }
        // Without a listener nothing is handed over, and the program's domain is the ordinary one.
        let Ok((FromNames::Listener, descriptors)) = listener.receive::<FromNames>() else {
            return;
        };
        let Some(descriptor) = descriptors.into_iter().next() else {
            return;
        };
        drop(listener);
        let broker = Broker {
            listener: Listener::new(descriptor),
            supervisor,
            world,
            masks: Masks::default(),
            told: 0,
            told_since: Instant::now(),
            untold: 0,
        };
        broker.run();
        // Calls would wait for ever.
        exit_now(125);
    };
    Builder::new()
        .name("names".into())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .during("clone")?;
    is_ready
        .recv()
        .map_err(|_| Errno::CHILD)
        .during("prctl")
        .and_then(|locked| locked)
}

impl Broker {
    fn run(mut self) {
        loop {
            match self.listener.receive() {
                Ok(Some(call)) => {
                    if self.serve(&call).is_err() {
                        return;
                    }
                }
                // The caller died meanwhile.
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    /// Answers a call, or passes it on.
    fn serve(&mut self, call: &Notification) -> std::io::Result<()> {
        let Some(wanted) = arguments::Wanted::of(call) else {
            return self.pass_on(call);
        };
        let caller = Caller::new(call);
        let answer = make::answer(&mut self.world, &mut self.masks, &caller, wanted, &|| {
            self.listener.is_waiting(call.id)
        });
        match answer {
            Answer::Kernel => self.listener.proceed(call.id).map(drop),
            Answer::Done => self.listener.done(call.id, 0).map(drop),
            Answer::Fails(errno) => self.listener.refuse(call.id, errno.raw_os_error()).map(drop),
            Answer::Opened {
                file,
                close_on_exec,
                made,
                empties,
            } => {
                let added = self.listener.add(call.id, file.as_fd(), close_on_exec);
                let number = match added {
                    Ok(number) => number,
                    Err(error) => return self.not_given(call.id, &file, made.as_ref(), error),
                };
                // Not before: it stays as it is for a caller that has no number for it.
                let emptied = if empties { ftruncate(&file, 0) } else { Ok(()) };
                // From here on it is the caller's alone.
                drop(file);
                match emptied {
                    Ok(()) => self.listener.done(call.id, number).map(drop),
                    Err(errno) => self.listener.refuse(call.id, errno.raw_os_error()).map(drop),
                }
            }
            Answer::Refused(path, kept) => {
                // First told: afterwards the caller may be gone, and nobody could say which it was.
                self.tell(call, path, kept);
                // As of what is there and protected.
                self.listener
                    .refuse(call.id, Errno::ROFS.raw_os_error())
                    .map(drop)
            }
        }
    }

    /// A file couldn't be put into the caller: at its own limit, mostly.
    fn not_given(
        &self,
        id: u64,
        file: &OwnedFd,
        made: Option<&Place>,
        error: std::io::Error,
    ) -> std::io::Result<()> {
        match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(()),
            Some(errno) => {
                // The kernel makes no file when it has no number for it, and who waits for one makes it anew.
                if let Some(place) = made {
                    make::take_back(place, file);
                }
                self.listener.refuse(id, errno).map(drop)
            }
            None => Err(error),
        }
    }

    /// Process starts and the like are the supervisor's, which has another number for the caller.
    fn pass_on(&self, call: &Notification) -> std::io::Result<()> {
        let caller = pidfd(call.thread);
        let descriptors: Vec<BorrowedFd<'_>> = caller.iter().map(AsFd::as_fd).collect();
        let message = FromNames::Call {
            id: call.id,
            number: call.number,
            args: call.args,
        };
        self.supervisor
            .send(&message, &descriptors)
            .map_err(|_| Errno::PIPE.into())
    }

    /// Tells of a refusal, as far as the bound goes.
    fn tell(&mut self, call: &Notification, path: PathBuf, kept: KeptName) {
        if self.told_since.elapsed() >= Duration::from_secs(1) {
            self.told_since = Instant::now();
            self.told = 0;
        }
        if self.told >= TOLD_PER_SECOND {
            self.untold = self.untold.saturating_add(1);
            return;
        }
        self.told += 1;
        let caller = pidfd(call.thread);
        let descriptors: Vec<BorrowedFd<'_>> = caller.iter().map(AsFd::as_fd).collect();
        let message = FromNames::Refused {
            path,
            why: kept.why,
            runs_when: kept.runs_when,
            untold: std::mem::take(&mut self.untold),
        };
        // The run ends with the supervisor.
        drop(self.supervisor.send(&message, &descriptors));
    }
}

/// Refers to a thread in a way that the supervisor understands; `None` where the kernel has none for what leads no group.
fn pidfd(thread: i32) -> Option<OwnedFd> {
    /// `PIDFD_THREAD` of Linux 6.9.
    const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(OFlags::EXCL.bits());
    let pid = Pid::from_raw(thread)?;
    pidfd_open(pid, THREAD)
        .or_else(|_| pidfd_open(pid, PidfdFlags::empty()))
        .ok()
}
