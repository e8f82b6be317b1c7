//! R cases: what can't be read.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::shell::Shell;
use super::support::World;
use std::fs;

const DENIED: &str = "Permission denied";

#[test]
fn r01_logins_of_the_home_do_not_exist() {
    let world = World::new();
    world.file("../.ssh/id_ed25519", "key");
    world.file("../.aws/credentials", "key");
    let ran = world.run(&[], "cat ~/.ssh/id_ed25519 ~/.aws/credentials; ls -A ~");
    assert!(!ran.out.contains("key"), "{ran:?}");
    assert!(ran.err.matches("No such file").count() == 2, "{ran:?}");
    assert!(!ran.out.contains(".ssh"), "{ran:?}");
}

#[test]
fn r02_a_login_written_inside_stays_inside() {
    let world = World::new();
    world.file("../.ssh/config", "x");
    // The home is the run's own: writing works, and nothing of it reaches the host.
    let ran = world.run(&[], "mkdir ~/.ssh && echo x > ~/.ssh/new && cat ~/.ssh/new");
    assert_eq!(ran.ok(), "x");
    assert!(!world.home.join(".ssh/new").exists());
    // The real home is read-only, and its logins refuse.
    let ran = world.run(&["--home", "host"], "echo x > ~/.ssh/new");
    ran.refused();
    assert!(!world.home.join(".ssh/new").exists());
}

