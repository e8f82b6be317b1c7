//! What is said besides: of names that aren't there yet, commands and events, and by the exit status.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::super::support::{Ran, World};
use super::{allowed, why};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

#[test]
fn names_that_are_not_there_yet() {
    let world = World::with_repository();
    for (path, becomes) in [
        (".env", "masked"),
        ("sub/deep/.env", "masked"),
        ("x.sqlite", "masked"),
        (".bashrc", "protected"),
        (".git/hooks/pre-commit", "protected"),
        ("Makefile", "told"),
        ("node_modules/x/.env", "left-out"),
        ("main.rs", "free"),
    ] {
        let flags = ["--git-mode", "direct", "--open-names", "--hide", "**/*.sqlite"];
        let answer = why(&world, &flags, world.project.join(path));
        let expected = if path == ".git/hooks/pre-commit" && world.project.join(".git/hooks").exists() {
            // The directory is there, so the name can't even be made.
            assert!(!allowed(&answer, "write"), "{answer:#}");
            "protected"
        } else {
            assert!(allowed(&answer, "write"), "{answer:#}");
            becomes
        };
        assert_eq!(answer["path"]["if_it_appears"], expected, "{path}");
        assert_eq!(allowed(&answer, "read"), becomes != "masked", "{path}");
        // It appears, and is what was said.
        world.file(path, "API_TOKEN=abcdefghijklmnop\n");
        let ran = world.run(
            &flags,
            &format!(
                "cat {path} >/dev/null 2>&1 && echo -n r; (echo >> {path}) 2>/dev/null && echo -n w; true"
            ),
        );
        let can = match becomes {
            "masked" => "",
            "protected" => "r",
            _ => "rw",
        };
        assert_eq!(ran.ok(), can, "{path}");
        fs::remove_file(world.project.join(path)).unwrap();
    }
}

#[test]
fn the_exit_status_is_about_reading_or_writing() {
    let world = World::with_repository();
    let code = |words: &[&str]| {
        let output = world.aca(&["why"]).args(words).output().unwrap();
        Ran::from_output(&output).code
    };
    assert_eq!(code(&["./README"]), 0);
    assert_eq!(code(&[".git/config"]), 0);
    assert_eq!(
        code(&["--for", "write", "--git-mode", "direct", ".git/config"]),
        1
    );
    assert_eq!(code(&["--for", "write", ".git/config"]), 0, "the run's own");
    assert_eq!(code(&["--for", "write", "./README"]), 0);
    assert_eq!(code(&["/etc/new"]), 0);
    assert_eq!(code(&[]), 125);
    assert_eq!(code(&["a.test:0"]), 125);
    assert_eq!(code(&["a", "b"]), 125);
    assert_eq!(code(&["--for", "both", "a"]), 125);
    assert_eq!(code(&["--session", "last"]), 125);
}

#[test]
fn rules_on_commands() {
    let world = World::with_repository();
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[commands]\ndeny = [\"git push --force\", \"terraform destroy\"]\n",
    );
    let marker = world.project.join("ran");
    let ran = world
        .aca(&["run", "--", "git", "push", "--force", "origin"])
        .output()
        .unwrap();
    let ran = Ran::from_output(&ran);
    assert_eq!(ran.code, 125, "{ran:?}");
    for part in ["nothing was started", "git push --force", "config.toml:2:9"] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    // The program counts by its file name, before anything starts.
    let script = world.file("terraform", "#!/bin/sh\ntouch ran\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let denied = world
        .aca(&["run", "--", "./terraform", "destroy"])
        .output()
        .unwrap();
    assert_eq!(Ran::from_output(&denied).code, 125);
    assert!(!marker.exists());
    let other = world.aca(&["run", "--", "./terraform", "plan"]).output().unwrap();
    assert_eq!(Ran::from_output(&other).code, 0);
    assert!(marker.exists());
    let explain = |words: &[&str]| {
        let output = world.aca(&["why", "--json", "--"]).args(words).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), answer)
    };
    let (code, answer) = explain(&["git", "push", "--force"]);
    assert_eq!(
        (code, &answer["judged"][0]["rule"]),
        (1, &"git push --force".into())
    );
    assert!(
        answer["judged"][0]["origin"]
            .as_str()
            .unwrap()
            .ends_with("config.toml:2:9")
    );
    assert_eq!(answer["judged"][0]["remove_rule"], true);
    // A plan of what would not be started says so, too.
    let planned = world
        .aca(&["plan", "--", "git", "push", "--force"])
        .output()
        .unwrap();
    assert_eq!(Ran::from_output(&planned).code, 125);
    let (code, answer) = explain(&["git", "push", "origin", "--force"]);
    assert_eq!(
        (code, &answer["judged"][0]["nearest"]["rule"]),
        (0, &"git push --force".into())
    );
    assert!(answer["command"]["found"].as_str().unwrap().ends_with("/git"));
    assert!(answer["notes"].to_string().contains("bound by the sandbox"));
    let (code, answer) = explain(&["no-such-program"]);
    assert_eq!((code, &answer["command"]["found"]), (0, &Value::Null));
    assert_eq!(explain(&["claude"]).1["command"]["agent"], "claude");
}

