//! What will be done: pure data from policy and facts.

pub mod linux;
mod view;

pub use view::{Entry, Identity, Kind, View};

use crate::policy::{Capture, Grant, NetworkPreset};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All that will be done for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The agent's name.
    pub agent: String,
    /// The project's root.
    pub project: PathBuf,
    /// The home directory inside.
    pub home: PathBuf,
    /// The program.
    pub program: linux::Program,
    /// The file system.
    pub view: View,
    /// The network.
    pub network: NetworkPlan,
    /// Resource limits for the program.
    pub limits: Vec<(linux::Resource, u64)>,
    /// Facilities granted by name.
    pub grants: Vec<Grant>,
    /// Executions and refusals are reported.
    pub observe: bool,
}

/// The network inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Which preset.
    pub preset: NetworkPreset,
    /// How connections are captured.
    pub capture: Capture,
    /// Ports that need a listener of their own without redirect.
    pub ports: Vec<u16>,
}
