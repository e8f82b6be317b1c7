//! What one layer (a file, an agent's section, the flags) says, each value with the place where it was written.

use super::{
    excerpt::Source,
    path::WrittenPath,
    value::{EnvironmentEntry, FixedAddress},
};
use crate::policy::{
    Capture, CommandPattern, Grant, Home, HostPattern, Limits, NetworkPreset, Origin, OwnSandbox,
};
use std::collections::BTreeMap;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Origin,
}

/// What one layer says; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[network] preset`.
    pub preset: Option<Located<NetworkPreset>>,
    /// `[network] allow`.
    pub allow: Vec<Located<HostPattern>>,
    /// `[network] deny`.
    pub deny: Vec<Located<HostPattern>>,
    /// `[network] resolve`.
    pub resolve: Vec<Located<FixedAddress>>,
    /// `[network] capture`.
    pub capture: Option<Located<Capture>>,
    /// `[environment] keep` and `set`.
    pub environment: Vec<Located<EnvironmentEntry>>,
    /// `[files] read`, as written.
    pub read: Vec<Located<WrittenPath>>,
    /// `[files] write`, as written.
    pub write: Vec<Located<WrittenPath>>,
    /// `[files] hide`, as written.
    pub hide: Vec<Located<WrittenPath>>,
    /// `[files] home`.
    pub home: Option<Located<Home>>,
    /// `[commands] deny`.
    pub deny_commands: Vec<Located<CommandPattern>>,
    /// `grants`.
    pub grants: Vec<Located<Grant>>,
    /// `[limits]`.
    pub limits: Limits,
    /// `own_sandbox`, in an agent's section only.
    pub own_sandbox: Option<Located<OwnSandbox>>,
}

/// A configuration file that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileLayer {
    /// The file and its text.
    pub source: Source,
    /// What holds for every run.
    pub settings: Settings,
    /// What holds for runs of one agent, by its name.
    pub agents: BTreeMap<String, Settings>,
}
