//! W cases: where writing reaches.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::shell::Shell;
use super::support::{self, World};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

#[test]
fn w01_the_project_can_be_written() {
    let world = World::new();
    world
        .run(&[], "echo a > a.txt && mkdir -p b/c && mv a.txt b/c/")
        .ok();
    assert_eq!(
        fs::read_to_string(world.project.join("b/c/a.txt")).unwrap(),
        "a\n"
    );
    // Whose it is doesn't change.
    assert_eq!(
        fs::metadata(world.project.join("b")).unwrap().uid(),
        support::uid()
    );
}

#[test]
fn w02_nothing_else_can_be_written() {
    let world = World::new();
    let outside = world.outside.display();
    world.file(format!("{outside}/f"), "host");
    let ran = world.run(
        &[],
        &format!(
            "for p in {outside}/q {outside}/f /etc/q /usr/q /usr/bin/q /q /var/q /opt/q /sys/q /proc/q; do \
             echo x 2>/dev/null > $p && echo WRITTEN $p; done; echo x > /tmp/q; echo x > ~/q"
        ),
    );
    assert!(!ran.out.contains("WRITTEN"), "{ran:?}");
    assert!(!world.outside.join("q").exists() && !world.home.join("q").exists());
    assert_eq!(fs::read_to_string(world.outside.join("f")).unwrap(), "host");
}

#[test]
fn w03_temporary_files_work_and_are_the_runs_own() {
    let world = World::new();
    let name = world.root().file_name().unwrap().to_str().unwrap().to_owned();
    let ran = world.run(
        &[],
        &format!("f=$(mktemp) && echo x > $f && cat $f && touch /tmp/{name}-left"),
    );
    assert_eq!(ran.ok(), "x");
    assert!(!std::path::Path::new(&format!("/tmp/{name}-left")).exists());
    // The next run sees nothing of it.
    world.run(&[], &format!("test ! -e /tmp/{name}-left")).ok();
}

#[test]
fn w04_w14_a_project_that_is_only_read() {
    let world = World::new();
    world.file("f", "host");
    let ran = world.run(&["--read", "."], "cat f; echo x > f; echo x > g; rm f; mkdir d");
    assert_eq!(ran.out, "host", "{ran:?}");
    assert_eq!(ran.err.lines().count(), 4, "{ran:?}");
    assert_eq!(fs::read_dir(&world.project).unwrap().count(), 1);
}

#[test]
fn w05_a_path_that_is_not_there_is_an_error() {
    let world = World::new();
    for flag in ["--write", "--read"] {
        let ran = world.run(&[flag, "../nowhere"], "echo started");
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(ran.err.contains("nowhere") && ran.err.contains(flag), "{ran:?}");
    }
}

#[test]
fn w06_a_granted_link_is_what_it_leads_to() {
    let world = World::new();
    let link = world.project.join("way");
    symlink(&world.outside, &link).unwrap();
    // One in the project could have been made by the agent: it is refused, not followed.
    for flag in ["--write", "--read"] {
        let ran = world.run(&[flag, "way"], "echo started");
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(ran.err.contains("way") && ran.err.contains("outside"), "{ran:?}");
    }
    // One of the user's own is what it leads to.
    symlink(&world.outside, world.home.join("way")).unwrap();
    let ran = world.run(&["--write", "../way"], "echo x > ../way/q && readlink ../way");
    assert_eq!(ran.ok(), world.outside.to_str().unwrap());
    assert!(world.outside.join("q").exists());
    // One that stays in the project too.
    world.directory("real");
    symlink("real", world.project.join("inner")).unwrap();
    world
        .run(
            &["--read", ".", "--write", "inner"],
            "echo x > inner/q && ! echo x 2>/dev/null > r",
        )
        .ok();
}

#[test]
fn w07_w08_links_lead_nowhere_else() {
    let world = World::new();
    let outside = world.outside.display().to_string();
    symlink(&world.outside, world.project.join("old")).unwrap();
    let ran = world.run(
        &[],
        &format!("ln -s {outside} new; echo x > new/q; echo x > old/q; ls new/ old/"),
    );
    ran.refused();
    assert!(!world.outside.join("q").exists());
}

#[test]
fn w09_w10_globs_that_would_grant_writing_are_refused() {
    let world = World::new();
    let ran = world.run(&["--read", ".", "--write", "*.log"], "echo x > a.log");
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("*.log"), "{ran:?}");
}

