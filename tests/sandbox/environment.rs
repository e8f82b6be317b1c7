//! What of the caller's environment goes inside.
#![expect(
    clippy::disallowed_methods,
    reason = "a file that can't be seen counts as missing here"
)]

use crate::support::{Ran, World};
use std::collections::BTreeMap;

/// Variables that hold rights, load code, or lead to the user's daemons.
const KEPT_OUT: [(&str, &str); 30] = [
    ("LD_PRELOAD", "/nonexistent.so"),
    ("LD_LIBRARY_PATH", "/nonexistent"),
    ("LD_AUDIT", "/nonexistent.so"),
    ("GLIBC_TUNABLES", "x"),
    ("GH_TOKEN", "secret"),
    ("GITHUB_TOKEN", "secret"),
    ("NPM_TOKEN", "secret"),
    ("CARGO_REGISTRY_TOKEN", "secret"),
    ("CARGO_NET_GIT_TOKEN", "secret"),
    ("LC_TOKEN", "secret"),
    ("AWS_ACCESS_KEY_ID", "secret"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_SESSION_TOKEN", "secret"),
    ("OPENAI_API_KEY", "secret"),
    ("ANTHROPIC_API_KEY", "secret"),
    ("DATABASE_URL", "postgres://u:secret@h/d"),
    ("PGPASSWORD", "secret"),
    ("SSH_AUTH_SOCK", "/run/agent"),
    ("SSH_AGENT_PID", "1"),
    ("GPG_AGENT_INFO", "/run/gpg"),
    ("GPG_TTY", "/dev/pts/0"),
    ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/bus"),
    ("DOCKER_HOST", "unix:///run/docker.sock"),
    ("WAYLAND_DISPLAY", "wayland-0"),
    ("DISPLAY", ":0"),
    ("TMUX", "/tmp/tmux-1/default,1,0"),
    ("HTTPS_PROXY", "http://u:secret@proxy"),
    ("GIT_SSH_COMMAND", "ssh -i key"),
    ("BASH_ENV", "/nonexistent"),
    ("NODE_OPTIONS", "--require x"),
];

fn inside(world: &World, flags: &[&str], outside: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut command = world.aca(&["run"]);
    command
        .args(flags)
        .args(["--", "env", "-0"])
        .envs(outside.iter().copied());
    let ran = Ran::from_output(&command.output().unwrap());
    ran.ok()
        .split_terminator('\0')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

#[test]
fn only_what_is_listed_goes_inside() {
    let world = World::new();
    let found = inside(&world, &[], &KEPT_OUT);
    for (name, _) in KEPT_OUT {
        assert!(!found.contains_key(name), "{name}: {found:?}");
    }
    assert!(!found.values().any(|value| value.contains("secret")), "{found:?}");
    // What is there without any of the caller's doing.
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    insta::assert_json_snapshot!(names);
}

#[test]
fn what_is_listed_goes_inside_unchanged() {
    let world = World::new();
    let outside = [
        ("LC_ALL", "C.UTF-8"),
        ("TERM", "screen-256color"),
        ("EDITOR", "vi -e"),
        ("CI", ""),
        ("RUST_LOG", "a=b,c\n"),
    ];
    let found = inside(&world, &[], &outside);
    for (name, value) in outside {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(found["HOME"], world.home.to_str().unwrap());
    assert_eq!(found["PWD"], world.project.to_str().unwrap());
}

#[test]
fn the_plan_lists_what_is_dropped() {
    let world = World::new();
    let mut command = world.aca(&["plan", "true"]);
    command.envs(KEPT_OUT);
    let ran = Ran::from_output(&command.output().unwrap());
    let plan = ran.ok();
    for (name, _) in KEPT_OUT {
        assert!(plan.contains(&format!("\n  dropped  {name}\n")), "{name}: {plan}");
        assert!(
            !plan.contains(&format!("\n  kept     {name}\n")),
            "{name}: {plan}"
        );
    }
    assert!(plan.contains("\n  kept     LANG\n"), "{plan}");
    assert!(!plan.contains("secret"), "no value is printed: {plan}");
}

#[test]
fn env_keeps_or_sets_by_name() {
    let world = World::new();
    let outside = [
        ("GH_TOKEN", "mine"),
        ("APP_ONE", "1"),
        ("APP_TWO", "2"),
        ("APP_TOKEN", "3"),
        ("LANG", "C"),
    ];
    let found = inside(
        &world,
        &[
            "--env",
            "GH_TOKEN",
            "--env",
            "APP_*",
            "--env",
            "SET=a=b c",
            "--env",
            "EMPTY=",
            "--env",
            "LANG=C.UTF-8",
            "--env",
            "ABSENT",
        ],
        &outside,
    );
    let value = |name: &str| found.get(name).map(String::as_str);
    assert_eq!(value("GH_TOKEN"), Some("mine"), "named");
    assert_eq!((value("APP_ONE"), value("APP_TWO")), (Some("1"), Some("2")));
    assert_eq!(value("APP_TOKEN"), None, "a pattern takes no credential");
    assert_eq!(
        (value("SET"), value("EMPTY"), value("ABSENT")),
        (Some("a=b c"), Some(""), None)
    );
    assert_eq!(value("LANG"), Some("C.UTF-8"));
}

#[test]
fn the_loader_s_variables_are_refused() {
    let world = World::new();
    for entry in ["LD_PRELOAD=/x.so", "LD_PRELOAD", "LD_LIBRARY_PATH=/x", "LD_*"] {
        let ran = Ran::from_output(
            &world
                .aca(&["run", "--env", entry, "--", "touch", "marker"])
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(
            ran.err.contains("dynamic loader") && ran.err.contains("hint: "),
            "{ran:?}"
        );
    }
    assert!(!world.project.join("marker").exists());
    // A pattern that takes more than it names still doesn't take them.
    let found = inside(
        &world,
        &["--env", "L*"],
        &[("LD_PRELOAD", "/x.so"), ("LOCAL_THING", "1")],
    );
    assert_eq!(found.get("LD_PRELOAD"), None);
    assert_eq!(found["LOCAL_THING"], "1");
}

#[test]
fn nothing_of_the_environment_is_left_in_the_first_process() {
    let world = World::new();
    let mut command = world.aca(&[
        "run",
        "--",
        "sh",
        "-c",
        "cat /proc/1/environ /proc/1/cmdline /proc/*/environ | tr '\\0' '\\n'",
    ]);
    command.envs(KEPT_OUT);
    let ran = Ran::from_output(&command.output().unwrap());
    assert!(
        !ran.out.contains("secret") && ran.out.contains("HOME="),
        "{ran:?}"
    );
}
