//! T cases: the terminal inside is the user's own, and job control works as without aca.
#![expect(
    clippy::disallowed_methods,
    reason = "a file that can't be seen counts as missing here"
)]

use crate::pty::{Pty, until};
use crate::support::{World, has};
use rustix::termios::LocalModes;
use std::process::Command;

/// `aca run` on a terminal.
pub(crate) fn on_terminal(world: &World, words: &[&str]) -> Pty {
    Pty::spawn(with_term(world.aca(&["run"]), words))
}

fn with_term(mut command: Command, words: &[&str]) -> Command {
    command.args(words).env("TERM", "xterm");
    command
}

/// An interactive shell on a terminal, with `$PROGRAM` and a prompt that nothing else prints.
pub(crate) fn shell(world: &World) -> Pty {
    shell_from(world, world.command("bash"))
}

pub(crate) fn shell_from(world: &World, mut command: Command) -> Pty {
    command
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "PROM\\PT> ")
        .env("PROGRAM", &world.aca)
        .env("TERM", "xterm");
    let mut pty = Pty::spawn(command);
    pty.type_in("PS1='PROM''PT> '; bind 'set enable-bracketed-paste off' 2>/dev/null\n");
    pty.expect("PROMPT> ");
    pty
}

#[test]
fn t01_t02_the_program_is_on_the_user_s_terminal() {
    let world = World::new();
    let mut pty = on_terminal(
        &world,
        &[
            "--",
            "sh",
            "-c",
            "test -t 0 && test -t 1 && test -t 2 && echo all; tty; echo to-tty > /dev/tty; read line < /dev/tty; echo \"got $line\"",
        ],
    );
    let name = pty.name.display().to_string();
    pty.expect("all\r\n");
    pty.expect(&name);
    pty.expect("to-tty\r\n");
    pty.type_in("typed\n");
    pty.expect("got typed\r\n");
    assert_eq!(pty.code(), 0);
}

#[test]
fn t02_dev_tty_works_when_standard_input_is_a_pipe() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in("echo data | $PROGRAM run -- sh -c 'cat; read line </dev/tty; echo \"got <$line>\"'\n");
    pty.expect("data\r\n");
    pty.type_in("typed\n");
    pty.expect("got <typed>");
}

/// As scripts start programs that are fed to a shell (`curl … | sh`).
#[test]
fn t02_dev_tty_may_be_standard_input_itself() {
    let world = World::new();
    let mut pty = shell(&world);
    for redirection in ["</dev/tty", "</dev/tty >/dev/tty 2>&1"] {
        pty.type_in(&format!(
            "$PROGRAM run -- sh -c 'echo asks; read line; echo \"got <$line>\"' {redirection}\n"
        ));
        pty.expect("asks\r\n");
        pty.type_in("typed\n");
        pty.expect("got <typed>");
        pty.expect("PROMPT> ");
    }
}

#[test]
fn t03_raw_mode_is_the_program_s_to_set() {
    let world = World::new();
    let mut pty = on_terminal(
        &world,
        &[
            "--",
            "sh",
            "-c",
            "stty raw -echo && echo set && dd bs=1 count=1 2>/dev/null | od -An -c",
        ],
    );
    pty.expect("set");
    assert!(
        !pty.modes()
            .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    );
    // Ctrl-C is a byte now, and no return key is needed.
    pty.type_in("\x03");
    pty.expect("003");
    assert_eq!(pty.code(), 0);
}

#[test]
fn t04_a_new_size_comes_with_one_signal() {
    let world = World::new();
    let mut pty = on_terminal(
        &world,
        &[
            "--",
            "sh",
            "-c",
            r#"n=0; trap 'n=$((n+1)); echo "signal $n $(stty size)"' WINCH; echo ready; while :; do read line || continue; test "$line" = end && exit; echo "heard $line"; done"#,
        ],
    );
    pty.expect("ready");
    pty.resize(40, 132);
    pty.expect("signal 1 40 132");
    pty.type_in("word\n");
    let between = pty.expect("heard word");
    assert!(!between.contains("signal"), "a second signal came: {between:?}");
    pty.resize(41, 133);
    pty.expect("signal 2 41 133");
    pty.type_in("end\n");
    assert_eq!(pty.code(), 0);
}

#[test]
fn t05_ctrl_c_reaches_the_program_once() {
    let world = World::new();
    let mut pty = on_terminal(
        &world,
        &[
            "--",
            "sh",
            "-c",
            r#"n=0; trap 'n=$((n+1)); echo "signal $n"' INT; echo ready; while :; do read line && echo "heard $line $n" && test "$line" = end && exit 7; done"#,
        ],
    );
    pty.expect("ready");
    pty.type_in("\x03");
    pty.expect("signal 1");
    pty.type_in("a\n");
    pty.expect("heard a 1");
    pty.type_in("\x03");
    pty.expect("signal 2");
    pty.type_in("end\n");
    pty.expect("heard end 2");
    assert_eq!(pty.code(), 7);
}

