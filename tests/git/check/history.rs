//! Whether a ref goes forward is told as git tells it of an honest repository.

use super::{Repository, ask, create, update};
use aca::git::ancestry::Ancestry;
use aca::git::object_id::{ObjectFormat, ObjectId};
use std::fmt::Write as _;

/// A history of `count` commits with merges; the same each time. The names, oldest first.
fn tangled(repository: &Repository, count: u32) -> Vec<ObjectId> {
    let mut text = String::new();
    let mut state = 12_345_u32;
    for number in 1..=count {
        write!(
            text,
            "commit refs/heads/c{number}\nmark :{number}\ncommitter a <a@a.test> {} +0000\ndata 1\nx\n",
            // Dates that mean nothing.
            1_000_000 + (number * 7919) % 1000
        )
        .unwrap();
        let mut parents = Vec::new();
        for _ in 0..number.min(3) {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            let back = 1 + (state >> 16) % 6;
            if back < number && !parents.contains(&(number - back)) && !(state >> 8).is_multiple_of(5) {
                parents.push(number - back);
            }
        }
        for (index, parent) in parents.iter().enumerate() {
            let word = if index == 0 { "from" } else { "merge" };
            writeln!(text, "{word} :{parent}").unwrap();
        }
        write!(
            text,
            "M 100644 inline f\ndata {}\n{number}\n\n",
            number.to_string().len()
        )
        .unwrap();
    }
    repository.git_with(&["fast-import", "--quiet", "--force"], text.as_bytes());
    (1..=count)
        .map(|number| repository.id(&format!("c{number}")))
        .collect()
}

#[test]
fn as_git_merge_base_tells_it() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let repository = Repository::of(format);
        let commits = tangled(&repository, 60);
        let (mut behind, mut not) = (0, 0);
        for (index, new) in commits.iter().enumerate() {
            // Every pair would be a process of git's each.
            for old in commits.iter().skip(index % 5).step_by(9) {
                let words = ["merge-base", "--is-ancestor", &old.to_string(), &new.to_string()];
                let by_git = repository.command(&words).status().unwrap().success();
                let expected = if by_git {
                    Ancestry::Behind
                } else {
                    Ancestry::NotBehind
                };
                assert_eq!(repository.forward_here(*old, *new), expected, "{old} {new}");
                *(if by_git { &mut behind } else { &mut not }) += 1;
            }
        }
        assert!(behind > 50 && not > 50, "{behind} {not}");
        // The same by the process, from loose objects and from packs.
        let (old, new) = (commits[3], commits[57]);
        let expected = repository.forward_here(old, new);
        assert_eq!(repository.forward(old, new), expected);
        repository.git(&["repack", "-adq", "--depth=50", "--window=50"]);
        assert!(!repository.loose(&new).exists());
        assert_eq!(repository.forward(old, new), expected);
        assert_eq!(repository.forward(new, old), Ancestry::NotBehind);
    }
}

#[test]
fn g19_an_empty_pack_and_a_pack_without_its_history() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let second = repository.commit("2", &[("f", "2")]);
    let third = repository.commit("3", &[("f", "3")]);
    let mut question = repository.question();
    question.commands = vec![update(first, third)];
    // As git sends it where the server has all objects.
    let empty = repository.pack_objects(&[]);
    let findings = ask(&question, Some(&empty), vec![repository.store()]).unwrap();
    assert_eq!(findings.commands, [Some(Ancestry::Behind)]);
    assert_eq!((findings.objects, findings.commits), (0, 0));
    assert_eq!(findings.problems, []);
    // What the pack has needs no store; what it builds on does.
    let pack = repository.pack(&[&third.to_string(), &format!("^{first}")]);
    question.commands.push(update(second, third));
    question.commands.push(update(third, second));
    question.commands.push(create(third));
    for (asked, name) in question.commands.iter_mut().zip(["a", "b", "c", "d"]) {
        asked.name = format!("refs/heads/{name}").parse().unwrap();
    }
    let findings = ask(&question, Some(&pack), Vec::new()).unwrap();
    assert_eq!(
        findings.commands,
        [
            Some(Ancestry::Behind),
            Some(Ancestry::Behind),
            Some(Ancestry::Unknown),
            None
        ]
    );
    assert_eq!(findings.commits, 2);
    let findings = ask(&question, Some(&pack), vec![repository.store()]).unwrap();
    assert_eq!(findings.commands[2], Some(Ancestry::NotBehind));
}

#[test]
fn tags_are_followed_and_what_is_no_commit_is_told() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    repository.git(&["tag", "-a", "-m", "one", "v1"]);
    repository.commit("2", &[("f", "2")]);
    repository.git(&["tag", "-a", "-m", "two", "v2"]);
    repository.git(&["tag", "-a", "-m", "tree", "tree", "HEAD^{tree}"]);
    let (one, two) = (repository.id("v1"), repository.id("v2"));
    assert_eq!(repository.forward(one, two), Ancestry::Behind);
    assert_eq!(repository.forward(first, two), Ancestry::Behind);
    assert_eq!(repository.forward(two, one), Ancestry::NotBehind);
    let mut question = repository.question();
    for name in ["tree", "HEAD^{tree}", "HEAD:f"] {
        let object = repository.id(name);
        question.commands = vec![create(object)];
        let findings = ask(&question, None, vec![repository.store()]).unwrap();
        let name = question.commands[0].name.clone();
        assert_eq!(findings.problems, [super::Problem::NoCommit { name, object }]);
    }
    let missing = repository.parse(&"12".repeat(20));
    question.commands = vec![create(missing)];
    let findings = ask(&question, None, vec![repository.store()]).unwrap();
    assert!(matches!(findings.problems[..], [super::Problem::Missing { .. }]));
    // The server's own are no unknown ones.
    question.known = vec![missing];
    let findings = ask(&question, None, vec![repository.store()]).unwrap();
    assert_eq!(findings.problems, []);
}
