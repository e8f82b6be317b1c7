//! What the caller handed us: environment, identity, directory. Read once, here.

use rustix::process::{getgid, getuid};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The caller's surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ambient {
    /// Every variable.
    pub environment: Vec<(OsString, OsString)>,
    /// The home directory, without symbolic links.
    pub home: PathBuf,
    /// The current directory, without symbolic links.
    pub directory: PathBuf,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Why the surroundings can't be told.
#[derive(Debug, thiserror::Error)]
pub enum AmbientError {
    /// The current directory is gone.
    #[error("the current directory can't be told: {0}")]
    Directory(std::io::Error),
    /// No home.
    #[error(
        "the home directory can't be told: HOME is not set to an absolute path, and uid {0} has no entry in /etc/passwd"
    )]
    Home(u32),
    /// The home isn't there.
    #[error("the home directory {path} can't be looked at")]
    HomeGone {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// `GIT_PROTOCOL`, which git sets for what it starts; empty where there is none that can be read.
#[must_use]
pub fn git_protocol() -> String {
    let found = std::env::vars_os().find(|(name, _)| name == "GIT_PROTOCOL");
    found
        .and_then(|(_, value)| value.into_string().ok())
        .unwrap_or_default()
}

impl Ambient {
    /// Reads them.
    ///
    /// # Errors
    /// Without a current directory or a home.
    pub fn read() -> Result<Self, AmbientError> {
        let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let directory = std::env::current_dir().map_err(AmbientError::Directory)?;
        let uid = getuid().as_raw();
        let named = environment
            .iter()
            .find(|(name, _)| name == "HOME")
            .map(|(_, value)| PathBuf::from(value));
        let home = match named {
            Some(home) if home.is_absolute() => home,
            _ => passwd_home(uid).ok_or(AmbientError::Home(uid))?,
        };
        let home =
            super::paths::real(&home).map_err(|source| AmbientError::HomeGone { path: home, source })?;
        Ok(Self {
            environment,
            home,
            directory,
            uid,
            gid: getgid().as_raw(),
        })
    }

    /// A variable's value, if it is set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    }

    /// A directory of the XDG base directory specification: the variable if it is absolute, else below the home.
    #[must_use]
    pub fn base_directory(&self, variable: &str, below_home: &str) -> PathBuf {
        self.variable(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| self.home.join(below_home))
    }

    /// Where aca keeps sessions.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.base_directory("XDG_STATE_HOME", ".local/state").join("aca")
    }

    /// Where aca keeps the stores behind jail-owned caches.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.base_directory("XDG_DATA_HOME", ".local/share").join("aca")
    }

    /// Where the user's configuration is.
    #[must_use]
    pub fn configuration_directory(&self) -> PathBuf {
        self.base_directory("XDG_CONFIG_HOME", ".config").join("aca")
    }
}

/// The home of a uid by `/etc/passwd` (passwd(5)).
fn passwd_home(uid: u32) -> Option<PathBuf> {
    let text = std::fs::read(Path::new("/etc/passwd")).ok()?;
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let own = std::str::from_utf8(fields.get(2)?).ok()?.parse::<u32>().ok()?;
        let home = PathBuf::from(std::ffi::OsStr::from_bytes(fields.get(5)?));
        (own == uid && home.is_absolute()).then_some(home)
    })
}

/// `/etc/passwd` with a line for the caller, when it has none: a user that only a directory service knows would have no
/// name inside, since that service's socket stays outside.
pub(super) fn passwd_with_user(ambient: &Ambient) -> Option<Vec<u8>> {
    if passwd_home(ambient.uid).is_some() {
        return None;
    }
    let mut text = std::fs::read("/etc/passwd").ok()?;
    let name = ambient
        .variable("USER")
        .and_then(|name| name.to_str())
        .filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        })
        .unwrap_or("user");
    text.extend_from_slice(format!("{name}:x:{}:{}::", ambient.uid, ambient.gid).as_bytes());
    text.extend_from_slice(ambient.home.as_os_str().as_bytes());
    text.extend_from_slice(b":/bin/sh\n");
    Some(text)
}
