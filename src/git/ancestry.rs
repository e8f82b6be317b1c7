//! Whether a push only goes forward: whether what a ref was is behind what it shall be.
//!
//! An agent can write anything into its own repository: grafts, replacements, commit graphs, indices that lead to other
//! objects. None of that is asked. What counts is the content that a name is the hash of, and who gives contents here
//! ([`Commits`]) has held each against its name. A commit that isn't found proves nothing, so the answer is then
//! [`Ancestry::Unknown`]; that a clone is shallow is no proof of an end either.

use super::commit::Commit;
use super::object_id::ObjectId;
use serde::{Deserialize, Serialize};
use std::collections::{HashSet, VecDeque};

/// Most commits that are looked at. The longest known histories have a little over a million.
const VISITED_MAX: usize = 2_000_000;

/// Where commits come from.
pub trait Commits {
    /// The commit of that name, by a content whose hash the name is; `None` where there is none.
    fn get(&mut self, id: &ObjectId) -> Option<Commit>;
}

impl<F: FnMut(&ObjectId) -> Option<Commit>> Commits for F {
    fn get(&mut self, id: &ObjectId) -> Option<Commit> {
        self(id)
    }
}

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ancestry {
    /// It is behind: the push only adds.
    Behind,
    /// It isn't, and every commit was there to tell.
    NotBehind,
    /// Some commit isn't there, or there are too many.
    Unknown,
}

/// Whether `old` is behind `new`, or the same. Dates aren't looked at: whoever makes a commit chooses its date.
/// Nearest first: what a ref was is mostly a few steps behind.
pub fn ancestry(old: &ObjectId, new: &ObjectId, commits: &mut impl Commits) -> Ancestry {
    let mut seen = HashSet::from([*new]);
    let mut waiting = VecDeque::from([*new]);
    let mut whole = true;
    while let Some(id) = waiting.pop_front() {
        if id == *old {
            return Ancestry::Behind;
        }
        let Some(commit) = commits.get(&id) else {
            whole = false;
            continue;
        };
        for parent in commit.parents {
            if seen.len() >= VISITED_MAX {
                return Ancestry::Unknown;
            }
            if seen.insert(parent) {
                waiting.push_back(parent);
            }
        }
    }
    if whole {
        Ancestry::NotBehind
    } else {
        Ancestry::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::super::object_id::ObjectFormat;
    use super::*;
    use std::collections::HashMap;

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes(&[number; 20], ObjectFormat::Sha1)
    }

    fn of(history: &[(u8, &[u8])], old: u8, new: u8) -> Ancestry {
        let commits: HashMap<ObjectId, Commit> = history
            .iter()
            .map(|(number, parents)| {
                let parents = parents.iter().map(|parent| id(*parent)).collect();
                (id(*number), Commit { tree: id(0), parents })
            })
            .collect();
        ancestry(&id(old), &id(new), &mut |id: &ObjectId| commits.get(id).cloned())
    }

    #[test]
    fn forward_aside_and_unknown() {
        let history: &[(u8, &[u8])] = &[(1, &[]), (2, &[1]), (3, &[2]), (4, &[1]), (5, &[3, 4]), (6, &[9])];
        assert_eq!(of(history, 1, 3), Ancestry::Behind);
        assert_eq!(of(history, 4, 5), Ancestry::Behind);
        assert_eq!(of(history, 5, 5), Ancestry::Behind);
        assert_eq!(of(history, 3, 4), Ancestry::NotBehind);
        assert_eq!(of(history, 5, 3), Ancestry::NotBehind);
        assert_eq!(of(history, 9, 6), Ancestry::Behind, "it needn't be there itself");
        assert_eq!(of(history, 1, 6), Ancestry::Unknown);
        assert_eq!(of(history, 1, 8), Ancestry::Unknown);
    }

    #[test]
    fn circles_end() {
        // No hash allows one; a source that doesn't hold contents against names would.
        assert_eq!(of(&[(1, &[2]), (2, &[1])], 3, 1), Ancestry::NotBehind);
    }

    #[test]
    fn what_is_missing_does_not_hide_what_is_there() {
        let history: &[(u8, &[u8])] = &[(1, &[]), (2, &[1, 9])];
        assert_eq!(of(history, 1, 2), Ancestry::Behind);
    }
}
