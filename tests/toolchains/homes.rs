//! Tool chains and caches of the home, as `src/presets/toolchains.toml` lists them: every row of that file is made on
//! the host and used inside.

use crate::support::World;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// Where a tool's programs may lie: what is listed, or the whole directory.
fn tools(world: &World) -> Vec<PathBuf> {
    let all = aca::presets::toolchains().unwrap().read_paths(&world.home, &[]);
    all.into_iter()
        // A file that shells source.
        .filter(|path| !path.ends_with(".cargo/env"))
        .collect()
}

fn caches(world: &World) -> Vec<PathBuf> {
    aca::presets::toolchains()
        .unwrap()
        .cache_places(&world.home, &[])
        .into_iter()
        .map(|cache| cache.path)
        .collect()
}

#[test]
fn every_tool_chain_of_the_home_runs_and_none_can_be_changed() {
    let world = World::new();
    let (tools, caches) = (tools(&world), caches(&world));
    for tool in &tools {
        let program = world.file(tool.join("aca-probe"), "#!/bin/sh\necho ran\n");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut script = String::new();
    for tool in &tools {
        let tool = tool.display();
        script.push_str(&format!(
            "[ \"$({tool}/aca-probe)\" = ran ] || echo does not run: {tool}\n\
             (: >> {tool}/aca-probe) 2>/dev/null && echo can be changed: {tool}\n\
             (: > {tool}/aca-new) 2>/dev/null\n"
        ));
    }
    for cache in &caches {
        script.push_str(&format!(
            "(mkdir -p {0}/d && echo x > {0}/d/f) || echo no cache: {0}\n",
            cache.display()
        ));
    }
    assert!(tools.len() > 60 && caches.len() > 15);
    // The last line would be the script's end.
    script.push_str("true\n");
    assert_eq!(world.run(&[], &script).ok(), "");
    // A directory with a cache in it is private and can be added to; nothing of that is on the host.
    for tool in &tools {
        assert!(!tool.join("aca-new").exists(), "{}", tool.display());
    }
}

/// A tool chain around a cache: the host may have the one without the other.
#[test]
fn a_cache_in_a_tool_chain_needs_no_place_on_the_host() {
    let world = World::new();
    let pnpm = world.directory(world.home.join(".local/share/pnpm"));
    world.file(pnpm.join("shim"), "of the host");
    let script = "cat ~/.local/share/pnpm/shim; mkdir ~/.local/share/pnpm/store/v && echo stored; \
                  (echo x > ~/.local/share/pnpm/shim) 2>/dev/null || echo refused";
    assert_eq!(world.run(&[], script).ok(), "of the hoststored\nrefused");
    assert!(!pnpm.join("store").exists());
}

/// What was put into a cache inside is there in the next run, and the host's own cache never is.
#[test]
fn every_cache_is_kept_between_runs_and_is_not_the_hosts() {
    let world = World::new();
    let caches: BTreeSet<PathBuf> = caches(&world).into_iter().collect();
    for cache in &caches {
        world.file(cache.join("of-the-host"), "x");
    }
    let each = |command: &str| {
        caches
            .iter()
            .map(|cache| format!("c={}; {command}\n", cache.display()))
            .collect::<String>()
    };
    let first = world.run(
        &[],
        &each("[ -e $c/of-the-host ] && echo seen: $c; echo kept > $c/aca-kept"),
    );
    assert_eq!(first.ok(), "");
    let second = world.run(&[], &each("[ \"$(cat $c/aca-kept)\" = kept ] || echo lost: $c"));
    assert_eq!(second.ok(), "");
    for cache in &caches {
        assert!(!cache.join("aca-kept").exists(), "{}", cache.display());
    }
}

/// A home is full of links: a tool that is one, one that leads to another tool chain, one into nowhere, and directories
/// kept elsewhere.
#[test]
fn links_among_tool_chains_lead_where_they_lead_outside() {
    let world = World::new();
    let home = world.home.clone();
    let program = |path: &str| {
        let path = world.file(home.join(path), "#!/bin/sh\necho ran\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program("dotfiles/bin/own-script");
    program("dotfiles/pyenv/shims/own-python");
    program(".cargo/bin/own-cargo");
    world.directory(home.join(".local/bin"));
    for (to, at) in [
        ("dotfiles/bin", "bin"),
        ("dotfiles/pyenv", ".pyenv"),
        (".cargo/bin/own-cargo", ".local/bin/own-link"),
        ("nowhere", ".local/bin/own-nothing"),
        ("nowhere", ".volta"),
    ] {
        symlink(home.join(to), home.join(at)).unwrap();
    }
    let script = "~/bin/own-script; ~/.pyenv/shims/own-python; ~/.local/bin/own-link; ls ~/dotfiles 2>/dev/null; echo end";
    assert_eq!(world.run(&[], script).ok(), "ran\nran\nran\nend");
}

/// Version managers are found through variables, shims and links, all of which point at one another.
#[test]
fn version_managers_work_through_their_links_and_variables() {
    let world = World::new();
    let home = world.home.clone();
    let program = |path: &str, text: &str| {
        let path = world.file(home.join(path), text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    program(".nvm/versions/node/v1/bin/own-node", "#!/bin/sh\necho nvm\n");
    program(
        ".pyenv/shims/own-python",
        "#!/bin/sh\nexec $PYENV_ROOT/versions/3/bin/own-python\n",
    );
    program(".pyenv/versions/3/bin/own-python", "#!/bin/sh\necho pyenv\n");
    program(".local/share/uv/tools/t/bin/own-uv", "#!/bin/sh\necho uv\n");
    program("elsewhere/cargo/bin/own-cargo", "#!/bin/sh\necho moved\n");
    world.directory(home.join(".local/bin"));
    symlink(
        home.join(".local/share/uv/tools/t/bin/own-uv"),
        home.join(".local/bin/own-uv"),
    )
    .unwrap();
    let path = [
        ".nvm/versions/node/v1/bin",
        ".pyenv/shims",
        ".local/bin",
        "elsewhere/cargo/bin",
    ]
    .map(|directory| home.join(directory).display().to_string())
    .join(":");
    let mut command = world.aca(&["run", "--", "sh", "-c", "own-node; own-python; own-uv; own-cargo"]);
    command
        .env("PATH", format!("{path}:/usr/bin:/bin"))
        .env("PYENV_ROOT", home.join(".pyenv"))
        .env("CARGO_HOME", home.join("elsewhere/cargo"));
    let ran = crate::support::Ran::from_output(&command.output().unwrap());
    assert_eq!(ran.ok(), "nvm\npyenv\nuv\nmoved");
}

/// A tool chain that belongs to the system, as container images have it: its caches have no place, and that is no
/// reason not to start.
#[test]
fn a_tool_chain_of_the_system_needs_no_cache() {
    let world = World::new();
    for place in ["/usr/lib/aca-test-none", "/etc", "/aca-test-none/deep"] {
        let mut command = world.aca(&["run", "--", "sh", "-c", "test -s /etc/passwd && echo started"]);
        for variable in [
            "CARGO_HOME",
            "GOPATH",
            "PNPM_HOME",
            "XDG_CACHE_HOME",
            "RUSTUP_HOME",
        ] {
            command.env(variable, place);
        }
        let ran = crate::support::Ran::from_output(&command.output().unwrap());
        assert_eq!(ran.ok(), "started", "{place}");
    }
}

/// Puts something at a place.
type Make<'a> = &'a dyn Fn(&World, &PathBuf);

/// Whatever lies at a place where a tool chain, a cache or an agent's state may be: the run starts.
#[test]
fn odd_things_at_known_places_stop_no_run() {
    let made: [(&str, Make<'_>); 6] = [
        ("a file", &|world, at| {
            world.file(at, "x");
        }),
        ("a link into nowhere", &|_, at| symlink("nowhere", at).unwrap()),
        ("a link to itself", &|_, at| symlink(at, at).unwrap()),
        ("a link out of the home", &|world, at| {
            symlink(&world.outside, at).unwrap()
        }),
        ("a closed directory", &|world, at| {
            world.directory(at);
            fs::set_permissions(at, fs::Permissions::from_mode(0o000)).unwrap();
        }),
        ("a pipe", &|world, at| {
            let made = world.command("mkfifo").arg(at).status().unwrap();
            assert!(made.success());
        }),
    ];
    let claude = aca::agents::load("claude").unwrap();
    for (what, make) in made {
        let world = World::new();
        let state = claude.state.read.iter().chain(&claude.install.roots);
        let places: BTreeSet<PathBuf> = tools(&world)
            .into_iter()
            .chain(caches(&world))
            .chain(state.map(|path| path.within(&world.home)))
            .collect();
        for place in &places {
            // What lies below another place is there only if that one is a directory.
            if !places
                .iter()
                .any(|other| other != place && place.starts_with(other))
            {
                world.directory(place.parent().unwrap());
                make(&world, place);
            }
        }
        for home in ["private", "host"] {
            let ran = world.run(&["--agent", "claude", "--home", home], "echo started");
            assert_eq!(ran.ok(), "started", "{what}, {home}");
        }
    }
}
