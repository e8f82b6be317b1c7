//! Secrets in directories that programs inside move: what one run masked, the next ones mask.

use super::support::{self, Ran, World};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Reads a secret that is moved about, again and again.
const LOOK: &str =
    "i=0; while [ $i -lt 200 ]; do cat r/s/.env r/t/.env; i=$((i + 1)); done 2> /dev/null; echo looked";

/// Moves the secret's directory to and fro until [`rested`].
fn moving(world: &World, before: &str) -> Child {
    let script = format!(
        "{before}; echo ready; while [ ! -e end ]; do mv r/s r/t; sleep 0.01; mv r/t r/s; sleep 0.01; done 2> /dev/null"
    );
    let mut moving = world.aca(&["run", "--", "sh", "-c", &script]);
    let mut moving = moving
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(moving.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    moving
}

fn rested(world: &World, mut moving: Child) {
    world.file("end", "");
    assert!(moving.wait().unwrap().success());
}

/// Nothing was shown: by what is masked, or because nothing was started.
fn shows_nothing(command: &mut Command, refusals: &[&str]) -> Option<Ran> {
    let ran = Ran::from_output(&command.output().unwrap());
    let refused = ran.code == 125 && refusals.iter().any(|text| ran.err.contains(text));
    let fine = ran.out == "looked\n" || (refused && ran.out.is_empty());
    (!fine).then_some(ran)
}

#[test]
fn c30_what_was_moved_where_nobody_looks_is_masked_in_the_next_run() {
    let cases: &[(&[&str], &str, &str, &str)] = &[
        (
            &[],
            "r/s/.env",
            "mkdir node_modules; mv r/s node_modules/s",
            "node_modules/s/.env",
        ),
        (
            &[],
            "r/s/.env",
            "mkdir -p .git/x; mv r/s .git/x/s",
            ".git/x/s/.env",
        ),
        // The directory itself becomes one that is left out.
        (
            &[],
            "target/.env",
            "echo 'Signature: 8a477f597d28d172789f06886806bc55' > target/CACHEDIR.TAG",
            "target/.env",
        ),
        // The name of the directory made it a secret.
        (&[], ".aws/credentials", "mv .aws x", "x/credentials"),
        (
            &["--hide", "c/hidden"],
            "c/hidden/file",
            "mv c d",
            "d/hidden/file",
        ),
        // Another one in its place.
        (
            &[],
            "r/s/.env",
            "mkdir node_modules; mv r/s node_modules/s; mkdir r/s; echo other > r/s/.env",
            "node_modules/s/.env",
        ),
    ];
    for (flags, secret, script, now) in cases {
        let world = World::new();
        world.file(secret, "geheim");
        let ran = world.run(flags, &format!("{script}; cat {now}"));
        assert!(!ran.out.contains("geheim"), "{script}: {ran:?}");
        assert_eq!(
            fs::read_to_string(world.project.join(now)).unwrap(),
            "geheim",
            "{script}: {ran:?}"
        );
        for _ in 0..2 {
            let ran = world.run(&[], &format!("cat {now}; grep -r geheim . ; echo looked"));
            assert_eq!(ran.out, "looked\n", "{script}: {ran:?}");
        }
        let now = world.project.join(now);
        if flags.is_empty() {
            // In a project that lies in this one, too.
            let (inner, name) = (now.parent().unwrap(), now.file_name().unwrap());
            let script = format!("cat {}; echo looked", name.display());
            let mut command = world.aca(&["run", "--", "sh", "-c", &script]);
            let ran = Ran::from_output(&command.current_dir(inner).output().unwrap());
            assert!(!ran.out.contains("geheim"), "{script}: {ran:?}");
        }
        // Who takes it away has no trouble with it.
        fs::remove_file(&now).unwrap();
        assert_eq!(world.run(&[], "echo looked").out, "looked\n", "{script}");
    }
}

#[test]
fn c30_what_is_moved_about_is_masked_where_there_is_no_watch() {
    if !support::has("unshare") {
        return;
    }
    let world = World::new();
    world.file("r/s/.env", "geheim");
    // As if somebody held all instances that the user may have.
    let alone = |script: &str| {
        let mut command = world.command("unshare");
        let none = "echo 0 > /proc/sys/user/max_inotify_instances && exec setpriv --ambient-caps -all --inh-caps -all \"$0\" \"$@\"";
        command.args(["-U", "--map-current-user", "--keep-caps", "sh", "-c", none]);
        command.arg(&world.aca).args(["run", "--", "sh", "-c", script]);
        command
    };
    // Where nothing moves it starts. What was written within the tick of the clock that the look falls into may have changed
    // since, so the first try can be one too early.
    let starts = || Ran::from_output(&alone("cat r/s/.env; echo looked").output().unwrap());
    let early = |ran: &Ran| ran.code == 125 && ran.err.contains("can't be watched");
    let ran = std::iter::repeat_with(|| {
        assert!(world.command("sleep").arg("0.1").status().unwrap().success());
        starts()
    })
    .take(5)
    .find(|ran| !early(ran));
    let ran = ran.unwrap();
    assert_eq!(ran.out, "looked\n", "{ran:?}");
    let moving = moving(&world, ":");
    let wrong: Vec<Ran> = (0..8)
        .filter_map(|_| shows_nothing(&mut alone(LOOK), &["can't be watched"]))
        .collect();
    rested(&world, moving);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn c30_what_is_moved_about_is_masked_among_more_directories_than_are_watched() {
    let world = World::new();
    world.file("r/s/.env", "geheim");
    let many = "for i in 0 1 2 3 4 5; do mkdir q$i; (cd q$i; seq 3000 | xargs mkdir); done";
    let moving = moving(&world, many);
    let mut command = world.aca(&["run", "--", "sh", "-c", LOOK]);
    let wrong: Vec<Ran> = (0..3)
        .filter_map(|_| shows_nothing(&mut command, &["doesn't come to rest"]))
        .collect();
    rested(&world, moving);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // At rest it starts.
    assert_eq!(world.run(&[], LOOK).out, "looked\n");
}
