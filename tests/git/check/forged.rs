//! Repositories that lie about their history: `git merge-base` believes them, the walk doesn't.

use super::Repository;
use aca::git::ancestry::Ancestry;
use aca::git::object_id::ObjectId;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

struct Forged {
    repository: Repository,
    /// What a branch of the server's is.
    old: ObjectId,
    /// A commit between `new` and what is before `old`.
    middle: ObjectId,
    /// What it shall become. It doesn't come after `old`.
    new: ObjectId,
}

impl Forged {
    fn new() -> Self {
        let repository = Repository::new();
        let base = repository.commit("1", &[("f", "1")]);
        let old = repository.commit("2", &[("f", "2")]);
        repository.branch("evil", &base);
        let middle = repository.commit("evil", &[("f", "evil")]);
        let new = repository.commit("evil2", &[("f", "evil2")]);
        let forged = Self {
            repository,
            old,
            middle,
            new,
        };
        assert!(!forged.git_says());
        assert_eq!(forged.walk(), Ancestry::NotBehind);
        forged
    }

    /// What git believes.
    fn git_says(&self) -> bool {
        let words = [
            "merge-base",
            "--is-ancestor",
            &self.old.to_string(),
            &self.new.to_string(),
        ];
        self.repository.command(&words).output().unwrap().status.success()
    }

    fn walk(&self) -> Ancestry {
        self.repository.forward(self.old, self.new)
    }

    /// The commit in the middle as if it came after `old`.
    fn fake(&self) -> Vec<u8> {
        let words = ["cat-file", "commit", &self.middle.to_string()];
        let text = self.repository.git(&words) + "\n";
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                if line.starts_with("parent ") {
                    format!("parent {}", self.old)
                } else {
                    line.to_owned()
                }
            })
            .collect();
        (lines.join("\n") + "\n").into_bytes()
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(super) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn loose(bytes: &[u8]) -> Vec<u8> {
    deflated(&[format!("commit {}\0", bytes.len()).as_bytes(), bytes].concat())
}

#[test]
fn g53_grafts() {
    let it = Forged::new();
    let info = it.repository.at.join(".git/info");
    fs::create_dir_all(&info).unwrap();
    fs::write(info.join("grafts"), format!("{} {}\n", it.middle, it.old)).unwrap();
    assert!(it.git_says());
    assert_eq!(it.walk(), Ancestry::NotBehind);
}

#[test]
fn g53_replacements() {
    let it = Forged::new();
    it.repository
        .git(&["replace", "--graft", &it.middle.to_string(), &it.old.to_string()]);
    assert!(it.git_says());
    assert_eq!(it.walk(), Ancestry::NotBehind);
}

#[test]
fn g53_a_shallow_list_is_no_end_of_the_history() {
    let it = Forged::new();
    fs::write(it.repository.at.join(".git/shallow"), format!("{}\n", it.middle)).unwrap();
    assert_eq!(it.walk(), Ancestry::NotBehind);
    // The commits before it are really gone.
    let missing = it.repository.id("main~1");
    fs::remove_file(it.repository.loose(&missing)).unwrap();
    assert_eq!(it.walk(), Ancestry::Unknown);
}

#[test]
fn g53_a_loose_object_that_is_another() {
    let it = Forged::new();
    overwrite(&it.repository.loose(&it.middle), &loose(&it.fake()));
    assert!(it.git_says());
    assert_eq!(it.walk(), Ancestry::Unknown);
}

/// Puts the name of one object where the index has the place of another.
fn redirect(index: &Path, from: &ObjectId, to: &ObjectId) {
    let mut bytes = fs::read(index).unwrap();
    let count = usize::try_from(u32::from_be_bytes(bytes[8 + 1020..8 + 1024].try_into().unwrap())).unwrap();
    let names = 8 + 1024;
    let offsets = names + count * 24;
    let place = |id: &ObjectId| {
        (0..count)
            .find(|at| bytes[names + at * 20..names + at * 20 + 20] == id.padded()[..20])
            .unwrap()
    };
    let (from, to) = (offsets + place(from) * 4, offsets + place(to) * 4);
    let offset: [u8; 4] = bytes[to..to + 4].try_into().unwrap();
    bytes[from..from + 4].copy_from_slice(&offset);
    let end = bytes.len() - 20;
    let sum = <sha1::Sha1 as sha1::Digest>::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    overwrite(index, &bytes);
}

