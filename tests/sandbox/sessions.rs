//! Sessions and their logs as the user sees them, and as what runs inside doesn't.

use super::shell::Shell;
use super::support::{Ran, World};
use rustix::fs::{CWD, Mode, mkfifoat};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

fn aca(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(&world.aca(arguments).output().unwrap())
}

fn sessions(world: &World, flags: &[&str]) -> Vec<serde_json::Value> {
    let ran = aca(world, &[&["sessions", "--json"], flags].concat());
    ran.ok()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn newest_log(world: &World) -> PathBuf {
    let mut logs: Vec<PathBuf> = fs::read_dir(world.sessions())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    logs.sort();
    logs.pop().unwrap()
}

#[test]
fn listed_newest_first_with_how_they_ended() {
    let world = World::new();
    assert_eq!(aca(&world, &["sessions"]).ok(), "");
    assert_eq!(world.run(&[], "exit 7").code, 7);
    assert_eq!(world.run(&[], "kill -9 $$").code, 137);
    let mut shell = Shell::start(&world, &[]);
    shell.ask("true").ok();
    let listed = sessions(&world, &[]);
    let endings: Vec<_> = listed.iter().map(|session| &session["ending"]).collect();
    assert_eq!(endings[0]["state"], "running", "{listed:#?}");
    assert_eq!(endings[1]["signal"], 9);
    assert_eq!(
        (&endings[2]["state"], &endings[2]["code"]),
        (&"ended".into(), &7.into())
    );
    assert_eq!(listed[2]["argv"][2], "exit 7");
    assert_eq!(listed[2]["project"], world.project.to_str().unwrap());
    shell.end();
    assert_eq!(sessions(&world, &["--limit", "1"])[0]["ending"]["code"], 0);
    let text = aca(&world, &["sessions", "--limit", "2"]);
    assert_eq!(text.ok().lines().count(), 3, "{text:?}");
    assert!(
        text.out.contains("exit 0") && text.out.contains("signal 9"),
        "{text:?}"
    );
    // Of this project only.
    let other = world.directory(world.home.join("other"));
    let output = world
        .aca(&["sessions", "--project"])
        .current_dir(other)
        .output()
        .unwrap();
    assert_eq!(Ran::from_output(&output).ok(), "");
    assert_eq!(sessions(&world, &["--project", "--all"]).len(), 3);
}

#[test]
fn a_killed_aca_leaves_a_log_that_is_whole_as_far_as_it_goes() {
    let world = World::new();
    let mut shell = Shell::start(&world, &[]);
    shell.ask("true; ls; true").ok();
    let verified = aca(&world, &["log", "--verify"]);
    assert!(
        verified.ok().contains("whole so far, and running"),
        "{verified:?}"
    );
    // SIGKILL.
    drop(shell);
    assert_eq!(sessions(&world, &[])[0]["ending"]["state"], "cut_off");
    let verified = aca(&world, &["log", "--verify"]);
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.out.contains("it has no end"), "{verified:?}");
    assert!(!verified.out.contains("  line"), "{verified:?}");
    // Half a line, as a crash leaves it, changes nothing of that.
    let log = newest_log(&world);
    let text = fs::read(&log).unwrap();
    fs::write(&log, &text[..text.len() - 9]).unwrap();
    let torn = aca(&world, &["log", "--verify"]);
    assert_eq!(torn.out.matches("  line").count(), 1, "{torn:?}");
    assert!(torn.out.contains("was cut off when it was written"), "{torn:?}");
    assert_eq!(aca(&world, &["log"]).code, 0);
}

#[test]
fn nothing_inside_sees_or_writes_the_log() {
    let world = World::new();
    world.run(&[], "true");
    let before = fs::read(newest_log(&world)).unwrap();
    for flags in [&[][..], &["--home", "host"]] {
        let ran = world.run(
            flags,
            "ls ~/.local/state/aca ~/.local/state/aca/sessions; cat ~/.local/state/aca/sessions/*; \
             for f in /proc/self/fd/* /proc/1/fd/*; do readlink $f; done; \
             echo x >> ~/.local/state/aca/sessions/x.jsonl; rm -rf ~/.local/state/aca/sessions; true",
        );
        assert!(
            !ran.out.contains("jsonl") && !ran.out.contains("session_start"),
            "{ran:?}"
        );
    }
    assert_eq!(sessions(&world, &[]).len(), 3);
    let verified = aca(&world, &["log", "--verify", "--all"]);
    assert_eq!(verified.ok().matches(": whole, ").count(), 3, "{verified:?}");
    let logs = fs::read_dir(world.sessions()).unwrap();
    assert!(
        logs.into_iter()
            .any(|entry| fs::read(entry.unwrap().path()).unwrap() == before)
    );
}

