//! P cases: processes and the kernel's surface.

use super::attacker::{ATTACKS, Answers, inside, line, outside, place};
use super::support::{Ran, World, has, skip};
use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

const EPERM: i32 = libc::EPERM;
const ENOSYS: i32 = libc::ENOSYS;
const EAFNOSUPPORT: i32 = libc::EAFNOSUPPORT;

/// Attacks that the filter answers, and the errno.
const REFUSED: &[(&str, i32)] = &[
    ("io_uring_setup", ENOSYS),
    ("io_uring_enter", ENOSYS),
    ("io_uring_register", ENOSYS),
    ("bpf", EPERM),
    ("perf_event_open", EPERM),
    ("userfaultfd", EPERM),
    ("keyctl", ENOSYS),
    ("add_key", ENOSYS),
    ("request_key", ENOSYS),
    ("mount", EPERM),
    ("umount2", EPERM),
    ("pivot_root", EPERM),
    ("open_tree", EPERM),
    ("move_mount", EPERM),
    ("fsopen", EPERM),
    ("fsconfig", EPERM),
    ("fsmount", EPERM),
    ("fspick", EPERM),
    ("mount_setattr", EPERM),
    ("setns", EPERM),
    ("unshare user", EPERM),
    ("unshare mount", EPERM),
    ("unshare time", EPERM),
    ("clone user", EPERM),
    ("clone3", ENOSYS),
    ("personality", EPERM),
    ("kexec_load", EPERM),
    ("kexec_file_load", EPERM),
    ("init_module", EPERM),
    ("finit_module", EPERM),
    ("delete_module", EPERM),
    ("reboot", EPERM),
    ("swapon", EPERM),
    ("quotactl", EPERM),
    ("syslog", EPERM),
    ("open_by_handle_at", EPERM),
    ("name_to_handle_at", EPERM),
    ("pidfd_getfd", EPERM),
    ("kcmp", EPERM),
    ("af_vsock", EAFNOSUPPORT),
    ("af_alg", EAFNOSUPPORT),
    ("af_packet", EAFNOSUPPORT),
    ("raw socket", EPERM),
    ("netlink audit", libc::EPROTONOSUPPORT),
];

/// Attacks that the kernel itself refuses, for want of a capability or of what they reach for.
const POWERLESS: &[&str] = &[
    "chroot",
    "sethostname",
    "ptrace first",
    "pidfd_open first and getfd 3",
    "seccomp listener of a second filter",
    "securebits",
    "fanotify of the file system",
    "mknod device",
];

