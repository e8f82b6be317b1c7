//! What hostile clients and servers do to the interception of TLS.

use super::intercept::{Secure, can, run};
use super::support::World;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const ALLOW: [&str; 2] = ["--allow", "https://a.test/x/**"];

/// Sends bytes in TLS, and gives the status lines of what comes back.
const RAW: &str = r"
import socket, ssl
c = ssl.create_default_context()
def ask(raw):
    s = c.wrap_socket(socket.create_connection(('a.test', 443), 20), server_hostname='a.test')
    s.settimeout(20)
    s.sendall(raw)
    got = b''
    while d := s.recv(65536): got += d
    return [l.split()[1].decode() for l in got.split(b'\r\n') if l.startswith(b'HTTP/1.1')]
";

#[test]
fn a_host_with_a_path_in_it_or_a_field_like_another_gets_nowhere() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let script = format!(
        "{RAW}
for fields in ['Host: a.test/y', 'Host: a.test?y', 'Host: a.test#y', 'Host: a.test:443/y', 'Host: /', 'Host:',
    'Host: a.test\\r\\nTransfer_Encoding: chunked', 'Host: a.test\\r\\nContent_Length: 9', 'Host: a.test\\r\\nX-A: b']:
    print(*ask(f'GET /x/y HTTP/1.1\\r\\n{{fields}}\\r\\nConnection: close\\r\\n\\r\\n'.encode()))
"
    );
    world.file("x.py", script);
    let ran = run(&world, &server, &ALLOW, "python3 x.py");
    assert_eq!(ran.ok(), "421\n421\n421\n421\n421\n421\n403\n403\n200", "{ran:?}");
    assert_eq!(server.seen(), ["GET /x/y 1.1 a.test"]);
}

#[test]
fn what_follows_a_body_says_nothing_of_the_request() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    world.file(
        "x.js",
        r"
const h = require('http2').connect('https://a.test');
const r = h.request({ ':path': '/x/upload', ':method': 'POST' }, { waitForTrailers: true });
r.on('wantTrailers', () => r.sendTrailers({ 'x-http-method-override': 'DELETE', 'x_original_url': '/y', 'authorization': 'x', 'x-sum': '42' }));
r.on('data', d => console.log(d.toString())); r.on('close', () => h.close());
r.end('body');
",
    );
    world.file(
        "x.py",
        r"
import socket, ssl
s = ssl.create_default_context().wrap_socket(socket.create_connection(('a.test', 443), 20), server_hostname='a.test')
s.sendall(b'POST /x/upload HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n'
          b'Trailer: X-HTTP-Method-Override, X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-HTTP-Method-Override: DELETE\r\nX-Sum: 42\r\n\r\n')
got = b''
while d := s.recv(65536): got += d
print(got.split(b'\r\n\r\n')[1].decode())
",
    );
    let ran = run(&world, &server, &ALLOW, "node x.js; python3 x.py");
    assert_eq!(ran.ok().matches("{\"x-sum\":\"42\"}").count(), 2, "{ran:?}");
    assert!(!ran.out.contains("DELETE") && !ran.out.contains("/y"), "{ran:?}");
}

/// Opens connections of HTTP/2 and asks for much on each of their streams, without ever taking it.
const GREEDY: &str = r"
import socket, ssl, struct, sys
def frame(kind, flags, stream, data=b''): return struct.pack('>I', len(data))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + data
def field(name, value): return b'\x00' + bytes([len(name)]) + name + bytes([len(value)]) + value
head = b''.join(field(*pair) for pair in [(b':method', b'GET'), (b':scheme', b'https'), (b':authority', b'a.test'), (b':path', b'/x/big')])
c = ssl.create_default_context(); c.set_alpn_protocols(['h2'])
held = []
for _ in range(8):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096); s.connect((socket.gethostbyname('a.test'), 443))
    s = c.wrap_socket(s, server_hostname='a.test'); held.append(s)
    s.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0, struct.pack('>HI', 4, 2**31 - 1)) + frame(8, 0, 0, struct.pack('>I', 2**31 - 65536))
              + b''.join(frame(1, 5, 1 + 2 * k, head) for k in range(100)))
print('asked', flush=True); sys.stdin.read()
";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "that nothing more is piled up is no event"
)]
fn what_a_client_never_takes_is_not_piled_up() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    world.file("x.py", GREEDY);
    let resolve = server.resolve("a.test");
    let trusted = world.file("outside-ca.pem", std::fs::read(server.authority()).unwrap());
    let mut child = world
        .aca(&["run", "--resolve", &resolve])
        .args(ALLOW)
        .args(["--", "python3", "x.py"])
        .env("SSL_CERT_FILE", trusted)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "asked\n");
    let held = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // Until nothing more comes.
    let mut most = 0;
    for _ in 0..30 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let now = held();
        if now <= most {
            break;
        }
        most = now;
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    // 800 streams: with what HTTP libraries keep for each it would be some 400 MiB.
    assert!((1..150 << 10).contains(&most), "{most} KiB");
}

#[test]
fn a_connection_that_a_budget_ended_says_so() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let flags = [&ALLOW[..], &["--max-egress", "20K"]].concat();
    for version in ["--http1.1", "--http2"] {
        let upload = format!(
            "head -c 3000000 /dev/zero | curl -sS -m 20 {version} --data-binary @- https://a.test/x/upload; [ $? -gt 0 ]"
        );
        run(&world, &server, &flags, &upload).ok();
        let [event] = world.events_of("connection").try_into().unwrap();
        assert_eq!(event["denied"]["rule"], "limits.egress = 20480", "{event}");
        assert!(event["sent"].as_u64() <= Some(20480), "{event}");
    }
}
