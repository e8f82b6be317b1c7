//! M cases: what the host runs later.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::shell::Shell;
use super::support::{self, Ran, World};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The host's own git directory is what is attacked.
const DIRECT: &[&str] = &["--git-mode", "direct"];

fn aca_in(world: &World, directory: &Path, script: &str) -> Ran {
    let mut command = world.aca(&["run", "--git-mode", "direct", "--", "sh", "-c", script]);
    Ran::from_output(&command.current_dir(directory).output().unwrap())
}

/// Every way to change a file by name, none of which may work; each prints its name if it does.
fn attacks(path: &str) -> String {
    format!(
        "try() {{ sh -c \"$1\" >/dev/null 2>&1 && echo \"WORKED {path}: $1\"; }}; echo evil > evil; \
         try 'echo evil > {path}'; try 'echo evil >> {path}'; try 'rm -f {path}'; try 'mv {path} gone'; \
         try 'mv -T evil {path}'; echo evil > evil; try 'ln -sfT evil {path}'; try 'cp --remove-destination evil {path}'; \
         try 'truncate -s0 {path}'; try 'chmod 777 {path}'; try 'ln {path} other && echo evil >> other'; "
    )
}

/// The paths stay as they are, whatever is tried inside.
#[track_caller]
fn unchanged(world: &World, paths: &[&str]) {
    let before: Vec<_> = paths
        .iter()
        .map(|path| fs::read(world.project.join(path)).unwrap())
        .collect();
    let script: String = paths.iter().map(|path| attacks(path)).collect();
    let ran = world.run(DIRECT, &format!("{script} true"));
    assert_eq!(ran.ok(), "", "{ran:?}");
    for (path, content) in paths.iter().zip(before) {
        assert_eq!(fs::read(world.project.join(path)).unwrap(), content, "{path}");
    }
}

/// What the report of the newest run says of each path.
fn told(world: &World) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut told: Vec<_> = world
        .events_of("trust_change")
        .iter()
        .map(|event| (text(&event["path"]), text(&event["change"])))
        .collect();
    told.sort();
    told
}

fn pair(path: &str, change: &str) -> (String, String) {
    (path.to_owned(), change.to_owned())
}

#[test]
fn m01_m09_start_up_files() {
    let world = World::new();
    let paths = [
        ".gitconfig",
        ".gitmodules",
        ".bashrc",
        ".bash_profile",
        ".zshrc",
        ".zprofile",
        ".profile",
        ".ripgreprc",
        ".mcp.json",
    ];
    for path in paths {
        world.file(path, "host");
    }
    unchanged(&world, &paths);
}

#[test]
fn m01_m09_what_is_not_there_leaves_nothing_and_is_told() {
    let world = World::with_repository();
    let ran = world.run(&[], "git status --porcelain; ls -A");
    assert_eq!(ran.ok(), ".git\nREADME");
    let ran = world.run(
        &["--open-names"],
        "echo x > .bashrc; mkdir .vscode; echo x > .vscode/tasks.json; echo x > .mcp.json",
    );
    let appeared = [".bashrc", ".mcp.json", ".vscode/tasks.json"];
    assert_eq!(told(&world), appeared.map(|path| pair(path, "appeared")));
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert!(
        ran.err.contains("3 files") && ran.err.contains(".bashrc") && ran.err.contains("aca check"),
        "{ran:?}"
    );
    let log = Ran::from_output(&world.aca(&["log"]).output().unwrap());
    assert!(
        log.ok()
            .contains(".vscode/tasks.json appeared; it takes effect when you open the editor"),
        "{log:?}"
    );
}

#[test]
fn m10_m13_directories_of_editors_and_agents() {
    let world = World::new();
    let paths = [
        ".vscode/tasks.json",
        ".idea/workspace.xml",
        ".claude/commands/x.md",
        ".claude/agents/y.md",
    ];
    for path in paths {
        world.file(path, "host");
    }
    unchanged(&world, &paths);
    let ran = world.run(&[], "echo x > .idea/new; echo x > .claude/commands/new; mv .idea i; mv .claude c; mv .vscode v; rm -f gone evil; ls -A");
    assert_eq!(ran.out, ".claude\n.idea\n.vscode\n", "{ran:?}");
    assert!(!world.project.join(".idea/new").exists());
}

