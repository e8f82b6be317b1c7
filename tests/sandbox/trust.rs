//! Layers and trust as users meet them: what a project's file does before and after it is trusted, what an administrator
//! fixes, and that nothing inside reaches what decides over later runs.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::pty::Pty;
use super::support::{Ran, World, has, skip};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// What makes wider in every way that can be seen inside, and narrower in some.
const MIXED: &str = "[network]\npreset = 'none'\nallow = ['a.test']\n\
                     [files]\nwrite = ['../../outside']\nhide = ['data']\nread = ['src']\n\
                     [environment]\nset = { FROM_PROJECT = '1' }\n";
const SEEN: &str = "echo x 2>/dev/null > ../../outside/q && echo wrote; echo x 2>/dev/null > src/q && echo src; \
                    cat data/f 2>/dev/null; echo \"env:$FROM_PROJECT\"";

fn mixed() -> World {
    let world = World::new();
    world.file(".aca.toml", MIXED);
    world.file("data/f", "data\n");
    world.file("src/f", "");
    world
}

fn aca(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(&world.aca(arguments).output().unwrap())
}

#[test]
fn what_makes_wider_waits_until_that_content_is_trusted() {
    let world = mixed();
    let ran = world.run(&[], SEEN);
    assert_eq!(ran.ok(), "env:");
    let file = world.project.join(".aca.toml").display().to_string();
    assert_eq!(
        ran.err.lines().next().unwrap(),
        format!("aca: {file} is not trusted: 3 settings of it wait; see `aca trust`")
    );
    let event = &world.events_of("settings_wait")[0];
    assert_eq!((&event["count"], &event["changed"]), (&3.into(), &false.into()));
    assert!(event["settings"].to_string().contains("../../outside"), "{event}");

    // Nobody is there to be asked.
    let shown = aca(&world, &["trust"]);
    assert_eq!(shown.code, 1, "{shown:#?}");
    assert!(shown.err.contains("`aca trust --yes`"), "{shown:#?}");
    insta::assert_snapshot!(
        shown.out.replace(world.root().to_str().unwrap(), "ROOT").lines().filter(|line| !line.starts_with("sha256")).collect::<Vec<_>>().join("\n"),
        @r#"
    ROOT/home/project/.aca.toml
    makes narrower, which counts without trust:
      network.preset = "none"  # ROOT/home/project/.aca.toml:2:10
      files.read = "src"  # ROOT/home/project/.aca.toml:7:9
      files.hide = "data"  # ROOT/home/project/.aca.toml:6:9
    would make wider, once it is trusted:
      network.allow = "a.test"  # ROOT/home/project/.aca.toml:3:10
      environment.set.FROM_PROJECT = "1"  # ROOT/home/project/.aca.toml:9:9
      files.write = "../../outside"  # ROOT/home/project/.aca.toml:5:10
    not trusted
    "#
    );
    assert_eq!(world.run(&[], SEEN).ok(), "env:", "showing it changes nothing");

    assert_eq!(aca(&world, &["trust", "--yes"]).code, 0);
    let ran = world.run(&[], SEEN);
    assert_eq!((ran.ok(), ran.err.as_str()), ("wrote\nenv:1", ""));
    assert!(aca(&world, &["trust", "--list"]).ok().contains(&file));

    // Another content isn't trusted, and the old one is again.
    world.file(
        ".aca.toml",
        format!("{MIXED}B = '2'\n").replace("= '1' }", "= '1' }\n#"),
    );
    let ran = world.run(&[], SEEN);
    assert_eq!(ran.code, 125, "what isn't valid is an error: {ran:#?}");
    world.file(".aca.toml", format!("{MIXED}# more\n"));
    let ran = world.run(&[], SEEN);
    assert_eq!(ran.ok(), "env:");
    assert!(
        ran.err
            .contains(".aca.toml changed since it was trusted: 3 settings of it wait"),
        "{ran:#?}"
    );
    world.file(".aca.toml", MIXED);
    assert_eq!(world.run(&[], SEEN).ok(), "wrote\nenv:1");

    assert!(
        aca(&world, &["trust", "--revoke"])
            .ok()
            .contains("trusted no more")
    );
    assert_eq!(world.run(&[], SEEN).ok(), "env:");
    assert_eq!(aca(&world, &["trust", "--revoke"]).code, 1);
}

