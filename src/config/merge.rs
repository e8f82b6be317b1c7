//! Layers become the policy. Pure.

use super::{
    ConfigError, Settings,
    error::Problem,
    excerpt::Source,
    floor::{Floor, Forbidden, Lock},
    layer::{FileKind, FileLayer, Layers, Located, Trust, WrittenLimits},
    narrow::{Below, Split},
    path::Start,
    rules::Rules,
    said::Said,
    value::{AllowedHost, EnvironmentEntry},
};
use crate::{
    agents::{self, AgentDefinition},
    policy::{
        Capture, CommandRule, CredentialRule, Dns, EnvironmentPolicy, GitMode, GitPolicy, GitRule, Grant,
        Home, HostOptions, HostPattern, HostPortRule, HostRule, NamesIn, NetworkPolicy, NetworkPreset,
        Origin, OwnSandbox, Policy, PublishRule, PushRule, Requirement, ResolveOverride, Sni, Unlisted,
        UpstreamProxy,
    },
    presets,
};
use std::path::Path;

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

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The policy.
    pub policy: Policy,
    /// What a file that isn't trusted says and what doesn't count.
    pub waiting: Vec<Said>,
    /// Who keeps servers inside from being published by later layers, if somebody does.
    pub publish_locked: Option<Forbidden>,
    /// What of the policy keeps no place of its own.
    pub chosen: Chosen,
    /// Who keeps hosts from being allowed by later layers, if somebody does.
    pub allow_locked: Option<Forbidden>,
}

/// Values with their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The preset.
    pub preset: Located<NetworkPreset>,
    /// The capture.
    pub capture: Located<Capture>,
    /// Whether somebody is asked.
    pub ask: Located<bool>,
    /// Whether programs are told of the proxies inside.
    pub proxy_env: Located<bool>,
    /// The proxy outside.
    pub upstream_proxy: Located<UpstreamProxy>,
    /// The home.
    pub home: Located<Home>,
    /// The git directory.
    pub git_mode: Located<GitMode>,
    /// Whether names may be made that the host would run or trust.
    pub open_names: Located<bool>,
    /// Grants.
    pub grants: Vec<Located<Grant>>,
    /// Limits.
    pub limits: WrittenLimits,
    /// What is done with the agent's own sandbox.
    pub own_sandbox: Option<Located<OwnSandbox>>,
    /// Variables, those of the built-in data too.
    pub environment: Vec<Located<EnvironmentEntry>>,
}

/// Merges the layers: built in (with the agent's own file) < the administrator's file < the user's < the project's <
/// flags; each file's section for the agent stands above the rest of it. Of single values and of rules on the same path
/// the later layer's counts; host rules add up, and a deny wins over every allow. A layer of reduced trust only makes
/// narrower what those below it allow ([`Split`]), and none goes beyond the administrator's floors and locks.
///
/// # Errors
/// A path that can't be enforced as written, flags that contradict the rest, and what the administrator forbids.
pub fn merge(agent: &AgentDefinition, layers: &Layers, bases: Bases<'_>) -> Result<Merged, ConfigError> {
    let none = FileLayer::default();
    let administrator = layers.administrator.as_ref().unwrap_or(&none);
    let mut merging = Merging::new(agent, administrator, bases);
    let files = [&layers.administrator, &layers.user, &layers.project];
    for file in files.into_iter().flatten() {
        for layer in of_file(file, agent) {
            merging.add(&layer)?;
        }
        if file.kind == FileKind::Administrator {
            merging.rules.lock_hidden();
        }
    }
    merging.add(&Layer {
        settings: &layers.flags,
        source: None,
        kind: FileKind::User,
        trust: Trust::Full,
        table: String::new(),
    })?;
    merging.finish(&layers.flags)
}