#[test]
fn r03_a_masked_file_can_not_be_read_in_any_way() {
    let world = World::new();
    world.file(".env", "TOKEN=geheim");
    let ran = world.run(
        &[],
        "for c in 'cat .env' 'head -c1 .env' 'cp .env copy' 'read x < .env' 'tac .env' 'dd if=.env' \
         'cat /proc/self/cwd/.env' 'cat /proc/self/root/$PWD/.env' 'tar c .env' 'chmod u+r .env'; do \
         eval \"$c\" 2>&1 && echo \"WORKED $c\"; done; ls -l .env",
    );
    assert!(
        !ran.out.contains("WORKED") && !ran.out.contains("geheim"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains(DENIED) && ran.out.contains("---------- "),
        "{ran:?}"
    );
    if super::support::has("python3") {
        let script = "python3 -c 'import os; os.open(\".env\", os.O_PATH); print(open(\".env\").read())'";
        world.run(&[], script).refused();
    }
}

#[test]
fn r04_r05_a_masked_file_can_not_be_moved_or_linked() {
    let world = World::new();
    world.file("sub/.env", "geheim");
    let ran = world.run(
        &[],
        "mv sub/.env x; ln sub/.env y; rm -f sub/.env; rm -rf sub; mv sub other && cat other/.env; cat x y",
    );
    assert!(!ran.out.contains("geheim"), "{ran:?}");
    assert!(ran.err.contains("busy"), "{ran:?}");
    assert_eq!(
        fs::read_to_string(world.project.join("other/.env")).unwrap(),
        "geheim"
    );
}

#[test]
fn r06_r07_globs_hide_files_and_directories_at_any_depth() {
    let world = World::new();
    world.file("x.geh", "geheim");
    world.file("a/b/y.geh", "geheim");
    world.file("build/z", "geheim");
    world.file("a/build/z", "geheim");
    world.file("a/plain", "offen");
    let flags = ["--hide", "**/*.geh", "--hide", "**/build/**"];
    let ran = world.run(
        &flags,
        "cat x.geh a/b/y.geh build/* a/build/*; ls build a/build; cat a/plain",
    );
    assert!(
        ran.out.contains("offen") && !ran.out.contains("geheim"),
        "{ran:?}"
    );
    let ran = world.run(&["--hide", "**/build"], "ls -A build a/build; touch build/new");
    ran.refused();
    assert!(!ran.out.contains('z'), "{ran:?}");
}

#[test]
fn r08_r09_the_longest_path_wins() {
    let world = World::new();
    world.file("secret/key", "geheim");
    world.file("secret/public/doc", "offen");
    world.file("secret/public/inner/key", "geheim");
    let flags = [
        "--hide",
        "secret",
        "--read",
        "secret/public",
        "--hide",
        "secret/public/inner",
    ];
    let ran = world.run(
        &flags,
        "cat secret/public/doc; cat secret/key secret/public/inner/key; echo x > secret/public/doc; echo x > secret/new",
    );
    assert_eq!(ran.out, "offen", "{ran:?}");
    assert_eq!(ran.err.lines().count(), 4, "{ran:?}");
    assert_eq!(
        fs::read_to_string(world.project.join("secret/public/doc")).unwrap(),
        "offen"
    );
}

#[test]
fn r10_links_lead_to_the_mask() {
    let world = World::new();
    world.file(".env", "geheim");
    world.file("settings/prod", "geheim");
    std::os::unix::fs::symlink(".env", world.project.join("harmless")).unwrap();
    std::os::unix::fs::symlink("settings/prod", world.project.join("app.env")).unwrap();
    let ran = world.run(
        &[],
        "cat harmless; cat app.env; cat settings/prod; ln -s .env l; cat l",
    );
    assert_eq!(ran.out, "", "{ran:?}");
    assert_eq!(ran.err.matches(DENIED).count(), 4, "{ran:?}");
}

#[test]
fn r11_a_secret_that_appears_on_the_host_is_masked() {
    let world = World::new();
    world.directory("sub");
    let mut shell = Shell::start(&world, &["--hide", "later/secret"]);
    assert_eq!(shell.ask("ls -A").ok(), "sub");
    for path in [
        ".env",
        "sub/.env.local",
        "new/deep/er/.env",
        "sub/id_rsa",
        "later/secret",
    ] {
        world.file(path, "geheim");
        shell.until_refused(&format!("cat {path}"), DENIED);
    }
    // What isn't a secret stays readable.
    world.file("new/deep/.env.example", "offen");
    assert_eq!(shell.ask("cat new/deep/.env.example").ok(), "offen");
    shell.end().ok();
    let masked = world.events_of("masked");
    assert_eq!(masked.len(), 5, "{masked:?}");
}

#[test]
fn r11_a_rotated_secret_is_masked_again() {
    let world = World::new();
    world.file(".env", "old");
    world.file("deep/er/server.key", "old");
    let mut shell = Shell::start(&world, &[]);
    shell.ask("cat .env").refused(DENIED);
    for (round, path) in [".env", "deep/er/server.key"].iter().cycle().take(6).enumerate() {
        let fresh = world.file("fresh", format!("geheim{round}"));
        fs::rename(&fresh, world.project.join(path)).unwrap();
        shell.until_refused(&format!("cat {path}"), DENIED);
    }
    // Removed and made again.
    fs::remove_file(world.project.join(".env")).unwrap();
    shell.until_refused("cat .env", "No such file");
    world.file(".env", "geheim");
    shell.until_refused("cat .env", DENIED);
    // A whole directory is put in its place.
    world.file("other/.env", "geheim");
    shell.until_refused("cat other/.env", DENIED);
    fs::rename(world.project.join("other"), world.project.join("again")).unwrap();
    shell.until("ls again", |answer| answer.code == 0);
    shell.ask("cat again/.env").refused(DENIED);
    shell.end().ok();
}

#[test]
fn r11_what_is_shown_of_a_hidden_directory_stays_until_that_is_replaced() {
    let world = World::new();
    world.file("hollow/shown/x", "open");
    world.file("hollow/rest", "geheim");
    let mut shell = Shell::start(&world, &["--hide", "hollow", "--read", "hollow/shown"]);
    shell.ask("cat hollow/rest").refused("No such file");
    // Its parent is listed again: a name in it appears, which is masked then.
    for name in ["a.env", "b.env", "c.env"] {
        world.file(name, "geheim");
        shell.until_refused(&format!("cat {name}"), DENIED);
        assert_eq!(shell.ask("cat hollow/shown/x").ok(), "open", "{name}");
    }
    // Another directory in its place has nothing that was meant to be seen.
    world.file("other/rest", "geheim");
    world.file("other/shown/x", "geheim");
    fs::rename(world.project.join("hollow"), world.project.join("gone")).unwrap();
    fs::rename(world.project.join("other"), world.project.join("hollow")).unwrap();
    shell.until_refused("cat hollow/rest", "No such file");
    shell.until_refused("cat hollow/shown/x", "No such file");
    shell.end().ok();
}

#[test]
fn r11_what_a_secret_links_to_is_masked_when_it_is_replaced() {
    let world = World::new();
    world.file("settings/prod", "old");
    std::os::unix::fs::symlink("settings/prod", world.project.join(".env")).unwrap();
    let mut shell = Shell::start(&world, &[]);
    shell.ask("cat settings/prod").refused(DENIED);
    let fresh = world.file("fresh", "geheim");
    fs::rename(&fresh, world.project.join("settings/prod")).unwrap();
    shell.until_refused("cat settings/prod", DENIED);
    // And one that is linked only now.
    world.file("settings/test", "geheim");
    std::os::unix::fs::symlink("../settings/test", world.project.join("settings/test.env")).unwrap();
    shell.until_refused("cat settings/test", DENIED);
}

#[test]
fn r11_a_file_that_gets_a_token_is_masked() {
    let world = World::new();
    world.file(".npmrc", "registry=https://registry.test/\n");
    let mut shell = Shell::start(&world, &[]);
    shell.ask("cat .npmrc").ok();
    shell.until("cat web/.npmrc || true", |_| true);
    world.file(".npmrc", "//registry.test/:_authToken=abcdef\n");
    shell.until_refused("cat .npmrc", DENIED);
    // The same in a directory that is new, written in two steps.
    world.file("web/.npmrc", "");
    shell.until("cat web/.npmrc", |answer| answer.code == 0);
    world.file("web/.npmrc", "//registry.test/:_authToken=abcdef\n");
    shell.until_refused("cat web/.npmrc", DENIED);
}

#[test]
fn r11_a_secret_made_inside_is_masked_too() {
    let world = World::new();
    let mut shell = Shell::start(&world, &[]);
    shell.ask("mkdir -p a/b && echo own > a/b/.env").ok();
    shell.until_refused("cat a/b/.env", DENIED);
    // A tool that holds it open goes on.
    shell.ask("exec 3> my.key && sleep 0.2 && echo more >&3").ok();
    assert_eq!(
        fs::read_to_string(world.project.join("my.key")).unwrap(),
        "more\n"
    );
    // Moving a directory takes the mask along; a name that becomes a secret's gets one.
    shell.ask("mv a c && ! cat c/b/.env").ok();
    shell.ask("echo own > plain && mv plain .env").ok();
    shell.until_refused("cat .env", DENIED);
}

#[test]
fn r11_a_named_secret_stays_open() {
    let world = World::new();
    world.file(".env.test", "offen");
    world.file(".env", "geheim");
    let flags = ["--read", ".env.test", "--write", "sub"];
    world.directory("sub");
    let mut shell = Shell::start(&world, &flags);
    assert_eq!(shell.ask("cat .env.test").ok(), "offen");
    shell.ask("echo x > .env.test").refused("Read-only");
    shell.ask("cat .env").refused(DENIED);
    // The marker shows that the watcher has been by.
    world.file("sub/.env", "geheim");
    shell.until_refused("cat sub/.env", DENIED);
    assert_eq!(shell.ask("cat .env.test").ok(), "offen");
}

#[test]
fn r11_a_flood_of_names_hides_no_secret() {
    let world = World::new();
    let mut shell = Shell::start(&world, &[]);
    // Far more than the kernel's queue holds (fs.inotify.max_queued_events), while the watcher is kept busy.
    let events: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let directory = world.directory("many");
    for number in 0..(events + events / 2) {
        fs::write(directory.join(number.to_string()), "").unwrap();
    }
    world.file("many/.env", "geheim");
    world.file(".env", "geheim");
    shell.until_refused("cat many/.env", DENIED);
    shell.until_refused("cat .env", DENIED);
}

#[test]
fn r12_an_absolute_glob_outside_of_the_project_is_an_error() {
    let world = World::new();
    let ran = world.run(&["--hide", "/**/*.pem"], "true");
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("/**/*.pem"), "{ran:?}");
}