#[test]
fn w13_a_file_that_is_only_read_stays_as_it_is() {
    let world = World::new();
    world.file("f", "host");
    let ran = world.run(
        &["--read", "f"],
        "for c in 'echo x > f' 'echo x >> f' 'rm -f f' 'mv f g' 'truncate -s0 f' 'chmod 777 f' 'touch f' 'ln f g' \
         'mv other f' 'ln -sf other f' 'cp other f' 'dd if=/dev/null of=f' 'sed -i s/h/x/ f'; do echo x > other; \
         sh -c \"$c\" 2>/dev/null && echo \"WORKED $c\"; done; cat f",
    );
    assert_eq!(ran.out, "host", "{ran:?}");
    assert_eq!(fs::read_to_string(world.project.join("f")).unwrap(), "host");
}

#[test]
fn w15_the_longest_path_wins() {
    let world = World::new();
    world.directory("a/b/c");
    let ran = world.run(
        &["--read", "a", "--write", "a/b", "--read", "a/b/c"],
        "for d in . a a/b a/b/c; do echo x 2>/dev/null > $d/f && echo $d; done",
    );
    assert_eq!(ran.out, ".\na/b\n", "{ran:?}");
    // A tie is for the stricter.
    let ran = world.run(&["--read", "a", "--write", "a"], "echo x > a/g");
    ran.refused();
}

#[test]
fn w16_the_way_to_a_protected_file_can_not_be_renamed() {
    let world = World::new();
    world.file("deep/a/Cargo.lock", "");
    world.file("deep/a/.cargo/config.toml", "host");
    let ran = world.run(
        &[],
        "for d in deep deep/a deep/a/.cargo; do mv $d elsewhere && echo MOVED $d; rm -rf $d; done; \
         mkdir -p deep/a/.cargo; echo x > deep/a/.cargo/config.toml",
    );
    assert!(!ran.out.contains("MOVED"), "{ran:?}");
    ran.refused();
    assert_eq!(
        fs::read_to_string(world.project.join("deep/a/.cargo/config.toml")).unwrap(),
        "host"
    );
    // renameat2(2) with an exchange, which no command does.
    if support::has("python3") {
        let exchange = "import ctypes, os, sys\n\
            libc = ctypes.CDLL(None, use_errno=True)\n\
            os.mkdir('other')\n\
            for d in [b'deep', b'deep/a', b'deep/a/.cargo', b'deep/a/.cargo/config.toml']:\n    \
            assert libc.syscall(316, -100, d, -100, b'other', 2) == -1, d\n    \
            assert ctypes.get_errno() in (16, 18), (d, ctypes.get_errno())\n";
        world.file("exchange.py", exchange);
        world.run(&[], "python3 exchange.py").ok();
    }
}

#[test]
fn w02_a_repository_as_the_project_opens_nothing_above_it() {
    let world = World::with_repository();
    let (tree, bare) = (world.home.join("tree"), world.home.join("bare"));
    world.git(&world.project, &["worktree", "add", "-q", tree.to_str().unwrap()]);
    world.git(&world.home, &["init", "-q", "--bare", "bare"]);
    world.file(world.home.join("notes"), "geheim");
    let script = format!(
        "echo x > {0}/hole; cat {0}/notes; ls {0}; ls {1}; echo x > /hole; echo x > ./ok && echo wrote",
        world.home.display(),
        world.outside.display()
    );
    for project in [&tree, &bare] {
        for flags in [&[][..], &["--read", "."], &["--read", "sub"]] {
            world.directory(project.join("sub"));
            let output = world
                .aca(&["run"])
                .args(flags)
                .args(["--", "sh", "-c", &script])
                .current_dir(project)
                .output()
                .unwrap();
            let ran = support::Ran::from_output(&output);
            assert_eq!(ran.out.contains("wrote"), flags != ["--read", "."], "{ran:?}");
            assert!(
                !ran.out.contains("geheim") && !ran.out.contains("notes"),
                "{ran:?}"
            );
            assert!(!world.home.join("hole").exists(), "{ran:?}");
            let plan = world
                .aca(&["plan"])
                .args(flags)
                .args(["--", "true"])
                .current_dir(project)
                .output();
            let plan = String::from_utf8(plan.unwrap().stdout).unwrap();
            for pin in plan.lines().filter_map(|line| line.trim().strip_prefix("pin ")) {
                let inside = [&world.project, &tree, &bare]
                    .iter()
                    .any(|root| pin.trim().starts_with(root.to_str().unwrap()));
                assert!(inside, "{pin}");
            }
        }
    }
}

#[test]
fn w16_the_way_to_what_a_rule_keeps_can_not_be_renamed() {
    let world = World::new();
    world.file("a/b/c", "host");
    let ran = world.run(
        &["--read", "a/b"],
        "mv a e; rm -rf a; mkdir -p a/b; echo x > a/b/c; echo x > a/new && cat a/b/c",
    );
    assert_eq!(ran.out, "host", "{ran:?}");
    assert_eq!(fs::read_to_string(world.project.join("a/b/c")).unwrap(), "host");
}