/// A file, and its section for the agent.
fn of_file<'a>(file: &'a FileLayer, agent: &AgentDefinition) -> Vec<Layer<'a>> {
    let section = file.agents.get(&agent.name);
    let table = format!("agents.{}", agent.name);
    [
        Some((&file.settings, String::new())),
        section.map(|own| (own, table)),
    ]
    .into_iter()
    .flatten()
    .map(|(settings, table)| Layer {
        settings,
        source: Some(&file.source),
        kind: file.kind,
        trust: file.trust,
        table,
    })
    .collect()
}

/// One layer, with what its messages need.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) settings: &'a Settings,
    /// The file; `None` for flags.
    source: Option<&'a Source>,
    kind: FileKind,
    trust: Trust,
    /// The agent's section, or empty.
    table: String,
}

impl Layer<'_> {
    pub(super) fn start(&self) -> Start {
        if self.source.is_some() {
            Start::Project
        } else {
            Start::Current
        }
    }

    pub(super) fn fault(&self, origin: &Origin, problem: Problem) -> ConfigError {
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

/// What holds so far.
struct Merging<'a> {
    agent: &'a AgentDefinition,
    floor: &'a Floor,
    lock: &'a [Located<Lock>],
    bases: Bases<'a>,
    preset: Option<Located<NetworkPreset>>,
    capture: Located<Capture>,
    ask: Located<bool>,
    proxy_env: Located<bool>,
    upstream_proxy: Located<UpstreamProxy>,
    repositories: Vec<GitRule>,
    pushes: Vec<PushRule>,
    unlisted: Unlisted,
    credentials: Vec<CredentialRule>,
    git_mode: Located<GitMode>,
    home: Located<Home>,
    open_names: Located<bool>,
    open_names_in: Vec<NamesIn>,
    grants: Vec<Located<Grant>>,
    limits: WrittenLimits,
    environment: Vec<Located<EnvironmentEntry>>,
    allow: Vec<Located<AllowedHost>>,
    deny: Vec<Located<HostPattern>>,
    resolve: Vec<ResolveOverride>,
    host_ports: Vec<HostPortRule>,
    publish: Vec<PublishRule>,
    rules: Rules,
    commands: Vec<CommandRule>,
    own_sandbox: Option<Located<OwnSandbox>>,
    waiting: Vec<Said>,
}

impl<'a> Merging<'a> {
    fn new(agent: &'a AgentDefinition, administrator: &'a FileLayer, bases: Bases<'a>) -> Self {
        Self {
            agent,
            floor: &administrator.floor,
            lock: &administrator.lock,
            bases,
            preset: None,
            capture: default(Capture::Auto),
            ask: default(false),
            proxy_env: default(false),
            upstream_proxy: default(UpstreamProxy::Environment),
            repositories: Vec::new(),
            pushes: Vec::new(),
            unlisted: Unlisted::default(),
            credentials: Vec::new(),
            git_mode: default(GitMode::default()),
            home: default(Home::Private),
            // Held unless somebody opens them.
            open_names: administrator
                .floor
                .open_names
                .clone()
                .filter(|most| !most.value)
                .unwrap_or_else(|| default(false)),
            open_names_in: Vec::new(),
            grants: Vec::new(),
            limits: WrittenLimits::default(),
            environment: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            resolve: Vec::new(),
            host_ports: Vec::new(),
            publish: Vec::new(),
            rules: Rules::default(),
            commands: Vec::new(),
            own_sandbox: None,
            waiting: Vec::new(),
        }
    }

    fn add(&mut self, layer: &Layer<'_>) -> Result<(), ConfigError> {
        if layer.trust == Trust::Reduced {
            let split = self.split(layer.settings);
            self.waiting.extend(split.waiting(&layer.table));
            let narrowed = Layer {
                settings: &split.tightens,
                table: layer.table.clone(),
                ..*layer
            };
            self.rules.narrow(&narrowed, self.bases)?;
            self.take(&split.tightens);
            return Ok(());
        }
        if let Some((origin, problem)) = self.floor.beyond(layer.settings) {
            return Err(layer.fault(&origin, problem));
        }
        self.refuse_locked(layer)?;
        let (lock, floor) = (self.lock, self.floor);
        self.rules.add(layer, self.bases, |key| {
            locked(lock, floor, key).filter(|_| layer.kind != FileKind::Administrator)
        })?;
        self.open_names_in(layer)?;
        self.take(layer.settings);
        if let Some(asked) = &layer.settings.own_sandbox
            && asked.value == OwnSandbox::Keep
        {
            // To switch off what isn't there is no fault.
            if self.agent.own_sandbox.is_none() {
                let problem = Problem::NoOwnSandbox(self.agent.name.clone());
                return Err(layer.fault(&asked.origin, problem));
            }
            // It takes the grant by itself.
            if let Some(problem) = self.floor.forbids(Grant::NestedUserns) {
                return Err(layer.fault(&asked.origin, problem));
            }
        }
        Ok(())
    }

