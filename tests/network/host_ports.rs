//! Services of the host's loopback that are reached from inside (`--host-port`).

use super::servers::Server;
use super::support::{World, has, skip};
use super::{assert_refused, connections};
use std::io::{Read, Write};
use std::net::TcpListener;

#[test]
fn n11_a_service_of_the_host_is_reached_at_localhost() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    let ran = world.run(
        &["--host-port", &port.to_string()],
        &format!("for h in 127.0.0.1 '[::1]' localhost; do curl -sS -m 20 http://$h:{port}/x; done"),
    );
    let answer = |host: &str| format!("ok {host}:{port} GET /x ");
    assert_eq!(
        ran.ok(),
        format!(
            "{}{}{}",
            answer("127.0.0.1"),
            answer("[::1]"),
            answer("localhost")
        ),
        "{ran:?}"
    );
    let events = world.events_of("connection");
    assert_eq!(events.len(), 3, "{events:#?}");
    for event in &events {
        assert_eq!(event["name"], "localhost", "{event}");
        assert_eq!(event["upstream"], "127.0.0.1", "{event}");
        assert!(
            event["sent"].as_u64() > Some(50) && event["received"].as_u64() > Some(50),
            "{event}"
        );
    }
    let opened = world.events_of("port");
    assert_eq!(opened[0]["kind"], "host_port", "{opened:?}");
    assert_eq!(
        opened[0]["origin"]["Flag"],
        format!("--host-port {port}"),
        "{opened:?}"
    );
}

#[test]
fn n11_without_the_grant_it_is_not() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    let ran = world.run(
        &[
            "--net",
            "open",
            "--allow",
            &format!("localhost:{port}"),
            "--allow",
            &format!("127.0.0.1:{port}"),
        ],
        &format!(
            "for h in 127.0.0.1 '[::1]' localhost; do curl -sS -m 20 http://$h:{port}/; echo $?; \
             curl -sS -m 20 -x socks5h://198.18.255.254:1080 --noproxy '' http://$h:{port}/; done"
        ),
    );
    assert_eq!(server.seen(), Vec::<String>::new(), "{ran:?}");
    assert!(ran.out.starts_with("7\n"), "{ran:?}");
}

/// A program that is told of a proxy, and of no exception, reaches the same service; no other port, and no other name.
#[test]
fn n11_it_is_reached_through_the_proxies_inside_as_well() {
    let (world, server, other) = (World::new(), Server::http(), Server::http());
    let (port, closed) = (server.port, other.port);
    let proxies = [
        "-x http://198.18.255.254:3128",
        "-p -x http://198.18.255.254:3128",
        "-x socks5h://198.18.255.254:1080",
        "-x socks5://198.18.255.254:1080",
    ];
    for proxy in proxies {
        // One that looks names up itself sends the address, which is the same.
        let named = if proxy.contains("socks5://") {
            ""
        } else {
            "other.localhost:$port"
        };
        let script = format!(
            "port={port}; ask() {{ curl -sS -m 20 --noproxy '' {proxy} \"$@\"; }}\n\
             for h in localhost 127.0.0.1 '[::1]'; do ask http://$h:{port}/x http://$h:{port}/y; done\n\
             for h in localhost:{closed} 127.0.0.2:{port} {named}; do ask -f http://$h/ && echo reached; done; :"
        );
        let ran = world.run(&["--host-port", &port.to_string()], &script);
        let answer = |host: &str| format!("ok {host}:{port} GET /x ok {host}:{port} GET /y ");
        let all = ["localhost", "127.0.0.1", "[::1]"].map(answer).concat();
        assert_eq!(ran.ok(), all, "{proxy}: {ran:?}");
        let passed: Vec<_> = connections(&world)
            .into_iter()
            .filter(|(.., denied)| denied.is_none())
            .collect();
        assert!(
            passed.len() >= 3
                && passed
                    .iter()
                    .all(|(name, to, _)| (name.as_str(), *to) == ("localhost", port.into())),
            "{proxy}: {passed:?}"
        );
        // A deny of the name, or of an address of it, holds here too.
        for deny in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
            let flags = ["--host-port", &port.to_string(), "--deny", &deny];
            let ran = world.run(
                &flags,
                &format!("curl -fsS -m 20 --noproxy '' {proxy} http://localhost:{port}/"),
            );
            assert_ne!(ran.code, 0, "{proxy} {deny}: {ran:?}");
        }
    }
    assert_eq!(other.seen(), Vec::<String>::new());
    assert_eq!(server.seen().len(), proxies.len() * 6);
}

