//! Ports that are opened and closed while a run lasts (`aca ports`), and what begins to listen.

use super::publish::{Running, http, local, page, pause};
use super::servers::Server;
use super::support::{Ran, World};
use serde_json::Value;
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn ports(world: &World, words: &[&str]) -> Ran {
    let output = world.aca(&["ports"]).args(words).output().unwrap();
    Ran::from_output(&output)
}

/// What `aca ports` says, once that is so.
fn once(world: &World, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let ran = ports(world, &["--json"]);
        let state = serde_json::from_str(&ran.out).unwrap_or(Value::Null);
        if ran.code == 0 && is(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "{ran:?}");
        pause();
    }
}

fn listens(state: &Value, port: u16) -> bool {
    let end = format!(":{port}");
    let listening = state["listening"].as_array().unwrap();
    listening
        .iter()
        .any(|place| place.as_str().unwrap().ends_with(&end))
}

#[test]
fn n25_a_server_is_published_and_closed_while_it_runs() {
    let world = World::new();
    let running = Running::start(&world, &[], &http("127.0.0.1", 8000));
    once(&world, |state| listens(state, 8000));
    let added: Value = serde_json::from_str(&ports(&world, &["add", ":8000", "--json"]).out).unwrap();
    let port = u16::try_from(added["open"][0]["host"].as_u64().unwrap()).unwrap();
    assert!(page(local(port)).ends_with("hello\n"));
    // A connection that is open is cut with its port.
    let kept = TcpStream::connect(local(port)).unwrap();
    let again = ports(&world, &["add", &format!("{port}:8000")]);
    assert!(
        again.code != 0 && again.err.contains("is in use already"),
        "{again:?}"
    );
    let removed = ports(&world, &["remove", &port.to_string()]);
    assert_eq!(removed.ok(), "");
    assert!(TcpStream::connect(local(port)).is_err());
    kept.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(!matches!(std::io::Read::read(&mut &kept, &mut [0]), Ok(1..)));
    let missing = ports(&world, &["remove", &port.to_string()]);
    assert!(
        missing.code != 0 && missing.err.contains("isn't open"),
        "{missing:?}"
    );
    running.end();
    let opened: Vec<bool> = world
        .events_of("port")
        .iter()
        .map(|event| event["open"].as_bool().unwrap())
        .collect();
    assert_eq!(opened, [true, false]);
}

#[test]
fn n11_a_service_of_the_host_is_opened_and_closed_while_it_runs() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    let ask = format!(
        "ask() {{ curl -sS -m 20 -o /dev/null -w '%{{http_code}}' http://localhost:{port}/ 2>/dev/null; }}\n\
         until [ \"$(ask)\" = 200 ]; do sleep 0.1; done; echo > opened\n\
         while [ \"$(ask)\" = 200 ]; do sleep 0.1; done; echo > closed\n\
         python3 -m http.server {port}"
    );
    let running = Running::start(&world, &[], &ask);
    once(&world, |_| true);
    let there = |name: &str| world.project.join(name).symlink_metadata().is_ok();
    let until = |name: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !there(name) {
            assert!(Instant::now() < deadline, "{name}");
            pause();
        }
    };
    let added = ports(&world, &["add", "--host", &port.to_string()]);
    assert_eq!(
        added.ok(),
        format!("localhost:{port} inside leads to localhost:{port} of the host")
    );
    until("opened");
    let twice = ports(&world, &["add", "--host", &port.to_string()]);
    assert!(twice.code != 0 && twice.err.contains("already"), "{twice:?}");
    // It is aca's listener: nothing that listens inside.
    let state = once(&world, |_| true);
    assert!(!listens(&state, port), "{state}");
    assert_eq!(ports(&world, &["remove", "--host", &port.to_string()]).ok(), "");
    until("closed");
    // Now a program inside has it, and it can't be given away.
    once(&world, |state| listens(state, port));
    let taken = ports(&world, &["add", "--host", &port.to_string()]);
    assert!(
        taken.code != 0 && taken.err.contains("listens there already"),
        "{taken:?}"
    );
    running.end();
}

/// Rules are made anew from those of the start: what was opened since stays, and a deny closes it.
#[test]
fn n29_rules_that_change_leave_a_host_port_open_and_a_deny_cuts_it() {
    let (world, server) = (World::new(), Server::echo("hello\n"));
    let port = server.port;
    world.file(
        "x.py",
        format!(
            "import os, socket, time\n\
             def greeted():\n\
             \x20   s = socket.create_connection(('127.0.0.1', {port}), 20)\n\
             \x20   return s if s.recv(6) == b'hello\\n' else None\n\
             def go():\n\
             \x20   while 1:\n\
             \x20       try:\n\
             \x20           if s := greeted(): return s\n\
             \x20       except OSError: pass\n\
             \x20       time.sleep(.05)\n\
             s = go(); open('opened', 'w')\n\
             while not os.path.exists('allowed'): time.sleep(.05)\n\
             t = go(); open('still', 'w')\n\
             try: s.recv(1)\n\
             except OSError: pass\n\
             open('cut', 'w')\n\
             try: greeted() or open('closed', 'w')\n\
             except OSError: open('closed', 'w')\n\
             time.sleep(60)\n"
        ),
    );
    let running = Running::start(&world, &[], "exec python3 x.py");
    once(&world, |_| true);
    let until = |name: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while world.project.join(name).symlink_metadata().is_err() {
            assert!(Instant::now() < deadline, "{name}");
            pause();
        }
    };
    let told = |words: &[&str]| {
        let output = world.aca(words).output().unwrap();
        assert_eq!(Ran::from_output(&output).code, 0, "{output:?}");
    };
    told(&["ports", "add", "--host", &port.to_string()]);
    until("opened");
    told(&["allow", "a.test"]);
    world.file("allowed", "");
    until("still");
    told(&["deny", "--cut", &format!("localhost:{port}")]);
    until("cut");
    until("closed");
    running.end();
    let denied = world.events_of("connection");
    assert!(
        denied.iter().filter(|event| event["denied"].is_object()).count() >= 2,
        "{denied:?}"
    );
}

