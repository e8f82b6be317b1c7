//! Where new names are looked after, and what is open there.

use super::{PlanError, ProjectNeeds, View};
use crate::facts::Facts;
use crate::policy::{Access, Grant, NewNames, Origin, PathRule, Policy};
use std::path::PathBuf;

/// `None` where nobody asked for it, where nothing is writable that is looked after, and where Landlock can't keep the kernel
/// from making names: the guarantees say so.
///
/// # Errors
/// Where a rule opens names in a directory that it can't mean.
pub(super) fn new_names(
    policy: &Policy,
    facts: &Facts,
    needs: &ProjectNeeds,
    view: &View,
) -> Result<Option<NewNames>, PlanError> {
    let open_in = opened_in(needs)?;
    let nested = policy.grants.contains(&Grant::NestedUserns);
    if !policy.hold_names || nested || facts.machine.landlock_abi == 0 {
        return Ok(None);
    }
    let rules = policy.paths.as_slice();
    let writable = view.writable();
    let roots: Vec<PathBuf> = std::iter::once(&needs.root)
        .chain(&needs.granted)
        .filter(|root| PathRule::nearest(rules, root).is_none_or(|rule| rule.access == Access::Write))
        .cloned()
        .collect();
    // A part of what is read-only, or of what isn't the project, that a rule makes writable.
    let part = |path: &PathBuf| {
        needs
            .roots()
            .any(|root| path.starts_with(root) || root.starts_with(path))
    };
    let held: Vec<PathBuf> = writable.into_iter().filter(part).collect();
    if held.is_empty() {
        return Ok(None);
    }
    let opened: Vec<PathBuf> = rules
        .iter()
        .filter(|rule| rule.access == Access::Write)
        .map(|rule| {
            let real = facts.paths.get(&rule.path).map(|fact| fact.real.clone());
            real.unwrap_or_else(|| rule.path.clone())
        })
        // Who opens all of it means what is there.
        .filter(|path| !needs.roots().any(|root| root.starts_with(path)))
        .collect();
    // Who opens the place of a submodule lets its repository be made.
    let is_got = |exact: &&PathBuf| {
        exact.ends_with(".git") && opened.iter().any(|path| exact.parent() == Some(path.as_path()))
    };
    let exact = needs
        .absent
        .iter()
        .filter(|exact| !is_got(exact))
        .cloned()
        .collect();
    Ok(Some(NewNames {
        roots: if roots.is_empty() {
            vec![needs.root.clone()]
        } else {
            roots
        },
        exact,
        opened,
        open_in,
        aliases: needs.aliases.clone(),
        held,
    }))
}

/// Whoever ran in the project before could have made a link of a directory's name, and so chosen what is opened: none counts
/// that lies where programs inside write.
fn opened_in(needs: &ProjectNeeds) -> Result<Vec<PathBuf>, PlanError> {
    let lies_in = |path: &PathBuf| needs.roots().any(|root| path.starts_with(root));
    needs
        .open_in
        .iter()
        .map(|opened| {
            let (path, origin) = (opened.rule.path.clone(), opened.rule.origin.clone());
            if opened.links.iter().any(lies_in) {
                let real = opened.real.clone();
                return Err(PlanError::NamesLink { path, real, origin });
            }
            if lies_in(&opened.real) {
                return Ok(Some(opened.real.clone()));
            }
            // A file says it for other projects too, and opens nothing here.
            match origin {
                Origin::Flag(_) => Err(PlanError::NamesElsewhere { path, origin }),
                Origin::BuiltIn(_) | Origin::File { .. } | Origin::Session(_) => Ok(None),
            }
        })
        .filter_map(Result::transpose)
        .collect()
}
