//! The private git directory: what is done in it comes back, and nothing else does.

use super::support::{Ran, World};
use super::yard::until;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

const APART: &[&str] = &["--git-mode", "isolated"];

fn isolated(world: &World, script: &str) -> Ran {
    world.run(APART, script)
}

/// Git outside, in the project.
#[track_caller]
fn git(world: &World, arguments: &[&str]) -> String {
    world.git(&world.project, arguments)
}

/// A run that goes on until [`go_on`].
fn start(world: &World, script: &str) -> Child {
    let script =
        format!("wait_for() {{ while ! [ -e \"$1\" ]; do sleep 0.02; done; }}; echo > begun; {script}");
    let mut command = world.aca(&["run"]);
    let child = command
        .args(APART)
        .args(["--", "sh", "-ec", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = world.project.join("begun");
    until(|| fs::remove_file(&begun).ok());
    child
}

fn go_on(world: &World, file: &str) {
    world.file(file, "");
}

fn finish(child: Child) -> Ran {
    Ran::from_output(&child.wait_with_output().unwrap())
}

/// Where private git directories are while they are.
fn left(world: &World) -> usize {
    let places = world.home.join(".local/state/aca/git");
    fs::read_dir(places).map_or(0, Iterator::count)
}

#[test]
fn branches_tags_notes_stash_and_index_come_back() {
    let world = World::with_repository();
    let ran = isolated(
        &world,
        "set -e; git switch -qc topic; echo 1 > a; git add a; git commit -qm a1; echo 2 >> a; git commit -qam a2; \
         git commit -q --amend -m a3; git tag v1; git tag -a v2 -m annotated; git notes add -m note; \
         echo s > s; git add s; git stash -q; echo t >> a; git stash push -qm second; \
         git switch -q main; git merge -q --no-ff -m merged topic; \
         echo staged > staged; git add staged; git mv README readme; git rm -q --cached a; \
         git remote add up https://up.test/x.git; git branch -q side HEAD~1; git branch -q --set-upstream-to=topic side; \
         git status --short > status; git for-each-ref > refs; git stash list > list; git log --all --oneline > log",
    );
    ran.ok();
    let shown = |name: &str| fs::read_to_string(world.project.join(name)).unwrap();
    let without = |text: String| {
        text.lines()
            .filter(|line| !line.ends_with("refs") && !line.contains("?? "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(git(&world, &["for-each-ref"]), shown("refs").trim_end());
    assert_eq!(
        without(git(&world, &["status", "--short"])),
        without(shown("status"))
    );
    assert_eq!(git(&world, &["stash", "list"]), shown("list").trim_end());
    assert_eq!(
        git(&world, &["log", "--all", "--oneline"]),
        shown("log").trim_end()
    );
    assert_eq!(git(&world, &["config", "remote.up.url"]), "https://up.test/x.git");
    assert_eq!(git(&world, &["config", "branch.side.merge"]), "refs/heads/topic");
    assert_eq!(git(&world, &["fsck", "--strict"]), "");
    assert_eq!((ran.err.as_str(), left(&world)), ("", 0), "{ran:?}");
    assert_eq!(world.events_of("trust_change"), Vec::<serde_json::Value>::new());
}

#[test]
fn each_commit_comes_back_while_the_run_goes_on() {
    let world = World::with_repository();
    let child = start(
        &world,
        "echo 1 > f; git add f; git commit -qm during; wait_for go; git switch -qc next; wait_for on",
    );
    until(|| (git(&world, &["log", "-1", "--format=%s"]) == "during").then_some(()));
    until(|| git(&world, &["status", "--porcelain"]).is_empty().then_some(()));
    go_on(&world, "go");
    until(|| (git(&world, &["branch", "--show-current"]) == "next").then_some(()));
    go_on(&world, "on");
    finish(child).ok();
}

#[test]
fn what_the_user_commits_meanwhile_stays() {
    let world = World::with_repository();
    let child = start(
        &world,
        "wait_for go; echo a > agent; git add agent; git commit -qm agents",
    );
    git(&world, &["commit", "-q", "--allow-empty", "-m", "users"]);
    let users = git(&world, &["rev-parse", "main"]);
    go_on(&world, "go");
    let ran = finish(child);
    ran.ok();
    assert_eq!(git(&world, &["rev-parse", "main"]), users);
    let aside = git(
        &world,
        &["for-each-ref", "--format=%(refname) %(subject)", "refs/aca"],
    );
    let (name, subject) = aside.split_once(' ').unwrap();
    assert!(
        name.starts_with("refs/aca/") && name.ends_with("/main") && subject == "agents",
        "{aside}"
    );
    assert!(
        ran.err.contains(&format!("refs/heads/main is kept as {name}")),
        "{ran:?}"
    );
    let event = &world.events_of("git_aside")[0];
    assert_eq!(event["at"].as_str(), Some(name));
    fs::remove_file(world.project.join("agent")).unwrap();
    git(&world, &["merge", "-q", "-m", "both", name]);
}

#[test]
fn only_what_the_session_brought_is_rewritten() {
    let world = World::with_repository();
    for number in 1..4 {
        git(
            &world,
            &["commit", "-q", "--allow-empty", "-m", &number.to_string()],
        );
    }
    let before = git(&world, &["rev-parse", "main"]);
    // Its own commits, brought already, may become others.
    let child = start(
        &world,
        "git switch -qc own; git commit -q --allow-empty -m x; git switch -q main; git commit -q --allow-empty -m y; wait_for go; \
         git commit -q --amend -m z --allow-empty; git switch -q own; git reset -q --hard main~1; \
         git commit -q --allow-empty -m w",
    );
    until(|| {
        git(&world, &["log", "-1", "--format=%s", "--all"])
            .contains('y')
            .then_some(())
    });
    go_on(&world, "go");
    let ran = finish(child);
    assert_eq!((ran.ok(), ran.err.as_str()), ("", ""));
    assert_eq!(git(&world, &["log", "-2", "--format=%s", "main"]), "z\n3");
    assert_eq!(git(&world, &["log", "-2", "--format=%s", "own"]), "w\n3");
    // The user's may not.
    isolated(
        &world,
        "git reset -q --hard HEAD~3; git commit -q --allow-empty -m rewritten",
    )
    .ok();
    assert_eq!(git(&world, &["rev-parse", "main~1"]), before);
    assert_eq!(
        git(&world, &["log", "-1", "--format=%s", "--glob=refs/aca"]),
        "rewritten"
    );
    // What a session made it may take away again, and nothing else.
    let child = start(
        &world,
        "git tag brief; git branch brief; wait_for made; git tag -d brief; git branch -D brief; wait_for gone",
    );
    let tags = || {
        git(
            &world,
            &[
                "for-each-ref",
                "--format=%(refname)",
                "refs/tags",
                "refs/heads/brief",
            ],
        )
    };
    until(|| (tags().lines().count() == 2).then_some(()));
    go_on(&world, "made");
    until(|| tags().is_empty().then_some(()));
    go_on(&world, "gone");
    finish(child).ok();
    isolated(&world, "git branch -D own; git tag t; git stash list").ok();
    assert_eq!(git(&world, &["log", "-1", "--format=%s", "own"]), "w");
}

#[test]
fn what_was_stashed_before_is_there_and_stays() {
    let world = World::with_repository();
    world.file("README", "changed\n");
    git(&world, &["stash", "push", "-qm", "users"]);
    isolated(&world, "git stash pop -q && echo more >> README && git stash push -qm agents && echo x > x && git add x && git stash -q && git stash drop -q").ok();
    let list = git(&world, &["stash", "list", "--format=%gs"]);
    assert_eq!(list, "On main: agents\nOn main: users");
    assert_eq!(
        git(&world, &["stash", "show", "-p", "stash@{0}", "--format="])
            .matches("+more")
            .count(),
        1
    );
}

/// Acceptance 88.
#[test]
fn g88_what_a_killed_run_left_is_brought_back_by_the_next() {
    let world = World::with_repository();
    for next in [&["sessions"][..], &["run", "--", "true"]] {
        let child = start(
            &world,
            "wait_for go; git commit -q --allow-empty -m last; echo > done; wait_for never",
        );
        // The supervisor doesn't see the commit any more.
        let id = rustix::process::Pid::from_child(&child);
        go_on(&world, "go");
        until(|| {
            world
                .project
                .join("done")
                .symlink_metadata()
                .is_ok()
                .then_some(())
        });
        rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        finish(child);
        assert_eq!(left(&world), 1);
        let ran = Ran::from_output(&world.aca(next).output().unwrap());
        ran.ok();
        assert!(ran.err.contains("was cut off; of what it did in git:"), "{ran:?}");
        assert_eq!(git(&world, &["log", "-1", "--format=%s"]), "last");
        assert_eq!(left(&world), 0);
        fs::remove_file(world.project.join("done")).unwrap();
        fs::remove_file(world.project.join("go")).unwrap();
        git(&world, &["reset", "-q", "--hard", "HEAD~1"]);
    }
}

#[test]
fn linked_work_trees_and_submodules() {
    let world = World::with_repository();
    let linked = world.home.join("linked");
    git(
        &world,
        &["worktree", "add", "-q", linked.to_str().unwrap(), "-b", "linked"],
    );
    let run = |directory: &Path, script: &str| {
        let mut command = world.aca(&["run"]);
        command
            .args(APART)
            .args(["--", "sh", "-ec", script])
            .current_dir(directory);
        Ran::from_output(&command.output().unwrap())
    };
    let ran = run(
        &linked,
        "git status --porcelain; echo l > l; git add l; git commit -qm linked; git branch other main; git worktree list | wc -l",
    );
    assert_eq!((ran.ok(), ran.err.as_str()), ("2", ""), "{ran:?}");
    assert_eq!(world.git(&linked, &["log", "-1", "--format=%s"]), "linked");
    assert_eq!(world.git(&linked, &["status", "--porcelain"]), "");
    assert_eq!(git(&world, &["branch", "--show-current"]), "main");
    // A branch that another work tree has isn't moved beneath it.
    let main = git(&world, &["rev-parse", "main"]);
    run(&linked, "git update-ref refs/heads/main HEAD").ok();
    assert_eq!(git(&world, &["rev-parse", "main"]), main);
    // A submodule.
    let part = world.directory(world.outside.join("part"));
    world.git(&part, &["init", "-q", "-b", "main"]);
    world.file(part.join("p"), "p");
    world.git(&part, &["add", "-A"]);
    world.git(&part, &["commit", "-qm", "part"]);
    git(
        &world,
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            part.to_str().unwrap(),
            "sub",
        ],
    );
    git(&world, &["commit", "-qm", "with a submodule"]);
    let ran = run(
        &world.project,
        "git submodule status; cd sub; echo q > q; git add q; git commit -qm within; cd ..; git commit -qam outer; git status --porcelain",
    );
    assert_eq!(ran.ok().lines().count(), 1, "{ran:?}");
    assert_eq!(
        world.git(&world.project.join("sub"), &["log", "-1", "--format=%s"]),
        "within"
    );
    assert_eq!(git(&world, &["log", "-1", "--format=%s"]), "outer");
    assert_eq!(git(&world, &["status", "--porcelain"]), "");
    assert_eq!(git(&world, &["submodule", "status"]).chars().next(), Some(' '));
    // The submodule as the project.
    let ran = run(
        &world.project.join("sub"),
        "echo r > r; git add r; git commit -qm alone",
    );
    ran.ok();
    assert_eq!(
        world.git(&world.project.join("sub"), &["log", "-1", "--format=%s"]),
        "alone"
    );
}

#[test]
fn what_cannot_be_private_is_direct_and_said() {
    let world = World::with_repository();
    let plan = |world: &World| {
        let mut command = world.aca(&["plan"]);
        let ran = Ran::from_output(&command.args(APART).args(["--", "true"]).output().unwrap());
        ran.ok().to_owned()
    };
    assert!(
        !plan(&world).contains("the private git directory: the host's own"),
        "{}",
        plan(&world)
    );
    world.directory(world.project.join(".git/lfs"));
    let text = plan(&world);
    assert!(
        text.contains("the private git directory: the host's own is worked on"),
        "{text}"
    );
    assert!(text.contains("`lfs` keeps data of its own"), "{text}");
    isolated(&world, "git commit -q --allow-empty -m direct; touch .git/here").ok();
    assert!(world.project.join(".git/here").symlink_metadata().is_ok());
    // Without a repository there is nothing to do, and one that is made inside is the project's.
    let plain = World::new();
    isolated(&plain, "git init -q . && git commit -q --allow-empty -m first").ok();
    assert_eq!(git(&plain, &["log", "--format=%s"]), "first");
}

#[test]
fn an_executable_hook_of_the_users_runs_inside() {
    let world = World::with_repository();
    let hook = world.file(".git/hooks/pre-commit", "#!/bin/sh\necho ran > hook-ran\n");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    isolated(&world, "git commit -q --allow-empty -m x").ok();
    assert!(world.project.join("hook-ran").symlink_metadata().is_ok());
}

/// Commits on no branch aren't lost with the private directory.
#[test]
fn what_no_branch_has_is_kept_aside() {
    let world = World::with_repository();
    let script = "git switch -q --detach; git commit -q --allow-empty -m loose; mkdir .git/rebase-apply";
    let ran = isolated(&world, script);
    let found = git(
        &world,
        &[
            "for-each-ref",
            "--format=%(refname:lstrip=3) %(subject)",
            "refs/aca",
        ],
    );
    assert_eq!(found, "HEAD loose", "{ran:#?}");
    assert_eq!(git(&world, &["symbolic-ref", "HEAD"]), "refs/heads/main");
    // What a branch has needs no other name.
    isolated(&world, "git switch -q --detach; mkdir .git/rebase-apply");
    assert_eq!(git(&world, &["for-each-ref", "refs/aca"]).lines().count(), 1);
}
