//! Native code inside: this test binary itself, which is static, linked into the project and started there for one test
//! of its own, [`carry_out`], which makes the bare system calls of [`ATTACKS`] that a variable names and prints what the
//! kernel answered.
#![expect(unsafe_code, reason = "attacks are bare system calls")]

use super::support::{Ran, World};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::Command;

/// Names of attacks, with commas between.
const VARIABLE: &str = "ATTACKS";
/// Begins a line of the answer.
const ANSWER: &str = "attack-answer";

/// What an attack came to: the errno, 0 where it succeeded.
pub(crate) type Answers = BTreeMap<String, i32>;

type Attack = (&'static str, fn() -> i64);

/// Each call has arguments that do no harm where it is let through.
pub(crate) const ATTACKS: &[Attack] = &[
    ("io_uring_setup", || {
        call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0])
    }),
    ("io_uring_enter", || {
        call(libc::SYS_io_uring_enter, [MISSING, 0, 0, 0, 0, 0])
    }),
    ("io_uring_register", || {
        call(libc::SYS_io_uring_register, [MISSING, 0, 0, 0, 0, 0])
    }),
    ("bpf", || call(libc::SYS_bpf, [u64::MAX, 0, 0, 0, 0, 0])),
    ("perf_event_open", || {
        call(libc::SYS_perf_event_open, [0, 0, u64::MAX, u64::MAX, u64::MAX, 0])
    }),
    ("userfaultfd", || {
        call(libc::SYS_userfaultfd, [0xff00, 0, 0, 0, 0, 0])
    }),
    ("keyctl", || call(libc::SYS_keyctl, [u64::MAX, 0, 0, 0, 0, 0])),
    ("add_key", || call(libc::SYS_add_key, [0, 0, 0, 0, 0, 0])),
    ("request_key", || call(libc::SYS_request_key, [0, 0, 0, 0, 0, 0])),
    ("mount", || call(libc::SYS_mount, [0, BAD, 0, 0, 0, 0])),
    ("umount2", || call(libc::SYS_umount2, [BAD, 0, 0, 0, 0, 0])),
    ("pivot_root", || {
        call(libc::SYS_pivot_root, [BAD, BAD, 0, 0, 0, 0])
    }),
    ("open_tree", || {
        call(libc::SYS_open_tree, [MISSING, BAD, 0, 0, 0, 0])
    }),
    ("move_mount", || {
        call(libc::SYS_move_mount, [MISSING, BAD, MISSING, BAD, 0, 0])
    }),
    ("fsopen", || call(libc::SYS_fsopen, [BAD, 0, 0, 0, 0, 0])),
    ("fsconfig", || call(libc::SYS_fsconfig, [MISSING, 0, 0, 0, 0, 0])),
    ("fsmount", || call(libc::SYS_fsmount, [MISSING, 0, 0, 0, 0, 0])),
    ("fspick", || call(libc::SYS_fspick, [MISSING, BAD, 0, 0, 0, 0])),
    ("mount_setattr", || {
        call(libc::SYS_mount_setattr, [MISSING, BAD, 0, 0, 0, 0])
    }),
    ("setns", || call(libc::SYS_setns, [MISSING, 0, 0, 0, 0, 0])),
    ("unshare user", || {
        call(libc::SYS_unshare, [flag(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0])
    }),
    ("unshare mount", || {
        call(libc::SYS_unshare, [flag(libc::CLONE_NEWNS), 0, 0, 0, 0, 0])
    }),
    ("unshare time", || call(libc::SYS_unshare, [0x80, 0, 0, 0, 0, 0])),
    ("clone user", || {
        forked(call(
            libc::SYS_clone,
            [flag(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0, 0, 0, 0],
        ))
    }),
    ("clone3", || call(libc::SYS_clone3, [0, 0, 0, 0, 0, 0])),
    ("personality", || {
        call(libc::SYS_personality, [0x0400_0000, 0, 0, 0, 0, 0])
    }),
    ("kexec_load", || {
        call(libc::SYS_kexec_load, [0, u64::MAX, 0, 0, 0, 0])
    }),
    ("kexec_file_load", || {
        call(libc::SYS_kexec_file_load, [MISSING, MISSING, 0, 0, u64::MAX, 0])
    }),
    ("init_module", || call(libc::SYS_init_module, [0, 0, 0, 0, 0, 0])),
    ("finit_module", || {
        call(libc::SYS_finit_module, [MISSING, 0, u64::MAX, 0, 0, 0])
    }),
    ("delete_module", || {
        call(libc::SYS_delete_module, [BAD, 0, 0, 0, 0, 0])
    }),
    ("reboot", || call(libc::SYS_reboot, [0, 0, 0, 0, 0, 0])),
    ("swapon", || call(libc::SYS_swapon, [BAD, 0, 0, 0, 0, 0])),
    ("quotactl", || call(libc::SYS_quotactl, [0, BAD, 0, 0, 0, 0])),
    ("syslog", || call(libc::SYS_syslog, [u64::MAX, 0, 0, 0, 0, 0])),
    ("open_by_handle_at", || {
        call(libc::SYS_open_by_handle_at, [MISSING, BAD, 0, 0, 0, 0])
    }),
    ("name_to_handle_at", || {
        call(libc::SYS_name_to_handle_at, [MISSING, BAD, BAD, BAD, 0, 0])
    }),
    ("pidfd_getfd", || {
        call(libc::SYS_pidfd_getfd, [MISSING, 0, 0, 0, 0, 0])
    }),
    ("kcmp", || {
        call(libc::SYS_kcmp, [u64::from(u32::MAX), 0, u64::MAX, 0, 0, 0])
    }),
    ("af_vsock", || socket(libc::AF_VSOCK, libc::SOCK_STREAM)),
    ("af_alg", || socket(libc::AF_ALG, libc::SOCK_SEQPACKET)),
    ("af_packet", || socket(libc::AF_PACKET, libc::SOCK_RAW)),
    ("raw socket", || call(libc::SYS_socket, [2, 3, 1, 0, 0, 0])),
    ("netlink audit", || call(libc::SYS_socket, [16, 3, 9, 0, 0, 0])),
    ("af_unix", || socket(libc::AF_UNIX, libc::SOCK_STREAM)),
    ("netlink route", || call(libc::SYS_socket, [16, 3, 0, 0, 0, 0])),
    ("chroot", || {
        call(libc::SYS_chroot, [c".".as_ptr() as u64, 0, 0, 0, 0, 0])
    }),
    ("sethostname", || {
        call(libc::SYS_sethostname, [c"x".as_ptr() as u64, 1, 0, 0, 0, 0])
    }),
    ("memfd exec", memfd_exec),
    ("ptrace first", || call(libc::SYS_ptrace, [0x4206, 1, 0, 0, 0, 0])),
    ("pidfd_open first and getfd 3", || {
        call(
            libc::SYS_pidfd_getfd,
            [
                call(libc::SYS_pidfd_open, [1, 0, 0, 0, 0, 0]).cast_unsigned(),
                3,
                0,
                0,
                0,
                0,
            ],
        )
    }),
    ("seccomp listener of a second filter", second_listener),
    ("dumpable parent", || call(libc::SYS_prctl, [4, 1, 0, 0, 0, 0])),
    ("securebits", || call(libc::SYS_prctl, [28, 0, 0, 0, 0, 0])),
    ("fanotify of the file system", || {
        // FAN_CLASS_CONTENT lets the listener decide about opens.
        call(libc::SYS_fanotify_init, [4, 0, 0, 0, 0, 0])
    }),
    ("mknod device", || {
        // The kernel's memory, made anew.
        call(
            libc::SYS_mknodat,
            [HERE, c"mem".as_ptr() as u64, 0o020_600, 0x101, 0, 0],
        )
    }),
    ("int80 mount", int80_mount),
    ("x32 getpid", || call(0x4000_0000 + libc::SYS_getpid, [0; 6])),
];

/// The current directory (`AT_FDCWD`, -100).
const HERE: u64 = (-100_i64).cast_unsigned();
/// No descriptor.
const MISSING: u64 = 9999;
/// No address.
const BAD: u64 = 8;

fn flag(flags: i32) -> u64 {
    u64::from(flags.cast_unsigned())
}

fn call(number: i64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    // SAFETY: every caller gives arguments with which the call fails before it touches memory of ours, or doesn't
    // touch it: bad descriptors, addresses that are never mapped, or strings that live for ever.
    unsafe { libc::syscall(number, a, b, c, d, e, f) }
}

fn socket(family: i32, kind: i32) -> i64 {
    call(libc::SYS_socket, [flag(family), flag(kind), 0, 0, 0, 0])
}

/// Ends the child of a clone that worked.
fn forked(result: i64) -> i64 {
    if result == 0 {
        // SAFETY: the copy of this process ends without running anything else.
        unsafe { libc::_exit(0) };
    }
    result
}

fn memfd_exec() -> i64 {
    let descriptor = call(
        libc::SYS_memfd_create,
        [c"program".as_ptr() as u64, 0, 0, 0, 0, 0],
    );
    let path = format!("/proc/self/fd/{descriptor}");
    fs::write(&path, fs::read("/bin/true").unwrap()).unwrap();
    match Command::new(path).status() {
        Ok(status) if status.success() => 0,
        Ok(_) | Err(_) => -1,
    }
}

/// A filter with a listener of one's own would answer in the supervisor's place; the kernel allows one listener alone.
fn second_listener() -> i64 {
    let mut allow = [libc::sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: allow.as_mut_ptr(),
    };
    call(libc::SYS_prctl, [38, 1, 0, 0, 0, 0]);
    call(libc::SYS_seccomp, [1, 8, (&raw const program) as u64, 0, 0, 0])
}

#[cfg(target_arch = "x86_64")]
fn int80_mount() -> i64 {
    let mut result: i64 = 20; // getpid(2) of the 32-bit table.
    // SAFETY: the 32-bit gate takes its number in eax and clobbers nothing but eax and r8 to r11; getpid touches no memory.
    unsafe {
        std::arch::asm!("int 0x80", inout("rax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    if (-4095..0).contains(&result) { -1 } else { result }
}

#[cfg(not(target_arch = "x86_64"))]
fn int80_mount() -> i64 {
    -1
}

/// Links this binary into the project.
pub(crate) fn place(world: &World) {
    let path = world.project.join("attacker");
    let own = std::env::current_exe().unwrap();
    if fs::hard_link(&own, &path).is_err() && fs::symlink_metadata(&path).is_err() {
        fs::copy(&own, &path).unwrap();
    }
}

/// The shell line that carries attacks out.
pub(crate) fn line(names: &[&str]) -> String {
    format!(
        "{VARIABLE}='{}' ./attacker --exact attacker::carry_out --nocapture --test-threads=1",
        names.join(",")
    )
}

/// Those answers that a run printed. An attack that ended its process has none.
pub(crate) fn answers(ran: &Ran) -> Answers {
    ran.out
        .lines()
        // The harness prints the test's name without a line feed before.
        .filter_map(|line| line.split_once(ANSWER).map(|(_, rest)| rest))
        .map(|line| {
            let (errno, name) = line.trim().split_once(' ').unwrap();
            (name.to_owned(), errno.parse().unwrap())
        })
        .collect()
}

/// Carries attacks out in a run.
pub(crate) fn inside(world: &World, flags: &[&str], names: &[&str]) -> Answers {
    place(world);
    answers(&world.run(flags, &line(names)))
}

/// The same outside of any sandbox, with what the tests themselves may do (all, where they run as root).
pub(crate) fn outside(world: &World, names: &[&str]) -> Answers {
    place(world);
    let output = Command::new("sh")
        .args(["-c", &line(names)])
        .current_dir(&world.project)
        .output()
        .unwrap();
    answers(&Ran::from_output(&output))
}

/// The attacker's own process; as a test of the suite it does nothing.
#[test]
fn carry_out() {
    let Some(names) = std::env::var_os(VARIABLE) else {
        return;
    };
    for name in names.to_str().unwrap().split(',') {
        let (_, attack) = ATTACKS.iter().find(|(known, _)| *known == name).unwrap();
        let result = attack();
        let errno = if result < 0 {
            io::Error::last_os_error().raw_os_error().unwrap()
        } else {
            0
        };
        println!("{ANSWER} {errno} {name}");
    }
}
