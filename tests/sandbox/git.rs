//! G cases: git inside.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::support::{Ran, World};
use std::fs;
use std::path::{Path, PathBuf};

fn aca_in(world: &World, directory: &Path, script: &str) -> Ran {
    let mut command = world.aca(&["run", "--", "sh", "-c", script]);
    Ran::from_output(&command.current_dir(directory).output().unwrap())
}

/// A repository, and a linked work tree of it beside.
fn with_worktree() -> (World, PathBuf) {
    let world = World::with_repository();
    let linked = world.home.join("linked");
    world.git(
        &world.project,
        &["worktree", "add", "-q", linked.to_str().unwrap(), "-b", "linked"],
    );
    (world, linked)
}

#[test]
fn g01_status_is_clean_inside_and_outside() {
    let (world, linked) = with_worktree();
    for directory in [world.project.clone(), linked] {
        let ran = aca_in(&world, &directory, "git status --porcelain --ignored && ls -A");
        let listed = ran.ok().to_owned();
        assert_eq!(listed, ".git\nREADME", "{ran:?}");
        assert_eq!(world.git(&directory, &["status", "--porcelain", "--ignored"]), "");
        assert_eq!(ran.err, "", "{ran:?}");
    }
}

/// A repository that is a writable root itself: nothing above it is bound, so the host's home stays out.
#[test]
fn p1_a_repository_that_is_a_root_shows_nothing_around_it() {
    let (world, linked) = with_worktree();
    world.file(world.home.join(".ssh/id_ed25519"), "SECRET");
    world.file(world.outside.join("beside"), "SECRET");
    let bare = world.home.join("bare.git");
    world.git(&world.home, &["init", "-q", "--bare", bare.to_str().unwrap()]);
    let script = format!(
        "cat ~/.ssh/id_ed25519 {0}/beside {1}/README; echo x > ~/planted; echo x > {0}/planted; true",
        world.outside.display(),
        world.project.display(),
    );
    for directory in [&linked, &bare] {
        let ran = aca_in(&world, directory, &script);
        assert_eq!(ran.ok(), "", "{ran:?}");
    }
    // A rule grants such a directory.
    let granted = world.run(
        &["--write", bare.to_str().unwrap()],
        "cat ~/.ssh/id_ed25519; echo x > ~/planted; true",
    );
    assert_eq!(granted.ok(), "", "{granted:?}");
    for planted in [world.home.join("planted"), world.outside.join("planted")] {
        assert!(!planted.exists(), "{planted:?}");
    }
}

#[test]
fn g01_g02_masked_files_do_not_stop_git() {
    let world = World::with_repository();
    // A key for tests is in the history, where everybody can read it: it is no secret. One beside it is.
    world.file("tests/test.key", "tracked");
    world.file("tests/changed.key", "tracked too");
    world.git(&world.project, &["add", "-A"]);
    world.git(&world.project, &["commit", "-qm", "second"]);
    world.git(&world.project, &["gc", "-q"]);
    for (path, content) in [
        (".env", "geheim"),
        ("a b/[x]*.env", "geheim"),
        ("tests/changed.key", "geheim"),
    ] {
        world.file(path, content);
    }
    let ran = world.run(
        &[],
        "cat tests/test.key; cat .env 'a b/[x]*.env' tests/changed.key; git status --porcelain",
    );
    assert!(
        ran.out.starts_with("tracked") && !ran.out.contains("geheim"),
        "{ran:?}"
    );
    assert!(
        !ran.out.contains(".env") && !ran.out.contains("test.key"),
        "{ran:?}"
    );
    fs::write(world.project.join("tests/changed.key"), "tracked too").unwrap();
    let ran = world.run(
        &[],
        "echo x > f && git add -A && git commit -qm inside && git status --porcelain",
    );
    assert_eq!(ran.ok(), "", "{ran:?}");
    assert_eq!(
        world.git(&world.project, &["show", "--format=", "--name-only"]),
        "f"
    );
    // One that appears meanwhile, and a name that is no secret's.
    let ran = world.run(
        &[],
        "mkdir n && echo own > n/.env && echo y > n/.env.example && n=0; while cat n/.env >/dev/null 2>&1 && test $n -lt 9999; do n=$((n+1)); done; \
         git add -A && git commit -qm more && git show --format= --name-only",
    );
    assert_eq!(ran.ok(), "n/.env.example", "{ran:?}");
    let status = world.git(&world.project, &["status", "--porcelain"]);
    assert_eq!(status.lines().count(), 3, "{status}");
}

