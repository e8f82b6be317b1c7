//! What this session pushed: the refs that it created, with where it pushed each last, and those that it moved, with where
//! each was before. The first alone may be moved back or removed by default, and only as long as nobody else moved them; and
//! neither vouches for what is pushed next.

use crate::git::object_id::ObjectId;
use crate::git::outcome::Outcome;
use crate::git::push::{Change, Push};
use crate::git::ref_name::RefName;
use crate::policy::Repository;
use std::sync::{Mutex, PoisonError};

/// Most refs that are remembered; of those beyond, none is this session's, and none vouches.
const REFS_MAX: usize = 10_000;

/// The memory of one session.
#[derive(Debug, Default)]
pub(super) struct Own(Mutex<Vec<Ref>>);

#[derive(Debug)]
struct Ref {
    repository: Repository,
    name: RefName,
    /// What it was before this session moved it; `None` where this session created it.
    before: Option<ObjectId>,
    id: ObjectId,
}

/// What a ref of the server's is to this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Somebody else put it where it is.
    Others,
    /// This session did; before that it was there.
    Moved(ObjectId),
    /// This session created it.
    Created,
    /// More was pushed than is remembered.
    Unknown,
}

impl Own {
    /// Whether this session created a ref, and it still is where this session pushed it.
    pub(super) fn is(&self, repository: &Repository, name: &RefName, old: ObjectId) -> bool {
        self.whose(repository, name, old) == Whose::Created
    }

    /// Who put a ref where it is.
    pub(super) fn whose(&self, repository: &Repository, name: &RefName, is: ObjectId) -> Whose {
        let refs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refs.iter().find(|known| known.is(repository, name));
        match known {
            Some(known) if known.id == is => known.before.map_or(Whose::Created, Whose::Moved),
            None if refs.len() >= REFS_MAX => Whose::Unknown,
            Some(_) | None => Whose::Others,
        }
    }

    /// Remembers what a server took.
    pub(super) fn took(&self, repository: &Repository, push: &Push, outcome: &Outcome) {
        let mut refs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for command in &push.commands {
            if !outcome.taken.contains(&command.name) {
                continue;
            }
            let known = refs.iter().position(|known| known.is(repository, &command.name));
            let known = known.map(|at| refs.swap_remove(at));
            let (before, id) = match (command.change, known) {
                (Change::Create(id), _) => (None, id),
                (Change::Update { old, new }, Some(known)) if known.id == old => (known.before, new),
                // What others made of it meanwhile is theirs.
                (Change::Update { old, new }, _) => (Some(old), new),
                (Change::Delete(_), _) => continue,
            };
            if refs.len() < REFS_MAX {
                refs.push(Ref {
                    repository: repository.clone(),
                    name: command.name.clone(),
                    before,
                    id,
                });
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
        let app = "git@forge:acme/app".parse().unwrap();
        let whose = |old| own.whose(&app, &a.parse().unwrap(), id(old));
        assert_eq!((whose(4), whose(3)), (Whose::Moved(id(3)), Whose::Others));
        took(&own, a, Change::Create(id(1)), true);
        took(&own, a, Change::Delete(id(1)), true);
        assert!(!is(&own, a, 1));
    }
}
