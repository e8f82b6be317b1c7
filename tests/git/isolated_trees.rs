//! Work trees and submodules in a private git directory: those of the project are whole inside, and what is made inside is
//! known outside.

use super::support::{Ran, World};
use super::yard::{Yard, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const APART: &[&str] = &["--git-mode", "isolated"];

fn run_in(world: &World, directory: &Path, script: &str) -> Ran {
    let mut command = world.aca(&["run"]);
    command
        .args(APART)
        .args(["--", "sh", "-ec", script])
        .current_dir(directory);
    Ran::from_output(&command.output().unwrap())
}

#[track_caller]
fn git(world: &World, arguments: &[&str]) -> String {
    world.git(&world.project, arguments)
}

/// What git says of a work tree.
#[track_caller]
fn state(world: &World, tree: &Path) -> String {
    [
        &["status", "--porcelain=v2", "--branch"][..],
        &["log", "-1", "--format=%s %D"],
        &["ls-files", "-s"],
    ]
    .map(|command| world.git(tree, command))
    .join("\n")
}

/// The same, printed inside.
const STATE: &str = "git status --porcelain=v2 --branch; git log -1 --format='%s %D'; git ls-files -s";

/// Nothing of the session's own is left in the host's git directory.
#[track_caller]
fn left_nothing(world: &World) {
    let names = fs::read_dir(world.project.join(".git")).unwrap();
    let own = names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("aca-"));
    assert_eq!(own, None);
    let places = world.home.join(".local/state/aca/git");
    assert_eq!(fs::read_dir(places).map_or(0, Iterator::count), 0);
}

#[test]
fn all_work_trees_that_the_run_can_write_are_whole() {
    let world = World::with_repository();
    let claude = world.project.join(".claude/worktrees/one");
    let far = world.home.join("far");
    world.file(".git/info/exclude", ".claude\n");
    for (tree, branch) in [(&claude, "one"), (&far, "far")] {
        git(
            &world,
            &["worktree", "add", "-q", "-b", branch, tree.to_str().unwrap()],
        );
    }
    world.file(claude.join("staged"), "s");
    world.git(&claude, &["add", "staged"]);
    let script = format!(
        "echo m > m; git add m; git commit -qm main; cd .claude/worktrees/one; git diff --cached --name-only; \
         git commit -qm one; echo 2 > two; git add two; git switch -qc other; {STATE}"
    );
    let ran = run_in(&world, &world.project, &script);
    let (staged, inside) = ran.ok().split_once('\n').unwrap();
    assert_eq!((staged, ran.err.as_str()), ("staged", ""), "{ran:?}");
    assert_eq!(state(&world, &claude), inside);
    assert_eq!(git(&world, &["log", "-1", "--format=%s", "main"]), "main");
    assert_eq!(git(&world, &["log", "-1", "--format=%s", "one"]), "one");
    assert_eq!(git(&world, &["status", "--porcelain"]), "");
    // Begun in the linked one.
    let ran = run_in(
        &world,
        &claude,
        &format!("git commit -qm begun; git tag t; {STATE}"),
    );
    assert_eq!(state(&world, &claude), ran.ok());
    assert_eq!(ran.err, "");
    // One that isn't seen inside stays as it is, and so does its branch.
    let before = state(&world, &far);
    run_in(
        &world,
        &world.project,
        "git update-ref refs/heads/far main; echo ref: refs/heads/one > .git/worktrees/far/HEAD",
    );
    assert_eq!(state(&world, &far), before);
    assert_eq!(git(&world, &["fsck", "--strict", "--no-dangling"]), "");
}

