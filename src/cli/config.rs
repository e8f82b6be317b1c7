//! `aca config`: what is configured here, each value with its source; whether a file is a configuration; the schema.

use super::flags::{CheckArgs, ConfigAction, ConfigArgs};
use super::prepare::{Policed, begin, police};
use crate::config::{self, ADMINISTRATORS_FILE, FileKind, FileLayer, Said, Trust};
use crate::failure::{Failure, FailureKind};
use crate::ui::{self, sanitize};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// Version of the JSON form.
const CONFIG_VERSION: u32 = 1;

#[derive(Serialize)]
struct Printed {
    version: u32,
    agent: String,
    project: String,
    /// The files that were read, the weakest first.
    files: Vec<File>,
    settings: Vec<Said>,
    /// What the project's file says and what doesn't count.
    waiting: Vec<Said>,
}

#[derive(Serialize)]
struct File {
    path: String,
    kind: &'static str,
    trust: &'static str,
}

/// Does it.
///
/// # Errors
/// A file or flag that is wrong, or when nothing could be printed.
pub fn execute(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    let text = match &args.action {
        Some(ConfigAction::Schema) => pretty(&config::json_schema())?,
        Some(ConfigAction::Check(args)) => check(args)?,
        None => {
            let printed = printed(police(&args.run, begin(&args.run)?)?);
            if args.json {
                pretty(&printed)?
            } else {
                shown(&printed)
            }
        }
    };
    ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    Ok(ExitCode::SUCCESS)
}

fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(FailureKind::Internal, error))?;
    text.push('\n');
    Ok(text)
}

fn check(args: &CheckArgs) -> Result<String, Failure> {
    let administrators = args.administrator || args.file == Path::new(ADMINISTRATORS_FILE);
    let kind = if administrators {
        FileKind::Administrator
    } else {
        FileKind::User
    };
    config::check(&args.file, kind)?;
    Ok("ok\n".to_owned())
}

fn printed(policed: Policed) -> Printed {
    let layers = &policed.layers;
    let files = [&layers.administrator, &layers.user, &layers.project];
    Printed {
        version: CONFIG_VERSION,
        agent: policed.agent.name.clone(),
        project: policed.project.root.to_string_lossy().into_owned(),
        files: files.into_iter().flatten().map(file).collect(),
        settings: policed.merged.said(),
        waiting: policed.waiting.map(|waiting| waiting.said).unwrap_or_default(),
    }
}

fn file(layer: &FileLayer) -> File {
    File {
        path: layer.source.path.to_string_lossy().into_owned(),
        kind: match layer.kind {
            FileKind::Administrator => "administrator",
            FileKind::User => "user",
            FileKind::Project => "project",
        },
        trust: match layer.trust {
            Trust::Full => "full",
            Trust::Reduced => "reduced",
        },
    }
}

fn shown(printed: &Printed) -> String {
    let mut lines = vec![
        format!("# agent    {}", printed.agent),
        format!("# project  {}", printed.project),
    ];
    for file in &printed.files {
        let trust = if file.trust == "reduced" {
            ", which isn't trusted: it only makes narrower"
        } else {
            ""
        };
        lines.push(format!("# file     {} (the {}'s{trust})", file.path, file.kind));
    }
    lines.extend(printed.settings.iter().map(line));
    if !printed.waiting.is_empty() {
        lines.push("# waits for `aca trust`:".into());
        lines.extend(printed.waiting.iter().map(|said| format!("# {}", line(said))));
    }
    lines
        .iter()
        .map(|line| format!("{}\n", sanitize::line(line)))
        .collect()
}

pub(super) fn line(said: &Said) -> String {
    format!("{said}  # {}", said.source)
}
