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

#[test]
fn whatever_a_client_begins_and_leaves_is_ended() {
    let (world, server) = (World::new(), Server::http());
    // All at once, so that the ten seconds are waited for once: nothing at all, the start of a ClientHello, of a SOCKS
    // request, of a request to the proxy, of a question; and a client that was refused and goes on sending.
    world.file(
        "x.py",
        "import socket, threading, time\n\
         ends = {}\n\
         def one(name, address, start, more=b''):\n\
         \x20   s = socket.create_connection(address, 60); got = b''\n\
         \x20   try:\n\
         \x20       s.sendall(start)\n\
         \x20       s.settimeout(0.2)\n\
         \x20       end = time.time() + 60\n\
         \x20       while time.time() < end:\n\
         \x20           if more: s.sendall(more)\n\
         \x20           try:\n\
         \x20               part = s.recv(4096)\n\
         \x20               if not part: break\n\
         \x20               got += part\n\
         \x20           except TimeoutError: pass\n\
         \x20       else: got = b'never ended'\n\
         \x20   except OSError: got += b' reset'\n\
         \x20   ends[name] = got[:15]\n\
         web, tls, own = ('a.test', 80), ('a.test', 443), '198.18.255.254'\n\
         cases = [('silence', web, b''), ('hello', tls, b'\\x16\\x03\\x01\\x02\\x00\\x01'), ('socks', (own, 1080), b'\\x05\\x01\\x00\\x05\\x01'),\n\
         \x20        ('proxy', (own, 3128), b'GET http://a.test/ HT'), ('question', ('8.8.8.8', 53), b'\\x00\\x20abc'),\n\
         \x20        ('deaf', ('b.test', 80), b'GET / HTTP/1.1\\r\\nHost: b.test\\r\\n\\r\\n', b'x' * 100000)]\n\
         threads = [threading.Thread(target=one, args=case) for case in cases]\n\
         for t in threads: t.start()\n\
         for t in threads: t.join()\n\
         for name in sorted(ends): print(name, ends[name])\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "b.test:81",
            "--resolve",
            &server.resolve("a.test"),
        ],
        "python3 x.py",
    );
    let lines: Vec<&str> = ran.ok().lines().collect();
    assert_eq!(lines.len(), 6, "{ran:?}");
    assert!(!ran.out.contains("never"), "{ran:?}");
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn one_connection_asks_a_thousand_questions_and_no_more() {
    let world = World::new();
    world.file(
        "x.py",
        "import socket, struct\n\
         q = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + b'\\1b\\4test\\0' + struct.pack('>HH', 1, 1)\n\
         s = socket.create_connection(('8.8.8.8', 53), 60); f = s.makefile('rb'); count = 0\n\
         try:\n\
         \x20   for _ in range(1100):\n\
         \x20       s.sendall(struct.pack('>H', len(q)) + q)\n\
         \x20       head = f.read(2)\n\
         \x20       if len(head) < 2: break\n\
         \x20       f.read(struct.unpack('>H', head)[0]); count += 1\n\
         except OSError: pass\n\
         print(count)\n",
    );
    assert_eq!(world.run(&["--net", "agent"], "python3 x.py").ok(), "1000");
}