    fn split(&self, settings: &Settings) -> Split {
        let grants: Vec<Grant> = self.grants.iter().map(|grant| grant.value).collect();
        Split::new(
            settings,
            Below {
                preset: self.preset().value,
                home: self.home.value,
                unlisted: self.unlisted,
                git_mode: self.git_mode.value,
                grants: &grants,
                limits: &self.limits().values(),
                bases: self.bases,
            },
        )
    }

    /// Adds the directories in which a trusted layer lets names be made.
    fn open_names_in(&mut self, layer: &Layer<'_>) -> Result<(), ConfigError> {
        for written in &layer.settings.open_names_in {
            if written.value.is_glob() {
                let problem = Problem::GlobNames(written.value.to_string());
                return Err(layer.fault(&written.origin, problem));
            }
            let path = written.value.resolve(self.bases, layer.start());
            if !self.open_names_in.iter().any(|known| known.path == path) {
                let origin = written.origin.clone();
                self.open_names_in.push(NamesIn { path, origin });
            }
        }
        Ok(())
    }

    /// Keys of which a lock forbids every use.
    fn refuse_locked(&self, layer: &Layer<'_>) -> Result<(), ConfigError> {
        if layer.kind == FileKind::Administrator {
            return Ok(());
        }
        let settings = layer.settings;
        let allow = settings.allow.iter().map(|host| &host.origin);
        let resolve = settings.resolve.iter().map(|fixed| &fixed.origin);
        let fetched = settings.repositories.iter().filter(|written| written.value.fetch);
        let fetched = fetched.map(|written| &written.origin);
        let pushed = settings
            .pushes
            .iter()
            .filter(|written| written.value.grant.is_some());
        let fetched = fetched.chain(pushed.map(|written| &written.origin));
        let unlisted = settings.unlisted.iter();
        let unlisted = unlisted.filter(|unlisted| unlisted.value > self.unlisted);
        let fetched = fetched.chain(unlisted.map(|unlisted| &unlisted.origin));
        let variables = settings.environment.iter().map(|entry| &entry.origin);
        let told = settings.proxy_env.iter().map(|proxies| &proxies.origin);
        let host_ports = settings.host_ports.iter().map(|port| &port.origin);
        let ask = settings.ask.iter().filter(|ask| ask.value).map(|ask| &ask.origin);
        let used = [
            (
                Lock::Allow,
                "this would allow more hosts",
                allow.chain(resolve).chain(fetched).chain(ask).next(),
            ),
            (
                Lock::Allow,
                "this would let a service of the host's be reached",
                host_ports.into_iter().next(),
            ),
            (
                Lock::Publish,
                "this would let a server inside be reached",
                settings.publish.iter().map(|port| &port.origin).next(),
            ),
            (
                Lock::Environment,
                "this would change what goes inside",
                variables.chain(told).next(),
            ),
            (
                Lock::Write,
                "this would let more be written",
                settings.write.iter().map(|path| &path.origin).next(),
            ),
        ];
        for (lock, what, origin) in used {
            if let (Some(origin), Some(forbidden)) = (origin, locked(self.lock, self.floor, lock)) {
                let key = lock.word();
                return Err(layer.fault(
                    origin,
                    Problem::Locked {
                        what,
                        key,
                        forbidden: Box::new(forbidden),
                    },
                ));
            }
        }
        Ok(())
    }

