//! Repositories that git outside enters by itself: those that an index has as submodules, and those that theirs have.
//!
//! They are found by the index, not by a walk: git enters one wherever it lies, in directories of packages as well, and whatever
//! modes its directories have. Nothing is believed of an index that may have been written inside but the paths in it.

use super::mend::{MendError, parent};
use super::nested::obeyed;
use crate::facts::beneath::{open_directory, open_without_links, read_file, status};
use crate::facts::git_pointer::pointed_at;
use crate::facts::{GitLayout, Project};
use crate::git::index::{self, Mode};
use crate::git::object_id::ObjectFormat;
use crate::isolated::linked_tree;
use rustix::fs::CWD;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest index that is read: of the user's, and of all others together.
const INDEX_BYTES_MAX: usize = 256 << 20;
const OTHERS_BYTES_MAX: usize = 64 << 20;
/// Longest file that names a git directory.
const POINTER_BYTES_MAX: usize = 8192;
/// Most repositories that are looked into, and most submodules of one.
const REPOSITORIES_MAX: usize = 10_000;
const LINKS_MAX: usize = 10_000;
/// Most work trees.
const TREES_MAX: usize = 1_000;

/// A submodule's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The work tree, absolute.
    pub tree: PathBuf,
    /// The `.git`, in there.
    pub path: PathBuf,
    /// What is there.
    pub look: Look,
}

/// What is at such a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing: git doesn't enter.
    Absent,
    /// One that starts nothing.
    Plain,
    /// One of which git outside would obey something, in words.
    Obeyed(String),
}

impl Entered {
    /// The absolute path of the `.git`.
    #[must_use]
    pub fn at(&self) -> PathBuf {
        self.tree.join(&self.path)
    }
}

/// All of a project's work trees. `trusted` is a git directory that nothing inside could write; what is `known` was there
/// before the run: it may be as it likes, and what lies in it is looked at all the same.
#[must_use]
pub fn entered(project: &Project, trusted: Option<&Path>, known: &dyn Fn(&Path) -> bool) -> Vec<Entered> {
    let Some(git) = &project.git else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (tree, directory) in trees(git, &project.root) {
        let links = read_file(CWD, directory.join("index"), INDEX_BYTES_MAX)
            .ok()
            .and_then(|bytes| links(&bytes));
        all.extend(entered_from(&tree, links.unwrap_or_default(), trusted, known));
    }
    all
}

/// Indexes of a project's work trees that are there and can't be read. What such a one has as submodules isn't known, and git
/// may read it all the same: it takes forms that aren't read here (a split one), and doesn't look at its checksum.
#[must_use]
pub fn unread(project: &Project) -> Vec<PathBuf> {
    let Some(git) = &project.git else {
        return Vec::new();
    };
    let indexes = trees(git, &project.root)
        .into_iter()
        .map(|(_, directory)| directory.join("index"));
    let is_unread = |index: &PathBuf| match read_file(CWD, index.clone(), INDEX_BYTES_MAX) {
        Ok(bytes) => links(&bytes).is_none(),
        Err(errno) => errno != Errno::NOENT,
    };
    indexes.filter(is_unread).collect()
}

/// Each work tree, and where its index is.
fn trees(git: &GitLayout, root: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut trees = vec![(root.to_owned(), git.git_dir.clone())];
    if git.common_dir.file_name() == Some(OsStr::new(".git")) {
        let main = git.common_dir.parent().map(Path::to_owned);
        trees.extend(main.map(|main| (main, git.common_dir.clone())));
    }
    let names = std::fs::read_dir(git.common_dir.join("worktrees"));
    let linked = names.into_iter().flatten().take(TREES_MAX).flatten();
    trees.extend(linked.filter_map(|entry| Some((linked_tree(&entry.path())?, entry.path()))));
    trees.sort();
    trees.dedup();
    trees
}

/// The same of those `links` of a work tree.
#[must_use]
pub fn entered_from(
    tree: &Path,
    links: Vec<PathBuf>,
    trusted: Option<&Path>,
    known: &dyn Fn(&Path) -> bool,
) -> Vec<Entered> {
    let (mut found, mut count, mut room) = (Vec::new(), 0, OTHERS_BYTES_MAX);
    let mut waiting = links;
    while let Some(link) = waiting.pop() {
        let path = link.join(".git");
        let is_known = known(&tree.join(&path));
        let mut look = look_at(tree, &path, trusted);
        if look != Look::Absent {
            count += 1;
            let inner = match &look {
                Look::Obeyed(_) if !is_known => Some(Vec::new()),
                Look::Absent | Look::Plain | Look::Obeyed(_) if count > REPOSITORIES_MAX => None,
                Look::Absent | Look::Plain | Look::Obeyed(_) => inner(tree, &path, &mut room),
            };
            match inner {
                Some(inner) => waiting.extend(inner.into_iter().map(|inner| link.join(inner))),
                None if is_known => {}
                None => look = Look::Obeyed("what it has as submodules can't be looked at".into()),
            }
        }
        found.push(Entered {
            tree: tree.to_owned(),
            path,
            look,
        });
    }
    found
}

fn look_at(tree: &Path, path: &Path, trusted: Option<&Path>) -> Look {
    let is_there = match parent(tree, path) {
        Ok((directory, name)) => !matches!(status(directory, name), Err(Errno::NOENT)),
        Err(MendError::Directory { source, .. }) => {
            !matches!(source, Errno::NOENT | Errno::LOOP | Errno::NOTDIR)
        }
        Err(MendError::NoName(_) | MendError::OtherFileSystem { .. } | MendError::Call { .. }) => true,
    };
    match is_there.then(|| obeyed(tree, path, trusted)) {
        None => Look::Absent,
        Some(None) => Look::Plain,
        Some(Some(why)) => Look::Obeyed(why),
    }
}

/// The submodules of a repository; `None` where that isn't known.
fn inner(tree: &Path, path: &Path, room: &mut usize) -> Option<Vec<PathBuf>> {
    let Some(directory) = git_directory(tree, path) else {
        // Git finds none either.
        return Some(Vec::new());
    };
    match read_file(&directory, c"index", *room) {
        Ok(bytes) => {
            *room = room.checked_sub(bytes.len())?;
            links(&bytes).filter(|links| links.len() <= LINKS_MAX)
        }
        Err(Errno::NOENT) => Some(Vec::new()),
        Err(_) => None,
    }
}

fn git_directory(tree: &Path, path: &Path) -> Option<OwnedFd> {
    let (directory, name) = parent(tree, path).ok()?;
    if let Ok(opened) = open_directory(&directory, name) {
        return Some(opened);
    }
    let text = read_file(&directory, name, POINTER_BYTES_MAX).ok()?;
    open_without_links(&pointed_at(tree.join(path).parent()?, &text)?).ok()
}

/// The paths of an index's submodules; `None` where it can't be read.
fn links(bytes: &[u8]) -> Option<Vec<PathBuf>> {
    let read = [ObjectFormat::Sha1, ObjectFormat::Sha256]
        .into_iter()
        .find_map(|format| index::read(bytes, format).ok())?;
    let links = read.into_iter().filter(|entry| entry.mode == Mode::Submodule);
    let paths: BTreeSet<Vec<u8>> = links.map(|entry| entry.path).collect();
    Some(paths.iter().map(|path| OsStr::from_bytes(path).into()).collect())
}
