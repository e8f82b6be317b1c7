//! What is asked of a running session, and what it says.

use crate::policy::{HostPattern, HostPort, NetworkPreset, Origin, PortKind, Published, lossy_path};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Version of the messages. Both ends are the same program mostly; after an update a session of the old one may run still.
pub const VERSION: u32 = 1;

/// A message with its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// [`VERSION`].
    pub v: u32,
    /// The message.
    pub message: T,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What is running.
    Status,
    /// Adds rules to the session.
    Rules(NewRules),
    /// Which ports lead over the wall, and what listens inside.
    Ports(PortsAsked),
    /// What waits for an answer, at once.
    Asks,
    /// The same once it isn't the list of that version any more, or after a moment. Whoever asks this listens.
    Watch {
        /// The version that is known.
        seen: u64,
    },
    /// Answers an ask.
    Decide {
        /// Its number.
        ask: u64,
        /// What is said.
        decision: Decision,
    },
}

/// What the session says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Rules`].
    Rules(RulesAdded),
    /// To [`Request::Ports`].
    Ports(PortsState),
    /// To [`Request::Asks`] and [`Request::Watch`].
    Asks {
        /// The list's version.
        version: u64,
        /// What waits.
        asks: Vec<Ask>,
    },
    /// To [`Request::Decide`].
    Decided {
        /// What it was about.
        host: HostPattern,
        /// How many connections waited for it.
        connections: u64,
    },
    /// It isn't done.
    Refused(Refused),
}

/// What is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The session's id.
    pub session: String,
    /// The agent's name, `generic` for a plain command.
    pub agent: String,
    /// The project's directory.
    #[serde(serialize_with = "lossy_path")]
    pub project: PathBuf,
    /// Process id of the supervisor.
    pub pid: u32,
    /// The base of its network's rules.
    pub network: NetworkPreset,
    /// Connections that are open.
    pub connections: u64,
}

/// Rules to add to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRules {
    /// Which hosts.
    pub hosts: Vec<HostPattern>,
    /// Whether they are allowed from now on, or denied.
    pub allow: bool,
    /// Whether open connections end that are denied then.
    pub cut: bool,
}

/// What became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesAdded {
    /// Hosts that stay denied, the rule that does so, and where it stands.
    pub against: Vec<(HostPattern, HostPattern, Origin)>,
    /// How many connections were ended.
    pub cut: u64,
}

/// What is asked of ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PortsAsked {
    /// Nothing: what is open is wanted.
    List,
    /// Lets the host reach a server inside.
    Publish(Published),
    /// Lets a service of the host's be reached.
    HostPort(HostPort),
    /// Closes the port of the host that leads inside.
    ClosePublished(u16),
    /// Closes the port inside that leads to a service of the host's.
    CloseHostPort(u16),
}

/// Ports as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortsState {
    /// Those that lead over the wall.
    pub open: Vec<OpenPort>,
    /// Where programs inside listen, as far as a bound goes; `None` where the kernel doesn't tell.
    pub listening: Option<Vec<SocketAddr>>,
    /// How many listen beyond the bound.
    pub left_out: u64,
}

/// A port that leads over the wall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPort {
    /// Which way.
    pub kind: PortKind,
    /// The address of the host; its loopback if `None`.
    pub address: Option<IpAddr>,
    /// The port of the host.
    pub host: u16,
    /// The port inside.
    pub inside: u16,
    /// Who wants it.
    pub origin: Origin,
}

/// What is said to an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Yes, to what waits now.
    Once,
    /// Yes, until the session ends.
    Session,
    /// No, until the session ends.
    Deny,
}

/// One that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Its number in the session.
    pub number: u64,
    /// The name in the form that DNS has, or the address; chosen inside.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Milliseconds that it still waits.
    pub left_ms: u64,
    /// How many connections wait for it.
    pub connections: u64,
    /// Process id on the host of the program that made the first of them, where that could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The file that it executed, as seen inside; chosen inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// Why it isn't done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What and why.
    pub message: String,
    /// What to do, where something can be done.
    pub hint: Option<String>,
}

impl Refused {
    /// With what to do.
    #[must_use]
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }
}