#[test]
fn events_of_a_session() {
    let world = World::new();
    let ran = world.run(&["--net", "agent"], "getent hosts b.test; unshare -U true; true");
    let _ = ran.ok();
    let answer = |words: &[&str]| {
        let output = world
            .aca(&["why", "--json", "--session", "last"])
            .args(words)
            .output()
            .unwrap();
        let ran = Ran::from_output(&output);
        let answer: Value = serde_json::from_str(&ran.out).unwrap();
        (ran.code, answer)
    };
    let log = world.aca(&["log", "--denied"]).output().unwrap();
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    let number = |what: &str| {
        let line = log
            .lines()
            .find(|line| line.contains(what))
            .unwrap_or_else(|| unreachable!("{what}: {log}"));
        let words = line.split_whitespace();
        words
            .filter_map(|word| word.strip_prefix('#'))
            .next()
            .unwrap()
            .to_owned()
    };
    let (code, lookup) = answer(&[&number("b.test")]);
    assert_eq!(
        (code, &lookup["judged"][0]["allow_with"]),
        (1, &"--allow b.test".into())
    );
    assert_eq!(
        lookup["judged"][0]["allow_line"],
        "[network]\nallow = [\"b.test\"]"
    );
    let (_, call) = answer(&[&number("CLONE_NEWUSER")]);
    assert_eq!(call["judged"][0]["allow_with"], "--grant nested-userns");
    assert!(call["notes"].to_string().contains("unshare"), "{call:#}");
    // Without a number it is the newest denial.
    let (code, newest) = answer(&[]);
    assert_eq!((code, &newest["event"]), (1, &call["event"]));
    let (code, start) = answer(&["0"]);
    assert_eq!(
        (code, &start["event"]["event"]["type"]),
        (0, &"session_start".into())
    );
    let none = world
        .aca(&["why", "--session", "last", "100000"])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(125));
    let odd: OsString = OsString::from("x");
    assert_eq!(
        world
            .aca(&["why", "--session", "last"])
            .arg(odd)
            .output()
            .unwrap()
            .status
            .code(),
        Some(125)
    );
}

/// Names are chosen inside too: what moves the cursor or hides text is shown as what it is, and nothing is lost in JSON.
#[test]
fn odd_names() {
    let world = World::with_repository();
    let odd = OsStr::from_bytes(b"a\x1bc\xe2\x80\xaeb\xff c'");
    world.file(odd, "x");
    let output = world.aca(&["why"]).arg(world.project.join(odd)).output().unwrap();
    let ran = Ran::from_output(&output);
    assert!(!ran.ok().contains(['\u{1b}', '\u{202e}']), "{ran:?}");
    let hidden = world.project.join(odd);
    let mut command = world.aca(&["why", "--json", "--hide"]);
    let output = command.arg(&hidden).arg(&hidden).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!allowed(&answer, "read"), "{answer:#}");
    let resolved = answer["path"]["resolved"].as_str().unwrap();
    assert_eq!(aca::policy::path_text::read(resolved).unwrap(), hidden);
    // One flag doesn't win over the other on the same path, so none is advised.
    let read = super::judged(&answer, "read");
    assert_eq!(
        (&read["allow_with"], &read["remove_rule"]),
        (&Value::Null, &true.into())
    );
    let long = "x".repeat(5000) + "/y";
    for word in ["", "a b:80", "http://", &long] {
        let output = world.aca(&["why", word]).output().unwrap();
        let ran = Ran::from_output(&output);
        assert!(
            matches!(ran.code, 0 | 1 | 125) && !ran.err.contains("panicked"),
            "{word}: {ran:?}"
        );
    }
}
