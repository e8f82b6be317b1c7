//! Where aca's own files are, from the environment as it was read once.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Directories that the rest is found from. Pure: nothing is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The user's home.
    pub home: PathBuf,
    /// The current directory.
    pub current: PathBuf,
    /// `$XDG_CONFIG_HOME`, or `.config` in the home.
    pub config: PathBuf,
    /// `$XDG_STATE_HOME`, or `.local/state` in the home.
    pub state: PathBuf,
    /// `$XDG_DATA_HOME`, or `.local/share` in the home.
    pub data: PathBuf,
}

impl Places {
    /// From the environment, the home and the current directory. A relative XDG variable counts as unset, as the XDG
    /// base directory specification has it.
    #[must_use]
    pub fn new(environment: &[(OsString, OsString)], home: &Path, current: &Path) -> Self {
        let place = |variable: &str, default: &str| {
            environment
                .iter()
                .find(|(name, _)| name == variable)
                .map(|(_, value)| PathBuf::from(value))
                .filter(|path| path.is_absolute())
                .unwrap_or_else(|| home.join(default))
        };
        Self {
            home: home.to_owned(),
            current: current.to_owned(),
            config: place("XDG_CONFIG_HOME", ".config"),
            state: place("XDG_STATE_HOME", ".local/state"),
            data: place("XDG_DATA_HOME", ".local/share"),
        }
    }

    /// The user's configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("aca/config.toml")
    }

    /// Where session logs are.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.state.join("aca/sessions")
    }

    /// Where the control sockets of running sessions are.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.state.join("aca/control")
    }

    /// Where history is loaded to that a push needs; gone with the session.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.state.join("aca/history")
    }

    /// What running sessions let be written.
    #[must_use]
    pub fn written(&self) -> PathBuf {
        self.state.join("aca/written")
    }

    /// What runs masked.
    #[must_use]
    pub fn masked(&self) -> PathBuf {
        self.state.join("aca/masked")
    }

    /// What is locked while agents' state is merged: beside the sessions, which are there by then.
    #[must_use]
    pub fn state_lock(&self) -> PathBuf {
        self.state.join("aca/state.lock")
    }

    /// What runs lock while names are made in them: beside the sessions, which are there by then.
    #[must_use]
    pub fn names_lock(&self) -> PathBuf {
        self.state.join("aca/names.lock")
    }

    /// How projects were before runs, as long as what changed waits to be looked at.
    #[must_use]
    pub fn exit_gate(&self) -> PathBuf {
        self.state.join("aca/exit")
    }

    /// Private git directories of sessions.
    #[must_use]
    pub fn private_git(&self) -> PathBuf {
        self.state.join("aca/git")
    }

    /// What repositories borrowed from before runs wrote their git directories.
    #[must_use]
    pub fn borrowed(&self) -> PathBuf {
        self.state.join("aca/borrowed")
    }

    /// What was put away.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.state.join("aca/quarantine")
    }

    /// Which projects' files are trusted.
    #[must_use]
    pub fn trust_store(&self) -> PathBuf {
        self.state.join("aca/trust.json")
    }

    /// Where the jail-owned caches are.
    #[must_use]
    pub fn stores(&self) -> PathBuf {
        self.data.join("aca/stores")
    }

    /// aca's own directories, which are never visible inside.
    #[must_use]
    pub fn own(&self) -> [PathBuf; 3] {
        [
            self.config.join("aca"),
            self.state.join("aca"),
            self.data.join("aca"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xdg_variables_count_when_absolute() {
        let environment = [
            (OsString::from("XDG_CONFIG_HOME"), OsString::from("/c")),
            (OsString::from("XDG_STATE_HOME"), OsString::from("relative")),
        ];
        let places = Places::new(&environment, Path::new("/home/u"), Path::new("/w"));
        assert_eq!(places.config_file(), Path::new("/c/aca/config.toml"));
        assert_eq!(places.sessions(), Path::new("/home/u/.local/state/aca/sessions"));
        assert_eq!(places.stores(), Path::new("/home/u/.local/share/aca/stores"));
    }
}
