//! `aca agents`: which agents are known, where they are installed, and what each is granted.

use super::flags::AgentsArgs;
use crate::agents::{self, AgentDefinition};
use crate::config::nearest;
use crate::failure::{Failure, FailureKind};
use crate::ui;
use crate::ui::sanitize;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Version of the JSON form.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Printed<'a> {
    version: u32,
    agents: &'a [Known],
}

/// One agent, and where it is.
#[derive(Serialize)]
struct Known {
    /// Programs of its that are found in `PATH`, as text (lossy).
    installed: Vec<String>,
    definition: AgentDefinition,
}

/// Does it.
///
/// # Errors
/// No such agent, or nothing could be printed.
pub fn execute(args: &AgentsArgs) -> Result<ExitCode, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut known = Vec::new();
    let wanted = |name: &&str| match &args.name {
        Some(wanted) => *name == wanted,
        None => *name != agents::GENERIC,
    };
    for name in agents::names().filter(wanted) {
        let definition = agents::load(name)?;
        let installed = definition
            .commands
            .iter()
            .flat_map(|command| std::env::split_paths(&path).map(move |directory| directory.join(command)))
            .filter(|program| is_program(program))
            .map(|program| program.to_string_lossy().into_owned())
            .collect();
        known.push(Known {
            installed,
            definition,
        });
    }
    if let (Some(name), true) = (&args.name, known.is_empty()) {
        return Err(unknown(name));
    }
    let text = if args.json {
        let printed = Printed {
            version: VERSION,
            agents: &known,
        };
        let mut text = serde_json::to_string_pretty(&printed)
            .map_err(|error| Failure::new(FailureKind::Internal, error))?;
        text.push('\n');
        text
    } else if args.name.is_some() {
        known.iter().map(in_full).collect()
    } else {
        table(&known)
    };
    ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str) -> Failure {
    let failure = Failure::new(FailureKind::Usage, format!("there is no agent `{name}`"));
    match nearest(name, agents::names()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("`aca agents` lists those that are known; `aca run -- COMMAND` runs any other"),
    }
}

/// Whether a file is there that somebody may execute.
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.is_absolute()
        && std::fs::metadata(path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// One line an agent.
fn table(known: &[Known]) -> String {
    let rows: Vec<[String; 6]> = known
        .iter()
        .map(|agent| {
            let definition = &agent.definition;
            let environment = &definition.environment;
            let where_it_is = agent.installed.first().map_or_else(
                || "not in PATH".to_owned(),
                |path| sanitize::line(path).into_owned(),
            );
            [
                definition.name.clone(),
                state_in_short(definition),
                definition.network.hosts.len().to_string(),
                (environment.keep.len() + environment.set.len()).to_string(),
                definition
                    .own_sandbox
                    .as_ref()
                    .map_or("none", |own| own.default.word())
                    .to_owned(),
                where_it_is,
            ]
        })
        .collect();
    let head = ["AGENT", "STATE", "HOSTS", "VARIABLES", "OWN SANDBOX", "INSTALLED"].map(String::from);
    let all = || std::iter::once(&head).chain(&rows);
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = all()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            write!(line, "{cell:width$}  ").ok();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Counts of what is shared with the host, kept apart from it, merged back and only read.
fn state_in_short(definition: &AgentDefinition) -> String {
    let state = &definition.state;
    [
        (state.share.len(), "shared"),
        (state.own.len(), "own"),
        (state.merge.len(), "merged"),
        (state.copy.len(), "copied"),
        (state.read.len(), "read"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect::<Vec<_>>()
    .join(", ")
}

/// All of one agent, with what each part is for.
fn in_full(agent: &Known) -> String {
    let definition = &agent.definition;
    let (state, environment) = (&definition.state, &definition.environment);
    let mut text = format!("{}\n", definition.name);
    let mut part = |title: &str, why: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            write!(text, "\n{title}  # {why}\n").ok();
            for line in lines {
                writeln!(text, "  {}", sanitize::line(&line)).ok();
            }
        }
    };
    let texts = |paths: &[crate::presets::HomePath]| paths.iter().map(|path| format!("~/{path}")).collect();
    let hosts = |hosts: &[crate::policy::HostPattern]| hosts.iter().map(ToString::to_string).collect();
    part("programs", "what starts it", definition.commands.clone());
    part("installed", "found in PATH", agent.installed.clone());
    if let Some(own) = &definition.own_sandbox {
        let mut lines = vec![
            own.what.clone(),
            format!(
                "{} unless `--own-sandbox` says otherwise: {}",
                own.default.word(),
                own.why
            ),
        ];
        lines.extend(
            own.off
                .arguments
                .iter()
                .map(|word| format!("off adds `{word}` to the command")),
        );
        let variables = own.off.environment.iter();
        lines.extend(variables.map(|(name, value)| format!("off sets {name}={value}")));
        part("own sandbox", "kept, it needs nested user namespaces", lines);
    }
    part(
        "hosts",
        "allowed by the presets `agent` and `dev`",
        hosts(&definition.network.hosts),
    );
    part(
        "quietly denied",
        "telemetry: denied, and no news",
        hosts(&definition.network.quiet_deny),
    );
    part(
        "variables kept",
        "credentials and settings, where they are set",
        environment.keep.clone(),
    );
    let set = environment.set.iter();
    part(
        "variables set",
        "inside only",
        set.map(|(name, value)| format!("{name}={value}")).collect(),
    );
    part(
        "shared",
        "written inside and on the host: text that is read and never run",
        texts(&state.share),
    );
    part(
        "own",
        "kept for later runs in a store of aca's; the host's client never sees it",
        texts(&state.own),
    );
    let merged = state.merge.iter().map(|file| {
        let back = if file.own {
            "to aca's own store"
        } else {
            "to the host"
        };
        let held = match file.host_keeps.len() {
            0 => String::new(),
            count => format!("; {count} patterns of keys stay the host's"),
        };
        format!("~/{} ({}, {back}{held})", file.path, file.format.word())
    });
    part(
        "merged",
        "copied in, carried back when the run ends",
        merged.collect(),
    );
    part(
        "copied",
        "copied in; what becomes of it inside is gone at the end",
        texts(&state.copy),
    );
    part(
        "read",
        "read-only where it exists: what the client executes, obeys or trusts",
        texts(&state.read),
    );
    part(
        "private",
        "empty but for the above; gone at the end",
        texts(&state.private),
    );
    part(
        "installation",
        "read-only where it exists",
        texts(&definition.install.roots),
    );
    text
}
