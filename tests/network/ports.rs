//! The fallback for kernels without nf_tables: catch-all routes, one listener a port.

use super::assert_refused;
use super::servers::Server;
use super::support::World;

fn world() -> World {
    let world = World::new();
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[network]\ncapture = \"ports\"\n",
    );
    world
}

#[test]
fn listed_ports_and_questions_work() {
    let (world, server) = (world(), Server::http());
    let ran = world.run(
        &["--net", "agent", "--allow", "a.test:8080", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 http://a.test/; curl -sS -m 20 -6 http://a.test:8080/; curl -sS -m 20 http://b.test/; echo code=$?",
    );
    assert_eq!(ran.ok(), "ok a.test GET / ok a.test:8080 GET / code=6", "{ran:?}");
}

#[test]
fn the_same_is_refused() {
    let (world, server) = (world(), Server::http());
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "for u in http://169.254.169.254/ http://127.0.0.1/ http://198.18.255.254/ 'http://[fd61:6361::1]/' 'http://[::1]/'; do \
         curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' $u; done; curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' -H 'Host: b.test' http://a.test/; \
         curl -sS -m 20 http://a.test:9999/; echo code=$?",
    );
    assert_eq!(ran.out, format!("{}code=7\n", "403\n".repeat(6)), "{ran:?}");
    assert_refused(
        &world,
        &[
            ("169.254.169.254:80", "no rule"),
            ("127.0.0.1:80", "own address"),
            ("198.18.255.254:80", "no name"),
            ("fd61:6361::1:80", "no name"),
            ("::1:80", "own address"),
            ("a.test:80", "`b.test` is not"),
        ],
    );
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn questions_over_tcp_and_other_datagrams() {
    let world = world();
    world.file(
        "x.py",
        "import socket, struct\nq = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + b'\\1b\\4test\\0' + struct.pack('>HH', 1, 1)\n\
         s = socket.create_connection(('127.0.0.1', 53), 20); s.sendall(struct.pack('>H', len(q)) + q); print(s.recv(99)[5] & 15)\n\
         s = socket.socket(2, 2); s.settimeout(20); s.connect(('8.8.8.8', 53))\n\
         try: s.send(q); s.recv(1)\n\
         except ConnectionRefusedError: print('refused')\n",
    );
    assert_eq!(world.run(&["--net", "agent"], "python3 x.py").ok(), "3\nrefused");
}
