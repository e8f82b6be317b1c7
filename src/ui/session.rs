//! Sessions as a table for people. Commands and paths were chosen by others: all of them are sanitised here.

use super::{event, sanitize};
use crate::audit::{Damage, Ending, SessionId, Summary};
use jiff::{Timestamp, tz::TimeZone};
use std::error::Error as _;
use std::fmt::Write as _;

/// Characters that are shown of a project's path, and of a command.
const PROJECT: usize = 60;
const COMMAND: usize = 100;

/// One session of a list.
pub type Row = (SessionId, Result<Summary, Damage>);

/// A table with a head, newest first as it comes. Times are those of `zone`; what runs has lasted until `now`.
#[must_use]
pub fn table(rows: &[Row], zone: &TimeZone, now: Timestamp) -> String {
    const HEAD: [&str; 6] = ["SESSION", "STARTED", "LASTED", "END", "DENIED", "AGENT"];
    let lines: Vec<([String; 6], String)> = rows.iter().map(|row| cells(row, zone, now)).collect();
    let mut widths = HEAD.map(str::len);
    for (cells, _) in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &[String; 6], rest: &str| {
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a String can't fail.
            let _infallible = write!(text, "{cell:width$}  ");
        }
        text.push_str(rest);
        text.push('\n');
    };
    line(&HEAD.map(String::from), "PROJECT: COMMAND");
    for (cells, rest) in &lines {
        line(cells, rest);
    }
    text
}

/// Why a session can't be summed up, in one line.
#[must_use]
pub fn why(damage: &Damage) -> String {
    match damage.source() {
        Some(cause) => format!("{damage}: {cause}"),
        None => damage.to_string(),
    }
}

fn cells((session, summary): &Row, zone: &TimeZone, now: Timestamp) -> ([String; 6], String) {
    let unknown = || "?".to_owned();
    let summary = match summary {
        Ok(summary) => summary,
        Err(damage) => {
            let cells = [
                session.to_string(),
                unknown(),
                unknown(),
                "unreadable".into(),
                unknown(),
                unknown(),
            ];
            return (cells, sanitize::line_within(&why(damage), COMMAND));
        }
    };
    let since = |until: Timestamp| {
        let lasted = until.duration_since(summary.started).as_millis();
        event::duration(u64::try_from(lasted).unwrap_or(0))
    };
    let (lasted, end, denied) = match &summary.ending {
        Ending::Ended {
            code,
            signal,
            duration_ms,
            denied,
        } => {
            let end = match (code, signal) {
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => unknown(),
            };
            (event::duration(*duration_ms), end, denied.to_string())
        }
        Ending::Running => (since(now), "running".into(), unknown()),
        Ending::CutOff { last } => (since(*last), "cut off".into(), unknown()),
    };
    let started = summary
        .started
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string();
    let rest = format!(
        "{}: {}",
        sanitize::line_within(&summary.project.to_string_lossy(), PROJECT),
        sanitize::line_within(&event::quoted(&summary.argv), COMMAND)
    );
    let agent = sanitize::line_within(&summary.agent, 20);
    let cells = [session.to_string(), started, lasted, end, denied, agent];
    (cells, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_session() {
        let id = |chance: u8| SessionId::new("2026-11-23T09:08:07Z".parse().unwrap(), [chance; 6]);
        let row = |chance: u8, ending: Ending| {
            let summary = Summary {
                session: id(chance),
                started: "2026-11-23T09:08:07Z".parse().unwrap(),
                agent: "generic".into(),
                argv: vec!["sh".into(), "-c".into(), "echo \u{1b}[2J".into()],
                project: "/home/u/\u{202e}p".into(),
                ending,
            };
            (id(chance), Ok(summary))
        };
        let ended = |code, signal| Ending::Ended {
            code,
            signal,
            duration_ms: 61_000,
            denied: 12,
        };
        let rows = [
            row(5, Ending::Running),
            row(
                4,
                Ending::CutOff {
                    last: "2026-11-23T09:08:09Z".parse().unwrap(),
                },
            ),
            row(3, ended(Some(0), None)),
            row(2, ended(None, Some(9))),
            (id(1), Err(Damage::Empty)),
        ];
        let now = "2026-11-23T10:08:07Z".parse().unwrap();
        insta::assert_snapshot!(table(&rows, &TimeZone::UTC, now), @r"
        SESSION                           STARTED              LASTED     END         DENIED  AGENT    PROJECT: COMMAND
        20261123T090807000Z-050505050505  2026-11-23 09:08:07  1 h 0 min  running     ?       generic  /home/u/\u{202e}p: sh -c 'echo \u{1b}[2J'
        20261123T090807000Z-040404040404  2026-11-23 09:08:07  2.0 s      cut off     ?       generic  /home/u/\u{202e}p: sh -c 'echo \u{1b}[2J'
        20261123T090807000Z-030303030303  2026-11-23 09:08:07  1 min 1 s  exit 0      12      generic  /home/u/\u{202e}p: sh -c 'echo \u{1b}[2J'
        20261123T090807000Z-020202020202  2026-11-23 09:08:07  1 min 1 s  signal 9    12      generic  /home/u/\u{202e}p: sh -c 'echo \u{1b}[2J'
        20261123T090807000Z-010101010101  ?                    ?          unreadable  ?       ?        it is empty
        ");
    }
}