#[test]
fn what_begins_to_listen_is_offered_once() {
    let world = World::new();
    world.file(
        "x.py",
        "import socket, time\n\
         def listen(family, address):\n\
         \x20   s = socket.socket(family); s.setsockopt(1, 2, 1); s.bind(address); s.listen(); return s\n\
         a = listen(2, ('127.0.0.1', 8001)); b = listen(2, ('0.0.0.0', 8002)); c = listen(10, ('::', 8003)); d = listen(10, ('::1', 8004))\n\
         e = listen(2, ('127.0.0.2', 8005)); u = socket.socket(2, 2); u.bind(('127.0.0.1', 8006))\n\
         x = socket.socket(1); x.bind('\\0x'); x.listen()\n\
         time.sleep(0.5); a.close(); a = listen(2, ('127.0.0.1', 8001)); time.sleep(2)\n\
         f = listen(2, ('127.0.0.1', 80)); time.sleep(0.5)\n",
    );
    let ran = world.run(&[], "python3 x.py");
    assert_eq!(ran.ok(), "", "{ran:?}");
    assert_eq!(ran.err, "", "nothing is said on the program's terminal");
    let offered = world.events_of("listening");
    let mut numbers: Vec<u64> = offered
        .iter()
        .map(|event| event["port"].as_u64().unwrap())
        .collect();
    let last = offered.last().unwrap();
    assert_eq!(last["port"], 80, "{offered:?}");
    assert!(last["pid"].as_i64().is_some(), "{offered:?}");
    numbers.sort_unstable();
    assert_eq!(numbers, [80, 8001, 8002, 8003, 8004], "{offered:?}");
    let log = Ran::from_output(&world.aca(&["log"]).output().unwrap());
    assert!(
        log.out.contains("127.0.0.1:80 inside") && log.out.contains("aca ports add 80\n"),
        "{log:?}"
    );
}

/// Many listeners cost the log a bounded number of lines, and nobody waits for them.
#[test]
fn a_flood_of_listeners_is_bounded() {
    let world = World::new();
    world.file(
        "x.py",
        "import socket\n\
         held = []\n\
         for n in range(900):\n\
         \x20   s = socket.socket(); s.bind(('127.0.0.1', 20000 + n)); s.listen(); held.append(s)\n\
         for n in range(20000): held[0].listen()\n\
         print('done')\n",
    );
    let ran = world.run(&[], "python3 x.py");
    assert_eq!(ran.ok(), "done", "{ran:?}");
    let offered = world.events_of("listening").len();
    assert!((1..100).contains(&offered), "{offered}");
}

#[test]
fn n24_servers_and_clients_inside_have_all_numbers() {
    let world = World::new();
    world.file(
        "x.py",
        "import socket\n\
         for family, address in ((2, '127.0.0.1'), (2, '0.0.0.0'), (10, '::1'), (10, '::')):\n\
         \x20   for port in (1, 22, 80, 443, 1080, 3128, 5432, 8080, 15053, 65535):\n\
         \x20       s = socket.socket(family); s.setsockopt(1, 2, 1); s.bind((address, port)); s.listen()\n\
         \x20       c = socket.create_connection(('127.0.0.1' if family == 2 else '::1', port), 20)\n\
         \x20       p, _ = s.accept(); p.sendall(b'x'); assert c.recv(1) == b'x'\n\
         \x20       for end in (c, p, s): end.setsockopt(1, 13, b'\\1\\0\\0\\0\\0\\0\\0\\0'); end.close()\n\
         print('all')\n",
    );
    let ran = world.run(&["--allow", "a.test:*", "--allow", "b.test:8080"], "python3 x.py");
    assert_eq!(ran.ok(), "all", "{ran:?}");
}

/// Without a redirect aca listens at the ports that rules name, and the kernel gives a port once.
#[test]
fn n24_numbers_that_the_other_capture_keeps() {
    let world = World::new();
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[network]\ncapture = \"ports\"\nallow = [\"a.test:8080\"]\n",
    );
    world.file(
        "x.py",
        "import socket\n\
         kept = []\n\
         for port in (1, 22, 53, 80, 443, 1080, 3128, 3000, 8080, 15001, 65535):\n\
         \x20   s = socket.socket(); s.setsockopt(1, 2, 1)\n\
         \x20   try: s.bind(('127.0.0.1', port)); s.listen()\n\
         \x20   except OSError as e: kept.append(port)\n\
         print(kept)\n",
    );
    let ran = world.run(&[], "python3 x.py");
    assert_eq!(ran.ok(), "[22, 53, 80, 443, 1080, 3128, 8080]", "{ran:?}");
}

#[test]
fn a_session_without_a_network_says_so() {
    let world = World::new();
    let running = Running::start(&world, &["--net", "none"], "exec sleep 60");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let ran = ports(&world, &["add", "8000"]);
        if ran.err.contains("the network of this session is off") {
            break;
        }
        assert!(Instant::now() < deadline, "{ran:?}");
        pause();
    }
    drop(running);
    let ran = ports(&world, &["add", "53"]);
    assert!(ran.code == 125 && ran.err.contains("aca's own"), "{ran:?}");
}
