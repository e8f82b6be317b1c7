//! All patterns of a walk in one table: most names are decided by a few bytes of either end.

use crate::policy::{Access, Component, NamePattern, PathPattern};
use crate::presets::{RuleKind, TreeRule, TreeRules};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// A pattern that the user's rules add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPattern {
    /// Relative to the root of the walk.
    pub pattern: PathPattern,
    /// What it grants.
    pub access: Access,
}

/// What a match means. The order is that in which matches of one name are taken: what hides first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Secret,
    Skip,
    Protected,
    Watched,
    User,
}

/// A pattern, with the place of its rule.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) class: Class,
    /// Index in the list of its class.
    pub(super) rule: usize,
    components: Vec<Component>,
}

/// How far a pattern has got on the way to a directory: the component that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    entry: usize,
    next: usize,
}

/// Whether the names of a directory are held against the built-in rules too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every rule.
    Everything,
    /// What the states say, and nothing that begins here, but patterns of the user's that begin anywhere.
    States,
}

/// What a name did to the patterns.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Entries that match it, by class.
    pub(super) complete: Vec<usize>,
    /// Where patterns stand beneath it, if it is a directory.
    pub(super) below: Vec<State>,
}

/// The table. Build it once for a run; it serves both walks and the watcher.
#[derive(Debug)]
pub struct Matcher {
    pub(super) rules: TreeRules,
    pub(super) user: Vec<UserPattern>,
    /// Where the project's repository has its objects.
    pub(super) objects: Option<PathBuf>,
    entries: Vec<Entry>,
    anchored: Vec<State>,
    exact: HashMap<Vec<u8>, Vec<usize>>,
    wild: Vec<usize>,
    lengths: Vec<u64>,
    starts: Edges,
    ends: Edges,
    catches_all: bool,
    /// Lower-case names after the first of a pattern.
    later: HashSet<Vec<u8>>,
    /// One of those has a wild card.
    later_wild: bool,
}

/// A set of names' beginnings or ends, up to eight bytes of each; it may say yes too often.
#[derive(Debug, Default)]
struct Edges(Vec<(u32, Vec<u64>)>);

impl Edges {
    /// Up to eight bytes as one word, the byte at the edge lowest, letters of both cases alike.
    fn word<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
        bytes
            .take(8)
            .zip(0_u32..)
            .fold(0, |word, (byte, at)| word | u64::from(*byte | 0x20) << (at * 8))
    }

    /// The place of the first `length` bytes in a set of 4,096.
    const fn place(word: u64, length: u32) -> (usize, u64) {
        let kept = if length >= 8 {
            word
        } else {
            word & ((1 << (length * 8)) - 1)
        };
        // Multiplicative hashing: the upper bits of the product depend on all of the word.
        let bit = kept.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        ((bit >> 6) as usize, 1 << (bit & 63))
    }

    fn insert(&mut self, word: u64, length: usize) {
        let length = u32::try_from(length.min(8)).unwrap_or(8);
        let (at, bit) = Self::place(word, length);
        if !self.0.iter().any(|(known, _)| *known == length) {
            self.0.push((length, vec![0; 64]));
        }
        let set = self.0.iter_mut().find(|(known, _)| *known == length);
        if let Some(slot) = set.and_then(|(_, set)| set.get_mut(at)) {
            *slot |= bit;
        }
    }

    fn has(&self, word: u64) -> bool {
        self.0.iter().any(|(length, set)| {
            let (at, bit) = Self::place(word, *length);
            set.get(at).is_some_and(|slot| slot & bit != 0)
        })
    }
}

