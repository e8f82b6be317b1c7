//! What becomes of a ref that changed inside. Pure.
//!
//! Nothing that the user has is lost: a ref of the host's moves only to what comes after the value that the user left it
//! at, and only if it still is what this session saw there. What the session itself brought may be replaced by it again,
//! so that an amended commit or a rebased branch of its own is what the user sees. All else is kept aside.

use super::import::TRACKING;
use crate::git::object_id::ObjectId;
use crate::git::ref_name::RefName;
use serde::{Deserialize, Serialize};

/// What was done with a ref last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handled {
    /// The value inside that it was done with.
    pub(super) inside: ObjectId,
    /// What the user left the host's at: nothing where the ref is the session's own.
    pub(super) base: Option<ObjectId>,
    /// What the host's was set to; nothing where the value was kept aside.
    pub(super) host: Option<ObjectId>,
}

impl Handled {
    /// The value of a ref of the session's own, if it has not been touched outside: that one may go again.
    pub(super) fn own(&self, host: Option<ObjectId>) -> Option<ObjectId> {
        host.filter(|_| self.base.is_none() && self.host == host)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it didn't change inside, or the host has it already.
    Nothing,
    /// It appears on the host.
    Create,
    /// The host's moves, if the new value comes after `behind`; else it is kept aside.
    Move {
        /// What the host's must still be.
        old: ObjectId,
        /// What has to lie behind the new value; nothing where it is the session's own.
        behind: Option<ObjectId>,
    },
    /// It is kept aside.
    Aside(&'static str),
    /// It stays where it is.
    Leave(&'static str),
}

/// Whether a ref is one that comes back at all.
pub(super) fn comes_back(name: &RefName) -> bool {
    let kinds = ["refs/heads/", "refs/tags/", "refs/notes/", "refs/remotes/"];
    kinds.iter().any(|kind| name.as_str().starts_with(kind))
}

/// What a remote has: git moves those by itself when it fetches or pushes. Inside anything can, and what the user compares
/// with would be what somebody inside says: `git status` that all is pushed, `git diff origin/main` that nothing changed. So
/// one that the user has stays, until a fetch outside says what the server has.
fn is_tracking(name: &RefName) -> bool {
    name.as_str().starts_with(TRACKING)
}

/// Decides on one ref. `start` is what it was when the private directory was made.
pub(super) fn decide(
    name: &RefName,
    inside: ObjectId,
    start: Option<ObjectId>,
    handled: Option<&Handled>,
    host: Option<ObjectId>,
) -> Step {
    let last = handled.map(|handled| handled.inside).or(start);
    if last == Some(inside) || host == Some(inside) {
        return Step::Nothing;
    }
    let brought = handled.and_then(|handled| handled.host);
    let own = handled.is_some_and(|handled| handled.own(host).is_some());
    if is_tracking(name) && (start.is_some() || host.is_some() || handled.is_some()) && !own {
        return Step::Leave("a fetch outside says what the server has");
    }
    match host {
        None if start.is_none() && brought.is_none() => Step::Create,
        None => Step::Aside("it was deleted outside meanwhile"),
        Some(old) if brought == Some(old) => Step::Move {
            old,
            behind: handled.and_then(|handled| handled.base),
        },
        Some(old) => Step::Move {
            old,
            behind: Some(old),
        },
    }
}

/// What is known after a move from `old`, or a creation.
pub(super) fn after(inside: ObjectId, handled: Option<&Handled>, old: Option<ObjectId>) -> Handled {
    let own = handled.filter(|handled| handled.host.is_some() && handled.host == old);
    Handled {
        inside,
        base: own.map_or(old, |handled| handled.base),
        host: Some(inside),
    }
}

/// The name that a value is kept aside under: no two refs have the same.
pub(super) fn aside(name: &RefName, session: &str) -> String {
    let whole = name.as_str().strip_prefix("refs/").unwrap_or(name.as_str());
    let rest = name.branch().filter(|branch| {
        let first = branch.split('/').next().unwrap_or_default();
        !KINDS.contains(&first) && !first.starts_with("stash-")
    });
    format!("refs/aca/{session}/{}", rest.unwrap_or(whole))
}

/// What stands for something else in there.
const KINDS: [&str; 5] = ["heads", "tags", "notes", "remotes", "HEAD"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::object_id::ObjectFormat;

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes(&[number; 20], ObjectFormat::Sha1)
    }

    #[test]
    fn what_the_user_has_is_never_overwritten() {
        let step = |inside, start: Option<u8>, host: Option<u8>| {
            decide(
                &name("refs/heads/x"),
                id(inside),
                start.map(id),
                None,
                host.map(id),
            )
        };
        assert_eq!(step(1, Some(1), Some(1)), Step::Nothing);
        assert_eq!(step(1, Some(1), Some(2)), Step::Nothing, "the user moved it");
        assert_eq!(step(2, Some(1), Some(2)), Step::Nothing, "both to the same");
        assert_eq!(step(2, None, None), Step::Create);
        let forward = |old| Step::Move {
            old: id(old),
            behind: Some(id(old)),
        };
        assert_eq!(step(2, Some(1), Some(1)), forward(1));
        assert_eq!(
            step(2, Some(1), Some(3)),
            forward(3),
            "only past what the user did"
        );
        assert_eq!(step(2, None, Some(3)), forward(3));
        assert!(matches!(step(2, Some(1), None), Step::Aside(_)));
    }

    #[test]
    fn what_the_session_brought_is_its_own() {
        let x = name("refs/heads/x");
        // Made by the session, brought as 1, rewritten to 2.
        let handled = after(id(1), None, None);
        assert_eq!(
            decide(&x, id(2), None, Some(&handled), Some(id(1))),
            Step::Move {
                old: id(1),
                behind: None
            }
        );
        // The user's 1, moved on to 2, amended to 3: 1 has to lie behind.
        let handled = after(id(2), None, Some(id(1)));
        assert_eq!(
            decide(&x, id(3), Some(id(1)), Some(&handled), Some(id(2))),
            Step::Move {
                old: id(2),
                behind: Some(id(1))
            }
        );
        let again = after(id(3), Some(&handled), Some(id(2)));
        assert_eq!(again.base, Some(id(1)));
        // The user committed on top of 2 meanwhile.
        assert_eq!(
            decide(&x, id(3), Some(id(1)), Some(&handled), Some(id(9))),
            Step::Move {
                old: id(9),
                behind: Some(id(9))
            }
        );
        // Deleted outside: it doesn't come again.
        assert!(matches!(
            decide(&x, id(3), None, Some(&handled), None),
            Step::Aside(_)
        ));
    }

    fn name(text: &str) -> RefName {
        text.parse().unwrap()
    }

    /// What the user compares with isn't what somebody inside says that a server has.
    #[test]
    fn what_a_remote_has_is_not_said_inside() {
        let tracking = name("refs/remotes/origin/main");
        let step =
            |start: Option<u8>, host: Option<u8>| decide(&tracking, id(9), start.map(id), None, host.map(id));
        assert!(matches!(step(Some(1), Some(1)), Step::Leave(_)));
        assert!(matches!(step(Some(1), None), Step::Leave(_)), "pruned outside");
        assert!(matches!(step(None, Some(1)), Step::Leave(_)), "fetched outside");
        assert_eq!(step(Some(9), Some(1)), Step::Nothing);
        assert_eq!(step(None, None), Step::Create);
        let handled = after(id(8), None, None);
        assert_eq!(
            decide(&tracking, id(9), None, Some(&handled), Some(id(8))),
            Step::Move {
                old: id(8),
                behind: None
            }
        );
    }

    #[test]
    fn names() {
        assert_eq!(aside(&name("refs/heads/a/b"), "s"), "refs/aca/s/a/b");
        assert_eq!(aside(&name("refs/tags/v"), "s"), "refs/aca/s/tags/v");
        assert_eq!(aside(&name("refs/heads/tags/v"), "s"), "refs/aca/s/heads/tags/v");
        assert_eq!(aside(&name("refs/heads/HEAD"), "s"), "refs/aca/s/heads/HEAD");
        for text in [
            "refs/replace/x",
            "refs/bisect/x",
            "refs/stash",
            "refs/aca/s/x",
            "refs/original/refs/heads/x",
        ] {
            assert!(!comes_back(&name(text)), "{text}");
        }
    }
}
