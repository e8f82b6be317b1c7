//! The project and the paths that rules name: what is writable, what stays as it is, what can't be read.

use super::{Entry, Kept, Kind, PlanError, ProjectNeeds};
use crate::facts::{Facts, PathFact};
use crate::policy::{Access, Origin, PathRule, Place, Policy, is_glob};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Bytes that a hidden directory may hold: places for what is shown in it.
const HOLLOW_BYTES: u64 = 1 << 20;

/// Adds the project and the rules on paths, outer before inner.
pub(super) fn add(
    policy: &Policy,
    facts: &Facts,
    needs: &ProjectNeeds,
    entries: &mut Vec<Entry>,
) -> Result<(), PlanError> {
    let rules = policy.paths.as_slice();
    let real = with_real(rules, facts);
    let mut hollow = Vec::new();
    for entry in entries.iter_mut() {
        open_up(entry, rules, &mut hollow);
    }
    let mut inner = Vec::new();
    // Beneath a directory that is hidden the project is put back, as other parts of it are.
    let hidden = |rule: &PathRule| {
        rule.access == Access::Hide && rule.path != needs.root && needs.root.starts_with(&rule.path)
    };
    let outer = if rules.iter().any(hidden) {
        &mut inner
    } else {
        &mut *entries
    };
    root(rules, facts, needs, outer);
    // What a file that isn't trusted hides may have been kept as it is before: then what lies above is held still.
    let narrowed = |origin: &Origin| policy.kept.iter().any(|kept| kept.origin == *origin);
    let held: Vec<&Path> = needs
        .masks
        .iter()
        .filter(|(_, _, origin)| narrowed(origin))
        .map(|(at, _, _)| at.as_path())
        .collect();
    protections(rules, &real, needs, held, &mut inner);
    for (at, kind, origin) in &needs.masks {
        // A rule that hides a directory of which another one shows a part stands for itself, below.
        if is_named(rules, at) || is_hollow(rules, at) {
            continue;
        }
        inner.push(Entry::Mask {
            at: at.clone(),
            kind: *kind,
            place: match origin {
                Origin::BuiltIn(_) => Place::Secret,
                Origin::File { .. } | Origin::Flag(_) | Origin::Session(_)
                    if is_hidden_by_name(rules, at) =>
                {
                    Place::Rule
                }
                Origin::File { .. } | Origin::Flag(_) | Origin::Session(_) => Place::Pattern,
            },
            origin: origin.clone(),
        });
    }
    for entry in &mut inner {
        open_up(entry, rules, &mut hollow);
    }
    // What a pattern finds in there is not named, and stays hidden; but not what lies in a part that is shown.
    let in_project = |hollow: &Path| needs.roots().any(|root| hollow.starts_with(root));
    let hidden = |at: &Path| {
        let within = |hollow: &PathBuf| {
            let shows = |rule: &PathRule| {
                rule.access != Access::Hide && rule.path.starts_with(hollow) && at.starts_with(&rule.path)
            };
            in_project(hollow) && at != hollow && at.starts_with(hollow) && !real.iter().any(shows)
        };
        hollow.iter().any(within)
    };
    inner.retain(|entry| !matches!(entry, Entry::Protect { at, .. } | Entry::Pin { at } if hidden(at)));
    for rule in rules {
        if is_glob(&rule.path) {
            // The walk expanded it: what it found is among the masks and protections.
            continue;
        }
        let fact = facts.paths.get(&rule.path);
        ruled(rule, fact, rules, needs, &mut hollow, &mut inner)?;
    }
    private_git(needs, &mut inner);
    // A mount hides what lies beneath it, so the outer ones go first; at the same place the stricter goes on top.
    inner.sort_by_key(|entry| (entry.at().components().count(), strictness(entry)));
    entries.extend(inner);
    entries.extend(hollow.into_iter().map(|at| Entry::Seal { at }));
    Ok(())
}

