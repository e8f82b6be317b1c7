//! Links of the home that lead into the project, as those of dotfiles kept in a repository: what runs in there can make
//! them lead anywhere by the next run.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::support::{Ran, World};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A home whose agent's directory and programs lie in the project, with a secret beside.
fn dotfiles() -> World {
    let world = World::new();
    for path in ["claude/projects", "claude/commands", "bin"] {
        world.directory(path);
    }
    world.file("../.ssh/id_ed25519", "geheim");
    world.file("../.bashrc", "host\n");
    symlink("project/claude", world.home.join(".claude")).unwrap();
    world.directory("../.local");
    symlink("../project/bin", world.home.join(".local/bin")).unwrap();
    world
}

fn claude(world: &World, script: &str) -> Ran {
    world.run(&["--agent", "claude"], script)
}

/// What an earlier run did, with the same rights.
fn replace(world: &World, path: &str, target: &str) {
    let path = world.project.join(path);
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    }
    symlink(target, path).unwrap();
}

#[track_caller]
fn refused(ran: &Ran) {
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
    assert!(ran.err.contains("leads to"), "{ran:#?}");
}

#[test]
fn state_in_the_project_works_as_long_as_no_link_leads_out() {
    let world = dotfiles();
    world.file("claude/commands/c.md", "command");
    world.file("bin/tool", "#!/bin/sh\necho tool\n");
    fs::set_permissions(
        world.project.join("bin/tool"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let ran = claude(
        &world,
        "~/.local/bin/tool; cat ~/.claude/commands/c.md; echo x > ~/.claude/projects/new",
    );
    assert_eq!(ran.ok(), "tool\ncommand");
    assert_eq!(
        fs::read_to_string(world.project.join("claude/projects/new")).unwrap(),
        "x\n"
    );
}

#[test]
fn what_is_shown_is_not_led_to_secrets() {
    for target in ["../../.ssh", "../..", "/proc"] {
        let world = dotfiles();
        replace(&world, "claude/commands", target);
        refused(&claude(&world, "ls ~/.claude/commands/"));
    }
}

#[test]
fn what_is_shared_is_not_led_out() {
    let world = dotfiles();
    replace(&world, "claude/projects", "../../.ssh");
    refused(&claude(&world, "echo x > ~/.claude/projects/authorized_keys"));
    assert!(!world.home.join(".ssh/authorized_keys").exists());
}

#[test]
fn what_is_carried_back_is_not_led_out() {
    let world = dotfiles();
    replace(&world, "claude/history.jsonl", "../../.bashrc");
    refused(&claude(
        &world,
        "cat ~/.claude/history.jsonl; echo evil >> ~/.claude/history.jsonl",
    ));
    assert_eq!(fs::read_to_string(world.home.join(".bashrc")).unwrap(), "host\n");
}

#[test]
fn a_link_that_an_earlier_project_left_leads_to_no_secrets_either() {
    let world = dotfiles();
    replace(&world, "claude/commands", "../../.ssh");
    let other = world.directory("../other");
    let mut command = world.aca(&[
        "run",
        "--agent",
        "claude",
        "--",
        "sh",
        "-c",
        "ls ~/.claude/commands/",
    ]);
    refused(&Ran::from_output(&command.current_dir(other).output().unwrap()));
}

#[test]
fn tool_chains_are_not_led_out() {
    let world = dotfiles();
    replace(&world, "bin", "../.ssh");
    let ran = world.run(
        &[],
        "cat ~/.local/bin/id_ed25519; ls ~/.ssh; cat ~/project/bin/id_ed25519",
    );
    assert_eq!(ran.out, "", "{ran:#?}");
    assert!(ran.code != 125, "{ran:#?}");
}

#[test]
fn what_is_masked_in_the_project_has_no_second_face() {
    let world = dotfiles();
    world.file("bin/.env", "TOKEN=geheim");
    world.file("claude/commands/.env", "TOKEN=geheim");
    let ran = claude(
        &world,
        "cat bin/.env ~/.local/bin/.env claude/commands/.env ~/.claude/commands/.env",
    );
    assert_eq!(ran.refused().out, "", "{ran:#?}");
}

#[test]
fn rules_over_two_links_do_not_lead_out() {
    let world = dotfiles();
    symlink("project/data", world.home.join("data")).unwrap();
    replace(&world, "data", "../.ssh");
    let data = world.home.join("data");
    let data = data.to_str().unwrap();
    for flag in ["--read", "--write"] {
        refused(&world.run(&[flag, data], "ls ~/data/"));
    }
}

/// Variables name tool chains and caches, and may name anything.
#[test]
fn variables_show_no_secrets_and_move_no_cache_over_the_system() {
    let world = World::new();
    world.file("../.ssh/id_ed25519", "geheim");
    let secrets = world.home.join(".ssh");
    let read = |variable: &str, value: &Path, script: &str| {
        let mut command = world.aca(&["run", "--", "sh", "-c", script]);
        Ran::from_output(&command.env(variable, value).output().unwrap())
    };
    let ran = read("RUSTUP_HOME", &secrets, "ls -A ~/.ssh");
    assert_eq!(ran.out, "", "{ran:#?}");
    for variable in ["RUSTUP_HOME", "XDG_CACHE_HOME"] {
        // Processes of the host would be seen, and by way of them its files.
        let ran = read(
            variable,
            Path::new("/proc"),
            "cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l",
        );
        let (first, count) = ran.ok().split_once('\n').unwrap();
        assert!(first.starts_with("aca"), "{variable}: {ran:#?}");
        assert!(count.parse::<usize>().unwrap() < 10, "{variable}: {ran:#?}");
        for place in ["/tmp", "/run", "/dev", "/sys", "/var", "/root", "/run/user"] {
            let ran = read(
                variable,
                Path::new(place),
                "findmnt -no TARGET,FSTYPE /tmp /run; ls /dev/null /sys/class > /dev/null; echo x > /tmp/x; ls -A /root /var/lib/aca 2> /dev/null; true",
            );
            assert_eq!(ran.err, "", "{variable}={place}: {ran:#?}");
        }
        // What the runs above left there is gone with them.
        assert_eq!(
            read(variable, Path::new("/tmp"), "test -e /tmp/x || echo gone").ok(),
            "gone"
        );
    }
}
