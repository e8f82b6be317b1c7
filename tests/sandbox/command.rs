//! C cases: the command line, exit codes, and what the program inherits.
#![expect(
    clippy::disallowed_methods,
    reason = "a file that can't be seen counts as missing here"
)]

use crate::support::{ORDINARY, Ran, World, has};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

fn ran(command: &mut Command) -> Ran {
    Ran::from_output(&command.output().unwrap())
}

/// A shell on the host, in which `$PROGRAM` is the program under test.
fn host(world: &World, script: &str) -> Ran {
    ran(world
        .command("bash")
        .args(["-c", script])
        .env("PROGRAM", &world.aca))
}

#[test]
fn c01_runs_a_command() {
    let world = World::new();
    let ran = world.run(&[], "echo hello");
    assert_eq!(ran.ok(), "hello");
    assert_eq!(ran.err, "");
}

#[test]
fn c02_words_arrive_as_they_are() {
    let world = World::new();
    let words = ["a  b", "$HOME", "*", "", "'\"\\", "--", "-x", "a\nb", "ü\u{7f}"];
    let mut command = world.aca(&["run", "--", "printf", "<%s>"]);
    assert_eq!(
        ran(command.args(words)).ok(),
        words.map(|word| format!("<{word}>")).concat()
    );
    // Bytes that are no text, too.
    use std::os::unix::ffi::OsStrExt;
    let mut command = world.aca(&["run", "--", "printf", "%s"]);
    command.arg(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    assert_eq!(command.output().unwrap().stdout, b"\xff\xfe");
}

#[test]
fn c03_a_command_in_one_word_is_no_shell_line() {
    let world = World::new();
    let ran = ran(&mut world.aca(&["run", "--", "echo a b"]));
    assert_eq!(ran.code, 127, "{ran:?}");
    assert!(
        ran.err
            .starts_with("error: `echo a b` was not found inside the sandbox\n"),
        "{}",
        ran.err
    );
}

#[test]
fn c04_c05_c06_no_separator_is_needed_and_flags_behind_the_command_are_its_own() {
    let world = World::new();
    for (words, expected) in [
        (&["sh", "-c", "echo 1"][..], "1"),
        (&["ls", "-d", "/"], "/"),
        (&["git", "-c", "a.b=c", "config", "a.b"], "c"),
        (
            &["echo", "--net", "none", "--help", "--version"],
            "--net none --help --version",
        ),
        (&["--net", "none", "echo", "x"], "x"),
        (&["echo", "--", "x"], "-- x"),
    ] {
        let mut command = world.aca(&["run"]);
        assert_eq!(ran(command.args(words)).ok(), expected, "{words:?}");
    }
}

#[test]
fn c07_flags_of_an_agent_s_name_are_passed_on() {
    let world = World::new();
    fs::create_dir_all(world.project.join("bin")).unwrap();
    let claude = world.file("bin/claude", "#!/bin/sh\necho \"$@\"\n");
    fs::set_permissions(&claude, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = world.aca(&["run"]);
    command.args([claude.to_str().unwrap(), "--version", "--settings", "x", "-p"]);
    assert_eq!(ran(&mut command).ok(), "--version --settings x -p");
}

#[test]
fn c08_a_shell_line_works() {
    let world = World::new();
    assert_eq!(world.run(&[], "echo $((1+1)) | cat").ok(), "2");
}

#[test]
fn c09_every_exit_code_is_handed_on() {
    let world = World::new();
    for code in [
        0, 1, 2, 7, 63, 64, 124, 125, 126, 127, 128, 130, 137, 200, 254, 255,
    ] {
        assert_eq!(world.run(&[], &format!("exit {code}")).code, code);
    }
}

#[test]
fn c10_deaths_by_signal_are_seen_as_such() {
    let world = World::new();
    for signal in [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 31, 34, 64] {
        let mut command = world.aca(&["run", "--", "sh", "-c", &format!("kill -{signal} $$")]);
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(signal), "{output:?}");
        assert!(!output.status.core_dumped());
    }
    // As a shell tells it.
    assert_eq!(
        host(&world, "$PROGRAM run -- sh -c 'kill -9 $$'; echo $?").out,
        "137\n"
    );
    assert_eq!(
        host(&world, "$PROGRAM run -- sh -c 'kill -15 $$'; echo $?").out,
        "143\n"
    );
    let left: Vec<_> = fs::read_dir(&world.project).unwrap().collect();
    assert!(left.is_empty(), "no core file: {left:?}");
}

#[test]
fn c11_what_can_t_be_executed_is_told() {
    let world = World::new();
    world.file("plain", "data");
    for (name, text) in [
        ("bad", "#!/no/such/interpreter\n"),
        ("script", "echo no header\n"),
        ("good", "#!/bin/sh\necho good\n"),
    ] {
        let path = world.file(name, text);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let words = |word: &str| ran(&mut world.aca(&["run", "--", word]));
    for (word, code, text) in [
        ("nosuchcmd", 127, "was not found inside"),
        ("./nosuchfile", 127, "was not found inside"),
        ("", 127, "was not found inside"),
        ("./plain", 126, "can't be executed: Permission denied"),
        ("/etc", 126, "can't be executed: Permission denied"),
        ("./plain/x", 126, "can't be executed: Not a directory"),
        ("./bad", 126, "interpreter or loader"),
    ] {
        let ran = words(word);
        assert_eq!(ran.code, code, "{word}: {ran:?}");
        assert!(
            ran.err.starts_with("error: ") && ran.err.contains(text),
            "{word}: {}",
            ran.err
        );
    }
    assert_eq!(words("./script").ok(), "no header");
    assert_eq!(words("./good").ok(), "good");
}

#[test]
fn c12_no_command_is_an_error() {
    let world = World::new();
    for words in [
        &["run"][..],
        &["run", "--"],
        &["run", "--net", "none"],
        &[],
        &["nosuch"],
    ] {
        let ran = ran(&mut world.aca(words));
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.err.starts_with("error: ") && ran.out.is_empty(), "{ran:?}");
    }
}

#[test]
fn c13_standard_input_arrives() {
    let world = World::new();
    assert_eq!(world.run_with_input(&[], "cat", b"in\0put").ok(), "in\0put");
    assert_eq!(world.run_with_input(&[], "wc -c", b"").ok(), "0");
}

#[test]
fn c14_a_hundred_megabytes_each_way() {
    let world = World::new();
    let script = "head -c 104857600 /dev/zero | tr '\\0' x | $PROGRAM run -- tee /dev/stderr 2> >(sha256sum > err) | sha256sum; \
                  head -c 104857600 /dev/zero | tr '\\0' x | sha256sum; wait; cat err";
    let ran = host(&world, script);
    let sums: Vec<&str> = ran.ok().lines().collect();
    assert_eq!(sums.len(), 3, "{ran:?}");
    assert!(sums[0] == sums[1] && sums[1] == sums[2], "{sums:?}");
}

#[test]
fn c14_a_reader_that_leaves_ends_the_writer() {
    let world = World::new();
    let ran = host(&world, "$PROGRAM run -- yes | head -1; echo ${PIPESTATUS[0]}");
    assert_eq!(ran.ok(), "y\n141");
    let ran = host(
        &world,
        "$PROGRAM run -- bash -c 'yes | head -1; echo ${PIPESTATUS[0]}'",
    );
    assert_eq!(ran.ok(), "y\n141", "the default of SIGPIPE is in force inside");
}

#[test]
fn c14_a_full_disk_is_the_program_s_to_see() {
    let world = World::new();
    let ran = host(&world, "$PROGRAM run -- sh -c 'echo x || exit 3' > /dev/full");
    assert_eq!(ran.code, 3, "{ran:?}");
    let ran = host(&world, "$PROGRAM plan true > /dev/full");
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("No space left"), "{ran:?}");
}

