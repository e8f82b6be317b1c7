//! What will be done: pure data, made from policy and facts, printed, hashed, compared, and executed by the stage.

mod certificates;
mod effective;
mod environment;
mod guarantee;
mod home;
mod input;
pub mod linux;
mod names;
mod own;
mod project;
mod show;
mod system;
mod view;

pub use crate::facts::{Identity, Kind};
pub use crate::policy::Guarantee;
pub use certificates::{Form, looks_into_tls};
pub use effective::Seen;
pub use guarantee::{Degraded, Mechanism};
pub use input::{
    AgentNeeds, Cache, Extras, Kept, OpenedIn, OwnSandboxPlan, PrivateGit, ProjectNeeds, Shown, StateCopy,
};
pub use show::Shown as ShownPlan;
pub use view::{Closed, Entry, View};

use crate::facts::{Cgroup, Facts};
use crate::policy::{
    Capture, Grant, HostPortRule, Limits, NetworkPolicy, NetworkPreset, NewNames, Origin, OwnSandbox, Place,
    Policy, PublishRule, Requirement,
};
use environment::{GitSsh, Proxies};
use linux::Resource;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// All that will be done for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The agent's name.
    pub agent: String,
    /// Why it is that one, in words.
    pub agent_why: String,
    /// What becomes of the sandbox that the agent brings itself.
    pub own_sandbox: Option<OwnSandboxPlan>,
    /// The project's root.
    #[serde(with = "crate::policy::path_text")]
    pub project: PathBuf,
    /// The home directory inside.
    #[serde(with = "crate::policy::path_text")]
    pub home: PathBuf,
    /// The program.
    pub program: linux::Program,
    /// Names of variables that stay outside.
    pub dropped_variables: Vec<String>,
    /// The file system.
    pub view: View,
    /// Directories of aca's own that are made before the start, so that nothing can be put in their place.
    #[serde(with = "crate::policy::path_text::list")]
    pub made: Vec<PathBuf>,
    /// What the walk of the project left out: nothing in there is masked or protected.
    #[serde(with = "crate::policy::path_text::list")]
    pub not_walked: Vec<PathBuf>,
    /// The network.
    pub network: NetworkPlan,
    /// Resource limits for the program.
    pub limits: Vec<(Resource, u64)>,
    /// Control group limits.
    pub cgroup: Option<CgroupPlan>,
    /// Facilities granted by name.
    pub grants: Vec<Grant>,
    /// What of the program's system calls is reported.
    pub observe: linux::Observation,
    /// Names that can't be made; `None` where any can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NewNames>,
    /// What enforces each guarantee.
    pub enforced: Vec<(Guarantee, Vec<Mechanism>)>,
    /// What this machine, or a grant, takes away.
    pub degraded: Vec<Degraded>,
}

/// The network inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Which preset.
    pub preset: NetworkPreset,
    /// How connections are captured.
    pub capture: Capture,
    /// Ports that need a listener of their own without redirect.
    pub ports: Vec<u16>,
    /// The rules, as text with their place.
    pub rules: Vec<String>,
    /// Services of the host's that are reached on the loopback inside, and where that was written.
    pub host_ports: Vec<HostPortRule>,
    /// Servers inside that the host reaches, and where that was written.
    pub publish: Vec<PublishRule>,
    /// Those on repositories behind ssh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
}

/// A control group of the run's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlan {
    /// The group that it is made in.
    #[serde(with = "crate::policy::path_text")]
    pub parent: PathBuf,
    /// File and value each, such as `memory.max`.
    pub settings: Vec<(String, String)>,
}

/// Why what is wanted can't be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A rule names a path that isn't there.
    #[error("{origin}: nothing is at {path}, so it can't be granted")]
    NothingThere {
        /// The path.
        path: PathBuf,
        /// The rule.
        origin: Origin,
    },
    /// A rule names a link that leads out of what is writable inside.
    #[error(
        "{origin}: {path} leads to {real}, out of the directory that it lies in: anything that ran in there could have made that link"
    )]
    LeadsOut {
        /// The path.
        path: PathBuf,
        /// What it leads to.
        real: PathBuf,
        /// The rule.
        origin: Origin,
    },
    /// Names are opened where none are held.
    #[error("{origin}: {path} is neither in the project nor in a directory that a rule makes writable")]
    NamesElsewhere {
        /// The directory.
        path: PathBuf,
        /// The rule.
        origin: Origin,
    },
    /// Names are opened in what a link leads to that could be another one by now.
    #[error("{origin}: {path} leads to {real}, by a link that anything that ran in there could have made")]
    NamesLink {
        /// The directory, as written.
        path: PathBuf,
        /// What it leads to.
        real: PathBuf,
        /// The rule.
        origin: Origin,
    },
    /// The working directory would not be visible.
    #[error("the current directory {directory} is not part of the project {project}")]
    Directory {
        /// Where the caller is.
        directory: PathBuf,
        /// The project.
        project: PathBuf,
    },
    /// One of aca's own directories is reached over a link that could be replaced from inside.
    #[error("aca's own files are reached over the link {}, which could be changed from inside", link.display())]
    OwnLink {
        /// The link.
        link: PathBuf,
    },
    /// A rule, or the project, shows a part of aca's own files.
    #[error("{} belongs to aca itself, which is never seen inside", path.display())]
    OwnShown {
        /// Where it would be seen.
        path: PathBuf,
    },
    /// A guarantee that must be whole isn't, here.
    #[error(
        "{} must be whole ({}), and here it would lack {}: {}",
        required.guarantee.word(),
        required.origin,
        lost.lost,
        lost.because
    )]
    Required {
        /// Which, and who says so.
        required: Requirement,
        /// What is lost.
        lost: Degraded,
    },
    /// A limit was asked for that needs a control group, and none is delegated.
    #[error("a limit on {what} needs a delegated control group, and there is none")]
    NoCgroup {
        /// What was to be limited.
        what: &'static str,
    },
}

