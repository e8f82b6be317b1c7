//! aca's own files where a project or a grant holds them: what runs inside must neither see nor leave any, since the next
//! run obeys them.

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

#[track_caller]
fn refused(ran: &Ran) {
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:#?}");
    assert!(ran.err.contains("aca's own directory"), "{ran:#?}");
}

#[test]
fn what_could_be_made_inside_must_be_there_before() {
    let world = World::new();
    refused(&inside(&world, "echo started"));
    for place in ["config", "state"] {
        world.directory(format!("own/{place}/aca"));
        refused(&inside(&world, "echo started"));
    }
    world.directory("own/data/aca");
    assert_eq!(inside(&world, "echo started").ok(), "started");
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
    refused(&inside(&world, "echo started"));
}

#[test]
fn a_grant_is_no_way_to_it() {
    let world = World::new();
    world.directory("../.config");
    let config = world.home.join(".config");
    let config = config.to_str().unwrap();
    let plant = "mkdir -p ~/.config/aca; echo x > ~/.config/aca/config.toml; mv ~/.config/aca ~/.config/x";
    refused(&world.run(&["--write", config], plant));
    world.directory("../.config/aca");
    let _ = world.run(&["--write", config], plant).refused();
    assert_eq!(world.run(&[], "echo next").ok(), "next");
}
