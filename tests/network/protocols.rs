//! What is spoken on a connection must fit the name that was asked for: N19 to N23; and protocols beside the web's.

use super::servers::{Server, Tls};
use super::support::{World, has};
use super::{assert_refused, connections};

#[test]
fn n19_another_host_in_the_request_is_refused() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 -o /dev/null -w '%{http_code}' -H 'Host: b.test' http://a.test/",
    );
    assert_eq!(ran.ok(), "403");
    assert_eq!(server.seen(), Vec::<String>::new());
    assert_refused(&world, &[("a.test:80", "`b.test` is not")]);
}

#[test]
fn n19_a_later_request_on_an_open_connection_is_judged_too() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        "import http.client\nc = http.client.HTTPConnection('a.test', timeout=20)\n\
         for host in ['a.test', 'a.test', 'b.test']:\n\
         \x20   c.request('POST', '/', body=b'x' * 100000, headers={'Host': host})\n\
         \x20   r = c.getresponse(); print(r.status, len(r.read()) > 0)\n",
    );
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), "200 True\n200 True\n403 True");
    assert_eq!(server.seen(), ["POST / a.test", "POST / a.test"]);
    assert_eq!(connections(&world).len(), 1);
    assert_refused(&world, &[("a.test:80", "`b.test` is not")]);
}

#[test]
fn n20_the_host_of_a_url_target_counts() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' --request-target http://b.test/ http://a.test/; \
         curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' --request-target http://a.test/ http://a.test/; \
         curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' -X CONNECT --request-target b.test:443 http://a.test/",
    );
    assert_eq!(ran.out, "403\n200\n403\n", "{ran:?}");
    assert_eq!(server.seen(), ["GET http://a.test/ a.test"]);
}

#[test]
fn n21_another_server_name_is_refused_with_an_alert() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Tls::start());
    let script = "a() { openssl s_client -connect a.test:443 \"$@\" </dev/null 2>&1 | grep -c -e 'access denied' -e 'CONNECTION ESTABLISHED'; }; \
                  openssl s_client -brief -connect a.test:443 -servername a.test </dev/null 2>&1 | grep ESTABLISHED; \
                  a -servername b.test; a -noservername; a -servername 'a.test.b.test'";
    let ran = world.run(&["--net", "open", "--resolve", &server.resolve("a.test")], script);
    assert_eq!(ran.out, "CONNECTION ESTABLISHED\n1\n1\n1\n", "{ran:?}");
    assert_refused(
        &world,
        &[
            ("a.test:443", "`b.test` is not"),
            ("a.test:443", "without a server name"),
            ("a.test:443", "is not"),
        ],
    );
}

/// A client that sends a real ClientHello in pieces, or a changed one.
const HELLO: &str = r"
import socket, ssl, sys, time
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
context = ssl.create_default_context()
o = context.wrap_bio(incoming, outgoing, server_hostname=sys.argv[2])
try: o.do_handshake()
except ssl.SSLWantReadError: pass
hello = outgoing.read()
if sys.argv[1] == 'ech':
    # An extension of the type `encrypted_client_hello` at the end, all lengths made right.
    extra = bytes([0xfe, 0x0d, 0, 4, 0, 0, 0, 0])
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at:at+2], 'big')
    at += 1 + hello[at]
    grow = lambda data, at, size: data[:at] + (int.from_bytes(data[at:at+size], 'big') + len(extra)).to_bytes(size, 'big') + data[at+size:]
    hello = grow(grow(grow(hello, at, 2), 6, 3), 3, 2) + extra
s = socket.create_connection(('a.test', 443), 20)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
step = 1 if sys.argv[1] == 'bytes' else len(hello)
for i in range(0, len(hello), step): s.sendall(hello[i:i+step])
answer = s.recv(7)
print('alert', answer[6] if len(answer) > 6 else None) if answer[0] == 21 else print('handshake', answer[0])
";

#[test]
fn n21_a_hello_in_pieces_is_put_together() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Tls::start());
    world.file("x.py", HELLO);
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "python3 x.py bytes a.test; python3 x.py bytes b.test; python3 x.py whole a.test",
    );
    assert_eq!(ran.ok(), "handshake 22\nalert 49\nhandshake 22", "{ran:?}");
}

#[test]
fn n21_an_encrypted_hello_is_refused() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Tls::start());
    world.file("x.py", HELLO);
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "python3 x.py ech a.test",
    );
    assert_eq!(ran.ok(), "alert 49", "{ran:?}");
    assert_refused(&world, &[("a.test:443", "ECH")]);
}

