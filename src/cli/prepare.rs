//! From arguments to a plan: what `aca run` and `aca plan` have in common.

use super::import::with_surroundings;
use super::project::{Looked, look, project_failure};
use super::{RunArgs, agent_needs};
use crate::agents::{self, AgentDefinition};
use crate::config::trust::Standing;
use crate::config::{self, Bases, Forbidden, Layers, Lock, Merged, Places, Said};
use crate::control::protocol::Refused;
use crate::facts::{self, Ambient, GitIdentity, Project};
use crate::failure::{Failure, FailureKind};
use crate::isolated::{HostGit, Layout};
use crate::plan::{Cache, Extras, Kept, Plan, PlanError, ProjectNeeds, Shown};
use crate::policy::{
    Action, GitRule, Home, NetworkPreset, Origin, Place, Policy, PushRule, Repository, Verdict, WrittenGrant,
};
use crate::presets;
use crate::proxy::Locked;
use crate::supervise::Event;
use crate::supervise::ports::PortsLocked;
use crate::supervise::state::StateFile;
use crate::ui::sanitize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Everything that a run is made of.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) policy: Policy,
    /// Why ports may not be opened while it runs.
    pub(super) ports_locked: PortsLocked,
    pub(super) ambient: Ambient,
    /// What keeps hosts from being allowed while it runs.
    pub(super) locked: Option<Locked>,
    pub(super) places: Places,
    pub(super) state: Vec<StateFile>,
    pub(super) looked: Looked,
    /// The repository that a private git directory stands for, and git outside.
    pub(super) isolated: Option<(Layout, HostGit)>,
    /// Secrets of the real home, where it is shown; not all of them are there.
    pub(super) hidden: Vec<PathBuf>,
    /// What the project's file says and what doesn't count.
    pub(super) waiting: Option<Waiting>,
}

/// What is known before the project is looked at.
pub(super) struct Beginning {
    ambient: Ambient,
    places: Places,
    agent: AgentDefinition,
    why: String,
    layers: Layers,
}

/// What the project's file says and what doesn't count.
pub(super) struct Waiting {
    /// The file.
    pub(super) path: PathBuf,
    /// What it says.
    pub(super) said: Vec<Said>,
    /// Whether the user trusted another content of it.
    pub(super) changed: bool,
}

/// Reads the surroundings, the agent's file and the configuration: all that can be wrong cheaply.
pub(super) fn begin(args: &RunArgs) -> Result<Beginning, Failure> {
    let ambient = Ambient::read().map_err(|error| {
        Failure::new(FailureKind::Machine, error)
            .hint("go to a directory that exists, and see that HOME is one")
    })?;
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    let (agent, why) = agent_needs::chosen(args)?;
    let layers = Layers {
        administrator: config::load_administrators()?,
        user: match args.flags.srt_settings {
            // They stand in its place, once the project is known.
            Some(_) => None,
            None => config::load(&places, args.flags.config.as_deref())?,
        },
        project: None,
        flags: args.flags.settings(),
    };
    Ok(Beginning {
        ambient,
        places,
        agent,
        why,
        layers,
    })
}

/// What is wanted, and where.
pub(super) struct Policed {
    ambient: Ambient,
    places: Places,
    pub(super) agent: AgentDefinition,
    why: String,
    pub(super) project: Project,
    pub(super) layers: Layers,
    pub(super) merged: Merged,
    pub(super) waiting: Option<Waiting>,
}

/// Finds the project, reads its file, and merges all that is said.
pub(super) fn police(args: &RunArgs, beginning: Beginning) -> Result<Policed, Failure> {
    let Beginning {
        ambient,
        places,
        agent,
        why,
        mut layers,
    } = beginning;
    let start = args
        .flags
        .project
        .as_ref()
        .map_or_else(|| ambient.directory.clone(), |path| ambient.directory.join(path));
    let project = Project::find(&start, &ambient.home).map_err(project_failure)?;
    if let Some(path) = &args.flags.srt_settings {
        let place = (project.root.as_path(), project.extra_writable.as_slice());
        layers.user = Some(with_surroundings(&ambient, place, |surroundings| {
            config::import::run_under_srt(ambient.directory.join(path), surroundings)
        })?);
    }
    let file = config::load_projects(&places, &project.root)?;
    let standing = file.as_ref().map(|file| file.standing);
    layers.project = file.map(|file| file.layer);
    let bases = Bases {
        home: &ambient.home,
        project: &project.root,
        current: &ambient.directory,
    };
    let mut merged = config::merge(&agent, &layers, bases)?;
    add_remotes(&project, &ambient, &agent, &mut merged);
    let said = std::mem::take(&mut merged.waiting);
    let waiting = (!said.is_empty()).then(|| Waiting {
        path: project.root.join(config::PROJECT_FILE),
        said,
        changed: standing == Some(Standing::Changed),
    });
    Ok(Policed {
        ambient,
        places,
        agent,
        why,
        project,
        layers,
        merged,
        waiting,
    })
}