#[test]
fn c14_closed_standard_descriptors_do_no_harm() {
    let world = World::new();
    assert_eq!(
        host(&world, "$PROGRAM run -- sh -c 'cat; echo ended' <&-").ok(),
        "ended"
    );
    let ran = host(&world, "$PROGRAM run -- sh -c 'echo lost; echo kept >&2' >&-");
    assert_eq!((ran.code, ran.err.as_str()), (0, "kept\n"), "{ran:?}");
    assert_eq!(
        host(&world, "$PROGRAM run -- sh -c 'echo kept; echo lost >&2' 2>&-").ok(),
        "kept"
    );
    // What is opened inside must not land where the control socket or the log is.
    assert_eq!(
        host(
            &world,
            "$PROGRAM run -- sh -c 'ls /proc/self/fd | wc -l' <&- 2>&-"
        )
        .ok(),
        "4"
    );
}

#[test]
fn a_directory_as_standard_input_or_output_is_refused() {
    let world = World::new();
    fs::write(world.outside.join("secret"), "secret").unwrap();
    let outside = world.outside.display();
    for (redirection, name) in [("<", "input"), ("3<&0 <", "input")] {
        let ran = host(
            &world,
            &format!("$PROGRAM run -- cat /proc/self/fd/0/secret {redirection} {outside}"),
        );
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(
            ran.err.contains(&format!("standard {name} is a directory")),
            "{ran:?}"
        );
        assert!(!ran.out.contains("secret"), "{ran:?}");
    }
    let ran = host(
        &world,
        &format!("exec 1<{outside}; $PROGRAM run -- sh -c 'cat /proc/self/fd/1/secret >&2'"),
    );
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("standard output is a directory"), "{ran:?}");
}

