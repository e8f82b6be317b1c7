//! Names asked for, datagrams and raw sockets: N14 to N16.

use super::refused_names;
use super::servers::Server;
use super::support::World;

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
fn no_kind_of_question_carries_anything_out() {
    let world = World::new();
    world.file(
        "x.py",
        format!("{ASK}\nfor kind in [5, 15, 16, 33, 64, 65, 255]: print(*ask('127.0.0.1', b'secret.a.test', kind))\n"),
    );
    let ran = world.run(&["--net", "open"], "python3 x.py");
    // TXT and its like are refused; HTTPS and SVCB of a name that may be reached are empty.
    assert_eq!(ran.ok(), "5 0\n5 0\n5 0\n5 0\n0 0\n0 0\n5 0");
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