#[test]
fn m14_m15_m16_hooks_settings_and_the_repository_itself() {
    let world = World::with_repository();
    world.file(".git/hooks/pre-push", "host");
    unchanged(&world, &[".git/config", ".git/hooks/pre-push"]);
    let ran = world.run(
        DIRECT,
        "echo x > .git/hooks/pre-commit; git config x.y 1; mv .git .git2; mv .git/hooks .git/h; rm -rf .git/hooks; \
         rmdir .git/hooks; ln -sfn /tmp .git; rm -rf .git 2>/dev/null; ls -d .git .git/hooks .git/config",
    );
    assert_eq!(ran.out, ".git\n.git/config\n.git/hooks\n", "{ran:?}");
    assert!(!world.project.join(".git/hooks/pre-commit").exists());
}

#[test]
fn m14_hooks_that_were_not_there_are_told() {
    let world = World::with_repository();
    fs::remove_dir_all(world.project.join(".git/hooks")).unwrap();
    let ran = world.run(
        &["--git-mode", "direct", "--open-names"],
        "mkdir .git/hooks && echo x > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit",
    );
    assert_eq!(
        told(&world),
        [
            pair(".git/hooks", "appeared"),
            pair(".git/hooks/pre-commit", "appeared")
        ]
    );
    assert!(ran.err.contains(".git/hooks"), "{ran:?}");
}

#[test]
fn m17_a_commondir_is_told() {
    let world = World::with_repository();
    let ran = world.run(&["--git-mode", "direct", "--open-names"], "echo ../evil > .git/commondir; echo x > .git/config.worktree; mkdir -p .git/info; echo x > .git/info/attributes");
    let wanted = [".git/commondir", ".git/config.worktree", ".git/info/attributes"];
    assert_eq!(told(&world), wanted.map(|path| pair(path, "appeared")));
    assert!(ran.err.contains(".git/commondir"), "{ran:?}");
    // And the next run doesn't start on it.
    let ran = world.run(DIRECT, "echo started");
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
}

#[test]
fn m18_all_of_a_repository_that_git_obeys() {
    let world = World::with_repository();
    let paths = [
        ".git/config.worktree",
        ".git/info/attributes",
        ".git/info/grafts",
        ".git/objects/info/alternates",
        ".git/modules/lib/config",
        ".git/modules/lib/hooks/post-checkout",
        ".git/modules/a/b/c/config",
    ];
    for path in paths {
        world.file(path, "");
    }
    for module in ["lib", "a/b/c"] {
        world.file(format!(".git/modules/{module}/HEAD"), "ref: refs/heads/main\n");
    }
    unchanged(&world, &paths);
    let ran = world.run(
        DIRECT,
        "mv .git/modules m; mv .git/modules/a m; mv .git/modules/a/b m; mv .git/info i; mv .git/objects/info i; \
         mv .git/modules/lib m; ls -d .git/modules/lib/hooks .git/modules/a/b/c .git/info .git/objects/info",
    );
    assert_eq!(ran.out.lines().count(), 4, "{ran:?}");
}

#[test]
fn m19_m20_nested_repositories_at_any_depth() {
    let world = World::with_repository();
    for directory in ["sub", "sub/nested", "a/b/c/d/e"] {
        let path = world.directory(directory);
        world.git(&path, &["init", "-q"]);
        let ran = world.run(
            &[],
            &format!(
                "{} echo x > {directory}/.git/hooks/pre-commit; mv {directory}/.git {directory}/g; mv {directory} elsewhere; \
                 rm -rf {directory}/.git/hooks; git -C {directory} config a.b c; true",
                attacks(&format!("{directory}/.git/config"))
            ),
        );
        assert_eq!(ran.ok(), "", "{ran:?}");
        assert!(!path.join(".git/hooks/pre-commit").exists());
        // It works all the same.
        world
            .run(
                &[],
                &format!("cd {directory} && echo x > f && git add f && git commit -qm x"),
            )
            .ok();
    }
}

#[test]
fn m21_new_files_in_new_directories_are_told() {
    let world = World::new();
    world.directory("sub");
    world.run(
        &["--open-names"],
        "mkdir -p sub/q/.vscode && echo x > sub/q/.bashrc && echo x > sub/q/.vscode/settings.json && echo x > sub/.mcp.json",
    )
    .ok();
    let wanted = ["sub/.mcp.json", "sub/q/.bashrc", "sub/q/.vscode/settings.json"];
    assert_eq!(told(&world), wanted.map(|path| pair(path, "appeared")));
}

