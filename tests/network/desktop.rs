//! Notifications on the desktop, by a program that stands in for notify-send(1) and writes down how it is called.

use super::asks::{GET, Listener, begin, result};
use super::control::{Shell, until};
use super::live::done;
use super::servers::Server;
use super::support::{Ran, World, has, host_path, skip};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const HELP: &str = "if [ \"$1\" = --help ]; then echo ' -A, --action=[NAME=]Text...'; exit; fi";
/// Tells its arguments, a line each and a blank one after them.
const TELL: &str = "printf '%s\\n' \"$@\" '' >> shown";

/// A directory that is not the user's, with such a program in it; what it writes comes to `notified` beside it.
struct Desktop {
    world: World,
    bin: PathBuf,
    out: PathBuf,
}

impl Desktop {
    /// `None` where the tests can't make what isn't the user's.
    fn new(script: &str) -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            skip("root", "what a user can replace is never run");
            return None;
        }
        let world = World::new();
        let bin = world.root().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::set_permissions(&bin, PermissionsExt::from_mode(0o755)).unwrap();
        let out = world.directory(world.outside.join("notified"));
        program(&bin.join("notify-send"), &out, script);
        Some(Self { world, bin, out })
    }

    fn path(&self) -> String {
        format!("{}:{}", self.bin.display(), host_path())
    }

    /// A session that asks, with the program first in `PATH`, and a bus.
    fn shell(&self, flags: &[&str]) -> Shell {
        let path = self.path();
        let environment = [
            ("PATH", path.as_str()),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere"),
            ("SECRET_OF_THE_PROJECT", "1"),
            ("LD_LIBRARY_PATH", "/project"),
        ];
        Shell::start_in(&self.world, flags, &environment)
    }

    fn asking(&self, server: &Server) -> Shell {
        let mut shell = self.shell(&["--net", "listed", "--ask", "--resolve", &server.resolve("a.test")]);
        until(|| {
            done(&self.world, &mut shell, "getent ahostsv4 probe.test || :")
                .contains("198.18.")
                .then_some(())
        });
        shell
    }

    fn written(&self, file: &str) -> String {
        std::fs::read_to_string(self.out.join(file)).unwrap_or_default()
    }

    /// Its calls so far, each with its arguments.
    fn shown(&self) -> Vec<Vec<String>> {
        let text = self.written("shown");
        let calls = text.split_terminator("\n\n");
        calls
            .map(|call| call.lines().map(str::to_owned).collect())
            .collect()
    }
}

fn program(at: &Path, out: &Path, script: &str) {
    let text = format!("#!/bin/sh\ncd '{}'\n{HELP}\n{script}\n", out.display());
    std::fs::write(at, text).unwrap();
    std::fs::set_permissions(at, PermissionsExt::from_mode(0o755)).unwrap();
}

fn is_gone(pid: &str) -> bool {
    // A zombie has ended: its parent may be gone as well, and the machine's first process slow.
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.map_or(true, |status| status.contains(") Z"))
}

#[test]
fn n29_a_click_on_the_desktop_answers() {
    if !has("curl") {
        return;
    }
    let script =
        format!("env > environment; ls -l /proc/self/fd > descriptors; {TELL}; cat answer; rm answer");
    let Some(desktop) = Desktop::new(&script) else {
        return;
    };
    let server = Server::http();
    let mut shell = desktop.asking(&server);
    let answer = |word: &str| desktop.world.file(desktop.out.join("answer"), word);
    answer("once\n");
    begin(&mut shell, "1", GET);
    assert!(result(&desktop.world, "1").contains("ok a.test"));
    answer("deny\n");
    begin(&mut shell, "2", GET);
    assert!(result(&desktop.world, "2").contains("denied by a rule"));
    answer("session\n");
    let other = "curl -sS -m 50 http://a.test:8081/";
    begin(&mut shell, "3", other);
    assert!(result(&desktop.world, "3").contains("ok a.test"));
    assert!(done(&desktop.world, &mut shell, other).contains("ok a.test"));
    // Another word, as when it is closed, is no answer: it waits for one that is given elsewhere.
    answer("always\n");
    begin(&mut shell, "4", "curl -sS -m 50 http://a.test:8082/");
    until(|| (desktop.shown().len() == 4).then_some(()));
    until(|| {
        desktop
            .out
            .join("answer")
            .symlink_metadata()
            .is_err()
            .then_some(())
    });
    until(|| {
        let ran = Ran::from_output(&desktop.world.aca(&["approve", "4", "--once"]).output().unwrap());
        (ran.code == 0).then_some(())
    });
    assert!(result(&desktop.world, "4").contains("ok a.test"));
    shell.end().ok();
    // Once each; what is asked for is the last word.
    let shown = desktop.shown();
    let bodies: Vec<&str> = shown.iter().map(|call| call.last().unwrap().as_str()).collect();
    assert_eq!(
        bodies,
        [
            "a.test:8080 (ask 1)",
            "a.test:8080 (ask 2)",
            "a.test:8081 (ask 3)",
            "a.test:8082 (ask 4)"
        ]
    );
    let first = &shown[0];
    assert!(
        first.contains(&"--action=once=Allow once".to_owned()) && first.contains(&"--".to_owned()),
        "{first:?}"
    );
    let answered: Vec<String> = desktop
        .world
        .events_of("answered")
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                event["answer"].as_str().unwrap(),
                event["by"].as_str().unwrap()
            )
        })
        .collect();
    let by = "desktop notification";
    assert_eq!(
        answered,
        [
            format!("once {by}"),
            format!("denied {by}"),
            format!("session {by}"),
            "once aca approve".to_owned()
        ]
    );
    // It is given what leads to the bus, and nothing else that aca was.
    let environment = desktop.written("environment");
    assert!(
        environment.contains("DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere\n"),
        "{environment}"
    );
    for name in [
        "SECRET_OF_THE_PROJECT",
        "LD_LIBRARY_PATH",
        "GIT_AUTHOR_NAME",
        "/project",
    ] {
        assert!(!environment.contains(name), "{environment}");
    }
    let descriptors = desktop.written("descriptors");
    let numbers: Vec<&str> = descriptors
        .lines()
        .filter_map(|line| line.split_once(" -> ")?.0.rsplit(' ').next())
        .collect();
    // The last one is that of the directory that is listed.
    assert_eq!(numbers, ["0", "1", "2", "3"], "{descriptors}");
    assert!(descriptors.contains("3 -> /proc/"), "{descriptors}");
}