#[test]
fn w17_a_glob_holds_for_what_appears() {
    let world = World::new();
    let mut shell = Shell::start(&world, &["--hide", "**/*.geh"]);
    world.file("sub/new.geh", "geheim");
    shell.until_refused("cat sub/new.geh", "Permission denied");
    shell.ask("echo x > sub/new.geh").refused("Read-only");
    assert_eq!(
        fs::read_to_string(world.project.join("sub/new.geh")).unwrap(),
        "geheim"
    );
}

#[test]
fn w18_w19_hard_links_do_not_cross() {
    let world = World::new();
    let target = world.file(world.outside.join("f"), "host");
    // One that the host made reaches the file: the user put it there. None can be made inside.
    fs::hard_link(&target, world.project.join("made-outside")).unwrap();
    let outside = world.outside.display();
    let ran = world.run(
        &[],
        &format!("ln {outside}/f h; ln /bin/sh h; ln /etc/passwd h; ls h"),
    );
    ran.refused();
    world.file(".npmrc", "registry=x\n");
    let ran = world.run(&[], "ln .npmrc h && echo evil >> h; cat h");
    assert!(!ran.out.contains("evil"), "{ran:?}");
    assert_eq!(
        fs::read_to_string(world.project.join(".npmrc")).unwrap(),
        "registry=x\n"
    );
}

#[test]
fn w20_no_devices_but_pipes() {
    let world = World::new();
    let ran = world.run(
        &[],
        "mkfifo p && mknod n c 1 3; mknod b b 7 0; test ! -e n && test ! -e b && test -p p",
    );
    ran.ok();
}

#[test]
fn w21_set_user_id_gives_nothing_and_is_told() {
    let world = World::new();
    let ran = world.run(
        &[],
        "cp /bin/id own && chmod u+s own && ./own -u; grep NoNewPrivs /proc/self/status",
    );
    assert!(ran.ok().starts_with(&format!("{}\n", support::uid())), "{ran:?}");
    assert!(ran.out.contains("NoNewPrivs:\t1"), "{ran:?}");
    let mode = fs::metadata(world.project.join("own"))
        .unwrap()
        .permissions()
        .mode();
    let told = world.events_of("trust_change");
    assert_eq!(
        mode & 0o4000 != 0,
        told.iter().any(|event| event["path"] == "own"),
        "{told:?}"
    );
}

#[test]
fn w22_no_detour_by_proc_reaches_out() {
    let world = World::new();
    let outside = world.outside.display().to_string();
    world.file(format!("{outside}/f"), "host");
    world.file(".npmrc", "host");
    let ran = world.run(
        &[],
        &format!(
            "for p in /proc/self/root{outside}/f /proc/1/root{outside}/f /proc/self/cwd/../../outside/f \
             /proc/self/cwd/.npmrc /proc/self/root$PWD/.npmrc; do echo x 2>/dev/null > $p && echo WRITTEN $p; done; \
             exec 5< .npmrc; echo x 2>/dev/null > /proc/self/fd/5 && echo WRITTEN 5; true"
        ),
    );
    assert_eq!(ran.ok(), "");
    if support::has("python3") {
        let script = "python3 -c 'import os; fd = os.open(\".npmrc\", os.O_PATH); \
                      os.open(f\"/proc/self/fd/{fd}\", os.O_WRONLY)'";
        assert!(world.run(&[], script).refused().err.contains("Read-only"));
    }
    assert_eq!(fs::read_to_string(world.project.join(".npmrc")).unwrap(), "host");
}

#[test]
fn w23_nothing_of_a_file_outside_can_be_changed() {
    let world = World::new();
    world.file("../shown/f", "host");
    let before = fs::metadata(world.home.join("shown/f")).unwrap();
    let ran = world.run(
        &["--read", "../shown"],
        "cd ../shown && for c in 'touch f' 'touch -d 2001-01-01 f' 'chmod 777 f' 'chown 1 f' 'setfattr -n user.a -v b f'; do \
         $c 2>/dev/null && echo \"WORKED $c\"; done; true",
    );
    assert_eq!(ran.ok(), "");
    let after = fs::metadata(world.home.join("shown/f")).unwrap();
    assert_eq!(
        (before.mtime(), before.ctime_nsec(), before.mode()),
        (after.mtime(), after.ctime_nsec(), after.mode())
    );
}

