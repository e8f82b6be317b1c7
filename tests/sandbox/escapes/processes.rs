//! Processes, descriptors and the life of a run.

use crate::attacker::{answers, inside, line, place};
use crate::support::{Ran, World, has, installed};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

#[test]
fn ona_every_way_to_start_a_program_is_confined() {
    let world = World::new();
    world.file(".env", "TOKEN=geheim");
    let script = "cp /bin/cat copy; for c in /bin/cat /proc/self/root/bin/cat /proc/$$/root/bin/cat ./copy \
                  \"/lib64/ld-linux-x86-64.so.2 /bin/cat\" \"env -i /bin/cat\" \"setsid /bin/cat\" \"nice /bin/cat\"; do \
                  $c .env 2> /dev/null && echo READ by $c; done; true";
    assert_eq!(world.run(&[], script).ok(), "");
    let outside = world.command("sh").args(["-c", script]).output().unwrap();
    assert!(Ran::from_output(&outside).ok().matches("READ").count() >= 6);
}

#[test]
fn gemini_there_is_no_flag_that_runs_without() {
    let world = World::new();
    for flag in [
        "--no-sandbox",
        "--unsafe",
        "--disable-sandbox",
        "--dangerously-skip-permissions",
        "--sandbox=false",
    ] {
        let ran = world.run(&[flag], "echo started");
        assert!(ran.code == 125 && ran.out.is_empty(), "{flag}: {ran:#?}");
    }
}

#[test]
fn nono_781_a_hidden_socket_can_not_be_connected() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let path = world.directory("hidden").join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    world.give(&path);
    let script = "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect(\"hidden/socket\"); print(\"CONNECTED\")'";
    let ran = world.run(&["--hide", "hidden/socket"], script);
    assert!(!ran.refused().out.contains("CONNECTED"), "{ran:#?}");
    let ran = world.run(&["--hide", "hidden"], script);
    assert!(!ran.refused().out.contains("CONNECTED"), "{ran:#?}");
    let outside = world.command("sh").args(["-c", script]).output().unwrap();
    assert!(Ran::from_output(&outside).ok().contains("CONNECTED"));
    drop(listener);
}

#[test]
fn sandlock_no_decision_hangs_on_a_pointer() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    world.file(".env", "TOKEN=geheim");
    world.file("open", "offen");
    // One thread opens what another keeps changing the name of, until both names were met in the open.
    let script = r#"python3 -c '
import ctypes, os, sys, threading, time
libc = ctypes.CDLL(None)
sys.setswitchinterval(1e-5)
name = ctypes.create_string_buffer(b"open", 16)
end = time.monotonic() + 30
seen = set()
def swap():
    while len(seen) < 2 and time.monotonic() < end:
        name.value = b".env"; name.value = b"open"
threading.Thread(target=swap).start()
while len(seen) < 2 and time.monotonic() < end:
    fd = libc.open(name, 0)
    if fd >= 0:
        seen.add(os.read(fd, 64)); os.close(fd)
    else:
        seen.add(b"refused")
print(sorted(seen))
'"#;
    let ran = world.run(&[], script);
    assert_eq!(ran.ok(), "[b'offen', b'refused']");
    let outside = world.command("sh").args(["-c", script]).output().unwrap();
    assert_eq!(Ran::from_output(&outside).ok(), "[b'TOKEN=geheim', b'offen']");
}

#[test]
fn cve_2024_32462_a_command_is_never_a_flag() {
    let world = World::new();
    for words in [
        &["run", "--", "--write", "/", "sh"][..],
        &["run", "--", "--help"],
        &["run", "--", "-c", "id"],
        &["run", "--", ""],
    ] {
        let ran = Ran::from_output(&world.aca(words).output().unwrap());
        assert_eq!(ran.code, 127, "{words:?}: {ran:#?}");
        assert_eq!(ran.out, "", "{words:?}");
    }
    let ran = Ran::from_output(
        &world
            .aca(&["run", "--", "printf", "%s\n", "--write", "/", "--", "--net"])
            .output()
            .unwrap(),
    );
    assert_eq!(ran.ok(), "--write\n/\n--\n--net");
}

