//! What somebody hostile says of work trees and submodules leads git outside nowhere, and nothing of it is obeyed.

use super::support::World;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const APART: &[&str] = &["--git-mode", "isolated"];

/// Helpers of the scripts: `tree NAME DIRECTORY` makes a work tree's git directory as git does, `part NAME DIRECTORY` a
/// submodule's.
const MAKE: &str = "g=$PWD/.git; id=$(git rev-parse HEAD); \
    tree() { mkdir -p \"$g/worktrees/$1\" && echo ../.. > \"$g/worktrees/$1/commondir\" && echo \"$2/.git\" > \"$g/worktrees/$1/gitdir\" \
      && echo $id > \"$g/worktrees/$1/HEAD\"; }; \
    point() { mkdir -p \"$1\" && rm -f \"$1/.git\" && echo \"gitdir: $2\" > \"$1/.git\"; }; \
    part() { mkdir -p \"$g/modules/$1\" && git init -q --bare \"$g/modules/$1\" && git -C \"$g/modules/$1\" config core.bare false \
      && git -C \"$g/modules/$1\" config core.worktree \"$2\"; }; ";

/// Names in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[track_caller]
fn used_outside(world: &World, trees: &[&Path]) {
    for tree in trees {
        for command in [
            &["status"][..],
            &["log", "-1"],
            &["diff"],
            &["worktree", "list"],
            &["submodule", "status"],
            &["gc", "-q"],
        ] {
            world.git(tree, command);
        }
    }
}

#[test]
fn work_trees_that_lead_elsewhere_are_not_known() {
    let world = World::with_repository();
    let other = world.directory(world.home.join("other"));
    world.git(&other, &["init", "-q", "-b", "main"]);
    let (before, config) = (
        world.git(&world.project, &["worktree", "list", "--porcelain"]),
        fs::read(world.project.join(".git/config")).unwrap(),
    );
    let home = world.home.display();
    let script = format!(
        "{MAKE} tree home {home}; tree root $PWD; tree git $g; tree tmp /tmp/t; point /tmp/t $g/worktrees/tmp; tree other {home}/other; \
         mkdir -p real; ln -s real linked; tree link $PWD/linked; point real $g/worktrees/link; \
         tree away $PWD/away; point away $g/worktrees/else; tree none $PWD/none; \
         tree dots $PWD/x/../dots; echo $PWD/x/../../other/.git > $g/worktrees/dots/gitdir; point dots $g/worktrees/dots; \
         tree pipe $PWD/pipe; rm $g/worktrees/pipe/HEAD; mkfifo $g/worktrees/pipe/HEAD; point pipe $g/worktrees/pipe; \
         tree commondir $PWD/commondir; echo $PWD/evil > $g/worktrees/commondir/commondir; point commondir $g/worktrees/commondir; \
         tree tag $PWD/tag; echo ref: refs/tags/x > $g/worktrees/tag/HEAD; point tag $g/worktrees/tag; \
         tree lost $PWD/lost; echo 1111111111111111111111111111111111111111 > $g/worktrees/lost/HEAD; point lost $g/worktrees/lost; \
         tree begun $PWD/begun; echo initializing > $g/worktrees/begun/locked; point begun $g/worktrees/begun; \
         tree 'a b' $PWD/ab; point ab \"$g/worktrees/a b\"; tree .dot $PWD/dot; point dot $g/worktrees/.dot; \
         tree x.lock $PWD/xlock; point xlock $g/worktrees/x.lock; \
         tree inlink $PWD/inlink; rm $g/worktrees/inlink/gitdir; ln -s $PWD/README $g/worktrees/inlink/gitdir; point inlink $g/worktrees/inlink; \
         ln -s $PWD/real $g/worktrees/islink; exit 0"
    );
    let ran = world.run(APART, &script);
    ran.ok();
    assert_eq!(
        world.git(&world.project, &["worktree", "list", "--porcelain"]),
        before,
        "{ran:?}"
    );
    assert_eq!(names(&world.project.join(".git/worktrees")), BTreeSet::new());
    assert_eq!(fs::read(world.project.join(".git/config")).unwrap(), config);
    used_outside(&world, &[&world.project]);
    let told = world.events_of("git_not_brought");
    for name in ["home", "root", "other", "link", "away", "tag", "lost", "begun"] {
        let what = format!("the work tree worktrees/{name}");
        assert!(
            told.iter()
                .any(|event| event["what"].as_str().unwrap().starts_with(&what)
                    || event["what"]
                        .as_str()
                        .unwrap()
                        .starts_with(&format!("worktrees/{name}:"))),
            "{name}: {told:#?}"
        );
    }
}

