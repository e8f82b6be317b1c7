//! Paths of every kind: each row must agree.

use super::super::support::{World, has, skip};
use super::{PROBE, agree, allowed, below, hex, judged, results, tried, why};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A project, a home and directories outside with something of every kind.
fn furnished() -> World {
    let world = World::with_repository();
    for path in [
        "src/main.rs",
        ".env",
        "sub/.env",
        ".env.example",
        "node_modules/x/.env",
        "hidden.txt",
        "hollow/shown/x",
        "hollow/secret",
        "ro/x",
        "db.sqlite",
        "a/db.sqlite",
        "docs/a.md",
        "docs/b.txt",
        ".bashrc",
        ".vscode/tasks.json",
        "closed/x",
    ] {
        world.file(path, "API_TOKEN=abcdefghijklmnop\n");
    }
    world.file(OsStr::from_bytes(b"odd\xff"), "x");
    for path in [
        ".ssh/id_ed25519",
        ".bashrc",
        ".netrc",
        ".cargo/bin/tool",
        ".config/aca/config.toml",
        "notes/x",
        ".npm/index",
    ] {
        world.file(world.home.join(path), "\n");
    }
    for path in ["granted/file", "granted/.env", "shown/file", "other/file"] {
        world.file(world.outside.join(path), "API_TOKEN=abcdefghijklmnop\n");
    }
    for (at, target) in [
        ("to-file", "README".into()),
        ("to-secret", ".env".into()),
        ("to-home", world.home.join(".ssh/id_ed25519")),
        ("to-outside", world.outside.join("other/file")),
        ("to-shown", world.outside.join("shown/file")),
        ("to-system", "/etc/passwd".into()),
        ("to-directory", "src".into()),
        ("dangling", "nothing".into()),
        ("round", "round".into()),
    ] {
        let at = world.project.join(at);
        symlink::<PathBuf, _>(target, &at).unwrap();
        world.give(&at);
    }
    // Files that only root may write, or read.
    if rustix::process::getuid().is_root() {
        for (path, mode) in [("of-root", 0o644), ("of-root-alone", 0o600)] {
            let path = world.project.join(path);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    fs::set_permissions(world.project.join("closed/x"), fs::Permissions::from_mode(0o000)).unwrap();
    world
}

const PROJECT: &[&str] = &[
    ".",
    "README",
    "src",
    "src/main.rs",
    "src/new.rs",
    "new/er/file",
    ".env.example",
    "node_modules/x/.env",
    ".env",
    "sub/.env",
    "hidden.txt",
    "hollow",
    "hollow/shown",
    "hollow/shown/x",
    "hollow/secret",
    "hollow/new",
    "ro",
    "ro/x",
    "ro/new",
    "db.sqlite",
    "a",
    "a/db.sqlite",
    "docs",
    "docs/a.md",
    "docs/b.txt",
    ".bashrc",
    ".vscode",
    ".vscode/tasks.json",
    ".vscode/new",
    "closed/x",
    "of-root",
    "of-root-alone",
    ".git",
    ".git/config",
    ".git/hooks",
    ".git/hooks/pre-commit",
    ".git/HEAD",
    ".git/index",
    ".git/refs",
    ".git/refs/heads",
    ".git/objects",
    ".git/info/exclude",
    "to-file",
    "to-secret",
    "to-home",
    "to-outside",
    "to-shown",
    "to-system",
    "to-directory",
    "to-directory/main.rs",
    "to-directory/../README",
    "round",
];
const HOME: &[&str] = &[
    "",
    ".ssh",
    ".ssh/id_ed25519",
    ".bashrc",
    ".netrc",
    ".cargo",
    ".cargo/bin",
    ".cargo/bin/tool",
    ".cargo/bin/new",
    ".cargo/registry",
    ".npm",
    ".npm/index",
    ".npm/new",
    ".cache",
    ".config",
    ".config/aca",
    ".config/aca/config.toml",
    ".local/state/aca",
    ".local/share/aca",
    "notes",
    "notes/x",
    "new",
    "project",
];
const SYSTEM: &[&str] = &[
    "/",
    "/etc",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/new",
    "/etc/ssl/private",
    "/usr",
    "/usr/bin",
    "/usr/bin/env",
    "/bin/sh",
    "/lib",
    "/var",
    "/var/log",
    "/var/tmp",
    "/var/tmp/new",
    "/var/run",
    "/run",
    "/run/new",
    "/root",
    "/root/.bashrc",
    "/home",
    "/mnt",
    "/nonexistent",
    "/nonexistent/x",
    "/tmp",
    "/tmp/new",
    "/proc",
    "/proc/version",
    "/proc/self",
    "/proc/self/status",
    "/proc/self/comm",
    "/proc/self/fd",
    "/proc/self/new",
    "/proc/sys",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger",
    "/proc/kcore",
    "/proc/none",
    "/sys",
    "/sys/kernel",
    "/dev",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/kmsg",
    "/dev/new",
    "/dev/shm",
    "/dev/shm/new",
    "/dev/pts",
    "/dev/ptmx",
    "/dev/fd",
];

fn flags(world: &World) -> Vec<String> {
    let outside = |name: &str| world.outside.join(name).display().to_string();
    [
        ["--hide", "hidden.txt"].map(String::from),
        ["--hide", "hollow"].map(String::from),
        ["--read", "hollow/shown"].map(String::from),
        ["--read", "ro"].map(String::from),
        ["--hide", "**/*.sqlite"].map(String::from),
        ["--read", "docs/*.md"].map(String::from),
        ["--write".into(), outside("granted")],
        ["--read".into(), outside("shown")],
    ]
    .concat()
}

#[test]
fn every_row_is_true() {
    if !has("python3") {
        return;
    }
    let world = furnished();
    let flags = flags(&world);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut paths = below(&world.project, PROJECT);
    paths.push(world.project.join(OsStr::from_bytes(b"odd\xff")));
    paths.push(world.project.join(OsStr::from_bytes(b"new\xff")));
    paths.extend(below(&world.home, HOME));
    paths.extend(below(
        &world.outside,
        &[
            "",
            "granted",
            "granted/file",
            "granted/new",
            "granted/.env",
            "shown",
            "shown/file",
            "shown/new",
            "other",
            "other/file",
            "new",
        ],
    ));
    paths.push(world.root().to_owned());
    paths.extend(SYSTEM.iter().map(PathBuf::from));
    paths.push(format!("/proc/{}/status", std::process::id()).into());
    let answers = agree(&world, &flags, &paths);
    assert!(answers.len() > 130);
    let of = |path: PathBuf| &answers[paths.iter().position(|own| *own == path).unwrap()];
    // And says which place it is.
    for (path, place) in [
        (world.project.join("README"), "the project"),
        (world.project.join(".env"), "a secret"),
        (
            world.project.join(".git/config"),
            "the run's own git directory: branches, index and stash come back to yours, each looked at first",
        ),
        (
            world.project.join(".vscode/tasks.json"),
            "run or trusted by the host later",
        ),
        (world.project.join("a/db.sqlite"), "found by a pattern"),
        (world.project.join("hidden.txt"), "named by a rule"),
        (world.home.join(".npm"), "a cache of aca's own, not the host's"),
        (world.home.join(".cargo/bin/tool"), "a tool chain, read-only"),
        (
            world.home.join("new"),
            "private to the run: empty at its start, gone at its end",
        ),
        ("/usr/bin/env".into(), "the system, read-only"),
    ] {
        assert_eq!(of(path.clone())["path"]["place"], place, "{path:?}");
    }
    // What the host has at a private place is not what is found there, and a rule can show it.
    for path in [
        world.home.join(".ssh/id_ed25519"),
        world.outside.join("other/file"),
    ] {
        let read = judged(of(path.clone()), "read");
        assert_eq!(read["allowed"], false, "{read}");
        assert!(
            read["reason"].as_str().unwrap().contains("not there inside"),
            "{read}"
        );
        assert_eq!(read["allow_with"], format!("--read {}", path.display()), "{read}");
    }
    // Every denial has a reason, and a place that it rests on.
    for judged in answers
        .iter()
        .flat_map(|answer| answer["judged"].as_array().unwrap())
    {
        for key in ["reason", "origin"] {
            assert_ne!(judged[key], "", "{judged}");
        }
    }
    let followed = advice_holds(&world, &flags, &paths, &answers);
    assert!(followed > 20, "{followed}");
}

/// With the flag that is advised the same can really be done; tells how often.
fn advice_holds(world: &World, flags: &[&str], paths: &[PathBuf], answers: &[Value]) -> usize {
    let mut followed = 0;
    for (path, answer) in paths.iter().zip(answers) {
        for action in ["read", "write"] {
            let Some(advice) = judged(answer, action)["allow_with"].as_str() else {
                continue;
            };
            let with: Vec<&str> = flags.iter().copied().chain(advice.split(' ')).collect();
            let told = tried(world, &with, std::slice::from_ref(path));
            let (read, write) = told[0];
            assert!(
                if action == "read" { read } else { write },
                "{path:?} {action}: {advice}"
            );
            followed += 1;
        }
    }
    followed
}

/// Rules in all their ways, and the advice of each third row.
#[track_caller]
fn with_rules(base: &dyn Fn(&World) -> PathBuf, names: &[&str], sets: &[&[&str]]) {
    if !has("python3") {
        return;
    }
    let world = furnished();
    for path in [
        ".ssh/config",
        ".aws/credentials",
        ".claude.json",
        ".claude/settings.json",
    ] {
        world.file(world.home.join(path), "{}");
    }
    let paths = below(&base(&world), names);
    for flags in sets {
        let answers = agree(&world, flags, &paths);
        let third = |values: &[PathBuf]| values.iter().step_by(3).cloned().collect::<Vec<_>>();
        let told: Vec<Value> = answers.iter().step_by(3).cloned().collect();
        advice_holds(&world, flags, &third(&paths), &told);
    }
}

#[test]
fn rules_on_the_home() {
    let sets: &[&[&str]] = &[
        &["--home", "host"],
        &["--read", "~", "--write", "~/notes"],
        &["--write", "~/.ssh", "--hide", "~/.cargo", "--read", "~/.npm"],
        &["--read", "~/.config/aca", "--write", "~/.config"],
    ];
    with_rules(&|world| world.home.clone(), HOME, sets);
}

#[test]
fn rules_on_the_project() {
    let sets: &[&[&str]] = &[
        &["--read", "."],
        &["--write", ".vscode", "--write", ".git/config", "--hide", "src"],
        &["--hide", ".git", "--read", ".env", "--write", "sub/.env"],
        &["--hide", ".", "--read", "src", "--write", "docs/b.txt"],
    ];
    with_rules(&|world| world.project.clone(), PROJECT, sets);
}

#[test]
fn rules_on_the_system() {
    let sets: &[&[&str]] = &[
        &["--grant", "nested-userns"],
        &[
            "--read",
            "/root",
            "--hide",
            "/usr/share",
            "--write",
            "/var/tmp",
            "--read",
            "/etc/passwd",
        ],
    ];
    with_rules(&|_| PathBuf::from("/"), SYSTEM, sets);
}

#[test]
fn state_of_an_agent() {
    let names = &[
        ".claude",
        ".claude/x",
        ".claude/settings.json",
        ".claude.json",
        ".ssh/config",
        ".aws",
        ".aws/credentials",
        ".aws/new",
    ];
    let sets: &[&[&str]] = &[&["--agent", "claude"], &["--agent", "claude", "--home", "host"]];
    with_rules(&|world| world.home.clone(), names, sets);
}

/// One file of a masked directory can be shown by its name, and nothing else of it is.
#[test]
fn a_part_of_a_masked_directory() {
    let world = World::with_repository();
    for path in ["vault/a.md", "vault/b.md", "vault/sub/c.md"] {
        world.file(path, "content");
    }
    let vault = world.project.join("vault");
    let ran = world.run(&["--hide", "**/vault"], "cat vault/*; ls -A vault");
    assert_eq!(ran.out, "", "{ran:?}");
    let flags = [
        "--hide",
        "**/vault",
        "--read",
        "vault/a.md",
        "--read",
        "vault/**/*.md",
    ];
    let ran = world.run(
        &flags,
        "ls -AR vault; cat vault/a.md; echo x > vault/a.md; echo x > vault/new; mkdir vault/sub",
    );
    assert_eq!(ran.out, "vault:\na.md\ncontent", "{ran:?}");
    assert_eq!(fs::read(vault.join("a.md")).unwrap(), b"content");
    if has("python3") {
        let paths = below(&vault, &["", "a.md", "b.md", "sub", "sub/c.md", "new"]);
        agree(&world, &flags, &paths);
    }
}

/// Where root runs aca nobody inside has root's powers, and what others may not read is covered.
#[test]
fn every_row_is_true_for_root() {
    if !rustix::process::getuid().is_root() {
        return skip("root", "the tests run as an ordinary user");
    }
    if !has("python3") {
        return;
    }
    let world = World::new();
    let _ = world.run_as_root(&[], "true").unwrap().ok();
    let (home, project) = (
        world.root().join("root-home"),
        world.root().join("root-home/project"),
    );
    for (name, mode) in [
        ("own", 0o600),
        ("own-closed", 0o200),
        (".env", 0o600),
        ("of-another", 0o600),
        ("read-only", 0o444),
    ] {
        fs::write(project.join(name), "API_TOKEN=abcdefghijklmnop").unwrap();
        fs::set_permissions(project.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    world.give(&project.join("of-another"));
    let mut paths = below(
        &project,
        &["", "own", "own-closed", ".env", "of-another", "read-only", "new"],
    );
    paths.extend(SYSTEM.iter().map(PathBuf::from));
    // Files of `/proc` for root alone.
    let for_root = |entry: &fs::DirEntry| {
        entry
            .metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o400)
    };
    paths.extend(
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(for_root)
            .map(|entry| entry.path()),
    );
    fs::write(
        project.join("asked"),
        paths.iter().map(|path| hex(path)).collect::<String>(),
    )
    .unwrap();
    let ran = world
        .run_as_root(&[], &format!("exec python3 -c '{PROBE}' < asked"))
        .unwrap();
    let told = results(&ran);
    assert_eq!(told.len(), paths.len(), "{ran:?}");
    let mut wrong = String::new();
    for (path, really) in paths.iter().zip(told) {
        let output = std::process::Command::new(&world.aca)
            .args(["why", "--json"])
            .arg(path)
            .current_dir(&project)
            .env_clear()
            .env("HOME", &home)
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let there = answer["path"]["exists"].as_bool().unwrap();
        let said = (there && allowed(&answer, "read"), allowed(&answer, "write"));
        if said != really {
            wrong.push_str(&format!("{path:?}: told {said:?}, is {really:?}\n"));
        }
    }
    assert_eq!(wrong, "");
}

/// Its common git directory lies outside of the project, and its git directory in there.
#[test]
fn a_linked_work_tree() {
    if !has("python3") {
        return;
    }
    let mut world = World::with_repository();
    let main = world.project.clone();
    let linked = world.home.join("linked");
    world.git(&main, &["worktree", "add", "-q", linked.to_str().unwrap()]);
    world.project = linked.clone();
    let mut paths = below(&linked, &["", "README", ".git", "new"]);
    paths.extend(below(
        &main.join(".git"),
        &[
            "",
            "config",
            "hooks",
            "hooks/new",
            "HEAD",
            "refs/heads",
            "objects",
            "new",
            "worktrees/linked",
            "worktrees/linked/HEAD",
            "worktrees/linked/gitdir",
            "worktrees/linked/commondir",
        ],
    ));
    paths.push(main.join("README"));
    agree(&world, &[], &paths);
    let answer = why(&world, &[], main.join(".git/config.worktree"));
    // It is the run's own, whose configuration the host's git doesn't read.
    assert_eq!(
        answer["path"]["if_it_appears"],
        serde_json::Value::Null,
        "{answer:#}"
    );
    let answer = why(
        &world,
        &["--git-mode", "direct"],
        main.join(".git/config.worktree"),
    );
    assert_eq!(answer["path"]["if_it_appears"], "protected", "{answer:#}");
}