/// Makes the plan.
///
/// # Errors
/// When something that the policy wants can't be had as it asks.
pub fn plan(
    policy: &Policy,
    facts: &Facts,
    needs: &ProjectNeeds,
    extras: &Extras,
) -> Result<Plan, PlanError> {
    let mut policy = policy.clone();
    let asked = policy.grants.contains(&Grant::NestedUserns);
    let nested_for = extras
        .agent
        .own_sandbox
        .as_ref()
        .filter(|own| own.choice == OwnSandbox::Keep && !asked)
        .map(|_| extras.agent.name.as_str());
    if nested_for.is_some() {
        policy.grants.push(Grant::NestedUserns);
    }
    let mut entries = Vec::new();
    system::add(facts, extras, &policy.grants, &mut entries);
    home::add(policy.home, facts, extras, needs, &mut entries)?;
    project::add(&policy, facts, needs, &mut entries)?;
    let looks_into_tls = certificates::looks_into_tls(&policy);
    if looks_into_tls {
        certificates::add(&mut entries);
    }
    let made = own::add(facts, extras, &mut entries)?;
    let git_ssh = git_ssh(&policy, extras, &mut entries);
    let directory = directory(facts, needs, &entries)?;
    let (environment, dropped_variables) = environment::environment(
        &policy.environment,
        facts,
        &directory,
        proxies(&policy.network),
        looks_into_tls,
        git_ssh,
    );
    let network = NetworkPlan {
        preset: policy.network.preset,
        capture: policy.network.capture,
        ports: policy
            .network
            .rules
            .iter()
            .filter_map(|rule| rule.pattern.listed_port())
            .collect(),
        rules: policy
            .network
            .rules
            .iter()
            .map(|rule| {
                format!(
                    "{} {}{} ({})",
                    if rule.allow { "allow" } else { "deny" },
                    rule.pattern,
                    rule.options,
                    rule.origin
                )
            })
            .collect(),
        host_ports: if_on(&policy, &policy.network.host_ports),
        publish: if_on(&policy, &policy.network.publish),
        repositories: policy
            .git
            .rules
            .iter()
            .map(|rule| {
                let word = if rule.fetch { "git fetch" } else { "no git fetch" };
                format!("{word} {} ({})", rule.repository, rule.origin)
            })
            .collect(),
    };
    let view = View { entries };
    let names = names::new_names(&policy, facts, needs, &view)?;
    let (enforced, mut degraded) = guarantee::guarantees(&policy, facts, &network, nested_for);
    for required in &policy.required {
        if let Some(lost) = degraded
            .iter()
            .find(|degraded| degraded.guarantee == required.guarantee)
        {
            return Err(PlanError::Required {
                required: required.clone(),
                lost: lost.clone(),
            });
        }
    }
    if let Some((because, remedy)) = &needs.no_private_git {
        degraded.push(Degraded {
            guarantee: Guarantee::LaterRunProtected,
            lost: "the private git directory: the host's own is worked on".into(),
            because: because.clone(),
            remedy: remedy.clone(),
        });
    }
    Ok(Plan {
        agent: extras.agent.name.clone(),
        agent_why: extras.agent.why.clone(),
        own_sandbox: extras.agent.own_sandbox.clone(),
        project: needs.root.clone(),
        home: facts.ambient.home.clone(),
        program: linux::Program {
            argv: extras.argv.iter().map(|word| word.clone().into_vec()).collect(),
            environment,
            directory,
        },
        dropped_variables,
        view,
        made,
        not_walked: needs.skipped.clone(),
        network,
        limits: limits(&policy),
        cgroup: cgroup(&policy, facts.machine.cgroup.as_ref())?,
        grants: policy.grants.clone(),
        observe: if names.is_some() {
            linux::Observation::Names
        } else {
            linux::Observation::Starts
        },
        names,
        enforced,
        degraded,
    })
}

