//! Claude Code's settings, imported and enforced.

use super::support::{Ran, World};
use std::fs;

fn import(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(
        &world
            .aca(&[&["import", "claude"], arguments].concat())
            .output()
            .unwrap(),
    )
}

#[test]
fn claude_code_s_denies_hold_for_every_program() {
    let world = World::new();
    world.file(
        "../.claude/settings.json",
        r#"{"permissions": {"deny": ["Read(notes.txt)", "Edit(/x/**)"], "allow": ["Read(~/shown/**)", "Edit(~/data/**)"]}}"#,
    );
    world.file(
        ".claude/settings.json",
        r#"{"permissions": {"deny": ["Edit(/migrations/**)", "Read(./private/**)"]}, "sandbox": {"filesystem": {"denyWrite": ["kept"]}}}"#,
    );
    for path in [
        "a/notes.txt",
        "private/x",
        "migrations/one",
        "kept/x",
        "../shown/x",
        "../data/x",
        "../other/x",
    ] {
        world.file(path, "alt");
    }
    let imported = import(&world, &["--project"]);
    let toml = world.outside.join("config.toml");
    fs::write(&toml, imported.ok()).unwrap();
    world.give(&toml);
    let ran = world.run(
        &["--config", toml.to_str().unwrap()],
        "for f in a/notes.txt private/x migrations/one kept/x ~/shown/x ~/data/x ~/other/x; do \
         cat $f > /dev/null && echo read $f; echo neu > $f && echo wrote $f; done 2> /dev/null | sed \"s|$HOME|~|\"; \
         echo y > y && echo y",
    );
    assert_eq!(
        ran.out, "read migrations/one\nread kept/x\nread ~/shown/x\nread ~/data/x\nwrote ~/data/x\ny\n",
        "{ran:?}\n{}",
        imported.out
    );
}

#[test]
fn a_restriction_that_is_lost_stops_it() {
    let world = World::new();
    assert!(import(&world, &[]).refused().err.contains("cannot read"));
    world.file(
        "../.claude/settings.json",
        r#"{"permissions": {"deny": ["Bash(curl:*)"], "ask": ["Edit(x)"], "allow": ["Bash(npm:*)"]}}"#,
    );
    let stopped = import(&world, &[]);
    assert_eq!((stopped.code, stopped.out.as_str()), (1, ""), "{stopped:?}");
    assert_eq!(stopped.err.matches("RESTRICTION LOST").count(), 2, "{stopped:?}");
    assert!(
        stopped.err.contains("not carried over: permissions.allow[0]"),
        "{stopped:?}"
    );
    assert!(import(&world, &["--lenient"]).ok().contains("preset = \"agent\""));
}

#[test]
fn what_the_agent_put_into_the_project_is_read_with_care() {
    let world = World::new();
    world.file("../.claude/settings.json", "{}");
    let settings = world.directory(".claude").join("settings.json");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &settings,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .unwrap();
    world.give(&settings);
    let ran = import(&world, &["--project"]);
    assert!(ran.code == 125 && ran.err.contains("no regular file"), "{ran:?}");
    fs::remove_file(&settings).unwrap();
    for (text, what) in [
        (vec![b' '; 2 << 20], "larger than"),
        (b"{\"a\": \"\x1b[2J\xff\"}".to_vec(), "not UTF-8"),
        ("{".repeat(100_000).into_bytes(), "nested"),
        (b"{\"permissions\": {\"deny\": [1]}}".to_vec(), "must be a string"),
    ] {
        world.file(".claude/settings.json", text);
        let ran = import(&world, &["--project"]);
        assert!(
            ran.code == 125 && ran.err.contains(what),
            "{what}: {:.300}",
            ran.err
        );
        assert!(!ran.err.contains('\x1b'));
    }
}
