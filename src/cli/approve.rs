//! `aca approve`: what waits for an answer in running sessions, and the answers.
//!
//! Each session is watched by a thread of its own, which also tells the session that somebody listens; the questions are
//! put one after the other.

use super::flags::ApproveArgs;
use super::rules::{client_failure, refuse_inside, refuse_locked, save, write};
use crate::audit::SessionId;
use crate::config::Places;
use crate::config::edit::List;
use crate::control::client::{self, ClientError};
use crate::control::protocol::{Answer, Ask, Decision, Request};
use crate::facts::Ambient;
use crate::failure::{Failure, FailureKind};
use crate::ui::{self, sanitize};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often sessions that began meanwhile are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long a session may take to say that nothing is new; it says so after five seconds.
const WITHIN: Duration = Duration::from_secs(15);
/// Characters of a program's path that are shown.
const PROGRAM_SHOWN: usize = 100;
/// How long the sessions have to tell what waits, where nobody waits for more.
const SETTLE: Duration = Duration::from_millis(500);

/// What is said, and whether it is written down for later runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    decision: Decision,
    saved: Option<List>,
}

/// An ask of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Found {
    session: SessionId,
    #[serde(flatten)]
    ask: Ask,
}

/// Lists, answers one, or asks the user about each.
///
/// # Errors
/// Sessions that can't be reached, an ask that is gone, a configuration that can't be written.
pub fn execute(args: &ApproveArgs) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    refuse_inside(&ambient)?;
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    if let Some(number) = args.ask {
        let said = said(args).ok_or_else(|| {
            Failure::new(FailureKind::Usage, "an answer is missing")
                .hint("give one of `--once`, `--session`, `--always`, `--deny`, `--never`")
        })?;
        let found = one(&places.control(), args, number)?;
        write(&decide(&places, &found, said)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.list && !args.follow {
        for found in waiting(&places.control(), args)? {
            write(&line(&found, args.json)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    follow(&places, args)
}

const fn said(args: &ApproveArgs) -> Option<Said> {
    let (decision, saved) = if args.once {
        (Decision::Once, None)
    } else if args.session {
        (Decision::Session, None)
    } else if args.always {
        (Decision::Session, Some(List::Allow))
    } else if args.deny {
        (Decision::Deny, None)
    } else if args.never {
        (Decision::Deny, Some(List::Deny))
    } else {
        return None;
    };
    Some(Said { decision, saved })
}

/// What waits in all sessions that are meant. One that doesn't answer keeps no other from being listed.
fn waiting(control: &Path, args: &ApproveArgs) -> Result<Vec<Found>, Failure> {
    let mut all = Vec::new();
    for session in sessions(control, args.of.as_deref())? {
        match client::ask(control, &session, &Request::Asks) {
            Ok(Answer::Asks { asks, .. }) => all.extend(asks.into_iter().map(|ask| Found {
                session: session.clone(),
                ask,
            })),
            Ok(_) => return Err(client_failure(ClientError::Answer(session))),
            Err(ClientError::Gone(_)) => {}
            Err(error @ ClientError::Frame { .. }) => warn(&error),
            Err(error) => return Err(client_failure(error)),
        }
    }
    Ok(all)
}

/// The sessions whose id begins so. Nobody is asked yet: one that is stopped would keep the others waiting.
fn sessions(control: &Path, prefix: Option<&str>) -> Result<Vec<SessionId>, Failure> {
    let ids = client::ids(control).map_err(client_failure)?.into_iter();
    Ok(ids
        .filter(|id| prefix.is_none_or(|prefix| id.as_str().starts_with(prefix)))
        .collect())
}

fn warn(error: &ClientError) {
    ui::write_error(&format!("warning: {}\n", sanitize::line(&error.to_string())));
}

fn one(control: &Path, args: &ApproveArgs, number: u64) -> Result<Found, Failure> {
    let mut found = waiting(control, args)?;
    found.retain(|found| found.ask.number == number);
    match (found.len(), found.pop()) {
        (1, Some(found)) => Ok(found),
        (0, _) | (_, None) => Err(Failure::new(
            FailureKind::Usage,
            format!("nothing numbered {number} waits for an answer"),
        )
        .hint("`aca approve --list` shows what waits")),
        (count, Some(_)) => Err(Failure::new(
            FailureKind::Usage,
            format!("{count} sessions have an ask numbered {number}"),
        )
        .hint("name one with `--of ID`; `aca approve --list` shows the ids")),
    }
}

/// Gives the answer; what came of it in words.
fn decide(places: &Places, found: &Found, said: Said) -> Result<String, Failure> {
    if said.saved == Some(List::Allow) {
        refuse_locked()?;
    }
    let request = Request::Decide {
        ask: found.ask.number,
        decision: said.decision,
    };
    let answer = client::ask(&places.control(), &found.session, &request).map_err(client_failure)?;
    let Answer::Decided { host, connections } = answer else {
        return Err(client_failure(ClientError::Answer(found.session.clone())));
    };
    let what = match said.decision {
        Decision::Once => "may be reached this once",
        Decision::Session => "may be reached in this session",
        Decision::Deny => "may not be reached in this session",
    };
    let mut text = match connections {
        0 => format!("{host} {what}; no connection waits for it any more\n"),
        1 => format!("{host} {what}\n"),
        count => format!("{host} {what}; {count} connections waited\n"),
    };
    if let Some(list) = said.saved {
        text.push_str(&save(places, list, &[host])?);
    }
    Ok(text)
}

/// One line. The whole name: what decides is its end.
fn line(found: &Found, json: bool) -> Result<String, Failure> {
    if json {
        let line =
            serde_json::to_string(found).map_err(|error| Failure::new(FailureKind::Internal, error))?;
        return Ok(format!("{line}\n"));
    }
    let Ask {
        number,
        left_ms,
        connections,
        ..
    } = found.ask;
    let connections = match connections {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    };
    Ok(format!(
        "{number}  {}  {connections}{}, {} s left, session {}\n",
        target(&found.ask),
        program(&found.ask),
        left_ms.div_ceil(1000),
        found.session
    ))
}

/// Whose first connection it is. The path is one of the sandbox: programs inside choose what is there.
fn program(ask: &Ask) -> String {
    let Some(pid) = ask.pid else {
        return String::new();
    };
    let path = ask.program.as_deref().filter(|path| !path.is_empty());
    let path = path.map_or_else(|| "?".into(), |path| sanitize::line_within(path, PROGRAM_SHOWN));
    format!(" of {path} (process {pid})")
}

fn target(ask: &Ask) -> String {
    let host = sanitize::line(&ask.host);
    let place = if host.contains(':') {
        format!("[{host}]:{}", ask.port)
    } else {
        format!("{host}:{}", ask.port)
    };
    // Letters that look like others are seen as what DNS makes of them.
    if host.split('.').any(|label| label.starts_with("xn--")) {
        format!("{place} (a name with letters beyond ASCII)")
    } else {
        place
    }
}

/// Tells of each ask, or asks the user about it, until there are no more (with `--follow`: until interrupted).
fn follow(places: &Places, args: &ApproveArgs) -> Result<ExitCode, Failure> {
    let (send, receive) = channel();
    let mut known = BTreeSet::new();
    let (control, prefix) = (places.control(), args.of.as_deref());
    let mut look = || -> Result<(), Failure> {
        for session in sessions(&control, prefix)? {
            if known.insert(session.clone()) {
                watch(control.clone(), session, send.clone());
            }
        }
        Ok(())
    };
    if !args.follow {
        // Says who doesn't answer.
        waiting(&control, args)?;
    }
    look()?;
    loop {
        match next(&receive, args.follow, &mut look)? {
            Some(found) if args.list => write(&line(&found, args.json)?)?,
            Some(found) => {
                // While others were put, it may have been answered elsewhere, or have ended.
                let found = as_it_is(&control, found);
                if let Some(found) = found
                    && !put(places, &found)?
                {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            None => {
                ui::write_error("aca: nothing waits for an answer; `--follow` waits for what comes\n");
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

/// The next ask; `None` when there is none and nobody waits for more.
fn next(
    receive: &Receiver<Found>,
    waits: bool,
    look: &mut impl FnMut() -> Result<(), Failure>,
) -> Result<Option<Found>, Failure> {
    loop {
        match receive.recv_timeout(if waits { LOOK } else { SETTLE }) {
            Ok(found) => return Ok(Some(found)),
            Err(RecvTimeoutError::Timeout) if waits => look()?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// The same ask as it is now; `None` when it is over.
fn as_it_is(control: &Path, found: Found) -> Option<Found> {
    let Ok(Answer::Asks { asks, .. }) = client::ask(control, &found.session, &Request::Asks) else {
        return None;
    };
    let ask = asks.into_iter().find(|ask| ask.number == found.ask.number)?;
    Some(Found { ask, ..found })
}

/// Watches a session until it ends, and passes on each ask once.
fn watch(control: PathBuf, session: SessionId, send: Sender<Found>) {
    let watching = move || {
        let (mut seen, mut told, mut is_mute) = (None, 0, false);
        loop {
            // The list as it is first; then what changes.
            let request = seen.map_or(Request::Asks, |seen| Request::Watch { seen });
            let answer = client::ask_within(&control, &session, &request, WITHIN);
            let (version, asks) = match answer {
                Ok(Answer::Asks { version, asks }) => (version, asks),
                // One that is stopped may go on.
                Err(error @ ClientError::Frame { .. }) => {
                    if !is_mute {
                        warn(&error);
                    }
                    (is_mute, seen) = (true, None);
                    std::thread::park_timeout(LOOK);
                    continue;
                }
                // It ended.
                Ok(_) | Err(_) => return,
            };
            (is_mute, seen) = (false, Some(version));
            for ask in asks {
                if ask.number > told {
                    told = ask.number;
                    let session = session.clone();
                    if send.send(Found { session, ask }).is_err() {
                        return;
                    }
                }
            }
        }
    };
    // Without a thread that session is not watched; the others are.
    drop(std::thread::Builder::new().name("watch".into()).spawn(watching));
}

/// Asks the user about one; `false` when there is nobody, or no more to be said.
fn put(places: &Places, found: &Found) -> Result<bool, Failure> {
    write(&line(found, false)?)?;
    let question = "  (o)nce, for this (s)ession, (a)lways, (n)o, ne(v)er, or nothing to let it wait? ";
    let said = match ui::question(question).map_err(|error| Failure::new(FailureKind::Machine, error))? {
        ui::Line::Said(word) => match word.as_str() {
            "o" | "once" => (Decision::Once, None),
            "s" | "session" => (Decision::Session, None),
            "a" | "always" => (Decision::Session, Some(List::Allow)),
            "n" | "no" => (Decision::Deny, None),
            "v" | "never" => (Decision::Deny, Some(List::Deny)),
            _ => {
                write("  nothing was said\n")?;
                return Ok(true);
            }
        },
        ui::Line::End => return Ok(false),
        ui::Line::Nobody => {
            ui::write_error(
                "aca: nobody is there to be asked; `aca approve N --once` answers, `--list` lists\n",
            );
            return Ok(false);
        }
    };
    let (decision, saved) = said;
    match decide(places, found, Said { decision, saved }) {
        Ok(text) => write(&format!("  {}", text.replace("\n", "\n  ").trim_end_matches(' ')))?,
        // That one is over; the next may not be.
        Err(failure) => ui::write_error(&failure.to_string()),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str) -> Found {
        Found {
            session: "20261123T090807006Z-aaaaaaaaaaaa".parse().unwrap(),
            ask: Ask {
                number: 3,
                host: host.into(),
                port: 443,
                left_ms: 58_001,
                connections: 2,
                pid: None,
                program: None,
            },
        }
    }

    #[test]
    fn a_line_shows_the_whole_name_and_nothing_that_acts() {
        let long = format!("github.com.{}.evil.test", "a".repeat(60));
        assert_eq!(
            line(&found(&long), false).unwrap(),
            format!("3  {long}:443  2 connections, 59 s left, session 20261123T090807006Z-aaaaaaaaaaaa\n")
        );
        assert!(
            line(&found("a\u{1b}[2J\u{202e}.test"), false)
                .unwrap()
                .starts_with(r"3  a\u{1b}[2J\u{202e}.test:443")
        );
        let mut of = found("a.test");
        (of.ask.pid, of.ask.program) = (Some(7), Some("/usr/bin/\u{1b}x".into()));
        assert!(
            line(&of, false)
                .unwrap()
                .starts_with(r"3  a.test:443  2 connections of /usr/bin/\u{1b}x (process 7), 59 s left")
        );
        let mixed = line(&found("xn--pple-43d.com"), false).unwrap();
        assert!(mixed.contains("xn--pple-43d.com:443 (a name with letters beyond ASCII)"));
        assert!(
            line(&found("2001:db8::1"), false)
                .unwrap()
                .contains("[2001:db8::1]:443")
        );
        let json: serde_json::Value = serde_json::from_str(&line(&found("a.test"), true).unwrap()).unwrap();
        assert_eq!(
            (json["number"].as_u64(), json["host"].as_str()),
            (Some(3), Some("a.test"))
        );
    }
}
