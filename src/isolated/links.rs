//! Submodules that an index inside has and the host's doesn't. Git outside enters such a directory by itself, and it is written
//! inside: so they come at the end, when nothing inside can change it any more, and only where git enters something plain.

use super::ground::linked_tree;
use super::layout::{Layout, main_tree};
use super::part::{Around, PartState};
use crate::exit_gate::entered::{Look, entered_from};
use crate::facts::beneath::read_file;
use crate::facts::git_config::{CONFIG_BYTES_MAX, settings};
use crate::git::index::{Entry, Mode};
use rustix::fs::CWD;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

fn paths(entries: &[Entry]) -> BTreeSet<&[u8]> {
    let links = entries.iter().filter(|entry| entry.mode == Mode::Submodule);
    links.map(|entry| entry.path.as_slice()).collect()
}

/// Why an index can't come: not yet, or not at all. `now` is the host's; `tree` gives its directory.
pub(super) fn refused(
    around: &Around<'_>,
    tree: &dyn Fn() -> Option<PathBuf>,
    entries: &[Entry],
    now: &[Entry],
) -> Option<String> {
    let known = paths(now);
    let new = paths(entries).into_iter().filter(|path| !known.contains(path));
    let new: Vec<PathBuf> = new.map(|path| OsStr::from_bytes(path).into()).collect();
    new.first()?;
    if !around.last {
        return Some("it has a new submodule: that comes at the end of the run".into());
    }
    if around.place.has_others() {
        return Some("it has a new submodule, and another run here could still change that".into());
    }
    let Some(tree) = tree() else {
        return Some("it has a new submodule, and where its work tree lies isn't known".into());
    };
    let trusted = Some(around.place.about.layout.at());
    let found = entered_from(&tree, new, trusted, &|_| false);
    found.into_iter().find_map(|one| match one.look {
        Look::Absent | Look::Plain => None,
        Look::Obeyed(why) => Some(format!(
            "git outside would obey the submodule {}: {why}",
            one.path.parent().unwrap_or(&one.path).display()
        )),
    })
}

impl PartState {
    /// The same of one of its work trees.
    pub(super) fn refuses_links(
        &self,
        around: &Around<'_>,
        own: &Path,
        entries: &[Entry],
        now: &[Entry],
    ) -> Option<String> {
        let tree = || self.directory(&around.place.about.layout, own);
        refused(around, &tree, entries, now)
    }

    /// The directory of a work tree.
    fn directory(&self, layout: &Layout, own: &Path) -> Option<PathBuf> {
        let host = layout.at().join(self.at());
        if own != self.state.part.below {
            return linked_tree(&layout.at().join(own));
        }
        let text = read_file(CWD, host.join("config"), CONFIG_BYTES_MAX).ok()?;
        main_tree(&layout.at().join(&self.state.part.below), &settings(&text))
    }
}