#[test]
fn m22_a_repository_that_is_made_inside_works_and_is_told() {
    let world = World::new();
    let ran = world.run(
        &[],
        "git init -q newr && echo x > newr/.git/hooks/pre-commit && git init -q --bare b.git && mkdir f && echo 'gitdir: ../newr/.git' > f/.git",
    );
    ran.ok();
    let told = told(&world);
    for path in ["newr/.git", "b.git", "f/.git"] {
        assert!(told.contains(&pair(path, "appeared")), "{told:?}");
    }
    // From the next run on it is protected.
    world.run(&[], "echo y > newr/.git/hooks/pre-commit").refused();
    world.run(&[], "echo y > b.git/hooks/x").refused();
}

#[test]
fn m23_m24_what_agents_and_tools_run() {
    let world = World::new();
    let paths = [
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".claude/hooks/x",
        ".claude/skills/s/SKILL.md",
        ".envrc",
        ".npmrc",
        ".husky/pre-commit",
        ".github/workflows/ci.yml",
        ".cursor/mcp.json",
        ".codex/config.toml",
        ".devcontainer/devcontainer.json",
        ".cargo/config.toml",
        ".pre-commit-config.yaml",
        "pkg/.npmrc",
        "a/b/.envrc",
        "x.code-workspace",
        ".gitlab-ci.yml",
    ];
    for path in paths {
        world.file(path, "host");
    }
    unchanged(&world, &paths);
    let ran = world.run(
        &[],
        "echo x > .claude/notes.md && echo x > .github/README.md && echo x > .claude/CLAUDE.md",
    );
    ran.ok();
    assert_eq!(told(&world), [pair(".claude/CLAUDE.md", "appeared")]);
}

#[test]
fn m24_legitimate_work_is_told_and_not_blocked() {
    let world = World::new();
    for path in ["package.json", "Makefile", "build.rs", "same.mk"] {
        world.file(path, "host");
    }
    let ran = world.run(
        &[],
        "echo x >> package.json; echo x > new && mv new Makefile; rm build.rs; echo x > run.sh; chmod +x run.sh; echo x > lib.sh; cat same.mk >/dev/null",
    );
    ran.ok();
    let wanted = [
        pair("Makefile", "changed"),
        pair("build.rs", "removed"),
        pair("package.json", "changed"),
        pair("run.sh", "appeared"),
    ];
    assert_eq!(told(&world), wanted);
    // Nothing to tell is nothing told.
    let ran = world.run(&[], "echo x > plain; mkdir d; cat Makefile >/dev/null; touch d/f");
    assert_eq!((told(&world), ran.err.as_str()), (vec![], ""));
}

#[test]
fn m24_links_out_of_the_project_are_told() {
    let world = World::new();
    symlink("/etc/hosts", world.project.join("old")).unwrap();
    world
        .run(
            &[],
            "ln -s ../outside up; ln -s /etc/passwd down; ln -s old inside; mkdir d; ln -s ../old d/fine",
        )
        .ok();
    assert_eq!(told(&world), [pair("down", "appeared"), pair("up", "appeared")]);
}

#[test]
fn m24_a_changed_file_of_a_large_project_is_told() {
    let world = World::new();
    for directory in 0..400 {
        world.file(format!("d{directory}/Makefile"), "host");
    }
    // Written in place: no directory changes.
    world
        .run(&[], "printf x | dd of=d399/Makefile conv=notrunc 2>/dev/null")
        .ok();
    assert_eq!(told(&world), [pair("d399/Makefile", "changed")]);
    world.run(&[], "true").ok();
    assert_eq!(told(&world), []);
}

