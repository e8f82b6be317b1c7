//! Directories that a rule opens for names, the one name that may be new anyway, and ordinary work that makes many.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::support::{Ran, World, has, skip};
use std::fs;
use std::os::unix::fs::symlink;

const MODES: [&str; 2] = ["isolated", "direct"];
const OPEN: [&str; 2] = ["--open-names-in", "vendor"];

fn aca(world: &World, words: &[&str]) -> Ran {
    Ran::from_output(&world.aca(words).output().unwrap())
}

/// In a mode.
fn run(world: &World, mode: &str, flags: &[&str], script: &str) -> Ran {
    let flags = [&["--git-mode", mode], flags].concat();
    world.run(&flags, script)
}

fn told(world: &World) -> Vec<String> {
    let path = |event: &serde_json::Value| event["path"].as_str().unwrap().to_owned();
    world.events_of("trust_change").iter().map(path).collect()
}

#[test]
fn names_in_an_opened_directory_are_made_and_told_and_no_others() {
    for mode in MODES {
        let world = World::with_repository();
        let made = "mkdir -p vendor/lib/.github/workflows && echo x > vendor/lib/.github/workflows/ci.yml && \
                    echo x > vendor/.envrc && mkdir -p vendor/a/editor && echo x > vendor/a/editor/tasks.json && \
                    mv vendor/a/editor vendor/a/.vscode";
        run(&world, mode, &[], made).refused();
        assert!(
            !world.project.join("vendor/lib/.github/workflows").exists(),
            "{mode}"
        );
        run(&world, mode, &OPEN, made).ok();
        let mut paths = told(&world);
        paths.sort();
        let wanted = [
            "vendor/.envrc",
            "vendor/a/.vscode/tasks.json",
            "vendor/lib/.github/workflows",
            "vendor/lib/.github/workflows/ci.yml",
        ];
        assert_eq!(paths, wanted, "{mode}");
        for script in [
            "echo x > .envrc",
            "echo x > vendored.code-workspace",
            "mkdir -p deep/vendor && echo x > deep/vendor/.envrc",
            "mkdir -p .github/workflows",
            // What is there stays as it is.
            "echo y > vendor/.envrc",
            "rm vendor/a/.vscode/tasks.json",
        ] {
            run(&world, mode, &OPEN, script).refused();
        }
        assert_eq!(fs::read(world.project.join("vendor/.envrc")).unwrap(), b"x\n");
    }
}

/// What lies in it has names that were never judged.
#[test]
fn nothing_is_moved_out_of_an_opened_directory() {
    let world = World::with_repository();
    let made = "mkdir -p vendor/x/.idea vendor/plain other && echo x > vendor/x/.idea/y && echo x > vendor/x/.envrc && \
                echo x > vendor/plain/y && ";
    let exchanged = "python3 -c 'import ctypes; libc = ctypes.CDLL(None, use_errno=True); \
                     raise SystemExit(libc.renameat2(-100, b\"vendor/x\", -100, b\"other\", 2) != 0)'";
    for script in [
        "mv vendor/x out",
        "mv vendor out",
        "mv vendor/x/.envrc .",
        "ln vendor/x/.envrc .envrc",
        "ln vendor/x/.envrc other/.envrc",
        "mv vendor/x/.idea .",
        "mv vendor/x other/x",
        exchanged,
    ] {
        run(&world, "isolated", &OPEN, &format!("{made} {script}")).refused();
        assert!(!world.project.join("out").exists() && !world.project.join("other/x").exists());
        assert!(!world.project.join("other/.envrc").exists(), "{script}");
        fs::remove_dir_all(world.project.join("vendor")).unwrap();
    }
    run(
        &world,
        "isolated",
        &OPEN,
        &format!("{made} mv vendor/plain other && mv vendor/x vendor/z && mv other vendor"),
    )
    .ok();
    // Nor with what holds it.
    let flags = ["--open-names-in", "a/vendor"];
    let made = "mkdir -p a/vendor && echo x > a/vendor/.envrc && ";
    run(&world, "isolated", &flags, &format!("{made} mv a b")).refused();
    run(&world, "isolated", &flags, "mkdir -p c/vendor && mv c d").ok();
}

