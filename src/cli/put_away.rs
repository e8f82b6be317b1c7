//! Puts away repositories that a run made and that git outside would obey by a mere look at the project.

use crate::exit_gate::entered::{Look, entered, unread};
use crate::exit_gate::mend::{MendError, put_away, set_aside};
use crate::exit_gate::nested::obeyed;
use crate::exit_gate::snapshot::Snapshot;
use crate::supervise::{Change, Event, TrustChange};
use crate::ui::{self, sanitize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Files that have git obey another place than it did, or run something by a look.
const LEADING: [&str; 3] = ["commondir", "config.worktree", "hooks/post-index-change"];
/// Longest reason that is shown.
const WHY_MAX: usize = 300;

/// Looks at what of `changes` is a `.git`, and puts away what isn't plain: that is no longer among the changes. `places` is
/// where it goes. Each is told at once, and as an event.
pub(super) fn put_away_repositories(
    before: &Snapshot,
    changes: &mut Vec<Change>,
    places: &Path,
    tell: &dyn Fn(Event),
) {
    let away = places.join(before.session.as_str());
    // Where the run worked on a git directory of its own, nothing inside could write the host's.
    let trusted = match &before.project.git {
        Some(git) if before.apart => Some(git.common_dir.as_path()),
        _ => None,
    };
    let mut gone = Vec::new();
    let mut put = |root: &Path, below: &Path, path: &Path, why: String| {
        let shown = path.display().to_string();
        let put = match put_away(root, below, &away) {
            Err(MendError::OtherFileSystem { .. }) => {
                set_aside(root, below, &format!("aca-{}", before.session))
            }
            other => other,
        };
        match put {
            Ok(to) => {
                ui::write_error(&format!(
                    "aca: {} was put away, to {}: git outside would have obeyed it by a mere look ({})\n",
                    sanitize::line(&shown),
                    sanitize::line(&to.to_string_lossy()),
                    sanitize::line_within(&why, WHY_MAX),
                ));
                gone.push(root.join(below));
                tell(Event::PutAway {
                    path: path.to_owned(),
                    to,
                    why,
                });
            }
            Err(error) => ui::write_error(&format!(
                "aca: {} can't be put away ({error}), and git outside obeys it by a mere look ({}): remove it before you run git here\n",
                sanitize::line(&shown),
                sanitize::line_within(&why, WHY_MAX),
            )),
        }
    };
    // What an index has as submodules isn't known where the run made it one that can't be read: git makes it anew.
    let unread = if before.apart {
        Vec::new()
    } else {
        unread(&before.project)
    };
    for index in unread.iter().filter(|index| !before.unread.contains(index)) {
        if let Some(directory) = index.parent() {
            let why = "the run left the index in a form in which its submodules can't be looked at; `git reset` makes it anew";
            put(directory, Path::new("index"), index, why.into());
        }
    }
    // Wherever they lie, and whether or not the walk could look there.
    let known: BTreeSet<&Path> = before.submodules.iter().map(PathBuf::as_path).collect();
    let is_known = |path: &Path| known.contains(path);
    for one in entered(&before.project, trusted, &is_known) {
        let at = one.at();
        if let (Look::Obeyed(why), false) = (one.look, is_known(&at)) {
            let shown = at.strip_prefix(&before.project.root).unwrap_or(&at);
            put(&one.tree, &one.path, shown, why);
        }
    }
    for change in changes.iter() {
        if let Some(why) = what_is_obeyed(change, trusted) {
            put(&change.root, change.below(), &change.path, why);
        }
    }
    changes.retain(|change| {
        let path = change.root.join(change.below());
        !gone.iter().any(|gone| path.starts_with(gone))
    });
}

/// Whether the file has to go: a repository that isn't plain, or what was put into one that was there and makes it so.
fn what_is_obeyed(change: &Change, trusted: Option<&Path>) -> Option<String> {
    let below = change.below();
    if !change.is_file || change.change == TrustChange::Removed {
        return None;
    }
    let up_to = below
        .ancestors()
        .find(|path| path.file_name() == Some(OsStr::new(".git")))?;
    // The project's own is looked at by itself.
    if up_to == Path::new(".git") {
        return None;
    }
    let within = below.strip_prefix(up_to).ok()?;
    let is_repository = within.as_os_str().is_empty();
    let leads =
        change.change == TrustChange::Appeared && LEADING.iter().any(|name| within == Path::new(name));
    (is_repository || leads)
        .then(|| obeyed(&change.root, up_to, trusted))
        .flatten()
}