impl Matcher {
    /// The table of the built-in rules and the user's patterns.
    #[must_use]
    pub fn new(rules: TreeRules, user: Vec<UserPattern>) -> Self {
        let mut table = Self {
            rules,
            user,
            objects: None,
            entries: Vec::new(),
            anchored: Vec::new(),
            exact: HashMap::new(),
            wild: Vec::new(),
            lengths: vec![0; 256],
            starts: Edges::default(),
            ends: Edges::default(),
            catches_all: false,
            later: HashSet::new(),
            later_wild: false,
        };
        let lists = [
            (Class::Secret, table.rules.secrets.clone()),
            (Class::Skip, table.rules.skip.clone()),
            (Class::Protected, table.rules.protected.clone()),
            (Class::Watched, table.rules.watched.clone()),
        ];
        for (class, list) in lists {
            for (rule, row) in list.iter().enumerate() {
                for pattern in &row.paths {
                    table.add(class, rule, pattern.components().to_vec());
                }
            }
        }
        for (rule, user) in table.user.clone().iter().enumerate() {
            match user.pattern.components().split_first() {
                // A pattern that begins anywhere is a row like the built-in ones.
                Some((Component::AnyDepth, rest)) => table.add(Class::User, rule, rest.to_vec()),
                Some((Component::Name(_), _)) => {
                    table.anchored.push(State {
                        entry: table.entries.len(),
                        next: 0,
                    });
                    let components = user.pattern.components().to_vec();
                    table.note_later(&components);
                    table.entries.push(Entry {
                        class: Class::User,
                        rule,
                        components,
                    });
                }
                None => {}
            }
        }
        // Names that aren't in the data: where git keeps its directory.
        table.note_literal(b".git");
        table
    }

    /// The names of secrets that are masked whatever they hold, in the syntax of gitignore(5): git inside couldn't add one
    /// that appears, and would stop there.
    #[must_use]
    pub fn ignored(&self) -> String {
        let mut text = String::new();
        for row in self.rules.secrets.iter().filter(|row| !row.wants_content()) {
            for path in &row.paths {
                // One with a slash counts from the root, unless it says otherwise.
                let anywhere = if path.components().len() > 1 { "**/" } else { "" };
                text.push_str(&format!("{anywhere}{path}\n"));
            }
            for name in &row.except {
                text.push_str(&format!("!{}\n", String::from_utf8_lossy(name.bytes())));
            }
        }
        text
    }

    /// The same, with the object store of the project's repository.
    #[must_use]
    pub fn with_objects(mut self, objects: Option<PathBuf>) -> Self {
        self.objects = objects;
        self
    }

    fn add(&mut self, class: Class, rule: usize, components: Vec<Component>) {
        let entry = self.entries.len();
        self.note_later(components.get(1..).unwrap_or_default());
        if let Some(Component::Name(name)) = components.first() {
            match name.ends() {
                None => {
                    self.note_literal(name.bytes());
                    self.exact
                        .entry(name.bytes().to_ascii_lowercase())
                        .or_default()
                        .push(entry);
                }
                Some(ends) => {
                    self.wild.push(entry);
                    let (start, end) = ends;
                    if start.len().max(end.len()) < 2 {
                        self.catches_all = true;
                    } else if start.len() > end.len() {
                        self.starts.insert(Edges::word(start.iter()), start.len());
                    } else {
                        self.ends.insert(Edges::word(end.iter().rev()), end.len());
                    }
                }
            }
        }
        self.entries.push(Entry {
            class,
            rule,
            components,
        });
    }

    fn note_later(&mut self, components: &[Component]) {
        for component in components {
            match component {
                Component::Name(name) if name.ends().is_none() => {
                    self.later.insert(name.bytes().to_ascii_lowercase());
                }
                Component::Name(_) => self.later_wild = true,
                Component::AnyDepth => {}
            }
        }
    }

    /// Whether a name can matter anywhere, whatever holds it: a quick no for nearly all.
    pub(crate) fn may_matter(&self, name: &[u8]) -> bool {
        self.may_match(name) || self.later_wild || self.later.contains(&name.to_ascii_lowercase())
    }

    fn note_literal(&mut self, name: &[u8]) {
        let first = name
            .first()
            .map_or(0, |byte| usize::from(byte.to_ascii_lowercase()));
        if let Some(lengths) = self.lengths.get_mut(first) {
            *lengths |= 1 << name.len().min(63);
        }
    }

    /// Whether any rule may mean `name` where no pattern is half-way: the test that every name goes through.
    pub(super) fn may_match(&self, name: &[u8]) -> bool {
        self.may_be_literal(name) || self.may_be_wild(name)
    }

    /// Whether a name without wildcards may be this one.
    fn may_be_literal(&self, name: &[u8]) -> bool {
        let first = name
            .first()
            .map_or(0, |byte| usize::from(byte.to_ascii_lowercase()));
        let lengths = self.lengths.get(first).copied().unwrap_or(0);
        lengths >> name.len().min(63) & 1 == 1
    }