/// What is believed is written anew: nothing that git obeys comes along.
#[test]
fn nothing_that_git_obeys_comes_with_a_work_tree() {
    let world = World::with_repository();
    let canary = world.outside.join("canary");
    let script = format!(
        "git worktree add -q -b w w; d=.git/worktrees/w; printf '#!/bin/sh\\necho ran >> {}\\n' > payload; chmod +x payload; \
         mkdir -p $d/hooks $d/info $d/objects/info; cp payload $d/hooks/post-checkout; cp payload $d/hooks/pre-commit; \
         printf '[core]\\n\\tfsmonitor = %s/payload\\n\\thooksPath = %s/.git/worktrees/w/hooks\\n' $PWD $PWD > $d/config.worktree; \
         cp $d/config.worktree $d/config; git config extensions.worktreeConfig true; echo '* filter=x' > $d/info/attributes; \
         printf 'ref: refs/heads/w\\n' > $d/FETCH_HEAD; printf 'bad\\033[2J' > $d/locked",
        canary.display()
    );
    let ran = world.run(APART, &script);
    ran.ok();
    let directory = world.project.join(".git/worktrees/w");
    let expected = ["HEAD", "commondir", "gitdir", "index", "locked", "logs"].map(str::to_owned);
    assert_eq!(names(&directory), BTreeSet::from(expected), "{ran:?}");
    assert_eq!(fs::read(directory.join("locked")).unwrap(), b"");
    used_outside(&world, &[&world.project, &world.project.join("w")]);
    assert!(!canary.exists());
}

/// A name that the host has is the host's, whatever it is inside.
#[test]
fn what_the_host_knows_stays() {
    let world = World::with_repository();
    let far = world.home.join("far");
    let near = world.project.join("near");
    for (tree, branch) in [(&far, "far"), (&near, "near")] {
        world.git(
            &world.project,
            &["worktree", "add", "-q", "-b", branch, tree.to_str().unwrap()],
        );
    }
    let before = world.git(&world.project, &["worktree", "list", "--porcelain"]);
    let ran = world.run(
        APART,
        "rm -rf .git/worktrees; git worktree prune; git worktree add -q -b mine far; git worktree add -q -b more new/near; exit 0",
    );
    let list = world.git(&world.project, &["worktree", "list", "--porcelain"]);
    assert_eq!(list, before, "{ran:?}");
    for (tree, branch) in [(&far, "far"), (&near, "near")] {
        assert_eq!(world.git(tree, &["branch", "--show-current"]), branch);
        assert_eq!(world.git(tree, &["status", "--porcelain"]), "");
    }
    // What leads to nothing that is known is told as what it is.
    let told: BTreeSet<String> = world
        .events_of("trust_change")
        .iter()
        .map(|event| event["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        told,
        BTreeSet::from(["far/.git", "new/near/.git"].map(str::to_owned))
    );
}

/// What a run that wrote the host's git directory left: a link in place of a directory of git directories shows nothing of
/// where it leads, and nothing is put there.
#[test]
fn links_among_git_directories_lead_nowhere() {
    let world = World::with_repository();
    let dot_git = world.project.join(".git");
    let store = world.directory(world.home.join("store"));
    let bare = world.directory(store.join("secret"));
    world.git(&bare, &["init", "-q", "--bare"]);
    world.file(bare.join("description"), "TOP-SECRET\n");
    for name in ["modules", "worktrees"] {
        std::os::unix::fs::symlink(&store, dot_git.join(name)).unwrap();
    }
    let ran = world.run(
        APART,
        "ls /.aca/objects; grep -rs TOP-SECRET .git; git worktree add -q -b w w; mkdir -p .git/modules/worktrees; exit 0",
    );
    assert_eq!(ran.ok(), "0", "{ran:?}");
    assert_eq!(names(&store), BTreeSet::from(["secret".to_owned()]));
}

#[test]
fn many_are_bounded() {
    let world = World::with_repository();
    let script = format!(
        "{MAKE} n=0; while [ $n -lt 400 ]; do tree t$n $PWD/t/$n; point t/$n $g/worktrees/t$n; n=$((n+1)); done; \
         while [ $n -lt 3000 ]; do mkdir $g/worktrees/t$n; n=$((n+1)); done; mkdir -p $g/modules; \
         n=0; while [ $n -lt 3000 ]; do mkdir $g/modules/m$n; n=$((n+1)); done; exit 0"
    );
    let ran = world.run(APART, &script);
    ran.ok();
    assert!(
        names(&world.project.join(".git/worktrees")).len() <= 200,
        "{ran:?}"
    );
    assert_eq!(names(&world.project.join(".git/modules")), BTreeSet::new());
    used_outside(&world, &[&world.project]);
}

#[test]
fn submodules_that_lead_elsewhere_are_not_made() {
    let world = World::with_repository();
    let part = world.directory(world.outside.join("part"));
    world.git(&part, &["init", "-q", "-b", "main"]);
    world.file(part.join("p"), "p");
    world.git(&part, &["add", "-A"]);
    world.git(&part, &["commit", "-qm", "part"]);
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        part.to_str().unwrap(),
        "sub",
    ];
    world.git(&world.project, &add);
    world.git(&world.project, &["commit", "-qm", "sub"]);
    fs::remove_file(world.project.join(".git/modules/sub/logs/HEAD")).ok();
    let before = (
        names(&world.project.join(".git/modules")),
        names(&world.project.join(".git/modules/sub")),
        names(&world.project.join(".git")),
    );
    let home = world.home.display();
    let script = format!(
        "{MAKE} part home {home}; part root $PWD; part git $g; part dots ../../../../other; part tmp /tmp/t; point /tmp/t $g/modules/tmp; \
         mkdir -p real; ln -s real linked; part link $PWD/linked; point real $g/modules/link; \
         part away $PWD/away; point away $g/modules/else; part Sub $PWD/Sub; point Sub $g/modules/Sub; \
         part sub/hooks $PWD/hooked; point hooked $g/modules/sub/hooks; part sub/x/y $PWD/xy; point xy $g/modules/sub/x/y; \
         part HEAD $PWD/head; point head $g/modules/HEAD; part -x $PWD/minus; point minus $g/modules/-x; \
         part partial $PWD/partial; git -C $g/modules/partial config extensions.partialClone origin; point partial $g/modules/partial; \
         part lost $PWD/lost; echo 1111111111111111111111111111111111111111 > $g/modules/lost/HEAD; point lost $g/modules/lost; \
         part esc \"$PWD/$(printf 'e\\033c')\"; point \"$(printf 'e\\033c')\" $g/modules/esc; \
         ln -s $PWD/real $g/modules/islink; exit 0"
    );
    let ran = world.run(APART, &script);
    ran.ok();
    let after = (
        names(&world.project.join(".git/modules")),
        names(&world.project.join(".git/modules/sub")),
        names(&world.project.join(".git")),
    );
    let without = |mut names: BTreeSet<String>| {
        names.remove("logs");
        names
    };
    assert_eq!(after.0, before.0, "{ran:?}");
    assert_eq!(without(after.1), without(before.1));
    assert_eq!(after.2, before.2);
    used_outside(&world, &[&world.project, &world.project.join("sub")]);
}

