//! Names that may not come to be during a run: where that holds, and what is open all the same. Which names they are
//! stands in `presets/protected.toml`, one list for what is there and what isn't.

use super::{Origin, path_text};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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

/// A directory in which names may be made that the host would run or trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamesIn {
    /// The directory, which need not be there yet.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Who says so.
    pub origin: Origin,
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
    /// Directories in which a rule of the user's lets such names be made, by patterns; what `exact` has stays as it is.
    #[serde(default, with = "path_text::list")]
    pub open_in: Vec<PathBuf>,
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

impl NewNames {
    /// Whether a rule on directories lets any name be made at `path`: one that lies in such a directory, and a directory on
    /// the way to one, which is harmless by itself.
    #[must_use]
    pub fn opens_in(&self, path: &Path, directory: bool) -> bool {
        self.open_in.iter().any(|open| {
            let lies_in = path.starts_with(open) && path != open;
            lies_in || (directory && open.starts_with(path))
        })
    }
}
