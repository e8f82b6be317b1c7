//! The three facilities that may differ from outside: absent by default, there by a grant of that name, and by no other.

use crate::support::{Ran, World, has, skip};

struct Facility {
    grant: &'static str,
    needs: &'static str,
    /// Succeeds where it is there.
    script: &'static str,
}

const FACILITIES: [Facility; 3] = [
    Facility {
        grant: "nested-userns",
        needs: "unshare",
        script: "unshare --user --map-root-user --mount --pid --fork sh -c 'mount -t tmpfs none /tmp && mount -t proc none /proc && [ $(id -u) = 0 ]'",
    },
    Facility {
        grant: "io-uring",
        needs: "python3",
        script: r#"python3 -c 'import ctypes; c = ctypes.CDLL(None, use_errno=True); f = c.syscall(425, 4, ctypes.create_string_buffer(120)); raise SystemExit(f < 0)'"#,
    },
    Facility {
        grant: "fuse",
        needs: "fuse",
        script: "[ -c /dev/fuse ]",
    },
];

fn one(index: usize) {
    let facility = &FACILITIES[index];
    let world = World::new();
    let outside = world
        .command("sh")
        .args(["-c", facility.script])
        .output()
        .unwrap();
    let missing = Ran::from_output(&outside).code != 0;
    if facility.needs == "fuse" {
        if missing {
            return skip("fuse", "this machine has no /dev/fuse");
        }
    } else if !has(facility.needs) {
        return;
    } else if missing {
        return skip(facility.grant, "this machine's kernel refuses it outside too");
    }
    assert_ne!(world.run(&[], facility.script).code, 0, "there by default");
    for other in &FACILITIES {
        let ran = world.run(&["--grant", other.grant], facility.script);
        assert_eq!(
            ran.code == 0,
            other.grant == facility.grant,
            "{} by the grant {}: {ran:#?}",
            facility.grant,
            other.grant
        );
    }
}

#[test]
fn nested_user_namespaces() {
    one(0);
}

#[test]
fn io_uring() {
    one(1);
}

#[test]
fn fuse() {
    one(2);
}
