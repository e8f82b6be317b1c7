//! What an agent keeps in the home: `--agent claude` with a command of our own in its place.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::shell::Shell;
use super::support::{Ran, World};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

fn claude(world: &World, flags: &[&str], script: &str) -> Ran {
    let mut command = world.aca(&["run", "--agent", "claude"]);
    command.args(flags).args(["--", "sh", "-c", script]);
    Ran::from_output(&command.output().unwrap())
}

fn session(world: &World) -> Shell {
    Shell::from_command(&mut world.aca(&["run", "--agent", "claude", "--", "sh"]))
}

fn host(world: &World) -> Value {
    serde_json::from_slice(&fs::read(world.home.join(".claude.json")).unwrap()).unwrap()
}

#[test]
fn state_is_kept_and_replaced_by_rename() {
    let world = World::new();
    world.file(
        "../.claude.json",
        json!({"numStartups": 1, "theme": "dark"}).to_string(),
    );
    let before = fs::metadata(world.home.join(".claude.json")).unwrap();
    let ran = claude(
        &world,
        &[],
        "cat ~/.claude.json && echo '{\"numStartups\": 2, \"theme\": \"dark\", \"tipsHistory\": {\"a\": 1}}' > ~/.claude.json.tmp && \
         mv ~/.claude.json.tmp ~/.claude.json && cat ~/.claude.json >/dev/null",
    );
    assert!(ran.ok().contains("numStartups"), "{ran:?}");
    assert_eq!(
        host(&world),
        json!({"numStartups": 2, "theme": "dark", "tipsHistory": {"a": 1}})
    );
    let after = fs::metadata(world.home.join(".claude.json")).unwrap();
    assert_ne!(before.ino(), after.ino());
    assert_eq!(after.mode() & 0o777, 0o600);
    // The next run goes on with it.
    assert!(
        claude(&world, &[], "cat ~/.claude.json")
            .ok()
            .contains("tipsHistory")
    );
    // Nothing else is left there.
    let mut names: Vec<_> = fs::read_dir(&world.home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".claude"))
        .collect();
    names.sort();
    assert_eq!(names, [".claude", ".claude.json"]);
}

#[test]
fn settings_that_are_executed_stay_the_hosts() {
    let world = World::new();
    let start = json!({"mcpServers": {"own": {"command": "own"}}, "projects": {"/p": {"allowedTools": [], "lastCost": 1}}});
    world.file("../.claude.json", start.to_string());
    world.file("../.claude/settings.json", "{}");
    let evil = json!({
        "mcpServers": {"own": {"command": "evil"}, "evil": {"command": "evil"}}, "apiKeyHelper": "evil", "hooks": {"x": "evil"},
        "projects": {"/p": {"allowedTools": ["Bash"], "lastCost": 2, "hasTrustDialogAccepted": true, "mcpServers": {"e": {"command": "evil"}}}},
    });
    claude(
        &world,
        &[],
        &format!(
            "echo '{evil}' > ~/.claude.json; echo evil > ~/.claude/settings.json; echo evil > ~/.claude/settings.local.json; \
             mkdir -p ~/.claude/hooks ~/.claude/commands; echo evil > ~/.claude/hooks/x; echo evil > ~/.claude/commands/y.md; true"
        ),
    )
    .ok();
    let now = host(&world);
    assert_eq!(
        now["projects"]["/p"],
        json!({"allowedTools": [], "lastCost": 2}),
        "{now}"
    );
    assert!(!now.to_string().contains("evil"), "{now}");
    assert_eq!(
        fs::read_to_string(world.home.join(".claude/settings.json")).unwrap(),
        "{}"
    );
    for path in ["settings.local.json", "hooks", "commands"] {
        assert!(!world.home.join(".claude").join(path).exists(), "{path}");
    }
}

#[test]
fn what_is_no_state_is_not_carried_back() {
    let world = World::new();
    let start = json!({"theme": "dark"}).to_string();
    world.file("../.claude.json", &start);
    world.file("../secret", "{\"token\": \"geheim\"}");
    for (script, reason) in [
        ("ln -sf ../secret ~/.claude.json", "regular"),
        ("rm ~/.claude.json; mkfifo ~/.claude.json", "regular"),
        ("rm ~/.claude.json; mkdir ~/.claude.json", "regular"),
        ("echo broken > ~/.claude.json", "JSON"),
        ("echo '[1]' > ~/.claude.json", "JSON"),
        ("python3 -c 'print(\"[\" * 100000)' > ~/.claude.json", "JSON"),
        ("truncate -s 100M ~/.claude.json", "larger"),
    ] {
        let ran = claude(&world, &[], script);
        assert_eq!(
            fs::read_to_string(world.home.join(".claude.json")).unwrap(),
            start,
            "{script}"
        );
        assert!(ran.err.contains("1 state file not kept"), "{script}: {ran:?}");
        let told = world.events_of("state_not_kept");
        assert!(
            told[0]["reason"].as_str().unwrap().contains(reason),
            "{script}: {told:?}"
        );
    }
    // That it is gone inside doesn't remove it outside.
    assert_eq!(claude(&world, &[], "rm ~/.claude.json").err, "");
    assert_eq!(
        fs::read_to_string(world.home.join(".claude.json")).unwrap(),
        start
    );
}