#[test]
fn t05_ctrl_c_and_ctrl_backslash_end_a_program_that_does_nothing_about_them() {
    use std::os::unix::process::ExitStatusExt;
    for (key, signal) in [("\x03", 2), ("\x1c", 3)] {
        let world = World::new();
        let mut pty = on_terminal(&world, &["--", "sh", "-c", "echo ready; exec sleep 1000"]);
        pty.expect("ready");
        pty.type_in(key);
        // The caller sees the signal itself, as a shell must to stop its script.
        assert_eq!(pty.wait().signal(), Some(signal));
    }
}

#[test]
fn t05_ctrl_c_at_any_moment_of_the_start_ends_aca_by_it() {
    use std::os::unix::process::ExitStatusExt;
    let world = World::new();
    world.run(&[], "true").ok();
    for turn in 0..20_u64 {
        let mut pty = on_terminal(&world, &["--", "sleep", "1000"]);
        std::thread::sleep(std::time::Duration::from_micros(turn * turn * 80));
        pty.type_in("\x03");
        assert_eq!(pty.wait().signal(), Some(2), "turn {turn}: {}", pty.shown());
        assert!(!pty.shown().contains("error"), "turn {turn}: {}", pty.shown());
    }
}

#[test]
fn t07_programs_inside_have_terminals_of_their_own() {
    if !has("script") {
        return;
    }
    let world = World::new();
    let ran = world.run(
        &[],
        "script -qec 'test -t 0 && test -t 1 && tty' /dev/null </dev/null",
    );
    assert!(ran.ok().starts_with("/dev/pts/"), "{ran:?}");
    // And with the user's terminal there besides: the numbers don't clash.
    let mut pty = on_terminal(
        &world,
        &[
            "--",
            "sh",
            "-c",
            "script -qec 'echo inner $(tty)' /dev/null; echo outer $(tty)",
        ],
    );
    let name = pty.name.display().to_string();
    let inner = pty.expect("outer");
    assert!(
        inner.contains("inner /dev/pts/") && !inner.contains(&format!("{name}\r")),
        "{inner:?}"
    );
    pty.expect(&name);
    assert_eq!(pty.code(), 0);
}

#[test]
fn t08_nothing_is_typed_for_the_user() {
    if !has("perl") {
        return;
    }
    let world = World::new();
    // TIOCSTI, with and without bits that the kernel ignores, and TIOCLINUX, which pastes (ioctl_tty(2)).
    let script = r#"
        for my $request (0x5412, 0x541C, 0x100005412, 0xFFFFFFFF00005412, 0x10000541C) {
            my $byte = "\x03";
            my $result = syscall(16, 0, $request, $byte);
            printf "%x %d %d\n", $request, $result, $!;
        }
        print "do", "ne\n";
    "#;
    let mut pty = shell(&world);
    pty.type_in(&format!(
        "$PROGRAM run -- perl -e '{}'\n",
        script.replace('\n', " ")
    ));
    let answers = pty.expect("done\r\n");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(
            answers.matches(" -1 1\r\n").count(),
            5,
            "each is EPERM: {answers:?}"
        );
    }
    pty.type_in("echo no''thing\n");
    pty.expect("nothing");
}

#[test]
fn t09_full_screen_programs_start_stop_and_end() {
    let world = World::new();
    if has("vim") {
        let mut pty = shell(&world);
        pty.type_in("$PROGRAM run -- vim -u NONE -c 'call setline(1, \"ed\".\"ited\")' file\n");
        pty.expect("edited");
        // vim itself is in raw mode, and stops its group.
        pty.type_in("\x1a");
        pty.expect("Stopped");
        pty.expect("PROMPT> ");
        pty.type_in("fg\n");
        pty.expect("edited");
        pty.type_in(":wq\r");
        pty.expect("PROMPT> ");
        assert_eq!(
            std::fs::read_to_string(world.project.join("file")).unwrap(),
            "edited\n"
        );
    }
    if has("less") {
        world.file("long", "line\n".repeat(500) + "the last line\n");
        let mut pty = shell(&world);
        pty.type_in("cat long | $PROGRAM run -- less\n");
        pty.expect("line\r\n");
        pty.type_in("G");
        pty.expect("the last line");
        pty.type_in("q");
        pty.expect("PROMPT> ");
    }
    if has("tmux") {
        let mut pty = shell(&world);
        pty.type_in("$PROGRAM run -- tmux -f /dev/null new-session 'echo in''side $(tty); read line; echo \"read <$line>\"; read line'\n");
        pty.expect("inside /dev/pts/");
        pty.type_in("word\n");
        pty.expect("read <word>");
        pty.type_in("\n");
        pty.expect("[exited]");
        pty.expect("PROMPT> ");
    }
}

