//! Repositories that a run makes in the project: none of them has git outside start anything by a look at the project.

use super::support::World;
use std::fs;
use std::path::Path;

/// What everybody does with git after a run.
fn looked_at(world: &World) {
    for command in [
        &["status"][..],
        &["status", "--short", "--ignored"],
        &["diff"],
        &["diff", "--submodule=diff", "HEAD"],
        &["log", "-p", "--all"],
        &["submodule", "status"],
        &["commit", "-q", "-a", "-m", "after", "--allow-empty"],
        &["stash", "list"],
    ] {
        // A repository that isn't there any more may be missed: nothing else is asked for here.
        drop(world.command("git").args(command).output().unwrap());
    }
}

/// Makes the repository `sub`, with the program that must not run, and has the outer one know it as a submodule.
const MAKE: &str = "
    git init -q -b main sub; cd sub; git config user.name a; git config user.email a@a.test
    printf '* text\\n' > .gitattributes; printf 'one\\n' > file
    git add -A; git commit -q -m inner; cd ..
    printf '#!/bin/sh\\necho \"$0 $*\" >> %s\\ncat\\n' \"$RAN\" > program; chmod +x program; evil=$PWD/program
    git update-index --add --cacheinfo 160000,$(git -C sub rev-parse HEAD),sub
    git commit -q -m outer; printf 'two\\n' > sub/file
";

/// Each by its name, as a script in the project after [`MAKE`].
const WAYS: &[(&str, &str)] = &[
    ("monitor", "git -C sub config core.fsmonitor \"$evil\""),
    (
        "filter",
        "printf '* filter=x\\n' > sub/.gitattributes; git -C sub config filter.x.clean \"$evil\"",
    ),
    (
        "differ",
        "printf '* diff=x\\n' > sub/.gitattributes; git -C sub config diff.x.textconv \"$evil\"
         git -C sub config diff.external \"$evil\"",
    ),
    (
        "include",
        "printf '[core]\\n\\tfsmonitor = %s\\n' \"$evil\" > sub/inner; git -C sub config include.path ../inner",
    ),
    (
        "hook",
        "mkdir -p sub/.git/hooks; cp program sub/.git/hooks/post-index-change; touch sub/file",
    ),
    (
        "hooks elsewhere",
        "mkdir hooks; cp program hooks/post-index-change; git -C sub config core.hooksPath \"$PWD/hooks\"",
    ),
    (
        "linked hooks",
        "mkdir hooks; cp program hooks/post-index-change; rm -r sub/.git/hooks; ln -s ../../hooks sub/.git/hooks",
    ),
    (
        "own work tree configuration",
        "git -C sub config extensions.worktreeConfig true
         git -C sub config --worktree core.fsmonitor \"$evil\"",
    ),
    (
        "common directory",
        "cp -r sub/.git other; git --git-dir other config core.fsmonitor \"$evil\"; echo ../../other > sub/.git/commondir",
    ),
    (
        "pointer",
        "mv sub/.git other; git --git-dir other config core.fsmonitor \"$evil\"; echo 'gitdir: ../other' > sub/.git",
    ),
    (
        "link",
        "mv sub/.git other; git --git-dir other config core.fsmonitor \"$evil\"; ln -s ../other sub/.git",
    ),
    (
        "two readers",
        "printf '[user]\\n\\tname = a # \\\\\\n[core] fsmonitor = \"%s\"\\n' \"$evil\" >> sub/.git/config",
    ),
    (
        "a comment that goes on",
        "printf '# \\\\\\n[core] fsmonitor = \"%s\"\\n' \"$evil\" >> sub/.git/config",
    ),
    (
        "one line",
        "printf '[user] name = a\\n[user \"x\"] [core] fsmonitor = \"%s\"\\n' \"$evil\" >> sub/.git/config",
    ),
    (
        "a clone in a clone",
        "cp -r sub sub/deep; git -C sub/deep config core.fsmonitor \"$evil\"
         git -C sub update-index --add --cacheinfo 160000,$(git -C sub/deep rev-parse HEAD),deep; git -C sub commit -q -m deep",
    ),
];

/// Acceptance 84 and 86: nested repositories, in both modes.
#[test]
fn g84_g86_a_nested_repository_runs_nothing_by_a_look() {
    let mut bites = 0;
    for mode in ["isolated", "direct"] {
        for (name, way) in WAYS {
            let world = World::with_repository();
            let ran = world.home.join("ran");
            let script = format!("RAN='{}'; {MAKE}\n{way}", ran.display());
            // Without the run the same does bite: else the test would show nothing.
            if mode == "direct" {
                let bare = World::with_repository();
                let own = bare.home.join("ran");
                let script = script.replace(&ran.display().to_string(), &own.display().to_string());
                drop(bare.command("sh").args(["-c", &script]).output().unwrap());
                fs::remove_file(&own).ok();
                looked_at(&bare);
                bites += usize::from(own.is_file());
            }
            let told = world.run(&["--git-mode", mode], &script);
            assert_eq!(told.code, 0, "{mode} {name}: {told:?}");
            looked_at(&world);
            assert!(
                !ran.exists(),
                "{mode} {name}: {told:?} {:?}",
                fs::read_to_string(&ran)
            );
            assert!(
                told.err.contains(".git was put away, to "),
                "{mode} {name}: {told:?}"
            );
            assert_eq!(world.events_of("put_away").len(), 1, "{mode} {name}");
        }
    }
    assert!(bites >= WAYS.len() - 2, "{bites} of {}", WAYS.len());
}

/// What git itself makes stays where it is, and is told.
#[test]
fn plain_repositories_stay() {
    for mode in ["isolated", "direct"] {
        let world = World::with_repository();
        let told = world.run(
            &["--git-mode", mode],
            "git init -q -b main one; git -C one commit -q --allow-empty -m one; git clone -q ./one two
             git -C two config user.name x; git -C two config commit.gpgsign false; git -C two switch -q -c topic
             git -C two worktree add -q ../three
             git clone -q ./one four; git -C four sparse-checkout set a
             cd two; git -c protocol.file.allow=always submodule --quiet add ../one inner; git commit -q -m inner",
        );
        assert_eq!(told.code, 0, "{told:?}");
        assert!(!told.err.contains("put away"), "{mode}: {told:?}");
        for name in ["one", "two", "three", "four", "two/inner"] {
            assert!(world.project.join(name).join(".git").exists(), "{mode} {name}");
            world.git(&world.project.join(name), &["status"]);
        }
    }
}

/// A run that was killed leaves it to the next one, and to `aca check`.
#[test]
fn g88_what_a_killed_run_made_is_put_away() {
    for next in ["run", "check"] {
        let world = World::with_repository();
        let ran = world.home.join("ran");
        let script = format!(
            "RAN='{}'; {MAKE}\ngit -C sub config core.fsmonitor \"$evil\"; kill -9 $PPID; sleep 9",
            ran.display()
        );
        let mut child = world.aca(&["run", "--", "sh", "-ec", &script]).spawn().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let config = world.project.join("sub/.git/config");
        let is_set = || fs::read_to_string(&config).is_ok_and(|text| text.contains("fsmonitor"));
        while !is_set() && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let err = match next {
            "run" => world.run(&[], "true").err,
            _ => String::from_utf8(world.aca(&["check"]).output().unwrap().stderr).unwrap(),
        };
        assert!(err.contains("sub/.git was put away, to "), "{next}: {err}");
        looked_at(&world);
        assert!(!Path::new(&ran).exists(), "{next}");
    }
}
