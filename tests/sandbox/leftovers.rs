//! What a run leaves in aca's stores for a later one to stumble over.

use super::support::{Ran, World};

/// Runs in a project whose place inside lies in a cache: the store behind that one gets a directory to put it at.
fn in_cache(world: &World, script: &str) -> Ran {
    let project = world.directory("../.cache/p/q");
    let mut command = world.aca(&["run", "--", "sh", "-c", script]);
    Ran::from_output(&command.current_dir(project).output().unwrap())
}

#[test]
fn what_stands_in_the_way_of_a_mount_is_removed() {
    let world = World::new();
    world.file("../secret", "geheim");
    for way in ["p", "p/q"] {
        for left in ["ln -s ~/secret", "ln -s /", "mkfifo", "touch", "mkdir -m 0"] {
            let plant = format!("mkdir -p ~/.cache/p && rm -rf ~/.cache/{way} && {left} ~/.cache/{way}");
            world.run(&[], &plant).ok();
            let ran = in_cache(&world, "touch here && pwd && ls -A");
            assert!(ran.ok().ends_with("/.cache/p/q\nhere"), "{plant}: {ran:#?}");
        }
    }
    assert_eq!(std::fs::read(world.home.join("secret")).unwrap(), b"geheim");
}

/// Names are bytes: one that is no text must not keep the next run from starting, nor its file from being guarded.
#[test]
fn names_that_are_no_text_are_guarded_like_others() {
    let world = World::new();
    let (secret, kept) = (
        "\"$(printf '.env.\\377')\"",
        "\"$(printf '\\377\\376\\033\\n.code-workspace')\"",
    );
    world
        .run(
            &["--open-names"],
            &format!("echo geheim > {secret}; echo host > {kept}"),
        )
        .ok();
    let script =
        format!("cat {secret}; echo evil > {kept}; mv {kept} x; rm -f {kept} {secret}; cat {kept}; true");
    assert_eq!(world.run(&[], &script).ok(), "host");
    // The directory itself may have such a name.
    let project = world
        .project
        .join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(
            b"d\xff\\x41",
        ));
    world.directory(&project);
    let mut command = world.aca(&["run", "--", "sh", "-c", "touch here; ls"]);
    let ran = Ran::from_output(&command.current_dir(&project).output().unwrap());
    assert_eq!(ran.ok(), "here", "{ran:#?}");
}