/// The private git directory, and the objects that it borrows. What those lead to in turn is listed beside them, so their
/// own lists are empty.
fn private_git(needs: &ProjectNeeds, inner: &mut Vec<Entry>) {
    let Some(git) = &needs.private_git else { return };
    let origin = || Origin::BuiltIn("git.mode = \"isolated\"".into());
    inner.push(Entry::Grant {
        source: git.source.clone(),
        at: git.at.clone(),
        kind: Kind::Directory,
        identity: None,
        own: true,
        why: "the private git directory".into(),
        place: Place::Git,
        origin: origin(),
    });
    for (source, at) in &git.stores {
        inner.push(Entry::Show {
            source: source.clone(),
            at: at.clone(),
            kind: Kind::Directory,
            why: "objects of the repository".into(),
            place: Place::Project,
            origin: origin(),
        });
        inner.push(Entry::Cover {
            at: at.join("info/alternates"),
            content: Vec::new(),
            writable: false,
            why: "what it borrows from is listed beside it".into(),
        });
    }
}

/// A masked directory of which a rule shows a part: nothing can be put into a mask, so it becomes an empty place that is
/// closed once those parts stand in it.
fn open_up(entry: &mut Entry, rules: &[PathRule], hollow: &mut Vec<PathBuf>) {
    let Entry::Mask {
        at,
        kind: Kind::Directory,
        place,
        origin,
    } = entry
    else {
        return;
    };
    let shows =
        |rule: &PathRule| rule.access != Access::Hide && rule.path != *at && rule.path.starts_with(&*at);
    if rules.iter().any(|rule| shows(rule) && !is_glob(&rule.path)) {
        hollow.push(at.clone());
        *entry = Entry::Scratch {
            at: at.clone(),
            size_bytes: HOLLOW_BYTES,
            mode: 0o755,
            place: place.clone(),
            origin: origin.clone(),
        };
    }
}

/// The project itself.
fn root(rules: &[PathRule], facts: &Facts, needs: &ProjectNeeds, entries: &mut Vec<Entry>) {
    let rule = PathRule::nearest(rules, &needs.root);
    let access = rule.map_or(Access::Write, |rule| rule.access);
    let origin = rule.map_or_else(|| Origin::BuiltIn("project".into()), |rule| rule.origin.clone());
    let place = if rule.is_some() {
        Place::Rule
    } else {
        Place::Project
    };
    let identity = facts.paths.get(&needs.root).map(|fact| fact.identity);
    let writable = access == Access::Write;
    for path in std::iter::once(&needs.root).chain(&needs.extra_writable) {
        let (source, at, kind) = (path.clone(), path.clone(), Kind::Directory);
        let (place, origin) = (place.clone(), origin.clone());
        entries.push(if writable {
            let identity = if *path == needs.root {
                identity
            } else {
                facts.paths.get(path).map(|fact| fact.identity)
            };
            Entry::Grant {
                source,
                at,
                kind,
                identity,
                own: false,
                why: "the project".into(),
                place,
                origin,
            }
        } else {
            Entry::Show {
                source,
                at,
                kind,
                why: "the project, read-only by a rule".into(),
                place,
                origin,
            }
        });
    }
}

