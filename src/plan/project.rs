//! The project and the paths that rules name: what is writable, what stays as it is, what can't be read.

use super::{Entry, Kind, PlanError, ProjectNeeds};
use crate::facts::{Facts, PathFact};
use crate::policy::{Access, Origin, PathRule, Policy};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Adds the project and the rules on paths, outer before inner.
pub(super) fn add(
    policy: &Policy,
    facts: &Facts,
    needs: &ProjectNeeds,
    entries: &mut Vec<Entry>,
) -> Result<(), PlanError> {
    let rules = policy.paths.as_slice();
    root(rules, facts, needs, entries);
    let mut inner = Vec::new();
    // What a file that isn't trusted hides may have been kept as it is before: then what lies above is held still.
    let narrowed = |origin: &Origin| policy.kept.iter().any(|kept| kept.origin == *origin);
    let held: Vec<&Path> = needs
        .masks
        .iter()
        .filter(|(_, _, origin)| narrowed(origin))
        .map(|(at, _, _)| at.as_path())
        .collect();
    protections(rules, &with_real(rules, facts), needs, held, &mut inner);
    for (at, kind, origin) in &needs.masks {
        // A rule that hides a directory of which another one shows a part stands for itself, below. But one of a file that
        // isn't trusted doesn't take away what hides the directory besides.
        let own = |kept: &PathRule| kept.path == *at && kept.access == Access::Hide;
        let besides = policy.kept.iter().find(|kept| own(kept));
        let stays = besides.is_some_and(|kept| kept.origin != *origin);
        if is_named(rules, at) || (is_hollow(rules, at) && !stays) {
            continue;
        }
        inner.push(Entry::Mask {
            at: at.clone(),
            kind: *kind,
            origin: origin.clone(),
        });
    }
    let mut hollow = Vec::new();
    for rule in rules {
        if is_glob(&rule.path) {
            // The walk expanded it: what it found is among the masks and protections.
            continue;
        }
        let fact = facts.paths.get(&rule.path);
        ruled(rule, fact, rules, needs, &mut hollow, &mut inner)?;
    }
    // A mount hides what lies beneath it, so the outer ones go first; at the same place the stricter goes on top.
    inner.sort_by_key(|entry| (entry.at().components().count(), strictness(entry)));
    entries.extend(inner);
    entries.extend(hollow.into_iter().map(|at| Entry::Seal { at }));
    Ok(())
}

/// The project itself.
fn root(rules: &[PathRule], facts: &Facts, needs: &ProjectNeeds, entries: &mut Vec<Entry>) {
    let access = PathRule::nearest(rules, &needs.root).map_or(Access::Write, |rule| rule.access);
    let identity = facts.paths.get(&needs.root).map(|fact| fact.identity);
    let writable = access == Access::Write;
    for path in std::iter::once(&needs.root).chain(&needs.extra_writable) {
        let (source, at, kind) = (path.clone(), path.clone(), Kind::Directory);
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
            }
        } else {
            Entry::Show {
                source,
                at,
                kind,
                why: "the project, read-only by a rule".into(),
            }
        });
    }
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
    let mut wanted: Vec<&(PathBuf, Kind, String)> = needs.protect.iter().collect();
    // Outer ones first: what lies in them is protected with them.
    wanted.sort_by_key(|(at, _, _)| at.components().count());
    let mut kept: Vec<&(PathBuf, Kind, String)> = Vec::new();
    // What lies in a protected directory is protected with it, but not where a rule makes a part of that writable again.
    let covers = |outer: &Path, at: &Path| {
        let opens = |rule: &PathRule| {
            rule.access == Access::Write && rule.path.starts_with(outer) && at.starts_with(&rule.path)
        };
        at.starts_with(outer) && !real.iter().any(opens)
    };
    for protected in wanted {
        let (at, _, _) = protected;
        if access(at) == Access::Hide {
            // What is hidden must not be bound back by its protection.
            held.push(at);
            continue;
        }
        if !is_named_writable(rules, at) && !kept.iter().any(|(outer, _, _)| covers(outer, at)) {
            kept.push(protected);
        }
    }
    let mut pins: BTreeSet<PathBuf> = BTreeSet::new();
    for (at, kind, why) in &kept {
        inner.push(Entry::Protect {
            at: at.clone(),
            kind: *kind,
            why: why.clone(),
        });
        pins.extend(between(at, needs));
    }
    // A directory that holds something hidden must not be renamed away either: another could be put in its place.
    for at in held {
        pins.extend(between(at, needs));
    }
    for pin in &needs.pins {
        pins.insert(pin.clone());
        pins.extend(between(pin, needs));
    }
    // A pin is a writable mount: only for what is writable anyway.
    pins.retain(|pin| {
        access(pin) == Access::Write
            && needs.roots().any(|root| pin.starts_with(root) && pin != root)
            && !kept.iter().any(|(outer, _, _)| covers(outer, pin))
    });
    inner.extend(pins.into_iter().map(|at| Entry::Pin { at }));
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

/// The directories strictly between a writable root and `path`; none for a root itself, above which all is the host's.
fn between(path: &Path, needs: &ProjectNeeds) -> Vec<PathBuf> {
    let beneath = |root: &&PathBuf| path.starts_with(root) && path != root.as_path();
    let Some(root) = needs.roots().find(beneath) else {
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
            Access::Write | Access::Read => Err(PlanError::NothingThere {
                path: rule.path.clone(),
                origin: rule.origin.clone(),
            }),
        };
    };
    let (at, kind, why) = (fact.real.clone(), fact.kind, rule.origin.to_string());
    let mut held = needs.roots().filter(|root| rule.path.starts_with(root));
    if rule.access != Access::Hide && held.any(|root| !at.starts_with(root)) {
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
        },
        Access::Read => Entry::Show {
            source: at.clone(),
            at,
            kind,
            why,
        },
        Access::Hide if is_hollow(rules, &rule.path) && kind == Kind::Directory => {
            hollow.push(at.clone());
            Entry::Scratch {
                at,
                size_bytes: 1 << 20,
                mode: 0o755,
            }
        }
        Access::Hide => Entry::Mask {
            at,
            kind,
            origin: rule.origin.clone(),
        },
    });
    Ok(())
}

/// Whether a path holds a glob.
pub(super) fn is_glob(path: &Path) -> bool {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .any(|byte| matches!(byte, b'*' | b'?'))
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