#[test]
fn n11_another_number_inside_and_a_service_of_ipv6_alone() {
    let world = World::new();
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return skip("IPv6", "the machine has none");
    };
    let port = listener.local_addr().unwrap().port();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"six\n").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    let ran = world.run(
        &["--host-port", &format!("80:{port}")],
        "python3 -c \"import socket\ns = socket.create_connection(('127.0.0.1', 80), 20)\nprint(s.recv(9)); s.sendall(b'bye'); s.shutdown(1); print(s.recv(9))\"",
    );
    assert_eq!(ran.ok(), "b'six\\n'\nb''", "{ran:?}");
    assert_eq!(service.join().unwrap(), b"bye");
    assert_eq!(world.events_of("connection")[0]["upstream"], "::1");
}

/// The attempts of native code: other ports, other addresses, what it inherited, and the place of the listener.
#[test]
fn one_grant_opens_one_port() {
    let (world, granted, other) = (World::new(), Server::http(), Server::http());
    world.file(
        "x.py",
        format!(
            "import os, socket\n\
             granted, other = {}, {}\n\
             def tried(f):\n\
             \x20   try: f(); return 'done'\n\
             \x20   except OSError as e: return e.strerror\n\
             print(tried(lambda: socket.create_connection(('127.0.0.1', other), 20)))\n\
             print(tried(lambda: socket.create_connection(('127.0.0.2', granted), 20)))\n\
             s = socket.socket(); s.setsockopt(1, 2, 1); s.setsockopt(1, 15, 1)\n\
             print(tried(lambda: s.bind(('127.0.0.1', granted))))\n\
             s = socket.socket(); s.setsockopt(1, 2, 1); s.setsockopt(1, 15, 1)\n\
             print(tried(lambda: (s.bind(('0.0.0.0', granted)), s.listen())))\n\
             print([os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd') if int(n) > 2 and os.path.exists('/proc/self/fd/' + n) and os.readlink('/proc/self/fd/' + n).startswith('socket') and int(n) != s.fileno()])\n\
             c = socket.create_connection(('127.0.0.1', granted), 20)\n\
             c.sendall(b'GET / HTTP/1.1\\r\\nHost: 127.0.0.1:%d\\r\\n\\r\\n' % other); print(c.recv(15))\n",
            granted.port, other.port
        ),
    );
    let ran = world.run(
        &["--net", "open", "--host-port", &granted.port.to_string()],
        "python3 x.py",
    );
    assert_eq!(
        ran.ok(),
        "Connection refused\nConnection refused\nAddress already in use\nAddress already in use\n[]\nb'HTTP/1.1 200 OK'",
        "{ran:?}"
    );
    assert_eq!(other.seen(), Vec::<String>::new());
}

