//! Where work trees may lie, and whether one and its git directory name each other.
//!
//! A work tree is believed where both say so: the git directory names it, and its `.git` names the git directory. What the
//! first says was written inside, so it is looked at on the host, without a link on the way: inside another directory may be
//! seen at the same path, as in `/tmp`.

use crate::facts::beneath::{open_without_links, read_file};
use crate::facts::git_pointer::{lexical, one_line, pointed_at};
use rustix::fs::CWD;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// Longest file that names a path.
pub(super) const POINTER_BYTES_MAX: usize = 8192;

/// Where a run can write, as far as work trees go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// Directories that it can, without links.
    #[serde(with = "crate::policy::path_text::list")]
    pub open: Vec<PathBuf>,
    /// Directories in those that it can't.
    #[serde(with = "crate::policy::path_text::list")]
    pub closed: Vec<PathBuf>,
    /// Places that are no new work tree, nor is what they lie in: the project, the home.
    #[serde(with = "crate::policy::path_text::list")]
    pub never: Vec<PathBuf>,
}

impl Ground {
    /// But for this directory.
    pub(super) fn without(mut self, directory: &Path) -> Self {
        self.open.retain(|open| !open.starts_with(directory));
        self.closed.push(directory.to_owned());
        self
    }

    /// Whether a directory can be written: the nearest that is named decides.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        let nearest = |list: &[PathBuf]| {
            let above = list.iter().filter(|one| path.starts_with(one));
            above.map(|one| one.components().count()).max()
        };
        nearest(&self.open) > nearest(&self.closed)
    }

    /// Whether a new work tree may be at a path that was said inside, and is: its `.git` has to name `git_dir`.
    pub(super) fn takes(&self, tree: &Path, git_dir: &Path) -> bool {
        let mut spared = self.never.iter().chain(&self.closed);
        self.holds(tree) && !spared.any(|place| place.starts_with(tree)) && names(tree, git_dir)
    }
}

/// Whether the `.git` of a directory is a file that names this git directory, and no link is on the way to it.
pub(super) fn names(tree: &Path, git_dir: &Path) -> bool {
    let Ok(directory) = open_without_links(tree) else {
        return false;
    };
    let Ok(text) = read_file(&directory, c".git", POINTER_BYTES_MAX) else {
        return false;
    };
    text.len() <= POINTER_BYTES_MAX && pointed_at(tree, &text).is_some_and(|named| named == git_dir)
}

/// The work tree that a linked one's directory on the host names (gitrepository-layout(5), `worktrees/<id>/gitdir`).
pub(crate) fn linked_tree(directory: &Path) -> Option<PathBuf> {
    let text = read_file(CWD, directory.join("gitdir"), POINTER_BYTES_MAX).ok()?;
    tree_of(directory, &text)
}

/// The same of the file's text.
pub(super) fn tree_of(directory: &Path, text: &[u8]) -> Option<PathBuf> {
    if text.len() > POINTER_BYTES_MAX {
        return None;
    }
    let dot_git = lexical(directory, one_line(text)?)?;
    (dot_git.file_name() == Some(OsStr::new(".git"))).then(|| dot_git.parent().map(Path::to_owned))?
}

/// The way from one directory to another, both absolute and without links.
pub(super) fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_decides() {
        let path = |text: &str| PathBuf::from(text);
        let ground = Ground {
            open: vec![path("/p"), path("/p/a/b"), path("/q")],
            closed: vec![path("/p/a"), path("/q")],
            never: vec![path("/p")],
        };
        let ground = ground.without(Path::new("/p/.git"));
        for inside in ["/p", "/p/x", "/p/a/b", "/p/a/b/c"] {
            assert!(ground.holds(Path::new(inside)), "{inside}");
        }
        for outside in ["/", "/px", "/p/a", "/p/a/c", "/q", "/q/x", "/p/.git", "/p/.git/x"] {
            assert!(!ground.holds(Path::new(outside)), "{outside}");
        }
    }

    #[test]
    fn paths_by_their_text() {
        let tree = |text: &[u8]| tree_of(Path::new("/r/.git/worktrees/w"), text);
        let is = |text: &str| Some(PathBuf::from(text));
        assert_eq!(tree(b"/r/w/.git\n"), is("/r/w"));
        assert_eq!(tree(b"../../../w/.git\n"), is("/r/w"));
        assert_eq!(tree(b"/r/./w/../v/.git"), is("/r/v"));
        for bad in [
            &b"/r/w/.git\nx\n"[..],
            b"/r/w",
            b"",
            b"\n",
            b"../../../../../../../w/.git",
            b"/r/w\0/.git",
        ] {
            assert_eq!(tree(bad), None, "{bad:?}");
        }
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/r/.git/modules/s", "/r/s"), "../../../s");
        assert_eq!(way("/r/a", "/r/a/b"), "b");
        assert_eq!(lexical(Path::new("/r/.git/modules/s"), b"../../../s"), is("/r/s"));
    }
}