pub(super) fn packs(repository: &Repository, end: &str) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = fs::read_dir(repository.objects().join("pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == end))
        .collect();
    all.sort();
    all
}

#[test]
fn g53_an_index_that_leads_to_another_object() {
    let it = Forged::new();
    let words = ["hash-object", "-t", "commit", "-w", "--stdin"];
    let fake = it.repository.git_with(&words, &it.fake());
    it.repository.git(&["update-ref", "refs/heads/fake", &fake]);
    it.repository.git(&["repack", "-adq"]);
    let fake = it.repository.parse(&fake);
    assert!(!it.git_says());
    redirect(&packs(&it.repository, "idx")[0], &it.middle, &fake);
    assert!(it.git_says());
    assert_eq!(it.walk(), Ancestry::Unknown);
}

#[test]
fn g53_a_commit_graph_and_an_index_over_packs() {
    let it = Forged::new();
    it.repository.git(&["repack", "-adq"]);
    it.repository.git(&["commit-graph", "write", "--reachable"]);
    let path = it.repository.objects().join("info/commit-graph");
    let mut bytes = fs::read(&path).unwrap();
    let chunks: Vec<([u8; 4], usize)> = (0..usize::from(bytes[6]))
        .map(|at| {
            let at = 8 + 12 * at;
            let offset = u64::from_be_bytes(bytes[at + 4..at + 12].try_into().unwrap());
            (
                bytes[at..at + 4].try_into().unwrap(),
                usize::try_from(offset).unwrap(),
            )
        })
        .collect();
    let chunk = |name: &[u8; 4]| chunks.iter().find(|(found, _)| found == name).map(|(_, at)| *at);
    let names = chunk(b"OIDL").unwrap();
    let place = |id: &ObjectId| {
        (0..4)
            .find(|at| bytes[names + at * 20..names + at * 20 + 20] == id.padded()[..20])
            .unwrap()
    };
    let data = chunk(b"CDAT").unwrap() + 36 * place(&it.middle);
    let old = u32::try_from(place(&it.old)).unwrap();
    let generations = chunk(b"GDA2").map(|at| at + 4 * place(&it.middle));
    bytes[data + 20..data + 24].copy_from_slice(&old.to_be_bytes());
    let word = u64::from_be_bytes(bytes[data + 28..data + 36].try_into().unwrap());
    bytes[data + 28..data + 36].copy_from_slice(&(word + (5 << 34)).to_be_bytes());
    if let Some(at) = generations {
        bytes[at..at + 4].copy_from_slice(&1000_u32.to_be_bytes());
    }
    let end = bytes.len() - 20;
    let sum = <sha1::Sha1 as sha1::Digest>::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    overwrite(&path, &bytes);
    assert!(it.git_says());
    assert_eq!(it.walk(), Ancestry::NotBehind);
    // The other isn't read either: the packs' own indices are.
    it.repository.git(&["multi-pack-index", "write"]);
    overwrite(
        &it.repository.objects().join("pack/multi-pack-index"),
        b"MIDX nonsense",
    );
    assert_eq!(it.walk(), Ancestry::NotBehind);
}

#[test]
fn g53_another_repositorys_objects_count_only_when_who_asks_gives_them() {
    let it = Forged::new();
    let borrowing = Repository::new();
    fs::write(
        borrowing.objects().join("info/alternates"),
        format!("{}\n", it.repository.objects().display()),
    )
    .unwrap();
    assert_eq!(borrowing.forward(it.old, it.new), Ancestry::Unknown);
    let mut question = borrowing.question();
    question.commands.push(super::update(it.old, it.new));
    let stores = vec![borrowing.store(), it.repository.store()];
    let findings = super::ask(&question, None, stores).unwrap();
    assert_eq!(findings.commands, [Some(Ancestry::NotBehind)]);
}