#[test]
fn a_deny_wins_over_a_host_port() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    for deny in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        "*".to_owned(),
    ] {
        let ran = world.run(
            &["--host-port", &port.to_string(), "--deny", &deny],
            &format!("curl -sS -m 20 http://127.0.0.1:{port}/; echo $?"),
        );
        assert!(matches!(ran.ok(), "7" | "56"), "{ran:?}");
        assert_refused(&world, &[(&format!("localhost:{port}"), "denied by a rule")]);
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn a_service_that_is_not_there() {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let ran = world.run(
        &["--host-port", &port.to_string()],
        &format!("curl -sS -m 20 http://127.0.0.1:{port}/; echo $?"),
    );
    assert!(matches!(ran.ok(), "7" | "56"), "{ran:?}");
    let failed = world.events_of("connection")[0]["failed"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(failed.contains(&format!("port {port} of the host")), "{failed}");
    assert_eq!(connections(&world).len(), 1);
}

/// Many, and a protocol in which the server speaks first.
#[test]
fn n26_two_hundred_at_once() {
    if !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Server::echo("hello\n"));
    world.file(
        "x.py",
        format!(
            "import asyncio\n\
             async def talk(n):\n\
             \x20   r, w = await asyncio.open_connection('127.0.0.1', {})\n\
             \x20   assert await r.readline() == b'hello\\n'\n\
             \x20   w.write(b'%d' % n * 1000 + b'\\n'); back = await r.readline(); w.close()\n\
             \x20   return back == b'%d' % n * 1000 + b'\\n'\n\
             async def main(): print(sum(await asyncio.gather(*map(talk, range(200)))))\n\
             asyncio.run(main())\n",
            server.port
        ),
    );
    let ran = world.run(&["--host-port", &server.port.to_string()], "python3 x.py");
    assert_eq!(ran.ok(), "200", "{ran:?}");
    assert_eq!(connections(&world).len(), 200);
}

#[test]
fn by_a_file_and_in_the_other_capture() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    // A port that has a listener for every address there, and one that doesn't.
    world.file(
        world.home.join(".config/aca/config.toml"),
        format!("[network]\ncapture = \"ports\"\nhost_ports = [{port}, \"443:{port}\"]\n"),
    );
    let ran = world.run(
        &[],
        &format!("for p in {port} 443; do curl -sS -m 20 http://127.0.0.1:$p/; curl -sS -m 20 -6 http://localhost:$p/; done"),
    );
    let answers = format!(
        "ok 127.0.0.1:{port} GET / ok localhost:{port} GET / ok 127.0.0.1:443 GET / ok localhost:443 GET / "
    );
    assert_eq!(ran.out, answers, "{ran:?}");
}

#[test]
fn a_project_s_own_file_opens_nothing() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    world.file(
        ".aca.toml",
        format!("[network]\nhost_ports = [{port}]\npublish = [\":8000\"]\n"),
    );
    let ran = world.run(&[], &format!("curl -sS -m 20 http://127.0.0.1:{port}/; echo $?"));
    assert_eq!(ran.out, "7\n", "{ran:?}");
    assert!(ran.err.contains("2 settings of it wait"), "{ran:?}");
    assert_eq!(world.events_of("port").len(), 0);
}

#[test]
fn the_network_that_is_off_has_no_ports() {
    let world = World::new();
    for flags in [["--host-port", "5432"], ["--publish", "3000"]] {
        let ran = world.run(&["--net", "none", flags[0], flags[1]], "echo ran");
        assert!(
            ran.code == 125 && ran.err.contains("the network is off"),
            "{ran:?}"
        );
    }
    for wrong in [
        ["--host-port", "53"],
        ["--publish", "53"],
        ["--publish", "80:15001"],
        ["--host-port", "0"],
    ] {
        let ran = world.run(&wrong, "echo ran");
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
    }
}

#[test]
fn more_of_them_than_one_message_carries() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    let ports: Vec<String> = (7000..7100).map(|inside| format!("{inside}:{port}")).collect();
    let flags: Vec<&str> = ports
        .iter()
        .flat_map(|port| ["--host-port", port.as_str()])
        .collect();
    let ran = world.run(
        &flags,
        "for p in 7000 7050 7099; do curl -sS -m 20 -o /dev/null -w '%{http_code} ' http://localhost:$p/; done",
    );
    assert_eq!(ran.ok(), "200 200 200 ", "{ran:?}");
}
