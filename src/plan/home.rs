//! The home directory inside: private with the user's tools and the agent's state, or the user's own read-only.

use super::{Cache, Entry, Extras, Kind};
use crate::facts::Facts;
use crate::policy::{Home, Origin};
use std::path::Path;

/// Bytes that the private home may hold.
const SIZE_BYTES: u64 = 4 << 30;

/// Adds the home to the view.
pub(super) fn add(home: Home, facts: &Facts, extras: &Extras, entries: &mut Vec<Entry>) {
    let root = &facts.ambient.home;
    match home {
        Home::Private => private(root, facts, extras, entries),
        Home::Host => host(root, facts, extras, entries),
    }
    state(home, facts, extras, entries);
}

fn private(root: &Path, facts: &Facts, extras: &Extras, entries: &mut Vec<Entry>) {
    entries.push(Entry::Scratch {
        at: root.to_owned(),
        size_bytes: SIZE_BYTES,
        mode: 0o700,
    });
    if let Some(text) = facts
        .git_identity
        .as_ref()
        .map(crate::facts::GitIdentity::configuration)
    {
        entries.push(Entry::File {
            at: root.join(".gitconfig"),
            content: text.into_bytes(),
            mode: 0o644,
        });
    }
    let mut placed: Vec<(&Path, Entry)> = extras
        .toolchains
        .iter()
        .filter_map(|shown| Some((shown, facts.paths.get(&shown.path)?)))
        .map(|(shown, fact)| {
            let entry = Entry::Show {
                source: fact.real.clone(),
                at: shown.path.clone(),
                kind: fact.kind,
                why: shown.why.clone(),
            };
            (shown.path.as_path(), entry)
        })
        .collect();
    for cache in &extras.caches {
        let shown = entries.iter().chain(placed.iter().map(|(_, entry)| entry));
        let above: Vec<&Path> = shown
            .filter(|entry| matches!(entry, Entry::Show { .. }) && cache.at.starts_with(entry.at()))
            .map(Entry::at)
            .collect();
        // Nothing can be put into what is read-only but on a directory that is there: tools do without that cache. And
        // a variable that names a directory of the system's doesn't make that a cache.
        if above.is_empty() || (is_directory(facts, &cache.at) && !above.contains(&cache.at.as_path())) {
            placed.push((&cache.at, grant(cache)));
        }
    }
    // A cache may hold a tool chain (`~/.julia/juliaup`), and a tool chain a cache: what lies deeper goes on top.
    placed.sort_by_key(|(path, _)| *path);
    entries.extend(placed.into_iter().map(|(_, entry)| entry));
}

fn grant(cache: &Cache) -> Entry {
    Entry::Grant {
        source: cache.store.clone(),
        at: cache.at.clone(),
        kind: Kind::Directory,
        identity: None,
        why: "a cache of the sandbox's own".into(),
    }
}

fn is_directory(facts: &Facts, path: &Path) -> bool {
    facts
        .paths
        .get(path)
        .is_some_and(|fact| fact.kind == Kind::Directory && fact.link.is_none())
}

fn host(root: &Path, facts: &Facts, extras: &Extras, entries: &mut Vec<Entry>) {
    entries.push(Entry::Show {
        source: root.to_owned(),
        at: root.to_owned(),
        kind: Kind::Directory,
        why: "home = \"host\"".into(),
    });
    for path in &extras.home_secrets {
        if let Some(fact) = facts.paths.get(path) {
            entries.push(Entry::Mask {
                at: fact.real.clone(),
                kind: fact.kind,
                origin: Origin::BuiltIn("secrets of the home".into()),
            });
        }
    }
    // The caches need a place to be put on: only where the host has the directory.
    for cache in &extras.caches {
        if is_directory(facts, &cache.at) {
            entries.push(grant(cache));
        }
    }
}

fn state(home: Home, facts: &Facts, extras: &Extras, entries: &mut Vec<Entry>) {
    let agent = &extras.agent;
    for path in &agent.private {
        entries.push(match home {
            Home::Private => Entry::Directory {
                at: path.clone(),
                mode: 0o700,
            },
            // The host's own is read-only, and has to be there to be covered: a shared part beneath it sees to that.
            Home::Host
                if facts.paths.get(path).is_some()
                    || agent.share.iter().any(|shared| shared.starts_with(path)) =>
            {
                Entry::Scratch {
                    at: path.clone(),
                    size_bytes: SIZE_BYTES,
                    mode: 0o700,
                }
            }
            Home::Host => continue,
        });
    }
    for path in &agent.share {
        let source = facts
            .paths
            .get(path)
            .map_or_else(|| path.clone(), |fact| fact.real.clone());
        entries.push(Entry::Grant {
            source,
            at: path.clone(),
            kind: Kind::Directory,
            identity: None,
            why: format!("state of {}", agent.name),
        });
    }
    for path in &agent.read {
        if let Some(fact) = facts.paths.get(path) {
            entries.push(Entry::Show {
                source: fact.real.clone(),
                at: path.clone(),
                kind: fact.kind,
                why: format!("settings of {}, not to be changed from inside", agent.name),
            });
        }
    }
    for copy in &agent.files {
        let Some(content) = &copy.content else { continue };
        let private = home == Home::Private || agent.private.iter().any(|path| copy.at.starts_with(path));
        entries.push(if private {
            Entry::File {
                at: copy.at.clone(),
                content: content.clone(),
                mode: 0o600,
            }
        } else {
            // Beside it nothing can be made: the agent has to write it in place.
            Entry::Cover {
                at: copy.at.clone(),
                content: content.clone(),
                writable: true,
                why: format!("state of {}", agent.name),
            }
        });
    }
}
