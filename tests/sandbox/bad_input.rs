//! What is wrong before the start: a clear word, exit code 125, and nothing ran.
#![expect(
    clippy::disallowed_methods,
    reason = "a file that can't be seen counts as missing here"
)]

use crate::support::{Ran, World, has};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// Runs it and holds that nothing was started: the marker that every command here makes isn't there.
#[track_caller]
fn refused(world: &World, command: &mut Command, words: &[&str]) -> Ran {
    let ran = Ran::from_output(&command.output().unwrap());
    assert_eq!(ran.code, 125, "{ran:#?}");
    assert!(ran.err.starts_with("error: "), "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in {}", ran.err);
    }
    assert_eq!(ran.out, "");
    assert!(!world.project.join("marker").exists(), "something ran: {ran:#?}");
    ran
}

/// `aca run FLAGS -- touch marker`.
fn run(world: &World, flags: &[&str]) -> Command {
    let mut command = world.aca(&["run"]);
    command.args(flags).args(["--", "touch", "marker"]);
    command
}

/// The same after a script as root of a user and mount namespace of its own, in which much can be spoiled; `$PROGRAM` is the
/// program. The namespace's root is the ordinary user outside.
fn spoiled(world: &World, script: &str) -> Command {
    let mut command = world.command("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{script}\nexec \"$PROGRAM\" run -- touch marker"))
        .env("PROGRAM", &world.aca);
    command
}

fn config(world: &World, text: &str) {
    world.file(world.home.join(".config/aca/config.toml"), text);
}

#[test]
fn c15_a_configuration_file_that_is_named_must_be_there() {
    let world = World::new();
    refused(
        &world,
        &mut run(&world, &["--config", "nowhere.toml"]),
        &[
            "cannot read the configuration file",
            "nowhere.toml",
            "No such file",
        ],
    );
    world.directory("folder");
    refused(
        &world,
        &mut run(&world, &["--config", "folder"]),
        &["is a directory"],
    );
}

#[test]
fn c16_an_empty_configuration_changes_nothing() {
    let world = World::new();
    config(&world, "");
    assert_eq!(world.run(&[], "echo fine").ok(), "fine");
}

#[test]
fn c17_c18_c19_malformed_configuration_names_line_and_place() {
    let world = World::new();
    let mut all = String::new();
    for text in [
        "net",
        "[network\n",
        "typo = 1\n",
        "[network]\npreset = \"opne\"\n",
        "[network]\nalow = [\"a.test\"]\n",
        "[network]\nallow = [\"https://a.test\"]\n",
        "[network]\nallow = \"a.test\"\n",
        "[files]\nhide = [\"/x/*/\"]\n",
        "[environment]\nkeep = [\"LD_PRELOAD\"]\n",
        "\u{0}",
    ] {
        config(&world, text);
        let ran = Ran::from_output(&run(&world, &[]).output().unwrap());
        assert!(
            ran.code == 125 && ran.err.contains("config.toml:"),
            "{text:?}: {ran:?}"
        );
        assert!(!world.project.join("marker").exists(), "{text:?}");
        all.push_str(&format!(
            "--- {text:?}\n{}",
            ran.err.replace(world.root().to_str().unwrap(), "ROOT")
        ));
    }
    insta::assert_snapshot!(all);
    world.file(world.home.join(".config/aca/config.toml"), b"a = \"\xff\"");
    refused(&world, &mut run(&world, &[]), &["UTF-8", "config.toml:1"]);
}