#[test]
fn without_a_bus_or_without_its_program_it_is_denied_at_once() {
    if !has("curl") {
        return;
    }
    let Some(desktop) = Desktop::new(TELL) else { return };
    let server = Server::http();
    let run = |environment: &[(&str, &str)]| {
        let mut command = desktop
            .world
            .aca(&["run", "--net", "listed", "--ask", "--resolve"]);
        command
            .arg(server.resolve("a.test"))
            .args(["--", "sh", "-c", &format!("sleep 0.5; {GET}")]);
        command.envs(environment.iter().copied());
        let ran = Ran::from_output(&command.output().unwrap());
        assert!(ran.out.contains("nobody listens to be asked"), "{ran:?}");
        assert!(desktop.world.events_of("asked").is_empty());
    };
    let path = desktop.path();
    run(&[("PATH", &path)]);
    run(&[("PATH", &path), ("DBUS_SESSION_BUS_ADDRESS", "")]);
    // An old one, without buttons.
    program(&desktop.bin.join("notify-send"), &desktop.out, TELL);
    let text = std::fs::read_to_string(desktop.bin.join("notify-send")).unwrap();
    std::fs::write(desktop.bin.join("notify-send"), text.replace("--action", "")).unwrap();
    run(&[
        ("PATH", &path),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere"),
    ]);
    assert_eq!(desktop.shown().len(), 0);
    // One that the user could replace, and so a program inside some day.
    std::fs::remove_file(desktop.bin.join("notify-send")).unwrap();
    let own = desktop.world.directory("bin");
    program(&own.join("notify-send"), &desktop.out, &format!("{HELP}\n{TELL}"));
    if super::support::installed("notify-send").is_none() {
        let path = format!("{}:{}", own.display(), host_path());
        run(&[
            ("PATH", &path),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere"),
        ]);
    }
    assert_eq!(desktop.shown().len(), 0);
}

/// It is killed with the ask, with all that it started.
#[test]
fn a_program_that_hangs_ends_with_the_ask_and_with_aca() {
    if !has("curl") {
        return;
    }
    let script = "sleep 600 & echo $! > child; echo $$ > parent; wait";
    let Some(desktop) = Desktop::new(script) else {
        return;
    };
    let server = Server::http();
    let mut shell = desktop.asking(&server);
    let pids = || {
        let (parent, child) = (desktop.written("parent"), desktop.written("child"));
        (parent.ends_with('\n') && child.ends_with('\n')).then_some((parent, child))
    };
    begin(&mut shell, "1", GET);
    let (parent, child) = until(pids);
    assert!(!is_gone(&parent) && !is_gone(&child));
    let ran = Ran::from_output(&desktop.world.aca(&["approve", "1", "--once"]).output().unwrap());
    ran.ok();
    assert!(result(&desktop.world, "1").contains("ok a.test"));
    until(|| (is_gone(&parent) && is_gone(&child)).then_some(()));
    // With the session.
    std::fs::remove_file(desktop.out.join("parent")).unwrap();
    begin(&mut shell, "2", GET);
    let (parent, child) = until(pids);
    shell.tell("exec true");
    shell.end();
    assert!(is_gone(&parent));
    // Killed with it, and nobody's to wait for.
    until(|| is_gone(&child).then_some(()));
    // And where aca had no time to do anything.
    std::fs::remove_file(desktop.out.join("parent")).unwrap();
    let mut shell = desktop.asking(&server);
    begin(&mut shell, "3", GET);
    let (parent, child) = until(pids);
    shell.kill();
    until(|| is_gone(&parent).then_some(()));
    // What it started is nobody's then: this test's to end, so that no other one counts it.
    let orphan = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(orphan, rustix::process::Signal::KILL).unwrap();
    until(|| is_gone(&child).then_some(()));
}

