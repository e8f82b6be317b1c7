//! Reported system calls: what they are answered with, and the events.

use super::{
    super::Event,
    super::flood::{INTERVAL, Tally},
};
use crate::sys::seccomp::Notification;
use std::time::Instant;

/// A row of the table that the build compiles from `seccomp/*.json`.
#[derive(Debug)]
struct Reported {
    number: i32,
    name: &'static str,
    errno: i32,
    errno_name: &'static str,
    conditions: &'static [Condition],
}

#[derive(Debug)]
struct Condition {
    index: usize,
    mask: u64,
    value: u64,
}

include!(concat!(env!("OUT_DIR"), "/seccomp_reported.rs"));

/// For a call that no row fits, which the filter doesn't hand over: refused all the same.
static OTHER: Reported = Reported {
    number: -1,
    name: "other",
    errno: libc::EPERM,
    errno_name: "EPERM",
    conditions: &[],
};

impl Reported {
    fn fits(&self, call: &Notification) -> bool {
        let holds = |condition: &Condition| {
            call.args
                .get(condition.index)
                .is_some_and(|value| value & condition.mask == condition.value)
        };
        self.number == call.number && self.conditions.iter().all(holds)
    }
}

/// The refusals of one session: one row of the table, one tally, so their number is bounded.
#[derive(Debug)]
pub(super) struct Refusals {
    rows: Vec<Row>,
    flush_at: Option<Instant>,
}

#[derive(Debug)]
struct Row {
    reported: &'static Reported,
    tally: Tally,
    thread: i32,
}

/// The row that a call fell in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    row: usize,
    /// What the call is answered with.
    pub(super) errno: i32,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let row = |reported| Row {
            reported,
            tally: Tally::default(),
            thread: 0,
        };
        Self {
            rows: REPORTED.iter().chain([&OTHER]).map(row).collect(),
            flush_at: None,
        }
    }

    /// Which row a call falls in.
    pub(super) fn judge(&self, call: &Notification) -> Refused {
        let found = self.rows.iter().position(|row| row.reported.fits(call));
        let row = found.unwrap_or(REPORTED.len());
        Refused {
            row,
            errno: self.rows.get(row).map_or(libc::EPERM, |row| row.reported.errno),
        }
    }

    /// Counts a refused call; the event, unless it is counted together with later ones.
    pub(super) fn count(&mut self, refused: Refused, thread: i32, now: Instant) -> Option<Event> {
        let row = self.rows.get_mut(refused.row)?;
        row.thread = thread;
        let count = row.tally.add(now);
        if count.is_none() {
            let _first = self.flush_at.get_or_insert(now + INTERVAL);
        }
        count.map(|count| row.event(count))
    }

    /// When [`Self::flush`] is due.
    pub(super) const fn flush_at(&self) -> Option<Instant> {
        self.flush_at
    }

    /// The events that were held back.
    pub(super) fn flush(&mut self, now: Instant) -> impl Iterator<Item = Event> {
        self.flush_at = None;
        self.rows
            .iter_mut()
            .filter_map(move |row| row.tally.take(now).map(|count| row.event(count)))
    }
}

impl Row {
    fn event(&self, count: u64) -> Event {
        Event::SyscallRefused {
            pid: self.thread,
            name: self.reported.name.to_owned(),
            errno: self.reported.errno_name.to_owned(),
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: libc::c_long, args: [u64; 6]) -> Notification {
        Notification {
            id: 1,
            thread: 7,
            number: i32::try_from(number).unwrap(),
            args,
        }
    }

    fn name(refusals: &Refusals, call: &Notification) -> &'static str {
        refusals.rows[refusals.judge(call).row].reported.name
    }

    #[test]
    fn rows_are_told_apart_by_arguments() {
        let refusals = Refusals::new();
        assert_eq!(name(&refusals, &call(libc::SYS_mount, [u64::MAX; 6])), "mount");
        assert_eq!(
            name(
                &refusals,
                &call(libc::SYS_ioctl, [0, 0xdead_0000_5412, 0, 0, 0, 0])
            ),
            "ioctl(TIOCSTI)"
        );
        let flags = u64::try_from(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::SIGCHLD).unwrap();
        assert_eq!(
            name(&refusals, &call(libc::SYS_clone, [flags, 0, 0, 0, 0, 0])),
            "clone(CLONE_NEWUSER)"
        );
        assert_eq!(
            refusals.judge(&call(libc::SYS_keyctl, [0; 6])).errno,
            libc::ENOSYS
        );
    }

    #[test]
    fn a_call_without_a_row_is_refused_too() {
        let refusals = Refusals::new();
        let refused = refusals.judge(&call(libc::SYS_getpid, [0; 6]));
        assert_eq!(refused.errno, libc::EPERM);
        assert_eq!(refusals.rows[refused.row].reported.name, "other");
    }

    #[test]
    fn a_flood_is_one_event_a_second_and_loses_no_count() {
        let mut refusals = Refusals::new();
        let now = Instant::now();
        let mount = call(libc::SYS_mount, [0; 6]);
        let mut count = |now| {
            let refused = refusals.judge(&mount);
            refusals.count(refused, 7, now)
        };
        assert!(matches!(count(now), Some(Event::SyscallRefused { count: 1, .. })));
        assert_eq!((0..100_000).filter_map(|_| count(now)).count(), 0);
        assert_eq!(refusals.flush_at(), Some(now + INTERVAL));
        let rest: Vec<Event> = refusals.flush(now + INTERVAL).collect();
        assert_eq!(
            rest,
            [Event::SyscallRefused {
                pid: 7,
                name: "mount".into(),
                errno: "EPERM".into(),
                count: 100_000
            }]
        );
        assert_eq!(refusals.flush_at(), None);
    }
}