#[test]
fn two_runs_at_once_keep_what_each_did() {
    let world = World::new();
    world.file(
        "../.claude.json",
        json!({"projects": {}, "numStartups": 1}).to_string(),
    );
    let mut first = session(&world);
    let mut second = session(&world);
    first
        .ask("echo '{\"projects\": {\"/a\": {\"lastCost\": 1}}, \"numStartups\": 2}' > ~/.claude.json")
        .ok();
    second
        .ask("echo '{\"projects\": {\"/b\": {\"lastCost\": 2}}, \"numStartups\": 2}' > ~/.claude.json")
        .ok();
    first.end().ok();
    second.end().ok();
    assert_eq!(
        host(&world),
        json!({"projects": {"/a": {"lastCost": 1}, "/b": {"lastCost": 2}}, "numStartups": 2})
    );
}

#[test]
fn many_runs_that_end_at_once_lose_nothing() {
    let world = World::new();
    world.file("../.claude.json", json!({"projects": {}}).to_string());
    let mut sessions: Vec<Shell> = (0..6).map(|_| session(&world)).collect();
    for (number, session) in sessions.iter_mut().enumerate() {
        session
            .ask(&format!(
                "echo '{{\"projects\": {{\"/{number}\": {{\"lastCost\": {number}}}}}}}' > ~/.claude.json"
            ))
            .ok();
        session
            .ask(&format!("echo '{{\"n\": {number}}}' >> ~/.claude/history.jsonl"))
            .ok();
    }
    let threads: Vec<_> = sessions
        .into_iter()
        .map(|session| std::thread::spawn(|| session.end()))
        .collect();
    for thread in threads {
        thread.join().unwrap().ok();
    }
    assert_eq!(
        host(&world)["projects"].as_object().unwrap().len(),
        6,
        "{}",
        host(&world)
    );
    assert_eq!(
        fs::read_to_string(world.home.join(".claude/history.jsonl"))
            .unwrap()
            .lines()
            .count(),
        6
    );
}

#[test]
fn the_shared_part_is_shared_and_the_rest_is_private() {
    let world = World::new();
    world.file("../.claude/projects/p/old.jsonl", "old");
    world.file("../.claude/ide/lock", "geheim");
    world.file("../.claude/skills/s/SKILL.md", "skill");
    let ran = claude(
        &world,
        &[],
        "cat ~/.claude/projects/p/old.jsonl ~/.claude/skills/s/SKILL.md; echo new > ~/.claude/projects/p/new.jsonl; \
         echo x > ~/.claude/skills/s/SKILL.md; cat ~/.claude/ide/lock; mkdir -p ~/.claude/shell-snapshots; echo x > ~/.claude/shell-snapshots/s.sh",
    );
    assert_eq!(ran.out, "oldskill", "{ran:?}");
    assert_eq!(
        fs::read_to_string(world.home.join(".claude/projects/p/new.jsonl")).unwrap(),
        "new\n"
    );
    assert_eq!(
        fs::read_to_string(world.home.join(".claude/skills/s/SKILL.md")).unwrap(),
        "skill"
    );
    assert!(!world.home.join(".claude/shell-snapshots").exists());
}

#[test]
fn state_that_is_a_link_of_the_users_stays_one() {
    let world = World::new();
    let real = world.file("../dotfiles/claude.json", json!({"theme": "dark"}).to_string());
    symlink("dotfiles/claude.json", world.home.join(".claude.json")).unwrap();
    claude(&world, &[], "echo '{\"theme\": \"light\"}' > ~/.claude.json").ok();
    assert!(world.home.join(".claude.json").is_symlink());
    assert_eq!(
        serde_json::from_slice::<Value>(&fs::read(real).unwrap()).unwrap(),
        json!({"theme": "light"})
    );
}

#[test]
fn state_of_a_home_that_is_shown_works_too() {
    let world = World::new();
    world.file("../.claude.json", json!({"numStartups": 1}).to_string());
    world.file("../.claude/.credentials.json", "{\"t\": 1}");
    world.file("../.claude/ide/lock", "geheim");
    world.file("../notes", "offen");
    let ran = claude(
        &world,
        &["--home", "host"],
        "cat ~/notes ~/.claude/.credentials.json && echo '{\"numStartups\": 2}' > ~/.claude.json && echo x > ~/.claude/projects/x && \
         ! cat ~/.claude/ide/lock",
    );
    assert_eq!(ran.ok(), "offen{\"t\": 1}", "{ran:?}");
    assert_eq!(host(&world), json!({"numStartups": 2}));
}
