//! What a pack holds: secrets, protected paths, names that lead astray.

use super::{Problem, Repository, ask, create, patterns, problems, update};
use aca::git::check::{Asked, Fingerprint, Question};
use aca::git::object_id::{ObjectFormat, ObjectId};

/// Put together, so that nobody finds it in this file.
fn token() -> String {
    format!("ghp_{}", "q7Zk2mXw9RtB4vNc8YpLs5HdJf3GaUe6KiWo")
}

fn secrets(problems: &[Problem]) -> Vec<(&str, Option<&str>)> {
    problems
        .iter()
        .map(|problem| match problem {
            Problem::Secret { rule, path, .. } => (rule.as_str(), path.as_deref()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn g31_a_token_in_a_file() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let repository = Repository::of(format);
        let first = repository.commit("1", &[("f", "1")]);
        let text = format!("const TOKEN: &str = \"{}\";\n", token());
        let second = repository.commit("2", &[("src/deep/er/key.rs", &text)]);
        repository.git(&["rm", "-q", "src/deep/er/key.rs"]);
        let third = repository.commit("3", &[]);
        // Gone from the tip, and in the history.
        let pack = repository.pack(&[&third.to_string(), &format!("^{first}")]);
        let mut question = repository.question();
        question.commands = vec![update(first, third)];
        let found = problems(&question, &pack, &repository);
        assert_eq!(secrets(&found), [("a GitHub token", Some("src/deep/er/key.rs"))]);
        assert!(!format!("{found:?}").contains(&token()[4..20]));
        question.scan = false;
        assert_eq!(problems(&question, &pack, &repository), []);
        let _unused = second;
    }
}

#[test]
fn g32_a_token_in_a_message_a_tag_a_name_and_an_object_that_nothing_leads_to() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let message = repository.commit(&format!("use {}", token()), &[]);
    let name = repository.commit("2", &[(&format!("dir/{}", token()), "x")]);
    repository.git(&["tag", "-a", "-m", &token(), "v1", &first.to_string()]);
    let tag = repository.id("v1");
    let dangling = repository.git_with(&["hash-object", "-w", "--stdin"], token().as_bytes());
    let dangling = repository.parse(&dangling);
    let directory = repository.id(&format!("{name}:dir"));
    let mut question = repository.question();
    question.commands = vec![create(first)];
    for (objects, id) in [
        (vec![message], message),
        (vec![directory], directory),
        (vec![tag], tag),
        (vec![dangling], dangling),
    ] {
        let found = problems(&question, &repository.pack_objects(&objects), &repository);
        assert_eq!(secrets(&found), [("a GitHub token", None)]);
        assert!(matches!(&found[0], Problem::Secret { object, .. } if *object == id));
    }
}

/// A ref's name is as public as what it leads to.
#[test]
fn g32_a_token_in_the_name_of_a_ref() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let mut question = repository.question();
    let pack = repository.pack(&[&first.to_string()]);
    for (name, is_one) in [
        (format!("refs/heads/agent/{}", token()), true),
        ("refs/heads/agent/x".into(), false),
    ] {
        question.commands = vec![Asked {
            name: name.parse().unwrap(),
            ..create(first)
        }];
        let found = problems(&question, &pack, &repository);
        assert_eq!(secrets(&found).is_empty(), !is_one, "{found:?}");
        assert!(!format!("{found:?}").contains(&token()[4..20]));
    }
}

#[test]
fn what_aca_keeps_is_found_without_being_there() {
    use std::fmt::Write as _;
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let secret = b"correct horse battery staple";
    let mut hex = String::new();
    for byte in secret {
        write!(hex, "{byte:02X}").unwrap();
    }
    let second = repository.commit(
        "2",
        &[
            ("plain", "say correct horse battery staple now"),
            ("hex", &hex),
            // base64 of `alice:correct horse battery staple`
            ("base64", "Basic YWxpY2U6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ=="),
            ("other", "correct horse battery stable"),
        ],
    );
    let pack = repository.pack(&[&second.to_string(), &format!("^{first}")]);
    let mut question = repository.question();
    question.commands = vec![update(first, second)];
    question.scan = false;
    assert_eq!(problems(&question, &pack, &repository), []);
    question.fingerprints = Fingerprint::of(secret, question.key);
    let found = problems(&question, &pack, &repository);
    let mut paths: Vec<&str> = secrets(&found).iter().filter_map(|(_, path)| *path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["base64", "hex", "plain"]);
}

/// The server has `main` with a workflow; what is asked is a push onto it.
struct Guarded {
    repository: Repository,
    question: Question,
    main: ObjectId,
}

const PROTECTED: [&str; 4] = [
    ".github/workflows/**",
    ".gitlab-ci.yml",
    "Jenkinsfile",
    "**/azure-pipelines*.yml",
];

