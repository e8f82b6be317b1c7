//! Packs and stores that are made to break who reads them: bounded memory and time, and a refusal.

use super::forged::{deflated, packs};
use super::{Problem, Repository, ask, check_error, create, pack_error, sealed, update};
use aca::git::ancestry::Ancestry;
use aca::git::object_id::ObjectId;
use aca::git::pack::{Bound, PackError};
use aca::gitcheck::{CheckError, Ending};
use aca::proxy::git_check::Looking;
use sha1::{Digest, Sha1};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

/// An entry's head.
fn head(kind: u8, mut size: usize) -> Vec<u8> {
    let mut out = vec![kind << 4 | u8::try_from(size & 15).unwrap()];
    size >>= 4;
    while size > 0 {
        *out.last_mut().unwrap() |= 0x80;
        out.push(u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    out
}

fn pack(count: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"PACK\0\0\0\x02".to_vec();
    out.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        out.extend_from_slice(entry);
    }
    let sum = Sha1::digest(&out);
    out.extend_from_slice(&sum);
    out
}

fn whole(kind: u8, content: &[u8]) -> Vec<u8> {
    [head(kind, content.len()), deflated(content)].concat()
}

/// A delta on the entry that begins so many bytes before.
fn delta(back: usize, delta: &[u8]) -> Vec<u8> {
    let mut number = vec![u8::try_from(back & 0x7f).unwrap()];
    let mut rest = back >> 7;
    while rest > 0 {
        rest -= 1;
        number.insert(0, 0x80 | u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    [head(6, delta.len()), number, deflated(delta)].concat()
}

fn named(name: &[u8], delta: &[u8]) -> Vec<u8> {
    [head(7, delta.len()), name.to_vec(), deflated(delta)].concat()
}

#[test]
fn g51_packs_that_are_made_to_break_who_reads_them() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let mut question = repository.question();
    question.commands = vec![create(first)];
    let refused = |bytes: &[u8]| pack_error(ask(&question, Some(bytes), vec![repository.store()]));
    // Two thousand million objects, as it says.
    assert!(matches!(
        refused(&pack(1 << 31, &[])),
        PackError::Limit {
            what: Bound::Objects,
            ..
        }
    ));
    // A hundred megabytes out of a hundred kilobytes.
    let bomb = whole(3, &vec![0; 100 << 20]);
    assert!(matches!(
        refused(&pack(1, &[bomb])),
        PackError::Limit {
            what: Bound::ObjectBytes,
            ..
        }
    ));
    let many: Vec<Vec<u8>> = std::iter::repeat_n(whole(3, &vec![0; 60 << 20]), 20).collect();
    let error = refused(&pack(20, &many));
    assert!(
        matches!(
            error,
            PackError::Limit {
                what: Bound::InflatedBytes,
                ..
            }
        ),
        "{error:?}"
    );
    // Ten thousand deltas, each on the one before.
    let mut entries = vec![whole(3, b"hello")];
    for _ in 0..10_000 {
        let back = entries.last().unwrap().len();
        entries.push(delta(back, &[5, 5, 0x90, 5]));
    }
    let error = refused(&pack(10_001, &entries));
    assert!(
        matches!(
            error,
            PackError::Limit {
                what: Bound::Deltas,
                ..
            }
        ),
        "{error:?}"
    );
    // A circle, and what isn't there.
    let circle = [
        named(&[1; 20], &[5, 5, 0x90, 5]),
        named(&[2; 20], &[5, 5, 0x90, 5]),
    ];
    assert_eq!(refused(&pack(2, &circle)), PackError::Base);
    // Something behind it, and less than all.
    let good = pack(1, &[whole(3, b"hello")]);
    assert_eq!(refused(&[&good[..], b"x"].concat()), PackError::Trailing);
    assert_eq!(refused(&good[..good.len() - 1]), PackError::Short);
    assert_eq!(refused(b""), PackError::Short);
    let findings = ask(&question, Some(&good), vec![repository.store()]).unwrap();
    assert_eq!((findings.objects, findings.problems.len()), (1, 0));
    // More bytes than the policy has.
    question.limits.pack_bytes = 20;
    let error = pack_error(ask(&question, Some(&good), Vec::new()));
    assert!(matches!(
        error,
        PackError::Limit {
            what: Bound::PackBytes,
            ..
        }
    ));
}

#[test]
fn trees_that_lead_to_one_another_without_end() {
    // Each has the next ten times: ten to the thirtieth files, in thirty trees.
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let mut tree = repository.id("HEAD^{tree}");
    for _ in 0..30 {
        let mut listing = String::new();
        for number in 0..10 {
            listing.push_str(&format!("040000 tree {tree}\td{number}\n"));
        }
        tree = repository.parse(&repository.git_with(&["mktree"], listing.as_bytes()));
    }
    let words = [
        "commit-tree",
        "-m",
        "x",
        "-p",
        &first.to_string(),
        &tree.to_string(),
    ];
    let commit = repository.parse(&repository.git(&words));
    let pack = repository.pack(&[&commit.to_string(), &format!("^{first}")]);
    let mut question = repository.question();
    question.commands = vec![create(commit)];
    question.protect = super::patterns(&["**/*.yml", "**/a/**/b"]);
    question.protected_tips = vec![first];
    assert_eq!(
        ask(&question, Some(&pack), vec![repository.store()])
            .unwrap()
            .problems,
        []
    );
}

#[test]
fn a_pack_that_could_still_change_is_not_taken() {
    let repository = Repository::new();
    let mut question = repository.question();
    question.has_pack = true;
    let bytes = pack(0, &[]);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_aca"));
    let by = |pack| super::block_on(super::check_by(Some(program), &question, Some(pack), Vec::new()));
    by(sealed(&bytes)).unwrap();
    let open = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut &open, &bytes).unwrap();
    assert!(matches!(
        check_error(by(open.into())),
        CheckError::Ended(Ending::Code(1))
    ));
    let open = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    assert!(matches!(
        check_error(by(open)),
        CheckError::Ended(Ending::Code(1))
    ));
}

/// Looked at while it comes, a pack is what it is: whole, cut off, with bytes behind it, or no pack at all.
#[test]
fn a_pack_is_the_same_however_it_comes() {
    let repository = Repository::new();
    let mut question = repository.question();
    question.has_pack = true;
    let mut state = 1_u64;
    let large: Vec<u8> = (0..700_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    let token = format!("ghp_{}", "q7Zk2mXw9RtB4vNc8YpLs5HdJf3GaUe6KiWo");
    let good = pack(2, &[whole(3, &large), whole(3, b"hello")]);
    let bad = pack(2, &[whole(3, token.as_bytes()), whole(3, &large)]);
    let delta = pack(1, &[named(&[9; 20], b"d")]);
    let trailing = [good.as_slice(), b"x"].concat();
    let (cut, none) = (good[..good.len() / 2].to_vec(), b"no pack at all".to_vec());
    let all = [&good, &bad, &delta, &trailing, &cut, &none];
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_aca"));
    for bytes in all {
        let at_once = ask(&question, Some(bytes), Vec::new()).map_err(|error| error.to_string());
        for pieces in [1, 3, 50] {
            let file = rustix::fs::memfd_create("pack", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
            let looking = Looking::start(Some(program), &question, Some(file.as_fd()), &[]).unwrap();
            let mut length = 0;
            for part in bytes.chunks(bytes.len().div_ceil(pieces)) {
                rustix::io::pwrite(&file, part, length).unwrap();
                length += u64::try_from(part.len()).unwrap();
                looking.grew(length);
            }
            rustix::fs::fcntl_add_seals(&file, super::SEALS).unwrap();
            let findings = super::block_on(looking.findings(&question)).map_err(|error| error.to_string());
            assert_eq!(findings, at_once, "{pieces}");
        }
    }
    assert_eq!(
        super::ask(&question, Some(&bad), Vec::new())
            .unwrap()
            .problems
            .len(),
        1
    );
}

/// What it is told of a pack that isn't there, or that nobody sealed, is no answer.
#[test]
fn a_pack_that_is_less_than_what_was_told_is_not_taken() {
    let repository = Repository::new();
    let mut question = repository.question();
    question.has_pack = true;
    let bytes = pack(0, &[]);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_aca"));
    for (told, sealed) in [(1000, true), (20, false), (u64::MAX, true)] {
        let file = rustix::fs::memfd_create("pack", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
        let looking = Looking::start(Some(program), &question, Some(file.as_fd()), &[]).unwrap();
        rustix::io::pwrite(&file, &bytes, 0).unwrap();
        looking.grew(told);
        if sealed {
            rustix::fs::fcntl_add_seals(&file, super::SEALS).unwrap();
        }
        super::block_on(looking.findings(&question)).unwrap_err();
    }
}

struct Hollow {
    repository: Repository,
    old: ObjectId,
    middle: ObjectId,
    new: ObjectId,
}

/// Three commits; the middle one isn't there.
fn hollow() -> Hollow {
    let repository = Repository::new();
    let old = repository.commit("1", &[("f", "1")]);
    let middle = repository.commit("2", &[("f", "2")]);
    let new = repository.commit("3", &[("f", "3")]);
    assert_eq!(repository.forward(old, new), Ancestry::Behind);
    fs::remove_file(repository.loose(&middle)).unwrap();
    Hollow {
        repository,
        old,
        middle,
        new,
    }
}

fn make_pipe(path: &std::path::Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
}

#[test]
fn what_stands_in_an_objects_place_is_no_file() {
    let it = hollow();
    let place = it.repository.loose(&it.middle);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let said = || it.repository.forward(it.old, it.new);
    // Whoever opens one of those waits for who writes.
    make_pipe(&place);
    assert_eq!(said(), Ancestry::Unknown);
    fs::remove_file(&place).unwrap();
    for target in ["/dev/zero", "/etc/passwd", "/proc/self/mem", "."] {
        symlink(target, &place).unwrap();
        assert_eq!(said(), Ancestry::Unknown, "{target}");
        fs::remove_file(&place).unwrap();
    }
    fs::create_dir(&place).unwrap();
    assert_eq!(said(), Ancestry::Unknown);
    fs::remove_dir(&place).unwrap();
    // A file of a terabyte, of which nothing is there; a bomb; a size that is a lie.
    let file = fs::File::create(&place).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(said(), Ancestry::Unknown);
    for content in [
        deflated(&[&b"commit 104857600\0"[..], &vec![0; 100 << 20]].concat()),
        deflated(b"commit 99999999999999999999\0x"),
        deflated(b"commit 5\0x"),
        deflated(&[b'x'; 100]),
        b"no zlib".to_vec(),
        Vec::new(),
    ] {
        fs::write(&place, content).unwrap();
        assert_eq!(said(), Ancestry::Unknown);
    }
}

#[test]
fn the_directory_of_an_object_leads_elsewhere() {
    let it = hollow();
    let text = it.middle.to_string();
    let place = it.repository.objects().join(&text[..2]);
    fs::remove_dir_all(&place).ok();
    // There it is; and it isn't a place that was given.
    let outside = tempfile::tempdir().unwrap();
    let words = ["init", "-q", outside.path().to_str().unwrap()];
    it.repository.git(&words);
    fs::create_dir(outside.path().join(&text[..2])).unwrap();
    it.repository.commit("2", &[("f", "2")]);
    symlink(outside.path(), &place).unwrap();
    assert_eq!(it.repository.forward(it.old, it.new), Ancestry::Unknown);
}

#[test]
fn packs_and_indices_that_are_none() {
    let it = hollow();
    let directory = it.repository.objects().join("pack");
    let said = || it.repository.forward(it.old, it.new);
    fs::create_dir_all(&directory).unwrap();
    for end in ["idx", "pack"] {
        make_pipe(&directory.join(format!("pack-1.{end}")));
    }
    symlink("/dev/zero", directory.join("pack-2.idx")).unwrap();
    fs::write(directory.join("pack-2.pack"), "").unwrap();
    for (name, bytes) in [
        ("3", &b"\xfftOc\0\0\0\x02"[..]),
        ("4", b""),
        ("5", &[0xff; 4096]),
        (
            "6",
            &[&b"\xfftOc\0\0\0\x02"[..], &[0xff; 1024], &[0; 4096]].concat(),
        ),
    ] {
        fs::write(directory.join(format!("pack-{name}.idx")), bytes).unwrap();
        fs::write(directory.join(format!("pack-{name}.pack")), "PACK").unwrap();
    }
    // An index over four thousand million objects, by what it says and by its length.
    let file = fs::File::create(directory.join("pack-7.idx")).unwrap();
    std::io::Write::write_all(&mut &file, &[&b"\xfftOc\0\0\0\x02"[..], &[0xff; 1024]].concat()).unwrap();
    file.set_len(1 << 40).unwrap();
    fs::write(directory.join("pack-7.pack"), "PACK").unwrap();
    fs::write(it.repository.objects().join("info/alternates"), "/\n../objects\n").ok();
    assert_eq!(said(), Ancestry::Unknown);
}

#[test]
fn a_hundred_thousand_packs() {
    let it = hollow();
    let directory = it.repository.objects().join("pack");
    let index = tempfile::NamedTempFile::new_in(&directory).unwrap();
    let bytes = [&b"\xfftOc\0\0\0\x02"[..], &[0; 1024 + 40]].concat();
    fs::write(index.path(), bytes).unwrap();
    for number in 0..100_000 {
        // A file system has a bound on names of one file (65,000 on ext4).
        let name = directory.join(format!("pack-{number}.idx"));
        if number % 1000 == 0 {
            fs::copy(index.path(), name).unwrap();
        } else {
            let first = directory.join(format!("pack-{}.idx", number / 1000 * 1000));
            fs::hard_link(first, name).unwrap();
        }
        if number % 100 == 0 {
            fs::write(directory.join(format!("pack-{number}.pack")), "PACK").unwrap();
        }
    }
    assert_eq!(it.repository.forward(it.old, it.new), Ancestry::Unknown);
}

/// More packs than git leaves lie in a real repository where nobody packs anew.
#[test]
fn objects_are_found_among_a_thousand_packs() {
    let repository = Repository::new();
    let commits: Vec<ObjectId> = (0..4)
        .map(|number| {
            let id = repository.commit(&number.to_string(), &[("f", &number.to_string())]);
            repository.git(&["repack", "-dq"]);
            id
        })
        .collect();
    let own = packs(&repository, "idx");
    assert_eq!(own.len(), 4);
    let now = std::time::SystemTime::now();
    // Each has an object by a name of its own; half of them are newer than what is looked for.
    for number in 0..1200_u32 {
        let id = repository.parse(&format!(
            "{:08x}{}",
            number.wrapping_mul(2_654_435_761),
            "ab".repeat(16)
        ));
        plant_as(
            &repository,
            &format!("many-{number}"),
            &id,
            &pack(1, &[whole(3, b"x")]),
        );
        let written = now - std::time::Duration::from_secs(3600 * u64::from(number % 2) * 2);
        let index = repository.objects().join(format!("pack/many-{number}.idx"));
        fs::File::open(index).unwrap().set_modified(written).unwrap();
    }
    for index in own {
        let written = now - std::time::Duration::from_secs(3600);
        fs::File::open(index).unwrap().set_modified(written).unwrap();
    }
    assert_eq!(repository.forward(commits[0], commits[3]), Ancestry::Behind);
    assert_eq!(repository.forward(commits[3], commits[0]), Ancestry::NotBehind);
}

/// A pack in the store with one object by that name, which its index says is at the first entry.
fn plant(repository: &Repository, id: &ObjectId, bytes: &[u8]) {
    plant_as(repository, "pack-x", id, bytes);
}

fn plant_as(repository: &Repository, name: &str, id: &ObjectId, bytes: &[u8]) {
    let directory = repository.objects().join("pack");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(format!("{name}.pack")), bytes).unwrap();
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for byte in 0..=255_u8 {
        index.extend_from_slice(&u32::from(byte >= id.padded()[0]).to_be_bytes());
    }
    index.extend_from_slice(&id.padded()[..20]);
    index.extend_from_slice(&[0; 4]);
    index.extend_from_slice(&12_u32.to_be_bytes());
    index.extend_from_slice(&[0; 40]);
    fs::write(directory.join(format!("{name}.idx")), index).unwrap();
}

#[test]
fn g51_objects_in_the_store_that_are_made_to_break_who_reads_them() {
    let it = hollow();
    let said = || it.repository.forward(it.old, it.new);
    let name = it.middle.padded()[..20].to_vec();
    for (what, entry) in [
        // A delta on itself.
        ("circle", named(&name, &[5, 5, 0x90, 5])),
        ("bomb", whole(1, &vec![0; 100 << 20])),
        ("lie", [head(1, 10), deflated(b"x")].concat()),
        ("endless size", vec![0xff; 30]),
        ("before the pack", delta(100, &[5, 5, 0x90, 5])),
        ("no such kind", whole(5, b"x")),
        (
            "another",
            whole(1, b"tree 0000000000000000000000000000000000000000\nauthor a\n"),
        ),
    ] {
        plant(&it.repository, &it.middle, &pack(1, &[entry]));
        assert_eq!(said(), Ancestry::Unknown, "{what}");
    }
    // It is read when it is there: the place is the right one.
    let words = ["cat-file", "commit", &it.new.to_string()];
    drop(it.repository.git(&words));
    let content = it.repository.output(&words, b"").stdout;
    fs::remove_file(it.repository.loose(&it.new)).unwrap();
    assert_eq!(said(), Ancestry::Unknown);
    plant(&it.repository, &it.new, &pack(1, &[whole(1, &content)]));
    let mut question = it.repository.question();
    question.commands = vec![update(it.middle, it.new)];
    let findings = ask(&question, None, vec![it.repository.store()]).unwrap();
    assert_eq!(findings.commands, [Some(Ancestry::Behind)]);
    assert_eq!(packs(&it.repository, "idx").len(), 1);
}

#[test]
fn texts_from_inside_are_made_plain() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let token = format!("ghp_{}", "q7Zk2mXw9RtB4vNc8YpLs5HdJf3GaUe6KiWo");
    let name = format!("\u{1b}[31m\n\u{202e}{}", "x".repeat(200));
    let second = repository.commit("2", &[(&format!("{name}/{}", "y".repeat(200)), &token)]);
    let pack = repository.pack(&[&second.to_string(), &format!("^{first}")]);
    let mut question = repository.question();
    question.commands = vec![create(second)];
    let found = ask(&question, Some(&pack), vec![repository.store()])
        .unwrap()
        .problems;
    let [Problem::Secret { path: Some(path), .. }] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(path.starts_with("?[31m??xxx"), "{path}");
    assert_eq!(path.chars().count(), 201);
}