/// The project's own remotes may be fetched without a word of the user's, where git hosts may be reached at all, and the
/// agent's own branches pushed there. That is nobody's choice: it goes no further than an administrator's lock.
fn add_remotes(project: &Project, ambient: &Ambient, agent: &AgentDefinition, merged: &mut Merged) {
    let wide = merged.policy.network.preset >= NetworkPreset::Dev && merged.allow_locked.is_none();
    let layout = project.git.as_ref();
    if wide || !merged.policy.git.pushes.is_empty() {
        let chosen = GitIdentity::read(&ambient.home).and_then(|identity| identity.default_branch);
        let remotes = layout.map(facts::default_branches).unwrap_or_default();
        merged.policy.git.default_branches = remotes.into_iter().chain(chosen).collect();
    }
    let Some(layout) = layout.filter(|_| wide) else {
        return;
    };
    let name = (agent.name != agents::GENERIC).then_some(agent.name.as_str());
    let grant = WrittenGrant::default().filled(name);
    let own = facts::remote_urls(layout);
    let rewritten = facts::rewritten_urls(&own, &ambient.home);
    for url in own.into_iter().chain(rewritten) {
        // One of this machine, or of another protocol, isn't reached that way.
        let Ok(repository) = url.parse::<Repository>() else {
            continue;
        };
        let origin = Origin::BuiltIn("the project's own remotes".into());
        merged.policy.git.pushes.push(PushRule {
            repository: repository.clone(),
            grant: Some(grant.clone()),
            origin: origin.clone(),
        });
        merged.policy.git.rules.push(GitRule {
            repository,
            fetch: true,
            origin,
        });
    }
}

/// Looks at the project and the machine, and makes the plan.
pub(super) fn prepare(args: &RunArgs, beginning: Beginning) -> Result<Prepared, Failure> {
    let Policed {
        ambient,
        places,
        agent,
        why,
        project,
        layers,
        merged,
        waiting,
    } = police(args, beginning)?;
    let ports_locked = PortsLocked {
        host_ports: merged
            .allow_locked
            .as_ref()
            .map(|by| ports_refused("services of the host's", Lock::Allow, by)),
        publish: merged
            .publish_locked
            .as_ref()
            .map(|by| ports_refused("servers inside", Lock::Publish, by)),
    };
    let locked = merged.allow_locked.map(|forbidden| Locked {
        hint: forbidden.hint(),
        origin: forbidden.origin,
    });
    let policy = merged.policy;
    let looked = look(project, &policy, &places)?;
    let mut needs = looked.needs(&ambient.home);
    let isolated = super::isolated::settle(&looked.project, &policy, &ambient, &places, &mut needs);
    let links = match (&args.flags.config, &args.flags.srt_settings) {
        (Some(named), _) | (None, Some(named)) => keep(&ambient.directory.join(named), &places, &mut needs),
        // What is kept elsewhere, in a repository of settings, say.
        (None, None) if layers.user.is_some() && std::fs::read_link(places.config_file()).is_ok() => {
            keep(&places.config_file(), &places, &mut needs)
        }
        (None, None) => Vec::new(),
    };
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
    let mut facts = facts::probe(ambient, question);
    for own in &extras.own {
        match facts.paths.get(own) {
            // No link leads there.
            Some(fact) if fact.real == *own => continue,
            Some(_) => {}
            None => {
                // Where it would be.
                for above in own.ancestors().skip(1) {
                    facts.paths.add(above.to_owned());
                }
            }
        }
        extras.own_links.extend(facts::links_on_the_way(own));
    }
    extras.own_links.extend(links);
    let state = agent_needs::state_files(&agent, &facts, &extras, &places);
    let plan = crate::plan::plan(&policy, &facts, &needs, &extras).map_err(plan_failure)?;
    Ok(Prepared {
        hidden: extras.home_secrets,
        plan,
        policy,
        ports_locked,
        ambient: facts.ambient,
        locked,
        places,
        state,
        looked,
        isolated,
        waiting,
    })
}

/// Why ports that an administrator locked aren't opened.
fn ports_refused(what: &str, key: Lock, by: &Forbidden) -> Refused {
    let message = format!(
        "{what} can't be opened: `{}` is locked ({})",
        key.word(),
        by.origin
    );
    Refused::new(message, by.hint())
}

