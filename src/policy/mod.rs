//! What is wanted: pure data, and the one decision over it.
//!
//! Files and flags are the only way in (`crate::config`), [`Policy::decide`] the only way to ask. Nothing here reads
//! a file, a clock or the environment; `tests/layers.rs` holds that.

mod action;
mod change;
mod command;
mod decide;
mod environment;
mod git;
mod git_mode;
mod guarantee;
mod host;
mod name;
mod new_names;
mod options;
mod path;
pub mod path_text;
mod pattern;
mod port;
mod request;
mod request_path;
mod session;
mod upstream;

pub use action::{Action, Protocol};
pub use change::Change;
pub use command::{CommandPattern, CommandPatternError, CommandRule};
pub use decide::{Allow, Deny, Verdict};
pub(crate) use environment::matches_star;
pub use git::{
    AlsoPushed, Beyond, CredentialHost, CredentialHostError, CredentialRule, CredentialSource,
    CredentialSourceError, GitOperation, GitPolicy, GitRule, ProtectedPath, PushBounds, PushGrant, PushRule,
    PushTarget, PushTargetError, RefChange, RefPattern, RefPatternError, Repository, RepositoryError,
    Transport, Unlisted, WrittenGrant,
};
pub use git_mode::GitMode;
pub use guarantee::{Guarantee, Requirement};
pub use host::{Host, HostPattern, HostPatternError, HostRule};
pub use name::{Name, NameError};
pub use new_names::{NameAlias, NamesIn, NewNames};
pub use options::{Dns, HostOptions, Sni};
pub use path::{Access, PathRule, Place};
pub(crate) use path::{is_glob, lossy_path};
pub use pattern::{Case, Component, NamePattern, PathPattern, PathPatternError};
pub use port::{HostPort, HostPortRule, OWN_PORTS, PortError, PortKind, PublishRule, Published};
pub use request::{Method, MethodError, Requests, RequestsError, Scheme};
pub use request_path::{Letters, RequestPath, RequestPathError, RequestPathPattern};
pub use session::SessionRules;

pub(crate) use upstream::base64;
pub use upstream::{Credentials, ProxyHost, ProxyUrl, ProxyUrlError, UpstreamProxy};

use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, path::PathBuf};

/// All that the user, the agent's file and the built-in data want of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which home the program sees.
    pub home: Home,
    /// Path rules, in any order: the longest path wins, on a tie the stricter. As merged they are the user's; a plan
    /// makes the effective ones of them, which say what is there inside.
    pub paths: Vec<PathRule>,
    /// What files that aren't trusted make narrower in the project. Paths and globs to read are read-only where they would
    /// be writable; they stand here alone, since they never show anything: not even what they name. Those that are hidden
    /// stand in `paths` as well.
    pub kept: Vec<PathRule>,
    /// Whether names that the host would run or trust are kept from being made in the project.
    #[serde(default)]
    pub hold_names: bool,
    /// Where they may be made all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_names_in: Vec<NamesIn>,
    /// Rules on the command that is started.
    pub commands: Vec<CommandRule>,
    /// Which names and addresses may be reached.
    pub network: NetworkPolicy,
    /// Which repositories git may reach.
    #[serde(default)]
    pub git: GitPolicy,
    /// Which git directory is worked on inside.
    #[serde(default)]
    pub git_mode: GitMode,
    /// What of the environment is kept or set.
    pub environment: EnvironmentPolicy,
    /// Kernel facilities that are off by default and were granted by name.
    pub grants: Vec<Grant>,
    /// Resource limits.
    pub limits: Limits,
    /// Guarantees that must be whole, else nothing starts.
    pub required: Vec<Requirement>,
    /// What is done with the sandbox that the agent brings itself; `None` when it brings none.
    pub own_sandbox: Option<OwnSandbox>,
}

/// What is done with the sandbox that an agent brings itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnSandbox {
    /// It works inside: nested user namespaces are granted, at the price of [`Grant::NestedUserns`].
    Keep,
    /// It is switched off by the agent's own means, and nothing is granted for it.
    Off,
}

impl OwnSandbox {
    /// The word that stands for it in configuration and flags.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Off => "off",
        }
    }
}

/// Which home directory the program sees. The order is from narrow to wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Home {
    /// A temporary one with the tool chains and the agent's own state: the default.
    Private,
    /// The user's own, read-only, secrets masked.
    Host,
}

/// A kernel facility that is refused unless it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Nested user namespaces and mounts in them; the Landlock file-system domain is left out, since it forbids mounts.
    NestedUserns,
    /// `io_uring_setup(2)` and its companions.
    IoUring,
    /// `/dev/fuse`.
    Fuse,
}

