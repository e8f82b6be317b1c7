//! The home directory inside: private with the user's tools and the agent's state, or the user's own read-only.

use super::{Cache, Entry, Extras, Kind, PlanError, ProjectNeeds, Shown};
use crate::facts::{Facts, PathFact, is_no_tool};
use crate::policy::{Home, Origin, Place};
use std::path::{Path, PathBuf};

/// Bytes that the private home may hold.
const SIZE_BYTES: u64 = 4 << 30;

/// Adds the home to the view.
pub(super) fn add(
    home: Home,
    facts: &Facts,
    extras: &Extras,
    needs: &ProjectNeeds,
    entries: &mut Vec<Entry>,
) -> Result<(), PlanError> {
    let root = &facts.ambient.home;
    match home {
        Home::Private => private(root, facts, extras, needs, entries),
        Home::Host => host(root, facts, extras, entries),
    }
    state(home, facts, extras, needs, entries)
}

fn private(root: &Path, facts: &Facts, extras: &Extras, needs: &ProjectNeeds, entries: &mut Vec<Entry>) {
    entries.push(Entry::Scratch {
        at: root.to_owned(),
        size_bytes: SIZE_BYTES,
        mode: 0o700,
        place: Place::Private,
        origin: Origin::BuiltIn("home = \"private\"".into()),
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
    if let Some(ignored) = ignored(facts, needs) {
        entries.push(Entry::File {
            at: root.join(".config/git/ignore"),
            content: ignored,
            mode: 0o644,
        });
    }
    let tools: Vec<(&Shown, &PathFact)> = extras
        .toolchains
        .iter()
        .filter_map(|shown| Some((shown, facts.paths.get(&shown.path)?)))
        // A variable may name anything, and so may a link that was made in the project.
        .filter(|(shown, fact)| {
            let is_none = |path: &Path| is_no_tool(path, root) && !is_shown(path, entries);
            !is_none(&shown.path) && !is_none(&fact.real) && !needs.leads_out(fact)
        })
        .collect();
    let mut placed: Vec<(&Path, Placed<'_>)> = tools
        .iter()
        .map(|(shown, fact)| (shown.path.as_path(), Placed::Tool(shown, fact)))
        .collect();
    let is_cache = |cache: &&Cache| !is_no_tool(&cache.at, root);
    for cache in extras.caches.iter().filter(is_cache) {
        let shown = entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Show { .. }))
            .map(Entry::at);
        let above: Vec<&Path> = shown
            .chain(tools.iter().map(|(shown, _)| shown.path.as_path()))
            .filter(|path| cache.at.starts_with(path))
            .collect();
        // Nothing can be put into what is read-only but on a directory that is there: tools do without that cache. And
        // a variable that names a directory of the system's doesn't make that a cache.
        if above.is_empty() || (is_directory(facts, &cache.at) && !above.contains(&cache.at.as_path())) {
            placed.push((&cache.at, Placed::Cache(cache)));
        }
    }
    // A cache may hold a tool chain (`~/.julia/juliaup`), and a tool chain a cache: what lies deeper goes on top.
    placed.sort_by_key(|(path, _)| *path);
    for (at, what) in placed {
        match what {
            Placed::Tool(shown, fact) => {
                let origin = Origin::BuiltIn("presets/toolchains.toml".into());
                show(
                    fact,
                    at,
                    (shown.why.clone(), Place::ToolChain, origin),
                    needs,
                    entries,
                );
            }
            Placed::Cache(cache) => entries.push(grant(facts, cache)),
        }
    }
}

/// What is put into the private home.
enum Placed<'a> {
    /// A tool chain.
    Tool(&'a Shown, &'a PathFact),
    /// A cache.
    Cache(&'a Cache),
}

/// Shows part of the host at its own path. What lies in a directory that is shown is there already, as it is on the
/// host, where it may be a link (`~/.local/bin/claude`): then it is what the link leads to that must be seen. What lies
/// in the project is seen there alone: at a second place nothing of it would be masked.
fn show(
    fact: &PathFact,
    at: &Path,
    (why, place, origin): (String, Place, Origin),
    needs: &ProjectNeeds,
    entries: &mut Vec<Entry>,
) {
    if needs.holds(&fact.real) {
        if !needs.holds(at) && !is_shown(at, entries) {
            entries.push(Entry::Link {
                at: at.to_owned(),
                target: fact.real.clone(),
            });
        }
        return;
    }
    let at = match (is_shown(at, entries), &fact.link) {
        (false, _) => at,
        (true, Some(_)) if !is_shown(&fact.real, entries) => &fact.real,
        (true, _) => return,
    };
    entries.push(Entry::Show {
        source: fact.real.clone(),
        at: at.to_owned(),
        kind: fact.kind,
        why,
        place,
        origin,
    });
}

/// Whether the innermost mount that holds `path` shows a part of the host.
fn is_shown(path: &Path, entries: &[Entry]) -> bool {
    let holds = |entry: &&Entry| {
        let mounts = matches!(
            entry,
            Entry::Show { .. } | Entry::Grant { .. } | Entry::Scratch { .. }
        );
        mounts && path.starts_with(entry.at())
    };
    let innermost = entries
        .iter()
        .filter(holds)
        .max_by_key(|entry| entry.at().components().count());
    matches!(innermost, Some(Entry::Show { .. }))
}

/// A path without symbolic links, also where its last parts are still to be made.
pub(super) fn real_place(facts: &Facts, path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|above| {
            let real = &facts.paths.get(above)?.real;
            Some(
                path.strip_prefix(above)
                    .map_or_else(|_| real.clone(), |rest| real.join(rest)),
            )
        })
        .unwrap_or_else(|| path.to_owned())
}

