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
            // With all that such a repository may bring.
            let told = world.run(&["--git-mode", mode, "--open-names-in", "sub"], &script);
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
             git clone -q ./one five; git -C five sparse-checkout set a; git -C five sparse-checkout disable
             cd two; git -c protocol.file.allow=always submodule --quiet add ../one inner; git commit -q -m inner",
        );
        assert_eq!(told.code, 0, "{told:?}");
        assert!(!told.err.contains("put away"), "{mode}: {told:?}");
        for name in ["one", "two", "three", "four", "five", "two/inner"] {
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
            "RAN='{}'; {MAKE}\ngit -C sub config core.fsmonitor \"$evil\"; sleep 60",
            ran.display()
        );
        let words = ["run", "--open-names-in", "sub", "--", "sh", "-ec", &script];
        let mut child = world.aca(&words).spawn().unwrap();
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

/// A submodule of the user's that isn't got, at a path.
fn with_empty_submodule(at: &str) -> World {
    let world = World::with_repository();
    let lib = world.directory(world.outside.join("lib"));
    world.git(&lib, &["init", "-q", "-b", "main"]);
    world.git(&lib, &["commit", "-q", "--allow-empty", "-m", "lib"]);
    let head = world.git(&lib, &["rev-parse", "HEAD"]);
    let entry = format!("160000,{},{at}", head.trim());
    world.git(&world.project, &["update-index", "--add", "--cacheinfo", &entry]);
    world.git(&world.project, &["commit", "-q", "-m", "with a submodule"]);
    world.directory(at);
    world
}

/// Puts a repository that runs a program there.
fn plant(world: &World, at: &str) -> String {
    format!(
        "printf '#!/bin/sh\\necho ran >> {}\\n' > program; chmod +x program; git init -q {at}; \
         git -C {at} commit -q --allow-empty -m x; git -C {at} config core.fsmonitor $PWD/program",
        world.home.join("ran").display()
    )
}

/// Git outside enters a submodule's place while the run goes on: nothing can be made there, under whatever name it was made.
#[test]
fn a_submodule_that_is_not_there_is_not_made_inside() {
    for at in ["sub", "node_modules/deep/sub"] {
        for mode in ["isolated", "direct"] {
            let world = with_empty_submodule(at);
            let made = plant(&world, "elsewhere");
            let top = at.split('/').next().unwrap();
            let script = format!(
                "{made}; set +e; git init -q {at}; mv elsewhere/.git {at}/.git; mkdir -p {at}/.git; ln -s ../elsewhere/.git {at}/.git; \
                 ln -s $PWD/elsewhere/.git {at}/.git; echo 'gitdir: ../elsewhere/.git' > {at}/.git; rmdir {at}; \
                 mv elsewhere {at}; mv -T elsewhere {at}; rm -rf {top}; mkdir -p x/$(dirname {at}); \
                 cp -r elsewhere x/{at}; mv x/{top} {top}; python3 - <<'END'\n\
import os\ntry: os.rename('elsewhere', '{at}')\nexcept OSError as error: print(error)\nEND\n\
                 git status --short > /dev/null; exit 0"
            );
            let told = world.run(&["--git-mode", mode], &script);
            told.ok();
            let made = fs::symlink_metadata(world.project.join(at).join(".git"));
            assert!(made.is_err(), "{mode} {at}: {told:?}");
            looked_at(&world);
            assert!(!world.home.join("ran").exists(), "{mode} {at}: {told:?}");
            // Where the directory isn't there, names have to be held.
            let gone = with_empty_submodule(at);
            fs::remove_dir_all(gone.project.join(top)).unwrap();
            let made = plant(&gone, "elsewhere");
            let script = format!(
                "{made}; set +e; mkdir -p $(dirname {at}); mv elsewhere {at}; git init -q {at}; mkdir -p {at}/.git; exit 0"
            );
            let told = gone.run(&["--git-mode", mode, "--hold-names"], &script);
            let made = fs::symlink_metadata(gone.project.join(at).join(".git"));
            assert!(made.is_err(), "{mode} {at}: {told:?}");
            // Where it may be written it is looked at in the end.
            let bare = with_empty_submodule(at);
            let script = plant(&bare, at);
            bare.run(&["--git-mode", mode, "--write", at], &script).ok();
            assert!(!bare.project.join(at).join(".git").exists(), "{mode} {at}");
        }
    }
}