/// What the host runs or trusts later, and every directory on the way to it: without those a rename of a parent would
/// take the protection away together with the name. `real` are the rules where they take effect, `held` is what stays at
/// its place besides.
fn protections<'a>(
    rules: &[PathRule],
    real: &[PathRule],
    needs: &'a ProjectNeeds,
    mut held: Vec<&'a Path>,
    inner: &mut Vec<Entry>,
) {
    let access = |at: &Path| PathRule::nearest(real, at).map_or(Access::Write, |rule| rule.access);
    let mut wanted: Vec<&Kept> = needs.protect.iter().collect();
    // Outer ones first: what lies in them is protected with them.
    wanted.sort_by_key(|wanted| wanted.path.components().count());
    let mut kept: Vec<&Kept> = Vec::new();
    // What lies in a protected directory is protected with it, but not where a rule makes a part of that writable again.
    let covers = |outer: &Path, at: &Path| {
        let opens = |rule: &PathRule| {
            rule.access == Access::Write && rule.path.starts_with(outer) && at.starts_with(&rule.path)
        };
        at.starts_with(outer) && !real.iter().any(opens)
    };
    for protected in wanted {
        let at = &protected.path;
        if access(at) == Access::Hide {
            // What is hidden must not be bound back by its protection.
            held.push(at);
            continue;
        }
        if !is_named_writable(rules, at) && !kept.iter().any(|outer| covers(&outer.path, at)) {
            kept.push(protected);
        }
    }
    let mut pins: BTreeSet<PathBuf> = BTreeSet::new();
    for keep in &kept {
        inner.push(Entry::Protect {
            at: keep.path.clone(),
            kind: keep.kind,
            why: keep.why.clone(),
            place: keep.place.clone(),
            origin: keep.origin.clone(),
        });
        pins.extend(between(&keep.path, needs));
    }
    for pin in &needs.pins {
        pins.insert(pin.clone());
        pins.extend(between(pin, needs));
    }
    // A rule of the user's too would hold for the old place alone.
    for rule in real
        .iter()
        .filter(|rule| rule.access == Access::Read && !is_glob(&rule.path))
    {
        pins.extend(between(&rule.path, needs));
    }
    // A directory that holds something hidden must not be renamed away either: another could be put in its place.
    for at in held {
        pins.extend(between(at, needs));
    }
    // A pin is a writable mount: only for what is writable anyway.
    pins.retain(|pin| {
        access(pin) == Access::Write
            && needs.roots().any(|root| pin.starts_with(root))
            && !needs.roots().any(|root| root == pin)
            && !kept.iter().any(|outer| covers(&outer.path, pin))
    });
    inner.extend(pins.into_iter().map(|at| Entry::Pin { at }));
}

/// The rules, and once more those on links with what the link leads to: there they take effect.
fn with_real(rules: &[PathRule], facts: &Facts) -> Vec<PathRule> {
    let real = |rule: &PathRule| {
        let fact = facts.paths.get(&rule.path)?;
        (fact.real != rule.path).then(|| PathRule {
            path: fact.real.clone(),
            ..rule.clone()
        })
    };
    rules
        .iter()
        .cloned()
        .chain(rules.iter().filter_map(real))
        .collect()
}

/// A rule hides exactly this path, not as one that a pattern found.
fn is_hidden_by_name(rules: &[PathRule], at: &Path) -> bool {
    rules
        .iter()
        .any(|rule| rule.path == at && rule.access == Access::Hide)
}

/// A rule hides this path, and another one shows a part of it.
fn is_hollow(rules: &[PathRule], at: &Path) -> bool {
    let hidden =
        PathRule::nearest(rules, at).is_some_and(|rule| rule.path == at && rule.access == Access::Hide);
    hidden
        && rules
            .iter()
            .any(|other| other.access != Access::Hide && other.path != at && other.path.starts_with(at))
}

/// A rule of the user's shows exactly this path: who names a secret means it.
fn is_named(rules: &[PathRule], at: &Path) -> bool {
    PathRule::nearest(rules, at).is_some_and(|rule| rule.path == at && rule.access != Access::Hide)
}

/// A rule of the user's makes exactly this path writable. One that only holds it doesn't: the longest path wins, and that
/// is the built-in one.
fn is_named_writable(rules: &[PathRule], at: &Path) -> bool {
    PathRule::nearest(rules, at).is_some_and(|rule| rule.path == at && rule.access == Access::Write)
}

/// The directories strictly between a writable root and `path`; none for a root, above which nothing is the run's.
fn between(path: &Path, needs: &ProjectNeeds) -> Vec<PathBuf> {
    let holds = |root: &&PathBuf| path != root.as_path() && path.starts_with(root);
    let Some(root) = needs.roots().find(holds) else {
        return Vec::new();
    };
    path.ancestors()
        .skip(1)
        .take_while(|ancestor| *ancestor != root.as_path())
        .map(Path::to_owned)
        .collect()
}

