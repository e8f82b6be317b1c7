//! T06: job control works as without aca.
#![expect(
    clippy::disallowed_methods,
    reason = "a file that can't be seen counts as missing here"
)]

use crate::held::Held;
use crate::pty::{Pty, until};
use crate::support::{World, has, skip};
use crate::terminal::{on_terminal, shell, shell_from};
use rustix::termios::LocalModes;

/// A program that says when it starts and each time that it is continued.
const STOPS_ITSELF: &str =
    r#"trap "echo continued" CONT; echo be''gun; kill -STOP $$; echo go''ing; read line; echo "read $line""#;

#[test]
fn t06_ctrl_z_at_any_moment_of_the_start_gives_the_prompt() {
    let world = World::new();
    world.run(&[], "true").ok();
    let mut pty = shell(&world);
    let outer = pty.foreground();
    for turn in 0..20_u64 {
        pty.type_in("$PROGRAM run -- sh -c 'read line; echo \"read <$line>\"'\n");
        // Until the shell's child is aca it is the shell that loses a Ctrl-Z.
        until("aca has the terminal", || {
            let group = pty.foreground();
            group != outer
                && std::fs::read_link(format!("/proc/{group}/exe")).is_ok_and(|path| path == world.aca)
        });
        std::thread::sleep(std::time::Duration::from_micros(turn * turn * 80));
        pty.type_in("\x1a");
        pty.expect("Stopped");
        pty.expect("PROMPT> ");
        pty.type_in("fg\n");
        pty.type_in(&format!("line {turn}\n"));
        let between = pty.expect(&format!("read <line {turn}>"));
        assert!(!between.contains("Stopped"), "turn {turn}: {between:?}");
        pty.expect("PROMPT> ");
    }
}

#[test]
fn t06_ctrl_z_before_there_is_a_program_gives_the_prompt() {
    use rustix::process::{Pid, Signal, kill_process};
    let world = World::new();
    world.run(&[], "true").ok();
    let mut pty = shell(&world);
    let outer = pty.foreground();
    pty.type_in("$PROGRAM run -- sh -c 'read line; echo \"read <$line>\"'\n");
    // The sandbox's first process is held up as soon as it is there; then aca has its signals but no program.
    let mut stage = None;
    until("aca has started its first process", || {
        let group = pty.foreground();
        let path = format!("/proc/{group}/task/{group}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        stage = children.trim().parse::<i32>().ok().and_then(Pid::from_raw);
        group != outer && stage.is_some()
    });
    kill_process(stage.unwrap(), Signal::STOP).unwrap();
    let aca = pty.foreground();
    until("aca holds its signals", || {
        let status = std::fs::read_to_string(format!("/proc/{aca}/status")).unwrap();
        let blocked = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:\t"))
            .unwrap();
        u64::from_str_radix(blocked, 16).unwrap() & (1 << (libc::SIGTSTP - 1)) != 0
    });
    pty.type_in("\x1a");
    pty.expect("^Z");
    kill_process(stage.unwrap(), Signal::CONT).unwrap();
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("fg\n");
    pty.type_in("word\n");
    pty.expect("read <word>");
}

#[test]
fn t06_ctrl_z_of_a_cooked_program_gives_the_prompt_and_fg_goes_on() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in(
        "$PROGRAM run -- sh -c 'echo be\"\"gun; while read line; do echo \"read <$line>\"; done; echo done'\n",
    );
    pty.expect("begun");
    for turn in 1..=3 {
        pty.type_in("\x1a");
        pty.expect("Stopped");
        pty.expect("PROMPT> ");
        pty.type_in("jobs\n");
        pty.expect("Stopped");
        pty.expect("PROMPT> ");
        pty.type_in("fg\n");
        pty.expect("run -- sh");
        pty.type_in(&format!("line {turn}\n"));
        let between = pty.expect(&format!("read <line {turn}>"));
        assert!(!between.contains("Stopped"), "{between:?}");
    }
    pty.type_in("\x04");
    pty.expect("done");
    pty.expect("PROMPT> ");
}

