//! What a run left that runs later: told by when, put back, put away, and told after a crash as well. The numbers are those
//! of the acceptance scenarios for git and what comes after a run.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::support::{Ran, World};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn aca(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(&world.aca(arguments).output().unwrap())
}

fn read(world: &World, path: &str) -> String {
    fs::read_to_string(world.project.join(path)).unwrap()
}

/// Changes one file of each kind, as an agent with good reasons would.
const WORK: &str = "echo 'all: evil' > Makefile; echo x > sub/justfile; rm build.rs; echo more >> CLAUDE.md; echo fine > notes.txt";

fn worked() -> World {
    let world = World::new();
    world.file("Makefile", "all:\n");
    world.file("build.rs", "fn main() {}\n");
    world.file("CLAUDE.md", "be kind\n");
    world.file("sub/keep", "");
    fs::set_permissions(world.project.join("Makefile"), fs::Permissions::from_mode(0o640)).unwrap();
    let ran = world.run(&[], WORK);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.err.contains("that run later appeared or changed"), "{ran:#?}");
    assert!(ran.err.contains("see `aca check`"), "{ran:#?}");
    world
}

#[test]
fn what_changed_is_told_by_when_it_would_run() {
    let world = worked();
    let told = aca(&world, &["check"]);
    assert_eq!(told.code, 0, "{told:#?}");
    let (build, agent) = told.out.split_once("when you start an agent").unwrap();
    assert!(build.contains("when you install, build or test"), "{told:#?}");
    for line in [
        "changed   Makefile\n",
        "removed   build.rs\n",
        "appeared  sub/justfile\n",
    ] {
        assert!(build.contains(line), "{line}: {told:#?}");
    }
    assert!(agent.contains("changed   CLAUDE.md\n"), "{told:#?}");
    assert!(!told.out.contains("notes.txt"), "{told:#?}");
    assert_eq!(aca(&world, &["check", "--strict"]).code, 1);
    // Each line of JSON has what is needed to go on by program.
    let json = aca(&world, &["check", "--json"]).ok().to_owned();
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4, "{json}");
    assert_eq!(lines[1]["path"], "Makefile");
    assert_eq!(
        (&lines[1]["change"], &lines[1]["can_be_put_back"]),
        (&"changed".into(), &true.into())
    );
}

