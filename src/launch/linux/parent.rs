//! The supervisor's half of the start: makes the stage, gives it the plan, takes the descriptors.

use super::stage::{Identity, stage_main};
use crate::launch::protocol::{FromStage, NetworkOutcome, Outcome, Role, StageError, ToStage};
use crate::launch::{Channel, ChannelError};
use crate::plan::linux::StagePlan;
use crate::sys::process::{Cloned, Disposition, NAMESPACES, Spawned, clone_into, set_disposition};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long a stage that failed is waited for.
const END_WAIT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// A stage that was started and waits for its plan.
#[derive(Debug)]
pub struct Stage {
    channel: Channel,
    spawned: Spawned,
}

/// A sandbox that stands; the program starts at once.
#[derive(Debug)]
pub struct Standing {
    /// Speaks with the first process.
    pub channel: Channel,
    /// The first process.
    pub pidfd: OwnedFd,
    /// Its id outside.
    pub pid: i32,
    /// The network's sockets.
    pub sockets: Vec<(Role, OwnedFd)>,
    /// Where more of them are asked for, by [`crate::launch::protocol::SocketsWanted`].
    pub more_sockets: Option<Channel>,
    /// What the network came to.
    pub network: NetworkOutcome,
    /// The seccomp listener, where the kernel gives one.
    pub listener: Option<OwnedFd>,
    /// Where calls come from that are answered by it, when another reads them
    /// ([`crate::launch::protocol::FromNames`]).
    pub names: Option<Channel>,
    /// Its mount namespace.
    pub mounts: OwnedFd,
    /// The private home.
    pub home: Option<OwnedFd>,
    /// What the other best-effort steps came to.
    pub outcome: Outcome,
}

/// Gives the start up when the user wants to.
pub trait Interrupt {
    /// Readable when there may be a reason.
    fn descriptor(&self) -> BorrowedFd<'_>;
    /// Whether there is one.
    fn given_up(&mut self) -> bool;
}

/// Why the sandbox could not be started. The program did not run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The user gave it up.
    #[error("given up")]
    Interrupted,
    /// clone(2) with the namespaces failed.
    #[error("the kernel refuses new namespaces: clone3: {}", explained(*.0))]
    Namespaces(Errno),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StageError),
    /// The stage ended without a word.
    #[error("the sandbox's first process ended before it was ready")]
    Lost,
    /// Speaking with it failed.
    #[error("speaking with the sandbox's first process")]
    Channel(#[source] ChannelError),
    /// The plan could not be handed over.
    #[error("handing the plan over: {call}: {source}")]
    Plan {
        /// Which call.
        call: &'static str,
        /// Its error.
        source: Errno,
    },
}

impl Standing {
    /// Ends it before its program has started.
    pub fn end(&self) {
        end(&self.pidfd);
    }
}

/// Kills a stage and waits until it is gone, though not for ever: a dead server's mount holds it.
fn end(first: &OwnedFd) {
    rustix::process::pidfd_send_signal(first, rustix::process::Signal::KILL).ok();
    let mut waiting = [PollFd::new(first, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut waiting, Some(&END_WAIT))).ok();
}

impl Stage {
    /// Starts the stage. The calling process must have one thread; the new process never returns from here.
    ///
    /// The stage goes on in a copy of this process: an exec of its own would cost about a millisecond of a start that
    /// takes a few. What this process knows by now, the stage and then the first process of the sandbox hold in their
    /// memory. So a run starts it before anything is read (`main`), and the stage wipes what the kernel put there.
    ///
    /// # Errors
    /// [`LaunchError::Namespaces`] where they are refused.
    pub fn spawn() -> Result<Self, LaunchError> {
        // A caller may have SIGCHLD ignored: then the kernel forgets how children end, here and in the stage.
        set_disposition(rustix::process::Signal::CHILD.as_raw(), Disposition::Default);
        let (ours, theirs) = Channel::pair().map_err(LaunchError::Channel)?;
        let identity = Identity::own();
        match clone_into(NAMESPACES, theirs.into()).map_err(LaunchError::Namespaces)? {
            Cloned::Child(control) => stage_main(control, identity),
            Cloned::Parent(spawned) => Ok(Self {
                channel: ours,
                spawned,
            }),
        }
    }