impl Grant {
    /// Every grant, for tables and tests.
    pub const ALL: [Self; 3] = [Self::NestedUserns, Self::IoUring, Self::Fuse];

    /// The word that stands for it in configuration and flags.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NestedUserns => "nested-userns",
            Self::IoUring => "io-uring",
            Self::Fuse => "fuse",
        }
    }
}

/// Resource limits; `None` leaves what the caller had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory for the whole run (cgroup v2 `memory.max`, where delegated).
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads (cgroup v2 `pids.max` where delegated, and `RLIMIT_NPROC`, counted in the
    /// run's own user namespace).
    pub processes: Option<u64>,
    /// Largest file in bytes (`RLIMIT_FSIZE`).
    pub file_bytes: Option<u64>,
    /// Open descriptors of one process (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Percent of one processor (cgroup v2 `cpu.max`, where delegated).
    pub cpu_percent: Option<u32>,
    /// What the whole run may send outside, over all connections.
    pub egress: Option<Budget>,
    /// What it may send to one host: a name, on whatever port, or an address.
    pub egress_per_host: Option<Budget>,
}

/// Bytes that may be sent, and who says so: a denial shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How many.
    pub bytes: u64,
    /// Where that was written.
    pub origin: Origin,
}

impl Limits {
    /// Processes and threads when nobody names a number: far above what builds use, far below what hurts the host.
    pub const PROCESSES: u64 = 8192;
}

/// What may be reached over the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    /// The base that the rules refine.
    pub preset: NetworkPreset,
    /// Rules of the preset, the agent, the user's file and the flags. A deny wins over every allow. An allow of requests
    /// takes the place of what is built in for the same hosts, where that means no fewer: who names requests means to be
    /// asked about the others.
    pub rules: Vec<HostRule>,
    /// Fixed answers for names, from trusted layers only; the address may be non-public.
    pub resolve: Vec<ResolveOverride>,
    /// How connections are captured.
    pub capture: Capture,
    /// Whether somebody is asked about what no rule decides.
    #[serde(default)]
    pub ask: bool,
    /// Whether programs are told of the proxies inside though their connections are captured.
    pub proxy_env: bool,
    /// The proxy outside that connections go through.
    #[serde(default)]
    pub upstream_proxy: UpstreamProxy,
    /// Services of the host's loopback that are reached on the loopback inside, from trusted layers only; one for each
    /// port inside.
    pub host_ports: Vec<HostPortRule>,
    /// Servers inside that the host reaches, from trusted layers only.
    pub publish: Vec<PublishRule>,
}

impl NetworkPolicy {
    /// The service of the host's that a port of the loopback inside leads to.
    #[must_use]
    pub fn host_port(&self, inside: u16) -> Option<&HostPortRule> {
        self.host_ports.iter().find(|rule| rule.port.inside == inside)
    }
}

/// A named set of network rules. The order is from narrow to wide: each allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkPreset {
    /// Nothing: no listener, no DNS.
    None,
    /// What rules name, and nothing else.
    Listed,
    /// The agent's own API hosts.
    Agent,
    /// The agent's, package registries and git hosts: the default.
    Dev,
    /// Any public host, all logged.
    Open,
}

/// How outgoing connections reach the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capture {
    /// Redirect by nf_tables where the kernel has it, else `ports`.
    Auto,
    /// Redirect of every TCP port to one listener.
    Redirect,
    /// Catch-all routes and one listener a port.
    Ports,
}

/// A fixed answer for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveOverride {
    /// The name as asked inside.
    pub name: Name,
    /// Where it is dialled; may be loopback or private, since a trusted layer granted it.
    pub address: IpAddr,
    /// Dialled port; `None` keeps the port asked for.
    pub port: Option<u16>,
    /// Where this was written.
    pub origin: Origin,
}

/// What of the caller's environment goes inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentPolicy {
    /// Names kept when set outside; a trailing `*` stands for any rest.
    pub keep: Vec<String>,
    /// Variables set to a value; wins over `keep`.
    pub set: Vec<(String, String)>,
    /// Names that no pattern in `keep` takes (credentials, agent sockets, loader variables): only an exact name does.
    /// `*` stands for any run of characters.
    pub never: Vec<String>,
}

/// Where a rule was written: shown with every denial.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// Built into the program; the word names the data file.
    BuiltIn(String),
    /// A line of a file.
    File {
        /// The file.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
    },
    /// A command-line flag, as typed.
    Flag(String),
    /// Said while the session ran; the words tell how, such as `aca allow a.test`.
    Session(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(file) => write!(formatter, "built-in {file}"),
            Self::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Self::Flag(flag) => write!(formatter, "flag {flag}"),
            Self::Session(how) => write!(formatter, "this session, {how}"),
        }
    }
}
