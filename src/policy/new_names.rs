//! Names that may not come to be during a run: where that holds, and what is open all the same. Which names they are
//! stands in `presets/protected.toml`, one list for what is there and what isn't.

use super::path_text;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A directory, and the link that leads to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameAlias {
    /// The link.
    #[serde(with = "path_text")]
    pub link: PathBuf,
    /// The directory.
    #[serde(with = "path_text")]
    pub target: PathBuf,
}

/// Where names are judged. All paths are absolute and without links.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNames {
    /// The project, and directories that a rule makes writable: patterns hold at any depth beneath.
    #[serde(with = "path_text::list")]
    pub roots: Vec<PathBuf>,
    /// What a rule of the user's makes writable.
    #[serde(with = "path_text::list")]
    pub opened: Vec<PathBuf>,
    /// Single paths: what a repository would obey and doesn't have.
    #[serde(with = "path_text::list")]
    pub exact: Vec<PathBuf>,
    /// Directories that a link of the project's gives another name, and that name: what lies in them counts by both.
    pub aliases: Vec<NameAlias>,
    /// Roots in which the kernel makes no name by itself, but for the sandbox's first process: those that hold a judged
    /// one, or lie in one.
    #[serde(with = "path_text::list")]
    pub held: Vec<PathBuf>,
}
