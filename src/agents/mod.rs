//! Agents as data: one TOML file each, embedded, parsed only when that agent runs.

#[cfg(fuzzing)]
pub mod fuzz;
mod merge;

pub use merge::{MAX_STATE_BYTES, MergeError, Merged, merge_append, merge_json, merge_whole, parse_json};

use crate::{
    policy::{HostPattern, OwnSandbox},
    presets::{HomePath, built_in},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ffi::OsStr, path::Path};

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
    /// The sandbox that it brings itself, if it does.
    #[serde(default)]
    pub own_sandbox: Option<AgentSandbox>,
    /// Hosts.
    pub network: AgentNetwork,
    /// Variables.
    pub environment: AgentEnvironment,
    /// What it keeps in the home.
    pub state: AgentState,
    /// Where it may be installed in the home.
    pub install: AgentInstall,
}

/// A sandbox that an agent brings itself: one that needs nested user namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSandbox {
    /// What it is made of.
    pub what: String,
    /// What is done with it unless the user says otherwise.
    pub default: OwnSandbox,
    /// Why that is the default.
    pub why: String,
    /// How it is switched off by the agent's own documented means. Nothing here may answer the agent's questions to the
    /// user in the user's place.
    #[serde(default)]
    pub off: SwitchedOff,
}

/// What switches an agent's own sandbox off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchedOff {
    /// Put behind the program's name, before the user's own arguments, which win.
    pub arguments: Vec<String>,
    /// Set inside.
    pub environment: BTreeMap<String, String>,
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
    /// Set inside; a value that begins with `~/` is a path in the home.
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
    /// Directories that later runs of the agent find again and the host's own client never sees: they lie in a store of
    /// aca's own. For what a client keeps and also executes, obeys, or takes for the user's consent (databases with
    /// approvals, downloaded programs, shadow repositories).
    pub own: Vec<HomePath>,
    /// Files and directories bound read-only when they exist on the host.
    pub read: Vec<HomePath>,
    /// Files copied in at the start; what becomes of them inside is gone at the end. For settings that the client insists
    /// on writing: it would stop at a file that it can't write.
    pub copy: Vec<HomePath>,
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
    /// Whether it is a file of the sandboxes alone, as [`AgentState::own`]: it comes from aca's store and goes back there.
    #[serde(default)]
    pub own: bool,
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

impl MergeFormat {
    /// The word that stands for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Whole => "whole",
            Self::Append => "append",
        }
    }
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
        source: Box<serde_json::Error>,
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
        name: "aider",
        commands: &["aider"],
        text: built_in!("agents/aider"),
    },
    Embedded {
        name: "amp",
        commands: &["amp"],
        text: built_in!("agents/amp"),
    },
    Embedded {
        name: "claude",
        commands: &["claude"],
        text: built_in!("agents/claude"),
    },
    Embedded {
        name: "cline",
        commands: &["cline"],
        text: built_in!("agents/cline"),
    },
    Embedded {
        name: "codex",
        commands: &["codex"],
        text: built_in!("agents/codex"),
    },
    Embedded {
        name: "copilot",
        commands: &["copilot"],
        text: built_in!("agents/copilot"),
    },
    Embedded {
        name: "cursor-agent",
        commands: &["cursor-agent"],
        text: built_in!("agents/cursor-agent"),
    },
    Embedded {
        name: "gemini",
        commands: &["gemini"],
        text: built_in!("agents/gemini"),
    },
    Embedded {
        name: "goose",
        commands: &["goose"],
        text: built_in!("agents/goose"),
    },
    Embedded {
        name: "opencode",
        commands: &["opencode"],
        text: built_in!("agents/opencode"),
    },
    Embedded {
        name: GENERIC,
        commands: &[],
        text: built_in!("agents/generic"),
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

/// The program names of all agents.
pub fn commands() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().flat_map(|embedded| embedded.commands).copied()
}