fn names(list: &[(&'static str, i32)]) -> Vec<&'static str> {
    list.iter().map(|(name, _)| *name).collect()
}

#[test]
fn p02_p03_p05_p06_p13_calls_into_the_kernel_are_refused() {
    let world = World::new();
    let names = names(REFUSED);
    let inside = inside(&world, &[], &names);
    let expected: Answers = REFUSED
        .iter()
        .map(|(name, errno)| ((*name).to_owned(), *errno))
        .collect();
    assert_eq!(inside, expected);
    if !rustix::process::getuid().is_root() {
        return skip("root", "that the kernel answers otherwise shows only as root");
    }
    // Outside the kernel says something else to the same call, or the machine has no such call.
    let outside = outside(&world, &names);
    assert_eq!(outside.len(), names.len(), "{outside:?}");
    let same: Vec<&str> = names
        .into_iter()
        .filter(|name| outside[*name] == inside[*name] && outside[*name] == EPERM)
        .collect();
    assert_eq!(same, [] as [&str; 0], "{outside:?}");
}

#[test]
fn p06_p10_p12_calls_that_want_a_capability_are_refused() {
    let world = World::new();
    let inside = inside(&world, &[], POWERLESS);
    assert_eq!(inside.len(), POWERLESS.len(), "{inside:?}");
    let succeeded: Vec<_> = inside.iter().filter(|(_, errno)| **errno == 0).collect();
    assert!(succeeded.is_empty(), "{succeeded:?}");
    if rustix::process::getuid().is_root() {
        for name in [
            "chroot",
            "securebits",
            "fanotify of the file system",
            "mknod device",
        ] {
            assert_eq!(outside(&world, &[name])[name], 0, "{name} outside");
        }
    }
    let device = world.project.join("mem");
    assert!(fs::symlink_metadata(device).is_ok() == rustix::process::getuid().is_root());
}

#[test]
fn p01_p02_ordinary_sockets_and_programs_in_memory_work() {
    let world = World::new();
    let answers = inside(&world, &[], &["af_unix", "netlink route", "memfd exec"]);
    assert!(
        answers.values().all(|errno| *errno == 0) && answers.len() == 3,
        "{answers:?}"
    );
}

#[test]
fn p04_other_gates_of_the_kernel_are_shut() {
    let world = World::new();
    for name in ["x32 getpid", "int80 mount"] {
        let answers = inside(&world, &[], &[name]);
        // Killed by SIGSYS, or refused.
        assert_ne!(answers.get(name), Some(&0), "{name}");
    }
    if cfg!(target_arch = "x86_64") && outside(&world, &["int80 mount"])["int80 mount"] != 0 {
        skip("32-bit calls", "this machine's kernel has none");
    }
}

#[test]
fn p05_each_grant_changes_what_it_names_and_nothing_else() {
    let world = World::new();
    let all: Vec<&str> = ATTACKS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !["x32 getpid", "int80 mount"].contains(name))
        .collect();
    // One run for each call, since some change the process that makes them.
    place(&world);
    let script: String = all.iter().map(|name| line(&[name]) + "\n").collect();
    let ask = |flags: &[&str]| super::attacker::answers(&world.run(flags, &script));
    let plain = ask(&[]);
    assert_eq!(plain.len(), all.len());
    let changed = |grant: &str| -> BTreeSet<String> {
        let granted = ask(&["--grant", grant]);
        assert_eq!(granted.len(), all.len(), "{grant}");
        plain
            .iter()
            .filter(|(name, errno)| granted[*name] != **errno)
            .map(|(name, _)| name.clone())
            .collect()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        changed("io-uring"),
        set(&["io_uring_setup", "io_uring_enter", "io_uring_register"])
    );
    if fs::symlink_metadata("/dev/fuse").is_ok() {
        assert_eq!(changed("fuse"), set(&[]));
    }
    let namespaces = changed("nested-userns");
    // What a sandbox of one's own begins with. The rest of what the grant names wants capabilities in it, so that the
    // kernel refuses this process as the filter did.
    let begins = set(&[
        "unshare user",
        "clone user",
        "clone3",
        "setns",
        "mount",
        "open_tree",
    ]);
    let named = set(&[
        "unshare user",
        "unshare mount",
        "unshare time",
        "clone user",
        "clone3",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
    ]);
    assert!(namespaces.is_superset(&begins), "{namespaces:?}");
    assert!(namespaces.is_subset(&named), "{namespaces:?}");
}

#[test]
fn p10_processes_outside_do_not_exist() {
    let world = World::new();
    let mut bait = world.command("sleep").arg("1000").spawn().unwrap();
    let id = bait.id();
    let marker = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap();
    assert!(marker.contains("sleep") || marker.contains("aca"), "{marker}");
    let ran = world.run(
        &[],
        &format!(
            "cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' '; echo; ls -d /proc/[0-9]* | wc -l; \
             kill -9 {id} 2> /dev/null && echo KIL''LED; cat /proc/{id}/environ /proc/{id}/mem 2> /dev/null; \
             echo ppid $PPID; [ $PPID = 1 ] && kill -9 -1; true"
        ),
    );
    assert!(!ran.out.contains("sleep 1000"), "{ran:#?}");
    assert!(!ran.out.contains("KILLED"), "{ran:#?}");
    assert!(ran.out.contains("ppid 1\n"), "{ran:#?}");
    assert!(bait.try_wait().unwrap().is_none(), "it was killed from inside");
    // The same user's processes outside can do both.
    let seen = Command::new("sh")
        .args(["-c", &format!("kill -9 {id}")])
        .status()
        .unwrap();
    assert!(seen.success());
    bait.wait().unwrap();
}

#[test]
fn p10_the_first_process_shows_nothing() {
    let world = World::new();
    let looks = "for f in mem environ maps auxv stack syscall io personality; do cat /proc/$P/$f > /dev/null 2>&1 && echo $f; done; \
                 for f in exe root cwd ns/mnt ns/user fd/0; do readlink /proc/$P/$f > /dev/null 2>&1 && echo $f; done; \
                 ls /proc/$P/fd /proc/$P/map_files > /dev/null 2>&1 && echo list; true";
    let ran = world.run(&[], &format!("P=1; {looks}"));
    assert_eq!(ran.ok(), "");
    // Of one's own process the same looks show something.
    let ran = world.run(&[], &format!("P=$$; {looks}"));
    assert!(
        ran.ok().contains("environ\n") && ran.ok().contains("exe\n"),
        "{ran:#?}"
    );
}

#[test]
fn p11_set_user_id_programs_give_nothing() {
    let world = World::new();
    let ran = world.run(
        &[],
        "for p in su sudo mount passwd; do f=$(command -v $p) && [ -u $f ] && echo has $p; done; \
         echo x | su -c id 2> /dev/null; sudo -n id 2> /dev/null; grep NoNewPrivs /proc/self/status; id -u",
    );
    assert!(ran.out.contains("NoNewPrivs:\t1\n"), "{ran:#?}");
    assert!(!ran.out.contains("uid=0"), "{ran:#?}");
    assert!(
        ran.out.ends_with(&format!("\n{}\n", crate::support::uid())),
        "{ran:#?}"
    );
}

#[test]
fn p12_no_privilege_is_left() {
    let world = World::new();
    let read = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/$P/status";
    for process in ["self", "1"] {
        let ran = world.run(&[], &read.replace("$P", process));
        let out = ran.ok();
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(
                out.contains(&format!("{set}:\t0000000000000000")),
                "{process}: {out}"
            );
        }
        assert!(out.contains("NoNewPrivs:\t1"), "{process}: {out}");
        if process == "self" {
            assert!(out.contains("Seccomp:\t2"), "{out}");
        }
    }
    // Threads and children too, and a new program.
    let ran = world.run(
        &[],
        "sh -c 'grep -hE \"^(CapEff|Seccomp:)\" /proc/$$/task/*/status'",
    );
    assert_eq!(ran.ok(), "CapEff:\t0000000000000000\nSeccomp:\t2");
    let outside = fs::read_to_string("/proc/self/status").unwrap();
    assert!(outside.contains("Seccomp:\t0\n"), "outside there is no filter");
}

#[test]
fn p14_every_namespace_is_its_own() {
    let world = World::new();
    let script = "for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done";
    let inside = world.run(&[], script);
    let output = world.command("sh").args(["-c", script]).output().unwrap();
    let outside = Ran::from_output(&output);
    let (inside, outside): (Vec<_>, Vec<_>) = (inside.ok().lines().collect(), outside.ok().lines().collect());
    assert_eq!(inside.len(), 7);
    for (one, other) in inside.iter().zip(outside) {
        assert_ne!(*one, other);
    }
}

#[test]
fn p14_shared_memory_and_queues_of_outside_are_not_there() {
    if !has("ipcmk") || !has("ipcrm") {
        return;
    }
    let world = World::new();
    let made = world.command("ipcmk").args(["-M", "4096"]).output().unwrap();
    let made = Ran::from_output(&made);
    let id = made.ok().rsplit(' ').next().unwrap().to_owned();
    let count = "grep -c . /proc/sysvipc/shm";
    let inside = world.run(
        &[],
        &format!("{count}; ipcrm -m {id} && echo REMOVED; ls /dev/shm /dev/mqueue 2> /dev/null; true"),
    );
    let outside = world.command("ipcrm").args(["-m", &id]).output().unwrap();
    // The heading alone.
    assert_eq!(inside.ok().lines().next(), Some("1"), "{inside:#?}");
    assert!(!inside.out.contains("REMOVED"), "{inside:#?}");
    assert!(outside.status.success(), "outside it is there: {outside:?}");
}

#[test]
fn p15_the_name_of_the_machine_is_neither_seen_nor_changed() {
    let world = World::new();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let ran = world.run(
        &[],
        "cat /proc/sys/kernel/hostname; hostname other 2>/dev/null; uname -n",
    );
    assert!(ran.ok().lines().all(|name| name != host.trim()), "{ran:#?}");
    let mut lines = ran.ok().lines();
    assert_eq!(lines.next(), lines.next());
}

#[test]
fn p16_memory_backed_places_have_a_limit() {
    let world = World::new();
    let ran = world.run(&[], "grep -F ' - tmpfs ' /proc/self/mountinfo");
    for line in ran.ok().lines() {
        // The device nodes are single files of the host's.
        assert!(line.contains("size="), "{line}");
    }
    assert!(ran.ok().lines().count() >= 3, "{ran:#?}");
    // The smallest of them holds it.
    let fill = "head -c 2000000 /dev/zero > /dev/big; stat -c %s /dev/big";
    let ran = world.run(&[], fill);
    assert!(ran.err.contains("No space left"), "{ran:#?}");
    assert!(ran.out.trim().parse::<u64>().unwrap() <= 1 << 20, "{ran:#?}");
}

#[test]
fn p18_services_of_the_session_are_not_there() {
    let world = World::new();
    let outside = world.outside.display().to_string();
    let runtime = world.directory(format!("{outside}/run"));
    let listeners: Vec<UnixListener> = ["bus", "wayland-0", "docker.sock", "agent", "S.gpg-agent"]
        .iter()
        .map(|name| UnixListener::bind(runtime.join(name)).unwrap())
        .collect();
    let name = format!("aca-{}", runtime.display());
    let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut command = world.aca(&["run", "--", "sh", "-c"]);
    command
        .arg(
            "find / -xdev -type s 2> /dev/null; ls -A /run /tmp/.X11-unix /run/user /var/run/docker.sock 2> /dev/null; \
             env | grep -E '^(DBUS|WAYLAND|DISPLAY|SSH_AUTH|GPG|DOCKER|XDG_RUNTIME)'; grep -c '@' /proc/net/unix",
        )
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}/bus", runtime.display()))
        .env("WAYLAND_DISPLAY", "wayland-0")
        .env("DISPLAY", ":0")
        .env("SSH_AUTH_SOCK", runtime.join("agent"))
        .env("DOCKER_HOST", format!("unix://{}/docker.sock", runtime.display()));
    let ran = Ran::from_output(&command.output().unwrap());
    assert!(
        !ran.out.contains(".sock") && !ran.out.contains("agent"),
        "{ran:#?}"
    );
    assert!(
        !ran.out.contains("wayland") && !ran.out.contains("bus"),
        "{ran:#?}"
    );
    assert!(
        ran.out.trim_end().ends_with('0'),
        "no abstract socket is seen: {ran:#?}"
    );
    assert!(fs::read_to_string("/proc/net/unix").unwrap().contains(&name));
    drop((listeners, by_name));
}