#[test]
fn n21_a_rule_can_let_a_server_name_be_missing_or_anything() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Tls::start());
    world.file("x.py", HELLO);
    let config = world.home.join(".config/aca/config.toml");
    let script = "a() { openssl s_client -brief -connect a.test:443 \"$@\" </dev/null 2>&1 | grep -c ESTABLISHED; }; \
                  a -noservername; a -servername a.test; a -servername b.test; python3 x.py ech a.test";
    for (sni, wanted) in [
        ("required", "0\n1\n0\nalert 49\n"),
        ("optional", "1\n1\n0\nalert 49\n"),
        ("any", "1\n1\n1\nhandshake 22\n"),
    ] {
        world.file(
            &config,
            format!("network.preset = 'listed'\nnetwork.allow = [{{ host = 'a.test', sni = '{sni}' }}]\n"),
        );
        let ran = world.run(&["--resolve", &server.resolve("a.test")], script);
        assert_eq!(ran.out, wanted, "{sni}: {ran:?}");
    }
    // In a file that isn't trusted it waits, as the host itself does.
    world.file(&config, "network.preset = 'listed'\nnetwork.allow = ['a.test']\n");
    world.file(
        ".aca.toml",
        "network.allow = [{ host = 'a.test', sni = 'any' }]\n",
    );
    let ran = world.run(&["--resolve", &server.resolve("a.test")], script);
    assert_eq!(ran.out, "0\n1\n0\nalert 49\n", "{ran:?}");
}

#[test]
fn plain_text_on_the_port_of_tls_is_refused() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 -o /dev/null -w '%{http_code}' http://a.test:443/",
    );
    assert_eq!(ran.ok(), "403");
    assert_refused(&world, &[("a.test:443", "no TLS")]);
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn n23_a_server_that_speaks_first_is_heard() {
    let (world, server) = (World::new(), Server::echo("220 hello\r\n"));
    world.file(
        "x.py",
        "import socket\ns = socket.create_connection(('a.test', 2525), 20)\nprint(s.recv(100))\ns.sendall(b'EHLO x\\r\\n')\n\
         print(s.recv(100))\ns.shutdown(socket.SHUT_WR)\nprint(s.recv(100))\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "a.test:2525",
            "--resolve",
            &server.resolve("a.test"),
        ],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), "b'220 hello\\r\\n'\nb'EHLO x\\r\\n'\nb''");
    assert_eq!(world.events_of("connection")[0]["protocol"], "opaque");
}

#[test]
fn n23_ssh_is_known_by_its_banner() {
    let (world, server) = (World::new(), Server::echo(""));
    world.run(
        &["--net", "agent", "--allow", "a.test:22", "--resolve", &server.resolve("a.test")],
        "printf 'SSH-2.0-test\\r\\n' | timeout 20 python3 -c 'import socket, sys; s = socket.create_connection((\"a.test\", 22), 20); s.sendall(sys.stdin.buffer.read()); print(s.recv(99))'",
    );
    assert_eq!(world.events_of("connection")[0]["protocol"], "ssh");
    assert_eq!(server.seen(), ["SSH-2.0-test\r\n"]);
}

#[test]
fn a_websocket_opens_and_no_other_protocol_does() {
    let (world, server) = (World::new(), Server::echo(""));
    world.file(
        "x.py",
        "import socket, sys\ns = socket.create_connection(('a.test', 80), 20)\n\
         s.sendall(b'GET / HTTP/1.1\\r\\nHost: a.test\\r\\nUpgrade: ' + sys.argv[1].encode() + b'\\r\\n\\r\\n')\nprint(s.recv(999))\n",
    );
    let flags = ["--net", "open", "--resolve", &server.resolve("a.test")];
    let ran = world.run(&flags, "python3 x.py websocket; python3 x.py h2c");
    ran.ok();
    let seen = server.seen();
    assert!(
        seen[0].contains("Upgrade: websocket") && !seen[1].contains("h2c"),
        "{seen:?}"
    );
}

#[test]
fn a_server_that_is_not_there_is_told_of() {
    let world = World::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let resolve = format!("a.test=127.0.0.1:{closed}");
    let ran = world.run(
        &["--net", "open", "--resolve", &resolve],
        "curl -sS -m 20 -o /dev/null -w '%{http_code}' http://a.test/",
    );
    assert_eq!(ran.ok(), "502");
    let events = world.events_of("connection");
    assert!(
        events[0]["failed"].as_str().unwrap().contains("refused"),
        "{events:?}"
    );
    assert_eq!(ran.err, "", "a failure is no denial");
}
