//! Names asked for, datagrams and raw sockets: N14 to N16.

use super::lab::{Lab, MX, SRV, TXT, wire};
use super::refused_names;
use super::servers::Server;
use super::support::{World, has};

/// Asks over UDP or TCP, and prints the code and the number of answers.
const ASK: &str = r"
import socket, struct, sys
def ask(server, name, kind, tcp=False):
    q = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0)
    q += b''.join(bytes([len(l)]) + l for l in name.split(b'.')) + b'\0' + struct.pack('>HH', kind, 1)
    family = socket.AF_INET6 if ':' in server else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    s.settimeout(20); s.connect((server, 53))
    s.sendall((struct.pack('>H', len(q)) if tcp else b'') + q)
    a = s.recv(2000)[2 if tcp else 0:]
    return a[3] & 15, struct.unpack('>H', a[6:8])[0]
";

#[test]
fn n16_every_server_is_ours_over_udp_and_tcp() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        format!(
            "{ASK}\nfor s in ['127.0.0.1', '::1', '8.8.8.8', '2001:4860:4860::8888', '169.254.169.254']:\n\
             \x20   print(*[ask(s, b'a.test', 1), ask(s, b'a.test', 28), ask(s, b'b.test', 1), ask(s, b'a.test', 1, True)])\n"
        ),
    );
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), ["(0, 1) (0, 1) (3, 0) (0, 1)"; 5].join("\n"));
    assert_eq!(refused_names(&world), ["b.test"]);
}

#[test]
fn n16_what_may_not_be_reached_is_never_asked_outside() {
    let Some(lab) = Lab::enter() else { return };
    let world = World::new();
    lab.address("secret.a.test", "5.5.1.1");
    world.file(
        "x.py",
        format!("{ASK}\nfor kind in [1, 2, 5, 6, 12, 15, 16, 28, 33, 64, 65, 252, 255, 257]: print(*ask('127.0.0.1', b'secret.a.test', kind))\n"),
    );
    let ran = world.run(&["--net", "agent"], "python3 x.py");
    // No such name; but for a pointer that is none, a zone, and all at once.
    assert_eq!(
        ran.ok(),
        "3 0\n3 0\n3 0\n3 0\n5 0\n3 0\n3 0\n3 0\n3 0\n3 0\n3 0\n5 0\n4 0\n3 0"
    );
    let ran = world.run(&["--net", "open"], "python3 x.py");
    // Of a name that may be reached: its address, and nothing of what isn't asked for outside.
    assert_eq!(
        ran.ok(),
        "0 1\n0 0\n0 0\n0 0\n5 0\n0 0\n0 0\n0 1\n0 0\n0 0\n0 0\n5 0\n4 0\n0 0"
    );
    assert_eq!(
        lab.asked(),
        ["secret.a.test 15", "secret.a.test 16", "secret.a.test 33"]
    );
}

