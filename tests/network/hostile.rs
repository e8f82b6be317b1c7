//! Clients that want the supervisor to wait, to fill up or to misunderstand.

use super::servers::Server;
use super::support::World;
use super::{assert_refused, connections};

#[test]
fn bytes_that_never_end_are_cut_off() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        "import socket\ns = socket.create_connection(('a.test', 80), 60)\n\
         try:\n\
         \x20   s.sendall(b'GET / HTTP/1.1\\r\\n' + b'X: ' + b'y' * 200000)\n\
         \x20   print(s.recv(12))\n\
         except OSError as e: print(e)\n",
    );
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    ran.ok();
    assert_refused(&world, &[("a.test:80", "too long")]);
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn a_client_that_trickles_is_ended_and_others_are_served_meanwhile() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        "import socket, time, urllib.request\nslow = [socket.create_connection(('a.test', 80), 60) for _ in range(200)]\n\
         for s in slow: s.sendall(b'GET / HT')\n\
         print(urllib.request.urlopen('http://a.test/', timeout=20).status)\n\
         def end(s):\n\
         \x20   try: return s.recv(12)\n\
         \x20   except ConnectionResetError: return b''\n\
         print(set(end(s) for s in slow))\n",
    );
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), "200\n{b'HTTP/1.1 403'}", "{ran:?}");
    let late = connections(&world)
        .into_iter()
        .filter(|(_, _, why)| why.as_ref().is_some_and(|why| why.contains("in time")));
    assert_eq!(late.count(), 200);
}

#[test]
fn requests_that_can_be_read_in_two_ways_reach_no_server() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        "import socket\nfor text in [\n\
         b'POST / HTTP/1.1\\r\\nHost: a.test\\r\\nContent-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET / HTTP/1.1\\r\\nHost: b.test\\r\\n\\r\\n',\n\
         b'GET / HTTP/1.1\\r\\nHost: a.test\\r\\nHost: b.test\\r\\n\\r\\n',\n\
         b'GET / HTTP/1.1\\r\\n Host: b.test\\r\\nHost: a.test\\r\\n\\r\\n',\n\
         b'GET / HTTP/1.1\\nHost: b.test\\n\\n',\n\
         b'GET / HTTP/1.1\\r\\nHost: a.test\\0.b.test\\r\\n\\r\\n',\n\
         b'GET /\\r\\n', b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n', b'\\r\\n\\r\\nGET / HTTP/1.1\\r\\nHost: b.test\\r\\n\\r\\n']:\n\
         \x20   s = socket.create_connection(('a.test', 80), 60); s.sendall(text)\n\
         \x20   try: print(s.recv(12)[9:])\n\
         \x20   except ConnectionResetError: print('reset')\n",
    );
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    assert_eq!(
        ran.ok(),
        "b'403'\nb'403'\nb'403'\nb'403'\nb'403'\nreset\nreset\nb'403'",
        "{ran:?}"
    );
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn a_run_ends_though_its_connections_are_open() {
    let (world, server) = (World::new(), Server::echo(""));
    let ran = world.run(
        &["--net", "agent", "--allow", "a.test:7777", "--resolve", &server.resolve("a.test")],
        "python3 -c 'import socket; s = socket.create_connection((\"a.test\", 7777), 20); s.sendall(b\"x\"); print(s.recv(1), flush=True); import os; os._exit(0)'",
    );
    assert_eq!(ran.ok(), "b'x'");
    let events = world.events_of("connection");
    assert_eq!(
        (&events[0]["sent"], &events[0]["received"]),
        (&1.into(), &1.into()),
        "{events:?}"
    );
}

#[test]
fn a_client_that_waits_first_is_judged_when_it_speaks() {
    let (world, server) = (World::new(), Server::echo("hello"));
    world.file(
        "x.py",
        "import socket\ndef ask(*parts):\n\
         \x20   s = socket.create_connection(('a.test', 7777), 60); print(s.recv(5), end=' ')\n\
         \x20   for part in parts:\n\
         \x20       s.sendall(part)\n\
         \x20       try: print(s.recv(99)[:20], end=' ')\n\
         \x20       except ConnectionResetError: print('reset', end=' ')\n\
         \x20   print()\n\
         ask(b'x', b'y\\r\\n')\n\
         ask(b'GET / HT', b'TP/1.1\\r\\nHost: a.test\\r\\n\\r\\n')\n\
         ask(b'GET / HT', b'TP/1.1\\r\\nHost: b.test\\r\\n\\r\\n')\n\
         ask(b'\\r\\n', b'GET / HTTP/1.1\\r\\nHost: b.test\\r\\n\\r\\n')\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "a.test:7777",
            "--resolve",
            &server.resolve("a.test"),
        ],
        "python3 x.py",
    );
    let lines: Vec<&str> = ran.ok().lines().map(str::trim).collect();
    assert_eq!(lines[0], "b'hello' b'x' b'y\\r\\n'");
    assert!(lines[1].starts_with("b'hello' b'GET / HT' b'TP/1.1"), "{ran:?}");
    assert!(
        !lines[2].contains("b.test") && !lines[3].contains("b.test"),
        "{ran:?}"
    );
    assert!(
        server.seen().iter().all(|text| !text.contains("b.test")),
        "{:?}",
        server.seen()
    );
    assert_eq!(
        super::connections(&world)
            .iter()
            .filter(|(_, _, why)| why.is_some())
            .count(),
        2
    );
}
