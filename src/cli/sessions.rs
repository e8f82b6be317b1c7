//! `aca sessions`: lists the sessions, newest first.

use super::flags::SessionsArgs;
use super::log::{find_failure, sessions_directory};
use super::project::project_failure;
use crate::audit::{self, FindError};
use crate::config::Places;
use crate::facts::{Ambient, Project};
use crate::failure::{Failure, FailureKind};
use crate::ui::{self, session::Row};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints the list. A log that can't be read is a line of it, and keeps nothing else from being listed.
///
/// # Errors
/// The directory of logs can't be read, or there is no project here.
pub fn execute(args: &SessionsArgs) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    super::isolated::bring_back(&places, None, &ambient);
    let project = if args.project {
        let project = Project::find(&ambient.directory, &ambient.home).map_err(project_failure)?;
        Some(project.root)
    } else {
        None
    };
    let limit = if args.all {
        usize::MAX
    } else {
        usize::try_from(args.limit).unwrap_or(usize::MAX)
    };
    let rows = rows(&sessions_directory(&ambient), project.as_ref(), limit)?;
    let text = if args.json {
        json(&rows)?
    } else if rows.is_empty() {
        ui::write_error("aca: there are no sessions yet\n");
        String::new()
    } else {
        ui::session::table(&rows, &TimeZone::system(), Timestamp::now())
    };
    ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    Ok(ExitCode::SUCCESS)
}

/// The newest sessions, of one project or of all. Of a session that isn't listed nothing is read, unless its project has
/// to be looked up.
fn rows(sessions: &Path, project: Option<&PathBuf>, limit: usize) -> Result<Vec<Row>, Failure> {
    let ids = match audit::all(sessions) {
        Err(FindError::Empty(_)) => Vec::new(),
        other => other.map_err(find_failure)?,
    };
    Ok(ids
        .into_iter()
        .rev()
        .map(|id| {
            let summary = audit::summary(sessions, &id);
            (id, summary)
        })
        .filter(|(_, summary)| {
            project.is_none_or(|project| summary.as_ref().is_ok_and(|summary| summary.project == *project))
        })
        .take(limit)
        .collect())
}

fn json(rows: &[Row]) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Unreadable<'a> {
        session: &'a str,
        unreadable: String,
    }
    let mut text = String::new();
    for (session, summary) in rows {
        let line = match summary {
            Ok(summary) => serde_json::to_string(summary),
            Err(damage) => serde_json::to_string(&Unreadable {
                session: session.as_str(),
                unreadable: ui::session::why(damage),
            }),
        };
        text.push_str(&line.map_err(|error| Failure::new(FailureKind::Internal, error))?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Log, SessionId};
    use crate::supervise::Event;
    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    use std::mem::MaybeUninit;

    #[test]
    fn of_ten_thousand_only_those_that_are_shown_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = folder.path().join("aca/sessions");
        let mut written = Vec::new();
        for count in 0..10_000_u16 {
            let [high, low] = count.to_be_bytes();
            let time = "2026-11-23T09:08:07Z".parse().unwrap();
            let id = SessionId::new(time, [high, low, 0, 0, 0, 0]);
            let start = Event::SessionStart {
                session: id.to_string(),
                version: String::new(),
                agent: "generic".into(),
                agent_why: String::new(),
                argv: vec![],
                project: if count == 17 { "/p".into() } else { "/q".into() },
                plan_hash: String::new(),
                degraded: vec![],
            };
            if count == 17 || count >= 9_990 {
                written.push(Log::begin(&sessions, &id, start).unwrap());
            } else {
                std::fs::create_dir_all(&sessions).unwrap();
                std::fs::write(sessions.join(format!("{id}.jsonl")), "").unwrap();
            }
        }
        drop(written);
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        add_watch(&watch, &sessions, WatchFlags::OPEN).unwrap();
        let listed = rows(&sessions, None, 3).unwrap();
        let ids: Vec<_> = listed.iter().map(|(id, _)| id.as_str()).collect();
        assert!(
            ids[0].ends_with("-270f00000000") && ids[2].ends_with("-270d00000000"),
            "{ids:?}"
        );
        assert!(listed.iter().all(|(_, summary)| summary.is_ok()));
        let mut buffer = [MaybeUninit::uninit(); 64 << 10];
        let mut reader = Reader::new(&watch, &mut buffer);
        let mut opened = Vec::new();
        while let Ok(event) = reader.next() {
            opened.extend(event.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        opened.sort();
        opened.dedup();
        assert_eq!(opened.len(), 3, "{opened:?}");
        // A project's are looked for among all.
        let of_project = rows(&sessions, Some(&"/p".into()), 3).unwrap();
        assert_eq!(of_project.len(), 1);
    }
}
