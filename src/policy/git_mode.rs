//! Which git directory a program inside works on.

use serde::{Deserialize, Serialize};

/// The order is from narrow to wide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GitMode {
    /// A private one that borrows the host's objects; branches, index and stash come back while the run goes on, each
    /// looked at first. Nothing inside writes the host's: the default.
    #[default]
    Isolated,
    /// The host's own, but for what git would run or obey of it.
    Direct,
}

impl GitMode {
    /// All.
    pub const ALL: [Self; 2] = [Self::Isolated, Self::Direct];

    /// The word that stands for it in configuration and flags.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Direct => "direct",
        }
    }
}
