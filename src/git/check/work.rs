//! The work itself: a question, the bytes of a pack and a store of objects in, findings out.

use super::super::ancestry::{Ancestry, ancestry};
use super::super::commit::{Commit, tagged};
use super::super::object_id::ObjectId;
use super::super::objects::{Object, Objects, ReadAt};
use super::super::pack::{Entry, ObjectKind, PackError, PackReader};
use super::super::tree::{EntryMode, TreeEntry, entries, folded};
use super::findings::{Answer, Findings, PROBLEMS_MAX, Problem};
use super::fingerprint::Search;
use super::protect::{Compared, Guarded};
use super::question::{Asked, Question};
use super::scan::Scanner;
use super::source::{Packed, Peeled, Source, Store};
use super::unfold;
use std::collections::{HashMap, HashSet};

/// Bytes of the pack that are read at once.
const READ: usize = 256 << 10;
/// What a secret of aca's own is called.
const OWN_SECRET: &str = "a secret that aca keeps";

/// The bytes of a pack, and how many they are.
pub type PackBytes<'a, P> = (&'a P, u64);

/// Answers `question`. `scanner` is asked where the question wants a scan.
///
/// # Errors
/// As [`Answer`]: a pack that isn't taken.
pub fn check<P: ReadAt + ?Sized>(
    question: &Question,
    pack: Option<PackBytes<'_, P>>,
    store: &mut dyn Store,
    scanner: &Scanner,
) -> Answer {
    let mut length = pack.map(|(_, length)| length);
    let bytes = pack.map(|(bytes, _)| bytes);
    check_coming(question, bytes, &mut || length.take(), store, scanner)
}

/// The same while the pack comes in: `grown` waits for more of it and tells how many bytes there are by now; `None` once that
/// was all. What is there by then doesn't change any more.
///
/// # Errors
/// As [`check`].
pub fn check_coming<P: ReadAt + ?Sized>(
    question: &Question,
    pack: Option<&P>,
    grown: &mut dyn FnMut() -> Option<u64>,
    store: &mut dyn Store,
    scanner: &Scanner,
) -> Answer {
    let mut problems = Problems::default();
    let mut contents = Contents {
        question,
        scanner,
        search: Search::new(&question.fingerprints, question.key),
        places: HashMap::new(),
        commits: HashMap::new(),
        order: Vec::new(),
        secrets: Vec::new(),
    };
    for asked in &question.commands {
        let (name, Some(new)) = (asked.name.as_str(), asked.new) else {
            continue;
        };
        if let Some(rule) = contents.secret(name.as_bytes()) {
            problems.add(Problem::Secret {
                rule: rule.to_owned(),
                object: new,
                path: Some("the name of the ref".to_owned()),
            });
        }
    }
    let entries = match pack {
        Some(bytes) => look(question, bytes, grown, &mut |object| {
            contents.visit(&object, &mut problems);
        })?,
        None => Vec::new(),
    };
    let Contents {
        places,
        commits,
        order,
        secrets,
        ..
    } = contents;
    let count = u32::try_from(order.len()).unwrap_or(u32::MAX);
    if count > question.commits_max {
        problems.add(Problem::TooManyCommits {
            commits: count,
            most: question.commits_max,
        });
    }
    let mut source = Source {
        format: question.format,
        pack: pack.map(|bytes| Packed {
            bytes,
            entries: &entries,
            places,
            object_bytes: question.limits.object_bytes,
        }),
        commits,
        store,
    };
    tell_secrets(secrets, &order, &mut source, &mut problems);
    // More commits than that are refused in any case: no work is done on them.
    let of_pack = if count > question.commits_max {
        &[][..]
    } else {
        &order
    };
    judge_paths(question, of_pack, &mut source, &mut problems);
    let commands = question
        .commands
        .iter()
        .map(|asked| forward(asked, &mut source))
        .collect();
    Ok(Findings {
        commands,
        problems: problems.list,
        more: problems.more,
        objects: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        commits: count,
    })
}

#[derive(Default)]
struct Problems {
    list: Vec<Problem>,
    more: u32,
}

