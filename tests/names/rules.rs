//! What opens names, and what is told of them.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::support::{Ran, World};

fn aca(world: &World, words: &[&str]) -> Ran {
    Ran::from_output(&world.aca(words).output().unwrap())
}

#[test]
fn a_refusal_says_which_name_why_and_how_to_allow_it() {
    let world = World::new();
    let ran = world.run(&["--hold-names"], "echo x > .envrc");
    assert!(
        ran.err.contains("Read-only file system") && ran.err.contains("1 denied"),
        "{ran:?}"
    );
    let log = aca(&world, &["log"]);
    assert!(
        log.ok().contains("direnv and mise load these")
            && log.out.contains("--write")
            && log.out.contains(".envrc"),
        "{log:?}"
    );
    let why = aca(&world, &["why", "--session", "last"]);
    assert!(why.out.contains(".envrc") && why.out.contains("EROFS"), "{why:?}");
}

#[test]
fn a_rule_opens_the_name_that_it_says() {
    let world = World::new();
    let script = "mkdir -p .vscode; echo x > .vscode/settings.json; echo x > .vscode/tasks.json";
    world
        .run(&["--hold-names", "--write", ".vscode/settings.json"], script)
        .refused();
    assert!(world.project.join(".vscode/settings.json").exists());
    assert!(!world.project.join(".vscode/tasks.json").exists());
    // It is told all the same.
    assert_eq!(
        world.events_of("trust_change")[0]["path"],
        ".vscode/settings.json"
    );
    // A rule on what isn't protected still has to name what is there.
    let ran = world.run(&["--hold-names", "--write", "nothing"], "true");
    assert_eq!(ran.code, 125, "{ran:?}");
}

#[test]
fn they_are_held_unless_a_flag_or_a_key_opens_them_and_a_project_only_holds_them() {
    let world = World::new();
    let script = "echo x > .envrc";
    let is_made = |flags: &[&str]| {
        let ran = world.run(flags, script);
        let made = world.project.join(".envrc").exists();
        assert_eq!(ran.code == 0, made, "{ran:?}");
        if made {
            std::fs::remove_file(world.project.join(".envrc")).unwrap();
        }
        made
    };
    assert!(!is_made(&[]));
    assert!(is_made(&["--open-names"]));
    assert_eq!(world.events_of("trust_change")[0]["path"], ".envrc");
    // A project opens nothing.
    world.file(".aca.toml", "[files]\nopen_names = true\n");
    assert!(!is_made(&[]));
    let config = world.home.join(".config/aca/config.toml");
    world.directory(config.parent().unwrap());
    world.file(&config, "[files]\nopen_names = true\n");
    assert!(is_made(&[]));
    assert!(!is_made(&["--hold-names"]));
    world.file(".aca.toml", "[files]\nopen_names = false\n");
    assert!(!is_made(&[]));
    assert!(is_made(&["--open-names"]));
    let ran = world.run(&["--open-names", "--hold-names"], script);
    assert_eq!(ran.code, 125, "{ran:?}");
}

/// Where names are open nothing of it is there: a program may put itself into a Landlock domain, one filter and one
/// thread fewer are there, and nothing is said to be lost.
#[test]
fn nothing_of_it_is_there_where_names_are_open() {
    let world = World::new();
    let script = "grep Seccomp_filters /proc/self/status; ls /proc/1/task | wc -l";
    let filters_and_threads = |flags: &[&str]| {
        let ran = world.run(flags, script);
        let numbers: Vec<u32> = ran
            .ok()
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        <[u32; 2]>::try_from(numbers).unwrap()
    };
    assert_eq!(filters_and_threads(&["--open-names"]), [1, 1]);
    assert_eq!(filters_and_threads(&[]), [2, 2]);
    let plan = |flags: &[&str]| {
        let mut words = vec!["plan"];
        words.extend(flags);
        words.extend(["--", "true"]);
        aca(&world, &words).ok().to_owned()
    };
    let lost = "refusal of new names";
    assert!(!plan(&["--open-names"]).contains("NamesHeld"));
    assert!(!plan(&["--grant", "nested-userns", "--open-names"]).contains(lost));
    assert!(plan(&["--grant", "nested-userns"]).contains(lost));
}

#[test]
fn the_plan_and_why_agree_with_what_is_done() {
    let world = World::new();
    let plan = aca(&world, &["plan", "--", "true"]);
    assert!(plan.ok().contains("NamesHeld"), "{plan:?}");
    let why = |flags: &[&str]| {
        let mut words = vec!["why"];
        words.extend(flags);
        words.extend(["--for", "write", ".vscode/tasks.json"]);
        aca(&world, &words)
    };
    let held = why(&[]);
    assert_ne!(held.code, 0, "{held:?}");
    assert!(held.out.contains("can't be made"), "{held:?}");
    let open = why(&["--open-names"]);
    assert_eq!(open.code, 0, "{open:?}");
}

#[test]
fn what_lies_behind_a_link_counts_by_both_names() {
    let world = World::new();
    world.directory("real");
    std::os::unix::fs::symlink("real", world.project.join(".claude")).unwrap();
    world
        .run(&["--hold-names"], "echo x > real/settings.local.json")
        .refused();
    world.run(&["--hold-names"], "mkdir real/hooks").refused();
    world
        .run(&["--hold-names"], "echo x > .claude/settings.local.json")
        .refused();
    world.run(&["--hold-names"], "echo x > real/notes").ok();
}