    /// Takes the values of a layer that may say all that is left in it; paths are taken already.
    fn take(&mut self, settings: &Settings) {
        if let Some(preset) = &settings.preset {
            self.preset = Some(preset.clone());
        }
        if let Some(capture) = &settings.capture {
            self.capture = capture.clone();
        }
        if let Some(ask) = &settings.ask {
            self.ask = ask.clone();
        }
        if let Some(proxy_env) = &settings.proxy_env {
            self.proxy_env = proxy_env.clone();
        }
        if let Some(proxy) = &settings.upstream_proxy {
            self.upstream_proxy = proxy.clone();
        }
        // They add up, and a no wins.
        self.repositories
            .extend(settings.repositories.iter().map(|written| GitRule {
                repository: written.value.repository.clone(),
                fetch: written.value.fetch,
                origin: written.origin.clone(),
            }));
        let agent = self.agent_name();
        self.pushes.extend(settings.pushes.iter().map(|written| PushRule {
            repository: written.value.repository.clone(),
            grant: written.value.grant.as_ref().map(|grant| grant.filled(agent)),
            origin: written.origin.clone(),
        }));
        if let Some(unlisted) = &settings.unlisted {
            self.unlisted = unlisted.value;
        }
        self.credentials
            .extend(settings.credentials.iter().map(|written| CredentialRule {
                host: written.value.host.clone(),
                from: written.value.from.clone(),
                user: written.value.user.clone(),
                origin: written.origin.clone(),
            }));
        if let Some(mode) = &settings.git_mode {
            self.git_mode = mode.clone();
        }
        if let Some(home) = &settings.home {
            self.home = home.clone();
        }
        if let Some(open_names) = &settings.open_names {
            self.open_names = open_names.clone();
        }
        for grant in &settings.grants {
            if !self.grants.iter().any(|known| known.value == grant.value) {
                self.grants.push(grant.clone());
            }
        }
        limits(&mut self.limits, &settings.limits);
        // They only deny, so they add up.
        self.commands
            .extend(settings.deny_commands.iter().map(|written| CommandRule {
                pattern: written.value.clone(),
                origin: written.origin.clone(),
            }));
        if let Some(choice) = &settings.own_sandbox {
            self.own_sandbox = Some(choice.clone());
        }
        for entry in &settings.environment {
            // The later word on a variable counts, whether it keeps or sets.
            self.environment
                .retain(|known| known.value.name() != entry.value.name());
            self.environment.push(entry.clone());
        }
        self.allow.extend(settings.allow.iter().cloned());
        self.deny.extend(settings.deny.iter().cloned());
        for fixed in &settings.resolve {
            self.resolve.retain(|below| below.name != fixed.value.name);
            self.resolve.push(ResolveOverride {
                name: fixed.value.name.clone(),
                address: fixed.value.address,
                port: fixed.value.port,
                origin: fixed.origin.clone(),
            });
        }
        for written in &settings.host_ports {
            self.host_ports.retain(|below| !below.port.clashes(written.value));
            self.host_ports.push(HostPortRule {
                port: written.value,
                origin: written.origin.clone(),
            });
        }
        for written in &settings.publish {
            self.publish.retain(|below| !below.port.clashes(written.value));
            self.publish.push(PublishRule {
                port: written.value,
                origin: written.origin.clone(),
            });
        }
    }

