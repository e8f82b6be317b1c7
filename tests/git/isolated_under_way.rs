//! What git inside is in the middle of when a run ends goes on outside, and runs nothing that was written inside.

use super::support::{Ran, World};
use std::fs;

const APART: &[&str] = &["--git-mode", "isolated"];

/// Two branches that conflict in `f`, three commits each; `main` is checked out.
fn conflicting() -> World {
    let world = World::with_repository();
    let script = "set -e; for n in 1 2 3; do echo m$n > f; git add f; git commit -qm m$n; done; git switch -qc side HEAD~3; \
         for n in 1 2 3; do echo s$n > f; git add f; git commit -qm s$n; done; git switch -q main";
    let output = world.command("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    world
}

/// Outside, in the project; gives what it said.
#[track_caller]
fn outside(world: &World, script: &str) -> String {
    let script = format!("export GIT_EDITOR=true; set -e; {script}");
    let output = world.command("sh").args(["-c", &script]).output().unwrap();
    let ran = Ran::from_output(&output);
    assert_eq!(ran.code, 0, "{script}: {ran:#?}");
    ran.out.trim().to_owned()
}

/// What git says about it is the same on both sides.
#[track_caller]
fn begin(world: &World, script: &str) {
    let ran = world.run(
        APART,
        &format!("exec 2> /dev/null; {script}; git status > said; git diff > shown; exit 0"),
    );
    ran.ok();
    let both = |name: &str, command: &str| {
        let inside = fs::read_to_string(world.project.join(name)).unwrap();
        fs::remove_file(world.project.join(name)).unwrap();
        let plain = |text: &str| {
            let lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !matches!(*line, "said" | "shown"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        (plain(&inside), plain(&outside(world, command)))
    };
    let (inside, now) = both("shown", "git diff");
    assert_eq!(now, inside, "{ran:#?}");
    let (inside, now) = both("said", "git status");
    let untracked = |lines: Vec<String>| {
        lines
            .into_iter()
            .filter(|line| {
                !line.contains("ntracked")
                    && !line.contains("nothing to commit")
                    && !line.contains("to include in what will")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(untracked(now), untracked(inside), "{ran:#?}");
    assert_eq!(ran.err, "");
    let places = world.home.join(".local/state/aca/git");
    assert_eq!(fs::read_dir(places).unwrap().count(), 0);
}

#[test]
fn a_merge_goes_on_and_is_taken_back() {
    let world = conflicting();
    begin(&world, "git merge --no-ff side");
    outside(&world, "echo both > f; git add f; git merge --continue");
    assert_eq!(outside(&world, "git log -1 --format=%s"), "Merge branch 'side'");
    assert_eq!(outside(&world, "git rev-list --count HEAD~1..HEAD^2"), "3");
    outside(&world, "git reset -q --hard HEAD~1");
    begin(&world, "git merge side");
    outside(&world, "git merge --abort");
    assert_eq!(outside(&world, "git status --porcelain; cat f"), "m3");
    // On what was done inside.
    begin(
        &world,
        "git switch -qc more; echo x > x; git add x; git commit -qm x; git merge side",
    );
    outside(&world, "git commit -qam merged");
    assert_eq!(outside(&world, "git rev-list --count main..more"), "5");
}

#[test]
fn a_cherry_pick_and_a_revert_go_on() {
    let world = conflicting();
    begin(&world, "git cherry-pick side");
    outside(&world, "echo both > f; git add f; git cherry-pick --continue");
    assert_eq!(outside(&world, "git log -1 --format=%s"), "s3");
    outside(&world, "git reset -q --hard HEAD~1");
    begin(&world, "git cherry-pick -x side~2 side~1 side");
    outside(&world, "git cherry-pick --abort");
    assert_eq!(
        outside(&world, "git log -1 --format=%s; git status --porcelain"),
        "m3"
    );
    begin(&world, "git cherry-pick -x side~2 side~1");
    outside(
        &world,
        "echo one > f; git add f; git cherry-pick --continue || true",
    );
    outside(&world, "echo two > f; git add f; git cherry-pick --continue");
    let log = outside(&world, "git log -2 --format=%s");
    assert_eq!(log, "s2\ns1");
    begin(&world, "git revert HEAD~2");
    outside(&world, "echo three > f; git add f; git revert --continue");
    assert_eq!(outside(&world, "git log -1 --format=%s"), "Revert \"m3\"");
    begin(&world, "git revert HEAD~3");
    outside(&world, "git revert --abort");
    assert_eq!(outside(&world, "git status --porcelain"), "");
}

#[test]
fn a_rebase_goes_on_and_is_taken_back() {
    let world = conflicting();
    begin(&world, "git switch -q side; git rebase main");
    outside(
        &world,
        "while test -d .git/rebase-merge; do echo $RANDOM$(cat .git/rebase-merge/msgnum) > f; git add f; git rebase --continue || true; done",
    );
    assert_eq!(
        outside(&world, "git log --format=%s -4; git branch --show-current"),
        "s3\ns2\ns1\nm3\nside"
    );
    outside(&world, "git reset -q --hard HEAD~3; git reset -q --hard side@{1}");
    begin(
        &world,
        "GIT_SEQUENCE_EDITOR='sed -i -e 1s/pick/edit/ -e 3s/pick/fixup/' git rebase -i HEAD~3",
    );
    outside(&world, "git rebase --abort");
    assert_eq!(
        outside(
            &world,
            "git log --format=%s -3; git status --porcelain; git branch --show-current"
        ),
        "s3\ns2\ns1\nside"
    );
    begin(
        &world,
        "GIT_SEQUENCE_EDITOR='sed -i -e 1s/pick/edit/ -e 3s/pick/fixup/' git rebase -i HEAD~3",
    );
    outside(
        &world,
        "git commit -q --amend -m amended --author 'O <o@test>'; git rebase --continue",
    );
    assert_eq!(outside(&world, "git log --format=%s -2"), "s2\namended");
}

/// Nothing that somebody inside wrote into those files is run outside, and what isn't brought is told and kept.
#[test]
fn what_would_run_something_stays_inside() {
    let canary = "touch canary";
    for (begin, plant) in [
        (
            "git rebase side",
            "echo 'exec touch canary' >> .git/rebase-merge/git-rebase-todo",
        ),
        (
            "git rebase side",
            "echo 'x touch canary' > .git/rebase-merge/done",
        ),
        (
            "git rebase side",
            "echo evil > .git/rebase-merge/strategy; echo x > .git/evil",
        ),
        (
            "git rebase side",
            "echo \"'-X' 'x'\" > .git/rebase-merge/strategy_opts",
        ),
        (
            "git rebase side",
            "echo \"GIT_AUTHOR_NAME='a'\\$(touch canary)\" > .git/rebase-merge/author-script",
        ),
        (
            "git rebase side",
            "echo refs/heads/side > .git/rebase-merge/head-name",
        ),
        (
            "git rebase side",
            "echo refs/heads/side > .git/rebase-merge/update-refs",
        ),
        (
            "git rebase side",
            "git rev-parse side > .git/rebase-merge/orig-head",
        ),
        (
            "git rebase side",
            "ln -s ../../f .git/rebase-merge/message-squash",
        ),
        ("git rebase --apply side", "true"),
        (
            "git cherry-pick side~1 side",
            "echo 'exec touch canary' >> .git/sequencer/todo",
        ),
        (
            "git cherry-pick side~1 side",
            "printf '[options]\\n\\tstrategy = evil\\n' > .git/sequencer/opts",
        ),
        (
            "git merge side",
            "echo $(git rev-parse HEAD^{tree}) > .git/MERGE_HEAD",
        ),
        (
            "git merge side",
            "echo 1111111111111111111111111111111111111111 > .git/MERGE_HEAD",
        ),
    ] {
        let world = conflicting();
        let before = outside(
            &world,
            "git ls-files -s; git rev-parse HEAD; git symbolic-ref HEAD",
        );
        let ran = world.run(
            APART,
            &format!("{begin}; {plant}; git checkout -q -f HEAD -- f; exit 0"),
        );
        ran.ok();
        assert!(
            ran.err
                .contains("not brought back from git inside: HEAD and the index"),
            "{plant}: {ran:#?}"
        );
        assert!(
            ran.err.contains("the private git directory is kept at"),
            "{plant}: {ran:#?}"
        );
        let now = outside(
            &world,
            "git ls-files -s; git rev-parse HEAD; git symbolic-ref HEAD",
        );
        assert_eq!(now, before, "{plant}: {ran:#?}");
        outside(
            &world,
            "git checkout -q -f; test -z \"$(git status --porcelain)\"; git commit -q --allow-empty -m on",
        );
        assert!(
            world.project.join("canary").symlink_metadata().is_err(),
            "{plant}, {canary}"
        );
    }
}

/// Where the user has something staged, or under way, it stays inside.
#[test]
fn it_does_not_come_over_what_the_user_has_under_way() {
    let world = conflicting();
    outside(&world, "git merge side || true");
    let before = fs::read(world.project.join(".git/index")).unwrap();
    let ran = world.run(APART, "git merge --abort; git cherry-pick side~1; exit 0");
    ran.ok();
    assert_eq!(
        fs::read(world.project.join(".git/index")).unwrap(),
        before,
        "{ran:#?}"
    );
    assert!(
        world
            .project
            .join(".git/CHERRY_PICK_HEAD")
            .symlink_metadata()
            .is_err()
    );
    assert!(world.project.join(".git/MERGE_HEAD").symlink_metadata().is_ok());
    assert!(ran.err.contains("not brought back"), "{ran:#?}");
}

/// What the user is in the middle of may be worked on inside; a run that leaves it as it is has nothing to tell.
#[test]
fn what_the_user_is_in_the_middle_of_is_worked_on() {
    let world = conflicting();
    for begin in [
        "git merge side",
        "git rebase side",
        "git format-patch -q -3 side; git am *.patch; rm *.patch",
    ] {
        outside(&world, &format!("{{ {begin}; }} > said 2>&1 || true; rm said"));
        let before = outside(&world, "git status");
        let ran = world.run(APART, "git log -1; git diff > /dev/null");
        ran.ok();
        assert_eq!(
            (ran.err.as_str(), outside(&world, "git status")),
            ("", before),
            "{begin}: {ran:#?}"
        );
        if begin != "git merge side" {
            outside(&world, "git rebase --abort || git am --abort");
            continue;
        }
        let ran = world.run(APART, "echo both > f; git add f");
        assert_eq!((ran.ok(), ran.err.as_str()), ("", ""), "{ran:#?}");
        assert_eq!(outside(&world, "git ls-files -u"), "");
        outside(&world, "git merge --continue; git reset -q --hard HEAD~1");
    }
}
