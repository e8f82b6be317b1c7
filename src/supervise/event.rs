//! All that a user may ask about later: a versioned enum, one JSON line each in the session's log.

use crate::policy::{Deny, GitOperation, HostPattern, Name, Origin, PortKind, Protocol, lossy_path};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// Version of the line format: since 2 a line carries a hash as well (`crate::audit`). Version 1 is read still.
pub const EVENT_VERSION: u32 = 2;

/// What one line of the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`EVENT_VERSION`] when it was written.
    pub v: u32,
    /// When it was written.
    pub time: Timestamp,
    /// Running number from 0.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    SessionStart {
        /// The session's id.
        session: String,
        /// Version of aca.
        version: String,
        /// The agent's name, `generic` for a plain command.
        agent: String,
        /// Why it is that one, in words.
        #[serde(default)]
        agent_why: String,
        /// The command inside, as text (lossy).
        argv: Vec<String>,
        /// The project's directory.
        #[serde(serialize_with = "lossy_path")]
        project: PathBuf,
        /// SHA-256 of the plan, hexadecimal.
        plan_hash: String,
        /// Protections that this machine doesn't give, in the plan's words.
        degraded: Vec<String>,
    },
    /// The project's configuration file isn't trusted as it is: some of it doesn't count.
    SettingsWait {
        /// The file.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// What doesn't, as far as a bound goes.
        settings: Vec<String>,
        /// How many there are.
        count: u64,
        /// Whether another content of it was trusted.
        changed: bool,
    },
    /// The kernel did not give what was tried.
    Degraded {
        /// What, in words.
        lost: Vec<String>,
    },
    /// A run ends.
    SessionEnd {
        /// Exit code, where it exited.
        code: Option<i32>,
        /// Signal, where it was killed.
        signal: Option<i32>,
        /// How long it took.
        duration_ms: u64,
        /// How many events were denials.
        denied: u64,
    },
    /// A program was started inside. Path and arguments are as the caller claimed them.
    ProcessStart {
        /// Process id on the host.
        pid: i32,
        /// What was passed to `execve(2)`.
        path: String,
        /// The first arguments, cut to a bound.
        argv: Vec<String>,
    },
    /// A name was asked for.
    Lookup {
        /// As asked (sanitised when it was no host name).
        name: String,
        /// Record type, such as `A`.
        kind: String,
        /// `None` when answered, else why not.
        denied: Option<Deny>,
    },
    /// A connection was judged; written when it ends, or when it is refused.
    Connection {
        /// Process id on the host of the one that held its other end when it was looked for; `None` where it couldn't be
        /// told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        /// The file that this process executed, as seen inside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
        /// The name behind the address, if one was leased.
        name: Option<Name>,
        /// The address as dialled inside.
        address: IpAddr,
        /// The port as dialled inside.
        port: u16,
        /// What it spoke.
        protocol: Option<Protocol>,
        /// The address that was really dialled.
        upstream: Option<IpAddr>,
        /// The proxy outside that it went through.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<Via>,
        /// `None` when it was allowed.
        denied: Option<Deny>,
        /// An error of the far end, when the policy allowed it and it failed.
        failed: Option<String>,
        /// Bytes from inside to outside.
        sent: u64,
        /// Bytes from outside to inside.
        received: u64,
        /// How long it was open.
        duration_ms: u64,
    },
    /// All that may be sent outside was sent: from then on nothing goes, to that host or at all.
    BudgetReached {
        /// Which host; `None` is all of them together.
        host: Option<String>,
        /// The key that says how much, such as `limits.egress`.
        key: String,
        /// Where that was written.
        origin: Origin,
        /// Bytes that may be sent.
        limit: u64,
        /// Bytes that were: what came next would have been too many.
        sent: u64,
    },
    /// A request was judged, where rules ask for more than its host.
    Request {
        /// The method, as sent.
        method: String,
        /// Where to, without its query; sanitised and cut to a bound.
        url: String,
        /// `None` when it was allowed.
        denied: Option<Deny>,
        /// The status of the answer, where aca saw one.
        status: Option<u16>,
    },
    /// A port that leads over the wall was opened or closed.
    Port {
        /// Which way it leads.
        kind: PortKind,
        /// Whether it was opened.
        open: bool,
        /// The address of the host; its loopback if `None`.
        address: Option<IpAddr>,
        /// The port of the host.
        host: u16,
        /// The port inside.
        inside: u16,
        /// Who wants it.
        origin: Origin,
    },
    /// A connection from the host to a published port; written when it ends.
    Visit {
        /// Where it came from.
        from: SocketAddr,
        /// The port of the host.
        port: u16,
        /// The port inside.
        inside: u16,
        /// Why it failed, if it did.
        failed: Option<String>,
        /// Bytes from inside to outside.
        sent: u64,
        /// Bytes from outside to inside.
        received: u64,
        /// How long it was open.
        duration_ms: u64,
    },
    /// Git asked for a repository, through the user's ssh or over https; written when it ends, or when it is refused.
    GitRequest {
        /// Process id on the host of the one that asked; `None` where it couldn't be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        /// What for; `None` where it couldn't be understood.
        operation: Option<GitOperation>,
        /// Which, such as `git@host:acme/app`; what was asked, sanitised, where it couldn't be understood.
        repository: String,
        /// `None` when it was allowed.
        denied: Option<Deny>,
        /// Why it broke off, when the policy allowed it.
        failed: Option<String>,
        /// How ssh outside ended: its exit status.
        code: Option<i32>,
        /// Refs of a push, as many as are told.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refs: Vec<PushedRef>,
        /// What was found in a push that speaks against it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        findings: Vec<String>,
        /// Bytes from inside to outside.
        sent: u64,
        /// Bytes from outside to inside.
        received: u64,
        /// How long it took.
        duration_ms: u64,
    },
    /// A credential of the user's was found for a repository: the server wants to know who asks.
    CredentialUsed {
        /// Which repository, such as `https://host/acme/app`.
        repository: String,
        /// Where it was found, without anything of it.
        source: String,
    },
    /// A program inside listens at a port that the host could reach.
    Listening {
        /// Process id on the host, where only one program can be meant.
        pid: Option<i32>,
        /// The address inside; unspecified for all.
        address: IpAddr,
        /// The port inside.
        port: u16,
    },
    /// A system call was refused.
    SyscallRefused {
        /// Process id on the host.
        pid: i32,
        /// Its name, such as `mount`.
        name: String,
        /// The errno that it got, by name.
        errno: String,
        /// How many times since the last such event of that name.
        count: u64,
    },
    /// A name was not made, since the host would run or trust what stands there.
    NameRefused {
        /// Process id on the host; 0 where it couldn't be told.
        pid: i32,
        /// The path.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Why.
        why: String,
        /// When it would run, such as `you run git`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runs_when: Option<String>,
        /// How many before it were not told of, because there were too many.
        untold: u64,
    },
    /// A file that the host runs or trusts later appeared or changed.
    TrustChange {
        /// Path in the project.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// What changed.
        change: TrustChange,
        /// When it would run, such as `you run git`.
        runs_when: String,
    },
    /// A repository that the run made, and that git outside would have obeyed by a mere look at the project, was put away.
    PutAway {
        /// Path in the project.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Where it lies now.
        #[serde(serialize_with = "lossy_path")]
        to: PathBuf,
        /// What git would have obeyed.
        why: String,
    },
    /// A secret that appeared or was replaced during the run was masked.
    Masked {
        /// The path.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
    },
    /// A protected file that was replaced during the run is protected again.
    Protected {
        /// The path.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
    },
    /// State that the agent wrote was not carried over to the host.
    StateNotKept {
        /// The path in the private home.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something that was done in the private git directory is done in the host's.
    GitBrought {
        /// A ref, `HEAD`, `index`, `stash`, or a key of the configuration.
        what: String,
        /// What it is now.
        value: String,
    },
    /// A value of the private git directory is kept in the host's under another name.
    GitAside {
        /// The ref.
        what: String,
        /// The other name.
        at: String,
        /// Why.
        why: String,
    },
    /// Something of the private git directory isn't in the host's.
    GitNotBrought {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// Rules were added while it runs.
    RulesChanged {
        /// Which hosts.
        hosts: Vec<HostPattern>,
        /// Allowed from then on, or denied.
        allow: bool,
        /// Who said so.
        origin: Origin,
        /// How many open connections were ended by it.
        cut: u64,
    },
    /// Somebody outside is asked about a connection that no rule decides.
    Asked {
        /// Its number in the session.
        ask: u64,
        /// The name, or the address.
        host: String,
        /// The port.
        port: u16,
        /// Process id on the host of the program that made the first connection, where that could be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        /// The file that it executed, as seen inside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
    },
    /// That was answered, or nobody did in time.
    Answered {
        /// The number of the ask.
        ask: u64,
        /// The name, or the address.
        host: String,
        /// The port.
        port: u16,
        /// What was said.
        answer: AskAnswer,
        /// By whom, such as `aca approve`.
        by: String,
    },
    /// Events were left out because there were too many of one kind.
    Dropped {
        /// How many.
        count: u64,
        /// The kind, such as `process_start`.
        kind: String,
    },
}

/// A proxy outside that a connection went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    /// Its URL, without credentials.
    pub proxy: String,
    /// Whether the name was looked up here and led to public addresses; else the proxy alone knows where it leads.
    pub checked: bool,
}

