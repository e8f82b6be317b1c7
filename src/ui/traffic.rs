//! What each program sent and received, summed up over the connections of a log.

use super::{event::bytes, sanitize};
use crate::supervise::Event;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Programs that have a line of their own; a session decides what they are called.
const PROGRAMS_MAX: usize = 200;
/// Characters of a program's path.
const SHOWN: usize = 100;

/// Sums so far.
#[derive(Debug, Default)]
pub struct Traffic {
    programs: BTreeMap<String, Sum>,
    others: Sum,
    unknown: Sum,
}

#[derive(Debug, Default)]
struct Sum {
    connections: u64,
    denied: u64,
    sent: u64,
    received: u64,
}

impl Traffic {
    /// Adds an event; only connections count.
    pub fn add(&mut self, event: &Event) {
        let Event::Connection {
            program,
            denied,
            sent,
            received,
            ..
        } = event
        else {
            return;
        };
        let sum = match program {
            None => &mut self.unknown,
            Some(program) if self.programs.len() < PROGRAMS_MAX || self.programs.contains_key(program) => {
                self.programs.entry(program.clone()).or_default()
            }
            Some(_) => &mut self.others,
        };
        sum.connections += 1;
        sum.denied += u64::from(denied.is_some());
        sum.sent = sum.sent.saturating_add(*sent);
        sum.received = sum.received.saturating_add(*received);
    }

    /// A line a program, those that sent the most first; nothing where there was no connection.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut sums: Vec<(&str, &Sum)> = self
            .programs
            .iter()
            .map(|(name, sum)| (name.as_str(), sum))
            .collect();
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.sent));
        sums.push(("other programs", &self.others));
        sums.push(("programs that could not be told", &self.unknown));
        let mut text = String::new();
        for (name, sum) in sums.into_iter().filter(|(_, sum)| sum.connections > 0) {
            let connections = match sum.connections {
                1 => "1 connection".to_owned(),
                count => format!("{count} connections"),
            };
            // Writing to a String can't fail.
            let _infallible = writeln!(
                text,
                "          traffic   {}: {connections}, {} denied, {} sent in all, {} received",
                sanitize::line_within(name, SHOWN),
                sum.denied,
                bytes(sum.sent),
                bytes(sum.received)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(program: Option<&str>, sent: u64) -> Event {
        Event::Connection {
            pid: program.map(|_| 7),
            program: program.map(str::to_owned),
            name: None,
            address: "192.0.2.1".parse().unwrap(),
            port: 80,
            protocol: None,
            upstream: None,
            via: None,
            denied: None,
            failed: None,
            sent,
            received: 2048,
            duration_ms: 1,
        }
    }

    #[test]
    fn programs_by_what_they_sent() {
        let mut traffic = Traffic::default();
        assert_eq!(traffic.lines(), "");
        for event in [
            connection(Some("/usr/bin/a"), 1),
            connection(Some("/usr/bin/b\u{1b}[2J"), 5000),
            connection(None, 3),
            connection(Some("/usr/bin/a"), 2),
            Event::Masked { path: "x".into() },
        ] {
            traffic.add(&event);
        }
        assert_eq!(
            traffic.lines(),
            "          traffic   /usr/bin/b\\u{1b}[2J: 1 connection, 0 denied, 4.8 KiB sent in all, 2.0 KiB received\n\
             \x20         traffic   /usr/bin/a: 2 connections, 0 denied, 3 B sent in all, 4.0 KiB received\n\
             \x20         traffic   programs that could not be told: 1 connection, 0 denied, 3 B sent in all, 2.0 KiB received\n"
        );
    }

    #[test]
    fn a_session_of_many_programs_has_a_bounded_list() {
        let mut traffic = Traffic::default();
        for number in 0..PROGRAMS_MAX * 3 {
            traffic.add(&connection(Some(&format!("/p{number}")), 1));
        }
        assert_eq!(traffic.lines().lines().count(), PROGRAMS_MAX + 1);
        assert!(traffic.lines().contains("other programs: 400 connections"));
    }
}