#[test]
fn unreadable_and_endless_configuration_files_are_errors() {
    let world = World::new();
    config(&world, "");
    let path = world.home.join(".config/aca/config.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    refused(
        &world,
        &mut run(&world, &[]),
        &["cannot read", "Permission denied"],
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    refused(
        &world,
        &mut run(&world, &["--config", "/dev/zero"]),
        &["larger than"],
    );
}

#[test]
fn unknown_agents_and_flags_are_errors() {
    let world = World::new();
    refused(
        &world,
        &mut run(&world, &["--agent", "cluade"]),
        &["no agent `cluade`", "claude"],
    );
    refused(
        &world,
        &mut run(&world, &["--allwo", "a.test"]),
        &["--allwo", "hint: did you mean `--allow`?"],
    );
    refused(&world, &mut run(&world, &["--read", "nowhere"]), &["nowhere"]);
    refused(&world, &mut run(&world, &["--write", "nowhere"]), &["nowhere"]);
    refused(&world, &mut run(&world, &["--project", "nowhere"]), &["nowhere"]);
}

#[test]
fn homes_that_are_none_are_errors() {
    let world = World::new();
    if rustix::process::getuid().is_root() {
        // Its uid has no entry in /etc/passwd.
        refused(
            &world,
            run(&world, &[]).env_remove("HOME"),
            &["HOME is not set", "hint: "],
        );
        refused(
            &world,
            run(&world, &[]).env("HOME", "relative"),
            &["HOME is not set to an absolute path"],
        );
        refused(
            &world,
            run(&world, &[]).env("HOME", ""),
            &["HOME is not set to an absolute path"],
        );
    }
    refused(
        &world,
        run(&world, &[]).env("HOME", "/nonexistent"),
        &["/nonexistent", "No such file"],
    );
    refused(&world, run(&world, &[]).env("HOME", "/etc/passwd"), &[]);
}

#[test]
fn places_that_are_no_projects_are_errors() {
    let world = World::new();
    for place in [
        world.home.as_path(),
        world.root(),
        "/".as_ref(),
        "/tmp".as_ref(),
        "/etc".as_ref(),
    ] {
        refused(
            &world,
            run(&world, &[]).current_dir(place),
            &["is no project", "change to the directory"],
        );
    }
}

#[test]
fn without_a_log_nothing_is_started() {
    let state = ".local/state/aca";
    // Not writable.
    let world = World::new();
    world.directory(world.home.join(state));
    fs::set_permissions(world.home.join(state), fs::Permissions::from_mode(0o555)).unwrap();
    refused(
        &world,
        &mut run(&world, &[]),
        &["session log", "Permission denied"],
    );
    fs::set_permissions(world.home.join(state), fs::Permissions::from_mode(0o755)).unwrap();
    // No directory.
    let world = World::new();
    world.file(world.home.join(state), "");
    refused(&world, &mut run(&world, &[]), &["session log"]);
    let world = World::new();
    world.file(world.home.join(state).join("sessions"), "");
    refused(&world, &mut run(&world, &[]), &["session log"]);
    // A symbolic link.
    let world = World::new();
    world.directory(world.home.join(state));
    std::os::unix::fs::symlink(&world.outside, world.home.join(state).join("sessions")).unwrap();
    refused(&world, &mut run(&world, &[]), &["session log"]);
    assert_eq!(fs::read_dir(&world.outside).unwrap().count(), 0);
    // Writable by others.
    let world = World::new();
    world.directory(world.home.join(state).join("sessions"));
    fs::set_permissions(
        world.home.join(state).join("sessions"),
        fs::Permissions::from_mode(0o777),
    )
    .unwrap();
    refused(&world, &mut run(&world, &[]), &["can be written by others"]);
}

#[test]
fn a_full_disk_under_the_log_is_an_error() {
    if !has("unshare") {
        return;
    }
    let world = World::new();
    world.directory(world.home.join(".local/state"));
    let script = "mount -t tmpfs -o size=16k none ~/.local/state && mkdir -m 700 -p ~/.local/state/aca/sessions\n\
                  cat /dev/zero > ~/.local/state/fill 2>/dev/null";
    refused(
        &world,
        &mut spoiled(&world, script),
        &["session log", "No space left on device", "nothing was started"],
    );
}

#[test]
fn a_read_only_or_unreadable_home_is_an_error() {
    if !has("unshare") {
        return;
    }
    let world = World::new();
    let script = "mount --bind ~ ~ && mount -o remount,bind,ro ~ && cd ~/project";
    refused(
        &world,
        &mut spoiled(&world, script),
        &["session logs", "Read-only file system"],
    );
    // A place for the state elsewhere is enough for the log; the stores of caches want theirs.
    let world = World::new();
    let project = world.outside.join("project");
    fs::create_dir(&project).unwrap();
    world.give(&project);
    fs::set_permissions(&world.home, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = run(&world, &[]);
    refused(&world, command.current_dir(&project), &["Permission denied"]);
    assert!(!project.join("marker").exists());
    fs::set_permissions(&world.home, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn c28_refused_namespaces_are_an_error_with_a_remedy() {
    if !has("unshare") {
        return;
    }
    let world = World::new();
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let script = format!("echo 0 > /proc/sys/user/max_{kind}_namespaces");
        refused(
            &world,
            &mut spoiled(&world, &script),
            &[
                "refuses new namespaces",
                &format!("hint: user.max_{kind}_namespaces is 0"),
                "sysctl -w",
            ],
        );
    }
    // The doctor says the same, by trying.
    let mut command = world.command("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c"])
        .arg("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$PROGRAM\" doctor")
        .env("PROGRAM", &world.aca);
    let ran = Ran::from_output(&command.output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.starts_with("refused: no run starts here\n") && ran.out.contains("sysctl -w"),
        "{ran:?}"
    );
}

#[test]
fn without_proc_there_is_no_run() {
    if !has("unshare") {
        return;
    }
    let world = World::new();
    refused(
        &world,
        &mut spoiled(&world, "mount -t tmpfs none /proc"),
        &["cannot start the sandbox", "hint: /proc is not there"],
    );
    let mut command = world.command("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /proc; exec \"$PROGRAM\" doctor")
        .env("PROGRAM", &world.aca);
    let ran = Ran::from_output(&command.output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("hint: /proc is not there"), "{ran:?}");
    // A container's covered /proc: the kernel refuses a fresh one, and the host's is not shown instead.
    refused(
        &world,
        &mut spoiled(&world, "mount -t tmpfs none /proc/fs"),
        &["cannot start the sandbox", "mount /proc", "hint: "],
    );
}

#[test]
fn refused_calls_of_a_container_s_filter_are_an_error() {
    if !has("unshare") {
        return;
    }
    // Each call refused for itself, as a container manager's filter does it.
    for (call, errno) in [
        (libc::SYS_clone3, libc::ENOSYS),
        (libc::SYS_clone3, libc::EPERM),
        (libc::SYS_fsopen, libc::EPERM),
        (libc::SYS_open_tree, libc::EPERM),
        (libc::SYS_move_mount, libc::EPERM),
        (libc::SYS_mount_setattr, libc::ENOSYS),
        (libc::SYS_pivot_root, libc::EPERM),
        (libc::SYS_mount, libc::EPERM),
    ] {
        let world = World::new();
        let mut command = run(&world, &[]);
        filtered(&mut command, call, errno);
        refused(&world, &mut command, &["cannot start the sandbox", "cause: "]);
    }
}

/// Lets a command start under a filter that refuses one call.
#[expect(unsafe_code, reason = "a filter is put on the child alone")]
pub(crate) fn filtered(command: &mut Command, call: i64, errno: i32) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    use std::os::unix::process::CommandExt as _;
    let filter = SeccompFilter::new(
        [(call, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    let apply = move || seccompiler::apply_filter(&program).map_err(|_| std::io::ErrorKind::Other.into());
    // SAFETY: between fork and exec the closure makes two prctl(2) calls over memory that was prepared before.
    unsafe { command.pre_exec(apply) };
}

#[test]
fn limits_that_are_too_low_are_errors() {
    let world = World::new();
    let limited = |limit: &str| {
        let mut command = world.command("bash");
        command
            .args([
                "-c",
                &format!("ulimit {limit}; exec \"$PROGRAM\" run -- touch marker"),
            ])
            .env("PROGRAM", &world.aca);
        command
    };
    for descriptors in 3..13 {
        let ran = refused(
            &world,
            &mut limited(&format!("-n {descriptors}")),
            &["Too many open files"],
        );
        assert!(!ran.err.contains("container"), "{ran:?}");
    }
    refused(&world, &mut limited("-u 1"), &["limit on the user's processes"]);
    refused(&world, &mut limited("-f 0"), &["session log", "File too large"]);
}

#[test]
fn a_run_inside_a_run_is_an_error_without_its_grant() {
    let world = World::new();
    let aca = world.aca.to_str().unwrap();
    let mut command = world.aca(&["run", "--read", aca, "--", aca, "run", "--", "touch", "marker"]);
    let ran = refused(
        &world,
        &mut command,
        &["cannot start the sandbox", "the inside of a run already"],
    );
    assert_eq!(ran.err.matches("error: ").count(), 1);
}

#[test]
fn a_directory_that_the_user_can_t_read_is_no_reason_to_refuse() {
    let world = World::new();
    let hidden = world.directory("hidden");
    world.file("hidden/.env", "SECRET=1");
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    // What the user can't read the program can't either: that is no reason to refuse.
    let ran = world.run(&[], "cat hidden/.env; echo fine");
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        ran.out.ends_with("fine\n") && !ran.out.contains("SECRET"),
        "{ran:?}"
    );
}
