//! What is wrong with the configuration, and where.

use super::{excerpt::Excerpt, floor::Forbidden, path::PathError, trust::TrustError, value::ValueError};
use crate::{
    agents::AgentError,
    policy::{
        CommandPatternError, CredentialHostError, CredentialSourceError, HostPatternError, Origin,
        PathPatternError, PortError, RefPatternError, RepositoryError,
    },
    presets::PresetError,
};
use std::{io, path::PathBuf};

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No file.
    #[error("the configuration file {} is a directory", .0.display())]
    Directory(PathBuf),
    /// No file, but a pipe, a socket or a device.
    #[error("{} is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// Too big to be meant.
    #[error("the configuration file {} is larger than {} bytes", path.display(), limit)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// It is no regular file; the project's may not be a link either.
    #[error("the configuration file {} is {what}: a regular file is wanted", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
        /// What it is instead, with its article.
        what: &'static str,
    },
    /// The administrator's file, or a directory above it, isn't the administrator's alone.
    #[error("the administrator's configuration file doesn't count: {} {why}", path.display())]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Whether the project's file is trusted can't be told.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A fault at a place in the file.
    #[error("{problem}")]
    InFile {
        /// What is wrong.
        problem: Problem,
        /// Where.
        excerpt: Box<Excerpt>,
    },
    /// A fault in a flag.
    #[error("{origin}: {problem}")]
    InFlag {
        /// The flag.
        origin: Origin,
        /// What is wrong.
        problem: Problem,
    },
    /// Built-in data is wrong.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// There is no such agent, or its data is wrong.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// Bytes that are no UTF-8.
    #[error("the file is not UTF-8")]
    NotUtf8,
    /// A key that isn't known.
    #[error("unknown key `{key}`{}", in_table(table))]
    UnknownKey {
        /// As written.
        key: String,
        /// The table; empty at the top.
        table: String,
        /// The known key that is nearest.
        near: Option<&'static str>,
        /// The known keys, for people.
        known: String,
    },
    /// No agent of that name.
    #[error("there is no agent `{name}`")]
    UnknownAgent {
        /// As written.
        name: String,
        /// The known agent that is nearest.
        near: Option<&'static str>,
        /// The known agents, for people.
        known: String,
    },
    /// Another type than wanted.
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What is wanted, with its article.
        expected: &'static str,
        /// What is there, with its article.
        found: &'static str,
    },
    /// No host pattern.
    #[error("{0}")]
    Host(HostPatternError),
    /// No port that leads over the wall.
    #[error("{0}")]
    Port(PortError),
    /// No repository.
    #[error("{0}")]
    Repository(RepositoryError),
    /// No host of a credential.
    #[error("{0}")]
    CredentialHost(CredentialHostError),
    /// No source of one.
    #[error("{0}")]
    CredentialSource(CredentialSourceError),
    /// No user's name on a server.
    #[error("a user's name has no colon and no control character")]
    CredentialUser,
    /// No pattern of refs.
    #[error("{0}")]
    Ref(RefPatternError),
    /// No pattern of paths.
    #[error("{0}")]
    PathPattern(PathPatternError),
    /// No rule on commands.
    #[error("{0}")]
    Command(CommandPatternError),
    /// No such value.
    #[error("{0}")]
    Value(ValueError),
    /// No path that can be enforced.
    #[error("{0}")]
    Path(PathError),
    /// A glob where one path is meant.
    #[error("`{0}`: a pattern can be hidden or read, not written: write the paths out")]
    GlobWrite(String),
    /// A glob where a directory is meant.
    #[error("`{0}`: names can't be opened by a pattern: write the directories out")]
    GlobNames(String),
    /// A glob outside of the project.
    #[error("`{}` is a pattern outside of the project, where none is searched: write the paths out", .0.display())]
    GlobOutside(PathBuf),
    /// A right to write nearly everything.
    #[error("`{}` holds the home: writing there would reach all that is kept from the command", .0.display())]
    WriteTooWide(PathBuf),
    /// A sandbox of the agent's own that it doesn't have.
    #[error("`{0}` brings no sandbox of its own that could be kept")]
    NoOwnSandbox(String),
    /// No JSON.
    #[error("not valid JSON: {message}")]
    Json {
        /// What the parser says.
        message: String,
    },
    /// Nested deeper than settings are.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    /// A key that is there twice.
    #[error("the key `{0}` is there twice: which one counts would hang on who reads it")]
    Twice(String),
    /// A key that must be there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A value that the program whose settings they are doesn't take either.
    #[error("`{what}` is refused: {why}")]
    Refused {
        /// As written.
        what: String,
        /// Why.
        why: &'static str,
    },
    /// A restriction of another program's settings that would be lost.
    #[error("{what} can't be enforced as it is written: {why}")]
    Unenforced {
        /// The key, with the value where that says more.
        what: String,
        /// Why not.
        why: String,
        /// What to do.
        instead: Option<String>,
    },
    /// A key of the administrator's in another file.
    #[error("`{0}` counts in the administrator's file alone, `/etc/aca/config.toml`")]
    AdministratorOnly(&'static str),
    /// A key of the user's in a project's file.
    #[error("`{0}` counts in the user's or the administrator's file alone")]
    NotTheProjects(&'static str),
    /// More than the administrator lets anyone have.
    #[error("`{key}`: `{asked}` goes beyond `{most}`, the most that is allowed here ({})", forbidden.origin)]
    BeyondFloor {
        /// The key.
        key: String,
        /// What was asked for.
        asked: String,
        /// What may be had.
        most: String,
        /// Who says so.
        forbidden: Box<Forbidden>,
    },
    /// Wider than the administrator left it.
    #[error("{what}, and `{key}` is locked ({})", forbidden.origin)]
    Locked {
        /// What it would do.
        what: &'static str,
        /// The key.
        key: &'static str,
        /// Who says so.
        forbidden: Box<Forbidden>,
    },
    /// Hosts for a network that is off.
    #[error("it has no effect: the network is off ({0})")]
    NetworkOff(Origin),
}

impl Problem {
    /// Ways to mend it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownKey { near: Some(near), .. } | Self::UnknownAgent { near: Some(near), .. } => {
                vec![format!("did you mean `{near}`?")]
            }
            Self::UnknownKey {
                near: None, known, ..
            } => vec![format!("known keys here: {known}")],
            Self::UnknownAgent {
                near: None, known, ..
            } => vec![format!("known agents: {known}")],
            Self::Value(error) => error.remedy().into_iter().collect(),
            Self::Path(PathError::Parent(_)) => vec!["write the path without `..`".into()],
            Self::NetworkOff(_) => vec!["choose a preset as well: `--net agent`".into()],
            Self::BeyondFloor { forbidden, .. } | Self::Locked { forbidden, .. } => vec![forbidden.hint()],
            Self::NotTheProjects(key) => {
                vec![format!(
                    "take it out here, and write `{key}` in `~/.config/aca/config.toml`"
                )]
            }
            Self::AdministratorOnly(_) => {
                vec!["take it out here, or ask whoever administers this machine".into()]
            }
            Self::NoOwnSandbox(_) => {
                vec!["`--grant nested-userns` is what a sandbox of any command inside needs".into()]
            }
            Self::Unenforced { instead, .. } => instead.iter().cloned().collect(),
            Self::Missing(_) => vec!["write it, empty if nothing is meant".into()],
            Self::WriteTooWide(_) => vec!["name the directories that must be written".into()],
            Self::Syntax { .. }
            | Self::Json { .. }
            | Self::TooDeep(_)
            | Self::Twice(_)
            | Self::Refused { .. }
            | Self::Command(_)
            | Self::Repository(_)
            | Self::CredentialHost(_)
            | Self::CredentialSource(_)
            | Self::CredentialUser
            | Self::NotUtf8
            | Self::WrongType { .. }
            | Self::Host(_)
            | Self::Port(_)
            | Self::Path(_)
            | Self::GlobWrite(_)
            | Self::GlobNames(_)
            | Self::Ref(_)
            | Self::PathPattern(_)
            | Self::GlobOutside(_) => Vec::new(),
        }
    }
}

fn in_table(table: &str) -> String {
    if table.is_empty() {
        String::new()
    } else {
        format!(" in [{table}]")
    }
}