#[test]
fn it_is_put_back_or_away() {
    let world = worked();
    let mended = aca(&world, &["check", "--revert", "Makefile", "--quarantine", "sub"]);
    assert_eq!(mended.code, 0, "{mended:#?}");
    assert_eq!(read(&world, "Makefile"), "all:\n");
    let mode = fs::metadata(world.project.join("Makefile"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(!world.project.join("sub/justfile").exists());
    let away = mended
        .err
        .lines()
        .find_map(|line| line.strip_prefix("aca: sub/justfile was put away, to "))
        .unwrap();
    assert_eq!(fs::read_to_string(away).unwrap(), "x\n");
    assert!(
        !mended.out.contains("Makefile") && mended.out.contains("build.rs"),
        "{mended:#?}"
    );
    aca(&world, &["check", "--revert", "."]).ok();
    assert_eq!(read(&world, "build.rs"), "fn main() {}\n");
    assert_eq!(read(&world, "CLAUDE.md"), "be kind\n");
    assert_eq!(read(&world, "notes.txt"), "fine\n");
    let nothing = aca(&world, &["check", "--strict"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (0, ""), "{nothing:#?}");
}

#[test]
fn what_is_accepted_is_not_told_again() {
    let world = worked();
    let accepted = aca(&world, &["check", "--accept"]).ok().to_owned();
    assert!(
        accepted.ends_with("isn't told again.") && !accepted.contains("--revert"),
        "{accepted}"
    );
    let told = aca(&world, &["check", "--strict"]);
    assert_eq!((told.code, told.out.as_str()), (0, ""), "{told:#?}");
    assert_eq!(read(&world, "Makefile"), "all: evil\n");
    // A run that leaves nothing leaves no wait either; nor one that writes again what was there.
    for script in [
        "echo fine > notes.txt",
        "cp -p Makefile x; rm Makefile; mv x Makefile",
    ] {
        assert_eq!(world.run(&[], script).err, "");
    }
    assert_eq!(aca(&world, &["check", "--strict"]).code, 0);
}

#[test]
fn a_path_that_did_not_change_is_an_error_and_nothing_is_done() {
    let world = worked();
    for arguments in [
        &["check", "--revert", "notes.txt"][..],
        &["check", "--quarantine", "/etc/passwd"],
        &["check", "--revert", "../outside"],
        &["check", "--revert", "Makefile", "--quarantine", "Makefiel"],
    ] {
        let refused = aca(&world, arguments);
        assert_eq!(refused.code, 125, "{refused:#?}");
        assert!(refused.err.contains("that runs later"), "{refused:#?}");
    }
    assert_eq!(read(&world, "notes.txt"), "fine\n");
    assert_eq!(read(&world, "Makefile"), "all: evil\n");
}

/// One that can't be put back keeps no other from it, whatever stands in a file's place or went with its directory.
#[test]
fn two_hundred_findings_are_mended_though_one_can_not_be() {
    let world = World::new();
    for number in 0..198 {
        world.file(format!("a/{number}/Makefile"), "all:\n");
    }
    world.file("a/justfile", vec![b'#'; 100_000]);
    world.file("a/build.rs", "fn main() {}\n");
    let script = "for d in a/*/; do echo evil > ${d}Makefile; done; rm -r a/1*; echo evil > a/justfile; rm a/build.rs; \
                  mkdir -p a/build.rs/inner; echo evil > a/GNUmakefile";
    assert_eq!(world.run(&[], script).code, 0);
    let told = aca(&world, &["check"]).ok().to_owned();
    assert_eq!(told.matches("Makefile\n").count(), 198, "{told}");
    assert!(
        told.contains("changed   a/justfile  (no copy from before)"),
        "{told}"
    );
    let mended = aca(&world, &["check", "--revert", "a"]);
    assert_eq!(mended.code, 125, "{mended:#?}");
    assert!(
        mended.err.contains("of a/justfile there is no copy"),
        "{mended:#?}"
    );
    assert!(mended.err.contains("`--quarantine a/justfile`"), "{mended:#?}");
    assert!(
        mended
            .err
            .contains("aca: a/build.rs is as it was; the directory in its place was put away, to "),
        "{mended:#?}"
    );
    assert_eq!(mended.out.matches("\n  ").count(), 1, "{mended:#?}");
    for number in 0..198 {
        assert_eq!(read(&world, &format!("a/{number}/Makefile")), "all:\n");
    }
    assert_eq!(read(&world, "a/build.rs"), "fn main() {}\n");
    assert!(!world.project.join("a/GNUmakefile").exists());
    let rest = aca(&world, &["check", "--quarantine", "a/justfile", "--strict"]);
    assert_eq!(rest.code, 1, "{rest:#?}");
    assert!(rest.out.contains("removed   a/justfile"), "{rest:#?}");
    // What is gone can't be put away, nor put back.
    let gone = aca(&world, &["check", "--quarantine", "."]);
    assert!(
        gone.code == 0 && gone.err.contains("a/justfile is gone already"),
        "{gone:#?}"
    );
    let gone = aca(&world, &["check", "--revert", "."]);
    assert!(
        gone.code == 125 && !gone.err.contains("--quarantine"),
        "{gone:#?}"
    );
}

/// Links that a run left lead nothing that is put back or away out of the project.
#[test]
fn what_is_put_back_does_not_follow_links() {
    let world = World::new();
    world.file("sub/Makefile", "all:\n");
    let outside = world.root().join("home/outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("Makefile"), "mine\n").unwrap();
    world.give(&outside);
    world.give(&outside.join("Makefile"));
    assert_eq!(world.run(&[], "echo x > sub/Makefile").code, 0);
    // What another run could do afterwards.
    fs::remove_dir_all(world.project.join("sub")).unwrap();
    symlink(&outside, world.project.join("sub")).unwrap();
    let refused = aca(&world, &["check", "--revert", "."]);
    assert!(
        refused.code == 125 || refused.err.contains("was put away"),
        "{refused:#?}"
    );
    assert_eq!(fs::read_to_string(outside.join("Makefile")).unwrap(), "mine\n");
}

#[test]
fn g84_nested_repositories_and_swapped_pointers_are_told() {
    let world = World::new();
    world.file("lib/a", "");
    let git = "git init -q lib/inner 2>/dev/null; mkdir -p bare/objects bare/refs; echo 'ref: refs/heads/x' > bare/HEAD; \
               mkdir -p lib/point; echo 'gitdir: ../../bare' > lib/point/.git";
    let ran = world.run(&[], git);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let told = aca(&world, &["check"]).ok().to_owned();
    for path in ["bare", "lib/inner/.git", "lib/point/.git"] {
        assert!(
            told.lines()
                .any(|line| line.trim() == format!("appeared  {path}")),
            "{path}: {told}"
        );
    }
    assert!(told.contains("when you run git there"), "{told}");
    aca(&world, &["check", "--quarantine", "."]).ok();
    for path in ["bare", "lib/inner/.git", "lib/point/.git"] {
        assert!(!world.project.join(path).exists(), "{path}");
    }
}

#[test]
fn g88_after_a_crash_the_next_start_says_that_a_look_is_due() {
    let world = World::new();
    world.file("Makefile", "all:\n");
    let mut child = world
        .aca(&[
            "run",
            "--",
            "sh",
            "-c",
            "echo evil > Makefile; echo done > mark; sleep 100",
        ])
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !world.project.join("mark").exists() {
        assert!(std::time::Instant::now() < deadline, "the run does not begin");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // As long as it runs nothing is put back: it could change it again.
    let early = aca(&world, &["check", "--revert", "."]);
    assert!(early.code == 125 && early.err.contains("goes on"), "{early:#?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let next = world.run(&[], "true");
    assert!(
        next.err.contains("was cut off before its end was looked at"),
        "{next:#?}"
    );
    let id = next
        .err
        .split_whitespace()
        .find(|word| word.starts_with("202"))
        .unwrap()
        .to_owned();
    let told = aca(&world, &["check", &id]).ok().to_owned();
    assert!(told.contains("changed   Makefile"), "{told}");
    // Once it was looked at, it isn't said again; it can be put back all the same.
    assert_eq!(world.run(&[], "true").err, "");
    aca(&world, &["check", &id, "--revert", "Makefile"]).ok();
    assert_eq!(read(&world, "Makefile"), "all:\n");
}

/// What tells how the project was is out of reach inside.
#[test]
fn a_program_inside_reaches_no_snapshot() {
    let world = World::new();
    world.file("Makefile", "all:\n");
    let ran = world.run(&[], "echo evil > Makefile; ls ~/.local/state/aca ~/.local/state/aca/exit 2>/dev/null; aca check 2>&1; true");
    assert!(!ran.out.contains("before"), "{ran:#?}");
    assert!(aca(&world, &["check"]).ok().contains("changed   Makefile"));
}

/// Where the host's git directory is written, what became of branches and what git was told not to show is told as well.
#[test]
fn g87_branches_that_lost_commits_and_files_that_git_does_not_show() {
    let world = World::with_repository();
    let git = |arguments: &[&str]| world.git(&world.project, arguments);
    world.file("a", "1\n");
    git(&["add", "a"]);
    git(&["commit", "-qm", "one"]);
    git(&["branch", "-q", "stays"]);
    git(&["branch", "-q", "goes"]);
    let flags = ["--git-mode", "direct"];
    // What only goes on, and is new, is what an agent is there for.
    let ran = world.run(&flags, "echo 2 >> a; git commit -qam two; git branch new");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:#?}");
    let script = "git reset -q --hard HEAD~1; echo 3 >> a; git commit -qam three; git branch -qD goes; \
                  git update-index --skip-worktree a; echo hidden >> a";
    let ran = world.run(&flags, script);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let told = aca(&world, &["check"]).ok().to_owned();
    let branch = git(&["symbolic-ref", "HEAD"]);
    let has = |line: &str| {
        told.lines()
            .any(|own| own.starts_with("  ") && own.split("  (").next().unwrap().ends_with(line))
    };
    assert!(
        has(branch.trim()) && has("refs/heads/goes") && has("changed   a"),
        "{told}"
    );
    assert!(
        !told.contains("refs/heads/stays") && !told.contains("refs/heads/new"),
        "{told}"
    );
    assert!(
        told.contains("skip-worktree") && told.contains("git reflog"),
        "{told}"
    );
    // Neither a branch nor the file is put away: that would lose more.
    let left = aca(&world, &["check", "--quarantine", "."]);
    assert!(
        left.code == 0 && left.err.contains("is left as it is"),
        "{left:#?}"
    );
    assert_eq!(git(&["log", "-1", "--format=%s"]).trim(), "three");
    assert_eq!(read(&world, "a"), "1\n3\nhidden\n");
    // What git shows again isn't told again.
    git(&["update-index", "--no-skip-worktree", "a"]);
    assert!(!aca(&world, &["check"]).ok().contains("skip-worktree"));
}

/// What hides a branch or the index from that look is told itself.
#[test]
fn g87_what_can_not_be_compared_any_more_is_told() {
    let scripts = [
        // A ref that is another's name counts, whatever is packed under its own.
        (
            "git pack-refs --all; git branch -q evil HEAD~1; printf 'ref: refs/heads/evil\\n' > .git/refs/heads/main",
            "refs/heads/main",
        ),
        (
            "i=0; id=$(git rev-parse HEAD~1); while [ $i -le 2000 ]; do echo \"$id refs/heads/b$i\"; i=$((i+1)); done >> .git/packed-refs; \
          git reset -q --soft HEAD~1",
            "refs/heads",
        ),
        (
            "git update-index --skip-worktree a; truncate -s 5M .git/index",
            "index",
        ),
    ];
    for (script, path) in scripts {
        let world = World::with_repository();
        for text in ["1\n", "2\n"] {
            world.file("a", text);
            world.git(&world.project, &["add", "a"]);
            world.git(&world.project, &["commit", "-qm", "one"]);
        }
        world.run(&["--git-mode", "direct"], script).ok();
        let told = aca(&world, &["check"]).ok().to_owned();
        assert!(told.contains(path), "{script}: {told}");
    }
}
