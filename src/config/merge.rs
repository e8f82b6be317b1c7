//! Layers become the policy.

use super::{ConfigError, FileLayer, Settings};
use crate::{agents::AgentDefinition, policy::Policy};
use std::path::Path;

/// What paths that aren't absolute start from.
#[derive(Debug, Clone, Copy)]
pub struct Bases<'a> {
    /// The home: `~` in files and flags.
    pub home: &'a Path,
    /// The project: relative paths in files, and all globs.
    pub project: &'a Path,
    /// The current directory: relative paths in flags.
    pub current: &'a Path,
}

/// Merges the layers: built in (with the agent's own file) < the user's file < its section for the agent < flags.
///
/// # Errors
/// A path that can't be enforced as written, or flags that contradict each other.
pub fn merge(
    agent: &AgentDefinition,
    file: Option<&FileLayer>,
    flags: &Settings,
    bases: Bases<'_>,
) -> Result<Policy, ConfigError> {
    let _ = (agent, file, flags, bases);
    Err(ConfigError::NotYet)
}
