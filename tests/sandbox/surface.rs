//! P cases, second part: what surrounds a process rather than the calls that it makes, which are in `process`.

use super::attacker::{inside, outside};
use super::support::{Ran, World, has, skip, uid};
use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

/// The same script on the host, as the same user.
fn host(world: &World, script: &str) -> Ran {
    Ran::from_output(&world.command("sh").args(["-c", script]).output().unwrap())
}

#[test]
fn p06_p13_settings_of_the_kernel_are_on_read_only_mounts() {
    let world = World::new();
    // Options of the mounts at and below these places (proc_pid_mountinfo(5): the sixth field).
    let options = |text: &str, place: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|fields| Path::new(fields[4]).starts_with(place))
            .map(|fields| fields[5].to_owned())
            .collect()
    };
    let inside = world.run(&[], "cat /proc/self/mountinfo");
    for place in ["/proc/sys", "/sys"] {
        let found = options(inside.ok(), place);
        assert!(!found.is_empty(), "{place} is a mount of its own");
        for option in found {
            assert!(
                ["ro", "nosuid", "nodev", "noexec"]
                    .iter()
                    .all(|wanted| option.split(',').any(|word| word == *wanted)),
                "{place}: {option}"
            );
        }
    }
    // Nothing at all that comes from the host takes devices or set-user-id programs.
    for option in options(inside.ok(), "/") {
        let has = |wanted| option.split(',').any(|word| word == wanted);
        assert!(has("nosuid"), "{inside:#?}");
    }
    // Outside the settings are on the writable /proc, and have no mount of their own.
    let outside = host(&world, "cat /proc/self/mountinfo");
    assert!(
        options(outside.ok(), "/proc/sys")
            .iter()
            .all(|option| !option.starts_with("ro"))
    );
}

#[test]
fn p07_a_run_in_a_run_is_explained_and_by_the_grant_it_works() {
    let world = World::new();
    let aca = world.aca.display().to_string();
    let script = format!("{aca} run -- sh -c 'echo within; grep Seccomp_filters /proc/self/status'");
    let ran = world.run(&["--read", &aca], &script);
    assert_eq!(ran.code, 125, "{ran:#?}");
    assert!(
        !ran.out.contains("within"),
        "never without a sandbox of its own: {ran:#?}"
    );
    assert!(
        ran.err.contains("the inside of a run already") && ran.err.contains("--grant nested-userns"),
        "{ran:#?}"
    );
    let ran = world.run(&["--read", &aca, "--grant", "nested-userns"], &script);
    assert_eq!(ran.ok(), "within\nSeccomp_filters:\t2", "{ran:#?}");
    // The inner run hides what it hides anywhere, and so does the outer one beneath it.
    world.file(".env", "TOKEN=geheim");
    fs::write(world.outside.join("secret"), "geheim").unwrap();
    let look = format!(
        "{aca} run -- sh -c 'cat .env {}/secret; umount .env; cat .env; echo looked'",
        world.outside.display()
    );
    let ran = world.run(&["--read", &aca, "--grant", "nested-userns"], &look);
    assert_eq!(ran.ok(), "looked", "{ran:#?}");
}

#[test]
fn p08_another_sandbox_inside_works_by_the_grant_alone() {
    if !has("bwrap") {
        return;
    }
    let world = World::new();
    world.file("data", "data");
    let script = "bwrap --ro-bind / / --tmpfs /tmp --proc /proc --dev /dev --ro-bind data /etc/resolv.conf \
                  --unshare-all cat /etc/resolv.conf";
    if host(&world, script).code != 0 {
        return skip("bwrap", "it doesn't work outside either");
    }
    let ran = world.run(&[], script);
    assert!(ran.refused().err.contains("namespace"), "{ran:#?}");
    let ran = world.run(&["--grant", "nested-userns"], script);
    assert_eq!(ran.ok(), "data", "{ran:#?}");
}

#[test]
fn p09_tracing_one_s_own_children_works() {
    if !has("strace") {
        return;
    }
    let world = World::new();
    let ran = world.run(
        &[],
        "strace -f -e trace=execve -o trace sh -c 'true; /bin/echo hi' && grep -c execve trace",
    );
    assert_eq!(ran.ok(), "hi\n2", "{ran:#?}");
}