#[test]
fn g01_what_the_user_ignores_is_ignored_inside() {
    let world = World::with_repository();
    world.file(
        "../.gitconfig",
        "[core]\n\texcludesFile = ~/.ignored\n[user]\n\tname = A\n",
    );
    world.file("../.ignored", "*.swp\n");
    world.file("x.swp", "");
    assert_eq!(world.run(&[], "git status --porcelain").ok(), "");
    assert_eq!(world.git(&world.project, &["status", "--porcelain"]), "");
}

#[test]
fn g01_a_tracked_file_that_gets_a_secret_is_masked() {
    let world = World::with_repository();
    world.file("test.key", "tracked");
    world.git(&world.project, &["add", "-A"]);
    world.git(&world.project, &["commit", "-qm", "second"]);
    let mut shell = super::shell::Shell::start(&world, &[]);
    shell.ask("cat test.key").ok();
    world.file("test.key", "geheim");
    shell.until_refused("cat test.key", "Permission denied");
}

#[test]
fn g02_g03_add_all_and_commit() {
    let (world, linked) = with_worktree();
    world.file(".env", "geheim");
    world.file(".gitignore", ".env\n");
    for (index, directory) in [world.project.clone(), linked].iter().enumerate() {
        let ran = aca_in(
            &world,
            directory,
            &format!(
                "echo x > file{index} && git add -A && git commit -qm inside && git log --format=%s -1 && git status --porcelain"
            ),
        );
        assert_eq!(ran.ok(), "inside", "{ran:?}");
        assert_eq!(world.git(directory, &["log", "--format=%s", "-1"]), "inside");
        assert_eq!(world.git(directory, &["status", "--porcelain"]), "");
        assert_eq!(
            world.git(directory, &["ls-files", &format!("file{index}")]),
            format!("file{index}")
        );
        world.git(directory, &["fsck", "--strict"]);
    }
}

#[test]
fn g04_everyday_commands() {
    let (world, linked) = with_worktree();
    for directory in [world.project.clone(), linked] {
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let ran = aca_in(
            &world,
            &directory,
            &format!(
                "set -e; echo x >> README; git stash -q; git stash pop -q; git checkout -q -b new-{name}; git commit -qam a; \
                 git tag t-{name}; git checkout -q -; git merge -q --no-ff -m m new-{name}; git rebase -q HEAD~1; \
                 git reset -q --hard HEAD; git revert --no-edit HEAD >/dev/null 2>&1 || git revert --no-edit -m1 HEAD >/dev/null; \
                 git gc -q; git reflog | wc -l >/dev/null; git worktree add -q sub-{name} -b wt-{name}; git -C sub-{name} status --porcelain"
            ),
        );
        assert_eq!(ran.ok(), "", "{ran:?}");
        world.git(&directory, &["fsck"]);
    }
}

/// The common git directory is a root of its own: nothing above it is pinned, which would show the host's.
#[test]
fn g04_a_linked_work_tree_shows_nothing_of_what_lies_above() {
    let (world, linked) = with_worktree();
    world.file(world.home.join(".ssh/id"), "SECRET");
    let ran = aca_in(
        &world,
        &linked,
        &format!(
            "cat ~/.ssh/id {0}/README; for p in {0}/q ~/q {1}/q {1}/home/q; do echo x > $p; done; ls {1}; true",
            world.project.display(),
            world.root().display()
        ),
    );
    assert!(
        !ran.out.contains("SECRET") && !ran.out.contains("hello"),
        "{ran:?}"
    );
    for path in [
        world.project.join("q"),
        world.home.join("q"),
        world.root().join("q"),
    ] {
        assert!(fs::symlink_metadata(&path).is_err(), "{path:?} {ran:?}");
    }
}

