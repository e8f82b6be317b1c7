//! Path rules: which path may be read, written, or is hidden.

use super::Origin;
use serde::{Deserialize, Serialize, Serializer};
use std::path::{Path, PathBuf};

/// What a rule grants. The order is that of strictness: `Hide` is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read and write.
    Write,
    /// Read only.
    Read,
    /// Not there, or there and unreadable.
    Hide,
}

/// One rule on a path; for a directory it holds for all beneath it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRule {
    /// Absolute, no `.` or `..` components. May hold globs (`*`, `**`, `?`) when `access` is `Hide` or `Read` and it
    /// lies in the project.
    pub path: PathBuf,
    /// What it grants.
    pub access: Access,
    /// Where it was written.
    pub origin: Origin,
}

impl PathRule {
    /// The rule that decides `path`: the longest that holds it, on a tie the stricter.
    #[must_use]
    pub fn nearest<'a>(rules: &'a [Self], path: &Path) -> Option<&'a Self> {
        rules
            .iter()
            .filter(|rule| path.starts_with(&rule.path))
            .max_by_key(|rule| (rule.path.components().count(), rule.access))
    }
}

/// Writes a path as text. A name need not be UTF-8, and what can't be written that way would be left out of the log.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn lossy_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, access: Access) -> PathRule {
        PathRule {
            path: path.into(),
            access,
            origin: Origin::Flag(String::new()),
        }
    }

    #[test]
    fn longest_wins_then_stricter() {
        let rules = [
            rule("/a", Access::Write),
            rule("/a/b", Access::Hide),
            rule("/a/b", Access::Read),
            rule("/a/b/c", Access::Write),
        ];
        assert_eq!(
            PathRule::nearest(&rules, Path::new("/a/x")).unwrap().access,
            Access::Write
        );
        assert_eq!(
            PathRule::nearest(&rules, Path::new("/a/b/x")).unwrap().access,
            Access::Hide
        );
        assert_eq!(
            PathRule::nearest(&rules, Path::new("/a/b/c/x")).unwrap().access,
            Access::Write
        );
        assert!(PathRule::nearest(&rules, Path::new("/ab")).is_none());
    }
}
