//! Settings of other sandboxes as ours: sandbox-runtime's (`srt`) and Claude Code's.
//!
//! One file a dialect; both end in [`lists`], which turns lists of paths with their own precedence into rules of which
//! the longest path wins. What can't be carried over is said, entry by entry ([`Left`]): a restriction that would be lost
//! is no small matter, and whoever calls this stops there.
//!
//! Nothing here looks at the machine beyond reading the file; what paths are is asked of [`Surroundings::look`].

mod claude;
#[cfg(fuzzing)]
pub mod fuzz;
mod json;
mod lists;
mod reader;
mod reading;
mod srt;
#[cfg(test)]
mod tests;
mod write;

pub use claude::{ClaudeFile, Scope, claude};
pub use srt::{run_under_srt, srt};
pub use write::toml;

use super::{
    ConfigError, FileLayer, Settings, Source, Trust, layer::Located, path::WrittenPath,
    value::EnvironmentEntry,
};
use crate::policy::{Access, Grant, Home, HostPattern, NetworkPreset, Origin};
use std::path::{Path, PathBuf};

/// Where the settings are to hold.
pub struct Surroundings<'a> {
    /// The home: `~`.
    pub home: &'a Path,
    /// The current directory: relative paths.
    pub current: &'a Path,
    /// The project.
    pub project: &'a Path,
    /// What is writable with it: the repository of a linked work tree.
    pub extra: &'a [PathBuf],
    /// What a path is without symbolic links; `None` where nothing is.
    pub look: &'a dyn Fn(&Path) -> Option<PathBuf>,
    /// What of the host is seen inside besides home and project.
    pub visible: Vec<PathBuf>,
    /// What of the home is seen inside though the home is a private one: tool chains.
    pub tools: Vec<PathBuf>,
}

/// What became of a file of settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// What is carried over, in the order in which it is written.
    pub entries: Vec<Entry>,
    /// What isn't.
    pub left: Vec<Left>,
}

/// One entry of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it sets.
    pub setting: Setting,
    /// The key that it comes from, such as `filesystem.denyRead[0]`.
    pub key: String,
    /// Where that stands.
    pub origin: Origin,
}

/// What an entry sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `[network] preset`.
    Preset(NetworkPreset),
    /// `[network] allow`.
    Allow(HostPattern),
    /// `[network] deny`.
    Deny(HostPattern),
    /// `[files] home`.
    Home(Home),
    /// `[files] read`, `write` and `hide`.
    Path {
        /// Which list.
        access: Access,
        /// Absolute.
        path: WrittenPath,
        /// As it is written in a file that holds for every project.
        written: String,
    },
    /// `[environment.set]`.
    Set(EnvironmentEntry),
    /// `grants`.
    Grant(Grant),
}

impl Setting {
    /// Whether it opens something.
    #[must_use]
    pub const fn allows(&self) -> bool {
        match self {
            Self::Preset(_) | Self::Deny(_) | Self::Home(_) => false,
            Self::Allow(_) | Self::Set(_) | Self::Grant(_) => true,
            Self::Path { access, .. } => matches!(access, Access::Write),
        }
    }
}

/// Something that isn't carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The key, with the value where that says more.
    pub what: String,
    /// Where it stands.
    pub origin: Origin,
    /// Why not.
    pub why: String,
    /// What to do.
    pub instead: Option<String>,
    /// What is lost.
    pub loss: Loss,
}

/// What is lost with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A restriction: without it the command could do more than the file lets it.
    Restriction,
    /// A permission: the command can do less.
    Permission,
    /// Neither.
    Nothing,
}

impl Imported {
    /// The restrictions that are lost.
    pub fn lost_restrictions(&self) -> impl Iterator<Item = &Left> {
        self.left.iter().filter(|left| left.loss == Loss::Restriction)
    }

    /// As a layer of the configuration, for a run here: paths are absolute.
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for entry in &self.entries {
            let origin = entry.origin.clone();
            match &entry.setting {
                Setting::Preset(preset) => settings.preset = Some(located(*preset, origin)),
                Setting::Allow(host) => settings.allow.push(located(host.clone().into(), origin)),
                Setting::Deny(host) => settings.deny.push(located(host.clone(), origin)),
                Setting::Home(home) => settings.home = Some(located(*home, origin)),
                Setting::Path { access, path, .. } => {
                    let list = match access {
                        Access::Read => &mut settings.read,
                        Access::Write => &mut settings.write,
                        Access::Hide => &mut settings.hide,
                    };
                    list.push(located(path.clone(), origin));
                }
                Setting::Set(entry) => settings.environment.push(located(entry.clone(), origin)),
                Setting::Grant(grant) => settings.grants.push(located(*grant, origin)),
            }
        }
        settings
    }
}

const fn located<T>(value: T, origin: Origin) -> Located<T> {
    Located { value, origin }
}

/// Reads the file at `path`, which may be anything: bounded, and without waiting for a pipe's other end.
///
/// # Errors
/// It can't be read, is no regular file, is too large or no UTF-8.
pub fn read_source(path: PathBuf) -> Result<Source, ConfigError> {
    super::load::read_regular(path)
}

/// The layer of a file that stands in place of the user's configuration.
fn layer(source: Source, settings: Settings) -> FileLayer {
    FileLayer {
        source,
        settings,
        // The user named it.
        trust: Trust::Full,
        ..FileLayer::default()
    }
}
