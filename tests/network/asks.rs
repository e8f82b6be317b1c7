//! `--ask`: connections that no rule decides wait for somebody outside.

use super::control::{Shell, until};
use super::live::done;
use super::pty::Pty;
use super::servers::Server;
use super::support::{Ran, World, has};
use super::{assert_refused, connections, refused_names};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

fn aca(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(&world.aca(arguments).output().unwrap())
}

/// `aca approve --list --follow --json`: somebody who listens.
pub(crate) struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listener {
    pub(crate) fn start(world: &World) -> Self {
        let mut command = world.aca(&["approve", "--list", "--json", "--follow"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next ask: its number, and `host:port`.
    pub(crate) fn next(&mut self) -> (String, String) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let ask: serde_json::Value = serde_json::from_str(&line).unwrap();
        let place = format!("{}:{}", ask["host"].as_str().unwrap(), ask["port"]);
        (ask["number"].to_string(), place)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Begins something inside that ends in a file of that name.
pub(crate) fn begin(shell: &mut Shell, file: &str, script: &str) {
    shell.tell(&format!(
        "(({script}) > {file}.part 2>&1; mv {file}.part {file}) &"
    ));
}

pub(crate) fn result(world: &World, file: &str) -> String {
    until(|| std::fs::read_to_string(world.project.join(file)).ok())
}

pub(crate) const GET: &str = "curl -sS -m 50 http://a.test:8080/";

/// A session that asks, and somebody who listens, for sure.
fn asking(world: &World, server: &Server, flags: &[&str]) -> (Shell, Listener) {
    let resolve = server.resolve("a.test");
    let mut all = vec!["--net", "listed", "--ask", "--resolve", &resolve];
    all.extend(flags);
    let mut shell = Shell::start(world, &all);
    let listener = Listener::start(world);
    // From then on a name has an address that nobody allowed.
    until(|| {
        done(world, &mut shell, "getent hosts probe.test || :")
            .contains("198.18.")
            .then_some(())
            .or_else(|| {
                done(world, &mut shell, "getent ahostsv4 probe.test || :")
                    .contains("198.18.")
                    .then_some(())
            })
    });
    (shell, listener)
}

#[test]
fn n29_a_held_connection_goes_on_once_somebody_outside_says_so() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let (mut shell, mut listener) = asking(&world, &server, &[]);
    // Once: what waits, and nothing after it. Equal ones are one.
    begin(&mut shell, "1", GET);
    let (number, place) = listener.next();
    assert_eq!(place, "a.test:8080");
    begin(&mut shell, "2", GET);
    until(|| {
        aca(&world, &["approve", "--list"])
            .ok()
            .contains("2 connections")
            .then_some(())
    });
    let ran = aca(&world, &["approve", &number, "--once"]);
    assert_eq!(
        ran.ok(),
        "a.test:8080 may be reached this once; 2 connections waited"
    );
    assert!(result(&world, "1").contains("ok a.test") && result(&world, "2").contains("ok a.test"));
    // For the session: the next one is not asked about.
    begin(&mut shell, "3", GET);
    let (number, _) = listener.next();
    aca(&world, &["approve", &number, "--session"]).ok();
    assert!(result(&world, "3").contains("ok a.test"));
    assert!(done(&world, &mut shell, GET).contains("ok a.test"));
    // No: it is remembered.
    let other = "curl -sS -m 50 http://a.test:8081/";
    begin(&mut shell, "4", other);
    let (number, place) = listener.next();
    assert_eq!(place, "a.test:8081");
    aca(&world, &["approve", &number, "--deny"]).ok();
    assert!(result(&world, "4").contains("denied by a rule"));
    assert!(done(&world, &mut shell, other).contains("denied by a rule"));
    let ran = aca(&world, &["approve", &number, "--once"]);
    assert!(
        ran.refused()
            .err
            .contains(&format!("nothing numbered {number} waits")),
        "{ran:?}"
    );
    // Always, and never: also for later runs.
    begin(&mut shell, "5", "curl -sS -m 50 http://a.test:8082/");
    let (number, _) = listener.next();
    aca(&world, &["approve", &number, "--always"]).ok();
    assert!(result(&world, "5").contains("ok a.test"));
    begin(&mut shell, "6", "curl -sS -m 50 http://a.test:8083/");
    let (number, _) = listener.next();
    aca(&world, &["approve", &number, "--never"]).ok();
    assert!(result(&world, "6").contains("denied by a rule"));
    drop(listener);
    shell.end().ok();
    let config = std::fs::read_to_string(world.home.join(".config/aca/config.toml")).unwrap();
    assert_eq!(
        config,
        "[network]\nallow = [\"a.test:8082\"]\ndeny = [\"a.test:8083\"]\n"
    );
    let answers: Vec<String> = world
        .events_of("answered")
        .iter()
        .map(|event| {
            format!(
                "{} {} {}",
                event["port"],
                event["answer"].as_str().unwrap(),
                event["by"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        answers,
        [
            "8080 once aca approve",
            "8080 session aca approve",
            "8081 denied aca approve",
            "8082 session aca approve",
            "8083 denied aca approve"
        ]
    );
    assert_eq!(world.events_of("asked").len(), 5);
}

#[test]
fn without_a_listener_it_is_denied_at_once_and_told_how_to_listen() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "listed", "--ask", "--resolve", &server.resolve("a.test")],
        &format!("{GET}; getent hosts b.test"),
    );
    assert!(
        ran.out
            .contains("nobody listens to be asked: `aca approve --follow`"),
        "{ran:?}"
    );
    assert_eq!(refused_names(&world), ["b.test"]);
    assert!(world.events_of("asked").is_empty());
    // Nor does anybody ask without the flag.
    let listener = Listener::start(&world);
    let ran = world.run(
        &["--net", "listed", "--resolve", &server.resolve("a.test")],
        &format!("{GET}; getent hosts b.test"),
    );
    assert!(
        ran.out.contains("no rule allows it (") || ran.out.contains("no rule allows it\n"),
        "{ran:?}"
    );
    drop(listener);
    assert!(world.events_of("asked").is_empty());
}

#[test]
fn n29_nothing_is_asked_that_would_be_refused_anyway() {
    if !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let (mut shell, listener) = asking(&world, &server, &["--deny", "denied.test"]);
    world.file(
        "x.py",
        "import socket\n\
         def say(place, data):\n\
         \x20   try:\n\
         \x20       s = socket.create_connection(place, 20); s.sendall(data); print(s.recv(99)[:12])\n\
         \x20   except OSError as e: print(type(e).__name__)\n\
         get = b'GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n'\n\
         say(('a.test', 8080), get % b'b.test')\n\
         say(('denied.test', 80), get % b'denied.test')\n\
         say(('169.254.169.254', 80), get % b'169.254.169.254')\n\
         say(('192.168.1.1', 80), get % b'192.168.1.1')\n\
         say(('single', 80), get % b'single')\n\
         say(('c.test', 443), b'no tls')\n",
    );
    let out = done(&world, &mut shell, "python3 x.py");
    let forbidden = "b'HTTP/1.1 403'";
    assert_eq!(
        out,
        format!("{forbidden}\ngaierror\n{forbidden}\n{forbidden}\ngaierror\n{forbidden}\n")
    );
    drop(listener);
    shell.end().ok();
    assert!(
        world.events_of("asked").is_empty(),
        "{:?}",
        world.events_of("asked")
    );
}

#[test]
fn n29_a_flood_of_names_neither_stands_still_nor_fills_the_terminal() {
    if !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let (mut shell, listener) = asking(&world, &server, &[]);
    world.file(
        "x.py",
        "import collections, socket, threading\n\
         ended = collections.Counter()\n\
         def go(n):\n\
         \x20   try:\n\
         \x20       s = socket.create_connection((f'n{n}.test', 80), 30)\n\
         \x20       s.sendall(b'GET / HTTP/1.1\\r\\nHost: n%d.test\\r\\n\\r\\n' % n); s.settimeout(20)\n\
         \x20       how = 'denied' if b'403' in s.recv(99) else 'odd'\n\
         \x20   except socket.gaierror: how = 'unknown'\n\
         \x20   except TimeoutError: how = 'held'\n\
         \x20   except OSError as e: how = type(e).__name__\n\
         \x20   ended[how] += 1\n\
         all = [threading.Thread(target=go, args=(n,)) for n in range(1000)]\n\
         for t in all: t.start()\n\
         for t in all: t.join()\n\
         print(*sorted(ended.items()))\n",
    );
    let ended = done(&world, &mut shell, "python3 x.py");
    let count = |how: &str| -> usize {
        let found = ended.split(&format!("('{how}', ")).nth(1);
        found.map_or(0, |rest| rest.split(')').next().unwrap().parse().unwrap())
    };
    drop(listener);
    shell.end().ok();
    let asked = world.events_of("asked").len();
    assert!((1..=32).contains(&asked), "{asked}");
    // Those that came up wait, and nothing else does. Where the system allows little, questions beyond a socket's buffer
    // are lost, and their names get no address, which is a no as well.
    let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    if most.trim().parse().is_ok_and(|most: u64| most >= 2 << 20) {
        assert_eq!(count("unknown"), 0, "{ended}");
    }
    assert!(count("held") <= asked, "{ended}");
    assert_eq!(
        count("denied") + count("held") + count("unknown"),
        1000,
        "{ended}"
    );
}

#[test]
fn proxies_inside_ask_too() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let (mut shell, mut listener) = asking(&world, &server, &["--proxy-env"]);
    begin(&mut shell, "1", GET);
    let (number, place) = listener.next();
    assert_eq!(place, "a.test:8080");
    aca(&world, &["approve", &number, "--once"]).ok();
    assert!(result(&world, "1").contains("ok a.test"));
    begin(
        &mut shell,
        "2",
        "curl -sS -m 50 --socks5-hostname $(echo $ALL_PROXY | sed s,.*//,,) http://a.test:8090/",
    );
    let (number, place) = listener.next();
    assert_eq!(place, "a.test:8090");
    aca(&world, &["approve", &number, "--deny"]).ok();
    result(&world, "2");
    drop(listener);
    shell.end().ok();
    assert_refused(&world, &[("a.test:8090", "denied by a rule")]);
    assert_eq!(connections(&world).len(), 2);
}

/// To ask is to allow more, if somebody says yes; not to ask is narrower.
#[test]
fn a_projects_file_switches_it_off_and_not_on() {
    let world = World::new();
    let asks = |user: &str, project: &str| {
        world.file("../.config/aca/config.toml", format!("network.ask = {user}\n"));
        world.file(".aca.toml", format!("network.ask = {project}\n"));
        let ran = aca(&world, &["config"]);
        ran.ok()
            .lines()
            .any(|line| line.starts_with("network.ask = true"))
    };
    assert!(!asks("false", "true"));
    assert!(!asks("true", "false"));
    assert!(asks("true", "true"));
}

/// A line that was typed before a question could be seen is no answer to it: programs inside decide when it comes.
#[test]
fn n29_what_was_typed_ahead_answers_nothing() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let (mut shell, mut listener) = asking(&world, &server, &[]);
    let mut terminal = Pty::spawn(world.aca(&["approve", "--follow"]));
    begin(&mut shell, "1", GET);
    terminal.expect("let it wait?");
    begin(&mut shell, "2", "curl -sS -m 50 http://a.test:8081/");
    let numbers = [listener.next(), listener.next()];
    assert_eq!(numbers[1].1, "a.test:8081");
    // The second line is meant for the first question still.
    terminal.type_in("n\ns\n");
    terminal.expect("a.test:8080 may not be reached");
    terminal.expect("let it wait?");
    terminal.type_in("n\n");
    terminal.expect("a.test:8081 may not be reached");
    assert!(result(&world, "2").contains("denied by a rule"));
    // Nor does anybody ask about what was answered elsewhere meanwhile.
    begin(&mut shell, "3", "curl -sS -m 50 http://a.test:8082/");
    let (third, _) = listener.next();
    terminal.expect("let it wait?");
    begin(&mut shell, "4", "curl -sS -m 50 http://a.test:8083/");
    let (fourth, _) = listener.next();
    for number in [third, fourth] {
        aca(&world, &["approve", &number, "--deny"]).ok();
    }
    terminal.type_in("s\n");
    terminal.expect("nothing numbered");
    begin(&mut shell, "5", "curl -sS -m 50 http://a.test:8084/");
    terminal.expect("a.test:8084");
    terminal.expect("let it wait?");
    assert!(!terminal.shown().contains("a.test:8083"), "{}", terminal.shown());
    terminal.type_in("n\n");
    assert!(result(&world, "5").contains("denied by a rule"));
    drop(listener);
    shell.end().ok();
}

/// A session that is stopped keeps nobody from being asked by another, and asks itself once it goes on.
#[test]
fn n29_a_session_that_is_stopped_holds_no_other_up() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let mut stopped = Shell::start(&world, &["--net", "listed", "--ask"]);
    stopped.signal(rustix::process::Signal::STOP);
    let (mut shell, mut listener) = asking(&world, &server, &[]);
    begin(&mut shell, "1", GET);
    let (number, place) = listener.next();
    assert_eq!(place, "a.test:8080");
    let id = shell.id().to_owned();
    aca(&world, &["approve", &number, "--once", "--of", &id]).ok();
    assert!(result(&world, "1").contains("ok a.test"));
    stopped.signal(rustix::process::Signal::CONT);
    until(|| {
        done(&world, &mut stopped, "getent ahostsv4 probe.test || :")
            .contains("198.18.")
            .then_some(())
    });
    drop(listener);
    shell.end().ok();
    stopped.end().ok();
}