#[test]
fn p20_devices_are_the_harmless_ones() {
    let world = World::new();
    let ran = world.run(
        &[],
        "ls -A /dev | sort | tr '\\n' ' '; find /dev -type b; find / -xdev -type b 2>/dev/null",
    );
    for device in ran.ok().split_whitespace() {
        assert!(
            [
                "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
                "stdout", "tty", "urandom", "zero", "console",
            ]
            .contains(&device),
            "{device}: {ran:#?}"
        );
    }
    assert!(fs::symlink_metadata("/dev/kmsg").is_ok() || fs::symlink_metadata("/dev/mem").is_ok());
}

#[test]
fn p21_nothing_is_left_to_be_started_later() {
    let world = World::new();
    let ran = world.run(
        &[],
        "for d in /var/spool/cron /var/spool/cron/crontabs /var/spool/at /etc/cron.d /etc/systemd/system /etc/profile.d \
         /usr/lib/systemd/user /lib/systemd/system; do touch $d/aca-was-here 2> /dev/null && echo $d; done; \
         mkdir -p ~/.config/systemd/user ~/.config/autostart && echo x > ~/.config/autostart/x.desktop; \
         echo x >> ~/.profile; echo x >> ~/.bashrc; true",
    );
    assert_eq!(ran.ok(), "");
    for path in [".config/systemd", ".config/autostart", ".profile", ".bashrc"] {
        assert!(fs::symlink_metadata(world.home.join(path)).is_err(), "{path}");
    }
}

#[test]
fn p22_the_caller_s_loader_variables_run_nothing_in_aca() {
    let world = World::new();
    let script = world.file("env.sh", "touch \"$HOME/project/ran-by-env\"\n");
    let ran = Ran::from_output(
        &world
            .aca(&[
                "run",
                "--",
                "sh",
                "-c",
                "bash -c true 2> /dev/null; echo ${LD_PRELOAD-none} ${BASH_ENV-none}",
            ])
            .env("LD_PRELOAD", "/nonexistent/preload.so")
            .env("BASH_ENV", &script)
            .env("ENV", &script)
            .output()
            .unwrap(),
    );
    assert_eq!(ran.ok(), "none none");
    assert!(!ran.err.contains("preload"), "{ran:#?}");
    assert!(fs::symlink_metadata(world.project.join("ran-by-env")).is_err());
    if has("bash") {
        // The same variable outside does run it.
        world
            .command("bash")
            .args(["-c", "true"])
            .env("BASH_ENV", &script)
            .status()
            .unwrap();
        assert!(fs::symlink_metadata(world.project.join("ran-by-env")).is_ok());
    }
}