#[test]
fn trust_is_bound_to_the_place() {
    let world = mixed();
    aca(&world, &["trust", "--yes"]).ok();
    let other = world.directory("../other");
    fs::copy(world.project.join(".aca.toml"), other.join(".aca.toml")).unwrap();
    world.directory("../other/src");
    let mut command = world.aca(&["run", "--", "sh", "-c", SEEN]);
    let ran = Ran::from_output(&command.current_dir(&other).output().unwrap());
    assert_eq!(ran.ok(), "env:", "{ran:#?}");
    // A link to the project is the project.
    symlink(&world.project, world.home.join("link")).unwrap();
    let mut command = world.aca(&["run", "--", "sh", "-c", SEEN]);
    let ran = Ran::from_output(&command.current_dir(world.home.join("link")).output().unwrap());
    assert_eq!(ran.ok(), "wrote\nenv:1", "{ran:#?}");
}

#[test]
fn a_y_on_the_terminal_is_trust_and_nothing_else_is() {
    let world = mixed();
    for (answer, trusted) in [("\n", false), ("n\n", false), ("yy\n", false), ("y\n", true)] {
        let mut pty = Pty::spawn(world.aca(&["trust"]));
        pty.expect("trust this content? [y/N]");
        pty.type_in(answer);
        pty.expect(if trusted {
            "\r\ntrusted\r\n"
        } else {
            "\r\nnot trusted\r\n"
        });
        pty.wait();
        let wrote = world.run(&[], SEEN).ok().contains("wrote");
        assert_eq!(wrote, trusted, "{answer:?}");
    }
}

#[test]
fn trust_is_not_given_inside() {
    let world = mixed();
    let mut command = world.aca(&["trust", "--yes"]);
    let ran = Ran::from_output(&command.env("ACA", "1").output().unwrap());
    assert_eq!(ran.code, 125, "{ran:#?}");
    // Without that variable it would be given to a store that ends with the run.
    let bin = world.directory("bin");
    fs::copy(&world.aca, bin.join("aca")).unwrap();
    let ran = world.run(&[], "env -u ACA bin/aca trust --yes");
    assert!(ran.out.contains("trusted"), "{ran:#?}");
    assert_eq!(world.run(&[], SEEN).ok(), "env:");
    assert_eq!(aca(&world, &["trust", "--list"]).ok(), "");
}

#[test]
fn a_file_that_only_narrows_needs_no_word() {
    let world = World::new();
    world.file(
        ".aca.toml",
        "[files]\nhide = ['data']\n[limits]\nopen_files = 64\n",
    );
    world.file("data/f", "data\n");
    let ran = world.run(&[], "cat data/f 2>/dev/null; ulimit -n");
    assert_eq!((ran.ok(), ran.err.as_str()), ("64", ""));
    let ran = aca(&world, &["trust"]);
    assert!(ran.ok().contains("nothing in it needs trust"), "{ran:#?}");
}

/// Rules that look stricter and would show or open something.
#[test]
fn a_narrowing_rule_opens_nothing() {
    let world = World::with_repository();
    world.file(".env", "SECRET=1\n");
    world.file("hidden/part/f", "hidden\n");
    world.file("x.key", "key\n");
    world.file("kept/.vscode/tasks.json", "host");
    world.file("a/.vscode/tasks.json", "host");
    symlink("hidden/part", world.project.join("way")).unwrap();
    symlink(&world.outside, world.project.join("out")).unwrap();
    world.file(world.outside.join("f"), "outside\n");
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[files]\nhide = ['hidden', '*.key']\nwrite = ['kept/sub']\nread = ['hidden/shown']\n",
    );
    world.file("hidden/shown", "");
    world.directory("kept/sub/.idea");
    world.file("kept/sub/.idea/workspace.xml", "host");
    let script = "cat .env hidden/part/f way/f x.key out/f 2>/dev/null; \
                  for f in kept/q kept/sub/q kept/sub/.idea/q a/.vscode/tasks.json; do \
                  echo x 2>/dev/null > $f && echo $f; done; \
                  mv a b 2>/dev/null && mkdir -p a/.vscode && echo planted; true";
    let before = world.run(&[], script);
    assert_eq!(before.ok(), "kept/q\nkept/sub/q", "{before:#?}");
    world.file(
        ".aca.toml",
        "[files]\nread = ['.env', 'hidden/part', 'hidden/**', '**/f', '*.key', 'way', 'out', 'kept', '../../outside', \
         '.git/hooks', 'nowhere']\nhide = ['a/.vscode', '../../outside/f']\n",
    );
    let after = world.run(&[], script);
    assert_eq!(after.ok(), "kept/sub/q", "{after:#?}");
    assert!(after.err.contains("2 settings of it wait"), "{after:#?}");
}