#[test]
fn nothing_that_git_obeys_comes_with_a_submodule() {
    let world = World::with_repository();
    let canary = world.outside.join("canary");
    let script = format!(
        "{MAKE} part new ../../../new; point new ../.git/modules/new; d=$g/modules/new; \
         printf '#!/bin/sh\\necho ran >> {canary}\\ncat\\n' > payload; chmod +x payload; p=$PWD/payload; \
         (cd new; git commit -q --allow-empty -m in; echo a > a; git add a; git commit -qm a); \
         for key in core.fsmonitor core.editor core.pager core.sshCommand core.hooksPath diff.external filter.x.clean remote.origin.uploadpack \
           core.gitProxy gpg.program core.alternateRefsCommand; do git -C new config $key $p; done; \
         git -C new config alias.status \"!$p\"; git -C new config remote.origin.url \"ext::$p\"; git -C new config remote.other.url https://other.test/x; \
         git -C new config include.path $PWD/included; printf '[core]\\n\\tfsmonitor = %s\\n' $p > included; \
         mkdir -p $d/hooks; for hook in post-checkout pre-commit post-index-change reference-transaction; do cp payload $d/hooks/$hook; done; \
         echo '* filter=x diff=x' > $d/info/attributes; echo / > $d/objects/info/alternates; \
         git config submodule.new.update '!'$p; git config submodule.new.url \"ext::$p\"; git config submodule.evil.url /tmp/x; \
         git config submodule.good.url https://good.test/x.git; git config submodule.new.active true; exit 0",
        canary = canary.display()
    );
    let ran = world.run(APART, &script);
    ran.ok();
    let new = world.project.join("new");
    assert_eq!(world.git(&new, &["log", "-1", "--format=%s"]), "a", "{ran:?}");
    let config = fs::read_to_string(world.project.join(".git/modules/new/config")).unwrap();
    let keys: BTreeSet<&str> = config
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key.trim())
        .collect();
    let known = [
        "repositoryformatversion",
        "filemode",
        "bare",
        "logallrefupdates",
        "worktree",
        "url",
    ];
    assert!(keys.iter().all(|key| known.contains(key)), "{config}");
    assert_eq!(
        world.git(&new, &["remote", "-v"]).lines().next(),
        Some("other\thttps://other.test/x (fetch)")
    );
    let own = names(&world.project.join(".git/modules/new"));
    for bad in ["hooks", "config.worktree"] {
        assert!(!own.contains(bad), "{own:?}");
    }
    assert!(!world.project.join(".git/modules/new/info/attributes").exists());
    assert!(
        !world
            .project
            .join(".git/modules/new/objects/info/alternates")
            .exists()
    );
    let settings = world.git(&world.project, &["config", "--local", "--list"]);
    let submodules: Vec<&str> = settings
        .lines()
        .filter(|line| line.starts_with("submodule."))
        .collect();
    assert_eq!(
        submodules,
        [
            "submodule.good.url=https://good.test/x.git",
            "submodule.new.active=true"
        ]
    );
    used_outside(&world, &[&world.project, &new]);
    world.file(new.join("b"), "b");
    world.git(&new, &["add", "b"]);
    world.git(&new, &["commit", "-qm", "b"]);
    assert!(
        !canary.exists(),
        "{}",
        fs::read_to_string(&canary).unwrap_or_default()
    );
}
