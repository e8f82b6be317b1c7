//! What hostile clients and servers do to the interception of TLS.

use super::intercept::{Secure, can, run};
use super::support::World;

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
