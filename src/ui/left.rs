//! What a run left, for eyes and for programs.

use super::sanitize;
use crate::audit::SessionId;
use crate::policy::path_text;
use crate::supervise::{Change, Report, TrustChange};
use serde::Serialize;
use std::path::Path;

/// Characters of a path that are shown.
const PATH_MAX: usize = 200;

/// A bound was met.
pub const CUT: &str = "there is more than is looked at: this is not all";
/// What can be done.
pub const WAYS: &str = "`--revert PATH` puts back what changed and away what appeared, `--quarantine PATH` puts away; `.` is all.\n\
     `--accept` if it is as you want it.\n";
/// What was done with `--accept`.
pub const ACCEPTED: &str = "That is accepted, and isn't told again.\n";

const fn word(change: TrustChange) -> &'static str {
    match change {
        TrustChange::Appeared => "appeared",
        TrustChange::Changed => "changed",
        TrustChange::Removed => "removed",
    }
}

/// By when it would run. `has_copy` says which of them can be put back.
#[must_use]
pub fn text(
    session: &SessionId,
    project: &Path,
    report: &Report,
    has_copy: impl Fn(&Change) -> bool,
) -> String {
    let place = sanitize::line(&project.to_string_lossy()).into_owned();
    if report.changes.is_empty() && !report.cut {
        return format!("The run {session} left nothing in {place} that runs later.\n");
    }
    let mut text = format!("The run {session} left in {place}:\n");
    let mut changes: Vec<&Change> = report.changes.iter().collect();
    // Known moments first, in their order.
    changes.sort_by_key(|change| {
        (
            change.moment.is_none(),
            change.moment,
            &change.runs_when,
            &change.path,
        )
    });
    let mut heading = "";
    for change in changes {
        if change.runs_when != heading {
            heading = &change.runs_when;
            text.push_str(&format!("\nwhen {}\n", sanitize::line(heading)));
        }
        let path = sanitize::line_within(&change.path.to_string_lossy(), PATH_MAX);
        let copy = match (change.change, has_copy(change)) {
            _ if !change.is_file => "",
            (TrustChange::Appeared, _) | (_, true) => "",
            (TrustChange::Changed | TrustChange::Removed, false) => "  (no copy from before)",
        };
        text.push_str(&format!("  {:<8}  {path}{copy}\n", word(change.change)));
    }
    if report.cut {
        text.push_str(&format!("\n{CUT}\n"));
    }
    text
}

/// A line of JSON each.
///
/// # Errors
/// None that a value of this shape gives.
pub fn json(changes: &[Change], has_copy: impl Fn(&Change) -> bool) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(with = "path_text")]
        path: &'a Path,
        change: TrustChange,
        runs_when: &'a str,
        can_be_put_back: bool,
    }
    let mut text = String::new();
    for change in changes {
        let line = Line {
            path: &change.path,
            change: change.change,
            runs_when: &change.runs_when,
            can_be_put_back: has_copy(change),
        };
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
    }
    Ok(text)
}
