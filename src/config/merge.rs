//! Layers become the policy. Pure.

use super::{
    ConfigError, FileLayer, Settings,
    error::Problem,
    excerpt::Source,
    layer::Located,
    path::{Start, WrittenPath},
    value::EnvironmentEntry,
};
use crate::{
    agents::AgentDefinition,
    policy::{
        Access, Capture, CommandRule, EnvironmentPolicy, Home, HostPattern, HostRule, Limits, NetworkPolicy,
        NetworkPreset, Origin, OwnSandbox, PathRule, Place, Policy, ResolveOverride,
    },
    presets,
};
use std::path::{Path, PathBuf};

/// What paths that aren't absolute start from.
#[derive(Debug, Clone, Copy)]
pub struct Bases<'a> {
    /// The home: `~`.
    pub home: &'a Path,
    /// The project: relative paths in files.
    pub project: &'a Path,
    /// The current directory: relative paths in flags.
    pub current: &'a Path,
}

/// Merges the layers: built in (with the agent's own file) < the user's file < its section for the agent < flags. Of
/// single values and of rules on the same path the later layer's counts; host rules add up, and a deny wins over
/// every allow.
///
/// # Errors
/// A path that can't be enforced as written, or flags that contradict the rest.
pub fn merge(
    agent: &AgentDefinition,
    file: Option<&FileLayer>,
    flags: &Settings,
    bases: Bases<'_>,
) -> Result<Policy, ConfigError> {
    let mut layers: Vec<Layer<'_>> = Vec::new();
    if let Some(file) = file {
        let own = [Some(&file.settings), file.agents.get(&agent.name)];
        layers.extend(own.into_iter().flatten().map(|settings| Layer {
            settings,
            source: Some(&file.source),
        }));
    }
    layers.push(Layer {
        settings: flags,
        source: None,
    });
    let own_sandbox = own_sandbox(agent, &layers)?;
    Ok(Policy {
        home: last(&layers, |settings| settings.home.as_ref()).map_or(Home::Private, |home| home.value),
        paths: paths(&layers, bases)?,
        commands: commands(&layers),
        network: network(agent, &layers)?,
        environment: environment(agent, own_sandbox, &layers, bases.home)?,
        grants: {
            let mut grants: Vec<_> = layers
                .iter()
                .flat_map(|layer| &layer.settings.grants)
                .map(|grant| grant.value)
                .collect();
            grants.sort_unstable();
            grants.dedup();
            grants
        },
        limits: layers.iter().fold(Limits::default(), |below, layer| {
            limits(&below, &layer.settings.limits)
        }),
        own_sandbox,
    })
}

/// What is done with the agent's own sandbox; to switch off what isn't there is no fault.
fn own_sandbox(agent: &AgentDefinition, layers: &[Layer<'_>]) -> Result<Option<OwnSandbox>, ConfigError> {
    let Some(own) = &agent.own_sandbox else {
        for layer in layers {
            if let Some(asked) = &layer.settings.own_sandbox
                && asked.value == OwnSandbox::Keep
            {
                return Err(layer.fault(&asked.origin, Problem::NoOwnSandbox(agent.name.clone())));
            }
        }
        return Ok(None);
    };
    let asked = last(layers, |settings| settings.own_sandbox.as_ref());
    Ok(Some(asked.map_or(own.default, |asked| asked.value)))
}

struct Layer<'a> {
    settings: &'a Settings,
    /// The file; `None` for flags.
    source: Option<&'a Source>,
}

impl Layer<'_> {
    fn start(&self) -> Start {
        if self.source.is_some() {
            Start::Project
        } else {
            Start::Current
        }
    }

    fn fault(&self, origin: &Origin, problem: Problem) -> ConfigError {
        match self.source.and_then(|source| source.excerpt_at(origin)) {
            Some(excerpt) => ConfigError::InFile {
                problem,
                excerpt: Box::new(excerpt),
            },
            None => ConfigError::InFlag {
                origin: origin.clone(),
                problem,
            },
        }
    }
}

