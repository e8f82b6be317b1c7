//! Path rules: which path may be read, written, or is hidden.

use super::Origin;
use serde::{Deserialize, Serialize, Serializer};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// What a rule grants. The order is that of strictness: `Hide` is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read and write.
    Write,
    /// Read only.
    Read,
    /// Not there, or there and unreadable.
    Hide,
}

/// One rule on a path; for a directory it holds for all beneath it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRule {
    /// Absolute, no `.` or `..` components. May hold globs (`*`, `**`, `?`) when `access` is `Hide` or `Read` and it
    /// lies in the project.
    pub path: PathBuf,
    /// What it grants.
    pub access: Access,
    /// Where it was written.
    pub origin: Origin,
    /// What is there.
    #[serde(default)]
    pub place: Place,
}

/// What a part of the view is: why a rule on it says what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// What a rule of the user's names.
    #[default]
    Rule,
    /// What a pattern of the user's found.
    Pattern,
    /// The project.
    Project,
    /// The system.
    System,
    /// A tool chain of the user's.
    ToolChain,
    /// The real home.
    Home,
    /// State of the agent, shared with the host.
    AgentState,
    /// State of the agent that its sandboxes share, and the host's client never sees.
    AgentStore,
    /// What of the agent's own isn't changed from inside.
    AgentOwn,
    /// A cache of aca's own.
    Cache,
    /// Private to the run: empty at its start, gone at its end.
    Private,
    /// The private git directory, in the place of the project's.
    Git,
    /// A file that aca makes; the host's isn't changed by it.
    Made,
    /// Processes, devices and settings of the kernel.
    Kernel,
    /// A secret.
    Secret,
    /// What the host runs or trusts later, with when it does.
    Protected(String),
    /// aca's own configuration and state.
    Own,
}

impl Place {
    /// What it is, for people.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Rule => "named by a rule",
            Self::Pattern => "found by a pattern",
            Self::Project => "the project",
            Self::System => "the system, read-only",
            Self::ToolChain => "a tool chain, read-only",
            Self::Home => "the real home, read-only",
            Self::AgentState => "state of the agent, shared with the host",
            Self::AgentStore => "state of the agent in sandboxes, not the host's",
            Self::AgentOwn => "the agent's own, read-only",
            Self::Cache => "a cache of aca's own, not the host's",
            Self::Private => "private to the run: empty at its start, gone at its end",
            Self::Git => {
                "the run's own git directory: branches, index and stash come back to yours, each looked at first"
            }
            Self::Made => "made by aca for the run",
            Self::Kernel => "the kernel's: processes, devices and settings of the run",
            Self::Secret => "a secret",
            Self::Protected(_) => "run or trusted by the host later",
            Self::Own => "aca's own configuration and state",
        }
    }
}

impl PathRule {
    /// The rule that decides `path`: the longest that holds it, on a tie the stricter.
    #[must_use]
    pub fn nearest<'a>(rules: &'a [Self], path: &Path) -> Option<&'a Self> {
        rules
            .iter()
            .filter(|rule| path.starts_with(&rule.path))
            // What is told of two that say the same doesn't depend on their order either.
            .max_by_key(|rule| {
                let told = Reverse((&rule.origin, &rule.place));
                (rule.path.components().count(), rule.access, told)
            })
    }
}

/// Whether a path holds a glob.
pub(crate) fn is_glob(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Writes a path as text. A name need not be UTF-8, and what can't be written that way would be left out of the log.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn lossy_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, access: Access) -> PathRule {
        PathRule {
            path: path.into(),
            access,
            origin: Origin::Flag(String::new()),
            place: Place::Rule,
        }
    }

    #[test]
    fn longest_wins_then_stricter() {
        let rules = [
            rule("/a", Access::Write),
            rule("/a/b", Access::Hide),
            rule("/a/b", Access::Read),
            rule("/a/b/c", Access::Write),
        ];
        assert_eq!(
            PathRule::nearest(&rules, Path::new("/a/x")).unwrap().access,
            Access::Write
        );
        assert_eq!(
            PathRule::nearest(&rules, Path::new("/a/b/x")).unwrap().access,
            Access::Hide
        );
        assert_eq!(
            PathRule::nearest(&rules, Path::new("/a/b/c/x")).unwrap().access,
            Access::Write
        );
        assert!(PathRule::nearest(&rules, Path::new("/ab")).is_none());
    }
}