#[test]
fn records_are_told_of_names_that_may_be_reached() {
    let Some(lab) = Lab::enter() else { return };
    let world = World::new();
    let srv = |port: u16, target: &str| [&[0, 5, 0, 1][..], &port.to_be_bytes(), &wire(target)].concat();
    lab.answer(
        "_mongodb._tcp.db.a.test",
        SRV,
        vec![srv(27017, "m1.a.test"), srv(27018, "m2.a.test")],
    );
    lab.answer("db.a.test", TXT, vec![b"\x0bauthSource=\x05admin".to_vec()]);
    lab.answer("a.test", MX, vec![[&[0, 10][..], &wire("mail.b.test")].concat()]);
    let long: Vec<Vec<u8>> = (0..8).map(|_| [vec![200], vec![b'x'; 200]].concat()).collect();
    lab.answer("long.a.test", TXT, long);
    lab.answer("_x._tcp.b.test", SRV, vec![srv(1, "b.test")]);
    let flags = ["--net", "listed", "--allow", "**.a.test"];
    if has("node") {
        world.file(
            "x.js",
            "const d = require('dns').promises;\n\
             (async () => {\n\
             console.log(JSON.stringify((await d.resolveSrv('_mongodb._tcp.db.a.test')).map(r => r.name + ':' + r.port).sort()));\n\
             console.log(JSON.stringify(await d.resolveTxt('db.a.test')));\n\
             console.log(JSON.stringify(await d.resolveMx('a.test')));\n\
             console.log((await d.resolveTxt('long.a.test')).length);\n\
             for (const [kind, name] of [['Srv', '_x._tcp.b.test'], ['Txt', 'none.a.test'], ['Caa', 'a.test'], ['Ns', 'a.test']])\n\
             \x20 await d['resolve' + kind](name).then(console.log, e => console.log(e.code));\n\
             })();\n",
        );
        let ran = world.run(&flags, "node x.js");
        assert_eq!(
            ran.ok(),
            "[\"m1.a.test:27017\",\"m2.a.test:27018\"]\n[[\"authSource=\",\"admin\"]]\n[{\"exchange\":\"mail.b.test\",\"priority\":10}]\n8\n\
             ENOTFOUND\nENOTFOUND\nENODATA\nENODATA"
        );
    }
    world.file(
        "x.py",
        format!("{ASK}\nfor tcp in [False, True]: print(*ask('127.0.0.1', b'long.a.test', 16, tcp), *ask('127.0.0.1', b'_mongodb._TCP.db.a.test', 33, tcp))\n"),
    );
    let ran = world.run(&flags, "python3 x.py");
    // Without EDNS a long answer over UDP is cut, and whole over TCP.
    assert_eq!(ran.ok(), "0 0 0 2\n0 8 0 2");
    assert!(
        !lab.asked().iter().any(|asked| asked.contains("b.test")),
        "{:?}",
        lab.asked()
    );
    let fixed = world.run(
        &["--net", "listed", "--resolve", "db.a.test=127.0.0.1"],
        "python3 x.py",
    );
    assert_eq!(fixed.ok(), "3 0 0 0\n3 0 0 0");
}

#[test]
fn records_are_asked_for_a_few_times_a_second_and_never_for_long_names() {
    let Some(lab) = Lab::enter() else { return };
    let world = World::new();
    world.file(
        "x.py",
        format!(
            "{ASK}\nprint(ask('127.0.0.1', b'.'.join([b'd' * 60] * 2 + [b'a', b'test']), 16))\n\
             codes = [ask('127.0.0.1', b'%d.a.test' % i, 16)[0] for i in range(300)]\n\
             print(codes.count(3) < 150, codes.count(2) > 100, codes.count(2) + codes.count(3))\n"
        ),
    );
    let ran = world.run(&["--net", "listed", "--allow", "**.a.test"], "python3 x.py");
    assert_eq!(ran.ok(), "(5, 0)\nTrue True 300", "{ran:?}");
    let asked = lab.asked();
    assert!(
        asked.len() < 150 && !asked.iter().any(|asked| asked.contains("dddd")),
        "{}",
        asked.len()
    );
    let denied = world
        .events_of("lookup")
        .into_iter()
        .filter(|event| !event["denied"].is_null());
    assert!(denied.count() > 100);
}

#[test]
fn names_of_one_network_do_not_exist_unless_they_are_named() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        format!("{ASK}\nfor name in [b'intranet', b'printer.local', b'a.home.arpa', b'metadata.google.internal', b'a.test']: print(*ask('127.0.0.1', name, 1))\n"),
    );
    let ran = world.run(&["--net", "open"], "python3 x.py");
    assert_eq!(ran.ok(), "3 0\n3 0\n3 0\n3 0\n0 1");
    let flags = [
        "--net",
        "open",
        "--allow",
        "**.local",
        "--resolve",
        &server.resolve("intranet"),
        "--resolve",
        &server.resolve("a.home.arpa"),
    ];
    let ran = world.run(&flags, "python3 x.py; curl -sS -m 20 http://intranet/");
    assert_eq!(ran.ok(), "0 1\n0 1\n0 1\n3 0\n0 1\nok intranet GET / ");
}

