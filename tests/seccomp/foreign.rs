//! Calls by the gates of other architectures. Each runs in a process of its own, since it may be killed.

use crate::confined::{confined, errno};
use aca::launch::linux::seccomp::Observation;

#[test]
fn x32_calls_are_refused() {
    let (results, _) = confined(&[], Observation::Refusals, || {
        [libc::SYS_getppid, libc::SYS_mount, 1000].map(|number| errno(0x4000_0000 | number, [u64::MAX; 6]))
    });
    assert_eq!(results, [libc::ENOSYS; 3]);
}

#[cfg(target_arch = "x86_64")]
mod i386 {
    use aca::launch::linux::seccomp::{Observation, SeccompChoice, apply};
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    const INSIDE: &str = "ACA_TEST_INT80_INSIDE";

    /// `getpid` by i386's gate: the kernel's answer, and that of the process's own gate.
    fn getpid() -> (i64, i64) {
        let result: i64;
        // SAFETY: i386's call 20 takes no arguments; a kernel without the gate raises SIGSEGV, which ends the process.
        unsafe {
            std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
        };
        (result, std::process::id().into())
    }

    fn run(mode: &str) -> std::process::ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "foreign::i386::the_gate_of_32_bit_programs_is_shut";
        let output = command
            .args(["--exact", name])
            .env(INSIDE, mode)
            .output()
            .unwrap();
        output.status
    }

    #[test]
    fn the_gate_of_32_bit_programs_is_shut() {
        match std::env::var_os(INSIDE).as_deref().map(|mode| mode == "filtered") {
            None => {
                let filtered = run("filtered").signal();
                if run("free").success() {
                    assert_eq!(
                        filtered,
                        Some(libc::SIGSYS),
                        "the filter kills what the kernel would do"
                    );
                } else {
                    assert!(filtered.is_some(), "this kernel has no such gate");
                }
            }
            Some(filtered) => {
                if filtered {
                    nix::sys::prctl::set_no_new_privs().unwrap();
                    let choice = SeccompChoice::from_grants(&[], Observation::Nothing);
                    assert!(apply(&choice).unwrap().is_none());
                }
                let (gate, own) = getpid();
                assert_eq!(gate, own);
            }
        }
    }
}
