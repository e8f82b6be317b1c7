//! Events of a session: the newest denial, or the one with a number.

use super::explain::{Explanation, explain};
use super::names;
use super::report::Answer;
use crate::audit::{open, read};
use crate::cli::flags::WhyArgs;
use crate::cli::log::find_failure;
use crate::config::Places;
use crate::facts::Ambient;
use crate::failure::{Failure, FailureKind};
use crate::supervise::{Event, Record};
use crate::ui;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::path::PathBuf;

/// The word for the newest session.
const LAST: &str = "last";

/// Explains an event.
pub(super) fn answer(args: &WhyArgs, session: &str) -> Result<Answer, Failure> {
    let usage = |message: String| Failure::new(FailureKind::Usage, message);
    if !args.command.is_empty() || args.target.len() > 1 {
        return Err(usage(
            "`--session` takes one number of an event, and no command".into(),
        ));
    }
    let number = match args.target.first() {
        None => None,
        Some(text) => {
            let parsed = text.to_str().and_then(|text| text.parse::<u64>().ok());
            Some(parsed.ok_or_else(|| {
                let message = format!("`{}` is no number of an event", text.to_string_lossy());
                usage(message).hint("`aca log` shows the numbers of denials")
            })?)
        }
    };
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    let prefix = Some(session).filter(|session| *session != LAST);
    let (id, file) = open(&places.sessions(), prefix).map_err(find_failure)?;
    let found =
        find(read::lines(file, &id), number).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    match (found, number) {
        (Some(found), _) => told(id.as_str(), &found),
        (None, Some(number)) => Err(usage(format!("session {id} has no event numbered {number}"))),
        (None, None) => {
            let mut answer = Answer::new("a session", Vec::new());
            answer.asked = id.to_string();
            answer.notes.push("nothing was denied in it".into());
            Ok(answer)
        }
    }
}

/// An event, and what the rest of the session says of it.
struct Told {
    record: Record,
    /// What the process that it names was started as.
    process: Option<String>,
    project: PathBuf,
    /// Names that couldn't be made, as far as the bound goes.
    refused: Vec<PathBuf>,
}

/// Most names that are compared.
const REFUSED_MAX: usize = 1000;

fn find(
    entries: impl Iterator<Item = std::io::Result<read::Entry>>,
    number: Option<u64>,
) -> std::io::Result<Option<Told>> {
    let mut programs: HashMap<i32, String> = HashMap::new();
    let mut found = None;
    let (mut root, mut refused) = (PathBuf::new(), Vec::new());
    for entry in entries {
        // A line that is none of ours explains nothing; `aca log` tells of it.
        let Some(record) = entry?.record else { continue };
        if let Event::ProcessStart { pid, path, argv } = &record.event {
            programs.insert(*pid, format!("{path}: {}", argv.join(" ")));
        }
        if let Event::SessionStart { project, .. } = &record.event {
            root.clone_from(project);
        }
        if let Event::NameRefused { path, .. } = &record.event
            && refused.len() < REFUSED_MAX
        {
            refused.push(path.clone());
        }
        let wanted = number.map_or_else(|| record.event.is_denial(), |number| record.seq == number);
        if wanted {
            let process = process(&record.event).and_then(|pid| programs.get(&pid).cloned());
            found = Some((record, process));
        }
    }
    Ok(found.map(|(record, process)| Told {
        record,
        process,
        project: root,
        refused,
    }))
}

fn process(event: &Event) -> Option<i32> {
    match event {
        Event::ProcessStart { pid, .. }
        | Event::SyscallRefused { pid, .. }
        | Event::NameRefused { pid, .. } => Some(*pid),
        Event::Connection { pid, .. } | Event::GitRequest { pid, .. } => *pid,
        Event::Listening { pid, .. } => *pid,
        Event::SessionStart { .. }
        | Event::SettingsWait { .. }
        | Event::Degraded { .. }
        | Event::SessionEnd { .. }
        | Event::Lookup { .. }
        | Event::BudgetReached { .. }
        | Event::Request { .. }
        | Event::Port { .. }
        | Event::Visit { .. }
        | Event::CredentialUsed { .. }
        | Event::TrustChange { .. }
        | Event::PutAway { .. }
        | Event::Masked { .. }
        | Event::Protected { .. }
        | Event::StateNotKept { .. }
        | Event::GitBrought { .. }
        | Event::GitAside { .. }
        | Event::GitNotBrought { .. }
        | Event::RulesChanged { .. }
        | Event::Asked { .. }
        | Event::Answered { .. }
        | Event::Dropped { .. } => None,
    }
}

fn told(session: &str, found: &Told) -> Result<Answer, Failure> {
    let Told { record, process, .. } = found;
    let Explanation { judged, notes } = explain(&record.event);
    let mut answer = Answer::new("an event", judged.into_iter().collect());
    answer.allowed = !record.event.is_denial();
    answer.asked = format!("session {session}, event {}", record.seq);
    let lines = ui::event::lines(record, &TimeZone::system());
    answer
        .notes
        .extend(lines.lines().map(|line| format!("logged: {}", line.trim())));
    answer.notes.extend(
        process
            .iter()
            .map(|process| format!("the process was started as {process}")),
    );
    answer.notes.extend(notes);
    if let Event::NameRefused { path, .. } = &record.event {
        answer
            .notes
            .extend(names::note(path, &found.project, &found.refused));
    }
    answer.event =
        Some(serde_json::to_value(record).map_err(|error| Failure::new(FailureKind::Internal, error))?);
    Ok(answer)
}
