//! The filter in the kernel: what it refuses, what it leaves open, and what is reported.

use crate::{
    compile::{self, Errno},
    confined::{confined, errno},
    lists, native,
};
use aca::{
    launch::linux::seccomp::{Observation, SeccompChoice, apply},
    policy::Grant,
    supervise::Event,
};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::{TcpListener, UdpSocket},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    thread,
};

/// What each entry of the strict filter is answered with: label, expected errno, whether it is reported, errno.
fn walk() -> Vec<(String, Errno, bool, i32)> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(
        status.contains("Seccomp:\t2\n"),
        "nothing is called without the filter"
    );
    compile::entries(&lists(), native(), &[])
        .map(|entry| {
            let label = entry.label.clone().unwrap_or_else(|| entry.syscall.clone());
            let number = compile::number(entry, native()).unwrap();
            (
                label,
                entry.errno,
                entry.report,
                errno(number, crate::lists::arguments(entry)),
            )
        })
        .collect()
}

#[test]
fn each_listed_call_is_refused_by_the_kernel() {
    let (results, events) = confined(&[], Observation::Nothing, walk);
    assert!(results.len() > 60);
    for (label, expected, _, got) in results {
        assert_eq!(got, expected.number(), "{label}");
    }
    assert_eq!(events, []);
}

#[test]
fn with_a_supervisor_the_answers_are_the_same_and_the_reported_ones_are_events() {
    for observe in [Observation::Refusals, Observation::Starts] {
        let (results, events) = confined(&[], observe, walk);
        let mut seen = BTreeMap::new();
        for event in events {
            assert!(event.is_denial());
            let Event::SyscallRefused {
                pid,
                name,
                errno,
                count,
            } = event
            else {
                panic!("{event:?}")
            };
            assert!(pid > 0);
            assert_eq!(count, 1);
            assert_eq!(seen.insert(name, errno), None);
        }
        for (label, expected, report, got) in results {
            assert_eq!(got, expected.number(), "{label}");
            assert_eq!(
                seen.remove(&label).as_deref(),
                report.then_some(expected.name()),
                "{label}"
            );
        }
        assert_eq!(seen, BTreeMap::new());
    }
}

#[test]
fn without_the_filter_the_same_calls_reach_the_kernel() {
    let calls: [(i64, [u64; 6]); 3] = [
        (
            libc::SYS_kcmp,
            [std::process::id().into(), std::process::id().into(), 1, 0, 0, 0],
        ),
        (libc::SYS_personality, [0x400_0000, 0, 0, 0, 0, 0]),
        (libc::SYS_socket, [16, 3, 4, 0, 0, 0]),
    ];
    let free = thread::spawn(move || calls.map(|(number, args)| errno(number, args)))
        .join()
        .unwrap();
    assert_eq!(free, [0, 0, 0]);
    let (refused, _) = confined(&[], Observation::Nothing, move || {
        calls.map(|(number, args)| errno(number, args))
    });
    assert_eq!(refused, [libc::EPERM, libc::EPERM, libc::EPROTONOSUPPORT]);
}

/// CVE-2019-10063: the high half of the request, which the kernel ignores, got past the filter.
#[test]
fn terminal_injection_is_refused_whatever_the_high_bits_say() {
    let (results, events) = confined(&[], Observation::Refusals, || {
        [0x5412, 0xdead_0000_5412, 0xffff_ffff_0000_5412, 0x1_0000_541c]
            .map(|request| errno(libc::SYS_ioctl, [u64::MAX, request, 0, 0, 0, 0]))
    });
    assert_eq!(results, [libc::EPERM; 4]);
    let refused: Vec<&str> = events
        .iter()
        .map(|event| match event {
            Event::SyscallRefused { name, .. } => name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        refused.contains(&"ioctl(TIOCSTI)") && refused.contains(&"ioctl(TIOCLINUX)"),
        "{refused:?}"
    );
}

#[test]
fn ordinary_and_debugging_calls_stay_open() {
    let ((), events) = confined(&[], Observation::Starts, || {
        let name = c"x".as_ptr().addr() as u64;
        assert_eq!(errno(libc::SYS_memfd_create, [name, 0, 0, 0, 0, 0]), 0);
        assert_eq!(
            errno(libc::SYS_pidfd_open, [std::process::id().into(), 0, 0, 0, 0, 0]),
            0
        );
        assert_eq!(
            errno(libc::SYS_socket, [16, 3 | 0o2_000_000, 0, 0, 0, 0]),
            0,
            "netlink route"
        );
        assert_eq!(
            errno(libc::SYS_unshare, [0x600, 0, 0, 0, 0, 0]),
            0,
            "CLONE_FS | CLONE_FILES"
        );
        assert_eq!(errno(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]), 0);
        assert_eq!(
            errno(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0, 0]),
            0,
            "asks for the version"
        );
        assert_eq!(errno(libc::SYS_sched_yield, [0; 6]), 0);
        let (mut one, _other) = UnixStream::pair().unwrap();
        one.write_all(b"x").unwrap();
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        thread::spawn(|| ()).join().unwrap();
        let mut child = Command::new("/bin/cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id().into();
        assert_eq!(
            errno(libc::SYS_ptrace, [0x4206, pid, 0, 0, 0, 0]),
            0,
            "PTRACE_SEIZE"
        );
        assert_eq!(errno(libc::SYS_process_vm_readv, [pid, 0, 0, 0, 0, 0]), 0);
        drop(child.stdin.take());
        child.kill().unwrap();
        let _status = child.wait().unwrap();
    });
    assert_eq!(
        events.iter().filter(|event| event.is_denial()).count(),
        0,
        "{events:?}"
    );
}

