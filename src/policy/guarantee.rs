//! What is promised, by name.

use super::Origin;
use serde::{Deserialize, Serialize};

/// A promise of the README's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// P1: the user's secrets don't exist inside.
    SecretsAbsent,
    /// P1: the environment is an allow-list.
    EnvironmentFiltered,
    /// P2: writes reach only what was granted.
    WritesConfined,
    /// P3: what the host runs later stays as it is.
    LaterRunProtected,
    /// P4: the network is what the policy says.
    NetworkMediated,
    /// P6: no new privileges, no capabilities.
    NoPrivileges,
    /// P6: the kernel's surface is small.
    SurfaceSmall,
    /// P6: nothing outside can be seen, signalled or traced.
    ProcessesApart,
    /// P7: everything ends with the run.
    EndsWithRun,
    /// Resources are bounded.
    ResourcesBounded,
    /// P9: what was tried is recorded.
    Recorded,
}

impl Guarantee {
    /// Every one, for the test that none is forgotten.
    pub const ALL: [Self; 11] = [
        Self::SecretsAbsent,
        Self::EnvironmentFiltered,
        Self::WritesConfined,
        Self::LaterRunProtected,
        Self::NetworkMediated,
        Self::NoPrivileges,
        Self::SurfaceSmall,
        Self::ProcessesApart,
        Self::EndsWithRun,
        Self::ResourcesBounded,
        Self::Recorded,
    ];

    /// The word that stands for it in configuration and in the plan's JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SecretsAbsent => "secrets_absent",
            Self::EnvironmentFiltered => "environment_filtered",
            Self::WritesConfined => "writes_confined",
            Self::LaterRunProtected => "later_run_protected",
            Self::NetworkMediated => "network_mediated",
            Self::NoPrivileges => "no_privileges",
            Self::SurfaceSmall => "surface_small",
            Self::ProcessesApart => "processes_apart",
            Self::EndsWithRun => "ends_with_run",
            Self::ResourcesBounded => "resources_bounded",
            Self::Recorded => "recorded",
        }
    }
}

/// A guarantee that must be whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Which.
    pub guarantee: Guarantee,
    /// Who wants it.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_plan() {
        for guarantee in Guarantee::ALL {
            assert_eq!(serde_json::json!(guarantee), guarantee.word());
        }
    }
}