#[test]
fn w24_a_file_without_a_name_gets_none_outside() {
    if !support::has("python3") {
        return;
    }
    let world = World::new();
    world.file("f.py", "import os, sys\n\
        fd, root = os.open('.', os.O_TMPFILE | os.O_RDWR), os.open('/', os.O_RDONLY)\n\
        os.link(f'/proc/self/fd/{fd}', 'named', src_dir_fd=root, follow_symlinks=True)\n\
        for at in sys.argv[1:]:\n    \
        try:\n        os.link(f'/proc/self/fd/{fd}', at, src_dir_fd=root, follow_symlinks=True); print('LINKED', at)\n    \
        except OSError: pass\n");
    let outside = world.outside.display();
    let ran = world.run(&[], &format!("python3 f.py {outside}/q ~/q /tmp/q .npmrc/q"));
    assert_eq!(ran.ok(), "");
    assert!(world.project.join("named").exists());
}

#[test]
fn w25_writing_is_granted_by_name() {
    let world = World::new();
    let outside = world.outside.display().to_string();
    let ran = world.run(&["--write", &outside], &format!("echo x > {outside}/q"));
    ran.ok();
    assert!(world.outside.join("q").exists());
}

#[test]
fn w25_a_granted_directory_is_looked_after_like_the_project() {
    let world = World::new();
    let outside = world.outside.display().to_string();
    world.git(&world.outside, &["init", "-q"]);
    world.file(format!("{outside}/.env"), "geheim");
    let ran = world.run(
        &["--write", &outside],
        &format!("cat {outside}/.env; echo x > {outside}/.git/hooks/pre-commit; git -C {outside} config a.b c; mv {outside}/.git {outside}/g; ls -d {outside}/.git"),
    );
    assert_eq!(ran.out.trim(), format!("{outside}/.git"), "{ran:?}");
    assert!(!world.outside.join(".git/hooks/pre-commit").exists(), "{ran:?}");
    assert!(
        !fs::read_to_string(world.outside.join(".git/config"))
            .unwrap()
            .contains("[a]")
    );
}

#[test]
fn a_home_or_root_is_no_project() {
    let world = World::new();
    let parent = world.root().display().to_string();
    for directory in [
        world.home.display().to_string(),
        "/".into(),
        parent,
        "/tmp".into(),
        "/usr".into(),
    ] {
        let ran = world.run(&["--project", &directory], "echo started");
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{directory}: {ran:?}");
        assert!(ran.err.contains("hint") || ran.err.contains("project"), "{ran:?}");
    }
    // A home that is a repository doesn't make itself the project of what lies in it.
    world.git(&world.home, &["init", "-q"]);
    world.run(&[], "echo x > f && test ! -e ../.git").ok();
}

#[test]
fn w15_what_is_protected_or_pinned_opens_nothing() {
    let world = World::new();
    for path in [
        "sub/x/.git/HEAD",
        "sub/conf/deep/.npmrc",
        "hid/x/.git/HEAD",
        "hid/.npmrc",
        "hid/seen/f",
        "src/in/.envrc",
    ] {
        world.file(path, "host");
    }
    for name in ["sub/x/.git", "hid/x/.git"] {
        world.git(world.project.join(name).parent().unwrap(), &["init", "-q"]);
    }
    // A pin is a writable mount: not beneath what is only read.
    let ran = world.run(
        &["--read", "sub", "--hide", "hid", "--read", "hid/seen"],
        "for d in sub sub/x sub/x/.git sub/conf sub/conf/deep hid hid/x/.git hid/seen; do \
         echo x 2>/dev/null > $d/new && echo WRITTEN $d; done; cat hid/.npmrc hid/x/.git/HEAD; cat hid/seen/f",
    );
    assert_eq!(ran.out, "host", "{ran:?}");
    // A glob that finds a directory, with protected files in it.
    let ran = world.run(
        &["--read", "**/conf"],
        "echo x > sub/conf/deep/new; echo x > sub/conf/new; echo x > sub/new",
    );
    assert_eq!(ran.err.lines().count(), 2, "{ran:?}");
    // In a project that is only read, a writable part is protected like any.
    let ran = world.run(
        &["--read", ".", "--write", "src"],
        "echo x > src/new; echo x > src/in/new; echo x > src/in/.envrc; mv src/in src/out; echo x > new",
    );
    // With the line that tells of the name that would have come to be.
    assert_eq!(ran.err.lines().count(), 4, "{ran:?}");
    assert_eq!(
        fs::read_to_string(world.project.join("src/in/.envrc")).unwrap(),
        "host"
    );
    assert!(world.project.join("src/in/new").exists() && !world.project.join("new").exists());
    // Who means it names it.
    world
        .run(&["--write", "src/in/.envrc"], "echo x > src/in/.envrc")
        .ok();
    world
        .run(&["--write", "src/in"], "echo x > src/in/.envrc")
        .refused();
}