/// The table doesn't count in it; what git in a repository would obey does.
#[test]
fn what_a_repository_would_obey_is_held_in_an_opened_directory_too() {
    let world = World::with_repository();
    let flags = ["--open-names-in", "."];
    run(&world, "direct", &flags, "echo x > .envrc && mkdir -p a/.idea").ok();
    for name in ["commondir", "config.worktree", "info/attributes"] {
        let script = format!("mkdir -p .git/info; echo x > .git/{name}");
        run(&world, "direct", &flags, &script).refused();
        assert!(!world.project.join(".git").join(name).exists(), "{name}");
    }
}

#[test]
fn an_opened_directory_lies_where_names_are_held() {
    let world = World::with_repository();
    world.directory("src");
    symlink("src", world.project.join("linked")).unwrap();
    symlink(".", world.project.join("all")).unwrap();
    symlink(&world.project, world.home.join("way")).unwrap();
    let way = world.home.join("way/vendor").display().to_string();
    let open =
        |directory: &str, script: &str| run(&world, "isolated", &["--open-names-in", directory], script);
    for (directory, why) in [
        ("/tmp/elsewhere", "neither in the project nor"),
        ("..", "neither in the project nor"),
        // Whoever ran there before could have made these.
        ("linked", "leads to"),
        ("all", "leads to"),
        ("all/vendor", "leads to"),
        ("vendor*", "pattern"),
    ] {
        let ran = open(directory, "true");
        assert!(ran.code == 125 && ran.err.contains(why), "{directory}: {ran:?}");
    }
    open(&way, "mkdir vendor && echo x > vendor/.envrc").ok();
    open("src", "echo x > src/.envrc").ok();
    // In another directory that may be written.
    let other = world.directory(world.outside.join("other"));
    let script = format!("mkdir {0}/in && echo x > {0}/in/.envrc", other.display());
    let write = ["--write", other.to_str().unwrap()];
    run(&world, "isolated", &write, &script).refused();
    let inner = other.join("in").display().to_string();
    fs::remove_dir(&inner).unwrap();
    run(
        &world,
        "isolated",
        &[&write[..], &["--open-names-in", &inner]].concat(),
        &script,
    )
    .ok();
}

#[test]
fn it_is_the_users_to_open_a_directory() {
    let world = World::new();
    let script = "mkdir -p vendor && echo x > vendor/.envrc";
    world.file(".aca.toml", "[files]\nopen_names_in = [\"vendor\"]\n");
    let ran = run(&world, "isolated", &[], script);
    ran.refused();
    assert!(ran.err.contains("waits"), "{ran:?}");
    let config = world.home.join(".config/aca/config.toml");
    // What it says of another project's directory says nothing here.
    world.file(
        &config,
        "[files]\nopen_names_in = [\"vendor\", \"~/other/vendor\"]\n",
    );
    run(&world, "isolated", &[], script).ok();
    let shown = aca(&world, &["config"]);
    assert!(shown.ok().contains("files.open_names_in"), "{shown:?}");
}

#[test]
fn why_tells_of_opened_directories() {
    let world = World::with_repository();
    let why = |flags: &[&str], path: &str| {
        let words = [&["why"], flags, &["--for", "write", path]].concat();
        aca(&world, &words)
    };
    let refused = why(&[], "vendor/lib/.mise.toml");
    assert!(
        refused.code == 1
            && refused.out.contains("can't be made")
            && !refused.out.contains("--open-names-in"),
        "{refused:?}"
    );
    let opened = why(&OPEN, "vendor/lib/.mise.toml");
    assert!(
        opened.code == 0 && opened.out.contains("told after the run"),
        "{opened:?}"
    );
    assert_eq!(why(&OPEN, ".mise.toml").code, 1);
    // A repository in it, and several names of one directory.
    world.directory("vendor/lib");
    world.git(&world.project.join("vendor/lib"), &["init", "-q"]);
    let advice = |directory: &str| format!("`--open-names-in {}`", world.project.join(directory).display());
    let refused = why(&[], "vendor/lib/.github/workflows/ci.yml");
    assert!(refused.out.contains(&advice("vendor/lib")), "{refused:?}");
    run(&world, "isolated", &[], "echo x > .envrc").refused();
    let told = aca(&world, &["why", "--session", "last"]);
    assert!(!told.out.contains("`--open-names-in /"), "{told:?}");
    run(
        &world,
        "isolated",
        &[],
        "mkdir -p app/.vscode; echo x > app/.vscode/tasks.json; echo x > app/.npmrc",
    )
    .refused();
    let told = aca(&world, &["why", "--session", "last"]);
    assert!(told.out.contains(&advice("app")), "{told:?}");
}

