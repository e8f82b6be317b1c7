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
    use crate::policy::*;
    let _ = (file, bases);
    let mut rules: Vec<HostRule> = agent
        .network
        .hosts
        .iter()
        .map(|p| HostRule {
            pattern: p.clone(),
            allow: true,
            quiet: false,
            origin: Origin::BuiltIn("agent".into()),
        })
        .collect();
    for (list, allow) in [(&flags.allow, true), (&flags.deny, false)] {
        for l in list {
            rules.push(HostRule {
                pattern: l.value.clone(),
                allow,
                quiet: false,
                origin: l.origin.clone(),
            });
        }
    }
    let mut paths = vec![];
    for (list, access) in [
        (&flags.read, Access::Read),
        (&flags.write, Access::Write),
        (&flags.hide, Access::Hide),
    ] {
        for l in list {
            paths.push(PathRule {
                path: bases.current.join(&l.value),
                access,
                origin: l.origin.clone(),
            });
        }
    }
    Ok(Policy {
        home: flags.home.as_ref().map_or(Home::Private, |h| h.value),
        paths,
        network: NetworkPolicy {
            preset: flags.preset.as_ref().map_or(NetworkPreset::Dev, |p| p.value),
            rules,
            resolve: vec![],
            capture: Capture::Auto,
        },
        environment: EnvironmentPolicy {
            keep: [
                "PATH", "LANG", "LC_*", "TERM", "USER", "LOGNAME", "SHELL", "TZ", "T",
            ]
            .map(String::from)
            .to_vec(),
            set: vec![],
        },
        grants: flags.grants.iter().map(|g| g.value).collect(),
        limits: flags.limits.clone(),
    })
}