/// What git inside starts for ssh, where the policy lets it reach anything that way; tells whether it is there.
fn git_ssh(policy: &Policy, extras: &Extras, entries: &mut Vec<Entry>) -> GitSsh {
    let on = policy.git.is_on() && policy.network.preset != NetworkPreset::None;
    match extras.program.as_ref().filter(|_| on) {
        Some(program) => {
            entries.push(Entry::Show {
                source: program.clone(),
                at: linux::SSH_PROGRAM.into(),
                kind: Kind::File,
                why: "aca itself, which git starts for ssh".into(),
                place: Place::Made,
                origin: Origin::BuiltIn("git".into()),
            });
            GitSsh::Told
        }
        None => GitSsh::Off,
    }
}

/// The proxies that programs are told of. Where connections are captured none needs one, so they are told when it was
/// asked for. A capture that takes connections to the proxies alone, as a backend without a network namespace of its own
/// would have, gives their addresses here whatever was asked: programs reach the same gate, and nothing else.
fn proxies(network: &NetworkPolicy) -> Option<Proxies> {
    let (address, _) = linux::OWN_ADDRESSES;
    let [http, _socks] = linux::PROXY_PORTS.map(|port| SocketAddr::from((address, port)));
    let told = match network.capture {
        Capture::Auto | Capture::Redirect | Capture::Ports => network.proxy_env,
    };
    (told && network.preset != NetworkPreset::None).then_some(Proxies { http })
}

/// Ports lead nowhere where the network is off.
fn if_on<T: Clone>(policy: &Policy, ports: &[T]) -> Vec<T> {
    match policy.network.preset {
        NetworkPreset::None => Vec::new(),
        NetworkPreset::Listed | NetworkPreset::Agent | NetworkPreset::Dev | NetworkPreset::Open => {
            ports.to_vec()
        }
    }
}

/// The caller's directory when it is in the project, else the project's root.
fn directory(facts: &Facts, needs: &ProjectNeeds, entries: &[Entry]) -> Result<PathBuf, PlanError> {
    let directory = &facts.ambient.directory;
    if directory.starts_with(&needs.root) || is_shown(entries, directory) {
        return Ok(directory.clone());
    }
    Err(PlanError::Directory {
        directory: directory.clone(),
        project: needs.root.clone(),
    })
}

/// Whether a path of the host is part of the view, as itself.
fn is_shown(entries: &[Entry], path: &Path) -> bool {
    let mut shown = false;
    for entry in entries {
        match entry {
            Entry::Show { source, at, .. } | Entry::Grant { source, at, .. } if path.starts_with(at) => {
                shown = source == at;
            }
            Entry::Scratch { at, .. } | Entry::Mask { at, .. } if path.starts_with(at) => shown = false,
            Entry::Show { .. }
            | Entry::Grant { .. }
            | Entry::Scratch { .. }
            | Entry::Mask { .. }
            | Entry::Directory { .. }
            | Entry::Link { .. }
            | Entry::File { .. }
            | Entry::Protect { .. }
            | Entry::Pin { .. }
            | Entry::Seal { .. }
            | Entry::Cover { .. }
            | Entry::Proc { .. }
            | Entry::Sys
            | Entry::Devices { .. }
            | Entry::Terminal { .. } => {}
        }
    }
    shown
}

fn limits(policy: &Policy) -> Vec<(Resource, u64)> {
    let limits = &policy.limits;
    let mut all = vec![(Resource::Processes, limits.processes.unwrap_or(Limits::PROCESSES))];
    all.extend(limits.open_files.map(|value| (Resource::OpenFiles, value)));
    all.extend(limits.file_bytes.map(|value| (Resource::FileSize, value)));
    all
}

fn cgroup(policy: &Policy, delegated: Option<&Cgroup>) -> Result<Option<CgroupPlan>, PlanError> {
    let limits = &policy.limits;
    let period_us = 100_000_u64;
    let wanted = [
        (
            "memory",
            "memory",
            "memory.max",
            limits.memory_bytes.map(|bytes| bytes.to_string()),
            true,
        ),
        (
            "the processor",
            "cpu",
            "cpu.max",
            limits
                .cpu_percent
                .map(|p| format!("{} {period_us}", u64::from(p) * period_us / 100)),
            true,
        ),
        (
            "processes",
            "pids",
            "pids.max",
            Some(limits.processes.unwrap_or(Limits::PROCESSES).to_string()),
            false,
        ),
    ];
    let mut settings = Vec::new();
    for (what, controller, file, value, must) in wanted {
        let Some(value) = value else { continue };
        let has = delegated.is_some_and(|group| group.controllers.iter().any(|own| own == controller));
        if has {
            settings.push((file.to_owned(), value));
        } else if must {
            return Err(PlanError::NoCgroup { what });
        }
    }
    Ok(delegated
        .filter(|_| !settings.is_empty())
        .map(|group| CgroupPlan {
            parent: group.directory.clone(),
            settings,
        }))
}