#[test]
fn standard_input_is_not_writable_by_opening_it_again() {
    let world = World::new();
    let file = world.outside.join("file");
    fs::write(&file, "as it was\n").unwrap();
    world.give(&file);
    let ran = host(
        &world,
        &format!(
            "$PROGRAM run -- sh -c 'echo x > /proc/self/fd/0; echo x >> /dev/stdin; cat' < {}",
            file.display()
        ),
    );
    assert_eq!(ran.out, "as it was\n", "{ran:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "as it was\n");
}

#[test]
fn descriptors_of_the_caller_stay_outside() {
    let world = World::new();
    fs::write(world.outside.join("secret"), "secret").unwrap();
    let script = format!(
        "exec 3</ 4>/dev/null 9<{0}/secret 77<{0}; $PROGRAM run -- sh -c 'for f in /proc/$$/fd/*; do echo ${{f##*/}}; done; cat <&9'",
        world.outside.display()
    );
    let ran = host(&world, &script);
    // The fourth is the directory that the shell lists at that moment.
    assert_eq!(ran.out, "0\n1\n2\n3\n", "{ran:?}");
}

#[test]
fn signals_umask_and_limits_are_inherited_and_sane() {
    let world = World::new();
    let status = world.run(&[], "exec grep -E 'Sig(Blk|Ign|Pnd)|ShdPnd' /proc/self/status");
    let outside = host(&world, "exec grep -E 'Sig(Blk|Ign|Pnd)|ShdPnd' /proc/self/status");
    assert_eq!(status.ok(), outside.ok());
    assert!(status.ok().contains("SigBlk:\t0000000000000000\n"), "{status:?}");
    // nohup(1): what is ignored stays so.
    let ran = host(
        &world,
        "trap '' HUP; $PROGRAM run -- sh -c 'kill -HUP $$; echo alive'",
    );
    assert_eq!(ran.ok(), "alive");
    assert_eq!(
        host(
            &world,
            "umask 027; $PROGRAM run -- sh -c 'umask; touch f; stat -c %a f'"
        )
        .ok(),
        "0027\n640"
    );
    assert_eq!(host(&world, "umask 0; $PROGRAM run -- sh -c umask").ok(), "0000");
    let ran = host(
        &world,
        "ulimit -n 321; ulimit -Ss 4096; ulimit -c 0; nice -n 5 $PROGRAM run -- bash -c 'ulimit -n; ulimit -Ss; ulimit -c; nice'",
    );
    assert_eq!(ran.ok(), "321\n4096\n0\n5");
    if has("perl") {
        let ran = host(
            &world,
            "perl -MPOSIX -e 'sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGUSR1, SIGCHLD)); exec @ARGV' \
             $PROGRAM run -- grep SigBlk /proc/self/status",
        );
        assert!(
            ran.ok().ends_with("0000000000000000"),
            "a caller's blocked signals: {ran:?}"
        );
    }
}

#[test]
fn what_the_caller_ignores_does_no_harm() {
    let world = World::new();
    if has("perl") {
        let ran = host(
            &world,
            "exec perl -e '$SIG{CHLD} = \"IGNORE\"; exec @ARGV' $PROGRAM run -- sh -c '/bin/true; (exit 4); echo $?; exit 3'",
        );
        assert_eq!((ran.code, ran.out.as_str()), (3, "4\n"), "{ran:?}");
    }
    let ran = host(
        &world,
        "trap '' INT QUIT TSTP TTIN TTOU CONT PIPE; $PROGRAM run -- sh -c 'kill -INT $$; echo alive; exit 3'",
    );
    assert_eq!((ran.code, ran.out.as_str()), (3, "alive\n"), "{ran:?}");
}

#[test]
fn a_limit_on_files_ends_the_log_and_not_the_run() {
    let world = World::new();
    let ran = host(
        &world,
        "ulimit -f 8; $PROGRAM run -- sh -c 'for i in $(seq 500); do /bin/true; done; echo done; exit 3'",
    );
    assert_eq!((ran.code, ran.out.as_str()), (3, "done\n"), "{ran:?}");
    assert!(ran.err.contains("events could not be written"), "{ran:?}");
    let ran = host(
        &world,
        "$PROGRAM run --file-size 4K -- sh -c 'head -c 10000 /dev/zero > f; echo $?; wc -c < f'",
    );
    assert_eq!(ran.out, "153\n4096\n", "the program has the signal: {ran:?}");
}

#[test]
fn c24_a_removed_current_directory_is_an_error() {
    let world = World::new();
    let ran = host(
        &world,
        "mkdir gone; cd gone; rmdir ../gone; $PROGRAM run -- touch ../marker",
    );
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(
        ran.err.starts_with("error: the current directory can't be told"),
        "{}",
        ran.err
    );
    assert!(!world.project.join("marker").exists());
}

#[test]
fn c26_any_user_can_run_it() {
    let world = World::new();
    // The world's user has no entry in /etc/passwd.
    assert_eq!(world.run(&[], "id -u").ok(), crate::support::uid().to_string());
    if rustix::process::getuid().is_root() {
        let home = world.root().join("root");
        let project = home.join("project");
        fs::create_dir_all(&project).unwrap();
        let mut command = Command::new(&world.aca);
        command
            .args(["run", "--", "sh", "-c", "id -u; touch made; cat /etc/shadow"])
            .current_dir(&project)
            .env_clear()
            .env("HOME", &home)
            .env("PATH", crate::support::host_path());
        let ran = ran(&mut command);
        assert_eq!(ran.out, "0\n", "{ran:?}");
        assert!(project.join("made").exists());
        // Someone else's home is no place for the log.
        let ran = Ran::from_output(&command.env("HOME", &world.home).output().unwrap());
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.err.contains(&format!("belongs to uid {ORDINARY}")), "{ran:?}");
    }
}

