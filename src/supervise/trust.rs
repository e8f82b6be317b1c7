//! What the host runs or trusts later, before the run and after it.

use super::watch::Watched;
use crate::facts::{
    Found, FoundKind, Identity, Matcher, Project, Purpose, RepositoryKind, Target, Walk, WalkError,
    walk_project, walk_without,
};
use crate::presets::RunsWhen;
use crate::supervise::TrustChange;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// In projects of up to so many files every file's mode is looked at, too: that costs about a microsecond each.
const MODES_MAX: u64 = 20_000;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// In the project, or absolute where it lies outside.
    pub path: PathBuf,
    /// What happened to it.
    pub change: TrustChange,
    /// When it takes effect, in words.
    pub runs_when: String,
    /// The same where it is one of the known moments: reports are in that order.
    pub moment: Option<RunsWhen>,
    /// The directory whose walk found it; `path` lies in there.
    pub root: PathBuf,
    /// It can be put back or away as a file. Else it is told alone.
    pub is_file: bool,
}

impl Change {
    /// The path in [`Change::root`].
    #[must_use]
    pub fn below(&self) -> &Path {
        self.path.strip_prefix(&self.root).unwrap_or(&self.path)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of their paths.
    pub changes: Vec<Change>,
    /// A bound was met: there may be more.
    pub cut: bool,
}

/// What changed. The project is walked again only if something in it can have.
///
/// # Errors
/// When the second walk can't be done: then what changed is not known.
pub(super) fn changes(watched: &Watched) -> Result<Report, WalkError> {
    if !watched.writable || watched.walks.iter().all(Walk::is_current) {
        return Ok(Report::default());
    }
    let matcher = |walk| watched.matcher(walk);
    compare_now(&watched.project, &watched.walks, watched.own, &matcher)
}

/// Walks again, and compares with what `walks` found: the first `own` are of the project, the others of directories
/// beside it. `matcher` gives the table for each of them.
///
/// # Errors
/// When a walk can't be done: then what changed is not known.
pub fn compare_now<'a>(
    project: &Project,
    walks: &[Walk],
    own: usize,
    matcher: &dyn Fn(usize) -> &'a Matcher,
) -> Result<Report, WalkError> {
    let files: u64 = walks.iter().map(|walk| walk.file_count).sum();
    let purpose = if files > MODES_MAX {
        Purpose::Report
    } else {
        Purpose::ReportModes
    };
    let mut after = walk_project(project, matcher(0), purpose)?;
    for granted in walks.get(own..).unwrap_or_default() {
        after.push(walk_without(&granted.root, &project.root, matcher(own), purpose)?);
    }
    let mut report = Report::default();
    for (index, (before, after)) in walks.iter().zip(&after).enumerate() {
        let mut found = compare(before, after);
        if index > 0 {
            for change in &mut found {
                change.path = before.root.join(&change.path);
            }
        }
        report.changes.append(&mut found);
        report.cut |= after.truncated;
    }
    Ok(report)
}

/// What of an inode counts.
#[derive(Debug, PartialEq, Eq)]
struct State<'a> {
    kind: FoundKind,
    identity: Identity,
    target: Option<&'a Target>,
    /// Not of directories: what matters in them is listed by itself.
    changed_ns: Option<i64>,
}

fn state(found: &Found) -> State<'_> {
    State {
        kind: found.kind,
        identity: found.identity,
        target: found.target.as_ref(),
        changed_ns: (found.kind != FoundKind::Directory).then_some(found.changed_ns),
    }
}

fn listed(walk: &Walk) -> BTreeMap<&Path, &Found> {
    let all = walk.watched.iter().chain(&walk.protected);
    all.map(|found| (found.path.as_path(), found)).collect()
}

