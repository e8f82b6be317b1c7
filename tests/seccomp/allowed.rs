//! Lists of what one process may do at all: each call that is listed goes through as it is listed, everything else kills.

use crate::compile::{self, AllowList, Architecture};
use crate::lists::{X32_BIT, audit};
use crate::machine::{Call, run};
use libc::{SECCOMP_RET_ALLOW as ALLOW, SECCOMP_RET_KILL_PROCESS as KILL};
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp};
use std::collections::HashSet;
use std::path::Path;

fn list() -> AllowList {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seccomp/allow/gitcheck.json");
    compile::read_allowed(&path).unwrap()
}

#[test]
fn what_is_listed_and_nothing_else() {
    let list = list();
    for arch in Architecture::ALL {
        let program = compile::allowed(&list, arch).unwrap();
        let answer = |number: u32, args: [u64; 6]| {
            let audit_arch = audit(arch);
            run(
                &program,
                &Call {
                    number,
                    audit_arch,
                    args,
                },
            )
            .0
        };
        let mut listed = HashSet::new();
        for entry in &list.entries {
            let number: u32 = compile::number_of(&entry.syscall, arch)
                .unwrap()
                .try_into()
                .unwrap();
            // Twice only with other arguments each time.
            let is_new = listed.insert(number) || !entry.args.is_empty();
            assert!(is_new, "{} stands twice", entry.syscall);
            let mut args = [0xdead_beef_0000_0000; 6];
            for condition in &entry.args {
                assert!(matches!(condition.width, SeccompCmpArgLen::Dword));
                args[usize::from(condition.index)] |= condition.val;
            }
            assert_eq!(answer(number, args), ALLOW, "{}", entry.syscall);
            for condition in &entry.args {
                let bits = match condition.op {
                    SeccompCmpOp::MaskedEq(mask) => mask,
                    _ => u64::from(u32::MAX),
                };
                for bit in (0..32).filter(|bit| bits >> bit & 1 == 1) {
                    let mut wrong = args;
                    wrong[usize::from(condition.index)] ^= 1 << bit;
                    assert_eq!(answer(number, wrong), KILL, "{} {bit}", entry.syscall);
                }
            }
            assert_eq!(answer(number | X32_BIT, args), KILL, "{}", entry.syscall);
            for other in Architecture::ALL.into_iter().filter(|other| *other != arch) {
                let call = Call {
                    number,
                    audit_arch: audit(other),
                    args,
                };
                assert_eq!(run(&program, &call).0, KILL);
            }
        }
        for number in (0..2000)
            .chain([u32::MAX])
            .filter(|number| !listed.contains(number))
        {
            assert_eq!(answer(number, [0; 6]), KILL, "{number}");
        }
    }
}

#[test]
fn nothing_that_reaches_out_is_listed() {
    let list = list();
    assert!(!list.about.is_empty());
    for name in [
        "socket",
        "connect",
        "sendmsg",
        "recvmsg",
        "execve",
        "execveat",
        "clone",
        "clone3",
        "fork",
        "kill",
        "ptrace",
        "ioctl",
        "unlinkat",
        "renameat",
        "renameat2",
        "linkat",
        "mkdirat",
        "openat2",
        "open_by_handle_at",
        "prctl",
        "io_uring_setup",
        "memfd_create",
        "process_vm_readv",
        "setrlimit",
        "prlimit64",
        "mount",
        "sendto",
    ] {
        assert!(list.entries.iter().all(|entry| entry.syscall != name), "{name}");
    }
}
