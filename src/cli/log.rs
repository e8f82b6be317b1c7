//! `aca log`: shows what happened in a session, also while it happens, and checks that the log is as it was written.

use super::flags::LogArgs;
use crate::audit::read::{self, Entry, LineFault};
use crate::audit::{self, FindError, Follow, SessionId, Verified};
use crate::config::Places;
use crate::facts::Ambient;
use crate::failure::{Failure, FailureKind};
use crate::ui::{self, Reader, sanitize};
use jiff::tz::TimeZone;
use std::error::Error as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes that are gathered before they are written.
const PART: usize = 64 << 10;

/// Shows the session; exit status 1 when lines of its log are not as they were written.
///
/// # Errors
/// No such session, or a log that can't be read.
pub fn execute(args: &LogArgs) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let sessions = sessions_directory(&ambient);
    if args.verify {
        verify(args, &sessions)
    } else if args.follow {
        follow(args, &sessions, &TimeZone::system())
    } else {
        show(args, &sessions, &TimeZone::system())
    }
}

/// Where the logs are.
pub(super) fn sessions_directory(ambient: &Ambient) -> PathBuf {
    Places::new(&ambient.environment, &ambient.home, &ambient.directory).sessions()
}

fn show(args: &LogArgs, sessions: &Path, zone: &TimeZone) -> Result<ExitCode, Failure> {
    let (id, file) = audit::open(sessions, args.session.as_deref()).map_err(find_failure)?;
    let mut part = Vec::with_capacity(PART);
    let mut tampered = false;
    let mut traffic = ui::traffic::Traffic::default();
    for entry in read::lines(file, &id) {
        let entry = entry.map_err(machine)?;
        tampered |= told(&entry);
        if let Some(record) = &entry.record {
            traffic.add(&record.event);
        }
        part.extend_from_slice(&text(args, &entry, zone));
        if part.len() >= PART {
            if ui::write_out_part(&part).map_err(machine)? == Reader::Gone {
                return Ok(ExitCode::SUCCESS);
            }
            part.clear();
        }
    }
    if !args.json && !args.denied {
        part.extend_from_slice(traffic.lines().as_bytes());
    }
    let _whether_read_to_the_end = ui::write_out_part(&part).map_err(machine)?;
    Ok(ExitCode::from(u8::from(tampered)))
}

fn follow(args: &LogArgs, sessions: &Path, zone: &TimeZone) -> Result<ExitCode, Failure> {
    let (id, file) = audit::open(sessions, args.session.as_deref()).map_err(find_failure)?;
    let mut follow = Follow::begin(file, &id).map_err(machine)?;
    let mut tampered = false;
    let out = std::io::stdout();
    while let Some(entry) = follow.next(out.as_fd()).map_err(machine)? {
        tampered |= told(&entry);
        let text = text(args, &entry, zone);
        if !text.is_empty() && ui::write_out_part(&text).map_err(machine)? == Reader::Gone {
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(ExitCode::from(u8::from(tampered)))
}

/// Exit status 1 when a log is not as it was written, 125 when one can't be read.
fn verify(args: &LogArgs, sessions: &Path) -> Result<ExitCode, Failure> {
    let ids = if args.all {
        audit::all(sessions).map_err(find_failure)?
    } else {
        vec![audit::find(sessions, args.session.as_deref()).map_err(find_failure)?]
    };
    let (mut whole, mut readable) = (true, true);
    for id in &ids {
        match audit::verify(sessions, id) {
            Ok(verified) => {
                whole &= verified.is_whole();
                ui::write_out(&verdict(id, &verified)).map_err(machine)?;
            }
            Err(error) if !args.all => return Err(machine(error)),
            // What is wrong with one keeps none of the others from being looked at.
            Err(error) => {
                readable = false;
                let cause = error
                    .source()
                    .map_or_else(String::new, |cause| format!(": {cause}"));
                let message = format!("error: {error}{cause}");
                ui::write_error(&format!("{}\n", sanitize::line(&message)));
            }
        }
    }
    Ok(match (readable, whole) {
        (false, _) => ExitCode::from(FailureKind::Machine.code()),
        (true, whole) => ExitCode::from(u8::from(!whole)),
    })
}

/// What was found, a line a fault.
fn verdict(id: &SessionId, verified: &Verified) -> String {
    let mut lines = Vec::new();
    for number in &verified.torn {
        lines.push(format!("line {number} was cut off when it was written"));
    }
    for (number, fault) in &verified.faults {
        lines.push(format!(
            "line {number} {}",
            sanitize::line_within(&fault.to_string(), 200)
        ));
    }
    if verified.more_faults > 0 {
        lines.push(format!("{} lines more are wrong", verified.more_faults));
    }
    if verified.events == 0 {
        lines.push("there is no event in it".into());
    }
    if !verified.ended && !verified.running {
        lines.push(
            "it has no end: the run was killed, the disk was full, or lines were cut off at the end".into(),
        );
    }
    let head = if !verified.is_whole() {
        "NOT WHOLE"
    } else if verified.running {
        "whole so far, and running"
    } else {
        "whole"
    };
    let chain = if verified.chained || verified.events == 0 {
        ""
    } else {
        " (version 1: it has no chain, running numbers were checked alone)"
    };
    let mut text = format!("{id}: {head}, {} events{chain}\n", verified.events);
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Warns of what is wrong with a line; whether somebody must have done it.
fn told(entry: &Entry) -> bool {
    let Some(fault) = &entry.fault else {
        return false;
    };
    ui::write_error(&warning(entry.number, fault));
    !fault.is_harmless()
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

fn machine(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(FailureKind::Machine, error)
}

/// What can't be found, and what to do.
pub(super) fn find_failure(error: FindError) -> Failure {
    let hint = match &error {
        FindError::Empty(_) => Some("`aca run` writes one for each run"),
        FindError::Unknown(_) => {
            Some("`aca sessions` lists them; `aca log` without a session shows the newest")
        }
        FindError::Ambiguous { .. } => Some("give more of the id"),
        FindError::Directory { .. } | FindError::Open { .. } | FindError::NotAFile { .. } => None,
    };
    let kind = match &error {
        FindError::Unknown(_) | FindError::Ambiguous { .. } => FailureKind::Usage,
        FindError::Empty(_)
        | FindError::Directory { .. }
        | FindError::Open { .. }
        | FindError::NotAFile { .. } => FailureKind::Machine,
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
    const ARGS: LogArgs = LogArgs {
        session: None,
        json: false,
        denied: false,
        follow: false,
        verify: false,
        all: false,
    };

    fn printed(json: bool, denied: bool) -> String {
        let args = LogArgs { json, denied, ..ARGS };
        let log = LINES.join("\n");
        let id = "20261123T090807006Z-aaaaaaaaaaaa".parse().unwrap();
        read::lines(log.as_bytes(), &id)
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
            ..ARGS
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
