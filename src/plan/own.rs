//! aca's own configuration, state and data: out of reach inside, wherever they are shown, and where they don't exist yet.
//!
//! What decides over later runs must not be planted. So what is missing and would be seen is made beforehand, empty and
//! 0700, and covered like the rest: a mount point can be neither removed nor replaced. The directories above it that can
//! be written become mount points too, or one of them could be renamed and another put in its place. A link on the way
//! that could be replaced from inside can't be held like that: then nothing starts.

use super::home::real_place;
use super::{Entry, Extras, Kind, PlanError};
use crate::facts::Facts;
use crate::policy::{Origin, Place};
use std::path::{Path, PathBuf};

/// The administrator's: anyone may read it outside.
const ADMINISTRATORS: &str = "/etc/aca";

/// Covers them; gives those that have to be made.
pub(super) fn add(
    facts: &Facts,
    extras: &Extras,
    entries: &mut Vec<Entry>,
) -> Result<Vec<PathBuf>, PlanError> {
    let mut made = Vec::new();
    let mut masks = Vec::new();
    for link in &extras.own_links {
        if places(entries, link)
            .iter()
            .any(|(at, _)| is_writable(entries, at))
        {
            return Err(PlanError::OwnLink { link: link.clone() });
        }
    }
    let administrators = Path::new(ADMINISTRATORS);
    let users = extras.own.iter().map(PathBuf::as_path);
    for own in users.chain([administrators]) {
        let fact = facts.paths.get(own);
        let real = fact.map_or_else(|| real_place(facts, own), |fact| fact.real.clone());
        if let Some(named) = entries.iter().find_map(|entry| shows(entry, &real)) {
            return Err(PlanError::OwnShown {
                path: named.to_owned(),
            });
        }
        for (at, source_is_there) in places(entries, &real) {
            if fact.is_none() && own == administrators && !is_writable(entries, &at) {
                // Nobody but root could make it, here or on the host.
                continue;
            }
            if fact.is_none() && !made.contains(&real) {
                made.push(real.clone());
            }
            for pin in pins(entries, &at) {
                // What is bound elsewhere than where it lies can't be held by binding it once more.
                if !source_is_there {
                    return Err(PlanError::OwnShown { path: at });
                }
                let (index, pin) = pin;
                entries.insert(index, Entry::Pin { at: pin });
            }
            masks.push(Entry::Mask {
                at,
                kind: fact.map_or(Kind::Directory, |fact| fact.kind),
                place: Place::Own,
                origin: Origin::BuiltIn("aca's own files".into()),
            });
        }
    }
    entries.extend(masks);
    Ok(made)
}

/// What an entry shows of `own` by naming a part of it. One that names all of it is covered like one that holds it.
fn shows<'a>(entry: &'a Entry, own: &Path) -> Option<&'a Path> {
    let grants = matches!(entry, Entry::Show { .. } | Entry::Grant { own: false, .. });
    let (source, at) = bound(entry).filter(|_| grants)?;
    (source.starts_with(own) && source != own).then_some(at)
}

/// Where a path of the host is seen, and whether that is its own place.
fn places(entries: &[Entry], real: &Path) -> Vec<(PathBuf, bool)> {
    let mut places: Vec<(PathBuf, bool)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some((source, at)) = bound(entry) else {
            continue;
        };
        let Ok(rest) = real.strip_prefix(source) else {
            continue;
        };
        let seen = if rest.as_os_str().is_empty() {
            at.to_owned()
        } else {
            at.join(rest)
        };
        if innermost(entries, &seen) == Some(index) && !places.iter().any(|(known, _)| *known == seen) {
            places.push((seen, source == at));
        }
    }
    places
}

/// The directories above `at` that could be renamed away, the outer ones last, each with its place in the list: right
/// after what holds it, so that nothing that lies beneath it is covered.
fn pins(entries: &[Entry], at: &Path) -> Vec<(usize, PathBuf)> {
    at.ancestors()
        .skip(1)
        .take_while(|above| above.parent().is_some())
        .filter_map(|above| {
            let index = innermost(entries, above)?;
            let holder = entries.get(index)?;
            let inside = holder.at() != above && is_open(holder);
            inside.then(|| (index + 1, above.to_owned()))
        })
        .collect()
}

fn is_writable(entries: &[Entry], path: &Path) -> bool {
    innermost(entries, path)
        .and_then(|index| entries.get(index))
        .is_some_and(is_open)
}

fn is_open(entry: &Entry) -> bool {
    matches!(entry, Entry::Grant { .. } | Entry::Pin { .. })
}

/// The mount that a path is seen through: the last one that holds it.
fn innermost(entries: &[Entry], path: &Path) -> Option<usize> {
    let mounts = |entry: &Entry| {
        let covers = matches!(entry, Entry::Scratch { .. } | Entry::Mask { .. });
        (covers || bound(entry).is_some()) && path.starts_with(entry.at())
    };
    entries.iter().rposition(mounts)
}

/// What of the host an entry shows, and where.
fn bound(entry: &Entry) -> Option<(&Path, &Path)> {
    match entry {
        Entry::Show { source, at, .. } | Entry::Grant { source, at, .. } => Some((source, at)),
        Entry::Protect { at, .. } | Entry::Pin { at } => Some((at, at)),
        Entry::Directory { .. }
        | Entry::Link { .. }
        | Entry::File { .. }
        | Entry::Scratch { .. }
        | Entry::Cover { .. }
        | Entry::Mask { .. }
        | Entry::Seal { .. }
        | Entry::Proc { .. }
        | Entry::Sys
        | Entry::Devices { .. }
        | Entry::Terminal { .. } => None,
    }
}
