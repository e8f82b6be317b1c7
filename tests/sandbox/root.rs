//! Root runs aca too, on servers and in containers. It keeps its uid inside, so that what the kernel guards by a file's
//! owner alone, and not by a capability, must be closed by the view.

use super::support::World;
use std::fs;

/// Writes back what is there: nothing changes where the attempt succeeds.
const CORE_PATTERN: &str = "f=/proc/sys/kernel/core_pattern; v=$(cat $f) && printf %s \"$v\" > $f";

#[test]
fn settings_of_the_machine_cannot_be_written() {
    let world = World::new();
    let Some(ran) = world.run_as_root(&[], CORE_PATTERN) else {
        return;
    };
    assert!(ran.refused().err.contains("Read-only file system"), "{ran:#?}");
    let writable =
        "find /proc -maxdepth 2 -writable ! -type l ! -type d | grep -vE '^/proc/([0-9]|self|thread-self)'";
    let ran = world.run_as_root(&[], writable).unwrap();
    assert_eq!(ran.out, "");
    // The same attempt outside succeeds where this test itself may write there.
    let outside = std::process::Command::new("sh")
        .args(["-c", CORE_PATTERN])
        .status();
    assert!(
        outside.unwrap().success(),
        "the attempt must succeed outside to show anything"
    );
}

#[test]
fn a_nested_sandbox_mounts_no_proc_that_is_open_again() {
    let world = World::new();
    let script = format!("unshare -Urmpf --mount-proc sh -c '{CORE_PATTERN}'");
    let Some(ran) = world.run_as_root(&["--grant", "nested-userns"], &script) else {
        return;
    };
    let _ = ran.refused();
}

#[test]
fn what_only_root_reads_is_hidden() {
    let world = World::new();
    let Some(ran) = world.run_as_root(
        &[],
        "cat /etc/shadow; ls /etc/ssl/private; cat /proc/kcore | head -c 1",
    ) else {
        return;
    };
    assert_eq!(ran.out, "", "{ran:#?}");
    assert!(fs::read("/etc/shadow").is_ok(), "outside root reads it");
}

#[test]
fn the_system_cannot_be_written() {
    let world = World::new();
    let script = "for d in / /etc /usr /usr/bin /opt /sys /dev/.. /proc; do \
                  if touch $d/aca-was-here 2> /dev/null; then echo $d; fi; done; \
                  chmod 777 /etc /usr 2> /dev/null && echo chmod; true";
    let Some(ran) = world.run_as_root(&[], script) else {
        return;
    };
    assert_eq!(ran.ok(), "");
}

#[test]
fn no_capability_is_left_and_the_run_works() {
    let world = World::new();
    let Some(ran) = world.run_as_root(&[], "id -u; grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status; echo x > f; cat f; echo 1 > /proc/self/oom_score_adj && echo own")
    else {
        return;
    };
    let zero = "\t0000000000000000\n";
    assert_eq!(
        ran.out,
        format!("0\nCapPrm:{zero}CapEff:{zero}CapBnd:{zero}x\nown\n"),
        "{ran:#?}"
    );
}