#[test]
fn what_names_mean_inside_is_said_by_files_of_aca_s_own() {
    let world = World::new();
    let ran = world.run(
        &["--net", "listed", "--allow", "a.test"],
        "cat /etc/hosts /etc/resolv.conf; grep hosts /etc/nsswitch.conf; getent ahostsv4 $(hostname) | head -1 | cut -d' ' -f1; \
         getent ahostsv4 localhost | head -1 | cut -d' ' -f1; getent ahostsv4 x.localhost | head -1 | cut -d' ' -f1; \
         getent ahostsv4 a.test | head -1 | cut -d' ' -f1; getent hosts 198.18.0.1; getent hosts b.test; echo $?; \
         for f in hosts resolv.conf nsswitch.conf; do (echo x >> /etc/$f) 2>/dev/null && echo written; done; true",
    );
    assert_eq!(
        ran.ok(),
        "127.0.0.1 localhost aca\n::1 localhost ip6-localhost ip6-loopback aca\nnameserver 127.0.0.1\n\
         options ndots:1 timeout:2 attempts:2\nhosts: files dns\n127.0.0.1\n127.0.0.1\n127.0.0.1\n198.18.0.1\n\
         198.18.0.1      a.test\n2"
    );
}

#[test]
fn n14_odd_names_are_refused() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        format!("{ASK}\nfor name in [b'a.test\\0.b', b'b\\0.a.test', b'%25.test', b'127.1', b'-']: print(*ask('127.0.0.1', name, 1))\n"),
    );
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), ["3 0"; 5].join("\n"));
}

#[test]
fn n15_n16_other_datagrams_are_refused_at_once() {
    let world = World::new();
    world.file(
        "x.py",
        "import socket\nfor family, host in [(2, '8.8.8.8'), (10, '2001:4860:4860::8888'), (2, '127.0.0.1'), (2, '198.18.0.1')]:\n\
         \x20   for port in [443, 123, 15053 if host != '127.0.0.1' else 9]:\n\
         \x20       s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(20); s.connect((host, port))\n\
         \x20       try:\n\
         \x20           s.send(b'x'); s.recv(1); print('answered')\n\
         \x20       except ConnectionRefusedError: print('refused')\n",
    );
    let ran = world.run(&["--net", "open"], "python3 x.py");
    assert_eq!(ran.ok(), ["refused"; 12].join("\n"));
}

#[test]
fn n16_raw_sockets_and_other_families_are_refused() {
    let world = World::new();
    world.file(
        "x.py",
        "import socket\nfor family, kind, protocol in [(2, 3, 1), (2, 3, 255), (10, 3, 58), (17, 3, 3), (17, 2, 0), (16, 3, 12), (40, 1, 0), (38, 5, 0), (2, 2, 1), (10, 2, 58), (2, 5, 132)]:\n\
         \x20   try:\n\
         \x20       socket.socket(family, kind, protocol); print('there')\n\
         \x20   except OSError as e: print('refused')\n",
    );
    let ran = world.run(&["--net", "open"], "python3 x.py");
    assert_eq!(ran.ok(), ["refused"; 11].join("\n"));
}

#[test]
fn n24_servers_inside_are_reached_inside() {
    let world = World::new();
    world.file("index.html", "inside");
    let ran = world.run(
        &[],
        "python3 -m http.server -b :: 8000 >/dev/null 2>&1 & \
         for i in $(seq 100); do curl -s -m 20 http://127.0.0.1:8000/ >/dev/null && break; sleep 0.1; done; \
         for h in 127.0.0.1 localhost '[::1]'; do curl -sS -m 20 http://$h:8000/; done",
    );
    assert_eq!(ran.ok(), "insideinsideinside");
    assert_eq!(world.events_of("connection"), Vec::<serde_json::Value>::new());
}
