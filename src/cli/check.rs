//! `aca check`: what a run left that the host runs or trusts later, and putting it back or away.

use super::flags::LeftArgs;
use super::log::sessions_directory;
use super::project::project_failure;
use super::put_away::put_away_repositories;
use crate::audit::{self, Ending};
use crate::config::Places;
use crate::exit_gate::mend::{put_away, put_back};
use crate::exit_gate::snapshot::{Kept, Snapshot, Store, StoreError};
use crate::facts::{Ambient, Matcher, Project};
use crate::failure::{Failure, FailureKind};
use crate::presets;
use crate::supervise::{Change, Report, TrustChange, compare_now};
use crate::ui::{self, left, sanitize};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

/// Does it: exit status 0, with `--strict` 1 where something is left to be looked at.
///
/// # Errors
/// There is nothing to compare with, the project can't be walked, or a file can't be mended.
pub fn execute(args: &LeftArgs) -> Result<ExitCode, Failure> {
    let ambient = Ambient::read().map_err(machine)?;
    if ambient.variable("ACA").is_some() {
        return Err(Failure::new(
            FailureKind::Usage,
            "what a run left is looked at outside: this is the inside of one",
        ));
    }
    let places = Places::new(&ambient.environment, &ambient.home, &ambient.directory);
    let store = Store::new(places.exit_gate());
    let Some((kept, others)) = choose(args, &store, &ambient)? else {
        ui::write_error("aca: no run left anything here that waits to be looked at\n");
        return Ok(ExitCode::SUCCESS);
    };
    let snapshot = store.load(&kept).map_err(machine)?;
    let runs = runs(&ambient, &kept);
    let mends = !args.revert.is_empty() || !args.quarantine.is_empty() || args.accept;
    if runs && mends {
        return Err(
            Failure::new(FailureKind::Usage, format!("the run {} goes on", kept.session))
                .hint("end it first: what is put back now it could change again"),
        );
    }
    let looked = compare(&snapshot);
    if looked.is_err() && !runs && !kept.told {
        // What a submodule's place has is found without the walk.
        put_away_repositories(&snapshot, &mut Vec::new(), &places.quarantine(), &|_| {});
    }
    let mut report = looked?;
    if !runs && !kept.told {
        put_away_repositories(&snapshot, &mut report.changes, &places.quarantine(), &|_| {});
    }
    let mut mended = Ok(());
    if !args.revert.is_empty() || !args.quarantine.is_empty() {
        let away = places.quarantine().join(kept.session.as_str());
        mended = mend(args, &ambient, &snapshot, &report.changes, &away);
        report = compare(&snapshot)?;
    }
    show(args, &snapshot, &report)?;
    if runs {
        ui::write_error(&format!(
            "aca: the run {} goes on and may leave more\n",
            kept.session
        ));
    }
    let is_clean = report.changes.is_empty() && !report.cut;
    if !runs {
        let noted = if is_clean || args.accept {
            store.forget(&kept)
        } else {
            store.told(&kept)
        };
        noted.map_err(machine)?;
    }
    if !others.is_empty() && !args.json {
        let first = others.first().map_or("", |kept| kept.session.as_str());
        ui::write_error(&format!(
            "aca: {} earlier in this project wait as well: `aca check {first}`\n",
            match others.len() {
                1 => "one run".to_owned(),
                count => format!("{count} runs"),
            }
        ));
    }
    mended?;
    let is_found = !is_clean && !args.accept;
    Ok(ExitCode::from(u8::from(args.strict && is_found)))
}

/// The list, and what can be done about it.
fn show(args: &LeftArgs, snapshot: &Snapshot, report: &Report) -> Result<(), Failure> {
    let has_copy = |change: &Change| has_copy(snapshot, change);
    if args.json {
        let lines = left::json(&report.changes, has_copy)
            .map_err(|error| Failure::new(FailureKind::Internal, error))?;
        ui::write_out(&lines).map_err(machine)?;
        if report.cut {
            ui::write_error(&format!("aca: {}\n", left::CUT));
        }
        return Ok(());
    }
    let mut text = left::text(&snapshot.session, &snapshot.project.root, report, has_copy);
    if !report.changes.is_empty() || report.cut {
        text.push('\n');
        text.push_str(if args.accept { left::ACCEPTED } else { left::WAYS });
    }
    ui::write_out(&text).map_err(machine)
}

/// One line for each run here that was cut off before its end was looked at, and that left something; called before another
/// begins. Only then is the project walked for it: one that left nothing is let go.
pub(super) fn warn_of_cut_off(store: &Store, project: &Path, ambient: &Ambient, away: &Path) {
    for kept in store.of(project) {
        if kept.told || runs(ambient, &kept) {
            continue;
        }
        let report = store.load(&kept).map_err(machine).and_then(|before| {
            let mut looked = compare(&before);
            let mut none = Vec::new();
            let changes = looked.as_mut().map_or(&mut none, |report| &mut report.changes);
            put_away_repositories(&before, changes, away, &|_| {});
            looked
        });
        if report.is_ok_and(|report| report.changes.is_empty() && !report.cut) {
            store.forget(&kept).ok();
        } else {
            ui::write_error(&format!(
                "aca: the run {id} was cut off before its end was looked at; `aca check {id}` shows what it left\n",
                id = kept.session
            ));
        }
    }
}

fn machine(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(FailureKind::Machine, error)
}