/// A ref of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedRef {
    /// Its full name.
    pub name: String,
    /// `create`, `update` or `delete`.
    pub change: String,
    /// The object that it should become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// What became of it.
    pub outcome: RefOutcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What became of a ref of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefOutcome {
    /// The server took it.
    Taken,
    /// The server didn't.
    NotTaken,
    /// The policy let nothing of the push through.
    Refused,
}

/// How a trust-sensitive file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustChange {
    /// Not there before.
    Appeared,
    /// Other content, type or mode.
    Changed,
    /// Gone.
    Removed,
}

/// What was said to an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskAnswer {
    /// Yes, to what waits now.
    Once,
    /// Yes, until the session ends.
    Session,
    /// No, until the session ends.
    Denied,
    /// Nothing.
    None,
}

impl AskAnswer {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Session => "for this session",
            Self::Denied => "no",
            Self::None => "no answer",
        }
    }
}

impl Event {
    /// Whether the policy stood in the way of something that the user may want to know of.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        match self {
            Self::Lookup { denied, .. }
            | Self::Connection { denied, .. }
            | Self::Request { denied, .. }
            | Self::GitRequest { denied, .. } => denied.as_ref().is_some_and(|deny| !deny.quiet),
            Self::SyscallRefused { .. } | Self::NameRefused { .. } => true,
            Self::SessionStart { .. }
            | Self::SettingsWait { .. }
            | Self::Degraded { .. }
            | Self::SessionEnd { .. }
            | Self::ProcessStart { .. }
            | Self::BudgetReached { .. }
            | Self::Port { .. }
            | Self::Visit { .. }
            | Self::Listening { .. }
            | Self::CredentialUsed { .. }
            | Self::TrustChange { .. }
            | Self::PutAway { .. }
            | Self::Masked { .. }
            | Self::Protected { .. }
            | Self::StateNotKept { .. }
            | Self::GitBrought { .. }
            | Self::GitAside { .. }
            | Self::GitNotBrought { .. }
            | Self::RulesChanged { .. }
            | Self::Asked { .. }
            | Self::Answered { .. }
            | Self::Dropped { .. } => false,
        }
    }
}

/// Takes events; shared by every part of the supervisor, from any thread.
pub trait Emit: Send + Sync {
    /// Takes one. Never blocks on anything but the log's own write, and never fails: the log counts what it lost.
    fn emit(&self, event: Event);

    /// How many denials it has taken so far.
    fn denied(&self) -> u64 {
        0
    }
}
