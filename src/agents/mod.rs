//! Agents as data: one TOML file each, embedded, parsed only when that agent runs.

mod merge;

pub use merge::{MAX_STATE_BYTES, MergeError, Merged, merge_append, merge_json, merge_whole};

use crate::{policy::HostPattern, presets::HomePath};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ffi::OsStr};

/// The definition of any command that is no known agent.
pub const GENERIC: &str = "generic";

/// All that aca knows of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentDefinition {
    /// Its name in configuration and events.
    pub name: String,
    /// Program names that start it.
    pub commands: Vec<String>,
    /// It brings a sandbox of its own: run without the Landlock file-system domain, which would forbid its mounts.
    pub nested_sandbox: bool,
    /// Hosts.
    pub network: AgentNetwork,
    /// Variables.
    pub environment: AgentEnvironment,
    /// What it keeps in the home.
    pub state: AgentState,
    /// Where it may be installed in the home.
    pub install: AgentInstall,
}

/// Hosts of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentNetwork {
    /// Its own API hosts: what the presets `agent` and `dev` allow.
    pub hosts: Vec<HostPattern>,
    /// Telemetry that is denied without being news.
    pub quiet_deny: Vec<HostPattern>,
}

/// Variables of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentEnvironment {
    /// Kept when set outside; a trailing `*` stands for any rest.
    pub keep: Vec<String>,
    /// Set inside.
    pub set: BTreeMap<String, String>,
}

/// What an agent keeps in the home. Paths are relative to it; the longest path decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentState {
    /// Directories that are private to the run: they hold what the rest of this table puts there, and what is written
    /// besides is gone at the end.
    pub private: Vec<HomePath>,
    /// Directories bound read-write, created on the host if missing.
    pub share: Vec<HomePath>,
    /// Files and directories bound read-only when they exist on the host.
    pub read: Vec<HomePath>,
    /// Files copied in at the start and merged back at the end.
    pub merge: Vec<MergedFile>,
}

/// A file that is copied in and merged back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergedFile {
    /// Where it is.
    pub path: HomePath,
    /// How it is merged.
    pub format: MergeFormat,
    /// For `json`: keys whose value on the host always wins, at any depth.
    #[serde(default)]
    pub host_keeps: Vec<String>,
}

/// How a file is merged back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeFormat {
    /// By key: [`merge_json`].
    Json,
    /// The whole file or nothing: [`merge_whole`].
    Whole,
    /// What was added at the end: [`merge_append`].
    Append,
}

/// Where an agent may be installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentInstall {
    /// Paths in the home, bound read-only when they exist.
    pub roots: Vec<HomePath>,
}

/// Why there is no definition.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No such agent.
    #[error("there is no agent `{name}`; known are {known}")]
    Unknown {
        /// As asked for.
        name: String,
        /// All names, for people.
        known: String,
    },
    /// An embedded file is wrong: a fault of this build, which a test holds.
    #[error("the built-in definition of agent `{name}` is wrong")]
    BuiltIn {
        /// The agent.
        name: &'static str,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
}

/// An embedded file, with what is needed to choose it before it is parsed.
struct Embedded {
    name: &'static str,
    commands: &'static [&'static str],
    text: &'static str,
}

/// Every file in this folder; a test fails when one is missing here.
const EMBEDDED: &[Embedded] = &[
    Embedded {
        name: "claude",
        commands: &["claude"],
        text: include_str!("claude.toml"),
    },
    Embedded {
        name: GENERIC,
        commands: &[],
        text: include_str!("generic.toml"),
    },
];

/// The names of all agents.
pub fn names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|embedded| embedded.name)
}

/// The agent that a command word starts, if it is one: the bare name of a known program. A path is never taken for an
/// agent, since a project could bring a file of that name; `--agent` says so where it is one.
#[must_use]
pub fn name_of_command(word: &OsStr) -> Option<&'static str> {
    EMBEDDED
        .iter()
        .find(|embedded| embedded.commands.iter().any(|command| word == *command))
        .map(|found| found.name)
}

/// The definition of the agent of that name.
///
/// # Errors
/// No such agent.
pub fn load(name: &str) -> Result<AgentDefinition, AgentError> {
    let found = EMBEDDED
        .iter()
        .find(|embedded| embedded.name == name)
        .ok_or_else(|| AgentError::Unknown {
            name: name.to_owned(),
            known: names()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    toml::from_str(found.text).map_err(|source| AgentError::BuiltIn {
        name: found.name,
        source: Box::new(source),
    })
}
