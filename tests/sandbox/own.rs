//! aca's own files where a project or a grant holds them: what runs inside must neither see nor leave any, since the next
//! run obeys them.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::support::{Ran, World};
use std::os::unix::fs::symlink;

/// Runs with aca's directories in the project.
fn inside(world: &World, script: &str) -> Ran {
    let mut command = world.aca(&["run", "--", "sh", "-c", script]);
    for (variable, place) in [
        ("XDG_CONFIG_HOME", "own/config"),
        ("XDG_STATE_HOME", "own/state"),
        ("XDG_DATA_HOME", "own/data"),
    ] {
        command.env(variable, world.project.join(place));
    }
    Ran::from_output(&command.output().unwrap())
}

#[test]
fn what_could_be_made_inside_is_made_before() {
    let world = World::new();
    let ran = inside(
        &world,
        "for d in config state data; do ls -A own/$d/aca && touch own/$d/aca/x; done; ls own",
    );
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "config\ndata\nstate\n"),
        "{ran:#?}"
    );
    for place in ["config", "state", "data"] {
        let own = world.project.join("own").join(place).join("aca");
        assert!(own.is_dir() && !own.join("x").exists(), "{}", own.display());
    }
}

#[test]
fn nothing_of_it_is_seen_moved_or_replaced() {
    let world = World::new();
    for place in ["state", "data"] {
        world.directory(format!("own/{place}/aca"));
    }
    world.file("own/config/aca/config.toml", "# geheim");
    let script = "for d in config state data; do ls -A own/$d/aca; cat own/$d/aca/config.toml; mv own/$d own/x; mv own/$d/aca own/x; \
                  rm -rf own/$d/aca; rmdir own/$d/aca; ln -sfn /tmp own/$d/aca; touch own/$d/aca/x; mkdir own/$d/aca/stores; done 2> /dev/null; \
                  mv own x 2> /dev/null; rm -rf own/x; touch own/beside; ls own own/config";
    let ran = inside(&world, script);
    assert_eq!(
        ran.ok(),
        "own:\nbeside\nconfig\ndata\nstate\n\nown/config:\naca",
        "{ran:#?}"
    );
    let names = |path: &str| std::fs::read_dir(world.project.join(path)).unwrap().count();
    assert_eq!((names("own/config/aca"), names("own/data/aca")), (1, 1));
    assert_eq!(inside(&world, "echo again").ok(), "again");
}

#[test]
fn a_link_in_the_project_does_not_lead_to_it() {
    let world = World::new();
    world.directory("../elsewhere/config/aca");
    for place in ["state", "data"] {
        world.directory(format!("own/{place}/aca"));
    }
    symlink("../../elsewhere/config", world.project.join("own/config")).unwrap();
    let ran = inside(&world, "echo started");
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
    assert!(ran.err.contains("reached over the link"), "{ran:#?}");
}

#[test]
fn a_grant_is_no_way_to_it() {
    let world = World::new();
    world.directory("../.config");
    let config = world.home.join(".config");
    let config = config.to_str().unwrap();
    let plant = "mkdir -p ~/.config/aca; echo x > ~/.config/aca/config.toml; mv ~/.config/aca ~/.config/x";
    for _ in 0..2 {
        let _ = world.run(&["--write", config], plant).refused();
        let own = world.home.join(".config");
        assert!(!own.join("aca/config.toml").exists() && !own.join("x").exists());
    }
    assert_eq!(world.run(&[], "echo next").ok(), "next");
}