#[test]
fn g05_settings_of_the_repository_are_refused_in_words() {
    let world = World::with_repository();
    let ran = world.run(&["--git-mode", "direct"], "git remote add o https://git.test/x; git config a.b c; git switch -q -c y --track main; git branch --show-current");
    // The branch is made, only the setting isn't.
    assert_eq!(ran.out, "y\n", "{ran:?}");
    assert!(ran.err.contains("config"), "{ran:?}");
    assert!(
        !fs::read_to_string(world.project.join(".git/config"))
            .unwrap()
            .contains("[a")
    );
}

#[test]
fn g06_clone_inside() {
    let world = World::with_repository();
    let ran = world.run(&[], "git clone -q . d && git -C d log --format=%s && git clone -q d /tmp/e && git -C /tmp/e status --porcelain");
    assert_eq!(ran.ok(), "first", "{ran:?}");
    let told = world.events_of("trust_change");
    assert!(told.iter().any(|event| event["path"] == "d/.git"), "{told:?}");
    assert!(ran.err.contains("d/.git"), "{ran:?}");
}

#[test]
fn g07_clean_leaves_what_is_protected() {
    let world = World::with_repository();
    world.file("junk/x", "");
    world.file(".vscode/settings.json", "{}");
    world.file(".env", "geheim");
    world.run(&[], "git clean -fdxq; test ! -e junk").ok();
    assert!(world.project.join(".vscode/settings.json").exists() && world.project.join(".env").exists());
}

#[test]
fn g08_a_branch_that_changes_a_protected_file_leaves_that_as_it_is() {
    let world = World::with_repository();
    world.file(".claude/commands/x.md", "one");
    world.file("src", "one");
    world.git(&world.project, &["add", "-A"]);
    world.git(&world.project, &["commit", "-qm", "one"]);
    world.git(&world.project, &["checkout", "-qb", "other"]);
    world.file(".claude/commands/x.md", "two");
    world.file("src", "two");
    world.git(&world.project, &["commit", "-qam", "two"]);
    let ran = world.run(&[], "git checkout -q main");
    // Git says what it could not write, and goes on with the rest; the host's git can finish.
    assert!(
        ran.err.contains("unable to unlink old '.claude/commands/x.md'"),
        "{ran:?}"
    );
    assert_eq!(
        fs::read_to_string(world.project.join(".claude/commands/x.md")).unwrap(),
        "two"
    );
    world.git(&world.project, &["checkout", "-qf", "main"]);
    assert_eq!(fs::read_to_string(world.project.join("src")).unwrap(), "one");
}

/// Work trees beside each other in a bare repository: its directory is writable, and holds them all.
#[test]
fn other_work_trees_in_the_repository_are_hidden() {
    let world = World::with_repository();
    let bare = world.home.join("bare.git");
    world.git(&world.home, &["clone", "-q", "--bare", "project", "bare.git"]);
    for (tree, branch) in [("own", "a"), ("other", "b"), ("feature/deep", "c")] {
        world.git(&bare, &["worktree", "add", "-q", "-b", branch, tree]);
        world.file(bare.join(tree).join(".env"), "TOKEN=geheim");
        world.file(bare.join(tree).join("Makefile"), "all:");
    }
    let script = "for t in other feature/deep; do cat ../$t/.env ../$t/Makefile; echo evil > ../$t/Makefile; \
                  echo evil > ../$t/new; mv ../$t ../x; rm -rf ../$t; done 2> /dev/null; mv ../feature ../x 2> /dev/null; rm -rf ../x; \
                  cat Makefile; echo x > README && git commit -qam second && git log --oneline | wc -l";
    let mut command = world.aca(&["run", "--", "sh", "-c", script]);
    let ran = Ran::from_output(&command.current_dir(bare.join("own")).output().unwrap());
    assert_eq!(ran.ok(), "all:2", "{ran:#?}");
    for tree in ["other", "feature/deep"] {
        assert_eq!(
            fs::read_to_string(bare.join(tree).join("Makefile")).unwrap(),
            "all:"
        );
        assert_eq!(
            fs::read_to_string(bare.join(tree).join(".env")).unwrap(),
            "TOKEN=geheim"
        );
    }
    assert_eq!(world.git(&bare, &["worktree", "list"]).lines().count(), 4);
}
