//! From arguments to a plan: what `aca run` and `aca plan` have in common.

use super::RunArgs;
use super::import::with_surroundings;
use super::project::{Looked, look, project_failure};
use crate::agents::{self, AgentDefinition, MergedFile};
use crate::config::{self, Bases, Places};
use crate::facts::{self, Ambient, Facts, Project};
use crate::failure::{Failure, FailureKind};
use crate::plan::{
    AgentNeeds, Cache, Extras, OwnSandboxPlan, Plan, PlanError, ProjectNeeds, Shown, StateCopy,
};
use crate::policy::{Home, OwnSandbox, Policy};
use crate::presets;
use crate::supervise::state::StateFile;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Everything that a run is made of.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) policy: Policy,
    pub(super) places: Places,
    pub(super) state: Vec<StateFile>,
    pub(super) looked: Looked,
    /// Secrets of the real home, where it is shown; not all of them are there.
    pub(super) hidden: Vec<PathBuf>,
}

/// What is known before the project is looked at.
pub(super) struct Beginning {
    ambient: Ambient,
    places: Places,
    agent: AgentDefinition,
    why: String,
    file: Option<config::FileLayer>,
}

/// Reads the surroundings, the agent's file and the configuration: all that can be wrong cheaply.
pub(super) fn begin(args: &RunArgs) -> Result<Beginning, Failure> {
    let ambient = Ambient::read().map_err(|error| {
        Failure::new(FailureKind::Machine, error)
            .hint("go to a directory that exists, and see that HOME is one")
    })?;
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    let (agent, why) = agent(args)?;
    let file = match args.flags.srt_settings {
        // They stand in its place, once the project is known.
        Some(_) => None,
        None => config::load(&places, args.flags.config.as_deref()).map_err(Failure::from)?,
    };
    Ok(Beginning {
        ambient,
        places,
        agent,
        why,
        file,
    })
}

/// The definition of the agent that the words name, and why it is that one.
fn agent(args: &RunArgs) -> Result<(AgentDefinition, String), Failure> {
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

/// Looks at the project and the machine, and makes the plan.
pub(super) fn prepare(args: &RunArgs, beginning: Beginning) -> Result<Prepared, Failure> {
    let Beginning {
        ambient,
        places,
        agent,
        why,
        file,
    } = beginning;
    let start = args
        .flags
        .project
        .as_ref()
        .map_or_else(|| ambient.directory.clone(), |path| ambient.directory.join(path));
    let project = Project::find(&start, &ambient.home).map_err(project_failure)?;
    let file = match &args.flags.srt_settings {
        None => file,
        Some(path) => {
            let place = (project.root.as_path(), project.extra_writable.as_slice());
            Some(with_surroundings(&ambient, place, |surroundings| {
                config::import::run_under_srt(ambient.directory.join(path), surroundings)
            })?)
        }
    };
    let bases = Bases {
        home: &ambient.home,
        project: &project.root,
        current: &ambient.directory,
    };
    let policy = config::merge(&agent, file.as_ref(), &args.flags.settings(), bases)?;
    let looked = look(project, &policy)?;
    let needs = looked.needs();
    let mut extras = extras(args, &ambient, &places, &agent, &policy)?;
    extras.agent.why = why;
    let limits = policy.limits.memory_bytes.is_some() || policy.limits.cpu_percent.is_some();
    let question = facts::Question {
        paths: interesting(&policy, &needs, &extras),
        closed_roots: presets::system()?
            .closed
            .into_iter()
            .map(|root| root.path)
            .collect(),
        limits,
    };
    let facts = facts::probe(ambient, question);
    let state = state_files(&agent, &facts, &extras, &places);
    let plan = crate::plan::plan(&policy, &facts, &needs, &extras).map_err(plan_failure)?;
    Ok(Prepared {
        hidden: extras.home_secrets,
        plan,
        policy,
        places,
        state,
        looked,
    })
}

fn plan_failure(error: PlanError) -> Failure {
    let hint = match &error {
        PlanError::NothingThere { .. } => "make it first, or take the rule away",
        PlanError::LeadsOut { .. } => "name the place that it leads to, if that is what you mean",
        PlanError::Directory { .. } => "change into the project, or give `--project DIR`",
        PlanError::NoCgroup { .. } => {
            "start aca in a delegated group: `systemd-run --user --scope -p Delegate=yes aca run …`, or leave the limit out"
        }
    };
    Failure::new(FailureKind::Configuration, error).hint(hint)
}

/// Every path that the plan will ask for.
fn interesting(policy: &Policy, needs: &ProjectNeeds, extras: &Extras) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = vec![needs.root.clone()];
    paths.extend(needs.extra_writable.iter().cloned());
    paths.extend(policy.paths.iter().map(|rule| rule.path.clone()));
    paths.extend(
        extras
            .system
            .iter()
            .chain(&extras.toolchains)
            .map(|shown| shown.path.clone()),
    );
    paths.extend(extras.agent.read.iter().chain(&extras.agent.share).cloned());
    paths.extend(extras.own.iter().chain(&extras.system_hidden).cloned());
    paths.extend(extras.caches.iter().map(|cache| cache.at.clone()));
    paths.extend(above(extras));
    if policy.home == Home::Host {
        paths.extend(extras.home_secrets.iter().cloned());
        paths.extend(extras.agent.private.iter().cloned());
        paths.extend(extras.agent.own.iter().map(|own| own.at.clone()));
    }
    paths
}