/// The snapshot that is meant, and others of the project that wait.
fn choose(args: &LeftArgs, store: &Store, ambient: &Ambient) -> Result<Option<(Kept, Vec<Kept>)>, Failure> {
    if let Some(prefix) = &args.session {
        let mut found = store.find(prefix);
        return match (found.pop(), found.len()) {
            (Some(kept), 0) => Ok(Some((kept, Vec::new()))),
            (Some(_), more) => Err(Failure::new(
                FailureKind::Usage,
                format!("{} runs that wait begin with `{prefix}`", more + 1),
            )
            .hint("`aca sessions` shows them; more of the id tells them apart")),
            (None, _) => Err(Failure::new(
                FailureKind::Usage,
                format!("nothing of a run `{prefix}` waits to be looked at"),
            )
            .hint("`aca log` shows what its end told")),
        };
    }
    let project = Project::find(&ambient.directory, &ambient.home).map_err(project_failure)?;
    let mut found = store.of(&project.root);
    if found.is_empty() {
        return Ok(None);
    }
    let newest = found.remove(0);
    Ok(Some((newest, found)))
}

fn runs(ambient: &Ambient, kept: &Kept) -> bool {
    audit::summary(&sessions_directory(ambient), &kept.session)
        .is_ok_and(|summary| summary.ending == Ending::Running)
}

fn compare(snapshot: &Snapshot) -> Result<Report, Failure> {
    let matcher = Matcher::new(presets::tree_rules()?, Vec::new());
    let mut report =
        compare_now(&snapshot.project, &snapshot.walks, snapshot.own, &|_| &matcher).map_err(machine)?;
    snapshot.leave_out_same(&mut report.changes);
    report.changes.extend(snapshot.changes_in_git());
    Ok(report)
}

fn has_copy(snapshot: &Snapshot, change: &Change) -> bool {
    change.change != TrustChange::Appeared && snapshot.copy_of(&change.root, change.below()).is_some()
}

/// What was typed, as an absolute path without `.` and `..`: it need not be there any more.
fn typed(ambient: &Ambient, path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in ambient.directory.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
    }
    plain
}

/// Puts back and away what is meant. Where one can't be mended the others are all the same.
fn mend(
    args: &LeftArgs,
    ambient: &Ambient,
    snapshot: &Snapshot,
    changes: &[Change],
    away: &Path,
) -> Result<(), Failure> {
    // All of them first: nothing is done where one is mistyped.
    let mut meant: Vec<(&Change, Mend)> = Vec::new();
    for (paths, how) in [(&args.revert, Mend::Back), (&args.quarantine, Mend::Away)] {
        for path in paths {
            let wanted = typed(ambient, path);
            let before = meant.len();
            let below = changes
                .iter()
                .filter(|change| change.root.join(change.below()).starts_with(&wanted));
            meant.extend(below.map(|change| (change, how)));
            if meant.len() == before {
                return Err(Failure::new(
                    FailureKind::Usage,
                    format!("nothing at {} changed that runs later", path.display()),
                )
                .hint("`aca check` lists what did"));
            }
        }
    }
    let mut failures = Vec::new();
    let mut done = BTreeSet::new();
    for (change, how) in meant {
        // A directory and a file in it may both be named, and what appeared in one that is put away goes with it.
        let mut above = change.path.ancestors().skip(1);
        let is_new = change.change == TrustChange::Appeared;
        if !done.insert(&*change.path) || is_new && above.any(|above| done.contains(above)) {
            continue;
        }
        match mend_one(snapshot, change, how, away) {
            Ok(told) => ui::write_error(&format!("aca: {}\n", sanitize::line(&told))),
            Err(failure) => failures.push(failure),
        }
    }
    let Some(last) = failures.pop() else { return Ok(()) };
    for failure in failures {
        ui::write_error(&failure.to_string());
    }
    Err(last)
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    Back,
    Away,
}

fn mend_one(snapshot: &Snapshot, change: &Change, how: Mend, away: &Path) -> Result<String, Failure> {
    let (root, path) = (&change.root, change.below());
    let shown = change.path.display();
    if !change.is_file {
        return Ok(format!(
            "{shown} is left as it is: git has what is needed (`git reflog`, `git update-index`)"
        ));
    }
    if change.change == TrustChange::Removed && how == Mend::Away {
        return Ok(format!("{shown} is gone already"));
    }
    if change.change == TrustChange::Appeared || how == Mend::Away {
        let lies = put_away(root, path, away).map_err(machine)?;
        return Ok(format!("{shown} was put away, to {}", lies.display()));
    }
    let copy = snapshot.copy_of(root, path).ok_or_else(|| no_copy(change))?;
    Ok(match put_back(copy, away).map_err(machine)? {
        None => format!("{shown} is as it was"),
        Some(lies) => format!(
            "{shown} is as it was; the directory in its place was put away, to {}",
            lies.display()
        ),
    })
}

fn no_copy(change: &Change) -> Failure {
    let path = change.path.display();
    let failure = Failure::new(
        FailureKind::Machine,
        format!("of {path} there is no copy from before the run: it was large, or no file"),
    )
    .hint(format!("`git checkout -- {path}` gives what was committed"));
    match change.change {
        TrustChange::Removed => failure,
        TrustChange::Appeared | TrustChange::Changed => {
            failure.hint(format!("`--quarantine {path}` puts what is there away"))
        }
    }
}

/// What a run needs of the gate before it begins: nothing is started without.
pub(super) fn keep(store: &Store, snapshot: &Snapshot) -> Result<Kept, Failure> {
    store.keep(snapshot).map_err(|error: StoreError| {
        machine(error).hint("nothing was started: what the run leaves could not be compared with what was")
    })
}
