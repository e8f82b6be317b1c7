//! The callers' file mode creation masks (umask(2)). The kernel tells them in a file that takes long to make, so they are
//! remembered for a moment.

use super::World;
use super::caller::Caller;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long one is remembered: another process may get the caller's number.
const KEPT: Duration = Duration::from_secs(1);
/// How long after a umask(2) nothing is: the call goes on by itself, and nobody tells when it has taken effect.
const UNSETTLED: Duration = Duration::from_millis(100);
/// Most that are remembered.
const MOST: usize = 256;

/// What is remembered, by the number of the thread.
#[derive(Debug, Default)]
pub(super) struct Masks {
    known: HashMap<i32, u32>,
    /// What this process has.
    pub(super) set: Option<u32>,
    since: Option<Instant>,
    changed: Option<Instant>,
}

impl Masks {
    /// Some caller changes its mask, which others may share.
    pub(super) fn changes(&mut self) {
        self.known.clear();
        self.changed = Some(Instant::now());
    }

    /// A caller's mask; all bits where it can't be told, so that nothing is more open than it should be.
    pub(super) fn of(&mut self, world: &World, caller: &Caller) -> u32 {
        let now = Instant::now();
        let old = self.since.is_none_or(|since| now.duration_since(since) > KEPT);
        if old || self.known.len() >= MOST {
            self.known.clear();
            self.since = Some(now);
        }
        if let Some(known) = self.known.get(&caller.thread) {
            return *known;
        }
        let mask = read(world, caller).unwrap_or(0o077);
        let settled = self
            .changed
            .is_none_or(|changed| now.duration_since(changed) > UNSETTLED);
        if settled {
            self.known.insert(caller.thread, mask);
        }
        mask
    }
}

fn read(world: &World, caller: &Caller) -> Option<u32> {
    u32::from_str_radix(&caller.status(world, b"Umask:")?, 8).ok()
}
