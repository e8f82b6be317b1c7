//! Native code against the names.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::support::{self, Ran, World};
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A directory of the project, a name in it, and what it would be.
const NAMES: [(&str, &str, &str); 11] = [
    (".", ".envrc", "file"),
    (".", ".EnvRC", "file"),
    (".", "x.code-workspace", "file"),
    (".vscode", "tasks.json", "file"),
    ("sub/deep/.vscode", "settings.json", "file"),
    ("gradle/wrapper", "gradle-wrapper.jar", "file"),
    ("sub/.cargo", "config.toml", "file"),
    (".", ".idea", "directory"),
    ("sub", ".husky", "directory"),
    (".github", "workflows", "directory"),
    (".git", "hooks", "directory"),
];

/// The attacker, built for this machine and put into the project; `None` where no compiler is.
fn attacker(world: &World) -> Option<PathBuf> {
    if !support::has("cc") {
        support::skip("attacks by native code", "there is no C compiler");
        return None;
    }
    let program = world.project.join("attacker");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/names/attack.c");
    let built = Command::new("cc")
        .args(["-O1", "-w", "-pthread", "-o"])
        .arg(&program)
        .arg(source)
        .status()
        .unwrap();
    assert!(built.success());
    world.give(&program);
    Some(program)
}

fn world() -> World {
    let world = World::with_repository();
    for (parent, _, _) in NAMES {
        world.directory(parent);
    }
    std::fs::remove_dir_all(world.project.join(".git/hooks")).unwrap();
    world
}

fn all(world: &World, flags: &[&str]) -> Ran {
    let script: String = NAMES
        .iter()
        .map(|(parent, name, kind)| format!("./attacker {parent} {name} {kind}; "))
        .collect();
    world.run(flags, &script)
}

#[test]
fn no_call_makes_one() {
    let world = world();
    let before = world.git(&world.project, &["status", "--porcelain", "--ignored"]);
    if attacker(&world).is_none() {
        return;
    }
    let ran = all(&world, &["--hold-names", "--git-mode", "direct"]);
    assert_eq!(ran.out, "", "{ran:?}");
    for (parent, name, _) in NAMES {
        assert!(!world.project.join(parent).join(name).exists(), "{parent}/{name}");
    }
    // Nothing is left that wasn't asked for.
    std::fs::remove_file(world.project.join("attacker")).unwrap();
    for left in ["spare", "other", "way"] {
        std::fs::remove_file(world.project.join(left)).unwrap_or(());
    }
    let after = world.git(&world.project, &["status", "--porcelain", "--ignored"]);
    assert_eq!(before, after);
    let refused = world.events_of("name_refused");
    assert!(refused.len() > 10, "{refused:?}");
}

/// The same attacks where nothing stands in their way.
#[test]
fn each_call_makes_one_where_names_are_open() {
    let world = world();
    if attacker(&world).is_none() {
        return;
    }
    let ran = all(&world, &["--open-names"]);
    for call in [
        "openat ",
        "openat with a descriptor",
        "openat with O_PATH",
        "openat2 ",
        "openat2 beneath",
        "mkfifo",
        "a socket by mknodat",
        "bind ",
        "rename of a socket",
        "bind in its directory",
        "symlinkat",
        "linkat .",
        "linkat of a nameless file",
        "renameat ",
        "renameat2 without replacing",
        "by /proc/self/fd",
        "by /dev/fd",
        "by /proc/PID/fd",
        "by /proc/self/cwd",
        "by /proc/thread-self/root",
        "by the whole path",
        "through a link ",
        "through a linked directory",
        "through a link that lies elsewhere",
        "in its directory",
        "in a child that shares memory",
        "rename of its directory",
        "exchange of its directory",
        "a link in place of its directory",
        "in packages",
        "in build output",
        "mkdir ",
        "mkdirat",
        "rename of a directory",
        "a link for a directory",
        "another name of a link",
        "a link by its descriptor",
    ] {
        assert!(ran.out.contains(&format!("MADE {call}")), "{call}: {ran:?}");
    }
}

#[test]
fn no_race_makes_one() {
    let world = world();
    if attacker(&world).is_none() {
        return;
    }
    let ran = world.run(&["--hold-names"], "./attacker race 4000");
    assert_eq!(ran.out, "made many\n", "{ran:?}");
}

#[test]
fn the_races_are_won_where_names_are_open() {
    let world = world();
    if attacker(&world).is_none() {
        return;
    }
    // Each ends when it is won; a thread may wait long for its first turn.
    let ran = world.run(&["--open-names"], "./attacker race 1000000");
    for race in ["memory", "links", "descriptors", "directories"] {
        assert!(
            ran.out.contains(&format!("MADE in a race of {race}")),
            "{race}: {ran:?}"
        );
    }
}

/// A move that replaces nothing is judged though something is there: that may be taken away meanwhile.
#[test]
fn what_is_there_stands_in_for_no_judgment() {
    let world = world();
    if attacker(&world).is_none() {
        return;
    }
    let ran = world.run(&["--hold-names"], "timeout 100 ./attacker taken 20000");
    assert_eq!(ran.out, "made many\n", "{ran:?}");
    let ran = world.run(&["--open-names"], "timeout 100 ./attacker taken 1000000");
    assert!(ran.out.contains("MADE"), "{ran:?}");
}

/// Two runs in one project: what one of them moves, the other has no name half made in.
#[test]
fn no_race_of_two_runs_makes_one() {
    let Some((made, moved)) = two_runs(&["--hold-names"], "mover", "maker 40000") else {
        return;
    };
    assert_eq!(made.out, "made many\n", "{made:?}");
    assert_eq!(moved.out, "", "{moved:?}");
}