#[test]
fn r14_r15_hiding_the_home_or_the_root_leaves_the_program_runnable() {
    let world = World::new();
    let home = world.home.to_str().unwrap().to_owned();
    let ran = world.run(&["--hide", &home], "echo ok");
    assert!(ran.code == 0 || ran.code == 125, "{ran:?}");
    world.file("../bin/tool", "#!/bin/sh\necho tool\n");
    let ran = world.run(&[], "ls / && echo ok");
    ran.ok();
}

#[test]
fn r17_the_first_process_can_not_be_looked_into() {
    let world = World::new();
    let ran = world.run(
        &[],
        "cat /proc/1/environ; cat /proc/1/mem; ls /proc/1/fd; readlink /proc/1/root; readlink /proc/1/cwd",
    );
    assert_eq!(ran.out.trim(), "", "{ran:?}");
    ran.refused();
}

#[test]
fn home_host_shows_the_home_without_its_secrets() {
    let world = World::new();
    world.file("../notes.txt", "offen");
    let secrets = [
        ".ssh/id_ed25519",
        ".gnupg/key",
        ".aws/credentials",
        ".netrc",
        ".git-credentials",
        ".config/gh/hosts.yml",
        ".docker/config.json",
        ".kube/config",
        ".local/share/keyrings/login.keyring",
        ".password-store/a.gpg",
        ".config/gcloud/credentials.db",
        ".azure/token",
        ".cargo/credentials.toml",
        ".bash_history",
        ".mozilla/firefox/p/logins.json",
        ".config/google-chrome/Default/Cookies",
        ".pgpass",
        ".vault-token",
    ];
    for secret in secrets {
        world.file(format!("../{secret}"), "geheim");
    }
    let list = secrets.map(|secret| format!("~/{secret}")).join(" ");
    let ran = world.run(
        &["--home", "host"],
        &format!("cat ~/notes.txt; for f in {list}; do cat $f && echo $f; done"),
    );
    assert_eq!(ran.out, "offen", "{ran:?}");
    let ran = world.run(&["--home", "host"], "echo x >> ~/notes.txt");
    ran.refused();
}

