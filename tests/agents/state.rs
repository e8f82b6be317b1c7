//! What the sandbox does with an agent's state, without its client.

use crate::support::World;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// Settings kept under version control are links into a directory of the user's; the directories beneath are made on
/// the first run.
#[test]
fn state_behind_links_is_used_and_the_links_stay() {
    let world = World::new();
    let home = world.home.clone();
    world.directory(home.join("dotfiles/claude"));
    world.directory(home.join("dotfiles/share"));
    world.file(home.join("dotfiles/claude.json"), r#"{"numStartups":1}"#);
    world.file(home.join("dotfiles/claude/settings.json"), "{}");
    for (to, at) in [
        ("dotfiles/claude", ".claude"),
        ("dotfiles/claude.json", ".claude.json"),
        ("dotfiles/share", ".local"),
    ] {
        symlink(home.join(to), home.join(at)).unwrap();
    }
    let script = "cat ~/.claude.json ~/.claude/settings.json; echo '{\"numStartups\":2}' > ~/.claude.json; \
                  echo kept > ~/.claude/projects/f; echo kept > ~/.cache/f; echo x > ~/.claude/settings.json";
    let ran = world.run(&["--agent", "claude"], script);
    assert_eq!(ran.out, r#"{"numStartups":1}{}"#, "{ran:#?}");
    assert_eq!(
        world
            .run(&["--agent", "claude"], "cat ~/.claude/projects/f ~/.cache/f")
            .ok(),
        "kept\nkept"
    );
    let text = fs::read_to_string(home.join("dotfiles/claude.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(settings["numStartups"], 2);
    assert_eq!(
        fs::read_to_string(home.join("dotfiles/claude/settings.json")).unwrap(),
        "{}"
    );
    for link in [".claude", ".claude.json", ".local"] {
        assert!(
            fs::symlink_metadata(home.join(link)).unwrap().is_symlink(),
            "{link}"
        );
    }
}

/// Claude Code's own installer: a version, and a link to it in a directory that is shown.
#[test]
fn a_client_behind_a_link_starts() {
    let world = World::new();
    let version = world.file(
        world.home.join(".local/share/claude/versions/1.2.3"),
        "#!/bin/sh\necho version $ACA\n",
    );
    fs::set_permissions(&version, fs::Permissions::from_mode(0o755)).unwrap();
    let own = world.directory(world.home.join(".local/bin"));
    symlink(&version, own.join("claude")).unwrap();
    let mut command = world.aca(&["run", "claude", "--version"]);
    command.env(
        "PATH",
        format!("{}:{}", own.display(), crate::support::host_path()),
    );
    let ran = crate::support::Ran::from_output(&command.output().unwrap());
    assert_eq!(ran.ok(), "version 1");
    assert_eq!(world.events_of("session_start")[0]["agent"], "claude");
}