#[test]
fn cve_2020_5291_aca_has_no_privilege_to_lose() {
    let world = World::new();
    let file = fs::metadata(&world.aca).unwrap();
    assert_eq!(file.permissions().mode() & 0o6000, 0, "set-uid or set-gid");
    if let Some(getcap) = installed("getcap") {
        let output = std::process::Command::new(getcap)
            .arg(&world.aca)
            .output()
            .unwrap();
        assert_eq!(Ran::from_output(&output).ok(), "");
    }
    // It runs where no privilege can be had at all.
    if has("setpriv") {
        let ran = world
            .command("setpriv")
            .args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"])
            .arg(&world.aca)
            .args(["run", "--", "echo", "fine"])
            .output()
            .unwrap();
        let ran = Ran::from_output(&ran);
        // Dropping from the bounding set is root's, so the flag may be refused: then without it.
        if ran.code == 0 {
            assert_eq!(ran.ok(), "fine");
        }
        let ran = world
            .command("setpriv")
            .arg("--no-new-privs")
            .arg(&world.aca)
            .args(["run", "--", "echo", "fine"])
            .output()
            .unwrap();
        assert_eq!(Ran::from_output(&ran).ok(), "fine");
    }
}

#[test]
fn cve_2019_5736_the_program_itself_can_not_be_overwritten() {
    let world = World::new();
    // A copy of its own that its user may write, as a program installed in a home is.
    let own = world.root().join("own-aca");
    fs::copy(&world.aca, &own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    world.give(&own);
    let before = fs::metadata(&own).unwrap();
    let script = "for p in /proc/[0-9]*; do cat $p/exe > /dev/null 2>&1 || echo closed; \
                  [ $(readlink $p/exe | grep -c own-aca) = 0 ] || echo SEEN $p; \
                  (echo evil > $p/exe) 2> /dev/null && echo WRITTEN $p; done; true";
    let output = world
        .command(&own)
        .args(["run", "--", "sh", "-c", script])
        .output()
        .unwrap();
    let ran = Ran::from_output(&output);
    assert!(ran.ok().contains("closed"), "the first process: {ran:#?}");
    assert!(
        !ran.out.contains("SEEN") && !ran.out.contains("WRITTEN"),
        "{ran:#?}"
    );
    // A program of the sandbox named as the interpreter of a script leads to no other file either.
    let script = "printf '#!/proc/self/exe\\n' > x; chmod +x x; ./x 2> /dev/null; true";
    let output = world
        .command(&own)
        .args(["run", "--", "sh", "-c", script])
        .output()
        .unwrap();
    assert_eq!(Ran::from_output(&output).code, 0);
    let after = fs::metadata(&own).unwrap();
    assert_eq!(
        (after.ino(), after.len(), after.mtime_nsec()),
        (before.ino(), before.len(), before.mtime_nsec())
    );
}

#[test]
fn cve_2024_21626_no_descriptor_leads_out() {
    let world = World::new();
    fs::write(world.outside.join("file"), "host").unwrap();
    let look = "for fd in /proc/self/fd/*; do for up in . .. ../.. ../../..; do \
                [ -e $fd/$up/outside/file ] && echo OUT $fd; [ -e $fd/file ] && echo OUT $fd; done; done; \
                for n in 3 4 5 6 7 8 9 10; do [ -e /proc/self/fd/$n/etc ] && echo ROOT $n; done; true";
    let wrapped = |program: &str| {
        let mut command = world.command("bash");
        command
            .args([
                "-c",
                &format!("exec 7< \"$OUTSIDE\" 8< / 20< \"$OUTSIDE/..\"; {program} sh -c \"$LOOK\""),
            ])
            .env("OUTSIDE", &world.outside)
            .env("LOOK", look)
            .env("ACA", &world.aca);
        Ran::from_output(&command.output().unwrap())
    };
    if !has("bash") {
        return;
    }
    assert_eq!(wrapped("\"$ACA\" run --").ok(), "");
    assert!(wrapped("").ok().contains("OUT"), "outside they are inherited");
    // A working directory that was given as a descriptor of the host, runc's own case.
    let ran = Ran::from_output(
        &world
            .command("bash")
            .args(["-c", "exec 7< /; cd /proc/self/fd/7 && \"$ACA\" run -- true"])
            .env("ACA", &world.aca)
            .output()
            .unwrap(),
    );
    assert_eq!(ran.code, 125, "{ran:#?}");
}

#[test]
fn cve_2025_31133_covered_paths_of_proc_stay_covered() {
    let world = World::new();
    world.file(".env", "TOKEN=geheim");
    let script = "umount .env 2> /dev/null && echo UMOUNT; mount --bind /dev/null .env 2> /dev/null && echo MOUNT; \
                  rm -f .env; mv .env other; ln -sf /etc/passwd .env; cat .env; \
                  for f in core_pattern modprobe hotplug; do echo x > /proc/sys/kernel/$f && echo WRITTEN $f; done 2> /dev/null; \
                  echo b > /proc/sysrq-trigger && echo SYSRQ; find /sys /proc/sys -writable -type f 2> /dev/null | head -3; true";
    // (The search lists nothing: the shell's own user owns no setting.)
    let ran = world.run(&[], script);
    assert_eq!(ran.ok(), "");
    assert_eq!(
        fs::read_to_string(world.project.join(".env")).unwrap(),
        "TOKEN=geheim"
    );
    // With namespaces of its own, a program has the capabilities to try: what covers belongs to the outer one and is locked.
    if has("unshare") {
        let tries = "umount .env && echo UMOUNT; umount -l .env && echo UMOUNT; mkdir -p m; mount --bind . m && grep geheim m/.env; \
                     mount --rbind . m && umount m/.env && grep geheim m/.env; grep geheim .env; \
                     mount -o remount,bind,rw / && echo REMOUNTED; mount -o remount,rw /usr && echo REMOUNTED; \
                     mount -o remount,bind,suid,dev . && echo REMOUNTED; true";
        let nested = format!("unshare -Urm sh -c '{tries}' 2> /dev/null");
        let ran = world.run(&["--grant", "nested-userns"], &nested);
        assert_eq!(ran.ok(), "", "{ran:#?}");
        // That they are capable at all: a mount of their own comes and goes.
        let ran = world.run(
            &["--grant", "nested-userns"],
            "unshare -Urm sh -c 'mount -t tmpfs none /tmp && umount /tmp && echo CAPABLE'",
        );
        assert_eq!(ran.ok(), "CAPABLE");
    }
}

#[test]
fn the_first_process_survives_what_is_sent_to_it() {
    let world = World::new();
    place(&world);
    let script = format!(
        "for s in 1 2 3 6 9 10 11 12 13 14 15 17 18 19 20 34 64; do kill -$s 1 2> /dev/null; done; {}; \
         echo 1000 > /proc/1/oom_score_adj && echo OOM; renice 19 1 && echo NICE; exit 7",
        line(&["ptrace first", "pidfd_open first and getfd 3"])
    );
    let ran = world.run(&[], &script);
    assert_eq!(ran.code, 7, "{ran:#?}");
    assert!(!ran.out.contains("OOM"), "{ran:#?}");
    let answers = answers(&ran);
    assert_eq!(answers.len(), 2);
    assert!(answers.values().all(|errno| *errno == libc::EPERM), "{answers:?}");
}

#[test]
fn the_stage_s_own_words_do_nothing_inside() {
    let world = World::new();
    let aca = world.aca.to_str().unwrap();
    // The name by which aca starts itself, taken by a program inside, with what it likes as the control descriptor.
    let script = format!(
        "cp {aca} ./aca-remask; for d in /proc/self/ns/mnt /dev/null .; do (exec 3< $d; PATH=. ; exec aca-remask m$PWD/file rfile) && echo DONE $d; done; \
         cat file; {aca} selftest --attempt '{{}}' && echo DONE; true"
    );
    world.file("file", "there");
    let ran = world.run(&["--read", aca], &script);
    assert_eq!(ran.ok(), "there", "{ran:#?}");
}

#[test]
fn a_flood_of_refused_calls_or_a_lost_supervisor_opens_nothing() {
    let world = World::new();
    place(&world);
    let many = vec!["bpf"; 200];
    let answers = inside(&world, &[], &many);
    assert_eq!(answers["bpf"], libc::EPERM);
    let ran = world.run(
        &[],
        &format!(
            "for i in 1 2 3 4; do {} > /dev/null & done; wait; {}",
            line(&many),
            line(&["mount"])
        ),
    );
    assert_eq!(crate::attacker::answers(&ran)["mount"], libc::EPERM, "{ran:#?}");
}
