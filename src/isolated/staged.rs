//! Brings the index back: what is staged, and that what was committed inside isn't seen as a change outside.

use super::apply::Work;
use super::follow;
use super::import::not_brought;
use super::index_lock::IndexLock;
use super::place::Place;
use super::read::Opened;
use crate::git::index::{self, Entry, brought, same};
use crate::git::object_id::ObjectFormat;
use crate::git::ref_files::Head;

/// Which index.
pub(super) struct Staged<'a> {
    pub(super) place: &'a Place,
    pub(super) number: (usize, usize),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Indexed {
    /// It is as inside.
    Same,
    /// It isn't, and stays so until it changes inside.
    Left,
    /// It is to be tried again.
    NotYet,
}

impl Work<'_> {
    pub(super) fn read_index(&mut self, inside: &Opened, format: ObjectFormat) -> Option<Vec<Entry>> {
        let bytes = inside.index()?;
        match index::read(&bytes, format) {
            Ok(entries) => Some(entries),
            Err(error) => {
                self.tell(not_brought(&(self.named)("index"), error));
                None
            }
        }
    }

    /// The index goes where `HEAD` is the same on both sides, and the host's is what the session saw there last. `lock` is held
    /// where a branch has moved beneath it.
    pub(super) fn index(
        &mut self,
        entries: Vec<Entry>,
        inside: &Opened,
        host: &Opened,
        at: &Staged<'_>,
        lock: Option<IndexLock>,
    ) -> Indexed {
        let (place, number, format) = (at.place, at.number, inside.format());
        let commit = |opened: &Opened| match opened.head()? {
            Head::Branch(name) => Some((Some(name.clone()), opened.refs()?.get(&name).copied())),
            Head::Detached(id) => Some((None, Some(id))),
        };
        if commit(inside) != commit(host) {
            self.tell(not_brought(
                &(self.named)("index"),
                "what is checked out isn't the same inside and outside",
            ));
            return Indexed::NotYet;
        }
        let lock = match lock.map_or_else(
            || IndexLock::take(self.host_work, place.lock_note(number)),
            |lock| Ok(Some(lock)),
        ) {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                self.again = true;
                self.tell(not_brought(
                    &(self.named)("index"),
                    "git outside is at work on it",
                ));
                return Indexed::NotYet;
            }
            Err(error) => {
                self.tell(not_brought(&(self.named)("index"), error));
                return Indexed::NotYet;
            }
        };
        let (before, written) = host.index_and_when().unwrap_or_default();
        let (Some(now), Some(seen)) = (
            follow::entries(Some(before.clone()), format),
            follow::entries(Some(place.index(number)), format),
        ) else {
            self.tell(not_brought(&(self.named)("index"), "the host's can't be read"));
            return Indexed::Left;
        };
        let brought = brought(entries, &now, written);
        if brought.unmarked > 0 {
            let why = format!(
                "{} files were marked so that git doesn't look at them; they aren't outside",
                brought.unmarked
            );
            self.tell(not_brought(&(self.named)("index: marks"), why));
        }
        if same(&brought.entries, &now) {
            // It may be the user who staged the same.
            if !same(&now, &seen) {
                self.saw(place, number, &before);
            }
            return Indexed::Same;
        }
        if !same(&now, &seen) {
            self.tell(not_brought(
                &(self.named)("index"),
                "something was staged outside meanwhile",
            ));
            return Indexed::Left;
        }
        let content = index::write(&brought.entries, format);
        match lock.commit(&content) {
            Ok(()) => {
                self.saw(place, number, &content);
                self.told_brought("index", format!("{} files", brought.entries.len()));
                Indexed::Same
            }
            Err(error) => {
                self.tell(not_brought(&(self.named)("index"), error));
                Indexed::NotYet
            }
        }
    }

    fn saw(&mut self, place: &Place, number: (usize, usize), content: &[u8]) {
        if place.set_index(number, content).is_err() {
            self.tell(not_brought(&(self.named)("state"), "it can't be written"));
        }
    }
}
