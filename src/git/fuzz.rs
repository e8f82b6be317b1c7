//! What `fuzz/` feeds: packets, pushes, advertisements and words for ssh of any bytes, with what must hold for them.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "there for the fuzzer alone"
)]

use super::advertisement::{PushAdvertisement, fetch_capability};
use super::check::{Asked, Key, Question, Scanner, check as look, read_answer, standard_limits};
use super::commit::{Commit, tagged};
use super::fetch::FetchFilter;
use super::frame::{self, HEADER, Hello};
use super::index;
use super::object_id::{ObjectFormat, ObjectId};
use super::objects::{self, Spend};
use super::outcome::Outcome;
use super::pack::{Limits, ObjectKind, PackReader};
use super::packet::take;
use super::push::{Push, PushReader};
use super::ref_files;
use super::ssh_words::{parse, quote};
use super::tree::{TreeEntry, entries};
use super::under_way;
use sha1::{Digest, Sha1};
use std::sync::OnceLock;

pub fn index(bytes: &[u8]) {
    under_way(bytes);
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        drop(ref_files::head(bytes, format));
        let _known = ref_files::loose(bytes, format);
        drop(ref_files::packed(bytes, format));
        drop(ref_files::log(bytes, format));
        if let Ok(entries) = index::read(bytes, format) {
            // What is written is understood the same way.
            let again = index::read(&index::write(&entries, format), format).unwrap();
            assert_eq!(again, entries);
            let brought = index::brought(entries, &[], 0);
            assert!(
                brought
                    .entries
                    .iter()
                    .all(|entry| !entry.skipped && !entry.assumed)
            );
        }
    }
}

/// The files of what is under way, one after the other with a zero between, each behind the letter of its name.
fn under_way(bytes: &[u8]) {
    const NAMES: [&str; 24] = [
        "MERGE_HEAD",
        "MERGE_MODE",
        "MERGE_MSG",
        "MERGE_AUTOSTASH",
        "CHERRY_PICK_HEAD",
        "REVERT_HEAD",
        "REBASE_HEAD",
        "sequencer/head",
        "sequencer/todo",
        "sequencer/opts",
        "sequencer/abort-safety",
        "rebase-merge/head-name",
        "rebase-merge/onto",
        "rebase-merge/orig-head",
        "rebase-merge/git-rebase-todo",
        "rebase-merge/done",
        "rebase-merge/author-script",
        "rebase-merge/stopped-sha",
        "rebase-merge/amend",
        "rebase-merge/message",
        "rebase-merge/current-fixups",
        "rebase-merge/autostash",
        "rebase-merge/strategy",
        "rebase-merge/quiet",
    ];
    let files: under_way::Files = bytes
        .split(|byte| *byte == 0)
        .filter_map(|part| part.split_first())
        .map(|(letter, content)| {
            let name = NAMES[usize::from(*letter) % NAMES.len()];
            (name.to_owned(), content.to_vec())
        })
        .collect();
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        if let Ok(Some(found)) = under_way::read(&files, format) {
            // What is written is understood the same way.
            let written = found.write().into_iter().collect();
            assert_eq!(under_way::read(&written, format).unwrap(), Some(found));
        }
    }
}

pub fn push(bytes: &[u8]) {
    if let Some(push) = read_push(bytes) {
        // What is passed on is understood the same way.
        let again = push.encode(ObjectFormat::Sha1).unwrap();
        assert_eq!(read_push(&again).unwrap(), push);
    }
}

fn read_push(mut bytes: &[u8]) -> Option<Push> {
    let mut reader = PushReader::new(ObjectFormat::Sha1);
    while let Ok(Some((packet, length))) = take(bytes) {
        if let Some(push) = reader.accept(packet).ok()? {
            return Some(push);
        }
        bytes = &bytes[length..];
    }
    None
}