/// What a rule on one path does.
///
/// A path that leads over symbolic links stands for what it leads to, which is shown at its own place, with a link at
/// the rule's. But none may lead out of what is writable inside: whoever ran there before could have made it.
fn ruled(
    rule: &PathRule,
    fact: Option<&PathFact>,
    rules: &[PathRule],
    needs: &ProjectNeeds,
    hollow: &mut Vec<PathBuf>,
    inner: &mut Vec<Entry>,
) -> Result<(), PlanError> {
    if rule.path == needs.root && rule.access != Access::Hide {
        return Ok(());
    }
    let Some(fact) = fact else {
        return match rule.access {
            // Nothing there is nothing to see; in the project it is masked when it appears.
            Access::Hide => Ok(()),
            // It may be made there.
            Access::Write if needs.openable.contains(&rule.path) => Ok(()),
            Access::Write | Access::Read => Err(PlanError::NothingThere {
                path: rule.path.clone(),
                origin: rule.origin.clone(),
            }),
        };
    };
    let (at, kind, why) = (fact.real.clone(), fact.kind, rule.origin.to_string());
    let (place, origin) = (Place::Rule, rule.origin.clone());
    let mut held = needs.roots().filter(|root| rule.path.starts_with(root));
    let leads_out = held.any(|root| !at.starts_with(root)) || needs.leads_out(fact);
    if rule.access != Access::Hide && leads_out {
        return Err(PlanError::LeadsOut {
            path: rule.path.clone(),
            real: at,
            origin: rule.origin.clone(),
        });
    }
    if rule.access != Access::Hide && at != rule.path {
        inner.push(Entry::Link {
            at: rule.path.clone(),
            target: at.clone(),
        });
    }
    inner.push(match rule.access {
        Access::Write => Entry::Grant {
            source: at.clone(),
            at,
            kind,
            identity: Some(fact.identity),
            own: false,
            why,
            place,
            origin,
        },
        Access::Read => Entry::Show {
            source: at.clone(),
            at,
            kind,
            why,
            place,
            origin,
        },
        Access::Hide if is_hollow(rules, &rule.path) && kind == Kind::Directory => {
            hollow.push(at.clone());
            Entry::Scratch {
                at,
                size_bytes: HOLLOW_BYTES,
                mode: 0o755,
                place,
                origin,
            }
        }
        Access::Hide => Entry::Mask {
            at,
            kind,
            place,
            origin,
        },
    });
    Ok(())
}

const fn strictness(entry: &Entry) -> u8 {
    match entry {
        Entry::Pin { .. } => 0,
        Entry::Grant { .. } => 1,
        Entry::Show { .. } => 2,
        Entry::Protect { .. } => 3,
        // In place of what is hidden with a part of it shown.
        Entry::Scratch { .. } => 4,
        Entry::Mask { .. } => 5,
        Entry::Directory { .. }
        | Entry::Link { .. }
        | Entry::File { .. }
        | Entry::Cover { .. }
        | Entry::Seal { .. }
        | Entry::Proc { .. }
        | Entry::Sys
        | Entry::Devices { .. }
        | Entry::Terminal { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_lie_beneath_a_root() {
        let needs = ProjectNeeds {
            root: "/h/p".into(),
            // The common directory of a linked work tree is a root, and has a pin.
            extra_writable: vec!["/h/main/.git".into()],
            pins: vec![
                "/h/main/.git".into(),
                "/h/p/a/b/.git".into(),
                "/elsewhere/.git".into(),
            ],
            ..ProjectNeeds::default()
        };
        let mut entries = Vec::new();
        protections(&[], &[], &needs, Vec::new(), &mut entries);
        let pins: Vec<&Path> = entries.iter().map(Entry::at).collect();
        let beneath = ["/h/p/a", "/h/p/a/b", "/h/p/a/b/.git"];
        assert_eq!(pins, beneath.map(Path::new));
    }
}