impl AgentDefinition {
    /// Whether a word names one of its programs, by a path or without.
    #[must_use]
    pub fn is_program(&self, word: &OsStr) -> bool {
        let name = Path::new(word).file_name();
        name.is_some_and(|name| self.commands.iter().any(|command| name == OsStr::new(command)))
    }
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
    serde_json::from_str(found.text).map_err(|source| AgentError::BuiltIn {
        name: found.name,
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A file that nobody lists would never be used.
    #[test]
    fn every_file_is_listed_and_reads_back() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/agents");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .and_then(|name| name.strip_suffix(".toml"))
                    .map(String::from)
            })
            .collect();
        files.sort();
        let mut listed: Vec<_> = names().map(String::from).collect();
        listed.sort();
        assert_eq!(files, listed);
        for embedded in EMBEDDED {
            let definition = load(embedded.name).unwrap();
            assert_eq!(definition.name, embedded.name);
            assert_eq!(definition.commands, embedded.commands);
        }
    }

    #[test]
    fn commands_are_bare_names() {
        assert_eq!(name_of_command(OsStr::new("claude")), Some("claude"));
        for word in ["./claude", "/usr/bin/claude", "claude.sh", "generic", ""] {
            assert_eq!(name_of_command(OsStr::new(word)), None, "{word:?}");
        }
        assert!(load("emacs").is_err());
    }

    #[test]
    fn state_has_one_treatment_each() {
        for name in names() {
            let AgentDefinition {
                state,
                network,
                environment,
                ..
            } = load(name).unwrap();
            let mut paths: Vec<&HomePath> = state
                .share
                .iter()
                .chain(&state.read)
                .chain(&state.private)
                .chain(&state.own)
                .chain(&state.copy)
                .collect();
            paths.extend(state.merge.iter().map(|file| &file.path));
            let count = paths.len();
            paths.sort();
            paths.dedup();
            assert_eq!(paths.len(), count, "{name}");
            // What is shared may not hold what is kept apart: the inner bind would be reached through the outer one.
            for shared in state.share.iter().chain(&state.own) {
                assert!(
                    !paths
                        .iter()
                        .any(|path| *path != shared && path.as_path().starts_with(shared.as_path())),
                    "{shared}"
                );
            }
            // Files come and go by rename, so they need a directory of the run's own around them.
            for path in state.merge.iter().map(|file| &file.path).chain(&state.copy) {
                let parent = path.as_path().parent().unwrap();
                let mut private = state.private.iter();
                assert!(
                    parent == Path::new("") || private.any(|path| parent.starts_with(path.as_path())),
                    "{path}"
                );
            }
            for entry in environment
                .keep
                .iter()
                .map(|name| crate::config::value::EnvironmentEntry::keep(name))
            {
                entry.unwrap();
            }
            assert!(
                !network
                    .hosts
                    .iter()
                    .any(|host| network.quiet_deny.iter().any(|quiet| quiet.covers_hosts(host))),
                "{name}"
            );
        }
    }

    /// Settings that the client executes or trusts, by the names that it has for them.
    #[test]
    fn claude_settings_that_start_programs_stay_the_hosts() {
        let definition = load("claude").unwrap();
        let [json] = definition
            .state
            .merge
            .iter()
            .filter(|file| file.format == MergeFormat::Json)
            .collect::<Vec<_>>()[..]
        else {
            panic!("one JSON file");
        };
        for key in [
            "mcpServers",
            "hooks",
            "env",
            "apiKeyHelper",
            "awsAuthRefreshHelper",
            "otelHeadersHelper",
            "statusLine",
            "allowedTools",
            "enabledMcpjsonServers",
            "disabledMcpjsonServers",
            "hasTrustDialogAccepted",
            "hasClaudeMdExternalIncludesApproved",
            "bypassPermissionsModeAccepted",
            "customApiKeyResponses",
            "permissions",
            "enabledPlugins",
            "extraKnownMarketplaces",
            "sandbox",
            "additionalDirectories",
            "githubRepoPaths",
            "shellCommand",
            "mcpContextUris",
        ] {
            let end = serde_json::json!({ "projects": { "/p": { key: "evil" } }, key: "evil" });
            let none = serde_json::json!({});
            let merged = merge_json(&none, &none, &end, &json.host_keeps).unwrap();
            assert_eq!(
                merged.value,
                serde_json::json!({ "projects": { "/p": {} } }),
                "{key}"
            );
        }
        for key in [
            "numStartups",
            "hasCompletedOnboarding",
            "theme",
            "tipsHistory",
            "lastSessionId",
            "oauthAccount",
            "userID",
            "lastCost",
        ] {
            let end = serde_json::json!({ key: 1 });
            let none = serde_json::json!({});
            assert_eq!(
                merge_json(&none, &none, &end, &json.host_keeps).unwrap().value,
                end,
                "{key}"
            );
        }
    }
}