/// What a protected link leads to may not be there, or lie behind other links and in directories that can be replaced: none
/// of that comes to be what it stands for.
#[test]
fn what_a_link_will_lead_to_can_not_be_made() {
    let link = |world: &World, text: &str, at: &str| {
        std::os::unix::fs::symlink(text, world.project.join(at)).unwrap();
    };
    let made = |script: &str| {
        let world = World::new();
        world.directory("conf/vscode");
        world.directory("sub");
        world.file("old/notes", "x");
        link(&world, "conf/vscode", ".vscode");
        link(&world, "real", ".claude");
        link(&world, "env/dev", ".envrc");
        link(&world, "../one", "sub/.vscode");
        link(&world, "old", "one");
        link(&world, "hooks", ".husky");
        world
            .run(
                &["--hold-names"],
                "mkdir -p env other; echo x > env/devel; mv one two; echo x > real.md",
            )
            .ok();
        std::fs::rename(world.project.join("two"), world.project.join("one")).unwrap();
        std::fs::remove_dir_all(world.project.join("env")).unwrap();
        let count = |flags: &[&str]| {
            world.run(flags, script);
            [
                ".vscode/tasks.json",
                ".claude/settings.local.json",
                ".claude/hooks",
                ".envrc",
                "sub/.vscode/tasks.json",
                ".husky",
            ]
            .iter()
            .filter(|name| world.project.join(name).exists())
            .count()
        };
        (count(&["--hold-names"]), count(&["--open-names"]))
    };
    for script in [
        "mkdir -p new/vscode; echo x > new/vscode/tasks.json; mv conf was; mv new conf",
        "mkdir -p new/vscode; echo x > new/vscode/tasks.json; mv conf was; ln -s new conf",
        "mkdir real; echo x > real/settings.local.json",
        "mkdir real; mkdir real/hooks",
        "mkdir new; echo x > new/settings.local.json; ln -s new real",
        "mkdir new; echo x > new/settings.local.json; mv new real",
        "mkdir env; echo x > env/dev",
        "mkdir env; echo x > x; mv x env/dev",
        "mkdir new; echo x > new/dev; ln -s new env",
        "mkdir new; echo x > new/dev; mv new env",
        "mkdir -p new/in; echo x > new/dev; ln -s new new/in/env; mv new/in/env env",
        "mkdir new; echo x > new/tasks.json; rm one; ln -s new one",
        "mkdir new; echo x > new/tasks.json; ln -s new y; mv -T y one",
        "mkdir new; echo x > new/tasks.json; rm one; mv new one",
        "mkdir hooks",
    ] {
        assert_eq!(made(script), (0, 1), "{script}");
    }
}

/// A link on the way to what git would obey, where the directory isn't there or can be moved.
#[test]
fn no_link_stands_in_for_a_directory_of_the_repositorys_own() {
    let made = |script: &str| {
        let world = World::with_repository();
        let made = |flags: &[&str]| {
            world.run(
                flags,
                &format!(
                    "mkdir -p evil/x; echo '* text' > evil/attributes; ln -s ../evil evil/x/info; {script}"
                ),
            );
            let made = world.project.join(".git/info/attributes").exists();
            world
                .command("sh")
                .args(["-c", "rm -rf .git/info .git/was evil"])
                .status()
                .unwrap();
            made
        };
        (
            made(&["--hold-names", "--git-mode", "direct"]),
            made(&["--open-names", "--git-mode", "direct"]),
        )
    };
    for script in [
        "mv .git/info .git/was; ln -s ../evil .git/info",
        "mv .git/info .git/was; mv evil/x/info .git/info",
        "mv .git/info .git/was; mv evil .git/info",
    ] {
        assert_eq!(made(script), (false, true), "{script}");
    }
}

#[test]
fn packages_and_a_repositorys_own_data_have_names_of_their_own() {
    let world = World::with_repository();
    world
        .run(
            &["--hold-names"],
            "mkdir -p node_modules/a && echo x > node_modules/a/.npmrc && mkdir node_modules/a/.github && \
             mkdir node_modules/a/.github/workflows && mv node_modules/a node_modules/b && git branch lefthook.yml",
        )
        .ok();
    world.run(&["--hold-names"], "mv node_modules/b out").refused();
    assert!(!world.project.join("out").exists());
}

#[test]
fn a_flood_of_refusals_is_told_within_bounds() {
    let world = World::new();
    world
        .run(
            &["--hold-names"],
            "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); true > .envrc; done 2>/dev/null; true",
        )
        .ok();
    let told = world.events_of("name_refused").len();
    assert!((1..=400).contains(&told), "{told}");
}

/// What a rule opens holds things of any name, and they stay there.
#[test]
fn nothing_is_moved_out_of_what_a_rule_opens() {
    let world = World::new();
    let flags = ["--hold-names", "--write", ".idea"];
    world
        .run(
            &flags,
            "mkdir -p .idea/x && echo x > .idea/x/.envrc && echo x > .idea/y",
        )
        .ok();
    for script in ["mv .idea/x out", "mv .idea out", "mv .idea/x/.envrc ."] {
        world.run(&flags, script).refused();
    }
    world.run(&flags, "mv .idea/y out && test -e out").ok();
}

#[test]
fn what_was_build_output_is_looked_at_before_it_is_moved() {
    let world = World::new();
    let made =
        "touch Cargo.toml; mkdir -p target/x/plain target/y; echo x > target/x/.npmrc; rm Cargo.toml; ";
    world
        .run(&["--hold-names"], &format!("{made} mv target/x out"))
        .refused();
    world.run(&["--hold-names"], "mv target out").refused();
    world
        .run(&["--hold-names"], "mv target/y out && mv target/x/plain also")
        .ok();
}