/// The repository, and a linked work tree of it.
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
fn m25_m26_m27_linked_work_trees() {
    let (world, linked) = with_worktree();
    let common = world.project.join(".git");
    let own = common.join("worktrees/linked");
    let config = fs::read(common.join("config")).unwrap();
    let pointer = fs::read(linked.join(".git")).unwrap();
    let script = format!(
        "{} {} {} {} true",
        attacks(".git"),
        attacks(common.join("config").to_str().unwrap()),
        attacks(own.join("commondir").to_str().unwrap()),
        attacks(own.join("gitdir").to_str().unwrap()),
    );
    let ran = aca_in(&world, &linked, &script);
    assert_eq!(ran.ok(), "", "{ran:?}");
    let dir = common.display();
    let ran = aca_in(
        &world,
        &linked,
        &format!(
            "echo x > {dir}/hooks/pre-commit; mv {dir}/hooks {dir}/h; mv {dir}/worktrees {dir}/w; \
             echo x > {dir}/../README; git config a.b c; rm -f evil gone; git status --porcelain"
        ),
    );
    assert_eq!(ran.out, "", "{ran:?}");
    assert!(!common.join("hooks/pre-commit").exists());
    assert_eq!(fs::read(common.join("config")).unwrap(), config);
    assert_eq!(fs::read(linked.join(".git")).unwrap(), pointer);
    // The work goes on, on either side.
    aca_in(
        &world,
        &linked,
        "echo x > f && git add -A && git commit -qm inside && git gc -q",
    )
    .ok();
    assert_eq!(
        world.git(&world.project, &["log", "--format=%s", "-1", "linked"]),
        "inside"
    );
    // What the common directory gets is told with its full path.
    let script = format!("echo x > {dir}/config.worktree");
    aca_in(&world, &linked, &script).refused();
    let words = [
        "run",
        "--git-mode",
        "direct",
        "--open-names",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let mut open = world.aca(&words);
    Ran::from_output(&open.current_dir(&linked).output().unwrap()).ok();
    let path = common.join("config.worktree").display().to_string();
    assert_eq!(told(&world), [pair(&path, "appeared")]);
}

#[test]
fn m25_a_pointer_that_was_forged_is_not_followed() {
    let world = World::new();
    world.git(&world.outside, &["init", "-q"]);
    world.file(".git", format!("gitdir: {}/.git\n", world.outside.display()));
    let ran = world.run(&[], "echo started");
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
    assert!(ran.err.contains("does not name it in turn"), "{ran:?}");
}

#[test]
fn m28_other_cases_of_a_name() {
    let world = World::new();
    let paths = [".BashRC", ".ENVRC", ".VSCode/Tasks.json"];
    for path in paths {
        world.file(path, "host");
    }
    unchanged(&world, &paths);
}

#[test]
fn m29_behind_a_link() {
    let world = World::new();
    world.file("real/settings.json", "host");
    world.file("real/hooks/x", "host");
    symlink("real", world.project.join(".claude")).unwrap();
    unchanged(
        &world,
        &["real/settings.json", ".claude/settings.json", "real/hooks/x"],
    );
    let ran = world.run(
        &[],
        "echo x > real/hooks/new; echo x > .claude/hooks/new; mv real other; ls real/hooks",
    );
    assert_eq!(ran.out, "x\n", "{ran:?}");
}

#[test]
fn a_protected_file_that_the_host_replaces_stays_protected() {
    let world = World::with_repository();
    world.file(".envrc", "host");
    world.file(".husky/pre-commit", "host");
    let mut shell = Shell::start(&world, DIRECT);
    shell.ask("echo x > .git/config").refused("Read-only");
    for round in 0..3 {
        // Git, like every editor, writes a new file and renames it over the old one.
        world.git(&world.project, &["config", "round.number", &round.to_string()]);
        shell.until_refused("echo \"# x\" >> .git/config", "Read-only");
    }
    fs::rename(world.file("fresh", "host2"), world.project.join(".envrc")).unwrap();
    shell.until_refused("echo x > .envrc", "Read-only");
    // A directory that is removed and comes again, and one on the way.
    fs::remove_dir_all(world.project.join(".husky")).unwrap();
    world.file(".husky/pre-commit", "host");
    shell.until_refused("echo x > .husky/pre-commit", "Read-only");
    fs::remove_dir_all(world.project.join(".git")).unwrap();
    world.git(&world.project, &["init", "-q"]);
    shell.until_refused("echo x >> .git/config", "Read-only");
    shell.until_refused("echo x >> .git/hooks/new", "Read-only");
    shell.until_refused("mv .git g", "busy");
    shell.end().ok();
    assert!(!world.events_of("protected").is_empty());
}

#[test]
fn c30_what_one_run_moves_about_is_masked_in_the_next() {
    let world = World::new();
    world.file("r/s/.env", "geheim");
    for (pause, starts) in [("sleep 0.01", 8), (":", 2)] {
        let script = format!(
            "echo ready; while [ ! -e end ]; do mv r/s r/t; {pause}; mv r/t r/s; {pause}; done 2> /dev/null"
        );
        let mut moving = world.aca(&["run", "--", "sh", "-c", &script]);
        let mut moving = moving.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(moving.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let mut wrong = Vec::new();
        for _ in 0..starts {
            let look = "i=0; while [ $i -lt 200 ]; do cat r/s/.env r/t/.env; i=$((i + 1)); done 2> /dev/null; echo looked";
            let ran = world.run(&[], look);
            // A project that never comes to rest is refused; nothing is shown either way.
            let refused = ran.code == 125 && ran.err.contains("doesn't come to rest");
            if ran.out != "looked\n" && !(refused && ran.out.is_empty()) {
                wrong.push(ran);
            }
        }
        // Ended in any case, or it would move things for ever.
        world.file("end", "");
        assert!(moving.wait().unwrap().success());
        fs::remove_file(world.project.join("end")).unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn c30_two_runs_at_once_do_not_weaken_each_other() {
    let world = World::with_repository();
    for path in [".bashrc", ".mcp.json", ".vscode/tasks.json", ".env"] {
        world.file(path, "host");
    }
    let check = |shell: &mut Shell| {
        for path in [
            ".bashrc",
            ".mcp.json",
            ".vscode/tasks.json",
            ".git/config",
            ".git/hooks/new",
        ] {
            shell.ask(&format!("echo x > {path}")).refused("Read-only");
        }
        shell.ask("cat .env").refused("Permission denied");
        shell.ask("mv .vscode v").refused("busy");
        shell.ask("rm -f .bashrc .env").refused("busy");
    };
    let mut first = Shell::start(&world, DIRECT);
    let mut second = Shell::start(&world, DIRECT);
    check(&mut first);
    check(&mut second);
    // What appears is masked in both.
    first.ask("mkdir n && echo own > n/.env").ok();
    first.until_refused("cat n/.env", "Permission denied");
    second.until_refused("cat n/.env", "Permission denied");
    first.end().ok();
    check(&mut second);
    let mut third = Shell::start(&world, DIRECT);
    second.end().ok();
    check(&mut third);
    third.end().ok();
    assert_eq!(world.git(&world.project, &["status", "--porcelain", "-uno"]), "");
}

#[test]
fn a_path_that_is_swapped_while_the_view_is_built_is_never_followed() {
    if !support::has("python3") {
        return;
    }
    // Another program of the user's swaps a directory for a link, as fast as it can, while runs start: each run either
    // refuses or has what was there. It never writes through the link.
    let world = World::new();
    world.file("way/.envrc", "host");
    let outside = world.outside.display().to_string();
    world.file(
        "../swap.py",
        format!(
            "import os, sys\nos.symlink({outside:?}, 'link')\nwhile True:\n    \
             os.rename('way', 'kept'); os.rename('link', 'way'); os.rename('way', 'link'); os.rename('kept', 'way')\n"
        ),
    );
    let mut swapper = world.command("python3").arg("../swap.py").spawn().unwrap();
    for _ in 0..60 {
        let ran = world.run(&["--write", "way"], "echo x > way/new");
        assert!(matches!(ran.code, 0..=2 | 125), "{ran:?}");
    }
    // Nor does a start make anything in the project: the swapper would stumble over it.
    assert!(swapper.try_wait().unwrap().is_none());
    swapper.kill().unwrap();
    swapper.wait().unwrap();
    assert_eq!(fs::read_dir(&world.outside).unwrap().count(), 0);
}

#[test]
fn what_is_put_where_nobody_looks_is_told() {
    let world = World::new();
    let deep = vec!["d"; 300].join("/");
    let ran = world.run(
        &["--open-names"],
        &format!("mkdir closed && echo x > closed/.envrc && chmod 000 closed; mkdir -p {deep} && cd {deep} && echo x > .envrc"),
    );
    ran.ok();
    let told = told(&world);
    assert!(told.contains(&pair("closed", "appeared")), "{told:?}");
    assert!(told.iter().any(|(path, _)| path.starts_with("d/d/d")), "{told:?}");
    assert!(ran.err.contains("closed"), "{ran:?}");
    assert!(!world.events_of("degraded").is_empty());
    // The next run can't protect what it can't see: it says so and doesn't start.
    let ran = world.run(&[], "echo started");
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
}