/// Rules on commands are about the command that a run starts: what that starts in turn is bound by the sandbox.
pub(super) fn permitted(policy: &Policy, argv: &[OsString]) -> Result<(), Failure> {
    let argv = argv.to_vec();
    match policy.decide(&Action::Execute { argv }) {
        Verdict::Allow(_) => Ok(()),
        Verdict::Deny(deny) => {
            let rule = deny.rule.unwrap_or_default();
            let message = format!("nothing was started: {} (`{rule}`, {})", deny.reason, deny.origin);
            Err(Failure::new(FailureKind::Configuration, message)
                .hint("take the rule away, if it is meant to run"))
        }
    }
}

/// A file that decides over runs isn't for those to change: where it lies in what they write it stays as it is. Gives the
/// links that lead to it; those in aca's own directories can't be seen.
fn keep(file: &Path, places: &Places, needs: &mut ProjectNeeds) -> Vec<PathBuf> {
    let Ok(real) = facts::real(file) else {
        return Vec::new();
    };
    let mut roots = std::iter::once(&needs.root)
        .chain(&needs.extra_writable)
        .chain(&needs.granted);
    if roots.any(|root| real.starts_with(root)) {
        let why = "you start aca, whose configuration it is".to_owned();
        needs.protect.push(Kept {
            path: real,
            kind: facts::Kind::File,
            why,
            place: Place::Protected("when you start aca".into()),
            origin: Origin::BuiltIn("aca's own files".into()),
        });
    }
    let own: Vec<PathBuf> = places
        .own()
        .iter()
        .filter_map(|own| facts::real(own).ok())
        .collect();
    let mut links = facts::links_on_the_way(file);
    links.retain(|link| !own.iter().any(|own| link.starts_with(own)));
    links
}

impl Waiting {
    /// The line before the start.
    pub(super) fn line(&self) -> String {
        let count = match self.said.len() {
            1 => "1 setting of it waits".to_owned(),
            count => format!("{count} settings of it wait"),
        };
        let why = if self.changed {
            "changed since it was trusted"
        } else {
            "is not trusted"
        };
        let path = sanitize::line_within(&self.path.to_string_lossy(), 200);
        format!("aca: {path} {why}: {count}; see `aca trust`\n")
    }

    /// The same for the log.
    pub(super) fn event(&self) -> Event {
        Event::SettingsWait {
            path: self.path.clone(),
            settings: self
                .said
                .iter()
                .take(SETTINGS_TOLD)
                .map(|said| sanitize::line_within(&said.to_string(), 200))
                .collect(),
            count: u64::try_from(self.said.len()).unwrap_or(u64::MAX),
            changed: self.changed,
        }
    }
}

/// Most settings that the log names.
const SETTINGS_TOLD: usize = 100;

fn plan_failure(error: PlanError) -> Failure {
    let hint = match &error {
        PlanError::NothingThere { .. } => "make it first, or take the rule away",
        PlanError::NamesElsewhere { .. } => {
            "names are made freely where the project isn't, such as in `/tmp`; name a directory in it"
        }
        PlanError::NamesLink { .. } => "name the place that it leads to, if that is what you mean",
        PlanError::LeadsOut { .. } => "name the place that it leads to, if that is what you mean",
        PlanError::OwnLink { .. } => {
            "keep aca's configuration and state out of what can be written inside: see XDG_CONFIG_HOME, XDG_STATE_HOME and XDG_DATA_HOME"
        }
        PlanError::OwnShown { .. } => "take the rule away, or change to another project",
        PlanError::Required { lost, required } => {
            let (remedy, asked) = (
                lost.remedy.clone(),
                format!("or ask whoever wrote {}", required.origin),
            );
            return Failure::new(FailureKind::Configuration, error)
                .hint(remedy)
                .hint(asked);
        }
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
    let files = extras.agent.files.iter().filter(|copy| copy.content.is_some());
    paths.extend(files.map(|copy| copy.from.clone()));
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
        .chain(&extras.own)
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
    let caches: Vec<Cache> = toolchains
        .cache_places(home, &ambient.environment)
        .into_iter()
        .map(|cache| Cache {
            at: cache.path,
            store: places.stores().join(cache.store),
        })
        .collect();
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
                .filter(|path| !agent_needs::is_state(agent, home, path))
                .collect()
        } else {
            Vec::new()
        },
        own_links: Vec::new(),
        own: places.own().into(),
        agent: agent_needs::needs(args, agent, policy, home, places),
        program: std::env::current_exe().ok(),
        argv: agent_needs::argv(args, agent, policy),
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
