//! The objects that a push is judged by: those of its pack, and those that the repository has that it was made in.
//!
//! Neither is believed. What the pack has is named by its own content ([`objects::Objects`]); what the repository gives is
//! held against the name that it was asked by.

use super::super::commit::{Commit, tagged};
use super::super::delta;
use super::super::object_id::{ObjectFormat, ObjectId};
use super::super::objects::{self, DEPTH_MAX, ReadAt};
use super::super::pack::{Entry, EntryKind, ObjectKind};
use std::collections::HashMap;

/// Tags on tags that are followed.
const TAGS_MAX: usize = 16;

/// A repository's objects. What it gives may be anything.
pub trait Store {
    /// What it has under that name.
    fn get(&mut self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)>;
}

impl<F: FnMut(&ObjectId) -> Option<(ObjectKind, Vec<u8>)>> Store for F {
    fn get(&mut self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)> {
        self(id)
    }
}

/// The pack, by name.
pub(super) struct Packed<'a, P: ReadAt + ?Sized> {
    pub(super) bytes: &'a P,
    /// By their offsets.
    pub(super) entries: &'a [Entry],
    pub(super) places: HashMap<ObjectId, u64>,
    pub(super) object_bytes: u64,
}

impl<P: ReadAt + ?Sized> Packed<'_, P> {
    /// The content of the object of that name.
    pub(super) fn get(&self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)> {
        let mut changes = Vec::new();
        let mut offset = *self.places.get(id)?;
        let (kind, mut content) = loop {
            let index = self
                .entries
                .binary_search_by_key(&offset, |entry| entry.offset)
                .ok()?;
            let entry = self.entries.get(index)?;
            match entry.kind {
                EntryKind::Whole(kind) => break (kind, objects::inflate(self.bytes, entry).ok()?),
                EntryKind::OffsetDelta(base) => offset = base,
                EntryKind::RefDelta(base) => {
                    offset = *self.places.get(&ObjectId::from_bytes(&base, id.format()))?;
                }
            }
            // The walk over all of it has found no longer one, and no circle.
            if changes.len() >= usize::try_from(DEPTH_MAX).ok()? {
                return None;
            }
            changes.push(entry);
        };
        for entry in changes.into_iter().rev() {
            let change = objects::inflate(self.bytes, entry).ok()?;
            content = delta::apply(&content, &change, self.object_bytes).ok()?;
        }
        Some((kind, content))
    }
}

/// Both.
pub(super) struct Source<'a, P: ReadAt + ?Sized> {
    pub(super) format: ObjectFormat,
    pub(super) pack: Option<Packed<'a, P>>,
    /// The pack's.
    pub(super) commits: HashMap<ObjectId, Commit>,
    pub(super) store: &'a mut dyn Store,
}

/// What a name leads to when tags are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peeled {
    Commit(ObjectId, Commit),
    /// Something else, or no end.
    Other,
    /// What isn't there.
    Missing(ObjectId),
}

impl<P: ReadAt + ?Sized> Source<'_, P> {
    /// The object of that name, if somebody has it.
    pub(super) fn get(&mut self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)> {
        if let Some(object) = self.pack.as_ref().and_then(|pack| pack.get(id)) {
            return Some(object);
        }
        self.store
            .get(id)
            .filter(|(kind, content)| objects::name(*kind, content, self.format) == *id)
    }

    pub(super) fn commit(&mut self, id: &ObjectId) -> Option<Commit> {
        if let Some(commit) = self.commits.get(id) {
            return Some(commit.clone());
        }
        match self.get(id)? {
            (ObjectKind::Commit, content) => Commit::parse(&content, self.format),
            (ObjectKind::Tree | ObjectKind::Blob | ObjectKind::Tag, _) => None,
        }
    }

    /// Follows tags.
    pub(super) fn peel(&mut self, id: &ObjectId) -> Peeled {
        let mut id = *id;
        for _ in 0..TAGS_MAX {
            if let Some(commit) = self.commits.get(&id) {
                return Peeled::Commit(id, commit.clone());
            }
            let next = match self.get(&id) {
                None => return Peeled::Missing(id),
                Some((ObjectKind::Commit, content)) => {
                    return Commit::parse(&content, self.format)
                        .map_or(Peeled::Other, |commit| Peeled::Commit(id, commit));
                }
                Some((ObjectKind::Tag, content)) => tagged(&content, self.format),
                Some((ObjectKind::Tree | ObjectKind::Blob, _)) => None,
            };
            match next {
                Some(next) => id = next,
                None => return Peeled::Other,
            }
        }
        Peeled::Other
    }
}