#[test]
fn the_projects_file_is_a_file_that_is_read_once() {
    let world = World::new();
    let file = world.project.join(".aca.toml");
    let refused = |word: &str| {
        let ran = world.run(&[], "echo started");
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
        assert!(
            ran.err.contains(".aca.toml") && ran.err.contains(word),
            "{ran:#?}"
        );
    };
    world.file("real.toml", "");
    symlink("real.toml", &file).unwrap();
    refused("symbolic link");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused("directory");
    fs::remove_dir(&file).unwrap();
    // Waiting for a writer it would never start.
    let made = world.command("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    refused("pipe");
    fs::remove_file(&file).unwrap();
    world.file(".aca.toml", "#".repeat((64 << 10) + 1));
    refused("larger than 65536 bytes");
    world.file(".aca.toml", b"a = '\xff'");
    refused("UTF-8");
    world.file(".aca.toml", "[floor]\nnetwork = 'none'\n");
    refused("the administrator's file alone");
    world.file(".aca.toml", "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    refused("Permission denied");
}

#[test]
fn the_projects_file_cannot_be_changed_inside_and_its_appearance_is_told() {
    let world = World::new();
    world.file(".aca.toml", "");
    world
        .run(
            &[],
            "for c in 'echo > .aca.toml' 'rm -f .aca.toml' 'mv .aca.toml x' 'ln -sfT x .aca.toml' 'touch y; mv -T y .aca.toml'; \
             do sh -c \"$c\" 2>/dev/null && echo \"$c\"; done; test -z \"$(cat .aca.toml)\"",
        )
        .ok();
    assert_eq!(fs::read(world.project.join(".aca.toml")).unwrap(), b"");
    fs::remove_file(world.project.join(".aca.toml")).unwrap();
    world.run(&[], "echo 'grants = [\"fuse\"]' > .aca.toml").refused();
    let ran = world.run(&["--open-names"], "echo 'grants = [\"fuse\"]' > .aca.toml");
    assert!(ran.err.contains(".aca.toml"), "{ran:#?}");
    assert_eq!(world.events_of("trust_change")[0]["path"], ".aca.toml");
    // What an agent wrote waits like any other.
    assert!(world.run(&[], "true").err.contains("1 setting of it waits"));
}

#[test]
fn a_configuration_file_that_is_named_cannot_be_changed_inside() {
    let world = World::new();
    world.file("ci/mine.toml", "");
    let ran = world.run(
        &["--config", "ci/mine.toml"],
        "echo x > ci/mine.toml; rm -f ci/mine.toml; mv ci gone; cat ci/mine.toml",
    );
    assert_eq!(ran.ok(), "");
    assert_eq!(fs::read(world.project.join("ci/mine.toml")).unwrap(), b"");
    // The user's own, kept in a repository of settings.
    world.directory(world.home.join(".config/aca"));
    let own = world.home.join(".config/aca/config.toml");
    symlink(world.project.join("ci/mine.toml"), &own).unwrap();
    let ran = world.run(&[], "echo x > ci/mine.toml; mv ci gone; rm -f ci/mine.toml; ls");
    assert_eq!(ran.ok(), "ci");
    assert_eq!(fs::read(world.project.join("ci/mine.toml")).unwrap(), b"");
    // Not over a link that could be changed, nor does one elsewhere come inside.
    symlink("ci/mine.toml", world.project.join("link.toml")).unwrap();
    let ran = world.run(&["--config", "link.toml"], "echo started");
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
    world.file(world.home.join("mine.toml"), "");
    let ran = world.run(&["--config", "../mine.toml"], "ls ~/mine.toml 2>/dev/null; ls");
    assert_eq!(ran.ok(), "ci\nlink.toml");
    fs::remove_file(&own).unwrap();
    // A pipe is one, too.
    let mut command = world.command("bash");
    command.args(["-c", "\"$0\" run --config <(echo 'grants = []') -- echo started"]);
    let ran = Ran::from_output(&command.arg(&world.aca).output().unwrap());
    assert_eq!(ran.ok(), "started");
}

/// Native-like attempts to plant or change aca's own files beneath `$1`, the directory that holds `aca`; each that works
/// is printed.
const PLANT: &str = "try() { sh -c \"$1\" >/dev/null 2>&1 && echo \"WORKED $1\"; }; \
    try \"mkdir $1/aca\"; try \"rmdir $1/aca\"; try \"mv $1/aca $1/gone\"; mkdir evil; echo evil > evil/config.toml; \
    try \"mv -T evil $1/aca\"; try \"ln -sfT $PWD/evil $1/aca\"; try \"echo evil > $1/aca/config.toml\"; \
    try \"mkdir $1/aca/x\"; try \"cat $1/aca/*\"; try \"ls $1/aca | grep .\"; try \"rm -rf $1/aca\"; \
    try \"mv $1 $1.gone\"; try \"rm -rf $1 && mkdir -p $1/aca\"; true";

fn plant(world: &World, directory: &Path, flags: &[&str], environment: &[(&str, &Path)], at: &Path) -> Ran {
    let mut command = world.aca(&["run"]);
    command.args(flags).args(["--", "sh", "-c", PLANT, "sh"]).arg(at);
    command.current_dir(directory);
    command.envs(environment.iter().copied());
    Ran::from_output(&command.output().unwrap())
}

#[test]
fn acas_own_directories_cannot_be_planted() {
    // A directory above is granted.
    for (there, flags) in [
        (false, &["--write", "../.config"][..]),
        (true, &["--write", "../.config"]),
        (false, &["--home", "host"]),
        (true, &["--home", "host"]),
    ] {
        let world = World::new();
        let config = world.directory(world.home.join(".config"));
        if there {
            world.file(config.join("aca/config.toml"), "");
        }
        let ran = plant(&world, &world.project, flags, &[], &config);
        assert_eq!(ran.ok(), "", "{there} {flags:?} {ran:#?}");
        assert!(!config.join("aca/config.toml").exists() || there);
        assert!(config.join("aca").is_dir());
        assert_eq!(
            fs::metadata(config.join("aca")).unwrap().permissions().mode() & 0o777,
            if there { 0o755 } else { 0o700 }
        );
    }
}

#[test]
fn acas_own_directories_in_the_project_cannot_be_planted() {
    let world = World::new();
    // The project itself is what holds them.
    let config = world.directory(world.home.join("settings"));
    let ran = plant(&world, &config, &[], &[("XDG_CONFIG_HOME", &config)], &config);
    assert_eq!(ran.ok(), "", "{ran:#?}");
    // They are in the project, some levels down, there or not.
    for variable in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"] {
        for there in [false, true] {
            let place = world.project.join(format!("{variable}/a/b"));
            if there {
                world.directory(place.join("aca"));
            }
            let ran = plant(&world, &world.project, &[], &[(variable, &place)], &place);
            assert_eq!(ran.ok(), "", "{variable} {there} {ran:#?}");
            // Above them nothing can be renamed either.
            let above = world.project.join(variable);
            let script = format!(
                "mv {0} gone 2>/dev/null && echo moved; mv {0}/a gone 2>/dev/null && echo moved; true",
                above.display()
            );
            let mut command = world.aca(&["run", "--", "sh", "-c", &script]);
            let ran = Ran::from_output(&command.env(variable, &place).output().unwrap());
            assert_eq!(ran.ok(), "", "{variable} {there} {ran:#?}");
        }
    }
}

#[test]
fn a_link_to_acas_own_directories_cannot_lie_inside() {
    let world = World::new();
    let config = world.directory(world.home.join("elsewhere"));
    symlink(&config, world.project.join("config")).unwrap();
    let refused = |directory: &Path, variable: &Path| {
        let mut command = world.aca(&["run", "--", "echo", "started"]);
        command.current_dir(directory).env("XDG_CONFIG_HOME", variable);
        let ran = Ran::from_output(&command.output().unwrap());
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
        assert!(
            ran.err.contains("could be changed from inside") && ran.err.contains("XDG_CONFIG_HOME"),
            "{ran:#?}"
        );
    };
    refused(&world.project, &world.project.join("config"));
    // Nor the second of two.
    symlink(world.project.join("config"), world.home.join("first")).unwrap();
    refused(&world.project, &world.home.join("first"));
    // Nor may a part of them be named.
    let sessions = world.sessions();
    world.run(&[], "true").ok();
    for flag in ["--write", "--read"] {
        let ran = world.run(&[flag, sessions.to_str().unwrap()], "echo started");
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
        assert!(ran.err.contains("belongs to aca itself"), "{ran:#?}");
    }
}

/// `aca` as the ordinary user, on a machine whose administrator wrote `text`; `None` where that can't be had.
fn administered(world: &World, text: &str, spoil: &str, arguments: &[&str]) -> Option<Ran> {
    if !rustix::process::getuid().is_root() {
        skip("root", "only root makes /etc/aca/config.toml");
        return None;
    }
    if !has("unshare") || !has("setpriv") {
        return None;
    }
    let etc = world.root().join("etc");
    fs::create_dir_all(etc.join("aca")).unwrap();
    fs::set_permissions(&etc, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(etc.join("aca"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(etc.join("aca/config.toml"), text).unwrap();
    fs::set_permissions(etc.join("aca/config.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    // The machine's own /etc with that on top, for this process alone.
    let script = format!(
        "{spoil}\nmount -t overlay overlay -o lowerdir={}:/etc /etc || exit 99\n\
         exec setpriv --reuid {user} --regid {user} --clear-groups -- \"$@\"",
        etc.display(),
        user = super::support::uid(),
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
        .arg(&world.aca)
        .args(arguments)
        .current_dir(&world.project)
        .env_clear()
        .env("HOME", &world.home)
        .env("PATH", super::support::host_path())
        .env("ETC", &etc)
        .stdin(Stdio::null());
    let ran = Ran::from_output(&command.output().unwrap());
    if ran.code == 99 {
        skip("overlay", "no overlay can be mounted on /etc");
        return None;
    }
    Some(ran)
}

#[test]
fn the_administrators_file_counts_and_nobody_goes_beyond_it() {
    let world = World::new();
    let floor = "lock = ['environment', 'files.write']\n[files]\nhide = ['data']\n[floor]\nnetwork = 'agent'\n\
                 home = 'private'\ngrants = []\ncontact = 'it@example.test'\nlimits = { open_files = 100 }\n";
    world.file("data/f", "data\n");
    let script =
        "cat data/f 2>/dev/null; ulimit -n; ls -A /etc/aca; cat /etc/aca/config.toml 2>/dev/null; true";
    let Some(ran) = administered(&world, floor, "", &["run", "--", "sh", "-c", script]) else {
        return;
    };
    assert_eq!(ran.ok(), "100", "and it isn't seen inside: {ran:#?}");
    // Without it all of this is seen: the test would show nothing else.
    assert!(world.run(&[], "cat data/f").ok().contains("data"));
    for (flags, word) in [
        (&["--net", "open"][..], "`open` goes beyond `agent`"),
        (&["--home", "host"], "`host` goes beyond `private`"),
        (&["--grant", "fuse"], "`fuse` goes beyond `none`"),
        (&["--env", "X=1"], "`environment` is locked"),
        (&["--write", "../../outside"], "`files.write` is locked"),
    ] {
        let arguments = [&["run"][..], flags, &["--", "echo", "started"]].concat();
        let ran = administered(&world, floor, "", &arguments).unwrap();
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
        assert!(
            ran.err.contains(word)
                && ran.err.contains("/etc/aca/config.toml:")
                && ran.err.contains(flags[0])
                && ran.err.contains("it@example.test"),
            "{word}: {ran:#?}"
        );
    }
    // Another file in the user's place doesn't switch it off.
    world.file("mine.toml", "[network]\npreset = 'open'\n");
    let arguments = ["run", "--config", "mine.toml", "--", "echo", "started"];
    let ran = administered(&world, floor, "", &arguments).unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
    assert!(ran.err.contains("mine.toml:2:10"), "{ran:#?}");
    // A project's file that goes beyond waits, and can't be trusted.
    world.file(".aca.toml", "[network]\npreset = 'open'\n");
    let ran = administered(&world, floor, "", &["run", "--", "true"]).unwrap();
    assert!(
        ran.code == 0 && ran.err.contains("1 setting of it waits"),
        "{ran:#?}"
    );
    let ran = administered(&world, floor, "", &["trust", "--yes"]).unwrap();
    assert!(ran.code == 125 && ran.err.contains("goes beyond"), "{ran:#?}");
}

#[test]
fn a_guarantee_that_must_be_whole() {
    let world = World::new();
    let floor = "[floor]\nrequire = ['surface_small', 'recorded']\n";
    let Some(ran) = administered(&world, floor, "", &["run", "--", "true"]) else {
        return;
    };
    ran.ok();
    let arguments = ["run", "--grant", "io-uring", "--", "echo", "started"];
    let ran = administered(&world, floor, "", &arguments).unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
    assert!(
        ran.err
            .contains("surface_small must be whole (/etc/aca/config.toml:2:12)"),
        "{ran:#?}"
    );
}

#[test]
fn an_administrators_file_that_others_can_write_stops_everything() {
    let world = World::new();
    for (spoil, word) in [
        (
            "chmod 666 $ETC/aca/config.toml",
            "config.toml can be written by others",
        ),
        (
            "chown 12345 $ETC/aca/config.toml",
            "config.toml belongs to uid 12345",
        ),
        ("chmod 777 $ETC/aca", "/etc/aca can be written by others"),
        ("chown 12345 $ETC/aca", "/etc/aca belongs to uid 12345"),
        ("chmod 1777 $ETC", "/etc can be written by others"),
        (
            "mv $ETC/aca/config.toml $ETC/c; ln -s /etc/c $ETC/aca/config.toml",
            "is a symbolic link",
        ),
        (
            "rm $ETC/aca/config.toml; mkdir $ETC/aca/config.toml",
            "is no regular file",
        ),
        ("chmod 700 $ETC/aca", "Permission denied"),
        ("echo x > $ETC/aca/config.toml", "config.toml:1:2"),
    ] {
        let Some(ran) = administered(&world, "", spoil, &["run", "--", "echo", "started"]) else {
            return;
        };
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{spoil} {ran:#?}");
        assert!(ran.err.contains(word), "{spoil} {ran:#?}");
        let etc = world.root().join("etc");
        fs::remove_dir_all(&etc).unwrap();
    }
}

#[test]
fn config_shows_each_value_with_its_source() {
    let world = World::new();
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[network]\nallow = ['a.test']\n[limits]\nprocesses = 9\n",
    );
    world.file(".aca.toml", "[network]\ndeny = ['b.test']\nallow = ['c.test']\n");
    let config = world.home.join(".config/aca/config.toml").display().to_string();
    let project = world.project.join(".aca.toml").display().to_string();
    let ran = aca(&world, &["config", "--net", "agent", "--read", ".", "claude"]);
    let lines: Vec<&str> = ran.ok().lines().collect();
    for line in [
        "network.preset = \"agent\"  # flag --net agent".to_owned(),
        format!("network.allow = \"a.test\"  # {config}:2:10"),
        format!("network.deny = \"b.test\"  # {project}:2:9"),
        format!("# network.allow = \"c.test\"  # {project}:3:10"),
        format!("limits.processes = 9  # {config}:4:13"),
        "network.allow = \"api.anthropic.com\"  # built-in agents/claude.toml".to_owned(),
        "files.home = \"private\"  # built-in default".to_owned(),
        format!("files.read = \"{}\"  # flag --read .", world.project.display()),
    ] {
        assert!(lines.contains(&line.as_str()), "{line} is not in {ran:#?}");
    }
    let json: serde_json::Value = serde_json::from_str(aca(&world, &["config", "--json"]).ok()).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["files"][1]["trust"], "reduced");
    assert_eq!(json["waiting"][0]["key"], "network.allow");
}

#[test]
fn config_checks_a_file_and_prints_the_schema() {
    let world = World::new();
    world.file("good.toml", "[network]\npreset = 'dev'\n");
    assert_eq!(aca(&world, &["config", "check", "good.toml"]).ok(), "ok");
    world.file("bad.toml", "[network]\npreset = 'opne'\n");
    let ran = aca(&world, &["config", "check", "bad.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
    assert!(
        ran.err.contains("bad.toml:2:10")
            && ran.err.contains("^^^^^^")
            && ran.err.contains("did you mean `open`"),
        "{ran:#?}"
    );
    world.file("floor.toml", "[floor]\nnetwork = 'dev'\n");
    assert_eq!(aca(&world, &["config", "check", "floor.toml"]).code, 125);
    assert_eq!(
        aca(&world, &["config", "check", "--administrator", "floor.toml"]).ok(),
        "ok"
    );
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.schema.json");
    assert_eq!(
        aca(&world, &["config", "schema"]).out,
        fs::read_to_string(published).unwrap(),
        "`aca config schema > docs/config.schema.json`"
    );
}
