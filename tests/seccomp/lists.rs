//! Walks the lists: every entry says why, exists, and does what it says and no more, on both architectures.

use crate::{
    compile::{self, Architecture, Entry, Errno, Grant, HIGHEST_REVIEWED, Mode},
    lists,
    machine::{Call, run},
};
use libc::{
    SECCOMP_RET_ALLOW as ALLOW, SECCOMP_RET_ERRNO as ERRNO, SECCOMP_RET_KILL_PROCESS as KILL,
    SECCOMP_RET_USER_NOTIF as NOTIFY,
};
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp};
use std::collections::HashSet;

const GRANTS: [&[Grant]; 4] = [
    &[],
    &[Grant::NestedUserns],
    &[Grant::IoUring],
    &[Grant::NestedUserns, Grant::IoUring],
];
const MODES: [Mode; 3] = [Mode::Starts, Mode::Refusals, Mode::Alone];
pub(crate) const X32_BIT: u32 = 0x4000_0000;

pub(crate) fn audit(arch: Architecture) -> u32 {
    // linux/include/uapi/linux/audit.h
    match arch {
        Architecture::X86 => 0xc000_003e,
        Architecture::Arm => 0xc000_00b7,
    }
}

/// Arguments that meet an entry's conditions: with other bits set wherever the kernel doesn't look.
pub(crate) fn arguments(entry: &Entry) -> [u64; 6] {
    let mut args = [u64::MAX; 6];
    for condition in &entry.args {
        let junk = match condition.width {
            SeccompCmpArgLen::Dword => 0xdead_beef_0000_0000,
            SeccompCmpArgLen::Qword => 0,
        };
        args[usize::from(condition.index)] = match condition.op {
            SeccompCmpOp::Eq | SeccompCmpOp::MaskedEq(_) => junk | condition.val,
            SeccompCmpOp::Ne => junk | 0x77,
            _ => panic!("{}: no arguments are known for this comparison", entry.syscall),
        };
    }
    args
}

fn call(entry: &Entry, arch: Architecture, args: [u64; 6]) -> Call {
    let number = compile::number(entry, arch).unwrap().try_into().unwrap();
    Call {
        number,
        audit_arch: audit(arch),
        args,
    }
}

fn expected(entry: &Entry, mode: Mode) -> u32 {
    match mode {
        Mode::Starts | Mode::Refusals if entry.report => NOTIFY,
        _ => ERRNO | entry.errno.number().unsigned_abs(),
    }
}

