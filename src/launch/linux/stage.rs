//! The stage: what a copy of this program does inside the new namespaces.
//!
//! It has one thread, wipes the arguments and variables that it was started with, reads one [`StagePlan`], forks the process that will be the program
//! ([`super::program`]), executes its half step by step, and becomes the first process of the sandbox
//! ([`super::init`]). Whatever fails before the program starts is reported and ends both.

use super::program::become_program;
use super::step::Executor;
use super::{During, init};
use crate::launch::protocol::{FromStage, StageError, ToStage};
use crate::launch::{Channel, ChannelError};
use crate::plan::linux::StagePlan;
use crate::sys::process::{Forked, exit_now, forget_arguments, fork};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Who the caller is outside: in the new user namespace it reads as the overflow id until it is mapped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    uid: u32,
    gid: u32,
}

impl Identity {
    /// That of this process.
    pub(super) fn own() -> Self {
        Self {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        }
    }
}

/// Runs the stage to its end; the exit code is of no interest, the supervisor has been told.
pub(super) fn stage_main(control: OwnedFd, identity: Identity) -> ! {
    let channel = Channel::from_descriptor(control);
    let code = match run(&channel, identity) {
        Ok(()) => 0,
        Err(error) => {
            // Nobody to tell means that the supervisor is gone, and this ends too.
            drop(channel.send(&FromStage::Failed(error), &[]));
            125
        }
    };
    exit_now(code)
}

fn run(channel: &Channel, identity: Identity) -> Result<(), StageError> {
    // PR_SET_PDEATHSIG is tied to the thread that made us: the supervisor's main one, which lives as long as it does.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .during("prctl PR_SET_PDEATHSIG")?;
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    forget_arguments(c"aca-init")
        .during("read /proc/self/stat")
        .map_err(|error| StageError {
            action: "forget what it was started with".into(),
            ..error
        })?;
    map_identity(identity)?;
    let Received {
        plan,
        sockets,
        names: supervisor,
        turns,
    } = receive_plan(channel)?;
    let (listener, listeners) = match &plan.names {
        Some(_) => Channel::pair().map(|(ours, theirs)| (Some(ours), Some(theirs))),
        None => Ok((None, None)),
    }
    .map_err(broken)?;
    let (released, release) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during("pipe2")?;
    // Blocked before the fork, so that no child's end is missed, and so that what the terminal sends meanwhile waits
    // for the program; it unblocks them right before the exec.
    init::block_signals()?;
    let program = match fork().during("fork")? {
        Forked::Child => {
            drop((release, listener, supervisor, turns));
            become_program(channel, &plan, &released, listeners, umask)
        }
        Forked::Parent(pid) => pid,
    };
    drop((released, listeners));
    let mut executor = Executor::default();
    for step in &plan.view {
        executor.execute(step)?;
    }
    if let (Some(names), Some(listener), Some(supervisor)) = (plan.names.clone(), listener, supervisor) {
        super::names::start(names, listener, supervisor, turns).map_err(|error| StageError {
            action: "look after new names".into(),
            ..error
        })?;
    }
    for step in plan.lockdown.iter().chain(&plan.first_wall) {
        executor.execute(step)?;
    }
    // For the masks that come later ([`super::remask`]): nobody else gets at it once this process can't be looked into.
    let mounts = rustix::fs::open(
        "/proc/self/ns/mnt",
        OFlags::RDONLY | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .during("open /proc/self/ns/mnt")?;
    // From here on the program is near: nobody inside may look into this process (ptrace(2), /proc/1).
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .during("prctl PR_SET_DUMPABLE")?;
    let home = executor.home.take();
    let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(mounts.as_fd())
        .chain(home.iter().map(AsFd::as_fd))
        .collect();
    // First the word, then the program: a supervisor that was killed before PR_SET_PDEATHSIG counted takes no word, and
    // nothing that the program's process says comes before it.
    channel
        .send(&FromStage::Ready(executor.outcome.clone()), &descriptors)
        .map_err(broken)?;
    drop((home, mounts));
    rustix::io::write(&release, b"!").during("write")?;
    drop(release);
    init::run(channel, sockets, program, executor)
}

/// Maps the own uid and gid to themselves (user_namespaces(7)).
fn map_identity(Identity { uid, gid }: Identity) -> Result<(), StageError> {
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{uid} {uid} 1")),
        ("gid_map", format!("{gid} {gid} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), text)
            .during(&format!("write /proc/self/{file}"))
            .map_err(|error| StageError {
                action: "map the own user into the sandbox".into(),
                ..error
            })?;
    }
    Ok(())
}

/// What the supervisor sends.
struct Received {
    plan: StagePlan,
    /// On which sockets of the network are asked for.
    sockets: Option<Channel>,
    /// Where the thread that makes names tells of what isn't its own.
    names: Option<Channel>,
    /// What that thread locks while it makes one.
    turns: Option<OwnedFd>,
}

fn receive_plan(channel: &Channel) -> Result<Received, StageError> {
    let (message, descriptors): (ToStage, Vec<OwnedFd>) = channel.receive().map_err(broken)?;
    let mut descriptors = descriptors.into_iter();
    let (ToStage::Plan, Some(memory)) = (message, descriptors.next()) else {
        return Err(broken(ChannelError::Malformed));
    };
    let mut bytes = Vec::new();
    std::fs::File::from(memory)
        .read_to_end(&mut bytes)
        .during("read the plan")?;
    let plan: StagePlan = postcard::from_bytes(&bytes)
        .map_err(|_| Errno::BADMSG)
        .during("decode the plan")?;
    let mut next = || descriptors.next().map(Channel::from_descriptor);
    let sockets = if plan.has_network() { next() } else { None };
    let names = if plan.names.is_some() { next() } else { None };
    let turns = if plan.names.is_some() {
        descriptors.next()
    } else {
        None
    };
    Ok(Received {
        plan,
        sockets,
        names,
        turns,
    })
}

/// A broken control socket as a step's error.
pub(super) fn broken(error: ChannelError) -> StageError {
    let errno = match &error {
        ChannelError::Gone => Errno::PIPE,
        ChannelError::Call { source, .. } => *source,
        ChannelError::Malformed => Errno::BADMSG,
    };
    StageError {
        action: "speak with the supervisor".into(),
        call: error.to_string(),
        errno: errno.raw_os_error(),
    }
}
