//! Process starts as the supervisor sees them.

use crate::confined::{confined, errno};
use aca::{launch::linux::seccomp::Observation, policy::Grant, supervise::Event};
use std::{
    ffi::{CString, OsStr},
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    process::{Command, Stdio},
};

fn starts(grants: &[Grant], body: impl FnOnce() + Send + 'static) -> Vec<(i32, String, Vec<String>)> {
    let ((), events) = confined(grants, Observation::Starts, body);
    let start = |event| match event {
        Event::ProcessStart { pid, path, argv } => (pid, path, argv),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(start).collect()
}

fn run(command: &mut Command) {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn path_and_arguments_are_seen() {
    let seen = starts(&[], || run(Command::new("/bin/echo").args(["one", "", "zwölf"])));
    let [(pid, path, argv)] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert!(*pid > 0);
    assert_eq!(path, "/bin/echo");
    assert_eq!(*argv, ["/bin/echo", "one", "", "zwölf"]);
}

#[test]
fn what_is_read_is_bounded_and_made_text() {
    let long = "x".repeat(100_000);
    let seen = starts(&[], move || {
        run(Command::new("/bin/true").args([&long, &long, &long]));
        run(Command::new("/bin/true").args(vec!["y"; 10_000]));
        run(Command::new("/bin/true").arg(OsStr::from_bytes(b"\xff\n")));
        run(Command::new("/bin/true").arg("z".repeat(1000)));
    });
    let [(_, _, long), (_, _, many), (_, _, bytes), (_, _, whole)] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    let lengths: Vec<usize> = long.iter().map(String::len).collect();
    assert_eq!(lengths, [9, 4096, 8192 - 4096 - 9]);
    assert_eq!(many.len(), 16);
    assert_eq!(*bytes, ["/bin/true", "\u{fffd}\n"]);
    assert_eq!(*whole, ["/bin/true", &"z".repeat(1000)]);
}

/// `execvp(3)` tries the folders of `PATH` one by one; only what is there is a start.
#[test]
fn a_search_is_one_start() {
    for grants in [&[][..], &[Grant::NestedUserns]] {
        let seen = starts(grants, || {
            let path = "/nowhere:/usr/lib:/etc/passwd:/usr/bin:/bin";
            for _ in 0..3 {
                run(Command::new("true").env_clear().env("PATH", path));
            }
            let _missing = Command::new("/nowhere/at/all").status().unwrap_err();
        });
        let paths: Vec<&str> = seen.iter().map(|(_, path, _)| path.as_str()).collect();
        assert_eq!(paths, ["/usr/bin/true"; 3], "{grants:?}");
    }
}

/// What appears behind a path that was absent before is a start all the same.
#[test]
fn absence_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("late");
    let path = program.to_str().unwrap().to_owned();
    let seen = starts(&[], move || {
        let _missing = Command::new(&program).status().unwrap_err();
        let _bytes = fs::copy("/bin/true", &program).unwrap();
        run(&mut Command::new(&program));
    });
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].1, path);
}

/// A link that leads elsewhere for us than for the caller doesn't hide a start.
#[test]
fn links_hide_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("self");
    std::os::unix::fs::symlink("/proc/self/root/bin/true", &link).unwrap();
    let path = link.to_str().unwrap().to_owned();
    let seen = starts(&[], move || run(&mut Command::new(&link)));
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].1, path);
}

#[test]
fn a_start_by_descriptor_is_seen() {
    let seen = starts(&[], || {
        // The calling thread would become the program, so the kernel is made to refuse: the flag doesn't exist.
        let file = File::open("/usr/bin/true").unwrap();
        let empty = c"".as_ptr().addr() as u64;
        let descriptor = u64::try_from(file.as_raw_fd()).unwrap();
        let flags = u64::try_from(libc::AT_EMPTY_PATH).unwrap() | 0x4000_0000;
        assert_eq!(
            errno(libc::SYS_execveat, [descriptor, empty, 0, 0, flags, 0]),
            libc::EINVAL
        );
    });
    assert_eq!(seen.len(), 1, "{seen:?}");
    let real = fs::read_link("/usr/bin/true").map_or("/usr/bin/true".into(), |link| link);
    assert!(
        seen[0].1.ends_with(real.file_name().unwrap().to_str().unwrap()),
        "{seen:?}"
    );
}

/// Pointers at nothing, at the end of memory, and at lists without an end.
#[test]
fn wild_pointers_harm_nobody() {
    let seen = starts(&[], || {
        let path = CString::new("/").unwrap();
        let path = path.as_ptr().addr() as u64;
        let unended = [path; 4];
        let unended = unended.as_ptr().addr() as u64;
        for (path, argv) in [
            (0, 0),
            (1, 1),
            (u64::MAX, u64::MAX),
            (u64::MAX - 4095, 0),
            (path, 1),
            (path, u64::MAX),
            (path, unended),
        ] {
            assert_ne!(errno(libc::SYS_execve, [path, argv, 0, 0, 0, 0]), 0);
        }
    });
    // The root folder is there, so the last three count as starts, though the kernel refuses them.
    assert_eq!(
        seen.iter().map(|(_, path, _)| path.as_str()).collect::<Vec<_>>(),
        ["/"; 3]
    );
}

#[test]
fn a_flood_of_starts_is_counted_and_not_written() {
    let tries = 100_000;
    let ((), events) = confined(&[], Observation::Starts, move || {
        let path = c"/".as_ptr().addr() as u64;
        for _ in 0..tries {
            assert_eq!(errno(libc::SYS_execve, [path, 0, 0, 0, 0, 0]), libc::EACCES);
        }
    });
    let mut written = 0;
    let mut dropped = 0;
    for event in events {
        match event {
            Event::ProcessStart { .. } => written += 1,
            Event::Dropped { count, kind } if kind == "process_start" => dropped += count,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written + dropped, tries, "every one is counted");
    assert!(written >= 5_000 && dropped > 0, "{written} {dropped}");
}
