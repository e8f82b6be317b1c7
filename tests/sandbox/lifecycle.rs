//! How runs end: with everything in them, whatever ends them.
#![expect(clippy::disallowed_methods, reason = "the moment of a kill is what is varied")]

use crate::pty::{until, wait_within};
use crate::support::{Ran, World, has};
use rustix::process::{Pid, Signal, WaitOptions, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Every process that belongs to the world: its program lies there, or its environment names it.
pub(crate) fn processes(world: &World) -> Vec<(i32, String)> {
    let root = world.root().to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let entry = entry.unwrap();
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let program = fs::read_link(entry.path().join("exe")).unwrap_or_default();
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if program.starts_with(root) || String::from_utf8_lossy(&environment).contains(root) {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    found
}

/// A run that has printed its first line.
struct Begun {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Begun {
    fn new(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, out }
    }

    fn script(world: &World, flags: &[&str], script: &str) -> Self {
        let mut command = world.aca(&["run"]);
        command.args(flags).args(["--", "sh", "-c", script]);
        Self::new(command)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn state(&self) -> char {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        text.rsplit(") ").next().unwrap().chars().next().unwrap()
    }

    fn ended(mut self) -> Ran {
        let status = wait_within(&mut self.child);
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        Ran {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            out,
            err,
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Leaves the session, the group and the parent, twice, and ignores what can be ignored.
const DAEMON: &str = "(setsid sh -c 'trap \"\" HUP TERM INT; setsid sleep 1000 & setsid sh -c \"sleep 1000; :\" & exit' >/dev/null 2>&1 &) ";

#[test]
fn c20_sigterm_ends_everything_and_is_seen_by_the_caller() {
    let world = World::new();
    let mut begun = Begun::script(
        &world,
        &[],
        &format!("{DAEMON}; sleep 1000 & echo ready; exec sleep 1000"),
    );
    until("all of it has started", || processes(&world).len() > 3);
    begun.signal(Signal::TERM);
    let status = wait_within(&mut begun.child);
    assert_eq!(status.signal(), Some(15));
    assert_eq!(processes(&world), []);
}

#[test]
fn c20_sigterm_at_any_moment_of_the_start_ends_aca_by_it() {
    let world = World::new();
    world.run(&[], "true").ok();
    for turn in 0..30_u64 {
        let mut command = world.aca(&["run", "--", "sleep", "1000"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(turn * turn * 40));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = wait_within(&mut child);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((status.signal(), err.as_str()), (Some(15), ""), "turn {turn}");
        until("nothing is left", || processes(&world).is_empty());
    }
}

#[test]
fn c20_a_program_may_answer_a_signal() {
    let world = World::new();
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let script =
            format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done");
        let begun = Begun::script(&world, &[], &script);
        begun.signal(signal);
        let ran = begun.ended();
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (9, format!("got {name}\n").as_str()),
            "{ran:?}"
        );
    }
    assert_eq!(processes(&world), []);
}

#[test]
fn c20_a_program_that_refuses_to_end_is_ended() {
    let world = World::new();
    // One that stops whenever it can: it can't stop the end. (Not from the handler itself, which nests.)
    let stopping = "perl -e '$| = 1; my $n = 0; $SIG{INT} = q(IGNORE); $SIG{TERM} = $SIG{CONT} = sub { $n = 1 }; print qq(ready\n);\
        while (1) { if ($n) { $n = 0; kill STOP => $$ } select undef, undef, undef, 0.01 }'";
    let ignoring = "trap '' TERM INT HUP QUIT; echo ready; while :; do sleep 1; done";
    let mut stubborn = vec![ignoring];
    stubborn.extend(has("perl").then_some(stopping));
    for script in stubborn {
        let mut begun = Begun::script(&world, &[], script);
        begun.signal(Signal::TERM);
        let status = wait_within(&mut begun.child);
        assert_eq!(status.signal(), Some(15), "{script}");
        assert_eq!(processes(&world), []);
    }
}

#[test]
fn c20_a_program_that_has_used_up_its_processes_is_ended() {
    if !has("perl") {
        return;
    }
    let world = World::new();
    let script = "$| = 1; $SIG{TERM} = 'IGNORE'; my $n = 0;\
        while ($n < 500) { my $p = fork; last unless defined $p; unless ($p) { sleep 1000; exit } $n++ }\
        print $n < 500 ? qq(ready\\n) : qq(no limit\\n); sleep 1000";
    let mut command = world.aca(&["run", "--processes", "40", "--"]);
    command.args(["perl", "-e", script]);
    let mut begun = Begun::new(command);
    begun.signal(Signal::TERM);
    assert_eq!(wait_within(&mut begun.child).signal(), Some(15));
    assert_eq!(processes(&world), []);
}

#[test]
fn c21_sigkill_at_any_moment_ends_everything_and_leaves_nothing() {
    let world = World::new();
    let mounts = || {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
        text.lines()
            .filter(|line| line.contains(world.root().to_str().unwrap()) || line.contains("/.aca"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // The first run makes what is kept between runs.
    world.run(&[], "true").ok();
    let before = tree(world.root());
    for turn in 0..40_u64 {
        let mut command = world.aca(&["run", "--", "sh", "-c"]);
        command
            .arg(format!("{DAEMON}; sleep 1000 & exec sleep 1000"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // The moment is what is varied here, from before main to a program that runs.
        std::thread::sleep(Duration::from_micros(turn * turn * 40));
        child.kill().unwrap();
        child.wait().unwrap();
        until("nothing is left", || processes(&world).is_empty());
    }
    assert_eq!(mounts(), Vec::<String>::new());
    // The next run is as good as the first, and takes away the names of control sockets that nobody listens on.
    assert_eq!(world.run(&[], "echo fine").ok(), "fine");
    let left: Vec<PathBuf> = tree(world.root())
        .into_iter()
        .filter(|path| !before.contains(path) && !path.starts_with(world.sessions()))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
    for shared in ["/tmp", "/run", "/var/tmp", "/dev/shm"] {
        for entry in fs::read_dir(shared).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with(".aca"), "{shared}/{name}");
        }
    }
}

fn tree(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths.sort();
    paths
}

#[test]
fn c21_sigkill_of_a_stopped_aca_ends_everything() {
    let world = World::new();
    let mut begun = Begun::script(
        &world,
        &[],
        &format!("{DAEMON}; echo ready; kill -STOP $$; sleep 1000"),
    );
    until("aca has stopped as the program has", || begun.state() == 'T');
    begun.signal(Signal::KILL);
    wait_within(&mut begun.child);
    until("nothing is left", || processes(&world).is_empty());
}

#[test]
fn c22_c23_background_children_and_daemons_end_with_the_program() {
    let world = World::new();
    let ran = world.run(
        &[],
        &format!("{DAEMON}; sleep 1000 >/dev/null 2>&1 & (sleep 1000 >/dev/null 2>&1 &); until test $(pgrep -c sleep) -ge 4; do sleep 0.05; done; exit 4"),
    );
    assert_eq!(ran.code, 4, "{ran:?}");
    // At once: nothing is waited for here.
    assert_eq!(processes(&world), []);
}

#[test]
fn c25_the_host_is_as_before_but_for_what_was_meant() {
    let world = World::with_repository();
    world.file("sub/file", "x");
    // The stores of caches and the log's directory are made by the first run.
    world.run(&[], "true").ok();
    let snapshot = || {
        tree(world.root())
            .into_iter()
            .filter(|path| !path.starts_with(world.sessions()))
            .map(|path| {
                let metadata = fs::symlink_metadata(&path).unwrap();
                let changed = if metadata.is_dir() {
                    None
                } else {
                    metadata.modified().ok()
                };
                (path, metadata.permissions(), metadata.len(), changed)
            })
            .collect::<Vec<_>>()
    };
    let before = snapshot();
    world
        .run(
            &[],
            "echo new > new; git status --short; touch /tmp/x ~/y; mkdir -p ~/.config/z; exit 0",
        )
        .ok();
    let mut after = snapshot();
    after
        .retain(|(path, ..)| *path != world.project.join("new") && *path != world.project.join(".git/index"));
    let mut before = before;
    before.retain(|(path, ..)| *path != world.project.join(".git/index"));
    assert_eq!(after, before);
}

#[test]
fn a_stop_is_seen_by_the_caller_and_a_continuation_goes_on() {
    let world = World::new();
    let script = "echo ready; kill -STOP $$; echo on; kill -TSTP $$; echo and on";
    let mut command = world.aca(&["run", "--", "sh", "-c", script]);
    // SIGTSTP does nothing to an orphaned group (setpgid(2)), which the tests' own is where a machine runs them.
    command.process_group(0);
    let begun = Begun::new(command);
    for _ in 0..2 {
        let mut status = None;
        until("aca stops", || {
            status = rustix::process::waitpid(Some(begun.pid()), WaitOptions::UNTRACED | WaitOptions::NOHANG)
                .unwrap();
            status.is_some()
        });
        let (_, status) = status.unwrap();
        assert!(status.stopped(), "{status:?}");
        begun.signal(Signal::CONT);
    }
    let ran = begun.ended();
    assert_eq!((ran.code, ran.out.as_str()), (0, "on\nand on\n"), "{ran:?}");
}

#[test]
fn a_flood_of_stops_holds_nothing_up() {
    if !has("perl") {
        return;
    }
    let world = World::new();
    // A child stops and continues the program as fast as it can: each is told to aca, which stops and goes on with it.
    let script = "$| = 1; my $p = $$; unless (fork) { for (1 .. 3000) { kill STOP => $p; kill CONT => $p } exit } \
                  wait; print qq(done\n); exit 3";
    let ran = Ran::from_output(&world.aca(&["run", "--", "perl", "-e", script]).output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (3, "done\n"), "{ran:?}");
    // The same without an end: SIGTERM is obeyed in the midst of it.
    let script = "$| = 1; $SIG{TERM} = 'IGNORE'; my $p = $$; unless (fork) { print qq(ready\n); while (1) { kill STOP => $p; kill CONT => $p } } \
                  sleep 1000";
    let mut command = world.aca(&["run", "--"]);
    command.args(["perl", "-e", script]);
    let mut begun = Begun::new(command);
    begun.signal(Signal::TERM);
    begun.signal(Signal::CONT);
    assert_eq!(wait_within(&mut begun.child).signal(), Some(15));
    assert_eq!(processes(&world), []);
}

#[test]
fn a_first_process_that_is_killed_ends_the_run_as_a_failure() {
    let world = World::new();
    let begun = Begun::script(&world, &[], &format!("{DAEMON}; echo ready; sleep 1000"));
    let id = begun.child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    kill_process(
        Pid::from_raw(children.trim().parse().unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    let ran = begun.ended();
    assert_eq!(ran.code, 125, "{ran:?}");
    assert_eq!(
        ran.err,
        "error: the run broke off\n  cause: the sandbox's first process was killed\n"
    );
    assert_eq!(processes(&world), []);
    assert_eq!(world.events_of("session_end")[0]["code"], 125);
}

#[test]
fn the_first_process_is_out_of_the_program_s_reach() {
    let world = World::new();
    let ran = world.run(
        &[],
        "for s in STOP KILL TERM SEGV CHLD CONT HUP USR1; do kill -$s 1 2>/dev/null; done; \
         cat /proc/1/environ /proc/1/maps 2>/dev/null | wc -c; ls /proc/1/fd 2>/dev/null | wc -l; \
         tr -d '\\0' < /proc/1/cmdline; echo; grep -E '^(State|CapEff|NoNewPrivs)' /proc/1/status",
    );
    let out = ran.ok();
    assert!(out.starts_with("0\n0\n"), "{out}");
    assert!(
        !out.contains("T (stopped)") && out.contains("CapEff:\t0000000000000000"),
        "{out}"
    );
    assert!(out.contains("NoNewPrivs:\t1"), "{out}");
    assert!(!out.contains(world.root().to_str().unwrap()), "{out}");
    if has("perl") && cfg!(target_arch = "x86_64") {
        // ptrace(2) PTRACE_ATTACH and PTRACE_SEIZE, process_vm_readv(2), and pidfd_getfd(2) of the control socket.
        let ran = world.run(
            &[],
            r#"perl -e '
                my $pidfd = syscall(434, 1, 0); my @results;
                push @results, syscall(101, 16, 1, 0, 0), syscall(101, 0x4206, 1, 0, 0), syscall(310, 1, 0, 0, 0, 0, 0);
                for my $fd (0 .. 63) { push @results, syscall(438, $pidfd, $fd, 0) if $fd > 2; }
                print join(" ", map { $_ > 0 ? "GOT" : $_ } @results), "\n";
            '"#,
        );
        assert!(!ran.ok().contains("GOT"), "{ran:?}");
    }
}

#[test]
fn the_process_group_outside_is_out_of_the_program_s_reach() {
    let world = World::new();
    // A neighbour in a pipeline, and aca itself, are in the same group; `kill 0` inside reaches neither.
    let mut shell = world.command("sh");
    shell.arg("-c").arg(
        "set -m; \"$0\" run -- sh -c 'trap \"\" TERM USR1; kill -TERM 0; kill -USR1 0; echo sent; exit 5' | (cat; echo neighbour)",
    );
    shell.arg(&world.aca);
    let ran = Ran::from_output(&shell.output().unwrap());
    assert_eq!(ran.out, "sent\nneighbour\n", "{ran:?}");
}

#[test]
fn the_end_of_a_run_is_in_its_log() {
    let world = World::new();
    let end = || world.events_of("session_end").pop().unwrap();
    world.run(&[], "exit 7");
    assert_eq!(
        (end()["code"].as_i64(), end()["signal"].as_i64()),
        (Some(7), None)
    );
    world.run(&[], "kill -SEGV $$");
    assert_eq!(
        (end()["code"].as_i64(), end()["signal"].as_i64()),
        (None, Some(11))
    );
    world.aca(&["run", "--", "no-such-program"]).output().unwrap();
    assert_eq!(end()["code"], 127);
    world.aca(&["run", "--", "/etc/passwd"]).output().unwrap();
    assert_eq!(end()["code"], 126);
}