fn last<'a, T>(
    layers: &[Layer<'a>],
    pick: impl Fn(&'a Settings) -> Option<&'a Located<T>>,
) -> Option<&'a Located<T>> {
    layers.iter().rev().find_map(|layer| pick(layer.settings))
}

fn limits(below: &Limits, above: &Limits) -> Limits {
    Limits {
        memory_bytes: above.memory_bytes.or(below.memory_bytes),
        processes: above.processes.or(below.processes),
        file_bytes: above.file_bytes.or(below.file_bytes),
        open_files: above.open_files.or(below.open_files),
        cpu_percent: above.cpu_percent.or(below.cpu_percent),
    }
}

fn paths(layers: &[Layer<'_>], bases: Bases<'_>) -> Result<Vec<PathRule>, ConfigError> {
    let mut rules: Vec<PathRule> = Vec::new();
    for layer in layers {
        let settings = layer.settings;
        let lists = [
            (Access::Read, &settings.read),
            (Access::Write, &settings.write),
            (Access::Hide, &settings.hide),
        ];
        let mut own = Vec::new();
        for (access, list) in lists {
            for written in list {
                let path = enforceable(access, &written.value, layer.start(), bases)
                    .map_err(|problem| layer.fault(&written.origin, problem))?;
                own.push(PathRule {
                    path,
                    access,
                    origin: written.origin.clone(),
                    place: Place::Rule,
                });
            }
        }
        // What this layer says of a path replaces what those below said of it; within one layer the stricter wins later.
        rules.retain(|rule| !own.iter().any(|newer| newer.path == rule.path));
        rules.append(&mut own);
    }
    Ok(rules)
}

/// They only deny, so they add up.
fn commands(layers: &[Layer<'_>]) -> Vec<CommandRule> {
    layers
        .iter()
        .flat_map(|layer| &layer.settings.deny_commands)
        .map(|written| CommandRule {
            pattern: written.value.clone(),
            origin: written.origin.clone(),
        })
        .collect()
}

fn enforceable(
    access: Access,
    written: &WrittenPath,
    start: Start,
    bases: Bases<'_>,
) -> Result<PathBuf, Problem> {
    let path = written.resolve(bases, start);
    if written.is_glob() {
        if access == Access::Write {
            return Err(Problem::GlobWrite(written.to_string()));
        }
        if !path.starts_with(bases.project) {
            return Err(Problem::GlobOutside(path));
        }
    }
    if access == Access::Write && bases.home.starts_with(&path) {
        return Err(Problem::WriteTooWide(path));
    }
    Ok(path)
}

fn network(agent: &AgentDefinition, layers: &[Layer<'_>]) -> Result<NetworkPolicy, ConfigError> {
    let chosen = last(layers, |settings| settings.preset.as_ref());
    let preset = chosen.map_or(NetworkPreset::Dev, |preset| preset.value);
    if let (NetworkPreset::None, Some(chosen)) = (preset, chosen) {
        for layer in layers.iter().filter(|layer| layer.source.is_none()) {
            let hosts = layer.settings.allow.iter().map(|host| &host.origin);
            let useless = hosts
                .chain(layer.settings.resolve.iter().map(|fixed| &fixed.origin))
                .next();
            if let Some(origin) = useless {
                return Err(layer.fault(origin, Problem::NetworkOff(chosen.origin.clone())));
            }
        }
    }
    let mut rules = built_in_hosts(agent, preset)?;
    for layer in layers {
        rules.extend(
            layer
                .settings
                .allow
                .iter()
                .map(|host| rule(host.value.clone(), true, false, host.origin.clone())),
        );
        rules.extend(
            layer
                .settings
                .deny
                .iter()
                .map(|host| rule(host.value.clone(), false, false, host.origin.clone())),
        );
    }
    // Telemetry is denied without noise, until the user allows it: a deny would win over that allow.
    for pattern in agent
        .network
        .quiet_deny
        .iter()
        .filter(|_| preset != NetworkPreset::Open)
    {
        let wanted = layers
            .iter()
            .flat_map(|layer| &layer.settings.allow)
            .any(|allow| allow.value.covers_hosts(pattern));
        if !wanted {
            rules.push(rule(pattern.clone(), false, true, agent_file(agent)));
        }
    }
    let mut resolve: Vec<ResolveOverride> = Vec::new();
    for fixed in layers.iter().flat_map(|layer| &layer.settings.resolve) {
        let (value, origin) = (&fixed.value, fixed.origin.clone());
        resolve.retain(|below| below.name != value.name);
        resolve.push(ResolveOverride {
            name: value.name.clone(),
            address: value.address,
            port: value.port,
            origin,
        });
    }
    let capture =
        last(layers, |settings| settings.capture.as_ref()).map_or(Capture::Auto, |capture| capture.value);
    Ok(NetworkPolicy {
        preset,
        rules,
        resolve,
        capture,
    })
}

/// What the preset allows: each holds those before it.
fn built_in_hosts(agent: &AgentDefinition, preset: NetworkPreset) -> Result<Vec<HostRule>, ConfigError> {
    let mut rules = Vec::new();
    if matches!(preset, NetworkPreset::None | NetworkPreset::Listed) {
        return Ok(rules);
    }
    rules.extend(
        agent
            .network
            .hosts
            .iter()
            .map(|host| rule(host.clone(), true, false, agent_file(agent))),
    );
    if preset == NetworkPreset::Agent {
        return Ok(rules);
    }
    for group in presets::network()?.group {
        if group.preset == NetworkPreset::Dev || group.preset == preset {
            let origin = Origin::BuiltIn(presets::NETWORK_FILE.into());
            rules.extend(
                group
                    .patterns
                    .into_iter()
                    .map(|host| rule(host, true, false, origin.clone())),
            );
        }
    }
    Ok(rules)
}

const fn rule(pattern: HostPattern, allow: bool, quiet: bool, origin: Origin) -> HostRule {
    HostRule {
        pattern,
        allow,
        quiet,
        origin,
    }
}

fn agent_file(agent: &AgentDefinition) -> Origin {
    Origin::BuiltIn(format!("agents/{}.toml", agent.name))
}

fn environment(
    agent: &AgentDefinition,
    own_sandbox: Option<OwnSandbox>,
    layers: &[Layer<'_>],
    home: &Path,
) -> Result<EnvironmentPolicy, ConfigError> {
    let built_in = presets::environment()?;
    let names = |groups: Vec<presets::VariableGroup>| {
        groups
            .into_iter()
            .flat_map(|group| group.names)
            .collect::<Vec<_>>()
    };
    let mut policy = EnvironmentPolicy {
        keep: names(built_in.keep),
        set: Vec::new(),
        never: names(built_in.never),
    };
    policy.keep.extend(agent.environment.keep.iter().cloned());
    let off = agent
        .own_sandbox
        .iter()
        .filter(|_| own_sandbox == Some(OwnSandbox::Off))
        .flat_map(|own| &own.off.environment);
    policy.set.extend(
        agent
            .environment
            .set
            .iter()
            .chain(off)
            .filter_map(|(name, value)| {
                let value = match value.strip_prefix("~/") {
                    // A policy holds text: in a home that is none the agent does without.
                    Some(below) => home.join(below).into_os_string().into_string().ok()?,
                    None => value.clone(),
                };
                Some((name.clone(), value))
            }),
    );
    for entry in layers.iter().flat_map(|layer| &layer.settings.environment) {
        // The later word on a variable counts, whether it keeps or sets.
        policy.set.retain(|(name, _)| name != entry.value.name());
        match &entry.value {
            EnvironmentEntry::Keep(name) => policy.keep.push(name.clone()),
            EnvironmentEntry::Set { name, value } => policy.set.push((name.clone(), value.clone())),
        }
    }
    Ok(policy)
}
