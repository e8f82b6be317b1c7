//! Calls that another process read from the listener: the thread that makes names passes on what isn't its own.
//!
//! It has other numbers for processes than the host, so each comes with a descriptor of the caller.

use super::super::Event;
use crate::launch::protocol::FromNames;
use crate::launch::{Channel, ChannelError};
use crate::sys::seccomp::Notification;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// What came.
pub(super) enum Passed {
    /// A call that waits for its answer.
    Call(Notification),
    /// Something to be told.
    Event(Box<Event>),
    /// Nothing will come any more.
    End,
}

/// Waits for the next.
pub(super) fn receive(passed: &Channel) -> io::Result<Passed> {
    let (message, descriptors) = match passed.receive::<FromNames>() {
        Ok(received) => received,
        Err(ChannelError::Call { source, .. }) => return Err(source.into()),
        Err(ChannelError::Gone | ChannelError::Malformed) => return Ok(Passed::End),
    };
    let thread = descriptors.first().and_then(number).unwrap_or(0);
    Ok(match message {
        FromNames::Listener => Passed::End,
        FromNames::Call { id, number, args } => Passed::Call(Notification {
            id,
            thread,
            number,
            args,
        }),
        FromNames::Refused {
            path,
            why,
            runs_when,
            untold,
        } => Passed::Event(Box::new(Event::NameRefused {
            pid: thread,
            path,
            why,
            runs_when: runs_when.map(|when| when.to_string()),
            untold,
        })),
    })
}

/// The number of the process behind a descriptor (`Pid:` in proc_pid_fdinfo(5)); `None` when it has ended.
fn number(process: &OwnedFd) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd())).ok()?;
    let digits = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    digits.trim().parse().ok().filter(|number| *number > 0)
}