#[test]
fn every_entry_is_refused_with_its_errno_unless_it_is_granted() {
    let lists = lists();
    for arch in Architecture::ALL {
        for granted in GRANTS {
            for mode in MODES {
                let program = compile::program(&lists, arch, granted, mode).unwrap();
                for list in lists.iter().filter(|list| !list.names) {
                    let open = list.grant.is_some_and(|grant| granted.contains(&grant));
                    for entry in list
                        .entries
                        .iter()
                        .filter(|entry| entry.arch.is_none_or(|only| only == arch))
                    {
                        let (answer, _) = run(&program, &call(entry, arch, arguments(entry)));
                        let expected = if open { ALLOW } else { expected(entry, mode) };
                        assert_eq!(answer, expected, "{arch:?} {granted:?} {mode:?} {entry:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_but_the_entries_is_refused() {
    let lists = lists();
    for arch in Architecture::ALL {
        for mode in MODES {
            let program = compile::program(&lists, arch, &[], mode).unwrap();
            let refused: HashSet<u32> = compile::entries(&lists, arch, &[])
                .map(|entry| call(entry, arch, [0; 6]).number)
                .collect();
            // execve, execveat, listen.
            let watched: [u32; 3] = match arch {
                Architecture::X86 => [59, 322, 50],
                Architecture::Arm => [221, 281, 201],
            };
            for number in (0..=HIGHEST_REVIEWED).filter(|number| !refused.contains(number)) {
                let call = Call {
                    number,
                    audit_arch: audit(arch),
                    args: [u64::MAX; 6],
                };
                let seen = mode == Mode::Starts && watched.contains(&number);
                assert_eq!(
                    run(&program, &call).0,
                    if seen { NOTIFY } else { ALLOW },
                    "{arch:?} {mode:?} {number}"
                );
            }
        }
    }
}

#[test]
fn calls_that_make_names_are_handed_over_in_their_mode_alone() {
    let lists = lists();
    for arch in Architecture::ALL {
        let names = compile::program(&lists, arch, &[], Mode::Names).unwrap();
        let starts = compile::program(&lists, arch, &[], Mode::Starts).unwrap();
        let mut handed_over = HashSet::new();
        for entry in compile::names(&lists, arch) {
            let call = call(entry, arch, arguments(entry));
            let expected = if entry.asks {
                handed_over.insert(entry.syscall.as_str());
                NOTIFY
            } else {
                ERRNO | entry.errno.number().unsigned_abs()
            };
            assert_eq!(run(&names, &call).0, expected, "{arch:?} {entry:?}");
            assert_eq!(run(&starts, &call).0, ALLOW, "{arch:?} {entry:?}");
            if !entry.args.is_empty() {
                // O_RDONLY, O_WRONLY | O_TRUNC, O_TMPFILE: no name is made; TCGETS and nothing at all.
                for other in [0, 0o1001, 0o20_200_000, 0x5401] {
                    let mut call = call;
                    call.args = [other; 6];
                    assert_eq!(run(&names, &call).0, ALLOW, "{arch:?} {entry:?} {other:o}");
                }
            }
        }
        for name in [
            "openat",
            "openat2",
            "mkdirat",
            "mknodat",
            "symlinkat",
            "linkat",
            "renameat2",
            "bind",
        ] {
            assert!(handed_over.contains(name), "{arch:?} {name}");
        }
    }
}

#[test]
fn a_condition_that_doesnt_hold_leaves_the_call_open() {
    let lists = lists();
    for arch in Architecture::ALL {
        let program = compile::program(&lists, arch, &[], Mode::Alone).unwrap();
        let answer = |name: &str, args: [u64; 6]| {
            let entry = compile::entries(&lists, arch, &[])
                .find(|entry| entry.syscall == name)
                .unwrap();
            run(&program, &call(entry, arch, args)).0
        };
        let refused = |errno: Errno| ERRNO | errno.number().unsigned_abs();
        let (stream, datagram, raw) = (1 | 0o2_000_000, 2 | 0o4000, 3 | 0o2_000_000);
        for (args, expected) in [
            ([1, stream, 0], ALLOW),
            ([1, raw, 0], ALLOW),
            ([2, stream, 0], ALLOW),
            ([2, stream, 6], ALLOW),
            ([2, datagram, 17], ALLOW),
            ([2, datagram, 1], ALLOW),
            ([10, datagram, 58], ALLOW),
            ([10, stream, 0], ALLOW),
            ([16, raw, 0], ALLOW),
            ([16, raw, 15], ALLOW),
            ([2, raw, 1], refused(Errno::NotPermitted)),
            ([10, raw, 58], refused(Errno::NotPermitted)),
            ([2, 10, 0x300], refused(Errno::NotPermitted)),
            ([2, stream, 132], refused(Errno::NoProtocol)),
            ([2, stream, 262], refused(Errno::NoProtocol)),
            ([10, 5, 0], refused(Errno::NoProtocol)),
            ([2, 6, 0], refused(Errno::NoProtocol)),
            ([16, raw, 4], refused(Errno::NoProtocol)),
            ([16, raw, 6], refused(Errno::NoProtocol)),
            ([17, raw, 0], refused(Errno::NoFamily)),
            ([38, 5, 0], refused(Errno::NoFamily)),
            ([40, stream, 0], refused(Errno::NoFamily)),
            ([0x1_0000_0026, 5, 0], refused(Errno::NoFamily)),
        ] {
            let [family, kind, protocol] = args;
            assert_eq!(
                answer("socket", [family, kind, protocol, 0, 0, 0]),
                expected,
                "{arch:?} {args:?}"
            );
        }
        // TCGETS, FIONREAD; clone(2) of fork(2) and of a thread; unshare(CLONE_FS | CLONE_FILES).
        for (name, index, value) in [
            ("ioctl", 1, 0x5401),
            ("ioctl", 1, 0x541b),
            ("clone", 0, 0x11),
            ("clone", 0, 0x3d_0f00),
            ("unshare", 0, 0x600),
            ("personality", 0, 0),
            ("personality", 0, 0xffff_ffff),
            ("personality", 0, 0x4_0000),
            ("socketpair", 0, 1),
        ] {
            let mut args = [0; 6];
            args[index] = value;
            assert_eq!(answer(name, args), ALLOW, "{arch:?} {name} {value:#x}");
        }
        assert_eq!(
            answer("personality", [0x40_0000, 0, 0, 0, 0, 0]),
            refused(Errno::NotPermitted)
        );
    }
}

#[test]
fn other_gates_and_unknown_numbers_are_shut() {
    let lists = lists();
    for arch in Architecture::ALL {
        for mode in MODES {
            let program =
                compile::program(&lists, arch, &[Grant::NestedUserns, Grant::IoUring], mode).unwrap();
            let answer = |number, audit_arch| {
                run(
                    &program,
                    &Call {
                        number,
                        audit_arch,
                        args: [0; 6],
                    },
                )
                .0
            };
            let unknown = ERRNO | libc::ENOSYS.unsigned_abs();
            let getppid = 110;
            assert_eq!(answer(getppid, audit(arch)), ALLOW);
            assert_eq!(answer(X32_BIT | getppid, audit(arch)), unknown);
            assert_eq!(answer(520, audit(arch)), unknown, "x32's execve without the bit");
            assert_eq!(answer(HIGHEST_REVIEWED + 1, audit(arch)), unknown);
            assert_eq!(answer(u32::MAX - 1, audit(arch)), unknown);
            assert_eq!(answer(u32::MAX, audit(arch)), ALLOW, "a call that a tracer skips");
            for other in [0x4000_0003, 0x4000_0028, 0xc000_00f3] {
                assert_eq!(answer(getppid, other), KILL, "i386, arm, riscv64");
            }
            for other in Architecture::ALL.into_iter().filter(|other| *other != arch) {
                assert_eq!(answer(getppid, audit(other)), KILL);
            }
        }
    }
}

#[test]
fn no_entry_stands_twice_and_reported_ones_can_be_told_apart() {
    let lists = lists();
    for arch in Architecture::ALL {
        let mut seen = HashSet::new();
        for entry in compile::entries(&lists, arch, &[]) {
            assert!(
                seen.insert(format!("{} {:?}", entry.syscall, entry.args)),
                "{entry:?}"
            );
        }
        let rows = compile::reported(&lists, arch).unwrap();
        let labels: HashSet<&String> = rows.iter().map(|row| &row.label).collect();
        assert_eq!(labels.len(), rows.len());
    }
}

#[test]
fn an_ordinary_call_with_conditions_is_decided_in_few_steps() {
    let lists = lists();
    for arch in Architecture::ALL {
        let program = compile::program(&lists, arch, &[], Mode::Starts).unwrap();
        let entry = compile::entries(&lists, arch, &[])
            .find(|entry| entry.syscall == "ioctl")
            .unwrap();
        let (answer, steps) = run(&program, &call(entry, arch, [0, 0x5401, 0, 0, 0, 0]));
        assert_eq!(answer, ALLOW);
        assert!(steps < 60, "{arch:?}: {steps}");
    }
}

#[test]
fn a_list_that_is_wrong_fails_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let read = |text: &str| {
        std::fs::write(folder.path().join("list.json"), text).unwrap();
        compile::read(folder.path())
    };
    let entry = |syscall: &str, why: &str, more: &str| {
        format!(
            r#"{{"about": "x", "entries": [{{"syscall": "{syscall}", "errno": "EPERM", "source": "x", "why": "{why}"{more}}}]}}"#
        )
    };
    assert!(read(&entry("mount", "x", "")).is_ok());
    assert!(matches!(
        read(&entry("mount", "", "")),
        Err(compile::ListError::Unexplained { .. })
    ));
    assert!(matches!(
        read(&entry("mount", "x", r#", "repotr": true"#)),
        Err(compile::ListError::Parse { .. })
    ));
    let unknown = read(&entry("muont", "x", "")).unwrap();
    let result = compile::program(&unknown, Architecture::X86, &[], Mode::Alone);
    assert!(matches!(result, Err(compile::ListError::UnknownCall { .. })));
    let x86_only = read(&entry("iopl", "x", "")).unwrap();
    assert!(compile::program(&x86_only, Architecture::X86, &[], Mode::Alone).is_ok());
    assert!(compile::program(&x86_only, Architecture::Arm, &[], Mode::Alone).is_err());
    let args =
        r#", "report": true, "args": [{"index": 0, "type": "dword", "op": "ne", "val": 1, "comment": "x"}]"#;
    let reported = read(&entry("mount", "x", args)).unwrap();
    let result = compile::reported(&reported, Architecture::X86);
    assert!(matches!(result, Err(compile::ListError::Comparison { .. })));
}