/// What one of them puts in another's place keeps its kind until it has its other name.
#[test]
fn no_race_of_two_runs_makes_a_link() {
    let Some((made, swapped)) = two_runs(&["--hold-names"], "swapper", "namer 20000") else {
        return;
    };
    assert_eq!(made.out, "made many\n", "{made:?}");
    assert_eq!(swapped.out, "", "{swapped:?}");
    let Some((made, _)) = two_runs(&["--open-names"], "swapper", "namer 1000000") else {
        return;
    };
    assert!(made.out.contains("MADE"), "{made:?}");
}

#[test]
fn the_race_of_two_runs_is_won_where_names_are_open() {
    let Some((made, moved)) = two_runs(&["--open-names"], "mover", "maker 1000000") else {
        return;
    };
    assert!(
        made.out.contains("MADE") || moved.out.contains("MADE"),
        "{made:?} {moved:?}"
    );
}

fn two_runs(flags: &[&str], one: &str, other: &str) -> Option<(Ran, Ran)> {
    let world = world();
    attacker(&world)?;
    let words = |script: &str| -> Vec<String> {
        let words = ["run"].into_iter().chain(flags.iter().copied());
        words
            .chain(["--", "sh", "-c", script])
            .map(str::to_owned)
            .collect()
    };
    let start = |script: &str| {
        let words = words(script);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = world.aca(&words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let moving = start(&format!("timeout 100 ./attacker {one}"));
    let making = start(&format!("timeout 100 ./attacker {other}"));
    let made = Ran::from_output(&making.wait_with_output().unwrap());
    let moved = Ran::from_output(&moving.wait_with_output().unwrap());
    Some((made, moved))
}

#[test]
fn a_caller_that_cant_be_looked_into_is_served_all_the_same() {
    let world = world();
    if attacker(&world).is_none() {
        return;
    }
    let ran = world.run(&["--hold-names"], "umask 027; ./attacker hidden");
    assert_eq!(ran.out, "1 640\n", "{ran:?}");
}

#[test]
fn what_makes_names_cant_be_killed_from_inside() {
    let world = World::new();
    let ran = world.run(
        &["--hold-names"],
        "kill -9 1; kill -STOP 1; for t in /proc/1/task/*; do kill -9 ${t##*/}; done; \
         echo x > made && cat made; echo x > .envrc",
    );
    assert!(ran.out.ends_with("x\n"), "{ran:?}");
    assert!(!world.project.join(".envrc").exists());
}

#[test]
fn no_domain_of_their_own_is_given_to_programs_that_others_would_pass_by() {
    let world = World::new();
    let script = "import ctypes,os; c=ctypes.CDLL(None,use_errno=True); \
                  print(c.syscall(444,None,0,1), ctypes.get_errno())";
    let run = |flags: &[&str]| world.run(flags, &format!("python3 -c '{script}'")).out;
    assert_eq!(run(&["--hold-names"]), format!("-1 {}\n", libc::EOPNOTSUPP));
    assert!(!run(&["--open-names"]).starts_with("-1"));
}

/// A move may leave a whiteout where it began (renameat2(2)), and so makes that name.
#[test]
fn a_move_leaves_nothing_of_a_name() {
    let moved = |flags: &[&str], how: u32| {
        let world = World::with_repository();
        let script = format!(
            "import ctypes, os, time\n\
             open('ready', 'w').close()\n\
             while not os.path.exists('x.code-workspace'): time.sleep(0.02)\n\
             call = ctypes.CDLL(None, use_errno=True).renameat2\n\
             print(call(-100, b'x.code-workspace', -100, b'other', {how}), ctypes.get_errno())\n"
        );
        world.file("move.py", script);
        let child = world
            .aca(&["run"])
            .args(flags)
            .args(["--", "python3", "move.py"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = world.project.join("ready");
        while !ready.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        // By the host: inside it can't be made.
        world.file("x.code-workspace", "{}");
        let ran = Ran::from_output(&child.wait_with_output().unwrap());
        let left = world.project.join("x.code-workspace").symlink_metadata();
        (ran.ok().to_owned(), left.ok().map(|left| left.is_file()))
    };
    let whiteout = RenameFlags::WHITEOUT.bits();
    let refused = format!("-1 {}", Errno::ROFS.raw_os_error());
    assert_eq!(moved(&[], whiteout), (refused, Some(true)));
    // Without it nothing is left that the host would read.
    assert_eq!(moved(&[], 0), ("0 0".to_owned(), None));
    assert_eq!(
        moved(&["--open-names"], whiteout),
        ("0 0".to_owned(), Some(false))
    );
}

/// Who makes names may look where programs can't; what is there isn't told by the error of a call.
#[test]
fn what_is_made_already_is_told_of_no_other_place() {
    if !support::has("python3") {
        return support::skip(
            "what_is_made_already_is_told_of_no_other_place",
            "there is no python3",
        );
    }
    let script = "import os\n\
        def tried(p):\n try: os.mkdir(p)\n except OSError as e: return e.strerror\n\
        os.symlink(\"/proc/1\", \"one\")\n\
        all=[f\"{p}/{x}\" for p in (\"/proc/1\", \"one\") for x in [f\"fd/{n}\" for n in range(20)]+[f\"fd/{n}/.\" for n in range(20)]+[\"root/etc\", \"cwd/etc\"]]\n\
        print(sum(tried(p)==\"File exists\" for p in all), tried(\"one\"))";
    let ran = World::new().run(&["--hold-names"], &format!("python3 -c '{script}'"));
    assert_eq!(ran.ok(), "0 File exists", "{ran:?}");
}