#[test]
fn followed_until_the_session_ends() {
    let world = World::new();
    let mut shell = Shell::start(&world, &[]);
    shell.ask("true").ok();
    let mut follow = world
        .aca(&["log", "--follow", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.next().unwrap().contains("session_start"));
    shell.ask("/bin/echo followed").ok();
    assert!(lines.any(|line| line.contains("followed")));
    shell.end();
    let last = lines.last().unwrap();
    assert!(last.contains("session_end"), "{last}");
    assert!(follow.wait().unwrap().success());
    // One that is over is shown to its end; one whose writer was killed too.
    assert_eq!(
        aca(&world, &["log", "--follow", "--json"]).ok().lines().last(),
        Some(&*last)
    );
    let mut shell = Shell::start(&world, &[]);
    shell.ask("true").ok();
    let follow = world
        .aca(&["log", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(shell);
    assert!(follow.wait_with_output().unwrap().status.success());
}

#[test]
fn follow_ends_with_its_reader() {
    let world = World::new();
    let mut shell = Shell::start(&world, &[]);
    shell.ask("true").ok();
    let mut follow = world
        .aca(&["log", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(follow.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    // The session goes on.
    assert!(follow.wait().unwrap().success());
    shell.ask("true").ok();
}

#[test]
fn what_was_changed_is_named_and_keeps_nothing_else_from_being_shown() {
    let world = World::new();
    world.run(&[], "/bin/true");
    let log = newest_log(&world);
    let text = fs::read_to_string(&log).unwrap();
    let changed = text.replacen("/true", "/fals", 1);
    assert_ne!(changed, text);
    let number = text.lines().position(|line| line.contains("/true")).unwrap() + 1;
    fs::write(&log, &changed).unwrap();
    let verified = aca(&world, &["log", "--verify"]);
    assert_eq!(verified.code, 1);
    assert!(
        verified
            .out
            .contains(&format!("  line {number} is not as it was written")),
        "{verified:?}"
    );
    let shown = aca(&world, &["log", "--json"]);
    assert_eq!((shown.code, shown.out.lines().count()), (1, text.lines().count()));
    assert!(
        shown.err.contains(&format!("warning: line {number} ")),
        "{shown:?}"
    );
    // Another session's log under this one's name.
    world.run(&[], "/bin/true");
    fs::copy(&log, newest_log(&world)).unwrap();
    let verified = aca(&world, &["log", "--verify"]);
    assert!(verified.out.contains("not of session"), "{verified:?}");
    assert!(
        sessions(&world, &[])[0]["unreadable"]
            .as_str()
            .unwrap()
            .contains("another session's")
    );
}

#[test]
fn what_is_no_log_is_neither_waited_for_nor_followed() {
    let world = World::new();
    world.run(&[], "true");
    let secret = world.file(world.outside.join("secret"), "geheim");
    let at = |chance: u8| {
        let name = format!("29990101T000000000Z-{}.jsonl", format!("{chance:02x}").repeat(6));
        world.sessions().join(name)
    };
    fs::create_dir(at(1)).unwrap();
    mkfifoat(CWD, at(2), Mode::RUSR | Mode::WUSR).unwrap();
    world.give(&at(2));
    symlink(&secret, at(3)).unwrap();
    fs::write(at(4), "").unwrap();
    world.give(&at(4));
    fs::write(at(5), [&b"\0\0\xff\xfe\n"[..], &vec![b'x'; 300 << 10]].concat()).unwrap();
    world.give(&at(5));
    let listed = sessions(&world, &[]);
    assert_eq!(listed.len(), 6);
    for (index, what) in ["beginning", "empty", "symbolic link", "named pipe", "directory"]
        .iter()
        .enumerate()
    {
        let why = listed[index]["unreadable"].as_str().unwrap();
        assert!(why.contains(what), "{why}");
    }
    assert_eq!(listed[5]["ending"]["code"], 0);
    let verified = aca(&world, &["log", "--verify", "--all"]);
    assert_eq!(verified.code, 125, "{verified:?}");
    assert_eq!(verified.out.matches("NOT WHOLE").count(), 2, "{verified:?}");
    assert!(verified.out.contains(": whole, "), "{verified:?}");
    assert!(!verified.out.contains("geheim") && !verified.err.contains("geheim"));
    for prefix in [
        "29990101T000000000Z-01",
        "29990101T000000000Z-02",
        "29990101T000000000Z-03",
    ] {
        for flags in [&["log"][..], &["log", "--follow"], &["log", "--verify"]] {
            let ran = aca(&world, &[flags, &[prefix]].concat());
            assert_eq!(ran.code, 125, "{ran:?}");
            assert!(ran.err.contains("not a session log"), "{ran:?}");
        }
    }
}
