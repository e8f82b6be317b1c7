//! What becomes of the user's branches where programs inside write the host's git directory, and of what git shows of files.
//!
//! An agent that rebases has good reasons; that commits are gone from a branch is told all the same. Whether a branch only
//! went on is found by the same confined process that looks into pushes, which believes no object its name.

use crate::facts::GitLayout;
use crate::facts::beneath::open_root;
use crate::git::ancestry::Ancestry;
use crate::git::check::{Asked, Key, Question, standard_limits};
use crate::git::index;
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ref_name::RefName;
use crate::isolated::{Opened, Refs};
use crate::presets::RunsWhen;
use crate::proxy::git_check::check;
use crate::supervise::{Change, TrustChange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Largest index that is read, twice for each run: some thirty thousand files.
const INDEX_BYTES_MAX: usize = 4 << 20;
/// Most branches that are kept, and most moves that are looked into.
const BRANCHES_MAX: usize = 2_000;
const MOVES_MAX: usize = 200;
/// Commits that one move may bring, which bounds nothing here: no pack comes.
const NO_PACK: u64 = 0;

/// How it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Branches {
    sha256: bool,
    /// `None` where they could not be read.
    heads: Option<Vec<(RefName, ObjectId)>>,
    /// Paths whose changes git doesn't show; `None` where that could not be read.
    hidden: Option<BTreeSet<Vec<u8>>>,
}

impl Branches {
    /// Reads them; `None` where there is no repository whose refs are files.
    pub(super) fn read(layout: &GitLayout) -> Option<Self> {
        // Each format has names of its own length, so that the wrong one reads none.
        let (opened, sha256, refs) = [false, true].into_iter().find_map(|sha256| {
            let opened = open(layout, sha256)?;
            let refs = opened.refs()?;
            (!refs.is_empty()).then_some((opened, sha256, refs))
        })?;
        Some(Self {
            sha256,
            heads: heads(refs),
            hidden: hidden(&opened, format(sha256)),
        })
    }

    /// What there is to tell since then.
    pub(super) fn changes(&self, layout: &GitLayout, root: &Path) -> Vec<Change> {
        // What can't be read any more is told: else it would hide all the rest.
        let now = Self::read(layout).unwrap_or(Self {
            sha256: self.sha256,
            heads: None,
            hidden: None,
        });
        let change = |path: PathBuf, change, runs_when: &str| Change {
            path,
            change,
            runs_when: runs_when.to_owned(),
            moment: Some(RunsWhen::RunGit),
            root: root.to_owned(),
            is_file: false,
        };
        let mut changes = Vec::new();
        if self.hidden.is_some() && now.hidden.is_none() {
            let index = layout.git_dir.join("index");
            changes.push(change(index, TrustChange::Changed, HIDDEN_UNKNOWN));
        }
        if self.heads.is_some() && now.heads.is_none() {
            let heads = layout.common_dir.join("refs/heads");
            changes.push(change(heads, TrustChange::Changed, REWRITTEN_UNKNOWN));
        }
        if let (Some(before), Some(after)) = (&self.hidden, &now.hidden) {
            let more = after.difference(before).map(|path| {
                let path = PathBuf::from(OsString::from_vec(path.clone()));
                change(path, TrustChange::Changed, HIDDEN)
            });
            changes.extend(more);
        }
        if let (Some(before), Some(after)) = (&self.heads, &now.heads) {
            let now_at = |name: &RefName| after.iter().find(|(own, _)| own == name).map(|(_, id)| *id);
            let (mut moved, mut gone) = (Vec::new(), Vec::new());
            for (name, old) in before {
                match now_at(name) {
                    Some(new) if new == *old => {}
                    Some(new) => moved.push((name.clone(), *old, new)),
                    None => gone.push(name.clone()),
                }
            }
            let at = |name: &RefName| layout.common_dir.join(name.as_str());
            changes.extend(
                gone.iter()
                    .map(|name| change(at(name), TrustChange::Removed, REWRITTEN)),
            );
            let back = back(layout, format(self.sha256), &moved);
            changes.extend(
                back.iter()
                    .map(|name| change(at(name), TrustChange::Changed, REWRITTEN)),
            );
        }
        changes
    }
}

const HIDDEN: &str =
    "you run git, which was told not to show what changes in there (skip-worktree, assume-unchanged)";
const HIDDEN_UNKNOWN: &str =
    "you run git: its index can't be looked through any more, which may be told not to show what changes";
const REWRITTEN_UNKNOWN: &str =
    "you go on from these branches: they can't be compared any more, and commits may be gone from them";
const REWRITTEN: &str =
    "you go on from these branches: commits are no longer in them (`git reflog` has them)";

fn open(layout: &GitLayout, sha256: bool) -> Option<Opened> {
    let root = open_root(&layout.common_dir).ok()?;
    let work = layout.git_dir.strip_prefix(&layout.common_dir).ok()?;
    Opened::open(&root, Path::new(""), work, format(sha256)).ok()
}

const fn format(sha256: bool) -> ObjectFormat {
    if sha256 {
        ObjectFormat::Sha256
    } else {
        ObjectFormat::Sha1
    }
}

fn heads(refs: Refs) -> Option<Vec<(RefName, ObjectId)>> {
    let heads: Vec<_> = refs
        .into_iter()
        .filter(|(name, _)| name.branch().is_some())
        .collect();
    (heads.len() <= BRANCHES_MAX).then_some(heads)
}

fn hidden(opened: &Opened, format: ObjectFormat) -> Option<BTreeSet<Vec<u8>>> {
    let bytes = opened.index()?;
    if bytes.len() > INDEX_BYTES_MAX {
        return None;
    }
    let entries = index::read(&bytes, format).ok()?;
    let marked = entries.into_iter().filter(|entry| entry.assumed || entry.skipped);
    Some(marked.map(|entry| entry.path).collect())
}

/// Those of the moves that didn't only go on, or of which that can't be told.
fn back(layout: &GitLayout, format: ObjectFormat, moved: &[(RefName, ObjectId, ObjectId)]) -> Vec<RefName> {
    let looked_into = moved.get(..MOVES_MAX.min(moved.len())).unwrap_or_default();
    if looked_into.is_empty() {
        return Vec::new();
    }
    let (limits, spend) = standard_limits(NO_PACK);
    let asked = |(name, old, new): &(RefName, ObjectId, ObjectId)| Asked {
        name: name.clone(),
        old: Some(*old),
        new: Some(*new),
    };
    let question = Question {
        format,
        commands: looked_into.iter().map(asked).collect(),
        known: Vec::new(),
        protected_tips: Vec::new(),
        protect: Vec::new(),
        limits,
        spend,
        commits_max: 0,
        scan: false,
        fingerprints: Vec::new(),
        key: Key::new([0; 16]),
        has_pack: false,
    };
    let stores = open(layout, format == ObjectFormat::Sha256).and_then(|opened| opened.objects().ok());
    let answer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()
        .and_then(|runtime| {
            let stores = stores.into_iter().collect();
            runtime.block_on(check(&question, None, stores)).ok()
        });
    let commands = answer.map(|found| found.commands).unwrap_or_default();
    let only_went_on = |index: usize| commands.get(index) == Some(&Some(Ancestry::Behind));
    moved
        .iter()
        .enumerate()
        .filter(|(index, _)| !only_went_on(*index))
        .map(|(_, (name, _, _))| name.clone())
        .collect()
}
