//! A path in the home that can't leave it.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

/// A relative path of named components alone: no `..`, no `.`, not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HomePath(String);

/// Why a text is no such path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path in the home: write it relative to the home, without `.` and `..`")]
pub struct HomePathError(String);

impl HomePath {
    /// The path, relative to the home.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The path in that home.
    #[must_use]
    pub fn within(&self, home: &Path) -> PathBuf {
        home.join(&self.0)
    }
}

impl TryFrom<String> for HomePath {
    type Error = HomePathError;

    fn try_from(text: String) -> Result<Self, HomePathError> {
        let named = Path::new(&text)
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        // Components leave out doubled slashes and inner dots; the text must have none of them, so that it has one form.
        let exact = text
            .split('/')
            .all(|part| !part.is_empty() && part != "." && !part.contains('\0'));
        if named && exact {
            Ok(Self(text))
        } else {
            Err(HomePathError(text))
        }
    }
}

impl From<HomePath> for String {
    fn from(path: HomePath) -> Self {
        path.0
    }
}

impl fmt::Display for HomePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_in_the_home() {
        assert!(HomePath::try_from(".cargo/bin".to_owned()).is_ok());
        for text in ["", ".", "..", "/etc", "a/../b", "a//b", "a/", "./a", "a\0"] {
            assert!(HomePath::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