/// Modes, directories of packages and submodules in submodules don't keep one from being found.
#[test]
fn a_submodule_is_found_wherever_it_lies() {
    let ways = [
        ("sub", "chmod 111 sub/.git"),
        ("sub", "chmod 300 sub"),
        ("sub", "chmod 555 sub"),
        ("sub", "chmod 111 sub/.git sub"),
        ("node_modules/sub", ":"),
        ("d/sub", "chmod 111 d"),
    ];
    for (at, way) in ways {
        let world = with_empty_submodule(at);
        let script = format!("{}; {way}", plant(&world, at));
        let told = world.run(&["--write", at], &script);
        told.ok();
        assert!(told.err.contains(".git was put away, to "), "{way}: {told:?}");
        looked_at(&world);
        assert!(!world.home.join("ran").exists(), "{way}: {told:?}");
    }
    // In one that is plain itself, where the walk doesn't look.
    let world = World::with_repository();
    let script = format!(
        "S=node_modules/sub; mkdir node_modules; git init -q $S; {}; \
         git -C $S update-index --add --cacheinfo 160000,$(git -C $S/deep rev-parse HEAD),deep; git -C $S commit -q -m deep; \
         git update-index --add --cacheinfo 160000,$(git -C $S rev-parse HEAD),$S; git commit -q -m outer",
        plant(&world, "$S/deep")
    );
    let told = world.run(&[], &script);
    told.ok();
    looked_at(&world);
    assert!(!world.home.join("ran").exists(), "{told:?}");
}

/// What the user has stays, however it is set.
#[test]
fn a_submodule_of_the_users_stays() {
    for mode in ["isolated", "direct"] {
        let world = with_empty_submodule("sub");
        let sub = world.project.join("sub");
        world.git(&sub, &["init", "-q", "-b", "main"]);
        world.git(&sub, &["commit", "-q", "--allow-empty", "-m", "mine"]);
        world.git(&sub, &["config", "core.editor", "mine"]);
        let told = world.run(&["--git-mode", mode], "echo x > sub/file");
        told.ok();
        assert!(!told.err.contains("put away"), "{mode}: {told:?}");
        assert_eq!(world.git(&sub, &["config", "core.editor"]).trim(), "mine");
    }
}

/// What is plain at the end of one run could be changed by another one that goes on: it doesn't come before.
#[test]
fn a_new_submodule_does_not_come_while_another_run_goes_on() {
    let world = World::with_repository();
    let script = "touch ready; until test -e done; do sleep 0.05; done";
    let mut other = world.aca(&["run", "--", "sh", "-c", script]).spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !world.project.join("ready").exists() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let make = |at: &str| {
        format!(
            "git init -q {at}; git -C {at} commit -q --allow-empty -m x; \
             git update-index --add --cacheinfo 160000,$(git -C {at} rev-parse HEAD),{at}; git commit -q -m {at}"
        )
    };
    world.run(&[], &make("one")).ok();
    let staged = || world.git(&world.project, &["ls-files", "--stage"]);
    let meanwhile = staged();
    world.file("done", "");
    assert!(other.wait().unwrap().success());
    assert!(!meanwhile.contains("160000"), "{meanwhile}");
    world.run(&[], &make("two")).ok();
    assert!(staged().contains("160000"), "{}", staged());
}

/// One that is there isn't changed where the walk doesn't look.
#[test]
fn a_submodule_among_packages_is_kept() {
    for at in ["sub", "node_modules/sub"] {
        let world = with_empty_submodule(at);
        let sub = world.project.join(at);
        world.git(&sub, &["init", "-q", "-b", "main"]);
        world.git(&sub, &["commit", "-q", "--allow-empty", "-m", "mine"]);
        let way = format!(
            "printf '#!/bin/sh\\necho ran >> {}\\n' > program; chmod +x program; git -C {at} config core.fsmonitor $PWD/program; \
             mkdir {at}/.git/hooks; cp program {at}/.git/hooks/post-index-change; mv {at}/.git x; mv {at} y; true",
            world.home.join("ran").display()
        );
        let told = world.run(&[], &way);
        told.ok();
        looked_at(&world);
        assert!(!world.home.join("ran").exists(), "{at}: {told:?}");
        assert!(sub.join(".git").is_dir(), "{at}: {told:?}");
    }
}

/// Git reads indexes that aren't read here: what such a one has as submodules isn't known, so it doesn't stay.
#[test]
fn an_index_that_hides_its_submodules_is_put_away() {
    let world = World::with_repository();
    let ran = world.home.join("ran");
    let make = MAKE.replace("sub", "node_modules/x").replace("cd ..", "cd ../..");
    let script = format!(
        "RAN='{}'; mkdir node_modules; {make}\ngit -C node_modules/x config core.fsmonitor \"$evil\"; git update-index --split-index",
        ran.display()
    );
    let told = world.run(&["--git-mode", "direct"], &script);
    assert_eq!(told.code, 0, "{told:?}");
    fs::remove_file(&ran).ok();
    looked_at(&world);
    assert!(!ran.exists(), "{told:?}");
    assert!(told.err.contains(".git/index was put away, to "), "{told:?}");
    // One that was so before is the user's.
    let world = World::with_repository();
    world.git(&world.project, &["update-index", "--split-index"]);
    let told = world.run(&["--git-mode", "direct"], "echo x > new; git add new");
    assert!(!told.err.contains("put away"), "{told:?}");
}
