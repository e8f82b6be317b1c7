//! `aca log`: shows what happened in a session.

use super::flags::LogArgs;
use crate::audit::read::{self, Entry, FindError, LineFault};
use crate::config::Places;
use crate::facts::Ambient;
use crate::failure::{Failure, FailureKind};
use crate::ui::{self, Reader, sanitize};
use jiff::tz::TimeZone;
use std::path::Path;
use std::process::ExitCode;

/// Bytes that are gathered before they are written.
const PART: usize = 64 << 10;

/// Shows the session; exit status 1 when lines of its log are not as they were written.
///
/// # Errors
/// No such session, or a log that can't be read.
pub fn execute(args: &LogArgs) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    show(args, &places.sessions(), &TimeZone::system())
}

fn show(args: &LogArgs, sessions: &Path, zone: &TimeZone) -> Result<ExitCode, Failure> {
    let (_, file) = read::open(sessions, args.session.as_deref()).map_err(find_failure)?;
    let failed = |error: std::io::Error| Failure::new(FailureKind::Machine, error);
    let mut part = Vec::with_capacity(PART);
    let mut tampered = false;
    for entry in read::lines(file) {
        let entry = entry.map_err(failed)?;
        if let Some(fault) = &entry.fault {
            ui::write_error(&warning(entry.number, fault));
            tampered |= *fault != LineFault::Cut;
        }
        part.extend_from_slice(&text(args, &entry, zone));
        if part.len() >= PART {
            if ui::write_out_part(&part).map_err(failed)? == Reader::Gone {
                return Ok(ExitCode::SUCCESS);
            }
            part.clear();
        }
    }
    let _whether_read_to_the_end = ui::write_out_part(&part).map_err(failed)?;
    Ok(ExitCode::from(u8::from(tampered)))
}

/// What is printed of a line. One that is no record is told as a warning alone: what it holds could be anything.
fn text(args: &LogArgs, entry: &Entry, zone: &TimeZone) -> Vec<u8> {
    match &entry.record {
        Some(record) if args.denied && !record.event.is_denial() => Vec::new(),
        Some(_) if args.json => [entry.raw.as_slice(), b"\n"].concat(),
        Some(record) => ui::event::lines(record, zone).into_bytes(),
        None => Vec::new(),
    }
}

fn warning(number: u64, fault: &LineFault) -> String {
    format!(
        "warning: line {number} of the log {}\n",
        sanitize::line_within(&fault.to_string(), 200)
    )
}

pub(super) fn find_failure(error: FindError) -> Failure {
    let hint = match &error {
        FindError::Empty(_) => Some("`aca run` writes one for each run"),
        FindError::Unknown(_) => Some("`aca log` without a session shows the newest"),
        FindError::Ambiguous { .. } => Some("give more of the id"),
        FindError::Directory { .. } | FindError::Open { .. } => None,
    };
    let kind = match &error {
        FindError::Unknown(_) | FindError::Ambiguous { .. } => FailureKind::Usage,
        FindError::Empty(_) | FindError::Directory { .. } | FindError::Open { .. } => FailureKind::Machine,
    };
    let failure = Failure::new(kind, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        r#"{"v":1,"time":"2026-11-23T09:08:07Z","seq":0,"event":{"type":"masked","path":"/p/.env"}}"#,
        r#"{"v":1,"time":"2026-11-23T09:08:08Z","seq":1,"event":{"type":"syscall_refused","pid":7,"name":"mount","errno":"EPERM","count":1}}"#,
        "\u{1b}[2J no record",
    ];

    fn printed(json: bool, denied: bool) -> String {
        let args = LogArgs {
            session: None,
            json,
            denied,
        };
        let log = LINES.join("\n");
        let entries = read::lines(log.as_bytes());
        entries
            .map(|entry| String::from_utf8(text(&args, &entry.unwrap(), &TimeZone::UTC)).unwrap())
            .collect()
    }

    #[test]
    fn forms() {
        assert_eq!(printed(true, false), format!("{}\n{}\n", LINES[0], LINES[1]));
        assert_eq!(printed(true, true), format!("{}\n", LINES[1]));
        assert_eq!(
            printed(false, true),
            "09:08:08  DENIED    #1 [7] system call mount: EPERM\n"
        );
        assert_eq!(printed(false, false).lines().count(), 2);
        assert_eq!(
            warning(3, &LineFault::Cut),
            "warning: line 3 of the log was cut off\n"
        );
    }

    #[test]
    fn no_session_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let args = |session: Option<&str>| LogArgs {
            session: session.map(String::from),
            json: false,
            denied: false,
        };
        let message = |session| {
            show(&args(session), folder.path(), &TimeZone::UTC)
                .unwrap_err()
                .to_string()
        };
        assert!(message(None).contains("there are no sessions yet"));
        assert!(message(Some("x\u{1b}")).contains(r"there is no session `x\u{1b}`"));
    }
}