#[test]
fn a_work_tree_that_is_made_inside_is_known_outside() {
    let world = World::with_repository();
    world.file(".git/info/exclude", "trees\n.claude\n");
    let script = format!(
        "git worktree add -q -b feature trees/feature; git worktree add -q --detach trees/loose; \
         git worktree add -q -b locked --lock --reason 'agent (pid 1)' trees/locked; \
         git worktree add -q -b bare --no-checkout trees/bare; git worktree add -q -b agent .claude/worktrees/agent; \
         (cd trees/feature; echo f > f; git add f; git commit -qm feature; echo g > g; git add g; echo h >> README); \
         (cd trees/loose; git commit -q --allow-empty -m loose); \
         git worktree list --porcelain; for tree in feature loose locked; do (cd trees/$tree; {STATE}); done"
    );
    let ran = run_in(&world, &world.project, &script);
    let mut outside = git(&world, &["worktree", "list", "--porcelain"]);
    for tree in ["feature", "loose", "locked"] {
        outside.push('\n');
        outside.push_str(&state(&world, &world.project.join("trees").join(tree)));
    }
    let without_blank = |text: &str| {
        text.lines()
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(without_blank(&outside), without_blank(ran.ok()), "{ran:?}");
    // Nor is it told as something that runs later: what it leads to is the user's own.
    assert_eq!(ran.err, "", "{ran:?}");
    assert_eq!(git(&world, &["fsck", "--strict", "--no-dangling"]), "");
    left_nothing(&world);
    // The next run works in it, and so does one that begins there.
    let feature = world.project.join("trees/feature");
    run_in(&world, &world.project, "cd trees/feature; git commit -qam second").ok();
    run_in(&world, &feature, "git commit -q --allow-empty -m third").ok();
    assert_eq!(
        world.git(&feature, &["log", "-3", "--format=%s"]),
        "third\nsecond\nfeature"
    );
    assert_eq!(world.git(&feature, &["status", "--porcelain"]), "");
}

#[test]
fn it_is_known_while_the_run_goes_on_and_goes_with_it() {
    let world = World::with_repository();
    let script = "wait_for() { while ! [ -e \"$1\" ]; do sleep 0.02; done; }; \
         git worktree add -q -b a trees/a; git worktree add -q -b b --lock trees/b; git worktree add -q -b c trees/c; wait_for made; \
         git -C trees/c commit -q --allow-empty -m c; wait_for more; \
         git worktree remove trees/a; git worktree unlock trees/b; git worktree move trees/b trees/moved; wait_for end; \
         git worktree add -q trees/a a; git worktree remove trees/c; git branch -q -D c";
    let child = world
        .aca(&["run"])
        .args(APART)
        .args(["--", "sh", "-ec", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = || git(&world, &["worktree", "list", "--porcelain"]);
    until(|| {
        let list = list();
        (list.matches("trees/").count() == 3 && list.contains("locked")).then_some(())
    });
    world.file("made", "");
    // What is done in a new one is seen as well.
    until(|| (git(&world, &["log", "-1", "--format=%s", "c"]) == "c").then_some(()));
    world.file("more", "");
    until(|| {
        let list = list();
        (!list.contains("trees/a\n") && list.contains("trees/moved") && !list.contains("locked"))
            .then_some(())
    });
    let moved = world.project.join("trees/moved");
    // A lock of the user's stays.
    git(&world, &["worktree", "lock", "trees/moved"]);
    assert_eq!(world.git(&moved, &["branch", "--show-current"]), "b");
    world.file("end", "");
    let ran = Ran::from_output(&child.wait_with_output().unwrap());
    ran.ok();
    let list = list();
    assert_eq!(list.matches("locked").count(), 1, "{list}");
    assert!(
        list.contains("trees/a\n") && !list.contains("trees/c"),
        "{list}\n{ran:?}"
    );
    assert_eq!(git(&world, &["branch", "--list", "c"]), "");
    assert!(!ran.err.contains("not brought back"), "{ran:?}");
    left_nothing(&world);
}

/// A kill at any moment leaves none that is half there; the next run makes it whole.
#[test]
fn a_killed_run_leaves_no_half_of_one() {
    let world = World::with_repository();
    world.file(".git/info/exclude", "trees\ndone*\n");
    for round in 0..6 {
        let script = format!(
            "for n in 1 2 3; do git worktree add -q -b r{round}-$n trees/r{round}-$n; echo $n > trees/r{round}-$n/n; \
             git -C trees/r{round}-$n add n; git -C trees/r{round}-$n commit -qm $n; done; echo > done{round}; sleep 60"
        );
        let mut child = world
            .aca(&["run"])
            .args(APART)
            .args(["--", "sh", "-ec", &script])
            .spawn()
            .unwrap();
        let done = world.project.join(format!("done{round}"));
        until(|| done.symlink_metadata().is_ok().then_some(()));
        std::thread::sleep(std::time::Duration::from_millis(60 * round));
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        child.wait().unwrap();
        let names = fs::read_dir(world.project.join(".git/worktrees"));
        for entry in names.into_iter().flatten() {
            let tree = world.project.join("trees").join(entry.unwrap().file_name());
            // It may be as it was a moment before the commit.
            let status = world.git(&tree, &["status", "--porcelain"]);
            assert!(!status.contains("README"), "{tree:?}: {status}");
        }
        Ran::from_output(&world.aca(&["sessions"]).output().unwrap()).ok();
        for number in 1..4 {
            let tree = world.project.join(format!("trees/r{round}-{number}"));
            assert_eq!(world.git(&tree, &["status", "--porcelain"]), "");
            assert_eq!(
                world.git(&tree, &["log", "-1", "--format=%s"]),
                number.to_string()
            );
        }
        left_nothing(&world);
    }
}

/// The session had made them on the host, and was killed before it wrote that down.
#[test]
fn what_a_killed_run_had_made_is_known_as_its_own() {
    let world = World::with_repository();
    // One without submodules of its own: those come at the end.
    let (_, inner) = server(&world);
    copied(&world, &inner);
    world.file(".git/info/exclude", "trees\n/inner\nready\ngo\n");
    let script = "git config --global protocol.file.allow always; git worktree add -q -b w trees/w; git submodule --quiet add $PWD/inner sub; \
                  wait=go; echo > ready; while ! [ -e $wait ]; do sleep 0.02; done; \
                  git -C trees/w commit -q --allow-empty -m later; echo s > trees/w/s; git -C trees/w add s; \
                  git -C sub commit -q --allow-empty -m inner; echo t > sub/t; git -C sub add t; echo > ready; sleep 60";
    let mut child = world
        .aca(&["run"])
        .args(APART)
        .args(["--", "sh", "-ec", script])
        .spawn()
        .unwrap();
    let dot_git = world.project.join(".git");
    until(|| {
        let made = ["worktrees/w/HEAD", "modules/sub/HEAD"]
            .map(|name| dot_git.join(name).symlink_metadata().is_ok());
        made.iter().all(|made| *made).then_some(())
    });
    let ready = world.project.join("ready");
    until(|| fs::remove_file(&ready).ok());
    world.file("go", "");
    until(|| fs::remove_file(&ready).ok());
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    child.wait().unwrap();
    let places = world.home.join(".local/state/aca/git");
    let place = fs::read_dir(places).unwrap().next().unwrap().unwrap();
    fs::remove_file(place.path().join("state.json")).ok();
    // And in the middle of making another.
    let beside = dot_git.join(format!("aca-{}", place.file_name().to_str().unwrap()));
    world.file(beside.join("objects/x"), "");
    Ran::from_output(&world.aca(&["sessions"]).output().unwrap()).ok();
    let (tree, sub) = (world.project.join("trees/w"), world.project.join("sub"));
    assert_eq!(world.git(&tree, &["log", "-1", "--format=%s"]), "later");
    assert_eq!(world.git(&tree, &["status", "--porcelain"]), "A  s");
    assert_eq!(world.git(&sub, &["log", "-1", "--format=%s"]), "inner");
    assert_eq!(world.git(&sub, &["status", "--porcelain"]), "A  t");
    assert!(beside.symlink_metadata().is_err());
}

/// As git from 2.48 on makes them where `worktree.useRelativePaths` says so. Outside it is named by its whole path, which an
/// older git reads, too.
#[test]
fn work_trees_that_are_named_by_relative_paths() {
    let world = World::with_repository();
    let ran = run_in(
        &world,
        &world.project,
        "git worktree add -q -b tree tree; echo 'gitdir: ../.git/worktrees/tree' > tree/.git; \
         git -C tree commit -q --allow-empty -m tree; echo '../../../tree/.git' > .git/worktrees/tree/gitdir; \
         git config core.repositoryFormatVersion 1; git config extensions.relativeWorktrees true",
    );
    assert_eq!((ran.ok(), ran.err.as_str()), ("", ""));
    let tree = world.project.join("tree");
    assert_eq!(world.git(&tree, &["log", "-1", "--format=%s"]), "tree");
    assert_eq!(world.git(&tree, &["status", "--porcelain"]), "");
    assert!(git(&world, &["worktree", "list"]).contains(tree.to_str().unwrap()));
    run_in(&world, &tree, "git commit -q --allow-empty -m next").ok();
    assert_eq!(world.git(&tree, &["log", "-1", "--format=%s"]), "next");
    left_nothing(&world);
}

/// A repository on this machine, with one that it has as a submodule.
fn server(world: &World) -> (PathBuf, PathBuf) {
    let make = |name: &str| {
        let at = world.directory(world.outside.join(name));
        world.git(&at, &["init", "-q", "-b", "main"]);
        world.file(at.join(name), name);
        world.git(&at, &["add", "-A"]);
        world.git(&at, &["commit", "-qm", name]);
        at
    };
    let (outer, inner) = (make("outer"), make("inner"));
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        "../inner",
        "deep/inner",
    ];
    world.git(&outer, &add);
    world.git(&outer, &["commit", "-qm", "with inner"]);
    (outer, inner)
}

/// A server as a directory of the project, since nothing outside is seen inside.
fn copied(world: &World, at: &Path) {
    let to = world.project.join(at.file_name().unwrap());
    let mut copy = world.command("cp");
    Ran::from_output(&copy.arg("-r").arg(at).arg(&to).output().unwrap()).ok();
}

#[test]
fn submodules_that_are_got_inside_are_there_outside() {
    let world = World::with_repository();
    let (outer, inner) = server(&world);
    let project = world.project.clone();
    world.file(".git/info/exclude", "/outer\n/inner\n");
    copied(&world, &outer);
    copied(&world, &inner);
    let script = "git config --global protocol.file.allow always; \
         git submodule --quiet add $PWD/outer lib/sub; git -C lib/sub submodule --quiet update --init --recursive; \
         git commit -qm 'with sub'; (cd lib/sub; git switch -qc work; echo w > w; git add w; git commit -qm within; echo x > x; git add x); \
         git add lib/sub; git status --porcelain=v2; git submodule status --recursive; git -C lib/sub status --porcelain=v2 --branch; \
         git -C lib/sub log --oneline; git -C lib/sub/deep/inner log --oneline";
    let ran = run_in(&world, &project, script);
    let sub = project.join("lib/sub");
    let outside = [
        git(&world, &["status", "--porcelain=v2"]),
        git(&world, &["submodule", "status", "--recursive"]),
        world.git(&sub, &["status", "--porcelain=v2", "--branch"]),
        world.git(&sub, &["log", "--oneline"]),
        world.git(&sub.join("deep/inner"), &["log", "--oneline"]),
    ];
    assert_eq!(outside.join("\n").trim(), ran.ok(), "{ran:?}");
    for at in [&project, &sub, &sub.join("deep/inner")] {
        assert_eq!(world.git(at, &["fsck", "--strict", "--no-dangling"]), "");
    }
    // A path of this machine's is no server: git outside would run what is in there.
    let config = fs::read_to_string(project.join(".git/modules/lib/sub/config")).unwrap();
    assert!(!config.contains("[remote"), "{config}");
    left_nothing(&world);
    // The next run works in it.
    let ran = run_in(
        &world,
        &project,
        "cd lib/sub; git commit -qm next; cd deep/inner; git commit -q --allow-empty -m deepest",
    );
    ran.ok();
    assert_eq!(world.git(&sub, &["log", "-1", "--format=%s"]), "next");
    assert_eq!(
        world.git(&sub.join("deep/inner"), &["log", "-1", "--format=%s"]),
        "deepest"
    );
}

/// In a linked work tree submodules have git directories of their own.
#[test]
fn submodules_of_a_linked_work_tree() {
    let world = World::with_repository();
    let (outer, _) = server(&world);
    world.file(".git/info/exclude", "/outer\n/tree\n");
    copied(&world, &outer);
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        "./outer",
        "sub",
    ];
    git(
        &world,
        &["remote", "add", "origin", world.project.to_str().unwrap()],
    );
    git(&world, &add);
    git(&world, &["commit", "-qm", "with sub"]);
    let script = "git config --global protocol.file.allow always; git worktree add -q -b tree tree; cd tree; \
                  git submodule --quiet update --init; git -C sub commit -q --allow-empty -m within; git add sub; git commit -qm outer; \
                  git submodule status";
    let ran = run_in(&world, &world.project, script);
    let tree = world.project.join("tree");
    assert_eq!(world.git(&tree, &["submodule", "status"]), ran.ok(), "{ran:?}");
    assert_eq!(
        world.git(&tree.join("sub"), &["log", "-1", "--format=%s"]),
        "within"
    );
    assert_eq!(world.git(&tree, &["status", "--porcelain"]), "");
    run_in(&world, &tree, "cd sub; git commit -q --allow-empty -m again").ok();
    assert_eq!(
        world.git(&tree.join("sub"), &["log", "-1", "--format=%s"]),
        "again"
    );
    left_nothing(&world);
}

/// From a server, with where it is got from.
#[test]
fn a_submodule_from_a_server_can_be_fetched_outside() {
    let Some(yard) = Yard::new() else { return };
    let world = &yard.world;
    let url = "git@forge:acme/lib.git";
    git(world, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let ran = yard.run(
        &[APART, &["--git-fetch", "git@forge:acme/lib"]].concat(),
        &format!("git submodule --quiet add {url} lib && git commit -qm lib && git -C lib log --format=%s"),
    );
    ran.ok();
    assert_eq!(git(world, &["config", "submodule.lib.url"]), url);
    let lib = world.project.join("lib");
    assert_eq!(world.git(&lib, &["log", "--format=%s"]), ran.ok());
    assert_eq!(world.git(&lib, &["config", "remote.origin.url"]), url);
    assert_eq!(world.git(&lib, &["status", "-sb"]), "## main...origin/main");
    world.git(&lib, &["fetch", "-q"]);
    git(world, &["submodule", "--quiet", "update", "--remote"]);
    assert_eq!(git(world, &["status", "--porcelain"]), "");
}
