use super::*;

const A: &str = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";
const B: &str = "9bc81f51d6a56b5ab1594699113f3a8f138b4400";
const SHA1: ObjectFormat = ObjectFormat::Sha1;

fn files(all: &[(&str, &str)]) -> Files {
    all.iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

/// Written anew it is read as the same.
#[track_caller]
fn again(all: &[(&str, &str)]) -> UnderWay {
    let found = read(&files(all), SHA1).unwrap().unwrap();
    let written: Files = found.write().into_iter().collect();
    assert_eq!(read(&written, SHA1).unwrap().unwrap(), found);
    found
}

fn is_refused(all: &[(&str, &str)]) -> bool {
    read(&files(all), SHA1).is_err()
}

/// Those of a rebase that stopped, with one more, or another.
fn rebase(other: (&str, &str)) -> Files {
    let (done, todo) = (format!("pick {A} one\n"), format!("fixup {B} two\n# help\n\n"));
    let mut all = files(&[
        ("rebase-merge/head-name", "refs/heads/side\n"),
        ("rebase-merge/onto", A),
        ("rebase-merge/orig-head", B),
        ("rebase-merge/interactive", ""),
        ("rebase-merge/git-rebase-todo", &todo),
        ("rebase-merge/done", &done),
        ("rebase-merge/stopped-sha", A),
        ("rebase-merge/patch", "diff\n"),
        ("rebase-merge/drop_redundant_commits", ""),
        (
            "rebase-merge/author-script",
            "GIT_AUTHOR_NAME='A O'\\''B'\\!''\nGIT_AUTHOR_EMAIL='a@b.c'\nGIT_AUTHOR_DATE='@1 +0100'\n",
        ),
        ("REBASE_HEAD", A),
        ("MERGE_MSG", "one\n"),
    ]);
    all.insert(other.0.to_owned(), other.1.as_bytes().to_vec());
    all
}

#[test]
fn a_merge() {
    let heads = format!("{A}\n{B}\n");
    let UnderWay::Merge(merge) = again(&[
        ("MERGE_HEAD", &heads),
        ("MERGE_MODE", "no-ff"),
        ("MERGE_MSG", "both\n\n# x\n"),
        ("REBASE_HEAD", "an old one"),
    ]) else {
        panic!()
    };
    assert_eq!((merge.heads.len(), merge.no_ff), (2, true));
    assert_eq!(read(&files(&[("MERGE_MSG", "left\n")]), SHA1), Ok(None));
    let last = UnderWay::Merge(merge).write().pop().unwrap();
    assert_eq!(last, ("MERGE_HEAD".to_owned(), heads.clone().into_bytes()));
    for other in [
        ("MERGE_HEAD", "x\n"),
        ("MERGE_HEAD", ""),
        ("MERGE_MODE", "exec"),
        ("MERGE_MSG", "a\x1b[2Jb"),
        ("MERGE_AUTOSTASH", "../x"),
        ("CHERRY_PICK_HEAD", A),
        ("sequencer/todo", ""),
        ("rebase-merge/onto", A),
        ("rebase-apply/next", "1"),
        ("BISECT_LOG", ""),
    ] {
        let mut all = files(&[("MERGE_HEAD", &heads)]);
        all.insert(other.0.into(), other.1.into());
        assert!(read(&all, SHA1).is_err(), "{other:?}");
    }
}

#[test]
fn picks_and_reverts() {
    again(&[("CHERRY_PICK_HEAD", A), ("MERGE_MSG", "x\n")]);
    again(&[("REVERT_HEAD", A), ("MERGE_MSG", "x\n")]);
    let todo = format!("pick {A} one\npick 9bc81f5 two\n");
    let all = |extra: &[(&str, &str)]| {
        let mut all = vec![
            ("CHERRY_PICK_HEAD", A),
            ("sequencer/head", B),
            ("sequencer/abort-safety", B),
            ("sequencer/todo", todo.as_str()),
        ];
        all.retain(|(name, _)| extra.iter().all(|(other, _)| other != name));
        all.extend(extra.iter().filter(|(_, text)| *text != "-"));
        all.into_iter()
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .collect::<Files>()
    };
    let mut found = read(&all(&[]), SHA1).unwrap().unwrap();
    let short: Vec<&mut Named> = found.shortened().collect();
    assert_eq!(short, [&Named::Short("9bc81f5".into())]);
    for named in short {
        *named = Named::Whole(ObjectId::parse(B.as_bytes(), SHA1).unwrap());
    }
    assert_eq!(found.commits().len(), 5);
    let options = "[options]\n\trecord-origin = true\n\tallow-ff = true\n";
    assert!(read(&all(&[("sequencer/opts", options)]), SHA1).is_ok());
    // All of it but the first was committed by hand.
    assert!(read(&all(&[("CHERRY_PICK_HEAD", "-")]), SHA1).is_ok());
    for extra in [
        ("sequencer/opts", "[options]\n\tstrategy = evil\n"),
        ("sequencer/opts", "[options]\n\tgpg-sign = x\n"),
        ("sequencer/opts", "[options]\n\tstrategy-option = x\n"),
        ("sequencer/opts", "[options]\n\tedit = maybe\n"),
        ("sequencer/opts", "[core]\n\tfsmonitor = x\n"),
        ("sequencer/todo", "exec touch x\n"),
        ("sequencer/todo", "x touch x\n"),
        ("sequencer/todo", "revert 9bc81f5 x\nexec touch x\n"),
        ("sequencer/todo", "pick zzzz\n"),
        ("sequencer/todo", "pick HEAD@{1}\n"),
        ("sequencer/todo", "pick --help\n"),
        ("sequencer/todo", "drop 9bc81f5\n"),
        ("sequencer/head", "-"),
        ("sequencer/other", ""),
        ("REVERT_HEAD", A),
    ] {
        assert!(read(&all(&[extra]), SHA1).is_err(), "{extra:?}");
    }
}

#[test]
fn a_rebase() {
    let Some(UnderWay::Rebase(found)) = read(&rebase(("rebase-merge/quiet", "")), SHA1).unwrap() else {
        panic!()
    };
    assert_eq!((found.done.len(), found.todo.len()), (1, 1));
    let author = found.author.clone().unwrap();
    assert_eq!(author.name, "A O'B!");
    let written: Files = found.write().into_iter().collect();
    assert_eq!(read(&written, SHA1).unwrap(), Some(UnderWay::Rebase(found)));
    assert_eq!(written["rebase-merge/end"], b"2\n");
    for other in [
        ("rebase-merge/git-rebase-todo", "exec touch x\n"),
        ("rebase-merge/git-rebase-todo", "x touch x\n"),
        ("rebase-merge/git-rebase-todo", "label onto\n"),
        ("rebase-merge/git-rebase-todo", "reset onto\n"),
        ("rebase-merge/git-rebase-todo", "merge -C abcd x\n"),
        ("rebase-merge/git-rebase-todo", "update-ref refs/heads/main\n"),
        ("rebase-merge/git-rebase-todo", "pick 9bc81f5 short\n"),
        ("rebase-merge/done", "exec touch x\n"),
        ("rebase-merge/strategy", "evil\n"),
        ("rebase-merge/strategy_opts", "--x\n"),
        ("rebase-merge/gpg_sign_opt", "-Sx\n"),
        ("rebase-merge/update-refs", "refs/heads/main\n"),
        ("rebase-merge/squash-onto", A),
        ("rebase-merge/head-name", "refs/tags/x\n"),
        ("rebase-merge/head-name", "refs/heads/../../x\n"),
        ("rebase-merge/onto", "main\n"),
        ("rebase-merge/amend", "x\n"),
        ("rebase-merge/author-script", "touch x\n"),
        (
            "rebase-merge/author-script",
            "GIT_AUTHOR_NAME='a'$(x)\nGIT_AUTHOR_EMAIL='b'\nGIT_AUTHOR_DATE='@1 +0000'\n",
        ),
        (
            "rebase-merge/author-script",
            "GIT_AUTHOR_NAME='a'\nGIT_AUTHOR_EMAIL='b'\nGIT_AUTHOR_DATE='@1 +0000'\nX=1\n",
        ),
        ("sequencer/todo", ""),
        ("MERGE_HEAD", A),
    ] {
        assert!(read(&rebase(other), SHA1).is_err(), "{other:?}");
    }
    assert!(is_refused(&[("rebase-merge/onto", A)]));
}
