//! aca's own files: never seen inside, and never to be made, moved or replaced from there, since the next run obeys them.

use super::home::real_place;
use super::{Extras, PlanError, ProjectNeeds};
use crate::facts::Facts;
use std::borrow::Cow;

/// The project's needs, so that what leads to aca's own files in there stays where it is.
pub(super) fn pinned<'a>(
    facts: &Facts,
    extras: &Extras,
    needs: &'a ProjectNeeds,
) -> Result<Cow<'a, ProjectNeeds>, PlanError> {
    let mut pinned = Cow::Borrowed(needs);
    for own in &extras.own {
        let real = real_place(facts, own);
        let mut known = own.ancestors().filter_map(|above| facts.paths.get(above));
        let is_led = known.next().is_some_and(|fact| needs.holds_link_of(fact));
        let is_missing = facts.paths.get(own).is_none();
        let holds_project = needs.roots().any(|root| root.starts_with(&real));
        if is_led || holds_project || (is_missing && needs.holds(&real)) {
            return Err(PlanError::OwnInside { path: own.clone() });
        }
        if needs.holds(&real) {
            // It is masked itself, and the directories that it lies in are pinned.
            pinned.to_mut().pins.extend(real.parent().map(ToOwned::to_owned));
        }
    }
    Ok(pinned)
}