#[test]
fn p10_ps_shows_the_run_alone() {
    if !has("ps") {
        return;
    }
    let world = World::new();
    let count = |ran: &Ran| ran.ok().lines().count();
    // The first process, the shell, `ps`.
    let inside = world.run(&[], "ps -e -o pid=; true");
    assert_eq!(count(&inside), 3, "{inside:#?}");
    let outside = host(&world, "ps -e -o pid=; true");
    assert!(count(&outside) > 3, "{outside:#?}");
}

#[test]
fn p11_a_set_user_id_program_runs_as_the_one_who_starts_it() {
    let own = rustix::process::getuid();
    if !own.is_root() {
        return skip("root", "a set-user-id program of another user's is needed");
    }
    let world = World::new();
    let program = world.project.join("id");
    fs::copy("/usr/bin/id", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let script = "./id -u";
    if host(&world, script).ok() != "0" {
        return skip("set-user-id", "the scratch directory takes none");
    }
    assert_eq!(world.run(&[], script).ok(), uid().to_string());
    // Nor with capabilities of a nested namespace.
    let nested = world.run(&["--grant", "nested-userns"], script);
    assert_eq!(nested.ok(), uid().to_string());
}

#[test]
fn p12_secure_bits_are_set_and_locked() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let script = "python3 -c 'import ctypes; print(hex(ctypes.CDLL(None).prctl(27, 0, 0, 0, 0)))'";
    // NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE with their locks, KEEP_CAPS locked as off (capabilities(7)).
    assert_eq!(world.run(&[], script).ok(), "0xef");
    assert_eq!(host(&world, script).ok(), "0x0");
    let change = ["securebits"];
    assert_eq!(inside(&world, &[], &change)["securebits"], libc::EPERM);
    if rustix::process::getuid().is_root() {
        assert_eq!(outside(&world, &change)["securebits"], 0);
    }
}

#[test]
fn p14_queues_and_shared_memory_by_name_are_the_run_s_own() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let name = format!("aca-{}", std::process::id());
    let queue = |oflag: u32| {
        format!(
            "python3 -c 'import ctypes; c = ctypes.CDLL(None, use_errno=True); \
             print(c.mq_open(b\"/{name}\", {oflag}, 0o600, None) >= 0, ctypes.get_errno())'"
        )
    };
    // O_CREAT, then without it.
    let made = host(&world, &queue(0o100));
    let shared = Path::new("/dev/shm").join(&name);
    fs::write(&shared, "host").unwrap();
    let look = format!("{}; cat /dev/shm/{name} 2> /dev/null || echo none", queue(0));
    let there = world.run(&[], &look);
    let outside = host(&world, &look);
    fs::remove_file(&shared).unwrap();
    let unlink = format!("python3 -c 'import ctypes; ctypes.CDLL(None).mq_unlink(b\"/{name}\")'");
    host(&world, &unlink).ok();
    assert_eq!(there.ok(), format!("False {}\nnone", libc::ENOENT));
    assert!(made.ok().starts_with("True"), "{made:#?}");
    assert_eq!(outside.ok(), "True 0\nhost");
    // Both work among the programs of a run.
    let ran = world.run(
        &[],
        &format!(
            "{}; {}; echo x > /dev/shm/x && cat /dev/shm/x",
            queue(0o100),
            queue(0)
        ),
    );
    assert_eq!(ran.ok(), "True 0\nTrue 0\nx");
}

