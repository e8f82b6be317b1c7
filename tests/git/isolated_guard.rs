//! What a private git directory keeps from the user's: names that mislead, a branch beneath what is staged, what a run with
//! the host's own directory left for it.

use super::support::{Ran, World, host_path, installed};
use super::yard::until;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const APART: &[&str] = &["--git-mode", "isolated"];

#[track_caller]
fn git(world: &World, arguments: &[&str]) -> String {
    world.git(&world.project, arguments)
}

fn refs(world: &World) -> Vec<String> {
    let refs = git(world, &["for-each-ref", "--format=%(refname)"]);
    refs.lines().map(str::to_owned).collect()
}

/// A repository of the user's outside of the project, with one file; gives its directory of objects.
fn other(world: &World, name: &str) -> String {
    let other = world.directory(world.outside.join(name));
    world.git(&other, &["init", "-q", "-b", "main"]);
    world.file(other.join("s"), format!("SECRET {name}"));
    world.git(&other, &["add", "-A"]);
    world.git(&other, &["commit", "-qm", name]);
    other.join(".git/objects").display().to_string()
}

/// What a run with the host's own git directory writes into the list of borrowed objects isn't shown by the next one.
#[test]
fn a_list_of_borrowed_objects_that_was_written_inside_shows_nothing() {
    let world = World::with_repository();
    let (mine, secret) = (other(&world, "mine"), other(&world, "secret"));
    let seen = |flags: &[&str]| {
        let mut flags = flags.to_vec();
        flags.extend(APART);
        let ran = world.run(
            &flags,
            "for d in /.aca/objects/?; do test -d $d && find $d -type f -path '*/??/*' | wc -l; done; true",
        );
        (ran.ok().lines().count(), ran.err.clone())
    };
    // The user's own list, and the run leaves it as it is.
    let list = world.file(".git/objects/info/alternates", format!("{mine}\n"));
    assert_eq!(seen(&[]).0, 2);
    let ran = world.run(
        &["--git-mode", "direct"],
        &format!(
            "mv .git/objects .git/o; mv .git/objects/info .git/objects/i; rm -rf .git/objects/info; \
             echo {secret} >> .git/objects/info/alternates; cat .git/objects/info/alternates"
        ),
    );
    assert_eq!(ran.out.trim(), mine, "{ran:?}");
    assert_eq!(seen(&[]).0, 2, "it was there before");
    // One that can be written, since there was none.
    fs::remove_file(&list).unwrap();
    let ran = world.run(
        &["--git-mode", "direct", "--open-names"],
        &format!(
            "mv .git/objects .git/o && echo moved; mv .git/objects/info .git/i && echo moved; \
             echo {secret} > .git/objects/info/alternates; git gc -q; git repack -adq; git fsck"
        ),
    );
    assert_eq!(ran.out.trim(), "", "{ran:?}");
    assert_eq!(fs::read_to_string(&list).unwrap().trim(), secret);
    let (count, said) = seen(&[]);
    assert_eq!(count, 0, "{said}");
    // Not even where another run without one is between.
    world.run(&["--git-mode", "direct"], "true").ok();
    assert_eq!(seen(&[]).0, 0);
    // What a rule shows is seen anyway.
    assert_eq!(seen(&["--read", &secret]).0, 2);
}

