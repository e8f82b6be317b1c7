//! What somebody hostile writes into a private git directory runs nothing outside, and leads nothing anywhere.

use super::support::{Ran, World};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const APART: &[&str] = &["--git-mode", "isolated"];

/// Every file of the host's git directory but what a commit changes anyway.
fn kept(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, directory: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            if [
                "objects",
                "refs",
                "logs",
                "index",
                "HEAD",
                "COMMIT_EDITMSG",
                "ORIG_HEAD",
            ]
            .iter()
            .any(|name| below == Path::new(name))
            {
                continue;
            }
            if metadata.is_dir() {
                walk(root, &path, into);
            } else {
                assert!(metadata.is_file(), "{path:?}");
                into.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    let root = world.project.join(".git");
    let mut files = BTreeMap::new();
    walk(&root, &root, &mut files);
    files
}

/// What everybody does with git after a run, in the project.
fn used_outside(world: &World) {
    world.file("README", "changed\n");
    for command in [
        &["status"][..],
        &["log", "-p", "--all"],
        &["diff"],
        &["show", "HEAD"],
        &["add", "README"],
        &["commit", "-q", "-m", "after"],
        &["stash", "list"],
        &["branch", "-avv"],
        &["switch", "-q", "-c", "later"],
        &["gc", "-q"],
        &["blame", "README"],
        &["archive", "-o", "/dev/null", "HEAD"],
    ] {
        world.git(&world.project, command);
    }
}

/// Acceptance 82, in both modes.
#[test]
fn g82_the_git_directory_cannot_be_moved_away() {
    for mode in ["direct", "isolated"] {
        let world = World::with_repository();
        let before = kept(&world);
        let ran = world.run(
            &["--git-mode", mode],
            "mv .git x; mv .git/../.git y; rm -rf .git; test -d .git && echo there",
        );
        assert_eq!(ran.ok(), "there", "{mode}: {ran:?}");
        if mode == "isolated" {
            assert_eq!(kept(&world), before);
        }
        assert!(
            world.project.join(".git/config").symlink_metadata().is_ok(),
            "{mode}"
        );
    }
}

/// Acceptance 83, 85 and 86, and the vectors of E-1 that live in a git directory.
#[test]
fn g83_g85_g86_nothing_that_git_obeys_comes_back() {
    let world = World::with_repository();
    world.file(".gitattributes", "* filter=x diff=x merge=x\n");
    world.git(&world.project, &["add", "-A"]);
    world.git(&world.project, &["commit", "-qm", "attributes"]);
    let before = kept(&world);
    let canary = world.outside.join("canary");
    let script = format!(
        "git switch -qc work; echo w > w; git add w; git commit -qm work; \
         printf '#!/bin/sh\\necho ran >> {canary}\\ncat\\n' > payload; chmod +x payload; p=$PWD/payload; \
         for key in core.fsmonitor core.editor core.pager core.sshCommand diff.external gpg.program filter.x.clean \
           filter.x.smudge filter.x.process diff.x.textconv diff.x.command merge.x.driver credential.helper \
           core.alternateRefsCommand remote.origin.uploadpack sequence.editor core.askPass pager.status; \
         do git config $key \"$p\"; done; \
         git config alias.status \"!$p\"; git config core.hooksPath $PWD/hooks; mkdir hooks; \
         for hook in post-index-change pre-commit post-commit post-checkout reference-transaction pre-auto-gc post-rewrite; \
         do cp payload hooks/$hook; cp payload .git/hooks/$hook; done; \
         git config remote.evil.url 'ext::sh -c payload'; git config protocol.ext.allow always; \
         git config include.path $PWD/included; printf '[core]\\n\\tfsmonitor = %s\\n' \"$p\" > included; \
         cp included .git/config.worktree; git config extensions.worktreeConfig true; \
         echo '* filter=x diff=x' > .git/info/attributes; echo '* filter=x' > .git/info/grafts; \
         mkdir evil; cp -r .git/. evil; echo ../evil > .git/commondir; \
         echo $HOME/nowhere > .git/objects/info/alternates; \
         mkdir -p .git/modules/m .git/worktrees/v; cp .git/config .git/modules/m; rm -rf evil/objects; exit 0",
        canary = canary.display(),
    );
    let ran = world.run(APART, &script);
    ran.ok();
    assert_eq!(kept(&world), before, "{ran:?}");
    assert_eq!(
        world.git(&world.project, &["log", "-1", "--format=%s", "work"]),
        "work",
        "{ran:?}"
    );
    assert!(!canary.exists());
    used_outside(&world);
    assert!(
        !canary.exists(),
        "{}",
        fs::read_to_string(&canary).unwrap_or_default()
    );
}

#[test]
fn what_is_no_ref_no_object_and_no_index_is_left() {
    let world = World::with_repository();
    let secret = world.file(
        world.outside.join("secret"),
        "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6\n",
    );
    let script = format!(
        "git switch -qc good; echo g > g; git add g; git commit -qm good; id=$(git rev-parse HEAD); \
         mkfifo .git/refs/heads/pipe .git/refs/tags/pipe .git/objects/pack/pack-1.idx .git/objects/pack/pack-1.pack; \
         ln -s {secret} .git/refs/heads/link; ln -s / .git/refs/heads/away; ln -s {secret} .git/objects/pack/pack-2.idx; \
         echo \"$id refs/heads/../../../up\" >> .git/packed-refs; echo \"$id refs/heads/a.lock\" >> .git/packed-refs; \
         echo \"$id refs/replace/$id\" >> .git/packed-refs; \
         echo 1111111111111111111111111111111111111111 > .git/refs/heads/missing; \
         mkdir -p .git/objects/22; cp .git/objects/$(echo $id | sed 's/^../&\\//') .git/objects/22/22222222222222222222222222222222222222; \
         echo 2222222222222222222222222222222222222222 > .git/refs/heads/forged; \
         echo 'ref: refs/heads/good' > .git/refs/heads/symbolic; \
         mkdir -p .git/logs/refs; echo garbage > .git/logs/refs/stash; echo $id > .git/refs/stash; \
         rm .git/index; truncate -s 1G .git/index; exit 0",
        secret = secret.display(),
    );
    let ran = world.run(APART, &script);
    ran.ok();
    let refs = world.git(&world.project, &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/good\nrefs/heads/main", "{ran:?}");
    assert_eq!(
        world.git(&world.project, &["log", "-1", "--format=%s", "good"]),
        "good"
    );
    assert_eq!(world.git(&world.project, &["fsck", "--strict"]), "");
    let left: Vec<String> = world
        .events_of("git_not_brought")
        .iter()
        .map(|event| event["what"].as_str().unwrap().to_owned())
        .collect();
    for what in ["refs/heads/missing", "refs/heads/forged", "stash"] {
        assert!(left.iter().any(|left| left == what), "{what}: {left:?}");
    }
    // What is in there alone isn't thrown away.
    assert!(
        ran.err.contains("the private git directory is kept at"),
        "{ran:?}"
    );
}

/// Objects of another repository of the user's can't be had by their names.
#[test]
fn objects_from_elsewhere_do_not_come() {
    let world = World::with_repository();
    let other = world.directory(world.outside.join("other"));
    world.git(&other, &["init", "-q", "-b", "main"]);
    world.file(other.join("s"), "SECRET");
    world.git(&other, &["add", "-A"]);
    world.git(&other, &["commit", "-qm", "secret"]);
    let id = world.git(&other, &["rev-parse", "HEAD"]);
    let objects = other.join(".git/objects");
    let (tree, file) = id.split_at(2);
    let script = format!(
        "echo {0} > .git/objects/info/alternates; echo {id} > .git/refs/heads/stolen; mkdir -p .git/objects/{tree}; \
         ln -s {0}/{tree}/{file} .git/objects/{tree}/{file}; exit 0",
        objects.display(),
    );
    world.run(APART, &script).ok();
    let output = world
        .command("git")
        .args(["cat-file", "-e", &id])
        .output()
        .unwrap();
    Ran::from_output(&output).refused();
    assert_eq!(
        world.git(&world.project, &["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main"
    );
}

#[test]
fn a_ref_that_never_rests_ends_somewhere_whole() {
    let world = World::with_repository();
    let ran = world.run(
        APART,
        "git commit -q --allow-empty -m one; one=$(git rev-parse HEAD); git commit -q --allow-empty -m two; two=$(git rev-parse HEAD); \
         end=$(($(date +%s) + 2)); while [ $(date +%s) -lt $end ]; do echo $one > .git/refs/heads/flip; echo > .git/HEAD.lock; \
         echo $two > .git/refs/heads/flip; rm .git/HEAD.lock; done",
    );
    ran.ok();
    let subject = world.git(&world.project, &["log", "-1", "--format=%s", "flip"]);
    assert!(["one", "two"].contains(&subject.as_str()));
    assert_eq!(world.git(&world.project, &["log", "-1", "--format=%s"]), "two");
    assert_eq!(world.git(&world.project, &["fsck", "--strict"]), "");
}

#[test]
fn g87_marks_that_hide_a_change_do_not_come() {
    let world = World::with_repository();
    world.file("hidden", "h");
    world.git(&world.project, &["add", "-A"]);
    world.git(&world.project, &["commit", "-qm", "hidden"]);
    let ran = world.run(
        APART,
        "git update-index --assume-unchanged README; git update-index --skip-worktree hidden; echo evil > README; echo evil > hidden; \
         echo n > n; git add n; git commit -qm n",
    );
    ran.ok();
    let status = world.git(&world.project, &["status", "--porcelain"]);
    assert_eq!(status, " M README\n M hidden", "{ran:?}");
}

/// What an earlier run could leave in the host's git directory, or in the project where a hook of the user's leads, does
/// not bring in what isn't seen inside.
#[test]
fn links_on_the_host_lead_to_nothing_that_is_not_seen() {
    let world = World::with_repository();
    let hidden = world.directory(world.home.join(".ssh"));
    world.file(hidden.join("id_test"), "TOP-SECRET\n");
    world.file(hidden.join("heads/id_test"), "TOP-SECRET\n");
    let git = world.project.join(".git");
    let link = |to: &str, at: &Path| {
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, at).unwrap();
    };
    let at = |name: &str| hidden.join(name).to_str().unwrap().to_owned();
    link("../../scripts/hook", &git.join("hooks/pre-commit"));
    link(&at("id_test"), &world.project.join("scripts/hook"));
    link(&at(""), &git.join("rr-cache"));
    link(&at(""), &git.join("rebase-apply"));
    link(&at(""), &git.join("refs/tags/all"));
    link(&at("id_test"), &git.join("packed-refs"));
    fs::remove_dir_all(git.join("logs")).unwrap();
    link(&at("heads"), &git.join("logs/refs/heads"));
    fs::remove_file(git.join("index")).unwrap();
    link(&at("id_test"), &git.join("index"));
    let ran = world.run(
        APART,
        "grep -rs TOP-SECRET .git/; ls -la .git/hooks; test -d .git/hooks && echo there",
    );
    assert!(!ran.out.contains("TOP-SECRET"), "{ran:#?}");
    assert!(ran.out.contains("pre-commit -> ../../scripts/hook"), "{ran:#?}");
}

/// The same of the directory of objects, which is shown inside as it is.
#[test]
fn objects_that_are_a_link_are_not_shown() {
    let world = World::with_repository();
    let objects = world.project.join(".git/objects");
    let moved = world.outside.join("objects");
    fs::rename(&objects, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &objects).unwrap();
    let ran = world.run(APART, "ls /.aca/objects/0 2>/dev/null; echo end");
    assert_eq!(ran.ok(), "end", "{ran:#?}");
}

/// An upstream sends the next push somewhere: a branch of the user's has none on a server that came from inside, and a
/// remote of the user's from another file gets no second URL.
#[test]
fn what_the_user_pushes_goes_nowhere_else() {
    let world = World::with_repository();
    let other = world.file(
        world.outside.join("more"),
        "[remote \"origin\"]\n\turl = git@good.test:a/b\n",
    );
    world.git(
        &world.project,
        &["config", "include.path", other.to_str().unwrap()],
    );
    world.git(&world.project, &["branch", "-q", "mine"]);
    let script = "git remote add evil https://evil.test/x.git; git config remote.origin.url https://evil.test/y.git; \
                  git config branch.mine.remote evil; git switch -qc own; git commit -q --allow-empty -m own; \
                  git config branch.own.remote evil; git config branch.own.merge refs/heads/own";
    let ran = world.run(APART, script);
    ran.ok();
    let config = world.git(&world.project, &["config", "--local", "--no-includes", "--list"]);
    assert!(!config.contains("evil.test/y"), "{config}");
    assert!(!config.contains("branch.mine.remote"), "{config}");
    assert!(config.contains("branch.own.remote=evil"), "{config}\n{ran:#?}");
    let urls = world.git(&world.project, &["remote", "get-url", "--all", "origin"]);
    assert_eq!(urls, "git@good.test:a/b");
}

/// A merge that the user began outside meanwhile is the user's: its next step finds the index as it was.
#[test]
fn what_is_under_way_outside_keeps_its_index() {
    let world = World::with_repository();
    world.git(&world.project, &["switch", "-qc", "side"]);
    world.git(&world.project, &["commit", "-q", "--allow-empty", "-m", "side"]);
    world.git(&world.project, &["switch", "-q", "main"]);
    world.git(&world.project, &["commit", "-q", "--allow-empty", "-m", "here"]);
    world.git(&world.project, &["merge", "-q", "--no-ff", "--no-commit", "side"]);
    let before = fs::read(world.project.join(".git/index")).unwrap();
    let ran = world.run(
        APART,
        "git merge --abort; git switch -q side; echo n > n; git add n",
    );
    ran.ok();
    assert_eq!(
        world.git(&world.project, &["symbolic-ref", "HEAD"]),
        "refs/heads/main"
    );
    assert_eq!(fs::read(world.project.join(".git/index")).unwrap(), before);
    let told = world.events_of("git_not_brought");
    assert!(
        told.iter()
            .any(|event| event["why"].as_str().unwrap().contains("under way outside")),
        "{told:?}"
    );
}

/// Nor is what the list of borrowed objects names, if it holds anything else.
#[test]
fn what_is_borrowed_is_objects() {
    let world = World::with_repository();
    let hidden = world.directory(world.home.join(".ssh"));
    world.file(hidden.join("id_test"), "TOP-SECRET\n");
    world.file(".git/objects/info/alternates", format!("{}\n", hidden.display()));
    let ran = world.run(APART, "cat /.aca/objects/*/id_test 2>/dev/null; echo end");
    assert_eq!(ran.ok(), "end", "{ran:#?}");
}
