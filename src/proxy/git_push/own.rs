//! What this session pushed: the refs that it created, with where it pushed each last. Those alone may be moved back or
//! removed by default, and only as long as nobody else moved them.

use crate::git::object_id::ObjectId;
use crate::git::outcome::Outcome;
use crate::git::push::{Change, Push};
use crate::git::ref_name::RefName;
use crate::policy::Repository;
use std::sync::{Mutex, PoisonError};

/// Most refs that are remembered; of those beyond, none is this session's.
const REFS_MAX: usize = 10_000;

/// The memory of one session.
#[derive(Debug, Default)]
pub(super) struct Own(Mutex<Vec<Ref>>);

#[derive(Debug)]
struct Ref {
    repository: Repository,
    name: RefName,
    id: ObjectId,
}

impl Own {
    /// Whether this session created a ref, and it still is where this session pushed it.
    pub(super) fn is(&self, repository: &Repository, name: &RefName, old: ObjectId) -> bool {
        let refs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refs.iter()
            .any(|known| known.is(repository, name) && known.id == old)
    }

    /// Remembers what a server took.
    pub(super) fn took(&self, repository: &Repository, push: &Push, outcome: &Outcome) {
        let mut refs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for command in &push.commands {
            if !outcome.taken.contains(&command.name) {
                continue;
            }
            let known = refs.iter().position(|known| known.is(repository, &command.name));
            match (command.change, known) {
                (Change::Create(id), known) => {
                    if let Some(known) = known {
                        refs.swap_remove(known);
                    }
                    if refs.len() < REFS_MAX {
                        refs.push(Ref {
                            repository: repository.clone(),
                            name: command.name.clone(),
                            id,
                        });
                    }
                }
                (Change::Update { old, new }, Some(known)) => match refs.get_mut(known) {
                    Some(known) if known.id == old => known.id = new,
                    // Somebody else's by now.
                    Some(_) | None => drop(refs.swap_remove(known)),
                },
                (Change::Update { .. } | Change::Delete(_), None) => {}
                (Change::Delete(_), Some(known)) => drop(refs.swap_remove(known)),
            }
        }
    }
}

impl Ref {
    fn is(&self, repository: &Repository, name: &RefName) -> bool {
        self.name == *name && self.repository.means(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::object_id::ObjectFormat;
    use crate::git::push::{Capabilities, Command};

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes(&[number; 20], ObjectFormat::Sha1)
    }

    fn took(own: &Own, name: &str, change: Change, taken: bool) {
        let name: RefName = name.parse().unwrap();
        let push = Push {
            shallow: Vec::new(),
            commands: vec![Command {
                name: name.clone(),
                change,
            }],
            capabilities: Capabilities::default(),
        };
        let outcome = Outcome {
            taken: if taken { vec![name] } else { Vec::new() },
            ..Outcome::default()
        };
        own.took(&"git@forge:acme/app".parse().unwrap(), &push, &outcome);
    }

    fn is(own: &Own, name: &str, old: u8) -> bool {
        let app = "git@forge:acme/app".parse().unwrap();
        own.is(&app, &name.parse().unwrap(), id(old))
    }

    #[test]
    fn what_was_created_and_not_moved_by_others() {
        let own = Own::default();
        let a = "refs/heads/a";
        took(
            &own,
            a,
            Change::Update {
                old: id(1),
                new: id(2),
            },
            true,
        );
        assert!(!is(&own, a, 2), "it was there before");
        took(&own, a, Change::Create(id(1)), false);
        assert!(!is(&own, a, 1), "the server didn't take it");
        took(&own, a, Change::Create(id(1)), true);
        assert!(is(&own, a, 1) && !is(&own, a, 2) && !is(&own, "refs/heads/b", 1));
        let other = "git@forge:acme/lib".parse().unwrap();
        assert!(!own.is(&other, &a.parse().unwrap(), id(1)));
        took(
            &own,
            a,
            Change::Update {
                old: id(1),
                new: id(2),
            },
            true,
        );
        assert!(is(&own, a, 2) && !is(&own, a, 1));
        // Somebody else moved it to 3, and this session went on from there.
        took(
            &own,
            a,
            Change::Update {
                old: id(3),
                new: id(4),
            },
            true,
        );
        assert!(!is(&own, a, 4));
        took(&own, a, Change::Create(id(1)), true);
        took(&own, a, Change::Delete(id(1)), true);
        assert!(!is(&own, a, 1));
    }
}