#[test]
fn home_host_masks_a_login_that_is_replaced() {
    let world = World::new();
    world.file("../.netrc", "old");
    let mut shell = Shell::start(&world, &["--home", "host"]);
    shell.ask("cat ~/.netrc").refused(DENIED);
    let fresh = world.file("../fresh", "geheim");
    fs::rename(fresh, world.home.join(".netrc")).unwrap();
    shell.until_refused("cat ~/.netrc", DENIED);
    // One that wasn't there.
    world.file("../.pgpass", "geheim");
    shell.until_refused("cat ~/.pgpass", DENIED);
}

#[test]
fn r11_a_program_that_uses_up_the_watches_hides_nothing() {
    if !super::support::has("python3") {
        return;
    }
    let world = World::new();
    world.directory("sub");
    // All instances that the user may have, at once; then as many watches as there are.
    world.file(
        "greedy.py",
        "import ctypes, os, time\n\
         libc = ctypes.CDLL(None)\n\
         held = []\n\
         while (fd := libc.inotify_init1(0)) >= 0 and len(held) < 900: held.append(fd)\n\
         os.mkdir('/tmp/w')\n\
         for n in range(300000):\n    \
             p = f'/tmp/w/{n}'.encode()\n    \
             os.close(os.open(p, os.O_CREAT | os.O_WRONLY))\n    \
             if libc.inotify_add_watch(held[0], p, 2) < 0: break\n\
         print('full', flush=True)\n\
         time.sleep(60)\n",
    );
    let mut shell = Shell::start(&world, &[]);
    shell.ask("python3 greedy.py > /tmp/out 2>&1 &").ok();
    shell.until("cat /tmp/out", |answer| answer.text.contains("full"));
    world.file("sub/.env", "geheim");
    shell.until_refused("cat sub/.env", DENIED);
    world.file("new/er/.env", "geheim");
    shell.until_refused("cat new/er/.env", DENIED);
}

#[test]
fn r11_a_directory_that_moves_all_the_time_hides_nothing() {
    let world = World::new();
    world.directory("a");
    let mut shell = Shell::start(&world, &[]);
    shell
        .ask("( while test ! -e stop; do mv a b; mv b c; mv c a; done; touch /tmp/done ) 2>/dev/null &")
        .ok();
    let mut written = 0;
    while written < 20 {
        for name in ["a", "b", "c"] {
            let path = world.project.join(name).join(format!("{written}.env"));
            written += usize::from(fs::write(path, "geheim").is_ok());
        }
    }
    world.file("stop", "");
    shell.until("test -e /tmp/done", |answer| answer.code == 0);
    // Wherever it came to rest, all of it is masked.
    let count = "cat a/*.env 2>&1 | grep -c denied";
    shell.until(count, |answer| answer.text == written.to_string());
}