impl Problems {
    fn add(&mut self, problem: Problem) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(problem);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// Shows the pack's objects, and tells where they are; nothing may follow them.
fn look<P: ReadAt + ?Sized>(
    question: &Question,
    bytes: &P,
    grown: &mut dyn FnMut() -> Option<u64>,
    visit: &mut dyn FnMut(Object<'_>),
) -> Result<Vec<Entry>, PackError> {
    let mut reader = PackReader::new(question.format, question.limits);
    let mut objects = Objects::new(question.format, question.limits, question.spend);
    let mut buffer = vec![0; READ];
    let (mut at, mut shown) = (0, 0);
    while let Some(length) = grown() {
        while at < length {
            let count = usize::try_from(length - at).map_or(READ, |left| left.min(READ));
            let part = buffer.get_mut(..count).ok_or(PackError::Short)?;
            if !bytes.read_at(part, at) {
                return Err(PackError::Short);
            }
            if reader.accept(part)? < count {
                return Err(PackError::Trailing);
            }
            at += u64::try_from(count).map_err(|_| PackError::Short)?;
            for entry in reader.entries().get(shown..).unwrap_or_default() {
                objects.came(bytes, entry, visit)?;
                shown += 1;
            }
        }
    }
    let entries = reader.finish()?;
    objects.rest(bytes, &entries, visit)?;
    Ok(entries)
}

/// What is looked at in each object as it passes.
struct Contents<'a> {
    question: &'a Question,
    scanner: &'a Scanner,
    search: Search,
    places: HashMap<ObjectId, u64>,
    commits: HashMap<ObjectId, Commit>,
    /// Commits as they came.
    order: Vec<ObjectId>,
    secrets: Vec<(ObjectId, String)>,
}

impl Contents<'_> {
    /// What kind of secret stands in some bytes.
    fn secret(&self, bytes: &[u8]) -> Option<&str> {
        let own = |bytes: &[u8]| self.search.finds(bytes).then_some(OWN_SECRET);
        let shaped = |bytes: &[u8]| {
            let scan = self.question.scan;
            scan.then(|| self.scanner.first(bytes)).flatten()
        };
        // The same text, written otherwise.
        let wide = || {
            let text = unfold::narrowed(bytes);
            own(&text)
                .or_else(|| own(&unfold::joined(&text)))
                .or_else(|| shaped(&text))
        };
        let joined = || {
            let is_wanted = !self.question.fingerprints.is_empty();
            is_wanted.then(|| own(&unfold::joined(bytes))).flatten()
        };
        own(bytes).or_else(|| shaped(bytes)).or_else(joined).or_else(wide)
    }

    fn visit(&mut self, object: &Object<'_>, problems: &mut Problems) {
        let id = object.id;
        if self.places.insert(id, object.offset).is_some() {
            // Once more.
            return;
        }
        let format = self.question.format;
        match object.kind {
            ObjectKind::Commit => {
                self.order.push(id);
                match Commit::parse(object.content, format) {
                    Some(commit) => drop(self.commits.insert(id, commit)),
                    None => problems.add(Problem::Malformed { object: id }),
                }
            }
            ObjectKind::Tag if tagged(object.content, format).is_none() => {
                problems.add(Problem::Malformed { object: id });
            }
            ObjectKind::Tree => match entries(object.content, format) {
                None => problems.add(Problem::TreeName { object: id }),
                Some(entries) if entries.iter().any(is_modules_link) => {
                    problems.add(Problem::ModulesLink { object: id });
                }
                Some(_) => {}
            },
            ObjectKind::Tag | ObjectKind::Blob => {}
        }
        // In names too: a tree's content holds them.
        if let Some(rule) = self.secret(object.content) {
            let rule = rule.to_owned();
            if self.secrets.len() < PROBLEMS_MAX {
                self.secrets.push((id, rule));
            } else {
                problems.more = problems.more.saturating_add(1);
            }
        }
    }
}

/// What git itself refuses to read (CVE-2018-11235 and after): the file decides what is fetched and where it is put.
fn is_modules_link(entry: &TreeEntry<'_>) -> bool {
    let name = folded(entry.name);
    entry.kind == EntryMode::Link && (name == b".gitmodules" || name.starts_with(b"gitmod~"))
}