/// A user's configuration may lie in a repository of settings that is the project of a run.
#[test]
fn n29_what_is_saved_where_a_link_leads_to_a_project_is_in_nobodys_hands_inside() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    let config = world.file("settings/aca.toml", "[network]\n");
    let place = world.directory("../.config/aca").join("config.toml");
    std::os::unix::fs::symlink(&config, &place).unwrap();
    world.file(
        "x.py",
        "import os, sys\n\
         evil = b'[network]\\npreset = \"open\"\\n'\n\
         open('begun', 'w').close()\n\
         while not os.path.exists('enough'):\n\
         \x20   for name in os.listdir('settings'):\n\
         \x20       path = 'settings/' + name\n\
         \x20       try:\n\
         \x20           if name != 'aca.toml': os.unlink(path)\n\
         \x20           f = os.open(path, os.O_WRONLY | os.O_TRUNC | (name != 'aca.toml') * os.O_CREAT)\n\
         \x20           os.write(f, evil); os.close(f); print('won', name)\n\
         \x20       except OSError: pass\n",
    );
    let mut shell = Shell::start(&world, &[]);
    shell.tell("python3 x.py > out 2>&1; touch done");
    until(|| world.project.join("begun").try_exists().unwrap().then_some(()));
    for number in 0..10 {
        aca(&world, &["allow", "--save", &format!("n{number}.test")]).ok();
    }
    world.file("enough", "");
    until(|| world.project.join("done").try_exists().unwrap().then_some(()));
    shell.end().ok();
    assert_eq!(std::fs::read_to_string(world.project.join("out")).unwrap(), "");
    let saved = std::fs::read_to_string(&place).unwrap();
    assert!(
        !saved.contains("open") && saved.matches(".test").count() == 10,
        "{saved}"
    );
}
