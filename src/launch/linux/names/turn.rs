//! Whose turn it is, where several runs look after names on one machine.
//!
//! Each run has a thread of its own that makes names, and one of them may give a directory another name while another judges
//! a name in it. So all of them hold one lock (flock(2) on a file of aca's own that no sandbox sees): shared from before the
//! directory is found until the name is made, exclusively while what is there gets another name: it is judged by its kind,
//! and a directory by what it holds. It ends with the process that holds it. One lock for all the user's runs: projects may
//! lie in one another.

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use std::os::fd::OwnedFd;

/// The lock; without a file every turn is one's own.
#[derive(Debug)]
pub(super) struct Turns(pub(super) Option<OwnedFd>);

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// None.
    Not,
    /// Others may make names too.
    Shared,
    /// Nobody else makes any.
    Alone,
}

impl Turns {
    /// Waits for a turn. What was found before may no longer hold, even where some of the lock was held: the kernel gives
    /// that up first.
    pub(super) fn take(&self, turn: Turn) {
        let operation = match turn {
            Turn::Not => FlockOperation::Unlock,
            Turn::Shared => FlockOperation::LockShared,
            Turn::Alone => FlockOperation::LockExclusive,
        };
        if let Some(file) = &self.0 {
            // It fails for want of memory alone: where locks are to be had at all was tried by who opened the file.
            while retry_on_intr(|| flock(file, operation)).is_err() {
                std::thread::yield_now();
            }
        }
    }
}
