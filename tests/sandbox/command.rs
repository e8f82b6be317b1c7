//! C cases: the command line and exit codes.

use super::support::World;

#[test]
fn c01_runs_a_command() {
    let world = World::new();
    let ran = world.run(&[], "echo hello");
    assert_eq!(ran.ok(), "hello");
    assert_eq!(ran.err, "");
}