#[test]
fn git_modules_may_be_new_and_are_told() {
    for mode in MODES {
        let world = World::with_repository();
        world.directory("a");
        let script = "set -e; echo '# none' > .gitmodules.lock; mv .gitmodules.lock .gitmodules; echo '# none' > a/.gitmodules; \
                      rm .gitmodules; echo '# other' > .gitmodules";
        run(&world, mode, &[], script).ok();
        assert_eq!(told(&world), [".gitmodules", "a/.gitmodules"], "{mode}");
        // From then on they stay.
        run(&world, mode, &[], "echo x > .gitmodules").refused();
        run(&world, mode, &[], "rm a/.gitmodules").refused();
        fs::remove_file(world.project.join(".gitmodules")).unwrap();
        fs::remove_file(world.project.join("a/.gitmodules")).unwrap();
        // Git reads no link in its place, and its neighbours are held.
        for script in [
            "ln -s README .gitmodules",
            "ln -s README link; mv link .gitmodules",
            "ln -s README link; ln link a/.gitmodules",
            "echo x > .gitattributes",
            "echo x > a/.gitattributes",
            "echo x > .lfsconfig",
            "echo x > a/.gitconfig",
        ] {
            run(&world, mode, &[], script).refused();
        }
        let why = |path: &str| aca(&world, &["why", "--for", "write", path]);
        let new = why(".gitmodules");
        assert!(new.code == 0 && new.out.contains("told after the run"), "{new:?}");
        assert_eq!(why("a/.gitattributes").code, 1);
    }
}

/// `git submodule add`, at the top and beneath, as outside.
#[test]
fn submodules_are_added_inside() {
    for mode in MODES {
        let world = World::with_repository();
        let lib = world.directory(world.outside.join("lib"));
        world.git(&lib, &["init", "-q", "-b", "main"]);
        world.git(&lib, &["commit", "-q", "--allow-empty", "-m", "lib"]);
        let script = format!(
            "set -e; add() {{ git -c protocol.file.allow=always submodule --quiet add {} $1; }}; add sub; add a/b/sub; \
             git commit -q -m subs; git submodule status | wc -l; git status --porcelain",
            lib.display()
        );
        let flags = ["--read", lib.to_str().unwrap()];
        let ran = run(&world, mode, &flags, &script);
        assert_eq!(ran.ok(), "2", "{mode}");
        assert!(told(&world).contains(&".gitmodules".to_owned()), "{mode}");
        let status = world.git(&world.project, &["submodule", "status"]);
        assert_eq!(status.lines().count(), 2, "{mode}: {status}");
        assert_eq!(
            world.git(&world.project, &["status", "--porcelain"]),
            "",
            "{mode}"
        );
    }
}

/// A repository with files of such names, in a bare one that can be seen inside.
fn upstream(world: &World) -> String {
    let seed = world.directory(world.outside.join("seed"));
    for (path, text) in [
        (".github/workflows/ci.yml", "on: push\n"),
        (".vscode/settings.json", "{}\n"),
        (".gitattributes", "*.png binary\n"),
        ("src/main.c", "int main(void) { return 0; }\n"),
    ] {
        world.file(seed.join(path), text);
    }
    world.git(&seed, &["init", "-q", "-b", "main"]);
    world.git(&seed, &["add", "-A"]);
    world.git(&seed, &["commit", "-q", "-m", "seed"]);
    world.git(&seed, &["switch", "-q", "-c", "files"]);
    world.git(&seed, &["rm", "-q", "-r", ".github"]);
    world.git(&seed, &["commit", "-q", "-m", "without workflows"]);
    world.git(&seed, &["switch", "-q", "main"]);
    let bare = world.outside.join("up.git").display().to_string();
    world.git(&world.outside, &["clone", "-q", "--bare", "seed", &bare]);
    bare
}

