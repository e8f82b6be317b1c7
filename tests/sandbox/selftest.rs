//! `aca selftest`: what it tries is refused, and it can fail.

use super::support::{Ran, World, has, skip};
use serde_json::Value;
use std::fs;

/// What an ordinary user is refused by some machines without any sandbox.
const MACHINES_OWN: [&str; 7] = [
    "process-memory",
    "privileges",
    "address",
    "keyring",
    "io-uring",
    "userfaultfd",
    "user-namespace",
];

fn selftest(world: &World, flags: &[&str]) -> (Ran, Value) {
    let mut words = vec!["selftest", "--json"];
    words.extend(flags);
    let ran = Ran::from_output(&world.aca(&words).output().unwrap());
    assert!(ran.out.starts_with('{'), "{ran:#?}");
    let report = serde_json::from_str(&ran.out).unwrap();
    (ran, report)
}

#[test]
fn every_attempt_is_refused_inside() {
    let world = World::new();
    let (ran, report) = selftest(&world, &[]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(report["passed"], true);
    let attempts = report["attempts"].as_array().unwrap();
    assert!(attempts.len() >= 20);
    for attempt in attempts {
        assert_eq!(attempt["verdict"], "ok", "{attempt}");
        assert!(attempt["inside"].is_string(), "{attempt}");
        let own = MACHINES_OWN.contains(&attempt["name"].as_str().unwrap());
        assert!(
            own || attempt["outside"].is_null(),
            "must succeed outside to show anything: {attempt}"
        );
    }
    for line in report["works"].as_array().unwrap() {
        assert_eq!(line["verdict"], "ok", "{line}");
    }
}

#[test]
fn without_a_sandbox_the_attempts_are_told_as_failed() {
    let world = World::new();
    let (ran, report) = selftest(&world, &["--without-sandbox"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_eq!(report["passed"], false);
    for attempt in report["attempts"].as_array().unwrap() {
        let failed = attempt["verdict"] == "failed";
        assert_eq!(failed, attempt["outside"].is_null(), "{attempt}");
        let own = MACHINES_OWN.contains(&attempt["name"].as_str().unwrap());
        assert!(failed || own, "{attempt}");
    }
}

#[test]
fn it_prints_a_line_each_and_leaves_nothing() {
    let world = World::new();
    let ran = Ran::from_output(&world.aca(&["selftest"]).output().unwrap());
    assert!(
        ran.ok().lines().all(|line| line.starts_with("ok      ")),
        "{ran:#?}"
    );
    assert!(
        ran.out
            .contains("ok      read a secret of the project (.env): refused: "),
        "{ran:#?}"
    );
    let ran = Ran::from_output(&world.aca(&["selftest", "--without-sandbox"]).output().unwrap());
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.out
            .contains("FAILED  read a secret of the project (.env): it succeeded\n"),
        "{ran:#?}"
    );
    let left: Vec<_> = fs::read_dir(&world.home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["project"], "the user's own home is not touched");
}

#[test]
fn where_no_run_starts_it_is_an_error_and_no_pass() {
    if !has("unshare") {
        return;
    }
    let world = World::new();
    let mut command = world.command("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c"])
        .arg("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$PROGRAM\" selftest")
        .env("PROGRAM", &world.aca);
    let ran = Ran::from_output(&command.output().unwrap());
    assert_eq!(ran.code, 125, "{ran:#?}");
    assert_eq!(ran.out, "");
    assert!(ran.err.contains("the attempts could not be made"), "{ran:#?}");
}

#[test]
fn every_attempt_of_root_is_refused_too() {
    if !rustix::process::getuid().is_root() {
        return skip("root", "the tests run as an ordinary user");
    }
    let world = World::new();
    let output = std::process::Command::new(&world.aca)
        .args(["selftest", "--json"])
        .current_dir(world.root())
        .output();
    let ran = Ran::from_output(&output.unwrap());
    let report: Value = serde_json::from_str(ran.ok()).unwrap();
    assert_eq!(report["passed"], true, "{report:#}");
}
