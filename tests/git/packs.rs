//! Packs that git made are read as git reads them.

use aca::git::object_id::ObjectFormat;
use aca::git::objects::{self, Spend};
use aca::git::pack::{Limits, PackError, PackReader};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

const LIMITS: Limits = Limits {
    pack_bytes: 64 << 20,
    objects: 100_000,
    object_bytes: 16 << 20,
    inflated_bytes: 256 << 20,
};
const SPEND: Spend = Spend {
    total_bytes: 256 << 20,
    held_bytes: 64 << 20,
};

fn git(directory: &Path, words: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@a.test"])
        .args(words)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    output.stdout
}

/// A repository whose history makes long chains of deltas.
fn repository(directory: &Path, format: &str) {
    git(
        directory,
        &["init", "-q", "-b", "main", "--object-format", format],
    );
    let mut text: Vec<String> = (0..2000).map(|line| format!("line {line} of many")).collect();
    for round in 0..30 {
        text[round * 37] = format!("changed in {round}");
        std::fs::write(directory.join("large"), text.join("\n")).unwrap();
        std::fs::create_dir_all(directory.join(format!("d/{}", round % 7))).unwrap();
        std::fs::write(
            directory.join(format!("d/{}/small", round % 7)),
            round.to_string(),
        )
        .unwrap();
        git(directory, &["add", "-A"]);
        git(directory, &["commit", "-q", "-m", "one more"]);
    }
    git(directory, &["tag", "-a", "v1", "-m", "a tag"]);
}

/// What git packs of `revisions`.
fn pack(directory: &Path, options: &[&str], revisions: &str) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(["pack-objects", "--stdout", "--revs", "-q"])
        .args(options)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), revisions.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn names(pack: &[u8], format: ObjectFormat) -> Result<BTreeSet<String>, PackError> {
    let mut reader = PackReader::new(format, LIMITS);
    for part in pack.chunks(1000) {
        assert_eq!(reader.accept(part)?, part.len());
    }
    let entries = reader.finish()?;
    let mut names = BTreeSet::new();
    objects::each(pack, &entries, format, LIMITS, SPEND, &mut |object| {
        names.insert(format!(
            "{} {} {}",
            object.id,
            object.kind.word(),
            object.content.len()
        ));
    })?;
    Ok(names)
}

#[test]
fn objects_have_the_names_that_git_gives_them() {
    for (format, word) in [(ObjectFormat::Sha1, "sha1"), (ObjectFormat::Sha256, "sha256")] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        repository(directory, word);
        let check = "--batch-check=%(objectname) %(objecttype) %(objectsize)";
        let listed = git(directory, &["cat-file", "--batch-all-objects", check]);
        let listed = String::from_utf8(listed).unwrap();
        let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
        assert!(listed.len() > 100, "{}", listed.len());
        for options in [
            &["--all", "--depth=4095", "--window=100", "--delta-base-offset"][..],
            &["--all", "--depth=50"],
            &["--all", "--depth=0"],
        ] {
            let pack = pack(directory, options, "");
            assert_eq!(names(&pack, format).unwrap(), listed, "{word} {options:?}");
        }
    }
}

#[test]
fn p41_a_thin_pack_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    repository(directory.path(), "sha1");
    for (options, good) in [(&["--thin"][..], false), (&[], true)] {
        let pack = pack(directory.path(), options, "HEAD\n^HEAD~1\n");
        let read = names(&pack, ObjectFormat::Sha1);
        assert_eq!(read.is_ok(), good, "{read:?}");
        assert!(good || read == Err(PackError::Base));
    }
}
