//! Built-in data: network presets, tool chains, what of the system is shown, which variables are kept. Typed, and
//! parsed when it is asked for.

mod home_path;
mod tree;

pub use home_path::{HomePath, HomePathError};
pub use tree::{CONTENT_BYTES_MAX, RuleKind, RunsWhen, TreeRule, TreeRules, tree_rules};

use crate::policy::{HostPattern, NetworkPreset};
use serde::Deserialize;
use std::{ffi::OsString, path::PathBuf};

/// An embedded file is wrong: a fault of this build, which a test holds.
#[derive(Debug, thiserror::Error)]
#[error("the built-in data in {file} is wrong")]
pub struct PresetError {
    /// The file, as origins name it.
    pub file: &'static str,
    /// What is wrong.
    #[source]
    pub source: Box<toml::de::Error>,
}

/// Hosts that a network preset allows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostGroup {
    /// The preset that has them.
    pub preset: NetworkPreset,
    /// Why.
    pub why: String,
    /// The hosts.
    pub patterns: Vec<HostPattern>,
}

/// `network.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPresets {
    /// All groups.
    pub group: Vec<HostGroup>,
}

/// A tool chain in the home, shown read-only where it exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it is.
    pub why: String,
    /// Its directory in the home.
    pub home: HomePath,
    /// The variable that moves that directory, if the tool has one.
    #[serde(default)]
    pub variable: Option<String>,
    /// What of it is shown; all of it if left out.
    #[serde(default)]
    pub read: Vec<HomePath>,
}

/// A cache in the home, backed by a store of aca's own and never by the host's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// What it is.
    pub why: String,
    /// Its directory in the home.
    pub home: HomePath,
    /// The variable that moves the directory named by `home`, if the tool has one.
    #[serde(default)]
    pub variable: Option<String>,
    /// What of it is the cache; all of it if left out.
    #[serde(default)]
    pub below: Option<HomePath>,
    /// The store's name beneath [`Places::stores`](crate::config::Places::stores).
    pub store: String,
}

/// `toolchains.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchains {
    /// Shown read-only.
    pub tool: Vec<Tool>,
    /// Backed by stores.
    pub cache: Vec<Cache>,
}

/// A path of the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemPath {
    /// Absolute.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// `system.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Shown read-only where it exists; a symlink stays a symlink.
    pub show: Vec<SystemPath>,
    /// Hidden beneath what is shown (matters to root alone: others can't read it anyway).
    pub hide: Vec<SystemPath>,
}

/// Variables with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableGroup {
    /// Why.
    pub why: String,
    /// Names; `*` stands for any run of characters.
    pub names: Vec<String>,
}

/// `environment.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Kept when set outside.
    pub keep: Vec<VariableGroup>,
    /// Never kept by a pattern: only a user who names one exactly gets it.
    pub never: Vec<VariableGroup>,
}

/// The network presets.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn network() -> Result<NetworkPresets, PresetError> {
    parse("presets/network.toml", include_str!("network.toml"))
}

/// Tool chains and caches.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn toolchains() -> Result<Toolchains, PresetError> {
    parse("presets/toolchains.toml", include_str!("toolchains.toml"))
}

/// What of the root is shown.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn system() -> Result<System, PresetError> {
    parse("presets/system.toml", include_str!("system.toml"))
}

/// Which variables are kept.
///
/// # Errors
/// [`PresetError`], a fault of this build.
pub fn environment() -> Result<Environment, PresetError> {
    parse("presets/environment.toml", include_str!("environment.toml"))
}

fn parse<T: serde::de::DeserializeOwned>(file: &'static str, text: &str) -> Result<T, PresetError> {
    toml::from_str(text).map_err(|source| PresetError { file, source: Box::new(source) })
}

/// A cache with its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlace {
    /// Where it is inside.
    pub path: PathBuf,
    /// The store's name.
    pub store: String,
}

impl Toolchains {
    /// What is shown read-only for this home and environment, absolute. A variable that points at the home, at a
    /// directory above it or nowhere absolute counts as unset: it would show far more than a tool chain.
    #[must_use]
    pub fn read_paths(&self, home: &std::path::Path, environment: &[(OsString, OsString)]) -> Vec<PathBuf> {
        let _ = (home, environment);
        Vec::new()
    }

    /// Where the caches are for this home and environment. Only places in the home: a cache that was moved out of it
    /// is no part of the private home.
    #[must_use]
    pub fn cache_places(&self, home: &std::path::Path, environment: &[(OsString, OsString)]) -> Vec<CachePlace> {
        let _ = (home, environment);
        Vec::new()
    }
}