fn compare(before: &Walk, after: &Walk) -> Vec<Change> {
    let mut changes = Vec::new();
    let new_repositories = new_repositories(before, after, &mut changes);
    let (old, new) = (listed(before), listed(after));
    for (path, found) in &new {
        let change = match old.get(path) {
            None => TrustChange::Appeared,
            Some(old) if state(old) != state(found) => TrustChange::Changed,
            Some(_) => continue,
        };
        // A repository that is new is told as one; so is what git put into it.
        if change == TrustChange::Appeared && new_repositories.iter().any(|inner| path.starts_with(inner)) {
            continue;
        }
        changes.push(Change {
            path: (*path).to_owned(),
            change,
            runs_when: when(found),
            moment: found.runs_when,
            root: after.root.clone(),
            is_file: true,
        });
    }
    // What lies beneath what is gone, and what a bound left out, isn't known to be gone.
    if !after.truncated {
        let mut gone: Vec<&Path> = Vec::new();
        let masked: BTreeSet<&Path> = after.masks.iter().map(|found| found.path.as_path()).collect();
        for (path, found) in &old {
            if new.contains_key(path)
                || masked.contains(path)
                || gone.iter().any(|outer| path.starts_with(outer))
            {
                continue;
            }
            gone.push(path);
            changes.push(Change {
                path: (*path).to_owned(),
                change: TrustChange::Removed,
                runs_when: when(found),
                moment: found.runs_when,
                root: after.root.clone(),
                is_file: true,
            });
        }
    }
    let known: BTreeSet<&PathBuf> = before.escapes.iter().collect();
    for path in after.escapes.iter().filter(|path| !known.contains(path)) {
        changes.push(Change {
            path: path.clone(),
            change: TrustChange::Appeared,
            runs_when: "a program follows this link out of the project".into(),
            moment: None,
            root: after.root.clone(),
            is_file: true,
        });
    }
    // What the second walk could not look into may hold anything.
    let known: BTreeSet<&Path> = before
        .skipped
        .iter()
        .map(|skipped| skipped.path.as_path())
        .collect();
    for skipped in after
        .skipped
        .iter()
        .filter(|skipped| skipped.unread && !known.contains(skipped.path.as_path()))
    {
        changes.push(Change {
            path: skipped.path.clone(),
            change: TrustChange::Appeared,
            runs_when: format!("anything in there runs: {}", skipped.why),
            moment: None,
            root: after.root.clone(),
            is_file: true,
        });
    }
    // The first walk doesn't look at modes: a change of mode shows in the inode's time.
    for found in after
        .privileged
        .iter()
        .filter(|found| found.changed_ns >= before.begun_ns)
    {
        changes.push(Change {
            path: found.path.clone(),
            change: TrustChange::Changed,
            runs_when: format!("anybody starts it: {}", found.why),
            moment: None,
            root: after.root.clone(),
            is_file: true,
        });
    }
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes
}

fn new_repositories(before: &Walk, after: &Walk, changes: &mut Vec<Change>) -> Vec<PathBuf> {
    let known: BTreeMap<&Path, RepositoryKind> = before
        .repositories
        .iter()
        .map(|repository| (repository.path.as_path(), repository.kind))
        .collect();
    let mut new = Vec::new();
    for repository in &after.repositories {
        let change = match known.get(repository.path.as_path()) {
            None => TrustChange::Appeared,
            Some(kind) if *kind != repository.kind => TrustChange::Changed,
            Some(_) => continue,
        };
        if repository.kind != RepositoryKind::Bare {
            new.push(repository.path.clone());
        }
        changes.push(Change {
            path: repository.path.clone(),
            change,
            runs_when: "you run git there, which obeys its configuration and hooks".into(),
            moment: Some(RunsWhen::RunGit),
            root: after.root.clone(),
            is_file: true,
        });
    }
    new
}

fn when(found: &Found) -> String {
    found
        .runs_when
        .map_or_else(|| found.why.clone(), |when| when.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, kind: FoundKind, inode: u64, changed_ns: i64) -> Found {
        Found {
            path: path.into(),
            kind,
            identity: Identity { device: 1, inode },
            changed_ns,
            target: None,
            why: "why".into(),
            runs_when: None,
        }
    }

    fn told(before: &Walk, after: &Walk) -> Vec<(String, TrustChange)> {
        let changes = compare(before, after).into_iter();
        changes
            .map(|change| (change.path.display().to_string(), change.change))
            .collect()
    }

    #[test]
    fn an_inode_that_was_written_or_replaced_changed() {
        let file = |inode, time| Walk {
            watched: vec![found("Makefile", FoundKind::File, inode, time)],
            ..Walk::default()
        };
        assert_eq!(told(&file(1, 5), &file(1, 5)), []);
        let changed = [("Makefile".to_owned(), TrustChange::Changed)];
        assert_eq!(told(&file(1, 5), &file(1, 6)), changed);
        assert_eq!(told(&file(1, 5), &file(2, 5)), changed);
        assert_eq!(
            told(&Walk::default(), &file(1, 5)),
            [("Makefile".to_owned(), TrustChange::Appeared)]
        );
        assert_eq!(
            told(&file(1, 5), &Walk::default()),
            [("Makefile".to_owned(), TrustChange::Removed)]
        );
    }

    #[test]
    fn what_is_beneath_is_told_once() {
        let hooks = Walk {
            protected: vec![found(".husky", FoundKind::Directory, 1, 1)],
            watched: vec![found(".husky/pre-commit", FoundKind::File, 2, 1)],
            ..Walk::default()
        };
        assert_eq!(
            told(&hooks, &Walk::default()),
            [(".husky".to_owned(), TrustChange::Removed)]
        );
        // The directory's own time moves with its names.
        let mut other = hooks.clone();
        other.protected = vec![found(".husky", FoundKind::Directory, 1, 9)];
        assert_eq!(told(&hooks, &other), []);
        // What a bound left out isn't gone.
        let cut = Walk {
            truncated: true,
            ..Walk::default()
        };
        assert_eq!(told(&hooks, &cut), []);
    }
}