#[test]
fn t09_a_terminal_recorder_around_aca() {
    if !has("script") {
        return;
    }
    let world = World::new();
    let mut command = world.command("script");
    let line = format!(
        "{} run -- sh -c 'echo started; tty; read line; echo \"read <$line>\"; exit 6'",
        world.aca.display()
    );
    command.args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh");
    let mut pty = Pty::spawn(command);
    pty.expect("started");
    pty.expect("/dev/pts/");
    pty.type_in("word\n");
    pty.expect("read <word>");
    assert_eq!(pty.code(), 6);
}

#[test]
fn t10_modes_are_put_back_however_the_program_ends() {
    let world = World::new();
    for ending in ["kill -KILL $$", "kill -SEGV $$", "exit 3", "exec sleep 1000"] {
        let mut pty = shell(&world);
        // A second shell that restores nothing itself, as dash without a line editor.
        pty.type_in("exec sh -i\n");
        pty.type_in("PS1='DA''SH> '\n");
        pty.expect("DASH> ");
        let before = pty.modes();
        assert!(before.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        let script = format!("stty raw -echo; echo modes''set; read line; {ending}");
        pty.type_in(&format!(
            "$PROGRAM run -- sh -c \"{}\"\n",
            script.replace('$', "\\$")
        ));
        pty.expect("modesset");
        assert!(!pty.modes().intersects(LocalModes::ICANON | LocalModes::ECHO));
        pty.type_in("\n");
        if ending.contains("sleep") {
            let group = pty.foreground();
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(group).unwrap(),
                rustix::process::Signal::TERM,
            )
            .unwrap();
        }
        pty.expect("DASH> ");
        assert_eq!(pty.modes(), before, "{ending}");
    }
}

#[test]
fn t10_keys_and_locks_are_put_back_too() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in("exec sh -i\n");
    pty.type_in("PS1='DA''SH> '; (stty -g; grep flags /proc/$$/fdinfo/0) > before\n");
    pty.expect("DASH> ");
    // Reads that don't wait, another key for Ctrl-C, and a terminal that nobody else can open (TIOCEXCL).
    let script = "stty intr ^T min 0 time 1; perl -MFcntl -e 'fcntl STDIN, F_SETFL, O_RDWR | O_NONBLOCK; ioctl STDIN, 0x540C, 0'; \
                  (stty -g; grep flags /proc/self/fdinfo/0) > inside; kill -KILL $$";
    pty.type_in(&format!(
        "$PROGRAM run -- sh -c \"{}\"\n",
        script.replace('$', "\\$")
    ));
    pty.expect("DASH> ");
    pty.type_in("(stty -g; grep flags /proc/$$/fdinfo/0) > after; : < /dev/tty && echo op''ened\n");
    pty.expect("opened");
    let read = |name: &str| std::fs::read_to_string(world.project.join(name)).unwrap();
    assert_eq!(read("before"), read("after"));
    for (before, inside) in read("before").lines().zip(read("inside").lines()) {
        assert_ne!(before, inside);
    }
}

#[test]
fn t10_modes_are_put_back_when_standard_input_is_a_pipe() {
    let world = World::new();
    let mut pty = shell(&world);
    pty.type_in("exec sh -i\n");
    pty.type_in("PS1='DA''SH> '\n");
    pty.expect("DASH> ");
    let before = pty.modes();
    pty.type_in("echo | $PROGRAM run -- sh -c 'stty raw -echo </dev/tty; kill -KILL $$'\n");
    pty.expect("DASH> ");
    assert_eq!(pty.modes(), before);
}

#[test]
fn a_hang_up_reaches_a_program_in_a_group_of_its_own() {
    if !has("perl") {
        return;
    }
    let world = World::new();
    let mut pty = on_terminal(
        &world,
        &[
            "--",
            "perl",
            "-e",
            "setpgrp; $SIG{HUP} = sub { open my $f, '>', 'hangup'; exit 0 }; $| = 1; print qq(ready\n); sleep 1000",
        ],
    );
    pty.expect("ready");
    pty.hang_up();
    until("the program heard of it", || {
        world.project.join("hangup").exists()
    });
    assert_eq!(pty.code(), 0);
}