    /// As branches of the agent's are called; a command that is no agent has none of its own.
    fn agent_name(&self) -> Option<&'a str> {
        let name = self.agent.name.as_str();
        (name != agents::GENERIC).then_some(name)
    }

    /// The preset so far. The default is nobody's choice: it goes no further than the floor.
    fn preset(&self) -> Located<NetworkPreset> {
        self.preset.clone().unwrap_or_else(|| {
            let floor = self.floor.network.clone();
            floor
                .filter(|floor| floor.value < NetworkPreset::Dev)
                .unwrap_or_else(|| default(NetworkPreset::Dev))
        })
    }

    fn limits(&self) -> WrittenLimits {
        let mut limits = self.limits.clone();
        self.floor.bound(&mut limits);
        limits
    }

    fn finish(mut self, flags: &Settings) -> Result<Merged, ConfigError> {
        let own_sandbox = self.agent.own_sandbox.as_ref().map(|own| {
            // The default is nobody's choice: it goes no further than the floor.
            let forbidden = self.floor.forbids(Grant::NestedUserns).is_some();
            let default = Located {
                value: if forbidden { OwnSandbox::Off } else { own.default },
                origin: agent_file(self.agent),
            };
            self.own_sandbox.clone().unwrap_or(default)
        });
        let choice = own_sandbox.as_ref().map(|choice| choice.value);
        let (mut environment, never) = built_in_environment(self.agent, choice, self.bases.home)?;
        for entry in std::mem::take(&mut self.environment) {
            // The later word on a variable counts, whether it keeps or sets.
            environment.retain(|known| known.value.name() != entry.value.name());
            environment.push(entry);
        }
        let preset = self.preset();
        if preset.value == NetworkPreset::None {
            let hosts = flags.allow.iter().map(|host| &host.origin);
            let fixed = flags.resolve.iter().map(|fixed| &fixed.origin);
            let ports = flags.host_ports.iter().map(|port| &port.origin);
            let published = flags.publish.iter().map(|port| &port.origin);
            if let Some(origin) = hosts.chain(fixed).chain(ports).chain(published).next() {
                return Err(ConfigError::InFlag {
                    origin: origin.clone(),
                    problem: Problem::NetworkOff(preset.origin),
                });
            }
        }
        let limits = self.limits();
        self.grants.sort_by_key(|grant| grant.value);
        let chosen = Chosen {
            preset,
            capture: self.capture.clone(),
            ask: self.ask.clone(),
            proxy_env: self.proxy_env.clone(),
            upstream_proxy: self.upstream_proxy.clone(),
            home: self.home.clone(),
            git_mode: self.git_mode.clone(),
            open_names: self.open_names.clone(),
            grants: self.grants.clone(),
            limits,
            own_sandbox,
            environment,
        };
        let required = self.floor.require.iter().map(|required| Requirement {
            guarantee: required.value,
            origin: required.origin.clone(),
        });
        Ok(Merged {
            policy: Policy {
                home: chosen.home.value,
                git_mode: chosen.git_mode.value,
                hold_names: !chosen.open_names.value,
                network: self.network(chosen.preset.value)?,
                open_names_in: self.open_names_in,
                git: GitPolicy {
                    rules: self.repositories,
                    pushes: self.pushes,
                    default_branches: Vec::new(),
                    unlisted: self.unlisted,
                    credentials: self.credentials,
                },
                environment: self::environment(&chosen.environment, never),
                grants: chosen.grants.iter().map(|grant| grant.value).collect(),
                limits: chosen.limits.values(),
                required: required.collect(),
                paths: self.rules.paths,
                kept: self.rules.kept,
                commands: self.commands,
                own_sandbox: choice,
            },
            waiting: self.waiting,
            allow_locked: locked(self.lock, self.floor, Lock::Allow),
            publish_locked: locked(self.lock, self.floor, Lock::Publish),
            chosen,
        })
    }

    fn network(&self, preset: NetworkPreset) -> Result<NetworkPolicy, ConfigError> {
        let mut rules = built_in_hosts(self.agent, preset)?;
        rules.extend(self.allow.iter().map(|host| HostRule {
            options: host.value.options,
            ..rule(host.value.pattern.clone(), true, false, host.origin.clone())
        }));
        let denied = self.deny.iter();
        rules.extend(denied.map(|host| rule(host.value.clone(), false, false, host.origin.clone())));
        // Telemetry is denied without noise, until the user allows it: a deny would win over that allow.
        for pattern in self
            .agent
            .network
            .quiet_deny
            .iter()
            .filter(|_| preset != NetworkPreset::Open)
        {
            if !self
                .allow
                .iter()
                .any(|allow| allow.value.pattern.covers_hosts(pattern))
            {
                rules.push(rule(pattern.clone(), false, true, agent_file(self.agent)));
            }
        }
        Ok(NetworkPolicy {
            preset,
            rules,
            resolve: self.resolve.clone(),
            capture: self.capture.value,
            ask: self.ask.value,
            proxy_env: self.proxy_env.value,
            upstream_proxy: self.upstream_proxy.value.clone(),
            host_ports: self.host_ports.clone(),
            publish: self.publish.clone(),
        })
    }
}