#[test]
fn a_program_that_dies_or_floods_is_no_channel_any_more() {
    if !has("curl") {
        return;
    }
    for script in ["exit 1", "kill -9 $$", "exec yes", "yes & exit 3"] {
        let Some(desktop) = Desktop::new(&format!("{TELL}; {script}")) else {
            return;
        };
        let server = Server::http();
        let mut shell = desktop.asking(&server);
        let denied = done(&desktop.world, &mut shell, GET);
        assert!(
            denied.contains("the desktop takes no notification"),
            "{script}: {denied}"
        );
        let denied = done(&desktop.world, &mut shell, GET);
        assert!(denied.contains("nobody listens"), "{script}: {denied}");
        shell.end().ok();
        assert_eq!(desktop.shown().len(), 1, "{script}");
    }
}

/// Neither does a help without end hold up anything.
#[test]
fn a_program_whose_help_never_ends_is_none() {
    if !has("curl") {
        return;
    }
    for script in [
        "exec sleep 600",
        "exec yes -- --action",
        "exec >&-; exec sleep 600",
    ] {
        let Some(desktop) = Desktop::new(TELL) else { return };
        let place = desktop.bin.join("notify-send");
        let text = format!(
            "#!/bin/sh\ncd '{}'\necho $$ > pid\n{script}\n",
            desktop.out.display()
        );
        std::fs::write(&place, text).unwrap();
        let mut shell = desktop.shell(&["--net", "listed", "--ask"]);
        until(|| desktop.written("pid").ends_with('\n').then_some(()));
        let denied = done(&desktop.world, &mut shell, "curl -sS -m 50 http://b.test/");
        assert!(denied.contains("Could not resolve host"), "{script}: {denied}");
        shell.end().ok();
        assert!(is_gone(&desktop.written("pid")), "{script}");
    }
}

/// One listens already: a desktop that is none takes nothing away.
#[test]
fn whoever_listens_elsewhere_is_asked_all_the_same() {
    if !has("curl") {
        return;
    }
    let Some(desktop) = Desktop::new("exit 1") else {
        return;
    };
    let server = Server::http();
    let mut shell = desktop.asking(&server);
    let mut listener = Listener::start(&desktop.world);
    until(|| {
        done(
            &desktop.world,
            &mut shell,
            "curl -sS -m 1 http://b.test:8080/ || :",
        )
        .contains("timed out")
        .then_some(())
    });
    begin(&mut shell, "1", GET);
    let number = loop {
        let (number, place) = listener.next();
        if place == "a.test:8080" {
            break number;
        }
    };
    Ran::from_output(
        &desktop
            .world
            .aca(&["approve", &number, "--once"])
            .output()
            .unwrap(),
    )
    .ok();
    assert!(result(&desktop.world, "1").contains("ok a.test"));
    drop(listener);
    shell.end().ok();
}

#[test]
fn n25_what_begins_to_listen_is_offered_once_and_published_by_a_click() {
    if !has("python3") {
        return;
    }
    let Some(desktop) = Desktop::new(&format!("{TELL}; echo publish")) else {
        return;
    };
    let world = &desktop.world;
    let mut shell = desktop.shell(&["--ask"]);
    // Free on the host as well: it is published under the same number.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let serve = format!("exec python3 -m http.server -b 127.0.0.1 {port}");
    begin(&mut shell, "never", &serve);
    let answered = until(|| {
        let page = std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        page.map(|_| super::publish::page(super::publish::local(port)))
    });
    assert!(answered.starts_with("HTTP/1.0 "), "{answered}");
    shell.tell("exit");
    shell.end();
    let shown = desktop.shown();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(
        shown[0].last().unwrap(),
        &format!("Port {port} inside: publish it as localhost:{port} of this machine?")
    );
    let opened = world.events_of("port");
    assert!(
        opened[0].to_string().contains("desktop notification: publish"),
        "{opened:?}"
    );
}

#[test]
fn a_flood_of_listeners_is_a_handful_of_offers_and_opens_nothing() {
    if !has("python3") {
        return;
    }
    let Some(desktop) = Desktop::new(TELL) else { return };
    desktop.world.file(
        "x.py",
        "import socket, time\n\
         all = []\n\
         for port in range(20000, 20100):\n\
         \x20   s = socket.socket(); s.bind(('127.0.0.1', port)); s.listen(); all.append(s); time.sleep(.01)\n\
         time.sleep(3)\n",
    );
    let mut shell = desktop.shell(&["--ask"]);
    done(&desktop.world, &mut shell, "python3 x.py");
    shell.end().ok();
    let shown = desktop.shown().len();
    assert!((1..=5).contains(&shown), "{shown}");
    assert!(desktop.world.events_of("port").is_empty());
}