#[test]
fn p16_limits_hold_for_all_of_a_run() {
    let world = World::new();
    // Started and kept, until it is refused or there are many.
    let many = "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i + 1)); done 2> /dev/null; echo $i";
    assert_eq!(world.run(&[], many).ok(), "60");
    let ran = world.run(&["--processes", "40"], many);
    assert!(!ran.out.contains("60"), "{ran:#?}");

    let big = "head -c 2000000 /dev/zero > big; stat -c %s big";
    assert_eq!(world.run(&[], big).ok(), "2000000");
    fs::remove_file(world.project.join("big")).unwrap();
    let ran = world.run(&["--file-size", "1M"], big);
    assert_eq!(ran.ok(), "1048576", "{ran:#?}");

    // A limit that can't be held here is no run, rather than a run without it.
    let ran = world.run(
        &["--memory", "64M"],
        "echo started; head -c 256M /dev/zero | tail | wc -c",
    );
    if ran.code == 125 {
        assert!(
            ran.out.is_empty() && ran.err.contains("delegated control group"),
            "{ran:#?}"
        );
    } else {
        assert!(!ran.out.contains("268435456"), "{ran:#?}");
    }
}

#[test]
fn p17_descriptors_of_the_caller_are_not_there_to_be_used() {
    if !has("bash") || !has("python3") {
        return;
    }
    let world = World::new();
    fs::write(world.outside.join("file"), "host").unwrap();
    let try_it = "import os\n\
                  for number in range(3, 1024):\n\
                  \x20   try: print(os.read(os.open(\"file\", os.O_RDONLY, dir_fd=number), 9))\n\
                  \x20   except OSError: pass\n\
                  \x20   try: os.open(\"new\", os.O_CREAT | os.O_WRONLY, dir_fd=number); print(\"written\")\n\
                  \x20   except OSError: pass\n\
                  \x20   try: os.fchdir(number); print(os.getcwd())\n\
                  \x20   except OSError: pass\n";
    let with = |before: &str| {
        let mut command = world.command("bash");
        command
            .arg("-c")
            .arg(format!(
                "exec 20< \"$OUTSIDE\" 500< \"$OUTSIDE\"; {before} python3 -c \"$TRY\""
            ))
            .env("OUTSIDE", &world.outside)
            .env("TRY", try_it)
            .env("ACA", &world.aca);
        Ran::from_output(&command.output().unwrap())
    };
    assert_eq!(with("\"$ACA\" run --").ok(), "");
    assert!(fs::symlink_metadata(world.outside.join("new")).is_err());
    let outside = with("");
    assert!(outside.ok().contains("b'host'\nwritten\n"), "{outside:#?}");
}

#[test]
fn p18_sockets_without_a_path_are_in_a_space_of_the_run_s_own() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let name = format!("aca-p18-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "python3 -c 'import socket\nfor kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n\
         \x20 s = socket.socket(socket.AF_UNIX, kind)\n\
         \x20 try: s.connect(\"\\0{name}\"); print(\"connected\")\n\
         \x20 except OSError as error: print(error.errno)'"
    );
    let refused = libc::ECONNREFUSED;
    assert_eq!(world.run(&[], &script).ok(), format!("{refused}\n{refused}"));
    let outside = host(&world, &script);
    assert!(outside.ok().starts_with("connected\n"), "{outside:#?}");
    // The name is free inside.
    let own = format!(
        "python3 -c 'import socket; a = socket.socket(socket.AF_UNIX); a.bind(\"\\0{name}\"); a.listen(); \
         b = socket.socket(socket.AF_UNIX); b.connect(\"\\0{name}\"); print(\"own\")'"
    );
    assert_eq!(world.run(&[], &own).ok(), "own");
}

#[test]
fn p19_a_socket_is_granted_by_its_path_and_no_other_with_it() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let paths = ["granted", "other"].map(|name| world.outside.join(name));
    let _listeners = paths.each_ref().map(|path| {
        let listener = UnixListener::bind(path).unwrap();
        world.give(path);
        listener
    });
    let script = format!(
        "python3 -c 'import socket\nfor name in (\"granted\", \"other\"):\n\
         \x20 try: socket.socket(socket.AF_UNIX).connect(\"{}/\" + name); print(name)\n\
         \x20 except OSError: pass'",
        world.outside.display()
    );
    assert_eq!(world.run(&[], &script).ok(), "");
    let granted = paths[0].display().to_string();
    assert_eq!(world.run(&["--read", &granted], &script).ok(), "granted");
    assert_eq!(host(&world, &script).ok(), "granted\nother");
}
