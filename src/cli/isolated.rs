//! The private git directory, as commands need it: whether there is one, making it, and what cut-off runs left.

use crate::config::Places;
use crate::facts::{Ambient, Project, absent_includes, real};
use crate::failure::{Failure, FailureKind};
use crate::isolated::{Ground, HostGit, Import, Layout, News, Place, Unfit, borrowed};
use crate::plan::{PrivateGit, ProjectNeeds};
use crate::policy::{Access, GitMode, PathRule, Policy};
use crate::supervise::private_git::{self, bring_left_over};
use crate::ui::{self, sanitize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Puts a private git directory into what the plan is made of, where one is wanted and can be had.
pub(super) fn settle(
    project: &Project,
    policy: &Policy,
    ambient: &Ambient,
    places: &Places,
    needs: &mut ProjectNeeds,
) -> Option<(Layout, HostGit)> {
    if policy.git_mode == GitMode::Direct {
        return None;
    }
    match look(project, policy, ambient, places) {
        Ok(found) => {
            let (layout, git) = found?;
            let source = places.private_git();
            needs.isolate(PrivateGit {
                source: real(&source).unwrap_or(source),
                at: layout.at().to_owned(),
                stores: layout.stores(),
            });
            Some((layout, git))
        }
        Err(unfit) => {
            needs.no_private_git = Some((unfit.to_string(), unfit.remedy().to_owned()));
            None
        }
    }
}

fn look(
    project: &Project,
    policy: &Policy,
    ambient: &Ambient,
    places: &Places,
) -> Result<Option<(Layout, HostGit)>, Unfit> {
    let Some(layout) = Layout::look(project, ground(project, policy, ambient))? else {
        return Ok(None);
    };
    // A project that isn't written, or not seen, has no work to bring back; a rule on a part means the host's.
    let names = |rule: &&PathRule| {
        let hides = rule.access != Access::Write && layout.at().starts_with(&rule.path);
        rule.path.starts_with(layout.at()) || (hides && rule.path.starts_with(&project.root))
    };
    if let Some(rule) = policy.paths.iter().find(names) {
        return Err(Unfit::Rule(rule.path.clone()));
    }
    let shown = |store: &Path| {
        let rule = PathRule::nearest(&policy.paths, store);
        store.starts_with(&project.root) || rule.is_some_and(|rule| rule.access != Access::Hide)
    };
    if let Some(store) = borrowed::unknown(&places.borrowed(), &layout, &shown) {
        return Err(Unfit::Appeared(store));
    }
    // Git outside reads them when it brings the work back.
    let absent = absent_includes(&layout.at().join("config"), &ambient.home);
    if let Some(path) = absent.iter().find(|path| layout.ground().holds(path)) {
        return Err(Unfit::Included(path.clone()));
    }
    let written = policy.paths.iter().filter(|rule| rule.access == Access::Write);
    let open: Vec<PathBuf> = std::iter::once(project.root.clone())
        .chain(project.extra_writable.iter().cloned())
        .chain(written.map(|rule| rule.path.clone()))
        .collect();
    let git = HostGit::find(ambient, &open).ok_or(Unfit::NoGit)?;
    Ok(Some((layout, git)))
}

/// Where work trees that the run can write may lie.
fn ground(project: &Project, policy: &Policy, ambient: &Ambient) -> Ground {
    let (written, closed): (Vec<&PathRule>, Vec<&PathRule>) =
        policy.paths.iter().partition(|rule| rule.access == Access::Write);
    let own = std::iter::once(&project.root).chain(&project.extra_writable);
    let resolved = |rules: Vec<&PathRule>| -> Vec<PathBuf> {
        rules
            .into_iter()
            .filter_map(|rule| real(&rule.path).ok())
            .collect()
    };
    Ground {
        open: own.cloned().chain(resolved(written)).collect(),
        closed: resolved(closed),
        never: vec![
            project.root.clone(),
            real(&ambient.home).unwrap_or_else(|_| ambient.home.clone()),
        ],
    }
}

/// Keeps what is the user's own, before a run works on the host's git directory itself.
pub(super) fn remember(places: &Places, project: &Project) -> Result<(), Failure> {
    borrowed::remember(&places.borrowed(), project).map_err(|error| {
        Failure::new(
            FailureKind::Machine,
            format!("what the repository borrows objects from can't be kept in aca's state: {error}"),
        )
    })
}

/// Makes it, for the session.
pub(super) fn make(
    places: &Places,
    session: &str,
    project: &Path,
    layout: &Layout,
    git: HostGit,
) -> Result<private_git::PrivateGit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            FailureKind::Machine,
            format!("the private git directory can't be made: {error}"),
        )
        .hint("`--git-mode direct` works on the host's own")
    };
    let place = Place::make(&places.private_git(), session, project, layout).map_err(failed)?;
    let at = layout.at().to_owned();
    let import = Import::new(place, git, true).map_err(failed)?;
    Ok(private_git::PrivateGit::new(import, at))
}

/// Brings back what runs left that were cut off: of one project, or of all.
pub(super) fn bring_back(places: &Places, project: Option<&Project>, ambient: &Ambient) {
    for place in Place::left_over(&places.private_git(), project) {
        let session = place.session().to_owned();
        let directory = place.directory().to_owned();
        let git = place.git_outside(ambient);
        let git = git.ok_or_else(|| "there is no git here to bring it back with".to_owned());
        let import = git.and_then(|git| {
            Import::new(place, git, false).map_err(|error| {
                if error.kind() == ErrorKind::WouldBlock {
                    "git, which it had started outside, is still at work; the next aca here brings it back once that has ended"
                        .to_owned()
                } else {
                    error.to_string()
                }
            })
        });
        let import = match import {
            Ok(import) => import,
            Err(why) => {
                ui::write_error(&format!(
                    "aca: what the run {session} did in git is still in {}: {why}\n",
                    sanitize::line_within(&directory.to_string_lossy(), 200)
                ));
                continue;
            }
        };
        let (news, kept) = bring_left_over(import);
        let count = news
            .iter()
            .filter(|one| matches!(one, News::Brought { .. }))
            .count();
        let mut parts = vec![format!("{count} brought back")];
        for one in &news {
            match one {
                News::Brought { .. } => {}
                News::Aside { what, at, .. } => parts.push(format!("{what} is kept as {at}")),
                News::NotBrought { what, why } => parts.push(format!("{what} not: {why}")),
            }
        }
        if let Some(kept) = kept {
            parts.push(format!("all of it is still in {}", kept.display()));
        }
        ui::write_error(&format!(
            "aca: the run {session} was cut off; of what it did in git: {}\n",
            sanitize::line_within(&parts.join("; "), 2000)
        ));
    }
}
