//! Files.

use crate::support::{Ran, World, has, skip};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};

fn names(directory: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn cve_2026_25725_settings_that_did_not_exist() {
    let world = World::new();
    let script = "mkdir -p .claude && echo '{\"hooks\": {}}' > .claude/settings.json";
    world.run(&[], script).refused();
    assert_eq!(names(&world.project.join(".claude")), [] as [String; 0]);
    let ran = world.run(&["--open-names"], script);
    assert_eq!(ran.code, 0, "{ran:#?}");
    // Where names are open it is made, since the project is the agent's; whoever starts an agent there is told.
    assert!(ran.err.contains(".claude"), "{ran:#?}");
    let told = world.events_of("trust_change");
    assert!(
        world
            .events()
            .iter()
            .any(|event| event.to_string().contains(".claude")),
        "{told:?}"
    );
    // And nothing is told where nothing was done.
    assert_eq!(World::new().run(&[], "true").err, "");
}

#[test]
fn cve_2026_39861_links_made_inside() {
    let world = World::new();
    let target = world.outside.join("file");
    fs::write(&target, "host").unwrap();
    world.give(&target);
    let script = format!(
        "ln -s {0} link; echo evil > link; echo evil >> {0}; ln -s {1} dir; echo evil > dir/new; cat link; true",
        target.display(),
        world.outside.display()
    );
    let ran = world.run(&[], &script);
    assert_eq!(ran.out, "", "{ran:#?}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "host");
    assert_eq!(names(&world.outside), ["file"]);
    assert!(
        ran.err.contains("link"),
        "the user is told of the links: {ran:#?}"
    );
    // The same lines outside do write there.
    world.command("sh").args(["-c", &script]).output().unwrap();
    assert!(fs::read_to_string(&target).unwrap().contains("evil"));
}

#[test]
fn cve_2026_46406_the_host_s_tmp_is_another() {
    let world = World::new();
    let path = format!("/tmp/aca-fixed-{}", std::process::id());
    fs::write(&path, "host").unwrap();
    let ran = world.run(
        &[],
        &format!("cat {path}; ln -s ~/x {path} && echo mine > /tmp/other; stat -c %a /tmp"),
    );
    let after = fs::read_to_string(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(after.unwrap(), "host");
    assert!(!ran.out.contains("host"), "{ran:#?}");
    let ran = world.run(&[], "ls -A /tmp");
    assert!(
        !ran.ok().contains("other"),
        "a later run has another /tmp: {ran:#?}"
    );
}

#[test]
fn cve_2025_54794_a_sibling_with_the_project_s_name_as_prefix() {
    let world = World::new();
    let sibling = world.home.join("project-secret");
    world.file(sibling.join("file"), "host");
    let script = "cat ../project-secret/file \"$PWD-secret/file\" \"$PWD/../project-secret/file\"; echo x > ../project-secret/file";
    let ran = world.run(&[], script);
    assert_eq!(ran.out, "", "{ran:#?}");
    assert_eq!(fs::read_to_string(sibling.join("file")).unwrap(), "host");
    let outside = world.command("sh").args(["-c", script]).output().unwrap();
    assert_eq!(Ran::from_output(&outside).out, "hosthosthost");
}

#[test]
fn cve_2025_59536_a_project_grants_itself_nothing() {
    let world = World::new();
    let plan = |world: &World| {
        let output = world.aca(&["plan", "--json", "--", "true"]).output().unwrap();
        let plan: serde_json::Value = serde_json::from_str(Ran::from_output(&output).ok()).unwrap();
        plan["plan"]["grants"].to_string() + &plan["plan"]["network"].to_string()
    };
    let before = plan(&world);
    for path in [
        "aca.toml",
        ".aca.toml",
        ".aca/config.toml",
        ".config/aca/config.toml",
    ] {
        world.file(
            path,
            "grants = [\"nested-userns\"]\n[network]\npreset = \"open\"\n[files]\nwrite = [\"~\"]\n",
        );
    }
    world.file("evil", "host");
    world.file(world.home.join("notes"), "host");
    assert_eq!(plan(&world), before);
    let ran = world.run(
        &[],
        "unshare -Ur true && echo NAMESPACE; cat ~/notes; echo x > ~/../outside/x; true",
    );
    assert_eq!(ran.out, "", "{ran:#?}");
}

#[test]
fn infinitsec_a_glob_is_applied_or_refused() {
    let world = World::new();
    world.file("deep/er/secret.custom", "host");
    let script = "cat deep/er/secret.custom";
    assert_eq!(world.run(&[], script).ok(), "host");
    let ran = world.run(&["--hide", "**/*.custom"], script);
    assert_eq!(ran.refused().out, "");
    for glob in ["/etc/*/x", "~/*.custom", "[", "**/*.{a"] {
        let ran = world.run(&["--hide", glob], "echo started");
        // What can't be applied is no run; what can holds no surprise.
        assert!(
            ran.code == 125 && ran.out.is_empty() || ran.out == "started\n",
            "{glob}: {ran:#?}"
        );
    }
    assert_eq!(world.run(&["--hide", "/etc/*/x"], "echo started").code, 125);
}

#[test]
fn ona_the_sandbox_can_not_be_turned_off_from_inside() {
    let world = World::new();
    let config = world.home.join(".config/aca/config.toml");
    world.file(&config, "# the user's\n");
    let ran = world.run(
        &[],
        "mkdir -p ~/.config/aca ~/.local/state/aca/sessions; echo '[network]\npreset = \"open\"' > ~/.config/aca/config.toml; \
         find ~/.local/state/aca -type f; rm -rf ~/.local/state/aca ~/.config/aca; true",
    );
    assert_eq!(ran.ok(), "");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# the user's\n");
    assert_eq!(world.events_of("session_end").len(), 1, "the log is whole");
    // Even where the whole home is shown, aca's own files are not.
    let ran = world.run(
        &["--home", "host"],
        "cat ~/.config/aca/config.toml; ls ~/.local/state/aca/sessions; echo x > ~/.config/aca/config.toml; true",
    );
    assert_eq!(ran.ok(), "");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# the user's\n");
}

#[test]
fn srt_149_a_hidden_directory_can_not_be_written() {
    let world = World::new();
    world.file("hidden/file", "host");
    let script =
        "echo x > hidden/new; mkdir hidden/d; rm -rf hidden; mv hidden moved; ls hidden/* 2> /dev/null; true";
    let ran = world.run(&["--hide", "hidden"], script);
    assert_eq!(ran.ok(), "");
    assert_eq!(names(&world.project.join("hidden")), ["file"]);
    world.run(&[], "echo x > hidden/new").ok();
    assert_eq!(names(&world.project.join("hidden")), ["file", "new"]);
}

#[test]
fn srt_85_no_placeholder_is_left() {
    let world = World::with_repository();
    let before = (names(&world.project), names(&world.project.join(".git")));
    world.run(&[], "true").ok();
    world.run(&["--hide", "nothing-there", "--hide", "**/*.nothing"], "true");
    assert_eq!(
        (names(&world.project), names(&world.project.join(".git"))),
        before
    );
    assert_eq!(world.git(&world.project, &["status", "--porcelain"]), "");
    let own = |name: &String| ![".local", ".config", ".cache", "project"].contains(&name.as_str());
    assert_eq!(
        names(&world.home).into_iter().filter(own).collect::<Vec<_>>(),
        [] as [String; 0]
    );
}

#[test]
fn cve_2025_59532_a_directory_chosen_inside_opens_nothing() {
    let world = World::new();
    let ran = world.run(
        &[],
        &format!(
            "for d in / /usr /etc .. ../.. {0}; do (cd $d 2> /dev/null && touch aca-was-here 2> /dev/null && pwd); done; true",
            world.outside.display()
        ),
    );
    // The private home and the private /tmp above the project take files, and those are gone with the run.
    let private = [&world.home, &world.root().to_owned()].map(|path| path.display().to_string());
    assert!(
        ran.ok().lines().all(|line| private.iter().any(|own| own == line)),
        "{ran:#?}"
    );
    for directory in [&world.home, &world.outside, &world.root().to_owned()] {
        assert!(
            !names(directory).contains(&"aca-was-here".to_owned()),
            "{directory:?}"
        );
    }
}

#[test]
fn cve_2025_61260_the_project_s_env_file_is_not_loaded() {
    let world = World::new();
    for name in [".env", ".envrc", ".env.local"] {
        world.file(
            name,
            "POISON=from-env\nHOME=/poison\nPATH=/poison\nACA_CONFIG=/poison\n",
        );
    }
    let ran = world.run(&[], "env");
    assert!(!ran.ok().to_lowercase().contains("poison"), "{ran:#?}");
}

#[test]
fn cve_2026_50548_a_path_that_can_not_be_resolved_is_refused() {
    let world = World::new();
    symlink("loop", world.project.join("loop")).unwrap();
    symlink("/nonexistent/x", world.project.join("dangling")).unwrap();
    for path in ["loop", "dangling", "loop/x"] {
        for flag in ["--read", "--write"] {
            let ran = world.run(&[flag, path], "echo started");
            assert!(ran.code == 125 && ran.out.is_empty(), "{flag} {path}: {ran:#?}");
        }
    }
}

#[test]
fn cve_2026_22708_start_up_files_poison_no_later_run() {
    let world = World::new();
    world
        .run(
            &[],
            "for f in .bashrc .profile .bash_profile .zshrc .zshenv .gitconfig .npmrc .inputrc; do echo 'POISON=1' >> ~/$f; done; \
             mkdir -p ~/.local/bin ~/bin && printf '#!/bin/sh\necho POISON' > ~/.local/bin/ls && chmod +x ~/.local/bin/ls && ln ~/.local/bin/ls ~/bin/ls",
        )
        .ok();
    let ran = world.run(
        &[],
        "cat ~/.bashrc ~/.profile ~/.npmrc ~/.local/bin/ls ~/bin/ls 2> /dev/null; ls / > /dev/null; env",
    );
    assert!(!ran.ok().contains("POISON"), "{ran:#?}");
    for name in names(&world.home) {
        assert!(
            ![".bashrc", ".profile", ".zshenv", ".npmrc", "bin"].contains(&name.as_str()),
            "{name}"
        );
    }
}

#[test]
fn cve_2023_28101_names_can_not_speak_to_the_terminal() {
    let world = World::with_repository();
    let ran = world.run(
        &[],
        "n=$(printf '.git/hooks/a\\033[2J\\033]0;x\\007\\nb'); mkdir -p .git/hooks; echo x > \"$n\" && chmod +x \"$n\"; \
         ln -s /etc/passwd \"$(printf 'l\\033[2J')\"; \"./$(printf 'p\\033[2J')\" 2> /dev/null; true",
    );
    assert!(ran.err.contains("appeared or changed"), "{ran:#?}");
    let log = Ran::from_output(&world.aca(&["log"]).output().unwrap());
    let json = Ran::from_output(&world.aca(&["log", "--json"]).output().unwrap());
    // The shell's own words stand on the same stream.
    let own = ran
        .err
        .lines()
        .filter(|line| line.starts_with("aca: "))
        .collect::<String>();
    for text in [&own, &log.out, &json.out] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{text:?}");
    }
    assert!(log.out.contains("[2J"), "{log:#?}");
}

#[test]
fn pipes_of_the_host_where_only_reading_is_granted() {
    if !has("mkfifo") {
        return;
    }
    if !rustix::process::getuid().is_root() {
        return skip("root", "the pipe has to lie in no place that is writable inside");
    }
    let world = World::new();
    // A read-only mount doesn't stop writing to a pipe, which the kernel doesn't count as a change of the file system: the
    // second wall does (Landlock).
    let place = tempfile::tempdir_in("/srv").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    world.give(place.path());
    let pipe = place.path().join("pipe");
    assert!(world.command("mkfifo").arg(&pipe).status().unwrap().success());
    let mut reader = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&pipe)
        .unwrap();
    let script = format!("echo evil > {}", pipe.display());
    let ran = world.run(&["--read", place.path().to_str().unwrap()], &script);
    assert!(ran.refused().err.contains("Permission denied"), "{ran:#?}");
    let mut said = [0; 16];
    assert_eq!(reader.read(&mut said).unwrap_or(0), 0);
    // Outside the same line arrives.
    assert!(
        world
            .command("sh")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(reader.read(&mut said).unwrap(), 5);
}