impl Guarded {
    fn new() -> Self {
        let repository = Repository::new();
        let main = repository.commit(
            "1",
            &[
                (".github/workflows/ci.yml", "on: push"),
                (".github/CODEOWNERS", "* @a"),
                ("sub/azure-pipelines.yml", "a"),
                ("f", "1"),
            ],
        );
        let mut question = repository.question();
        question.protect = patterns(&PROTECTED);
        question.protected_tips = vec![main];
        question.known = vec![main];
        Self {
            repository,
            question,
            main,
        }
    }

    /// Pushes what is there since `main`.
    fn push(&self, new: ObjectId) -> Vec<Problem> {
        let pack = self
            .repository
            .pack(&[&new.to_string(), &format!("^{}", self.main)]);
        let mut question = self.question.clone();
        question.commands = vec![create(new)];
        problems(&question, &pack, &self.repository)
    }

    fn paths(&self, new: ObjectId) -> Vec<(String, String)> {
        self.push(new)
            .into_iter()
            .map(|problem| match problem {
                Problem::Protected { pattern, path, .. } => (pattern, path),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

#[test]
fn g33_protected_paths_that_are_added_changed_or_go() {
    for (files, pattern, path) in [
        (
            &[(".github/workflows/new.yml", "on: push")][..],
            PROTECTED[0],
            ".github/workflows",
        ),
        (
            &[(".github/workflows/ci.yml", "on: [push]")],
            PROTECTED[0],
            ".github/workflows",
        ),
        (&[(".gitlab-ci.yml", "x")], PROTECTED[1], ".gitlab-ci.yml"),
        (&[("Jenkinsfile", "x")], PROTECTED[2], "Jenkinsfile"),
        (&[("JENKINSFILE", "x")], PROTECTED[2], "JENKINSFILE"),
        (
            &[(".GitHub/Workflows/x.yml", "x")],
            PROTECTED[0],
            ".GitHub/Workflows",
        ),
        (
            &[("a/b/azure-pipelines-2.yml", "x")],
            PROTECTED[3],
            "a/b/azure-pipelines-2.yml",
        ),
    ] {
        let yard = Guarded::new();
        let new = yard.repository.commit("x", files);
        assert_eq!(
            yard.paths(new),
            [(pattern.replace("/**", ""), path.to_owned())],
            "{files:?}"
        );
    }
    let yard = Guarded::new();
    yard.repository.git(&["rm", "-q", "-r", ".github"]);
    let new = yard.repository.commit("x", &[]);
    assert_eq!(yard.paths(new).len(), 1);
    // A link in a directory's place.
    let yard = Guarded::new();
    std::fs::rename(
        yard.repository.at.join(".github"),
        yard.repository.at.join("other"),
    )
    .unwrap();
    std::os::unix::fs::symlink("other", yard.repository.at.join(".github")).unwrap();
    let new = yard.repository.commit("x", &[]);
    assert_eq!(
        yard.paths(new),
        [(".github/workflows".to_owned(), ".github".to_owned())]
    );
}

#[test]
fn g33_what_lies_beside_them_is_free() {
    let yard = Guarded::new();
    let new = yard.repository.commit(
        "x",
        &[
            (".github/CODEOWNERS", "* @b"),
            (".github/ISSUE_TEMPLATE/x.md", "x"),
            ("workflows/x.yml", "x"),
            ("docs/Jenkinsfile", "x"),
            ("sub/f", "x"),
        ],
    );
    assert_eq!(yard.push(new), []);
}

#[test]
fn g34_added_and_taken_back() {
    let yard = Guarded::new();
    let added = yard
        .repository
        .commit("x", &[(".github/workflows/new.yml", "on: push")]);
    yard.repository.git(&["rm", "-q", ".github/workflows/new.yml"]);
    let gone = yard.repository.commit("y", &[]);
    let found = yard.push(gone);
    assert!(
        matches!(&found[..], [Problem::Protected { commit, name: None, .. }] if *commit == added),
        "{found:?}"
    );
}

#[test]
fn g35_a_commit_that_the_server_has_without_a_branch() {
    let yard = Guarded::new();
    // As `refs/pull/7/head` of somebody's fork.
    let foreign = yard
        .repository
        .commit("x", &[(".github/workflows/new.yml", "on: push")]);
    let mut question = yard.question.clone();
    question.known.push(foreign);
    question.commands = vec![create(foreign)];
    let empty = yard.repository.pack_objects(&[]);
    let found = problems(&question, &empty, &yard.repository);
    let name = question.commands[0].name.clone();
    assert!(
        matches!(&found[..], [Problem::Protected { commit, name: Some(of), .. }] if *commit == foreign && *of == name),
        "{found:?}"
    );
    assert!(
        found[0].to_string().contains("refs/heads/agent/x"),
        "{}",
        found[0]
    );
    // Neither where it can't be looked into.
    let found = ask(&question, Some(&empty), Vec::new()).unwrap().problems;
    assert_eq!(found.len(), PROTECTED.len());
    assert!(
        found
            .iter()
            .all(|problem| matches!(problem, Problem::Unproven { .. }))
    );
    // A branch's own tip needs no look.
    question.commands = vec![create(yard.main)];
    assert_eq!(ask(&question, Some(&empty), Vec::new()).unwrap().problems, []);
}

#[test]
fn any_branch_of_the_servers_vouches_and_none_that_cannot_be_read() {
    let mut yard = Guarded::new();
    let moved = yard
        .repository
        .commit("x", &[(".github/workflows/ci.yml", "on: [push]")]);
    yard.repository
        .git(&["checkout", "-q", "-b", "old", &yard.main.to_string()]);
    let old = yard.repository.commit("y", &[("f", "2")]);
    assert_eq!(yard.push(old), []);
    yard.question.protected_tips = vec![moved];
    let found = yard.push(old);
    assert!(matches!(&found[..], [Problem::Protected { .. }]), "{found:?}");
    let text = found[0].to_string();
    assert!(
        text.contains(".github/workflows") && text.contains("rebase"),
        "{text}"
    );
    yard.question.protected_tips.push(yard.main);
    assert_eq!(yard.push(old), []);
    let unknown = yard.repository.parse(&"ab".repeat(20));
    yard.question.protected_tips = vec![moved, unknown];
    let found = yard.push(old);
    assert!(
        matches!(&found[..], [Problem::Unproven { lacking, .. }] if *lacking == unknown),
        "{found:?}"
    );
    // The first push of all: nothing vouches for what is protected, and nothing has to for what isn't there.
    yard.question.protected_tips = Vec::new();
    assert_eq!(yard.push(old).len(), 2);
    yard.repository.git(&["rm", "-rq", ".github/workflows", "sub"]);
    yard.repository.git(&["commit", "-q", "--amend", "-m", "none"]);
    yard.repository.git(&["checkout", "-q", "--orphan", "pages"]);
    let orphan = yard.repository.commit("z", &[]);
    assert_eq!(yard.push(orphan), []);
}

/// A tree with one entry.
fn tree_with(repository: &Repository, mode: &str, name: &[u8], id: &ObjectId) -> ObjectId {
    let mut content = format!("{mode} ").into_bytes();
    content.extend_from_slice(name);
    content.push(0);
    content.extend_from_slice(&id.padded()[..repository.format.digits() / 2]);
    let words = ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"];
    repository.parse(&repository.git_with(&words, &content))
}

#[test]
fn trees_that_lead_into_gits_directory_or_out() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let blob = repository.id("HEAD:f");
    let mut question = repository.question();
    question.commands = vec![create(first)];
    for name in [
        &b".git"[..],
        b".GIT",
        b".git ",
        b"git~1",
        b".git::$INDEX_ALLOCATION",
        ".g\u{200c}it".as_bytes(),
        b"..",
        b".",
        b"a/b",
        b"",
    ] {
        let tree = tree_with(&repository, "100644", name, &blob);
        let found = problems(&question, &repository.pack_objects(&[tree]), &repository);
        assert_eq!(found, [Problem::TreeName { object: tree }], "{name:?}");
    }
    for name in [
        &b".gitmodules"[..],
        b".GITMODULES",
        b"gitmod~1",
        ".gitm\u{200d}odules".as_bytes(),
    ] {
        let tree = tree_with(&repository, "120000", name, &blob);
        let found = problems(&question, &repository.pack_objects(&[tree]), &repository);
        assert_eq!(found, [Problem::ModulesLink { object: tree }], "{name:?}");
    }
    let tree = tree_with(&repository, "100644", b".gitmodules", &blob);
    assert_eq!(
        problems(&question, &repository.pack_objects(&[tree]), &repository),
        []
    );
}

#[test]
fn more_commits_than_allowed() {
    let repository = Repository::new();
    let first = repository.commit("0", &[("f", "0")]);
    for number in 1..=5 {
        repository.commit(&number.to_string(), &[("f", &number.to_string())]);
    }
    let last = repository.id("HEAD");
    let pack = repository.pack(&[&last.to_string(), &format!("^{first}")]);
    let mut question = repository.question();
    question.commands = vec![update(first, last)];
    question.commits_max = 4;
    let found = problems(&question, &pack, &repository);
    assert_eq!(found, [Problem::TooManyCommits { commits: 5, most: 4 }]);
    question.commits_max = 5;
    assert_eq!(problems(&question, &pack, &repository), []);
}
