//! What a run needs for its agent: which one it is, its state, what is added to its command.

use super::RunArgs;
use crate::agents::{self, AgentDefinition, MergedFile};
use crate::config::Places;
use crate::facts::{self, Facts};
use crate::failure::{Failure, FailureKind};
use crate::plan::{AgentNeeds, Cache, Extras, OwnSandboxPlan, StateCopy};
use crate::policy::{OwnSandbox, Policy};
use crate::presets::HomePath;
use crate::supervise::state::StateFile;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The definition of the agent that the words name, and why it is that one.
pub(super) fn chosen(args: &RunArgs) -> Result<(AgentDefinition, String), Failure> {
    let word = args.words.first().map(OsString::as_os_str).unwrap_or_default();
    let shown = word.to_string_lossy();
    let (name, why) = if let Some(name) = &args.flags.agent {
        (name.as_str(), format!("`--agent {name}`"))
    } else if args.after_separator {
        (
            agents::GENERIC,
            "what follows `--` is a command, whatever its name".to_owned(),
        )
    } else if let Some(name) = agents::name_of_command(word) {
        (name, format!("`{shown}` is one of its programs"))
    } else if word.as_encoded_bytes().contains(&b'/') {
        (
            agents::GENERIC,
            "a path is never taken for an agent: `--agent NAME` says so".to_owned(),
        )
    } else {
        (
            agents::GENERIC,
            format!("no known agent has a program `{shown}`: `aca agents` lists them"),
        )
    };
    let agent = agents::load(name).map_err(|error| {
        Failure::new(FailureKind::Usage, error).hint("`--agent generic` fits every command")
    })?;
    Ok((agent, why))
}

/// What the agent's file asks for, at its places.
pub(super) fn needs(
    args: &RunArgs,
    agent: &AgentDefinition,
    policy: &Policy,
    home: &Path,
    places: &Places,
) -> AgentNeeds {
    let within =
        |paths: &[HomePath]| -> Vec<PathBuf> { paths.iter().map(|path| path.within(home)).collect() };
    let state = &agent.state;
    let merged = state.merge.iter();
    let merged = merged.map(|file| (file.path.within(home), kept_at(agent, file, home, places)));
    let copied = within(&state.copy).into_iter().map(|at| (at.clone(), at));
    let store = store_of(agent, places);
    AgentNeeds {
        name: agent.name.clone(),
        why: String::new(),
        share: within(&state.share),
        read: [within(&state.read), within(&agent.install.roots)].concat(),
        files: merged
            .chain(copied)
            .map(|(at, from)| StateCopy {
                content: small_file(&from),
                at,
                from,
            })
            .collect(),
        private: within(&state.private),
        own: state
            .own
            .iter()
            .map(|path| Cache {
                at: path.within(home),
                store: path.within(&store),
            })
            .collect(),
        own_sandbox: own_sandbox(args, agent, policy),
    }
}

/// Whether a path is part of the agent's state.
pub(super) fn is_state(agent: &AgentDefinition, home: &Path, path: &Path) -> bool {
    let state = &agent.state;
    let merged = state.merge.iter().map(|file| &file.path);
    [&state.private, &state.share, &state.own, &state.read, &state.copy]
        .into_iter()
        .flatten()
        .chain(merged)
        .any(|own| path.starts_with(own.within(home)))
}

/// Where what an agent keeps for sandboxes alone lies.
fn store_of(agent: &AgentDefinition, places: &Places) -> PathBuf {
    places.stores().join("agents").join(&agent.name)
}

/// Where a state file comes from and goes back to.
fn kept_at(agent: &AgentDefinition, file: &MergedFile, home: &Path, places: &Places) -> PathBuf {
    if file.own {
        file.path.within(&store_of(agent, places))
    } else {
        file.path.within(home)
    }
}

/// What switches the agent's own sandbox off on the command line; nothing when the first word is no program of its.
fn added(args: &RunArgs, agent: &AgentDefinition, policy: &Policy) -> Vec<String> {
    let word = args.words.first().map(OsString::as_os_str).unwrap_or_default();
    match &agent.own_sandbox {
        Some(own) if policy.own_sandbox == Some(OwnSandbox::Off) && agent.is_program(word) => {
            own.off.arguments.clone()
        }
        Some(_) | None => Vec::new(),
    }
}

/// The command's words, with what was added to them.
pub(super) fn argv(args: &RunArgs, agent: &AgentDefinition, policy: &Policy) -> Vec<OsString> {
    let mut argv = args.words.clone();
    let behind_program = argv.len().min(1);
    let added = added(args, agent, policy).into_iter().map(OsString::from);
    argv.splice(behind_program..behind_program, added);
    argv
}

fn own_sandbox(args: &RunArgs, agent: &AgentDefinition, policy: &Policy) -> Option<OwnSandboxPlan> {
    let (own, choice) = (agent.own_sandbox.as_ref()?, policy.own_sandbox?);
    let variables = own.off.environment.keys().filter(|_| choice == OwnSandbox::Off);
    Some(OwnSandboxPlan {
        choice,
        what: own.what.clone(),
        why: own.why.clone(),
        arguments: added(args, agent, policy),
        variables: variables.cloned().collect(),
    })
}

/// A state file's content; nothing when it isn't there, isn't a file or is too large.
fn small_file(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(path).ok()?;
    let small = metadata.is_file() && metadata.len() <= u64::try_from(agents::MAX_STATE_BYTES).unwrap_or(0);
    small.then(|| std::fs::read(path).ok()).flatten()
}

/// What is to be carried back at the end.
pub(super) fn state_files(
    agent: &AgentDefinition,
    facts: &Facts,
    extras: &Extras,
    places: &Places,
) -> Vec<StateFile> {
    let home = &facts.ambient.home;
    agent
        .state
        .merge
        .iter()
        .map(|file| (file, kept_at(agent, file, home, places)))
        .map(|(file, host)| StateFile {
            // The file is replaced by rename, and a link of the user's stays one.
            host: facts::real(&host).unwrap_or(host),
            below_home: file.path.as_path().to_owned(),
            start: extras
                .agent
                .files
                .iter()
                .find(|copy| copy.at == file.path.within(home))
                .and_then(|copy| copy.content.clone()),
            format: file.format,
            host_keeps: file.host_keeps.clone(),
        })
        .collect()
}