/// The shell continues the job and the terminal stops it once more, before any process of aca's comes to run in between.
#[test]
fn t06_ctrl_z_before_aca_went_on_leaves_the_job_stopped() {
    if !rustix::process::getuid().is_root() {
        skip("root", "processes are held up by ptrace(2)");
        return;
    }
    for is_first_process_late in [true, false] {
        let world = World::new();
        let mut pty = shell(&world);
        pty.type_in(
            "$PROGRAM run -- sh -c 'echo be\"\"gun; while read line; do echo \"read <$line>\"; done; echo done'\n",
        );
        pty.expect("begun");
        let aca = pty.foreground();
        let first = only_child(aca);
        let program = only_child(first);
        pty.type_in("\x1a");
        pty.expect("Stopped");
        pty.expect("PROMPT> ");
        let (held_aca, held_first) = (Held::now(aca), Held::now(first));
        pty.type_in("fg\n");
        pty.expect("run -- sh");
        pty.type_in("word\n");
        pty.expect("read <word>");
        pty.type_in("\x1a");
        until("the program stops", || state(program) == 'T');
        let held_aca = if is_first_process_late {
            held_aca.release();
            pty.expect("Stopped");
            pty.expect("PROMPT> ");
            // If it were woken now, the shell would see it.
            let held_aca = Held::now(aca);
            held_first.release();
            until("all is said that will be", || state(first) == 'S');
            held_aca
        } else {
            held_first.release();
            until("all is said that will be", || state(first) == 'S');
            held_aca.release();
            pty.expect("Stopped");
            pty.expect("PROMPT> ");
            Held::now(aca)
        };
        pty.type_in("jobs\n");
        let between = pty.expect("PROMPT> ");
        assert!(between.contains("Stopped"), "{between:?}");
        held_aca.release();
        pty.type_in("fg\n");
        pty.expect("run -- sh");
        pty.type_in("again\n");
        let between = pty.expect("read <again>");
        assert!(!between.contains("Stopped"), "{between:?}");
        pty.type_in("\x04");
        pty.expect("done\r\n");
        pty.expect("PROMPT> ");
    }
}

/// The only child of a process's first thread.
fn only_child(process: i32) -> i32 {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    children.trim().parse().unwrap()
}

/// What a process does, by its letter (proc_pid_stat(5)).
fn state(process: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, behind) = stat.rsplit_once(") ").unwrap();
    behind.chars().next().unwrap()
}

#[test]
fn t06_a_program_that_stops_itself_gives_the_prompt_and_fg_goes_on() {
    let world = World::new();
    for signal in ["STOP", "TSTP", "TTIN", "TTOU"] {
        let mut pty = shell(&world);
        let script = STOPS_ITSELF.replace("STOP", signal);
        pty.type_in(&format!(
            "$PROGRAM run -- sh -c '{}'\n",
            script.replace('\'', "\"")
        ));
        pty.expect("begun");
        if signal.starts_with("TT") {
            // It has the terminal that it seems to wait for, and goes on at once.
            pty.expect("going");
        } else {
            pty.expect("Stopped");
            pty.expect("PROMPT> ");
            // Everything inside stands still, and so does aca.
            pty.type_in("fg\n");
            pty.expect("going");
        }
        pty.type_in("word\n");
        let between = pty.expect("read word");
        assert!(!between.contains("Stopped"), "{signal}: {between:?}");
        pty.expect("PROMPT> ");
        assert_eq!(
            pty.shown().matches("continued\r\n").count(),
            1,
            "{signal}: one continuation: {}",
            pty.shown()
        );
    }
}