fn locked(locks: &[Located<Lock>], floor: &Floor, key: Lock) -> Option<Forbidden> {
    let lock = locks.iter().find(|lock| lock.value == key)?;
    Some(floor.forbidden(&lock.origin))
}

fn default<T>(value: T) -> Located<T> {
    Located {
        value,
        origin: Origin::BuiltIn("default".into()),
    }
}

fn limits(below: &mut WrittenLimits, above: &WrittenLimits) {
    fn later<T: Clone>(below: &mut Option<Located<T>>, above: &Option<Located<T>>) {
        if above.is_some() {
            below.clone_from(above);
        }
    }
    later(&mut below.memory_bytes, &above.memory_bytes);
    later(&mut below.processes, &above.processes);
    later(&mut below.file_bytes, &above.file_bytes);
    later(&mut below.open_files, &above.open_files);
    later(&mut below.cpu_percent, &above.cpu_percent);
    later(&mut below.egress_bytes, &above.egress_bytes);
    later(&mut below.egress_per_host_bytes, &above.egress_per_host_bytes);
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
        options: HostOptions {
            dns: Dns::Leased,
            sni: Sni::Required,
        },
        origin,
    }
}

fn agent_file(agent: &AgentDefinition) -> Origin {
    Origin::BuiltIn(format!("agents/{}.toml", agent.name))
}

/// What goes inside when nobody says anything, and what no pattern takes.
fn built_in_environment(
    agent: &AgentDefinition,
    own_sandbox: Option<OwnSandbox>,
    home: &Path,
) -> Result<(Vec<Located<EnvironmentEntry>>, Vec<String>), ConfigError> {
    let built_in = presets::environment()?;
    let names = |groups: Vec<presets::VariableGroup>| groups.into_iter().flat_map(|group| group.names);
    let preset = Origin::BuiltIn(presets::ENVIRONMENT_FILE.into());
    let kept = names(built_in.keep).map(|name| (name, preset.clone()));
    let own = agent.environment.keep.iter().cloned();
    let kept = kept.chain(own.map(|name| (name, agent_file(agent))));
    let off = agent
        .own_sandbox
        .iter()
        .filter(|_| own_sandbox == Some(OwnSandbox::Off))
        .flat_map(|own| &own.off.environment);
    let set = agent.environment.set.iter().chain(off);
    let set = set.filter_map(|(name, value)| {
        let value = match value.strip_prefix("~/") {
            // A policy holds text: in a home that is none the agent does without.
            Some(below) => home.join(below).into_os_string().into_string().ok()?,
            None => value.clone(),
        };
        let name = name.clone();
        Some((EnvironmentEntry::Set { name, value }, agent_file(agent)))
    });
    let entries = kept
        .map(|(name, origin)| (EnvironmentEntry::Keep(name), origin))
        .chain(set)
        .map(|(value, origin)| Located { value, origin });
    Ok((entries.collect(), names(built_in.never).collect()))
}

fn environment(entries: &[Located<EnvironmentEntry>], never: Vec<String>) -> EnvironmentPolicy {
    let mut policy = EnvironmentPolicy {
        keep: Vec::new(),
        set: Vec::new(),
        never,
    };
    for entry in entries {
        match &entry.value {
            EnvironmentEntry::Keep(name) => policy.keep.push(name.clone()),
            EnvironmentEntry::Set { name, value } => policy.set.push((name.clone(), value.clone())),
        }
    }
    policy
}
