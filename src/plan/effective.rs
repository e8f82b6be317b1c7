//! What the view means for each path: the rules that the kernel will enforce, and where what is seen comes from.
//!
//! A mount hides all that lay at its place before, so of two entries the later one counts, whatever their lengths; what
//! is left is decided by the longest path.

use super::linux::{DEVICE_LINKS, DEVICES};
use super::{Closed, Entry, Plan, View};
use crate::policy::{Access, Origin, PathRule, Place, Policy};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Directories in `/dev` that are the run's own.
const DEVICE_DIRECTORIES: [&str; 2] = ["/dev/shm", "/dev/mqueue"];
/// Terminals that programs inside open.
const TERMINALS: &str = "/dev/pts";
const NEW_TERMINAL: &str = "/dev/pts/ptmx";
/// What of `/proc` is the asking process's own.
const OWN_PROCESS: [&str; 2] = ["/proc/self", "/proc/thread-self"];

/// What is found at a path inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// What the host has there.
    Host(PathBuf),
    /// Something that aca makes: a file, a directory, or one on the way to what is shown.
    Made,
    /// A symbolic link that aca makes.
    Link(PathBuf),
    /// A face without content over something of the host's.
    Covered,
    /// The kernel's own: `/proc`.
    Kernel,
    /// Nothing, until something inside makes it.
    Empty,
    /// Nothing, and nothing can be made.
    Absent,
}

impl Plan {
    /// The policy as the kernel enforces it in this view: what [`Policy::decide`] says of it is what programs meet.
    #[must_use]
    pub fn effective(&self, policy: &Policy) -> Policy {
        Policy {
            paths: self.view.rules(),
            ..policy.clone()
        }
    }
}

impl View {
    /// Every entry as a rule on its path.
    #[must_use]
    pub fn rules(&self) -> Vec<PathRule> {
        let mut rules: Vec<PathRule> = Vec::new();
        // What was mounted later, and hides what lies beneath.
        let (mut mounts, mut pins, mut sealed) = (HashSet::new(), HashSet::new(), HashSet::new());
        for entry in self.entries.iter().rev() {
            let is_hidden = |path: &Path| {
                // A pin shows its own place again, as it was granted.
                path.ancestors().any(|above| mounts.contains(above))
                    || path.ancestors().skip(1).any(|above| pins.contains(above))
            };
            let standing = rules_of(entry).into_iter().filter(|rule| !is_hidden(&rule.path));
            rules.extend(standing.map(|rule| PathRule {
                access: if sealed.contains(rule.path.as_path()) {
                    Access::Hide
                } else {
                    rule.access
                },
                ..rule
            }));
            if let Entry::Seal { at } = entry {
                sealed.insert(at.as_path());
            } else if let Entry::Pin { at } = entry {
                pins.insert(at.as_path());
            } else if let Some(at) = mounted(entry) {
                mounts.insert(at);
            }
        }
        rules
    }

    /// What is found at `path` when the run starts; a link is not followed.
    #[must_use]
    pub fn seen(&self, path: &Path) -> Seen {
        // The last mount on the way is on top of all before.
        let top = self
            .entries
            .iter()
            .rposition(|entry| mounted(entry).is_some_and(|at| path.starts_with(at)));
        let later = self
            .entries
            .get(top.map_or(0, |top| top + 1)..)
            .unwrap_or_default();
        let nearest = top.and_then(|top| self.entries.get(top));
        let on_the_way = later.iter().any(|entry| entry.at().starts_with(path));
        let own = later.iter().rev().find_map(|entry| {
            if let Entry::Link { at, target } = entry
                && at == path
            {
                return Some(Seen::Link(target.clone()));
            }
            None
        });
        let made = if on_the_way || nearest.is_some_and(|entry| entry.at() == path) {
            Seen::Made
        } else {
            Seen::Empty
        };
        match nearest {
            // What goes in is as it is on the host.
            Some(Entry::Grant {
                at,
                place: Place::Git,
                ..
            }) => host(at, at, path),
            Some(Entry::Show { source, at, .. } | Entry::Grant { source, at, .. }) => host(source, at, path),
            Some(Entry::Protect { at, .. } | Entry::Pin { at }) => host(at, at, path),
            Some(Entry::Mask { at, .. }) if path == at => Seen::Covered,
            Some(Entry::Mask { .. }) => Seen::Absent,
            Some(Entry::Cover { .. }) => Seen::Made,
            Some(Entry::Sys) => Seen::Host(path.to_owned()),
            Some(Entry::Proc { .. }) => Seen::Kernel,
            Some(Entry::Terminal { .. }) => Seen::Host(path.to_owned()),
            Some(Entry::Devices { granted, .. }) => {
                let name = path.strip_prefix("/dev").unwrap_or(path);
                let link = DEVICE_LINKS.iter().find(|(own, _)| name == Path::new(own));
                let directories = DEVICE_DIRECTORIES.iter().chain([&TERMINALS, &NEW_TERMINAL]);
                if DEVICES.iter().any(|own| name == Path::new(own)) || granted.iter().any(|own| own == path) {
                    Seen::Host(path.to_owned())
                } else if let Some((_, target)) = link {
                    Seen::Link(PathBuf::from(target))
                } else if directories.into_iter().any(|own| path == Path::new(own)) {
                    Seen::Made
                } else {
                    made
                }
            }
            Some(Entry::Scratch { .. }) => own.unwrap_or(made),
            None if own.is_some() || on_the_way => own.unwrap_or(Seen::Made),
            None => Seen::Absent,
            // None of these is a mount.
            Some(Entry::Directory { .. } | Entry::Link { .. } | Entry::File { .. } | Entry::Seal { .. }) => {
                made
            }
        }
    }
}