/// The directories above those that are made if they are missing: one of them may be a link.
fn above(extras: &Extras) -> BTreeSet<PathBuf> {
    let made = extras.caches.iter().chain(&extras.agent.own);
    made.map(|cache| &cache.store)
        .chain(&extras.agent.share)
        .filter_map(|path| path.parent())
        .flat_map(Path::ancestors)
        .map(Path::to_owned)
        .collect()
}

fn extras(
    args: &RunArgs,
    ambient: &Ambient,
    places: &Places,
    agent: &AgentDefinition,
    policy: &Policy,
) -> Result<Extras, Failure> {
    let wrong = |error: presets::PresetError| Failure::new(FailureKind::Internal, error);
    let home = &ambient.home;
    let toolchains = presets::toolchains().map_err(wrong)?;
    let system = presets::system().map_err(wrong)?;
    let within = |paths: &[presets::HomePath]| -> Vec<PathBuf> {
        paths.iter().map(|path| path.within(home)).collect()
    };
    let caches: Vec<Cache> = toolchains
        .cache_places(home, &ambient.environment)
        .into_iter()
        .map(|cache| Cache {
            at: cache.path,
            store: places.stores().join(cache.store),
        })
        .collect();
    let mut read = within(&agent.state.read);
    read.extend(within(&agent.install.roots));
    Ok(Extras {
        system: system
            .show
            .into_iter()
            .map(|shown| Shown {
                path: shown.path,
                why: shown.why,
            })
            .collect(),
        toolchains: toolchains
            .read_paths(home, &ambient.environment)
            .into_iter()
            .flat_map(|path| around_caches(path, &caches))
            .map(|path| Shown {
                path,
                why: "a tool chain of the user's".into(),
            })
            .collect(),
        caches,
        system_hidden: system.hide.into_iter().map(|hidden| hidden.path).collect(),
        home_secrets: if policy.home == Home::Host {
            presets::home_secrets()?
                .hide
                .iter()
                .flat_map(|row| &row.paths)
                .map(|path| path.within(home))
                // The agent's own state, which gets its place by itself.
                .filter(|path| {
                    let state = [
                        &agent.state.private,
                        &agent.state.share,
                        &agent.state.own,
                        &agent.state.read,
                    ];
                    let state = state.into_iter().flat_map(|paths| within(paths));
                    let merged = agent.state.merge.iter().map(|file| file.path.within(home));
                    !state.chain(merged).any(|own| path.starts_with(own))
                })
                .collect()
        } else {
            Vec::new()
        },
        own: places.own().into(),
        agent: AgentNeeds {
            name: agent.name.clone(),
            why: String::new(),
            share: within(&agent.state.share),
            read,
            files: agent
                .state
                .merge
                .iter()
                .map(|file| (file.path.within(home), kept_at(agent, file, home, places)))
                .chain(within(&agent.state.copy).into_iter().map(|at| (at.clone(), at)))
                .map(|(at, from)| StateCopy {
                    content: small_file(&from),
                    at,
                })
                .collect(),
            private: within(&agent.state.private),
            own: agent
                .state
                .own
                .iter()
                .map(|path| Cache {
                    at: path.within(home),
                    store: path.within(&store_of(agent, places)),
                })
                .collect(),
            own_sandbox: own_sandbox(args, agent, policy),
        },
        argv: argv(args, agent, policy),
    })
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

fn argv(args: &RunArgs, agent: &AgentDefinition, policy: &Policy) -> Vec<OsString> {
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

/// A tool chain's directory; where a cache lies in it, what lies beside the cache, so that the cache has a place to be
/// put at whether or not the host has one.
fn around_caches(path: PathBuf, caches: &[Cache]) -> Vec<PathBuf> {
    if caches.iter().any(|cache| cache.at == path) {
        return Vec::new();
    }
    if !caches.iter().any(|cache| cache.at.starts_with(&path)) {
        return vec![path];
    }
    let Ok(entries) = std::fs::read_dir(&path) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .flat_map(|entry| around_caches(entry, caches))
        .collect()
}

/// A state file's content; nothing when it isn't there, isn't a file or is too large.
fn small_file(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(path).ok()?;
    let small = metadata.is_file() && metadata.len() <= u64::try_from(agents::MAX_STATE_BYTES).unwrap_or(0);
    small.then(|| std::fs::read(path).ok()).flatten()
}

fn state_files(agent: &AgentDefinition, facts: &Facts, extras: &Extras, places: &Places) -> Vec<StateFile> {
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