#[test]
fn t06_a_group_stop_from_inside_as_full_screen_programs_do_it() {
    let world = World::new();
    let mut pty = shell(&world);
    // `kill 0` is what editors send: the group, as far as it can be reached from inside.
    pty.type_in(
        "$PROGRAM run -- sh -c 'stty raw -echo; echo be\"\"gun; stty sane; kill -TSTP 0; echo go\"\"ing'\n",
    );
    pty.expect("begun");
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("fg\n");
    pty.expect("going");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_a_group_stop_on_a_kernel_without_landlock() {
    let world = World::new();
    let mut command = world.command("bash");
    crate::bad_input::filtered(&mut command, libc::SYS_landlock_create_ruleset, libc::ENOSYS);
    let mut pty = shell_from(&world, command);
    // Here `kill 0` reaches aca too, which passes it on to a program that has stopped already, or has gone on by then: it
    // stops once more. So the shell is told to go on twice; where one is enough there is no such job the second time.
    pty.type_in("$PROGRAM run -- sh -c 'trap \"echo continued\" CONT; echo be\"\"gun; kill -TSTP 0; echo go\"\"ing; kill -TSTP 0; echo a\"\"gain'\n");
    pty.expect("begun");
    for word in ["going", "again"] {
        pty.expect("Stopped");
        pty.expect("PROMPT> ");
        pty.type_in("fg\nfg\n");
        pty.expect(word);
    }
    pty.expect("PROMPT> ");
    let start = world.events_of("session_start");
    assert!(start[0]["degraded"].to_string().contains("Landlock"), "{start:?}");
}

#[test]
fn t06_two_stops_one_after_the_other_both_reach_the_shell() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in("$PROGRAM run -- sh -c 'kill -STOP $$; kill -STOP $$; kill -STOP $$; echo go\"\"ing'\n");
    for _ in 0..3 {
        pty.expect("Stopped");
        pty.expect("PROMPT> ");
        pty.type_in("fg\n");
    }
    pty.expect("going");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_bg_lets_it_run_and_reading_the_terminal_stops_it_again() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in("$PROGRAM run -- sh -c 'echo be\"\"gun; kill -STOP $$; echo go\"\"ing; read line; echo \"read <$line>\"'\n");
    pty.expect("begun");
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("bg\n");
    pty.expect("going");
    // SIGTTIN, once the prompt comes anew.
    pty.type_in("wait %1; jobs\n");
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("fg\n");
    pty.type_in("word\n");
    pty.expect("read <word>");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_started_in_the_background_one_fg_is_enough() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in("$PROGRAM run -- sh -c 'read line; echo \"read <$line>\"' & wait %1; jobs\n");
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("fg\n");
    pty.expect("read line");
    pty.type_in("word\n");
    let between = pty.expect("read <word>");
    assert!(!between.contains("Stopped"), "{between:?}");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_a_background_run_leaves_the_terminal_of_the_prompt_alone() {
    // Started in the background, and sent there.
    for (first, script, then) in [("", "", " &"), ("kill -STOP $$; ", "bg\n", "")] {
        let world = World::new();
        let mut pty = shell(&world);
        pty.type_in(&format!(
            "$PROGRAM run -- sh -c '{first}until test -e release; do sleep 0.05; done; echo fin\"\"ished'{then}\n"
        ));
        pty.expect("PROMPT> ");
        pty.type_in(script);
        if !script.is_empty() {
            pty.expect("PROMPT> ");
        }
        // The line editor has set the modes of the prompt.
        until("the prompt's modes are set", || {
            !pty.modes().contains(LocalModes::ICANON)
        });
        let at_prompt = pty.modes();
        std::fs::write(world.project.join("release"), "").unwrap();
        pty.expect("finished");
        until("aca has ended", || {
            assert_eq!(pty.modes(), at_prompt);
            crate::lifecycle::processes(&world)
                .iter()
                .all(|(_, words)| words.starts_with("bash"))
        });
        assert_eq!(pty.modes(), at_prompt);
        // It was not stopped by an attempt to change modes from the background.
        pty.type_in("wait; jobs; echo no more j''obs\n");
        let between = pty.expect("no more jobs");
        assert!(!between.contains("Stopped"), "{between:?}");
    }
}

#[test]
fn t06_a_program_that_is_continued_from_inside_takes_aca_along() {
    let world = World::new();
    let mut pty = shell(&world);
    // The helper is in no stopped group, and continues the program when the host says so; the job then runs in the
    // background, and can start programs, for which aca must be awake.
    helper(
        &world,
        &mut pty,
        "kill -CONT $$",
        "kill -STOP $$; /bin/echo go\"\"ing > went",
    );
    let went = world.project.join("went");
    assert!(!went.exists());
    std::fs::write(world.project.join("fifo"), "go\n").unwrap();
    until("the program goes on", || {
        std::fs::read(&went).is_ok_and(|text| text == b"going\n")
    });
}

#[test]
fn t06_a_program_that_is_killed_while_stopped_ends_the_run() {
    let world = World::new();
    let mut pty = shell(&world);
    helper(&world, &mut pty, "kill -KILL $$", "kill -STOP $$");
    std::fs::write(world.project.join("fifo"), "go\n").unwrap();
    // The shell tells it before a prompt.
    until("the shell sees its death", || {
        pty.type_in("\n");
        pty.shown().contains("Killed")
    });
}

/// Runs a script that stops, beside a helper in a session of its own that acts when something is written to `fifo`.
fn helper(world: &World, pty: &mut Pty, acts: &str, script: &str) {
    assert!(world.command("mkfifo").arg("fifo").status().unwrap().success());
    pty.type_in(&format!(
        "$PROGRAM run -- sh -c 'setsid sh -c \": > there; read line < fifo; {acts}\" & \
         until test -e there; do sleep 0.01; done; {script}'\n"
    ));
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_an_interactive_shell_inside_has_jobs_of_its_own() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in("$PROGRAM run -- bash --norc --noprofile -i\n");
    pty.expect("bash");
    pty.type_in("PS1='INS''IDE> '\n");
    pty.expect("INSIDE> ");
    pty.type_in("sed -u s/^/got-/\n");
    pty.type_in("word\n");
    pty.expect("got-word\r\n");
    pty.type_in("\x1a");
    pty.expect("Stopped");
    pty.expect("INSIDE> ");
    pty.type_in("fg\n");
    pty.type_in("again\n");
    pty.expect("got-again\r\n");
    pty.type_in("\x03");
    pty.expect("INSIDE> ");
    // The shell inside as a whole can be suspended, and has the terminal when it comes back.
    pty.type_in("suspend -f\n");
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("fg\n");
    pty.type_in("echo ba''ck\n");
    pty.expect("back\r\n");
    pty.expect("INSIDE> ");
    pty.type_in("exit\n");
    pty.expect("PROMPT> ");
    // The terminal is the outer shell's again.
    pty.type_in("sed -u s/^/got-/\n");
    pty.type_in("outer\n");
    pty.expect("got-outer\r\n");
    pty.type_in("\x04");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_bg_of_a_shell_inside_does_not_take_the_terminal() {
    let world = World::new();
    let mut pty = shell(&world);
    let outer = pty.foreground();
    pty.type_in("$PROGRAM run -- bash --norc --noprofile -i\n");
    pty.expect("bash");
    pty.type_in("PS1='INS''IDE> '\n");
    pty.expect("INSIDE> ");
    pty.type_in("suspend -f\n");
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("bg; sleep 0.2; echo still he''re\n");
    pty.expect("still here");
    pty.expect("PROMPT> ");
    until("the outer shell has the terminal", || pty.foreground() == outer);
    pty.type_in("fg\n");
    pty.type_in("echo ba''ck\n");
    pty.expect("back\r\n");
    pty.type_in("exit\n");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_after_a_shell_inside_its_parent_can_read_again() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in(
        "$PROGRAM run -- sh -c 'bash --norc --noprofile -i; echo af\"\"ter; read line; echo \"read <$line>\"'\n",
    );
    pty.expect("bash");
    pty.type_in("exit\n");
    pty.expect("after");
    pty.type_in("word\n");
    let between = pty.expect("read <word>");
    assert!(!between.contains("Stopped"), "{between:?}");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_after_a_shell_inside_a_script_outside_can_read_again() {
    let world = World::new();
    let mut command = world.command("sh");
    command
        .args([
            "-c",
            "$PROGRAM run -- bash --norc --noprofile -i; read line; echo \"read <$line>\"",
        ])
        .env("PROGRAM", &world.aca);
    let mut pty = Pty::spawn(command);
    pty.expect("bash");
    pty.type_in("PS1='INS''IDE> '\n");
    pty.expect("INSIDE> ");
    pty.type_in("exit\n");
    until("the script has the terminal", || pty.foreground() == pty.leader());
    pty.type_in("word\n");
    pty.expect("read <word>");
    assert_eq!(pty.code(), 0);
}

#[test]
fn t06_pipelines_stop_and_go_on_as_one_job() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in(
        "$PROGRAM run -- sh -c 'echo one; read line </dev/tty; echo \"$line\"' | sed -u 's/^/piped /'\n",
    );
    pty.expect("piped one");
    pty.type_in("\x1a");
    pty.expect("Stopped");
    pty.expect("PROMPT> ");
    pty.type_in("fg\n");
    pty.type_in("two\n");
    pty.expect("piped two");
    pty.expect("PROMPT> ");
}

#[test]
fn t06_a_session_without_job_control_is_spared_ctrl_z() {
    let world = World::new();
    // aca leads the session: its group is orphaned, as under `ssh -t host aca …`; the kernel ignores Ctrl-Z there.
    let mut pty = on_terminal(
        &world,
        &[
            "--",
            "sh",
            "-c",
            "echo ready; while read line; do echo \"read <$line>\"; done",
        ],
    );
    pty.expect("ready");
    pty.type_in("\x1a");
    pty.type_in("word\n");
    pty.expect("read <word>");
    pty.type_in("\x04");
    assert_eq!(pty.code(), 0);
    // A program in a group of its own, which isn't orphaned since aca's own first process is its parent, does stop: it
    // would for ever.
    if has("perl") {
        let script = "setpgrp; kill TSTP => $$; print qq(alive\\n); exit 3";
        let mut pty = on_terminal(&world, &["--", "perl", "-e", script]);
        pty.expect("alive");
        assert_eq!(pty.code(), 3);
    }
}