    /// Whether a name with wildcards may mean this one.
    fn may_be_wild(&self, name: &[u8]) -> bool {
        self.catches_all
            || self.starts.has(Edges::word(name.iter()))
            || self.ends.has(Edges::word(name.iter().rev()))
    }

    /// Whether any of the user's patterns begins at any depth.
    pub(super) fn has_roaming_user_patterns(&self) -> bool {
        let roams = |entry: &usize| {
            self.entries
                .get(*entry)
                .is_some_and(|entry| entry.class == Class::User)
        };
        self.wild.iter().any(roams) || self.exact.values().flatten().any(roams)
    }

    /// Where patterns stand at the root.
    pub(super) fn root_states(&self) -> Vec<State> {
        let mut states = Vec::new();
        for state in &self.anchored {
            self.settle(*state, &mut states);
        }
        states
    }

    /// Adds a state, and those that follow from it because `**` may stand for nothing.
    fn settle(&self, state: State, states: &mut Vec<State>) {
        if !states.contains(&state) {
            states.push(state);
        }
        let components = self.entries.get(state.entry).map(|entry| &entry.components);
        if components.and_then(|components| components.get(state.next)) == Some(&Component::AnyDepth) {
            let after = State {
                entry: state.entry,
                next: state.next + 1,
            };
            if !states.contains(&after) {
                states.push(after);
            }
        }
    }

    /// Holds one name of a directory against the patterns.
    pub(super) fn step(&self, name: &[u8], scope: Scope, states: &[State]) -> Step {
        let mut step = Step::default();
        for state in states {
            self.advance(*state, name, &mut step);
        }
        let (literal, wild) = (self.may_be_literal(name), self.may_be_wild(name));
        if literal || wild {
            let exact = if literal {
                self.exact.get(&name.to_ascii_lowercase())
            } else {
                None
            };
            let wild: &[usize] = if wild { &self.wild } else { &[] };
            for entry in exact.into_iter().flatten().chain(wild) {
                let user = self
                    .entries
                    .get(*entry)
                    .is_some_and(|entry| entry.class == Class::User);
                if scope == Scope::Everything || user {
                    self.advance(
                        State {
                            entry: *entry,
                            next: 0,
                        },
                        name,
                        &mut step,
                    );
                }
            }
        }
        // Two patterns of one row are one match.
        let place = |entry: &mut usize| self.entries.get(*entry).map(|entry| (entry.class, entry.rule));
        step.complete
            .sort_unstable_by_key(|entry| self.entries.get(*entry).map(|entry| (entry.class, entry.rule)));
        step.complete.dedup_by_key(place);
        step
    }

    fn advance(&self, state: State, name: &[u8], step: &mut Step) {
        let Some(entry) = self.entries.get(state.entry) else {
            return;
        };
        match entry.components.get(state.next) {
            Some(Component::AnyDepth) => self.settle(state, &mut step.below),
            Some(Component::Name(pattern)) if pattern.matches(name) => {
                if state.next + 1 == entry.components.len() {
                    if !self.is_excepted(entry, name) {
                        step.complete.push(state.entry);
                    }
                } else {
                    self.settle(
                        State {
                            entry: state.entry,
                            next: state.next + 1,
                        },
                        &mut step.below,
                    );
                }
            }
            Some(Component::Name(_)) | None => {}
        }
    }

    fn is_excepted(&self, entry: &Entry, name: &[u8]) -> bool {
        self.row(entry)
            .is_some_and(|row| row.except.iter().any(|except: &NamePattern| except.matches(name)))
    }

    /// An entry that a step named.
    pub(super) fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The entry that a state belongs to.
    pub(super) fn entry_of(&self, state: State) -> Option<&Entry> {
        self.entries.get(state.entry)
    }

    /// The row behind an entry; `None` for the user's.
    pub(super) fn row(&self, entry: &Entry) -> Option<&TreeRule> {
        let list = match entry.class {
            Class::Secret => &self.rules.secrets,
            Class::Skip => &self.rules.skip,
            Class::Protected => &self.rules.protected,
            Class::Watched => &self.rules.watched,
            Class::User => return None,
        };
        list.get(entry.rule)
    }