fn grant(facts: &Facts, cache: &Cache) -> Entry {
    Entry::Grant {
        source: real_place(facts, &cache.store),
        at: cache.at.clone(),
        kind: Kind::Directory,
        identity: None,
        own: true,
        why: "a cache of the sandbox's own".into(),
        place: Place::Cache,
        origin: Origin::BuiltIn("presets/toolchains.toml".into()),
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
        place: Place::Home,
        origin: Origin::BuiltIn("home = \"host\"".into()),
    });
    for path in &extras.home_secrets {
        if let Some(fact) = facts.paths.get(path) {
            entries.push(Entry::Mask {
                at: fact.real.clone(),
                kind: fact.kind,
                place: Place::Secret,
                origin: Origin::BuiltIn("presets/home.toml".into()),
            });
        }
    }
    // The caches need a place to be put on: only where the host has the directory.
    for cache in &extras.caches {
        if is_directory(facts, &cache.at) {
            entries.push(grant(facts, cache));
        }
    }
}

/// State lies where no sandbox could have led it to.
fn believed(
    path: &Path,
    facts: &Facts,
    agent: &str,
    needs: &ProjectNeeds,
    entries: &[Entry],
) -> Result<(), PlanError> {
    // What isn't there is made beneath the nearest directory that is.
    let Some(fact) = path.ancestors().find_map(|above| facts.paths.get(above)) else {
        return Ok(());
    };
    let home = &facts.ambient.home;
    let is_private = || is_no_tool(&fact.real, home) && &fact.real != home && !is_shown(&fact.real, entries);
    if !fact.links.is_empty() && (needs.leads_out(fact) || is_private()) {
        return Err(PlanError::LeadsOut {
            path: path.to_owned(),
            real: fact.real.clone(),
            origin: agent_file(agent),
        });
    }
    Ok(())
}

fn state(
    home: Home,
    facts: &Facts,
    extras: &Extras,
    needs: &ProjectNeeds,
    entries: &mut Vec<Entry>,
) -> Result<(), PlanError> {
    let agent = &extras.agent;
    let files = agent.files.iter().filter(|copy| copy.content.is_some());
    let read = agent.read.iter().filter(|path| facts.paths.get(path).is_some());
    for path in files.map(|copy| &copy.from).chain(&agent.share).chain(read) {
        believed(path, facts, &agent.name, needs, entries)?;
    }
    // The host's own is read-only, and has to be there to be covered: a shared part beneath it sees to that.
    let has_place = |path: &Path| {
        home == Home::Private
            || facts.paths.get(path).is_some()
            || agent.share.iter().any(|shared| shared.starts_with(path))
    };
    for path in agent.private.iter().filter(|path| has_place(path)) {
        entries.push(match home {
            Home::Private => Entry::Directory {
                at: path.clone(),
                mode: 0o700,
            },
            Home::Host => Entry::Scratch {
                at: path.clone(),
                size_bytes: SIZE_BYTES,
                mode: 0o700,
                place: Place::Private,
                origin: agent_file(&agent.name),
            },
        });
    }
    for own in &agent.own {
        let mut private = agent.private.iter();
        if has_place(&own.at) || private.any(|path| own.at.starts_with(path) && has_place(path)) {
            entries.push(Entry::Grant {
                source: real_place(facts, &own.store),
                at: own.at.clone(),
                kind: Kind::Directory,
                identity: None,
                own: true,
                why: format!("state of {} in sandboxes, not the host's", agent.name),
                place: Place::AgentStore,
                origin: agent_file(&agent.name),
            });
        }
    }
    for path in &agent.share {
        let source = real_place(facts, path);
        if needs.holds(&source) && !needs.holds(path) {
            // As the project, and not a second time beside its protections.
            entries.push(Entry::Link {
                at: path.clone(),
                target: source,
            });
            continue;
        }
        entries.push(Entry::Grant {
            source,
            at: path.clone(),
            kind: Kind::Directory,
            identity: None,
            own: false,
            why: format!("state of {}", agent.name),
            place: Place::AgentState,
            origin: agent_file(&agent.name),
        });
    }
    for path in &agent.read {
        if let Some(fact) = facts.paths.get(path) {
            let why = format!("{}'s own, not to be changed from inside", agent.name);
            show(
                fact,
                path,
                (why, Place::AgentOwn, agent_file(&agent.name)),
                needs,
                entries,
            );
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
    Ok(())
}

fn agent_file(name: &str) -> Origin {
    Origin::BuiltIn(format!("agents/{name}.toml"))
}

/// The user's own list of files that git ignores, and what is masked: git could not add that, and would stop there.
fn ignored(facts: &Facts, needs: &ProjectNeeds) -> Option<Vec<u8>> {
    // The user's own come later, so that they win.
    let mut text = needs.ignored.clone().into_bytes();
    if let Some(own) = facts
        .git_identity
        .as_ref()
        .and_then(|identity| identity.ignored.as_ref())
    {
        text.extend_from_slice(own.as_bytes());
    }
    for (path, _, _) in &needs.masks {
        let Ok(path) = path.strip_prefix(&needs.root) else {
            continue;
        };
        text.extend_from_slice(b"\n/");
        for byte in path.as_os_str().as_encoded_bytes() {
            // What means something in gitignore(5), a blank at the end too.
            if matches!(byte, b'*' | b'?' | b'[' | b'\\' | b' ') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
    }
    (!text.is_empty()).then(|| {
        text.push(b'\n');
        text
    })
}