/// A server's report, of a push of one ref.
fn outcome(bytes: &[u8]) {
    let line = format!("{0} {0} refs/heads/a", "a".repeat(40));
    let mut reader = PushReader::new(ObjectFormat::Sha1);
    reader
        .accept(super::packet::Packet::Data(line.as_bytes()))
        .unwrap();
    let push = reader.accept(super::packet::Packet::Flush).unwrap().unwrap();
    let outcome = Outcome::read(bytes, &push);
    assert!(outcome.taken.iter().all(|name| name.as_str() == "refs/heads/a"));
    assert!(outcome.unpack.is_none() || outcome.taken.is_empty());
}

pub fn advertisement(mut bytes: &[u8]) {
    fetch(bytes);
    outcome(bytes);
    let mut advertisement = PushAdvertisement::default();
    while let Ok(Some((packet, length))) = take(bytes) {
        if let super::packet::Packet::Data(data) = packet {
            drop(fetch_capability(data));
        }
        let Ok(said) = advertisement.accept(packet) else {
            return;
        };
        if let Some(said) = said
            && said.contains(&0)
        {
            assert!(said.ends_with(b"no-thin\n"));
        }
        bytes = &bytes[length..];
    }
}

fn fetch(bytes: &[u8]) {
    let filtered = |at_once: usize| {
        let (mut filter, mut out) = (FetchFilter::default(), Vec::new());
        for part in bytes.chunks(at_once) {
            filter.accept(part, &mut out).ok()?;
        }
        out.extend(filter.finish());
        Some(out)
    };
    // However it comes.
    assert_eq!(filtered(usize::MAX), filtered(3));
}

pub fn frames(mut bytes: &[u8]) {
    while let Some((first, rest)) = bytes.split_first_chunk::<HEADER>() {
        let Ok((kind, length)) = frame::header(*first) else {
            return;
        };
        assert!(length <= frame::PAYLOAD_MAX);
        assert_eq!(frame::put_header(kind, length), Ok(*first));
        let Some(payload) = rest.get(..length) else {
            return;
        };
        if let Ok(hello) = Hello::parse(payload) {
            assert_eq!(hello.encode(), payload);
            parse(&hello.words).ok();
        }
        bytes = &rest[length..];
    }
}

pub fn ssh_words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Ok(request) = parse(&words) {
        assert!(!request.host.starts_with('-') && !request.path.starts_with('-'));
        // What is asked of the user's ssh is understood the same way.
        let command = format!("{} {}", request.service.word(), quote(&request.path));
        let again = parse(&[request.host.clone(), command]).unwrap();
        assert_eq!((again.path, again.service), (request.path, request.service));
    }
}

fn read_object(kind: ObjectKind, content: &[u8]) {
    let format = ObjectFormat::Sha1;
    match kind {
        ObjectKind::Commit => {
            if let Some(commit) = Commit::parse(content, format) {
                assert!(content.starts_with(format!("tree {}\n", commit.tree).as_bytes()));
            }
        }
        ObjectKind::Tree => {
            if let Some(entries) = entries(content, format) {
                let length = |entry: &TreeEntry<'_>| entry.name.len() + 22 + 5;
                assert!(entries.iter().map(length).sum::<usize>() <= content.len());
            }
        }
        ObjectKind::Tag => {
            let _tagged = tagged(content, format);
        }
        ObjectKind::Blob => {}
    }
}

fn question(limits: Limits, spend: Spend) -> Question {
    let id = |byte: u8| Some(ObjectId::from_bytes(&[byte; 20], ObjectFormat::Sha1));
    let asked = |name: &str, old, new| Asked {
        name: format!("refs/heads/{name}").parse().unwrap(),
        old,
        new,
    };
    Question {
        format: ObjectFormat::Sha1,
        commands: vec![
            asked("a", id(1), id(2)),
            asked("b", None, id(3)),
            asked("c", id(1), None),
        ],
        known: vec![],
        protected_tips: vec![],
        protect: [".github/workflows/**", "**/x*"]
            .map(|text| crate::policy::PathPattern::parse(text, crate::policy::Case::Exact).unwrap())
            .to_vec(),
        limits,
        spend,
        commits_max: 10,
        scan: true,
        fingerprints: super::check::Fingerprint::of(b"a secret", Key::new([1; 16])),
        key: Key::new([1; 16]),
        has_pack: true,
    }
}