fn host(source: &Path, at: &Path, path: &Path) -> Seen {
    match path.strip_prefix(at) {
        Ok(rest) if rest.as_os_str().is_empty() => Seen::Host(source.to_owned()),
        Ok(rest) => Seen::Host(source.join(rest)),
        Err(_) => Seen::Absent,
    }
}

/// The place that an entry mounts something at.
fn mounted(entry: &Entry) -> Option<&Path> {
    match entry {
        Entry::Scratch { .. }
        | Entry::Show { .. }
        | Entry::Grant { .. }
        | Entry::Protect { .. }
        | Entry::Pin { .. }
        | Entry::Cover { .. }
        | Entry::Mask { .. }
        | Entry::Proc { .. }
        | Entry::Sys
        | Entry::Devices { .. }
        | Entry::Terminal { .. } => Some(entry.at()),
        Entry::Directory { .. } | Entry::Link { .. } | Entry::File { .. } | Entry::Seal { .. } => None,
    }
}

fn rules_of(entry: &Entry) -> Vec<PathRule> {
    let rule = |path: &Path, access, place: &Place, origin: &Origin| PathRule {
        path: path.to_owned(),
        access,
        origin: origin.clone(),
        place: place.clone(),
    };
    let view = Origin::BuiltIn("view".into());
    match entry {
        Entry::Scratch {
            at, place, origin, ..
        }
        | Entry::Grant {
            at, place, origin, ..
        } => {
            vec![rule(at, Access::Write, place, origin)]
        }
        Entry::Show {
            at, place, origin, ..
        }
        | Entry::Protect {
            at, place, origin, ..
        } => {
            vec![rule(at, Access::Read, place, origin)]
        }
        Entry::Mask {
            at, place, origin, ..
        } => vec![rule(at, Access::Hide, place, origin)],
        Entry::Cover { at, writable, .. } => {
            let access = if *writable { Access::Write } else { Access::Read };
            vec![rule(at, access, &Place::Made, &view)]
        }
        // It lies in a scratch space, and belongs to the user.
        Entry::File { at, .. } => vec![rule(at, Access::Write, &Place::Made, &view)],
        Entry::Proc { closed } => {
            let kernel = |path: &str, access| rule(Path::new(path), access, &Place::Kernel, &view);
            let settings = match closed {
                Closed::Nothing => None,
                Closed::Settings | Closed::Machine => Some(kernel("/proc/sys", Access::Read)),
            };
            let own = OWN_PROCESS.map(|path| kernel(path, Access::Write));
            std::iter::once(kernel("/proc", Access::Read))
                .chain(settings)
                .chain(own)
                .collect()
        }
        Entry::Sys => vec![rule(entry.at(), Access::Read, &Place::Kernel, &view)],
        Entry::Devices { granted, .. } => {
            let nodes = DEVICES.iter().map(|name| Path::new("/dev").join(name));
            let directories = DEVICE_DIRECTORIES.iter().map(PathBuf::from);
            let terminals = [
                rule(Path::new(TERMINALS), Access::Read, &Place::Kernel, &view),
                rule(Path::new(NEW_TERMINAL), Access::Write, &Place::Kernel, &view),
            ];
            std::iter::once(rule(entry.at(), Access::Write, &Place::Private, &view))
                .chain(terminals)
                .chain(directories.map(|path| rule(&path, Access::Write, &Place::Private, &view)))
                .chain(nodes.map(|path| rule(&path, Access::Write, &Place::Kernel, &view)))
                .chain(
                    granted
                        .iter()
                        .map(|path| rule(path, Access::Write, &Place::Kernel, &view)),
                )
                .collect()
        }
        Entry::Terminal { path, .. } => vec![rule(path, Access::Write, &Place::Kernel, &view)],
        Entry::Directory { .. } | Entry::Link { .. } | Entry::Pin { .. } | Entry::Seal { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn path() -> impl Strategy<Value = PathBuf> {
        prop::collection::vec(select(&NAMES[..]), 1..4)
            .prop_map(|names| Path::new("/").join(names.iter().collect::<PathBuf>()))
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (path(), 0..6, any::<u8>()).prop_map(|(at, form, number)| {
            let (place, kind) = (Place::Rule, Kind::Directory);
            let origin = Origin::Flag(number.to_string());
            let source = Path::new("/host").join(number.to_string());
            let why = String::new();
            match form {
                0 => Entry::Show {
                    source,
                    at,
                    kind,
                    why,
                    place,
                    origin,
                },
                1 => Entry::Grant {
                    source,
                    at,
                    kind,
                    identity: None,
                    own: false,
                    why,
                    place,
                    origin,
                },
                2 => Entry::Mask {
                    at,
                    kind,
                    place,
                    origin,
                },
                3 => Entry::Scratch {
                    at,
                    size_bytes: 1,
                    mode: 0o700,
                    place,
                    origin,
                },
                4 => Entry::Protect {
                    at,
                    kind,
                    why,
                    place,
                    origin,
                },
                _ => Entry::Pin { at },
            }
        })
    }

    proptest! {
        /// The last mount on the way to a path is what is met there: one below it in the stack is hidden, however long
        /// its path.
        #[test]
        fn as_mounts_lie_on_one_another(entries in prop::collection::vec(entry(), 0..8), path in path()) {
            let view = View { entries: entries.clone() };
            let top = entries.iter().rev().find(|entry| path.starts_with(entry.at()));
            let rule = PathRule::nearest(&view.rules(), &path).map(|rule| (rule.access, rule.origin.clone()));
            match top {
                Some(Entry::Show { origin, .. } | Entry::Protect { origin, .. }) => {
                    prop_assert_eq!(rule, Some((Access::Read, origin.clone())));
                }
                Some(Entry::Grant { origin, .. } | Entry::Scratch { origin, .. }) => {
                    prop_assert_eq!(rule, Some((Access::Write, origin.clone())));
                }
                Some(Entry::Mask { origin, .. }) => prop_assert_eq!(rule, Some((Access::Hide, origin.clone()))),
                // It shows again what lies there, as it was granted.
                Some(_) => {}
                None => prop_assert_eq!(rule, None),
            }
            let seen = view.seen(&path);
            match top {
                Some(Entry::Show { source, at, .. } | Entry::Grant { source, at, .. }) => {
                    let host = source.join(path.strip_prefix(at).unwrap());
                    let host: PathBuf = host.components().collect();
                    prop_assert_eq!(seen, Seen::Host(host));
                }
                Some(Entry::Protect { .. } | Entry::Pin { .. }) => prop_assert_eq!(seen, Seen::Host(path)),
                Some(Entry::Mask { at, .. }) => {
                    prop_assert_eq!(seen, if *at == path { Seen::Covered } else { Seen::Absent });
                }
                Some(_) | None => prop_assert!(matches!(seen, Seen::Made | Seen::Empty | Seen::Absent)),
            }
        }
    }

    #[test]
    fn a_closed_scratch_space_hides() {
        let origin = Origin::Flag("--hide /a".into());
        let at = PathBuf::from("/a");
        let view = View {
            entries: vec![
                Entry::Scratch {
                    at: at.clone(),
                    size_bytes: 1,
                    mode: 0o755,
                    place: Place::Rule,
                    origin,
                },
                Entry::Seal { at },
            ],
        };
        assert_eq!(view.rules()[0].access, Access::Hide);
    }

    #[test]
    fn a_pin_shows_its_place_as_it_was_granted() {
        let grant = |at: &str, place| Entry::Grant {
            source: at.into(),
            at: at.into(),
            kind: Kind::Directory,
            identity: None,
            own: false,
            why: String::new(),
            place,
            origin: Origin::BuiltIn("t".into()),
        };
        let pin = |at: &str| Entry::Pin { at: at.into() };
        let view = View {
            entries: vec![
                grant("/a", Place::Project),
                grant("/a/b", Place::Cache),
                grant("/a/b/c", Place::Cache),
                pin("/a/b"),
            ],
        };
        let place = |path: &str| {
            PathRule::nearest(&view.rules(), Path::new(path))
                .unwrap()
                .place
                .clone()
        };
        assert_eq!(place("/a/x"), Place::Project);
        assert_eq!(place("/a/b/x"), Place::Cache);
        assert_eq!(view.rules().len(), 2, "what lay beneath is hidden");
    }
}
