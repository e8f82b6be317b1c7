//! Whether a commit has at protected paths what the server has there.
//!
//! Names of trees and files are hashes over all beneath them, so one comparison of what stands at a path is enough, and a
//! tree that was looked at once isn't looked at again. Names are compared as file systems do that fold case, since a
//! `.GitHub` beside `.github` is the same directory on one of those.

use super::super::object_id::ObjectId;
use super::super::objects::ReadAt;
use super::super::pack::ObjectKind;
use super::super::tree::{EntryMode, entries, folded};
use super::source::{Peeled, Source};
use crate::policy::{Case, Component, PathPattern, PathPatternError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::rc::Rc;

/// Deepest tree. The path of a file has at most 4096 bytes on Linux, half of them slashes.
const DEPTH_MAX: usize = 100;
/// Trees whose part of a pattern is remembered.
const REMEMBERED_MAX: usize = 200_000;

/// What stands at all paths of a pattern, beneath one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// Over paths, modes and objects; `None` where nothing stands there.
    digest: Option<[u8; 32]>,
    /// The first of the paths.
    first: Vec<u8>,
}

/// How a commit's value compares.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// A tip has the same.
    Same,
    /// None has. What stands there, the first path.
    Differs(String),
    /// An object that is needed isn't there.
    Lacks(ObjectId),
}

/// The protected paths of one push.
pub(super) struct Guarded {
    /// As the policy has them, and with case folded.
    said: Vec<PathPattern>,
    patterns: Vec<PathPattern>,
    tips: Vec<Tip>,
    remembered: HashMap<(ObjectId, usize, usize), Value>,
    /// The tree that was looked at last: the next pattern begins with the same.
    last: Option<(ObjectId, Rc<[u8]>)>,
}

struct Tip {
    id: ObjectId,
    /// For each pattern, what it has; looked at when it is needed.
    values: Vec<Option<Result<Value, ObjectId>>>,
}

impl Guarded {
    /// Those patterns, vouched for by those tips.
    pub(super) fn new(patterns: &[PathPattern], tips: &[ObjectId]) -> Result<Self, PathPatternError> {
        let said = patterns.to_vec();
        let patterns: Vec<PathPattern> = patterns
            .iter()
            .map(|pattern| PathPattern::parse(&pattern.to_string(), Case::Folded))
            .collect::<Result<_, _>>()?;
        let mut tips = tips.to_vec();
        tips.sort_unstable();
        tips.dedup();
        let values = vec![None; patterns.len()];
        let tip = |id| Tip {
            id,
            values: values.clone(),
        };
        Ok(Self {
            tips: tips.into_iter().map(tip).collect(),
            said,
            patterns,
            remembered: HashMap::new(),
            last: None,
        })
    }

    /// How many patterns there are.
    pub(super) const fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether it is one of the tips that vouch.
    pub(super) fn is_tip(&self, id: &ObjectId) -> bool {
        self.tips.binary_search_by_key(id, |tip| tip.id).is_ok()
    }

    /// Compares what a tree has at a pattern with the tips.
    pub(super) fn compare<P: ReadAt + ?Sized>(
        &mut self,
        index: usize,
        tree: &ObjectId,
        source: &mut Source<'_, P>,
    ) -> Compared {
        let value = match self.value(index, 0, tree, 0, source) {
            Ok(value) => value,
            Err(lacking) => return Compared::Lacks(lacking),
        };
        if self.tips.is_empty() && value.digest.is_none() {
            return Compared::Same;
        }
        let mut lacking = None;
        let mut tips = std::mem::take(&mut self.tips);
        let mut same = false;
        for tip in &mut tips {
            let known = tip.values.get(index).and_then(Clone::clone);
            let has = known.unwrap_or_else(|| self.tip_value(index, &tip.id, source));
            if let Some(place) = tip.values.get_mut(index) {
                *place = Some(has.clone());
            }
            match has {
                Ok(has) if has.digest == value.digest => {
                    same = true;
                    break;
                }
                Ok(_) => {}
                Err(id) => lacking = lacking.or(Some(id)),
            }
        }
        self.tips = tips;
        match lacking {
            _ if same => Compared::Same,
            Some(lacking) => Compared::Lacks(lacking),
            None if value.digest.is_some() => {
                Compared::Differs(String::from_utf8_lossy(&value.first).into_owned())
            }
            None => Compared::Differs(self.fixed(index)),
        }
    }

    /// The pattern, as it is said.
    pub(super) fn name(&self, index: usize) -> String {
        self.said.get(index).map(ToString::to_string).unwrap_or_default()
    }

