//! What one layer (a file, an agent's section, the flags) says, each value with the place where it was written.

use super::{
    excerpt::Source,
    floor::{Floor, Forbidden, Lock},
    path::WrittenPath,
    value::{AllowedHost, EnvironmentEntry, FixedAddress},
};
use crate::policy::{
    Budget, Capture, CommandPattern, CredentialHost, CredentialSource, GitMode, Grant, Home, HostPattern,
    HostPort, Limits, NetworkPreset, Origin, OwnSandbox, Published, Repository, Unlisted, UpstreamProxy,
    WrittenGrant,
};
use std::collections::BTreeMap;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Origin,
}

/// What one layer says; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[network] preset`.
    pub preset: Option<Located<NetworkPreset>>,
    /// `[network] allow`.
    pub allow: Vec<Located<AllowedHost>>,
    /// `[network] deny`.
    pub deny: Vec<Located<HostPattern>>,
    /// `[network] resolve`.
    pub resolve: Vec<Located<FixedAddress>>,
    /// `[network] capture`.
    pub capture: Option<Located<Capture>>,
    /// `[network] ask`.
    pub ask: Option<Located<bool>>,
    /// `[network] proxy_env`.
    pub proxy_env: Option<Located<bool>>,
    /// `[network] upstream_proxy`; never a project's.
    pub upstream_proxy: Option<Located<UpstreamProxy>>,
    /// `[network] host_ports`.
    pub host_ports: Vec<Located<HostPort>>,
    /// `[network] publish`.
    pub publish: Vec<Located<Published>>,
    /// `[[git.repository]]`: which may be fetched and which not.
    pub repositories: Vec<Located<WrittenRepository>>,
    /// The same for what may be pushed.
    pub pushes: Vec<Located<WrittenPush>>,
    /// `[git] unlisted`.
    pub unlisted: Option<Located<Unlisted>>,
    /// `[[git.credential]]`; never a project's.
    pub credentials: Vec<Located<WrittenCredential>>,
    /// `[git] mode`.
    pub git_mode: Option<Located<GitMode>>,
    /// `[environment] keep` and `set`.
    pub environment: Vec<Located<EnvironmentEntry>>,
    /// `[files] read`, as written.
    pub read: Vec<Located<WrittenPath>>,
    /// `[files] write`, as written.
    pub write: Vec<Located<WrittenPath>>,
    /// `[files] hide`, as written.
    pub hide: Vec<Located<WrittenPath>>,
    /// `[files] home`.
    pub home: Option<Located<Home>>,
    /// `[files] open_names`.
    pub open_names: Option<Located<bool>>,
    /// `[files] open_names_in`, as written.
    pub open_names_in: Vec<Located<WrittenPath>>,
    /// `[commands] deny`.
    pub deny_commands: Vec<Located<CommandPattern>>,
    /// `grants`.
    pub grants: Vec<Located<Grant>>,
    /// `[limits]`.
    pub limits: WrittenLimits,
    /// `own_sandbox`, in an agent's section only.
    pub own_sandbox: Option<Located<OwnSandbox>>,
}

/// One of `[[git.credential]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenCredential {
    /// Whom it is for.
    pub host: CredentialHost,
    /// Where it is.
    pub from: CredentialSource,
    /// The user's name that goes with it.
    pub user: Option<String>,
}

/// One repository of `[[git.repository]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRepository {
    /// Which.
    pub repository: Repository,
    /// Whether it may be fetched.
    pub fetch: bool,
}

/// What `[[git.repository]] push` says of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPush {
    /// Which.
    pub repository: Repository,
    /// What may be pushed; `None` is `false`.
    pub grant: Option<WrittenGrant>,
}

/// `[limits]`, each with its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenLimits {
    /// `memory`.
    pub memory_bytes: Option<Located<u64>>,
    /// `processes`.
    pub processes: Option<Located<u64>>,
    /// `file_size`.
    pub file_bytes: Option<Located<u64>>,
    /// `open_files`.
    pub open_files: Option<Located<u64>>,
    /// `cpu`.
    pub cpu_percent: Option<Located<u32>>,
    /// `egress`.
    pub egress_bytes: Option<Located<u64>>,
    /// `egress_per_host`.
    pub egress_per_host_bytes: Option<Located<u64>>,
}

impl WrittenLimits {
    /// The numbers; of budgets, their places too.
    #[must_use]
    pub fn values(&self) -> Limits {
        fn value<T: Copy>(limit: &Option<Located<T>>) -> Option<T> {
            limit.as_ref().map(|limit| limit.value)
        }
        fn budget(limit: &Option<Located<u64>>) -> Option<Budget> {
            limit.as_ref().map(|limit| Budget {
                bytes: limit.value,
                origin: limit.origin.clone(),
            })
        }
        Limits {
            memory_bytes: value(&self.memory_bytes),
            processes: value(&self.processes),
            file_bytes: value(&self.file_bytes),
            open_files: value(&self.open_files),
            cpu_percent: value(&self.cpu_percent),
            egress: budget(&self.egress_bytes),
            egress_per_host: budget(&self.egress_per_host_bytes),
        }
    }
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileKind {
    /// The machine's, which an administrator keeps: it may set floors and locks.
    Administrator,
    /// The user's own.
    #[default]
    User,
    /// The project's: whoever writes the project writes it too.
    Project,
}

/// How far a layer is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// It only makes narrower what those below it allow; the rest of it waits.
    #[default]
    Reduced,
    /// All of it counts.
    Full,
}

/// A configuration file that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileLayer {
    /// The file and its text.
    pub source: Source,
    /// Whose it is.
    pub kind: FileKind,
    /// How far it is believed.
    pub trust: Trust,
    /// What holds for every run.
    pub settings: Settings,
    /// What holds for runs of one agent, by its name.
    pub agents: BTreeMap<String, Settings>,
    /// `[floor]`; the administrator's alone.
    pub floor: Floor,
    /// `lock`; the administrator's alone.
    pub lock: Vec<Located<Lock>>,
}

impl FileLayer {
    /// Why a key can't be loosened, where it can't: of an administrator's file.
    #[must_use]
    pub fn locked(&self, key: Lock) -> Option<Forbidden> {
        let lock = self.lock.iter().find(|lock| lock.value == key)?;
        Some(self.floor.forbidden(&lock.origin))
    }
}

/// All that a policy is made of besides the built-in data, the weakest first. A part that is missing says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// `/etc/aca/config.toml`.
    pub administrator: Option<FileLayer>,
    /// The user's file, or the one that stands in its place.
    pub user: Option<FileLayer>,
    /// `.aca.toml` in the project's root.
    pub project: Option<FileLayer>,
    /// The flags of this run.
    pub flags: Settings,
}