/// Tells secrets with the paths that they have in the pack's trees.
fn tell_secrets<P: ReadAt + ?Sized>(
    secrets: Vec<(ObjectId, String)>,
    commits: &[ObjectId],
    source: &mut Source<'_, P>,
    problems: &mut Problems,
) {
    if secrets.is_empty() {
        return;
    }
    let mut paths: HashMap<ObjectId, Option<String>> = secrets.iter().map(|(id, _)| (*id, None)).collect();
    let mut seen = HashSet::new();
    let mut waiting: Vec<(ObjectId, String)> = commits
        .iter()
        .filter_map(|id| source.commits.get(id))
        .map(|commit| (commit.tree, String::new()))
        .collect();
    while let Some((tree, above)) = waiting.pop() {
        if above.len() > PATH_MAX || !seen.insert(tree) {
            continue;
        }
        let Some((ObjectKind::Tree, content)) = source.pack.as_ref().and_then(|pack| pack.get(&tree)) else {
            continue;
        };
        for entry in entries(&content, source.format).unwrap_or_default() {
            let path = || format!("{above}{}", String::from_utf8_lossy(entry.name));
            if let Some(place) = paths.get_mut(&entry.id) {
                place.get_or_insert_with(path);
            }
            if entry.kind == EntryMode::Tree && !seen.contains(&entry.id) {
                waiting.push((entry.id, format!("{}/", path())));
            }
        }
    }
    for (object, rule) in secrets {
        let path = paths.get(&object).cloned().flatten();
        problems.add(Problem::Secret { rule, object, path });
    }
}

/// Longest path that is followed down: a tree may be beneath itself as often as it likes.
const PATH_MAX: usize = 4096;

/// Whether every commit of the pack and every new tip has what the server has at protected paths; and whether a new tip
/// is one at all.
fn judge_paths<P: ReadAt + ?Sized>(
    question: &Question,
    of_pack: &[ObjectId],
    source: &mut Source<'_, P>,
    problems: &mut Problems,
) {
    let known: HashSet<ObjectId> = question.known.iter().copied().collect();
    let mut guarded = match Guarded::new(&question.protect, &question.protected_tips) {
        Ok(guarded) => guarded,
        // A pattern that was one before is one.
        Err(_) => return problems.more = problems.more.saturating_add(1),
    };
    let mut judged = HashSet::new();
    for asked in &question.commands {
        let Some(new) = asked.new else { continue };
        let name = asked.name.clone();
        match source.peel(&new) {
            Peeled::Commit(id, commit) => {
                if !guarded.is_tip(&id) && judged.insert(id) {
                    judge(&mut guarded, &id, &commit, Some(asked), source, problems);
                }
            }
            Peeled::Other => problems.add(Problem::NoCommit { name, object: new }),
            Peeled::Missing(lacking) if known.contains(&new) || known.contains(&lacking) => {
                if !guarded.is_tip(&new) && !guarded.is_tip(&lacking) {
                    for index in 0..guarded.len() {
                        problems.add(Problem::Unproven {
                            pattern: guarded.name(index),
                            commit: new,
                            lacking,
                        });
                    }
                }
            }
            Peeled::Missing(_) => problems.add(Problem::Missing { name, object: new }),
        }
    }
    for id in of_pack {
        if let Some(commit) = source.commits.get(id).cloned()
            && judged.insert(*id)
        {
            judge(&mut guarded, id, &commit, None, source, problems);
        }
    }
}

fn judge<P: ReadAt + ?Sized>(
    guarded: &mut Guarded,
    id: &ObjectId,
    commit: &Commit,
    asked: Option<&Asked>,
    source: &mut Source<'_, P>,
    problems: &mut Problems,
) {
    for index in 0..guarded.len() {
        match guarded.compare(index, &commit.tree, source) {
            Compared::Same => {}
            Compared::Differs(path) => problems.add(Problem::Protected {
                pattern: guarded.name(index),
                path,
                commit: *id,
                name: asked.map(|asked| asked.name.clone()),
            }),
            Compared::Lacks(lacking) => problems.add(Problem::Unproven {
                pattern: guarded.name(index),
                commit: *id,
                lacking,
            }),
        }
    }
}

/// Whether a ref goes forward.
fn forward<P: ReadAt + ?Sized>(asked: &Asked, source: &mut Source<'_, P>) -> Option<Ancestry> {
    let (old, new) = (asked.old?, asked.new?);
    if old == new {
        return Some(Ancestry::Behind);
    }
    let end = |id: ObjectId, source: &mut Source<'_, P>| match source.peel(&id) {
        Peeled::Commit(commit, _) => commit,
        Peeled::Other | Peeled::Missing(_) => id,
    };
    let (old, new) = (end(old, source), end(new, source));
    Some(ancestry(&old, &new, &mut |id: &ObjectId| source.commit(id)))
}