    /// The part of a pattern before its first wildcard.
    fn fixed(&self, index: usize) -> String {
        let names = self.said.get(index).map_or(&[][..], PathPattern::components);
        let fixed: Vec<String> = names
            .iter()
            .map_while(|component| match component {
                Component::Name(name) if name.ends().is_none() => {
                    Some(String::from_utf8_lossy(name.bytes()).into_owned())
                }
                Component::Name(_) | Component::AnyDepth => None,
            })
            .collect();
        if fixed.is_empty() {
            self.name(index)
        } else {
            fixed.join("/")
        }
    }

    fn tip_value<P: ReadAt + ?Sized>(
        &mut self,
        index: usize,
        tip: &ObjectId,
        source: &mut Source<'_, P>,
    ) -> Result<Value, ObjectId> {
        match source.peel(tip) {
            Peeled::Commit(_, commit) => self.value(index, 0, &commit.tree, 0, source),
            // Nothing to compare with.
            Peeled::Other => Err(*tip),
            Peeled::Missing(id) => Err(id),
        }
    }

    /// A tree's content; that of a commit is kept until another is asked for.
    fn tree<P: ReadAt + ?Sized>(
        &mut self,
        id: &ObjectId,
        keep: bool,
        source: &mut Source<'_, P>,
    ) -> Option<Rc<[u8]>> {
        if let Some((_, content)) = self.last.as_ref().filter(|(last, _)| last == id) {
            return Some(Rc::clone(content));
        }
        let (ObjectKind::Tree, content) = source.get(id)? else {
            return None;
        };
        let content = Rc::from(content);
        if keep {
            self.last = Some((*id, Rc::clone(&content)));
        }
        Some(content)
    }

    /// What a tree has at the rest of a pattern, from its `step`; or what of it isn't there.
    fn value<P: ReadAt + ?Sized>(
        &mut self,
        index: usize,
        step: usize,
        tree: &ObjectId,
        depth: usize,
        source: &mut Source<'_, P>,
    ) -> Result<Value, ObjectId> {
        let key = (*tree, index, step);
        if let Some(value) = self.remembered.get(&key) {
            return Ok(value.clone());
        }
        if depth >= DEPTH_MAX {
            return Err(*tree);
        }
        let content = self.tree(tree, depth == 0, source).ok_or(*tree)?;
        let list = entries(&content, source.format).ok_or(*tree)?;
        let (mut any_depth, mut at) = (false, step);
        let component = |at: usize, patterns: &[PathPattern]| {
            patterns
                .get(index)
                .and_then(|pattern| pattern.components().get(at))
                .cloned()
        };
        if component(at, &self.patterns) == Some(Component::AnyDepth) {
            any_depth = true;
            at += 1;
        }
        let name = match component(at, &self.patterns) {
            Some(Component::Name(name)) => Some(name),
            Some(Component::AnyDepth) | None => None,
        };
        let last = component(at + 1, &self.patterns).is_none();
        let mut sum = Sum::default();
        for entry in list {
            let is_tree = entry.kind == EntryMode::Tree;
            let fits = name.as_ref().is_none_or(|name| name.matches(&folded(entry.name)));
            if fits && (last || !is_tree) {
                sum.add(entry.name, &[], &mode_and_id(entry.kind, &entry.id));
            } else if fits {
                let value = self.value(index, at + 1, &entry.id, depth + 1, source)?;
                sum.add_value(entry.name, value);
            }
            if any_depth && is_tree {
                let value = self.value(index, step, &entry.id, depth + 1, source)?;
                sum.add_value(entry.name, value);
            }
        }
        let value = sum.value();
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        self.remembered.insert(key, value.clone());
        Ok(value)
    }
}

fn mode_and_id(kind: EntryMode, id: &ObjectId) -> [u8; 33] {
    let mut out = [0; 33];
    let mode = match kind {
        EntryMode::Tree => 1,
        EntryMode::File => 2,
        EntryMode::Executable => 3,
        EntryMode::Link => 4,
        EntryMode::Submodule => 5,
    };
    for (to, from) in out.iter_mut().zip([mode].iter().chain(id.padded())) {
        *to = *from;
    }
    out
}

#[derive(Default)]
struct Sum {
    hash: Option<Sha256>,
    first: Vec<u8>,
}

impl Sum {
    /// Names hold no zero, and what follows one has one of two lengths.
    fn add(&mut self, name: &[u8], below: &[u8], what: &[u8]) {
        if self.hash.is_none() {
            self.first = name.to_vec();
            if !below.is_empty() {
                self.first.push(b'/');
                self.first.extend_from_slice(below);
            }
        }
        let hash = self.hash.take().unwrap_or_default();
        self.hash = Some(hash.chain_update(name).chain_update([0]).chain_update(what));
    }

    fn add_value(&mut self, name: &[u8], value: Value) {
        if let Some(digest) = value.digest {
            self.add(name, &value.first, &digest);
        }
    }

    fn value(self) -> Value {
        Value {
            digest: self.hash.map(|hash| hash.finalize().into()),
            first: self.first,
        }
    }
}