#[test]
fn a_clone_has_all_its_files_where_names_are_open() {
    for mode in MODES {
        let world = World::with_repository();
        let bare = upstream(&world);
        let flags = ["--read", &bare];
        let script = format!("mkdir -p vendor && git clone -q {bare} vendor/copy");
        let ran = run(&world, mode, &flags, &script);
        ran.refused();
        // Git stops at a directory.
        let stopped = "cannot create directory at '.github/workflows': Read-only file system";
        assert!(ran.err.contains(stopped), "{mode}: {ran:?}");
        let why = aca(&world, &["why", "--session", "last"]);
        assert!(why.out.contains("--open-names-in"), "{why:?}");
        let copy = world.project.join("vendor/copy");
        assert!(!copy.join(".github/workflows").exists() && !copy.join(".gitattributes").exists());
        fs::remove_dir_all(world.project.join("vendor")).unwrap();
        // It goes on after a file.
        let ran = run(&world, mode, &flags, &format!("{script} -b files"));
        ran.refused();
        for name in [".vscode/settings.json", ".gitattributes"] {
            let said = format!("unable to create file {name}: Read-only file system");
            assert!(ran.err.contains(&said), "{mode}: {ran:?}");
            assert!(!copy.join(name).exists());
        }
        assert!(copy.join("src/main.c").exists(), "{ran:?}");
        fs::remove_dir_all(world.project.join("vendor")).unwrap();
        let ran = run(&world, mode, &[&flags[..], &OPEN].concat(), &script);
        ran.ok();
        let copy = world.project.join("vendor/copy");
        assert_eq!(
            world.git(&copy, &["status", "--porcelain"]),
            "",
            "{mode}: {ran:?}"
        );
        assert!(copy.join(".github/workflows/ci.yml").exists());
        assert!(
            told(&world).contains(&"vendor/copy/.vscode/settings.json".to_owned()),
            "{mode}"
        );
    }
}

/// What `npm create` does: a package of another's makes a project in a directory.
#[test]
fn a_scaffold_makes_what_it_wants_where_names_are_open() {
    if !has("npx") {
        skip("npx", "it isn't installed");
        return;
    }
    let world = World::with_repository();
    world.file(
        "create-thing/package.json",
        r#"{ "name": "create-thing", "version": "1.0.0", "bin": "make.js" }"#,
    );
    world.file(
        "create-thing/make.js",
        "#!/usr/bin/env node\nconst fs = require('fs');\nconst at = process.argv[2];\nfs.mkdirSync(`${at}/.vscode`, { recursive: true });\n\
         fs.writeFileSync(`${at}/package.json`, '{}');\nfs.writeFileSync(`${at}/.vscode/extensions.json`, '{}');\n\
         fs.writeFileSync(`${at}/.npmrc`, 'fund=false');\n",
    );
    let script = "chmod +x create-thing/make.js; npx --yes --offline --no-update-notifier ./create-thing app";
    let ran = run(&world, "isolated", &[], script);
    ran.refused();
    assert!(
        ran.err.contains("EROFS") && ran.err.contains("extensions.json"),
        "{ran:?}"
    );
    fs::remove_dir_all(world.project.join("app")).unwrap();
    run(&world, "isolated", &["--open-names-in", "app"], script).ok();
    assert!(world.project.join("app/.npmrc").exists());
    let told = told(&world);
    for name in ["app/.npmrc", "app/.vscode/extensions.json"] {
        assert!(told.iter().any(|path| path == name), "{told:?}");
    }
}