    /// The id of the first process outside, for a cgroup.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.spawned.pid
    }

    /// Hands the plan over and waits until the sandbox stands, or until that is given up: a mount of a dead server can
    /// take for ever. By `turns` runs that look after names in one project keep out of each other's way.
    ///
    /// # Errors
    /// The step that failed.
    pub fn build(
        self,
        plan: &StagePlan,
        turns: Option<OwnedFd>,
        interrupt: Option<&mut dyn Interrupt>,
    ) -> Result<Standing, LaunchError> {
        match self.built(plan, turns, interrupt) {
            Ok(built) => Ok(Standing {
                channel: self.channel,
                pidfd: self.spawned.pidfd,
                pid: self.spawned.pid,
                sockets: built.sockets,
                more_sockets: built.more_sockets,
                network: built.network,
                listener: built.listener,
                names: built.names,
                mounts: built.mounts,
                home: built.home,
                outcome: built.outcome,
            }),
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }

    fn end(&self) {
        end(&self.spawned.pidfd);
    }

    fn built(
        &self,
        plan: &StagePlan,
        turns: Option<OwnedFd>,
        mut interrupt: Option<&mut dyn Interrupt>,
    ) -> Result<Built, LaunchError> {
        let memory = plan_memory(plan)?;
        let (more_sockets, theirs) = if plan.has_network() {
            let (ours, theirs) = Channel::pair().map_err(LaunchError::Channel)?;
            (Some(ours), Some(theirs))
        } else {
            (None, None)
        };
        let (names, names_theirs) = if plan.names.is_some() {
            let (ours, theirs) = Channel::pair().map_err(LaunchError::Channel)?;
            (Some(ours), Some(theirs))
        } else {
            (None, None)
        };
        let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(memory.as_fd())
            .chain(theirs.iter().map(AsFd::as_fd))
            .chain(names_theirs.iter().map(AsFd::as_fd))
            .chain(turns.iter().map(AsFd::as_fd).filter(|_| plan.names.is_some()))
            .collect();
        match self.channel.send(&ToStage::Plan, &descriptors) {
            // It may have failed before it read the plan: what it said of that still lies in the socket.
            Ok(()) | Err(ChannelError::Gone) => {}
            Err(error) => return Err(LaunchError::Channel(error)),
        }
        drop((theirs, names_theirs, turns));
        let mut handed_out: Vec<(Role, OwnedFd)> = Vec::new();
        let (mut network, mut ready, mut filtered) = (None, None, None);
        while network.is_none() || ready.is_none() || filtered.is_none() {
            if let Some(interrupt) = interrupt.as_deref_mut() {
                wait(&self.channel, interrupt)?;
            }
            match self.channel.receive() {
                Ok((FromStage::Sockets(roles), descriptors)) if roles.len() == descriptors.len() => {
                    handed_out.extend(roles.into_iter().zip(descriptors));
                }
                Ok((FromStage::Network(roles, outcome), descriptors)) if roles.len() == descriptors.len() => {
                    handed_out.extend(roles.into_iter().zip(descriptors));
                    network = Some(outcome);
                }
                Ok((FromStage::Filtered, mut descriptors)) => filtered = Some(descriptors.pop()),
                Ok((FromStage::Ready(outcome), descriptors)) => {
                    let mut descriptors = descriptors.into_iter();
                    ready = Some((descriptors.next(), descriptors.next(), outcome));
                }
                Ok((FromStage::Failed(error), _)) => return Err(LaunchError::Step(error)),
                Ok(_) => return Err(LaunchError::Channel(ChannelError::Malformed)),
                Err(ChannelError::Gone) => return Err(LaunchError::Lost),
                Err(error) => return Err(LaunchError::Channel(error)),
            }
        }
        let (Some(network), Some((Some(mounts), home, outcome)), Some(listener)) = (network, ready, filtered)
        else {
            return Err(LaunchError::Lost);
        };
        Ok(Built {
            sockets: handed_out,
            more_sockets,
            network,
            listener,
            names,
            mounts,
            home,
            outcome,
        })
    }
}

/// What the stage handed out while it built.
struct Built {
    sockets: Vec<(Role, OwnedFd)>,
    more_sockets: Option<Channel>,
    network: NetworkOutcome,
    listener: Option<OwnedFd>,
    names: Option<Channel>,
    mounts: OwnedFd,
    home: Option<OwnedFd>,
    outcome: Outcome,
}

/// Waits for a message, which counts more than an interrupt: the program may run already.
fn wait(channel: &Channel, interrupt: &mut dyn Interrupt) -> Result<(), LaunchError> {
    loop {
        let mut waiting = [
            PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(interrupt.descriptor(), PollFlags::IN),
        ];
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(source) => {
                return Err(LaunchError::Channel(ChannelError::Call { call: "poll", source }));
            }
        }
        let [message, reason] = waiting.map(|entry| !entry.revents().is_empty());
        if message {
            return Ok(());
        }
        if reason && interrupt.given_up() {
            return Err(LaunchError::Interrupted);
        }
    }
}

/// The plan in a memory file: it can be larger than a message.
fn plan_memory(plan: &StagePlan) -> Result<OwnedFd, LaunchError> {
    let bytes = postcard::to_stdvec(plan).map_err(|_| LaunchError::Channel(ChannelError::Malformed))?;
    let memory =
        rustix::fs::memfd_create("aca-plan", MemfdFlags::CLOEXEC).map_err(|source| LaunchError::Plan {
            call: "memfd_create",
            source,
        })?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let count = rustix::io::write(&memory, rest).map_err(|source| LaunchError::Plan {
            call: "write",
            source,
        })?;
        rest = rest.get(count..).unwrap_or_default();
    }
    rustix::fs::seek(&memory, rustix::fs::SeekFrom::Start(0)).map_err(|source| LaunchError::Plan {
        call: "lseek",
        source,
    })?;
    Ok(memory)
}

/// What the errno means for this call, where its usual text misleads (clone(2)).
fn explained(errno: Errno) -> String {
    match errno {
        Errno::NOSPC => "the number of user namespaces is used up, or none are allowed (ENOSPC)".to_owned(),
        Errno::AGAIN => "the limit on the user's processes is reached (EAGAIN; `ulimit -u`, or pids.max of the control group)".to_owned(),
        other => other.to_string(),
    }
}