/// A filter of the program's own can be put on top.
#[test]
fn programs_can_bring_their_own_filter() {
    let (result, _) = confined(&[], Observation::Starts, || {
        let own = seccompiler::SeccompFilter::new(
            [(libc::SYS_getppid, vec![])].into(),
            seccompiler::SeccompAction::Allow,
            seccompiler::SeccompAction::Errno(libc::EDOM.unsigned_abs()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let own: seccompiler::BpfProgram = own.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&own).unwrap();
        errno(libc::SYS_getppid, [0; 6])
    });
    assert_eq!(result, libc::EDOM);
}

#[test]
fn grants_open_their_group_and_no_other() {
    let probe = || {
        [
            errno(libc::SYS_unshare, [0x1000_0000, 0, 0, 0, 0, 0]),
            errno(libc::SYS_open_tree, [u64::MAX, 0, 0, 0, 0, 0]),
            errno(libc::SYS_clone3, [0, 0, 0, 0, 0, 0]),
            errno(libc::SYS_io_uring_setup, [0, 0, 0, 0, 0, 0]),
            errno(libc::SYS_bpf, [u64::MAX, 0, 0, 0, 0, 0]),
        ]
    };
    let free_ring = errno(libc::SYS_io_uring_setup, [0; 6]);
    let (strict, _) = confined(&[], Observation::Nothing, probe);
    assert_eq!(
        strict,
        [libc::EPERM, libc::EPERM, libc::ENOSYS, libc::ENOSYS, libc::EPERM]
    );
    // A process of several threads gets no user namespace: EINVAL is the kernel's own answer, as EFAULT for no path
    // and EINVAL for arguments of no size.
    let (nested, events) = confined(&[Grant::NestedUserns], Observation::Refusals, probe);
    assert_eq!(
        nested,
        [
            libc::EINVAL,
            libc::EFAULT,
            libc::EINVAL,
            libc::ENOSYS,
            libc::EPERM
        ]
    );
    assert_eq!(events.len(), 1, "{events:?}");
    let (ring, _) = confined(&[Grant::IoUring], Observation::Nothing, probe);
    assert_eq!(
        ring,
        [libc::EPERM, libc::EPERM, libc::ENOSYS, free_ring, libc::EPERM]
    );
    let (both, _) = confined(
        &[Grant::NestedUserns, Grant::IoUring, Grant::Fuse],
        Observation::Nothing,
        probe,
    );
    assert_eq!(
        both,
        [libc::EINVAL, libc::EFAULT, libc::EINVAL, free_ring, libc::EPERM]
    );
}

/// Only one filter of a process may have a listener, so inside another's (aca in aca) the kernel answers.
#[test]
fn without_a_listener_the_same_calls_are_refused() {
    let ((inner, results), events) = confined(&[], Observation::Starts, || {
        let inner = apply(&SeccompChoice::from_grants(&[], Observation::Starts)).unwrap();
        let started = Command::new("/bin/true").status().unwrap().success();
        assert!(started, "the outer supervisor still answers");
        (inner.is_some(), walk())
    });
    assert!(!inner);
    for (label, expected, _, got) in results {
        assert_eq!(got, expected.number(), "{label}");
    }
    assert_eq!(
        events.iter().filter(|event| event.is_denial()).count(),
        0,
        "the inner filter answers first"
    );
}

#[test]
fn without_no_new_privs_there_is_no_filter_and_an_error() {
    let result = thread::spawn(|| {
        nix::unistd::geteuid()
            .is_root()
            .then(|| caps::clear(None, caps::CapSet::Effective).unwrap());
        apply(&SeccompChoice::from_grants(&[], Observation::Starts)).map(|_| ())
    });
    let error = result.join().unwrap().unwrap_err();
    assert_eq!(error.source.raw_os_error(), Some(libc::EACCES));
}

/// A supervisor that is gone lets nothing through.
#[test]
fn a_lost_supervisor_fails_closed() {
    let (mount, start) = thread::spawn(|| {
        nix::sys::prctl::set_no_new_privs().unwrap();
        drop(
            apply(&SeccompChoice::from_grants(&[], Observation::Starts))
                .unwrap()
                .unwrap(),
        );
        let mount = errno(libc::SYS_mount, [u64::MAX; 6]);
        (mount, Command::new("/bin/true").status().unwrap_err())
    })
    .join()
    .unwrap();
    assert_eq!(mount, libc::ENOSYS);
    assert_eq!(start.raw_os_error(), Some(libc::ENOSYS));
}

#[test]
fn a_flood_of_refused_calls_is_a_few_events() {
    let ((), events) = confined(&[], Observation::Refusals, || {
        for _ in 0..20_000 {
            assert_eq!(errno(libc::SYS_mount, [u64::MAX; 6]), libc::EPERM);
        }
    });
    let counts = events.iter().map(|event| match event {
        Event::SyscallRefused { name, count, .. } if name == "mount" => *count,
        other => panic!("{other:?}"),
    });
    assert_eq!(counts.sum::<u64>(), 20_000, "none is lost");
    assert!(events.len() < 200, "{}", events.len());
}