    /// The states among `states` that belong to the user's patterns: those go on where the built-in rules stop.
    pub(super) fn user_states(&self, states: &[State]) -> Vec<State> {
        let user = |state: &&State| {
            self.entries
                .get(state.entry)
                .is_some_and(|entry| entry.class == Class::User)
        };
        states.iter().filter(user).copied().collect()
    }

    /// The states that a symbolic link may be followed for: the next step is a certain name, not any depth, so that
    /// links can't lead in a circle.
    pub(super) fn definite_states(&self, states: &[State]) -> Vec<State> {
        let definite = |state: &&State| {
            let entry = self.entries.get(state.entry);
            entry.is_some_and(|entry| {
                entry
                    .components
                    .get(state.next..)
                    .is_some_and(|rest| !rest.contains(&Component::AnyDepth))
            })
        };
        states.iter().filter(definite).copied().collect()
    }
}

/// Whether a rule of this kind can mean a directory.
pub(super) const fn fits(kind: RuleKind, is_directory: bool) -> bool {
    match kind {
        RuleKind::Any => true,
        RuleKind::File => !is_directory,
        RuleKind::Directory => is_directory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Case;
    use crate::presets::tree_rules;

    fn classes(matcher: &Matcher, path: &str) -> Vec<Class> {
        let (mut states, mut classes) = (matcher.root_states(), Vec::new());
        for part in path.split('/') {
            let step = matcher.step(part.as_bytes(), Scope::Everything, &states);
            classes = step
                .complete
                .iter()
                .map(|entry| matcher.entry(*entry).unwrap().class)
                .collect();
            states = step.below;
        }
        classes
    }

    #[test]
    fn every_row_means_its_examples_and_not_the_others() {
        let rules = tree_rules().unwrap();
        let lists = [
            (Class::Secret, rules.secrets.clone()),
            (Class::Protected, rules.protected.clone()),
            (Class::Watched, rules.watched.clone()),
            (Class::Skip, rules.skip.clone()),
        ];
        let none = TreeRules {
            secrets: vec![],
            protected: vec![],
            git: vec![],
            watched: vec![],
            skip: vec![],
        };
        for (class, list) in lists {
            for row in list {
                let mut alone = none.clone();
                match class {
                    Class::Secret => alone.secrets.push(row.clone()),
                    Class::Protected => alone.protected.push(row.clone()),
                    Class::Watched => alone.watched.push(row.clone()),
                    Class::Skip | Class::User => alone.skip.push(row.clone()),
                }
                let matcher = Matcher::new(alone, Vec::new());
                for path in &row.matches {
                    assert_eq!(classes(&matcher, path), [class], "{path} in {}", row.why);
                    assert_eq!(
                        classes(&matcher, &format!("x/y/{path}")),
                        [class],
                        "{path} in {}",
                        row.why
                    );
                }
                for path in &row.differs {
                    assert_eq!(classes(&matcher, path), [], "{path} in {}", row.why);
                }
            }
        }
    }

    fn user(pattern: &str) -> Matcher {
        let none = TreeRules {
            secrets: vec![],
            protected: vec![],
            git: vec![],
            watched: vec![],
            skip: vec![],
        };
        let pattern = PathPattern::parse(pattern, Case::Exact).unwrap();
        Matcher::new(
            none,
            vec![UserPattern {
                pattern,
                access: Access::Hide,
            }],
        )
    }

    #[test]
    fn patterns_of_the_user() {
        for (pattern, yes, no) in [
            ("secret", vec!["secret"], vec!["a/secret", "Secret"]),
            ("**/*.pem", vec!["x.pem", "a/b/y.pem"], vec!["x.pem/a", "a.PEM"]),
            ("a/**/z", vec!["a/z", "a/b/z", "a/b/c/z"], vec!["z", "b/z"]),
            (
                "**/a/**/b/c",
                vec!["a/b/c", "x/a/y/b/c", "a/b/b/c"],
                vec!["b/c", "a/c"],
            ),
            ("a/*/c", vec!["a/b/c"], vec!["a/c", "a/b/b/c"]),
            ("*", vec!["x"], vec!["x/y"]),
        ] {
            let matcher = user(pattern);
            for path in yes {
                assert_eq!(classes(&matcher, path), [Class::User], "{pattern} {path}");
            }
            for path in no {
                assert_eq!(classes(&matcher, path), [], "{pattern} {path}");
            }
        }
    }
}
