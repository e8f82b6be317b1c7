//! Keeps this process' memory to itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use std::sync::Once;

/// From now on the process leaves no core, and no other process of the user's reads its memory (`PR_SET_DUMPABLE` in
/// prctl(2), ptrace(2)). What it starts later is as it would have been: execve(2) sets that anew, but for the limit of
/// cores. What it opens of its own in /proc it opens as before, since a process may look at itself.
pub fn guard() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
        let maximum = getrlimit(Resource::Core).maximum;
        setrlimit(
            Resource::Core,
            Rlimit {
                current: Some(0),
                maximum,
            },
        )
        .ok();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::dumpable_behavior;

    #[test]
    fn it_is_undumpable_and_what_it_starts_is_not() {
        guard();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        // A directory of a process that may not be dumped is root's.
        let owner = "stat -c %u /proc/self/fd";
        let output = std::process::Command::new("sh")
            .args(["-c", owner])
            .output()
            .unwrap();
        let uid = rustix::process::getuid().as_raw().to_string();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), uid);
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > 2);
    }
}
