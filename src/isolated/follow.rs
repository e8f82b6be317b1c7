//! A branch that is checked out outside moves only if the index there moves with it.
//!
//! Else `git status` outside would show the reverse of what was done inside as staged, and the next commit would take it back.
//! So the index is locked, held against what the session saw there last, and only then does the branch move; the lock is held
//! until the index is written.

use super::decide::Step;
use super::going;
use super::index_lock::IndexLock;
use super::part::{Around, PartState, Side, Which};
use super::place::HeadText;
use super::read::Opened;
use crate::facts::beneath::open_root;
use crate::git::index::{self, Entry, same};
use crate::git::object_id::{ObjectFormat, ObjectId};
use crate::git::ref_files::Head;
use crate::git::ref_name::RefName;
use std::path::Path;

/// What is to be done with a ref.
pub(super) type RefStep = (RefName, ObjectId, Step);

/// What doesn't move at once.
#[derive(Default)]
pub(super) struct Held {
    /// It may once something else is checked out.
    pub(super) later: Vec<RefStep>,
    /// Git outside is at work on the index.
    pub(super) busy: Vec<RefStep>,
}

enum Follows {
    Yes(IndexLock),
    /// Once something else is checked out.
    Later,
    Busy,
    No(&'static str),
}

impl PartState {
    /// A work tree on the host.
    pub(super) fn outside(&self, around: &Around<'_>, own: &Path) -> Option<Opened> {
        let root = open_root(&around.place.about.layout.host).ok()?;
        Opened::open(&root, self.at(), &self.at_tree(own), self.format()).ok()
    }

    /// The branch that a work tree on the host has.
    pub(super) fn branch_outside(&self, around: &Around<'_>, side: &Side) -> Option<RefName> {
        if matches!(side.which, Which::New(_)) {
            return None;
        }
        match self.outside(around, &side.own)?.head()? {
            Head::Branch(name) => Some(name),
            Head::Detached(_) => None,
        }
    }

    /// Takes out of the steps what may not move now, and locks the indexes beneath the others.
    pub(super) fn hold(
        &self,
        around: &Around<'_>,
        number: usize,
        sides: &mut [Side],
        steps: &mut Vec<RefStep>,
        is_whole: &dyn Fn(usize) -> bool,
    ) -> Held {
        let mut held = Held::default();
        for side in sides {
            let Some(branch) = self.branch_outside(around, side) else {
                continue;
            };
            let moves = |(name, _, step): &RefStep| {
                *name == branch && matches!(step, Step::Create | Step::Move { .. })
            };
            let Some(at) = steps.iter().position(moves) else {
                continue;
            };
            match self.follows(around, number, side, is_whole) {
                Follows::Yes(lock) => side.lock = Some(lock),
                Follows::Later => held.later.push(steps.remove(at)),
                Follows::Busy => held.busy.push(steps.remove(at)),
                // It may yet, while the run goes on.
                Follows::No(_) if !around.last => drop(steps.remove(at)),
                Follows::No(why) => {
                    if let Some((_, _, step)) = steps.get_mut(at) {
                        *step = Step::Aside(why);
                    }
                }
            }
        }
        held
    }

    fn follows(
        &self,
        around: &Around<'_>,
        number: usize,
        side: &Side,
        is_whole: &dyn Fn(usize) -> bool,
    ) -> Follows {
        let Which::Known(known) = side.which else {
            return Follows::Later;
        };
        let (Some(outside), Some(tree)) = (self.outside(around, &side.own), self.state.trees.get(known))
        else {
            return Follows::No("its work tree can't be read outside");
        };
        let head = outside.head();
        if side.head != head {
            return if head.map(HeadText::from) == tree.head {
                Follows::Later
            } else {
                Follows::No("you have it checked out, and inside it isn't")
            };
        }
        if side.under_way && side.going.is_none() {
            return Follows::No("something is under way inside on top of it");
        }
        if outside.is_under_way() {
            return Follows::No("you have it checked out, with something under way (a rebase, a merge)");
        }
        if side.locked && !around.last {
            return Follows::Busy;
        }
        let place = around.place;
        let work = place.about.layout.host.join(self.at_tree(&side.own));
        let lock = match IndexLock::take(&work, place.lock_note((number, known))) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Follows::Busy,
            Err(_) => return Follows::No("the index outside can't be written"),
        };
        let format = self.format();
        let (Some(now), Some(seen)) = (
            entries(outside.index(), format),
            entries(Some(place.index((number, known))), format),
        ) else {
            return Follows::No("the index outside can't be read");
        };
        if let Some(own) = &side.index
            && self.refuses_links(around, &side.own, own, &now).is_some()
        {
            return Follows::No("its index has a submodule that can't come, or not yet");
        }
        match &side.index {
            Some(_) if !side.index_group.is_none_or(is_whole) => {
                Follows::No("contents that the index inside names aren't there")
            }
            Some(own) if same(&index::brought(own.clone(), &now, i64::MAX).entries, &now) => {
                Follows::Yes(lock)
            }
            _ if !same(&now, &seen) => Follows::No("you have it checked out, and staged something meanwhile"),
            Some(_) => Follows::Yes(lock),
            // It was brought before.
            None if self
                .indexes
                .get(known)
                .is_some_and(|marks| marks.done == side.mark) =>
            {
                Follows::Yes(lock)
            }
            None => Follows::No("the index inside can't be read"),
        }
    }

    /// Whether the same is under way on both sides: then its next step finds what it left.
    pub(super) fn is_going_outside(&self, around: &Around<'_>, side: &Side) -> bool {
        let outside = self.outside(around, &side.own);
        side.under_way && outside.is_some_and(|outside| going::is_same(&side.inside, &outside))
    }
}

/// The entries of an index; none of one that isn't there.
pub(super) fn entries(bytes: Option<Vec<u8>>, format: ObjectFormat) -> Option<Vec<Entry>> {
    match bytes {
        Some(bytes) if !bytes.is_empty() => index::read(&bytes, format).ok(),
        _ => Some(Vec::new()),
    }
}