#[test]
fn c27_no_other_program_is_needed() {
    let world = World::new();
    let mut command = world.aca(&["run", "--", "/bin/echo", "hello"]);
    assert_eq!(ran(command.env("PATH", "/nonexistent")).ok(), "hello");
    if has("strace") {
        // Nothing but aca and the command is ever executed.
        let trace = world.project.join("trace");
        let mut command = world.command("strace");
        command
            .args(["-f", "-qq", "-e", "trace=execve,execveat", "-o"])
            .arg(&trace)
            .arg(&world.aca);
        ran(command.args(["run", "--net", "none", "--", "/bin/true"])).ok();
        let text = fs::read_to_string(&trace).unwrap();
        let starts = text.lines().filter(|line| line.contains("execve")).count();
        assert_eq!(starts, 2, "{text}");
    }
}

#[test]
fn plan_prints_what_a_run_would_do_and_does_nothing() {
    let world = World::new();
    let plan = ran(&mut world.aca(&["plan", "--net", "none", "--", "touch", "marker"]));
    let text = plan.ok();
    for part in [
        "command    touch marker\n",
        "agent      generic  # what follows `--` is a command, whatever its name\n",
        "\nfile system\n",
        "\nnetwork    none\n",
        "\nenvironment\n",
        "\nlimits\n",
        "\nguarantees\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!world.project.join("marker").exists());
    assert!(!world.sessions().exists(), "no log is begun");
}

#[test]
fn plan_as_json_has_a_version_a_hash_and_the_steps() {
    let world = World::new();
    let output = ran(&mut world.aca(&["plan", "--json", "true"]));
    let plan: serde_json::Value = serde_json::from_str(output.ok()).unwrap();
    assert_eq!(plan["version"], 1);
    assert_eq!(plan["hash"].as_str().unwrap().len(), 64);
    let keys: Vec<&String> = plan["plan"].as_object().unwrap().keys().collect();
    insta::assert_json_snapshot!(keys);
    let steps: Vec<&String> = plan["steps"].as_object().unwrap().keys().collect();
    insta::assert_json_snapshot!(steps);
    // The same question has the same answer.
    let again: serde_json::Value =
        serde_json::from_str(ran(&mut world.aca(&["plan", "--json", "true"])).ok()).unwrap();
    assert_eq!(plan["hash"], again["hash"]);
    // The run that follows is the one that was planned.
    ran(&mut world.aca(&["run", "true"])).ok();
    assert_eq!(world.events_of("session_start")[0]["plan_hash"], plan["hash"]);
}

#[test]
fn doctor_tries_and_tells() {
    let world = World::new();
    let doctor = ran(&mut world.aca(&["doctor"]));
    let first = doctor.ok().lines().next().unwrap();
    assert!(
        first.starts_with("full:") || first.starts_with("reduced:"),
        "{doctor:?}"
    );
    for _ in 0..20 {
        // Its probe is a race of two processes to the same socket.
        let output = ran(&mut world.aca(&["doctor", "--json"]));
        let report: serde_json::Value = serde_json::from_str(output.ok()).unwrap();
        assert_eq!(report["failed"], serde_json::Value::Null);
    }
    let output = ran(&mut world.aca(&["doctor", "--json"]));
    let report: serde_json::Value = serde_json::from_str(output.ok()).unwrap();
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    insta::assert_json_snapshot!(keys);
}