/// A pack as [`pack`], and a repository that has nothing but the pack's own objects.
pub fn check(bytes: &[u8]) {
    let limits = Limits {
        pack_bytes: 1 << 16,
        objects: 100,
        object_bytes: 1 << 16,
        inflated_bytes: 1 << 18,
    };
    let spend = Spend {
        total_bytes: 1 << 18,
        held_bytes: 1 << 17,
    };
    let mut whole = bytes.to_vec();
    whole.extend_from_slice(&Sha1::digest(bytes));
    let length = u64::try_from(whole.len()).unwrap();
    let mut question = question(limits, spend);
    static SCANNER: OnceLock<Scanner> = OnceLock::new();
    let scanner = SCANNER.get_or_init(|| Scanner::new().unwrap());
    // The tips are commits of it, where it has some.
    let mut commits = Vec::new();
    let mut reader = PackReader::new(ObjectFormat::Sha1, limits);
    if reader.accept(&whole).is_ok()
        && let Ok(entries) = reader.finish()
    {
        let collect = &mut |object: objects::Object<'_>| {
            if object.kind == ObjectKind::Commit {
                commits.push(object.id);
            }
        };
        objects::each(
            whole.as_slice(),
            &entries,
            ObjectFormat::Sha1,
            limits,
            spend,
            collect,
        )
        .ok();
    }
    for (asked, id) in question.commands.iter_mut().zip(commits) {
        asked.new = asked.new.map(|_| id);
    }
    let mut nothing = |_: &ObjectId| None;
    let answer = look(&question, Some((whole.as_slice(), length)), &mut nothing, scanner);
    // What is said is understood.
    let said = postcard::to_stdvec(&answer).unwrap();
    let heard = read_answer(&said, &question).unwrap();
    assert_eq!(heard.is_ok(), answer.is_ok());
}

/// What a process says that somebody else has taken over, and a question.
pub fn answer(bytes: &[u8]) {
    let (limits, spend) = standard_limits(1 << 20);
    let question = question(limits, spend);
    if let Ok(Ok(findings)) = read_answer(bytes, &question) {
        assert_eq!(findings.commands.len(), question.commands.len());
        for problem in findings.problems {
            let shown = problem.to_string();
            assert!(!shown.chars().any(char::is_control) && shown.chars().count() < 2500);
        }
    }
    if let Ok(question) = postcard::from_bytes::<Question>(bytes) {
        let again = postcard::to_stdvec(&question).unwrap();
        assert_eq!(postcard::from_bytes::<Question>(&again).unwrap(), question);
    }
}

/// Bytes of a pack without its sum, which nobody guesses.
pub fn pack(bytes: &[u8]) {
    let limits = Limits {
        pack_bytes: 1 << 16,
        objects: 100,
        object_bytes: 1 << 16,
        inflated_bytes: 1 << 18,
    };
    let spend = Spend {
        total_bytes: 1 << 18,
        held_bytes: 1 << 17,
    };
    let mut whole = bytes.to_vec();
    whole.extend_from_slice(&Sha1::digest(bytes));
    let format = ObjectFormat::Sha1;
    let read = |at_once: usize| {
        let mut reader = PackReader::new(format, limits);
        for part in whole.chunks(at_once) {
            reader.accept(part).ok()?;
        }
        reader.finish().ok()
    };
    let entries = read(usize::MAX);
    // However it comes.
    assert_eq!(entries, read(3));
    if let Some(entries) = entries {
        let (mut seen, mut total) = (0, 0);
        let done = objects::each(whole.as_slice(), &entries, format, limits, spend, &mut |object| {
            seen += 1;
            total += object.content.len();
            read_object(object.kind, object.content);
        });
        assert!(total <= 1 << 18);
        assert!(done.is_err() || seen == entries.len());
    }
}