#[test]
fn names_that_would_be_taken_for_the_users_are_kept_aside() {
    let world = World::with_repository();
    for name in ["refs/remotes/origin/main", "refs/tags/v1", "refs/heads/Straße"] {
        git(&world, &["update-ref", name, "HEAD"]);
    }
    let before = refs(&world);
    let ran = world.run(
        APART,
        "id=$(git rev-parse HEAD); git commit -q --allow-empty -m hers; git switch -qc good; \
         for name in heads/origin/main tags/main heads/v1 tags/HEAD heads/HEAD heads/MAIN heads/stash tags/$id heads/heads/main tags/v1.1; \
         do git update-ref refs/$name HEAD; done; git update-ref refs/heads/STRASSE HEAD; git branch -- topic",
    );
    ran.ok();
    let now = refs(&world);
    let fresh: Vec<&str> = now
        .iter()
        .map(String::as_str)
        .filter(|name| !before.iter().any(|old| old == name) && !name.starts_with("refs/aca/"))
        .collect();
    assert_eq!(
        fresh,
        ["refs/heads/good", "refs/heads/topic", "refs/tags/v1.1"],
        "{ran:?}"
    );
    assert_eq!(git(&world, &["log", "-1", "--format=%s", "main"]), "hers");
    let aside = now.iter().filter(|name| name.starts_with("refs/aca/")).count();
    assert_eq!(aside, 10, "{now:?}");
    assert_eq!(world.events_of("git_aside").len(), 10);
    // Nothing is ambiguous now.
    let output = world
        .command("git")
        .args(["rev-parse", "main", "v1", "origin/main", "HEAD"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// What the user compares with is what a server said, not what somebody inside says that it said.
#[test]
fn what_a_remote_has_is_not_moved_from_inside() {
    let world = World::with_repository();
    git(&world, &["remote", "add", "origin", "https://origin.test/x.git"]);
    git(&world, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    git(&world, &["config", "branch.main.remote", "origin"]);
    git(&world, &["config", "branch.main.merge", "refs/heads/main"]);
    let ran = world.run(
        APART,
        "git commit -q --allow-empty -m hidden; git update-ref refs/remotes/origin/main HEAD; \
         git update-ref refs/remotes/origin/mine HEAD",
    );
    ran.ok();
    assert_eq!(
        git(&world, &["log", "--format=%s", "origin/main..main"]),
        "hidden",
        "{ran:?}"
    );
    assert!(git(&world, &["status", "-sb"]).contains("[ahead 1]"));
    assert!(refs(&world).contains(&"refs/remotes/origin/mine".to_owned()));
    assert_eq!(ran.err, "", "a fetch says it anyway");
}

#[test]
fn an_index_that_names_a_directory_as_a_file_does_not_come() {
    let world = World::with_repository();
    let before = git(&world, &["ls-files", "-s"]);
    for script in [
        "git update-index --add --cacheinfo 100644,$(git rev-parse HEAD^{tree}),tree",
        "git update-index --add --cacheinfo 120000,$(git rev-parse HEAD),commit",
    ] {
        let ran = world.run(APART, &format!("{script}; git ls-files -s"));
        assert_eq!(ran.ok().lines().count(), before.lines().count() + 1, "{ran:?}");
        assert_eq!(git(&world, &["ls-files", "-s"]), before, "{ran:?}");
        assert!(ran.err.contains("index"), "{ran:?}");
    }
    world.run(APART, "echo n > n; git add n; git mv README m").ok();
    assert_eq!(git(&world, &["ls-files"]), "m\nn");
}

#[test]
fn a_directory_that_may_not_be_entered_goes_too() {
    let world = World::with_repository();
    let script = "mkdir -p .git/a/b/c .git/x/y; echo > .git/a/b/c/f; echo > .git/x/f; chmod 000 .git/a/b/c .git/a/b .git/a; \
        chmod 500 .git/x; cd .git/objects; i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i + 1)); done";
    let ran = world.run(APART, script);
    ran.ok();
    assert_eq!(ran.err, "");
    let places = world.home.join(".local/state/aca/git");
    assert_eq!(fs::read_dir(places).unwrap().count(), 0);
}

/// A branch that is checked out never moves beneath what is staged: `git status` would show the run's work taken back.
#[test]
fn a_branch_does_not_move_beneath_what_is_staged() {
    let world = World::with_repository();
    let mut command = world.aca(&["run"]);
    let child = command
        .args(APART)
        .args([
            "--",
            "sh",
            "-ec",
            "echo > begun; while ! [ -e go ]; do sleep 0.02; done; rm begun; echo a > agent; git add agent; git commit -qm agents",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until(|| world.project.join("begun").symlink_metadata().ok());
    world.file("mine", "m");
    git(&world, &["add", "mine"]);
    let (index, main) = (
        fs::read(world.project.join(".git/index")).unwrap(),
        git(&world, &["rev-parse", "main"]),
    );
    world.file("go", "");
    let ran = Ran::from_output(&child.wait_with_output().unwrap());
    ran.ok();
    assert_eq!(git(&world, &["rev-parse", "main"]), main, "{ran:?}");
    assert_eq!(fs::read(world.project.join(".git/index")).unwrap(), index);
    assert_eq!(
        git(&world, &["status", "--porcelain"]),
        "A  mine\n?? agent\n?? go"
    );
    let aside = git(&world, &["for-each-ref", "--format=%(subject)", "refs/aca"]);
    assert_eq!(aside, "agents");
    assert!(ran.err.contains("refs/heads/main is kept as"), "{ran:?}");
    assert!(world.project.join(".git/index.lock").symlink_metadata().is_err());
}

/// A git outside that is a script of the test's, before the real one; gives the search path.
fn wrapped(world: &World, script: &str) -> String {
    let bin = world.directory(world.outside.join("bin"));
    let real = installed("git").unwrap();
    let script = format!(
        "#!/bin/sh\nreal={}\n{script}\nexec $real \"$@\"\n",
        real.display()
    );
    let git = world.file(bin.join("git"), script);
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), host_path())
}

/// Git outside, which has locked what it is about to move, does that though the run is killed, and the next aca waits for it:
/// with a lock left nothing could move that ref any more.
#[test]
fn a_killed_run_leaves_no_ref_locked() {
    let world = World::with_repository();
    let [input, pipe] = ["input", "pipe"].map(|name| world.outside.join(name));
    let path = wrapped(
        &world,
        &format!(
            "case \" $* \" in *' update-ref '*' --stdin '*) cat > {input}; mkfifo {pipe};\n\
             {{ echo start; cat {input}; echo prepare; sleep 2; echo commit; }} > {pipe} &\n\
             exec $real \"$@\" < {pipe};; esac",
            input = input.display(),
            pipe = pipe.display(),
        ),
    );
    let mut child = world
        .aca(&["run"])
        .args(APART)
        .args([
            "--",
            "sh",
            "-ec",
            "git branch new; git commit -q --allow-empty -m one; sleep 60",
        ])
        .env("PATH", path)
        .spawn()
        .unwrap();
    let lock = world.project.join(".git/refs/heads/new.lock");
    until(|| lock.exists().then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    Ran::from_output(&world.aca(&["sessions"]).output().unwrap()).ok();
    assert!(!lock.exists());
    assert_eq!(git(&world, &["log", "-1", "--format=%s", "main"]), "one");
    assert_eq!(
        git(&world, &["rev-parse", "new"]),
        git(&world, &["rev-parse", "main~"])
    );
}

/// Git knows entries of the stash by numbers alone: the run's own is dropped, and what the user stashed before stays, wherever
/// it stands; where the user is at it, nothing is.
#[test]
fn what_the_user_stashed_stays_where_the_runs_is_dropped() {
    let world = World::with_repository();
    world.file("README", "changed\n");
    git(&world, &["stash", "push", "-qm", "users"]);
    let script = |name: &str, then: &str| {
        format!(
            "for n in one two; do echo $n > README; git stash push -qm {name}-$n; done; echo > begun; \
             while ! [ -e go ]; do sleep 0.02; done; rm begun go; {then}"
        )
    };
    let lock = world.project.join(".git/refs/stash.lock");
    for (name, locked, then, expected) in [
        (
            "a",
            false,
            "git stash drop -q stash@{1}",
            "On main: a-two\nOn main: users",
        ),
        (
            "b",
            false,
            "git stash drop -q; git stash drop -q",
            "On main: a-two\nOn main: users",
        ),
        (
            "c",
            true,
            "git stash drop -q",
            "On main: c-two\nOn main: c-one\nOn main: a-two\nOn main: users",
        ),
    ] {
        let mut command = world.aca(&["run"]);
        let child = command
            .args(APART)
            .args(["--", "sh", "-ec", &script(name, then)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until(|| {
            git(&world, &["stash", "list"])
                .contains(&format!("{name}-two"))
                .then_some(())
        });
        until(|| world.project.join("begun").symlink_metadata().ok());
        if locked {
            world.file(&lock, "");
        }
        world.file("go", "");
        let ran = Ran::from_output(&child.wait_with_output().unwrap());
        ran.ok();
        assert_eq!(
            git(&world, &["stash", "list", "--format=%gs"]),
            expected,
            "{name}: {ran:?}"
        );
        assert_eq!(lock.symlink_metadata().is_ok(), locked);
        assert_eq!(
            git(&world, &["fsck"])
                .lines()
                .filter(|line| !line.contains("dangling"))
                .count(),
            0
        );
        git(&world, &["stash", "show", "-p", "stash@{0}"]);
    }
}

/// What a user waits for at the end of a run that changed nothing.
#[test]
fn a_run_that_changes_nothing_starts_no_git_outside() {
    let world = World::with_repository();
    let log = world.outside.join("started");
    let path = wrapped(&world, &format!("echo \"$@\" >> {}", log.display()));
    let started = |script: &str| {
        let mut command = world.aca(&["run"]);
        let output = command
            .args(APART)
            .args(["--", "sh", "-ec", script])
            .env("PATH", &path)
            .output()
            .unwrap();
        Ran::from_output(&output).ok();
        fs::read_to_string(&log).unwrap_or_default()
    };
    assert_eq!(started("true"), "");
    // Git writes the index anew when it finds out that a file is as it was.
    assert_eq!(
        started("touch README; git status; git log; git diff; git branch -a; git update-index --refresh"),
        ""
    );
    assert!(started("git commit -q --allow-empty -m x").contains("update-ref"));
}

/// Git outside reads the files that its settings include when it brings the work back: one that isn't there could be made
/// inside, and one that is there is protected.
#[test]
fn settings_that_are_made_inside_are_not_read() {
    let world = World::with_repository();
    git(&world, &["config", "include.path", "../included"]);
    let plan = || {
        let mut command = world.aca(&["plan"]);
        let output = command.args(APART).args(["--", "true"]).output().unwrap();
        Ran::from_output(&output).ok().to_owned()
    };
    let text = plan();
    assert!(text.contains("included, which isn't there"), "{text}");
    world.file("included", "[user]\n\tname = U\n");
    let text = plan();
    assert!(!text.contains("isn't there"), "{text}");
    world.run(APART, "echo '[core]' > included").refused();
}
