//! Rules on requests in TLS: real clients inside, real TLS servers outside, and the session's own authority between.

use super::connections;
use super::requests::told;
use super::support::{Ran, World, has};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server of HTTP/1.1 and HTTP/2 over TLS, in Node. `log` has a line for each request.
const SERVER: &str = r#"
const http2 = require('http2'), fs = require('fs'), crypto = require('crypto');
let waiting;
const log = line => fs.appendFileSync('log', line + '\n');
const options = { allowHTTP1: process.argv[2] !== 'h2', cert: fs.readFileSync('cert.pem'), key: fs.readFileSync('key.pem') };
const server = process.argv[2] === 'h1' ? require('https').createServer(options) : http2.createSecureServer(options);
server.on('request', (q, r) => {
  log(`${q.method} ${q.url} ${q.httpVersion} ${q.authority || q.headers.host}`);
  const path = q.url.split('?')[0];
  if (q.httpVersion === '2.0' && path.endsWith('/full')) {
    r.writeHead(413);
    r.end('too much\n');
  } else if (path.endsWith('/sse')) {
    r.writeHead(200, { 'content-type': 'text/event-stream' });
    r.write('data: 1\n\n');
    waiting = () => r.end('data: 2\n\n');
  } else if (path.endsWith('/go')) {
    waiting(); r.end();
  } else if (path.endsWith('/big')) {
    let left = 1600; const piece = Buffer.alloc(65536, 'x');
    r.writeHead(200);
    const more = () => { while (left-- > 0) if (!r.write(piece)) return r.once('drain', more); r.end(); };
    more();
  } else if (path.endsWith('/upload')) {
    let bytes = 0;
    q.on('data', d => bytes += d.length);
    q.on('end', () => r.end(`${bytes} ${q.headers.expect || ''} ${JSON.stringify(q.trailers)}`));
  } else if (path.endsWith('/trailers')) {
    if (q.httpVersion === '1.1') r.setHeader('Trailer', 'X-Sum');
    r.write('body'); r.addTrailers({ 'X-Sum': '42' }); r.end();
  } else if (path.endsWith('/fields')) {
    r.end(JSON.stringify(q.headers));
  } else if (path.endsWith('/full')) {
    r.writeHead(413, { connection: 'close' });
    r.end('too much\n');
  } else {
    r.end(`ok ${q.httpVersion} ${q.method} ${q.url}\n`);
  }
});
server.on('upgrade', (q, socket) => {
  log(`UPGRADE ${q.url}`);
  const accept = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.pipe(socket);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"#;

pub(crate) struct Secure {
    port: u16,
    child: Child,
    directory: tempfile::TempDir,
}

impl Secure {
    /// With a certificate for `a.test`, `b.test` and others from an authority of its own.
    pub(crate) fn start() -> Self {
        Self::with("", "-days 2", "DNS:a.test,DNS:b.test,DNS:x_y.test,IP:127.0.0.1")
    }

    fn with(kind: &str, validity: &str, names: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = format!(
            "set -e; ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
             openssl req -x509 $ec -days 3 -keyout ca.key -out ca.pem -subj '/CN=test authority' 2>&1
             openssl req $ec -keyout key.pem -out leaf.csr -subj '/CN=leaf' 2>&1
             printf 'subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' > ext
             openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial {validity} -extfile ext -out cert.pem 2>&1"
        );
        let made = Command::new("sh")
            .args(["-c", &script])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        std::fs::write(directory.path().join("server.js"), SERVER).unwrap();
        let mut child = Command::new("node")
            .args(["server.js", kind])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self {
            port,
            child,
            directory,
        }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn resolve(&self, name: &str) -> String {
        format!("{name}=127.0.0.1:{}", self.port)
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn can() -> bool {
    has("node") && has("openssl")
}

/// A run whose user trusts the server's authority.
pub(crate) fn run(world: &World, server: &Secure, flags: &[&str], script: &str) -> Ran {
    run_trusting(world, &server.authority(), server, flags, script)
}

fn run_trusting(world: &World, authority: &Path, server: &Secure, flags: &[&str], script: &str) -> Ran {
    let trusted = world.file("outside-ca.pem", std::fs::read(authority).unwrap());
    let resolve = server.resolve("a.test");
    let output = world
        .aca(&["run", "--net", "open", "--resolve", &resolve])
        .args(flags)
        .args(["--", "sh", "-c", script])
        .env("SSL_CERT_FILE", trusted)
        .output()
        .unwrap();
    Ran::from_output(&output)
}

const ALLOW: [&str; 2] = ["--allow", "GET,POST https://a.test/repos/acme/**"];

#[test]
fn a_request_in_tls_is_judged_by_method_and_path() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let script = "for v in --http1.1 --http2; do c() { curl -sS -m 20 $v --path-as-is \"$@\"; }; \
        c 'https://a.test/repos/acme/x?q=secret'; c -d 1 https://a.test/repos/acme/x; \
        c -o /dev/null -w '%{http_code} ' https://a.test/user; c -X PUT -o /dev/null -w '%{http_code} ' https://a.test/repos/acme/x; \
        c -o /dev/null -w '%{http_code} ' https://a.test/repos/acme/../../user; \
        c -o /dev/null -w '%{http_code}\n' 'https://a.test/repos/acme%2f..%2fuser'; \
        c -D - https://a.test/user | grep -i -e x-aca -e denied -e allow | tr -d '\\r'; done";
    let ran = run(&world, &server, &ALLOW, script);
    let answers = |version: &str| {
        format!(
            "ok {version} GET /repos/acme/x?q=secret\nok {version} POST /repos/acme/x\n403 403 403 403\n\
             x-aca-sandbox: denied\naca: the sandbox denied GET https://a.test/user: no rule allows it\n\
             The user can allow it with: aca run --allow 'GET https://a.test/user'\n"
        )
    };
    assert_eq!(
        ran.out,
        format!("{}{}", answers("1.1"), answers("2.0")),
        "{ran:?}"
    );
    assert_eq!(
        server.seen(),
        [
            "GET /repos/acme/x?q=secret 1.1 a.test",
            "POST /repos/acme/x 1.1 a.test",
            "GET /repos/acme/x?q=secret 2.0 a.test",
            "POST /repos/acme/x 2.0 a.test"
        ]
    );
    let told = told(&world);
    assert_eq!(told[0], ("GET https://a.test/repos/acme/x".to_owned(), None));
    assert_eq!(
        told.iter().filter(|(_, denied)| denied.is_some()).count(),
        10,
        "{told:?}"
    );
    assert!(
        world
            .events_of("request")
            .iter()
            .any(|event| event["status"] == 200)
    );
    assert!(
        world
            .events_of("connection")
            .iter()
            .all(|event| event["sent"].as_u64() > Some(200))
    );
}

/// Whose certificate a client is shown.
const ISSUER: &str =
    "openssl s_client -connect a.test:443 -servername a.test </dev/null 2>/dev/null | grep -o '^issuer=.*'";

#[test]
fn a_host_without_such_rules_is_not_looked_into() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let script = format!("{ISSUER}; env | grep -c -e aca/ -e GIT_SSL; ls /run/aca");
    let ran = run(&world, &server, &[], &script);
    assert_eq!(ran.out, "issuer=CN = test authority\n0\n", "{ran:?}");
    let ran = run(&world, &server, &["--allow", "GET https://other.test/x"], &script);
    assert!(ran.out.starts_with("issuer=CN = test authority\n"), "{ran:?}");
    let ran = run(&world, &server, &ALLOW, &script);
    assert!(ran.out.starts_with("issuer=CN = aca session "), "{ran:?}");
}

#[test]
fn a_server_that_is_not_right_is_never_spoken_to() {
    if !can() {
        return;
    }
    let script = "curl -sS -m 20 -D - https://a.test/repos/acme/x | grep -i -e HTTP -e x-aca -e TLS";
    let expired = Secure::with("", "-days -1", "DNS:a.test");
    let other = Secure::with("", "-days 2", "DNS:b.test");
    let (right, unknown) = (Secure::start(), Secure::start());
    let world = World::new();
    for (server, authority, why) in [
        (&expired, expired.authority(), "xpired"),
        (&other, other.authority(), "not valid for name"),
        (&unknown, right.authority(), "invalid peer certificate"),
    ] {
        let ran = run_trusting(&world, &authority, server, &ALLOW, script);
        assert!(
            ran.out.contains(" 502") && ran.out.contains(why),
            "{why}: {ran:?}"
        );
        assert!(ran.out.contains("x-aca-sandbox: failed"), "{ran:?}");
        assert_eq!(server.seen(), Vec::<String>::new());
    }
}

#[test]
fn a_client_that_does_not_trust_the_authority_fails() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let script = "curl -sS -m 20 --cacert \"$PWD/outside-ca.pem\" https://a.test/repos/acme/x; echo $?";
    let ran = run(&world, &server, &ALLOW, script);
    assert_eq!(ran.out, "60\n", "{ran:?}");
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn no_key_of_the_authority_is_inside_or_on_disk() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let script = "cat /run/aca/*; curl -sS -m 20 -o /dev/null -w '%{http_code}' https://a.test/repos/acme/x; \
        ls /run/aca; grep -rl 'BEGIN PRIV' /run /tmp 2>/dev/null; env | grep -c KEY";
    let ran = run(&world, &server, &ALLOW, script);
    assert!(
        ran.out.contains("BEGIN CERTIFICATE") && ran.out.contains("200authority.pem\ncertificates.pem\n0"),
        "{ran:?}"
    );
    assert!(!ran.out.contains("BEGIN PRIV"), "{ran:?}");
    let state = Command::new("grep")
        .args(["-rlI", "BEGIN PRIVATE"])
        .arg(world.root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&state.stdout), "");
}

#[test]
fn clients_of_many_kinds() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    world.file(
        "x.py",
        "import sys, urllib.request, urllib.error\n\
         for path in ['repos/acme/x', 'user']:\n\
         \x20   try: print(urllib.request.urlopen('https://a.test/' + path, timeout=20).status)\n\
         \x20   except urllib.error.HTTPError as e: print(e.code)\n",
    );
    world.file(
        "x.js",
        "(async () => { for (const p of ['repos/acme/x', 'user']) console.log((await fetch('https://a.test/' + p)).status) })()",
    );
    world.file(
        "X.java",
        "import java.net.*; public class X { public static void main(String[] a) throws Exception {\
         for (var p : new String[]{\"repos/acme/x\", \"user\"}) System.out.println(\
         ((HttpURLConnection) new URL(\"https://a.test/\" + p).openConnection()).getResponseCode()); } }",
    );
    world.file(
        "x.go",
        "package main\nimport (\"fmt\"; \"net/http\")\nfunc main() { for _, p := range []string{\"repos/acme/x\", \"user\"} {\n\
         r, e := http.Get(\"https://a.test/\" + p); if e != nil { fmt.Println(e); continue }; fmt.Println(r.StatusCode) } }\n",
    );
    let status = |command: &str| format!("for p in repos/acme/x user; do {command} https://a.test/$p; done");
    let wget = status("wget -q -T 20 -S -O /dev/null");
    for (program, script) in [
        ("python3", "python3 x.py"),
        ("node", "node x.js"),
        ("java", "java X.java"),
        ("go", "GOFLAGS=-mod=mod GO111MODULE=off go run x.go"),
        (
            "wget",
            &format!("{{ {wget}; }} 2>&1 | grep -o 'HTTP/1.1 [0-9]*' | cut -d' ' -f2"),
        ),
        (
            "ruby",
            "ruby -rnet/http -e '%w[repos/acme/x user].each { |p| puts Net::HTTP.get_response(URI(\"https://a.test/#{p}\")).code }'",
        ),
        (
            "git",
            "for p in repos/acme/x user; do git ls-remote https://a.test/$p 2>&1 | grep -o -e '403' -e 'not valid'; done | sed 's/not valid/200/'",
        ),
    ] {
        if !has(program) {
            continue;
        }
        let ran = run(&world, &server, &ALLOW, script);
        assert_eq!(ran.out, "200\n403\n", "{program}: {ran:?}");
    }
}

#[test]
fn streams_come_as_they_come() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    // The second event is sent only once the first has reached the client.
    let script = "curl -sS -N -m 20 https://a.test/repos/acme/sse | while read -r l; do echo \"$l\"; \
        [ \"$l\" = 'data: 1' ] && curl -sS -m 10 https://a.test/repos/acme/go; done";
    let ran = run(&world, &server, &ALLOW, script);
    assert!(
        ran.out.contains("data: 1\n") && ran.out.contains("data: 2\n"),
        "{ran:?}"
    );
    let script = "for v in --http1.1 --http2; do curl -sS -m 60 $v https://a.test/repos/acme/big | wc -c; \
        head -c 30000000 /dev/zero | curl -sS -m 60 $v -H 'Expect: 100-continue' -T - -X POST https://a.test/repos/acme/upload; echo; done";
    let ran = run(&world, &server, &ALLOW, script);
    assert_eq!(
        ran.out, "104857600\n30000000  {}\n104857600\n30000000  {}\n",
        "{ran:?}"
    );
}

#[test]
fn trailers_and_websockets_pass() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    world.file(
        "ws.py",
        "import socket, ssl\n\
         c = ssl.create_default_context()\n\
         for path in ['/repos/acme/ws', '/other']:\n\
         \x20   s = c.wrap_socket(socket.create_connection(('a.test', 443), 20), server_hostname='a.test')\n\
         \x20   s.sendall(f'GET {path} HTTP/1.1\\r\\nHost: a.test\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'\n\
         \x20             'Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\n\\r\\n'.encode())\n\
         \x20   print(s.recv(4096).split(b'\\r\\n')[0].decode())\n\
         \x20   if path == '/other': break\n\
         \x20   for i in range(3):\n\
         \x20       s.sendall(b'frame%d' % i); print(s.recv(100).decode())\n\
         \x20   s.close()\n",
    );
    let script = "curl -sS -m 20 --http1.1 -H 'TE: trailers' -D - --raw https://a.test/repos/acme/trailers | grep -i x-sum; \
        curl -sS -m 20 --http2 -D - https://a.test/repos/acme/trailers | grep -i x-sum; python3 ws.py";
    let ran = run(&world, &server, &ALLOW, script);
    let out = ran.out.to_lowercase();
    assert_eq!(out.matches("x-sum: 42").count(), 2, "{ran:?}");
    assert!(
        ran.out
            .ends_with("HTTP/1.1 101 Switching Protocols\nframe0\nframe1\nframe2\nHTTP/1.1 403 Forbidden\n"),
        "{ran:?}"
    );
}

#[test]
fn g52_what_is_smuggled_or_misdirected_gets_nowhere() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    world.file(
        "x.py",
        r"
import socket, ssl
c = ssl.create_default_context()
def ask(raw):
    s = c.wrap_socket(socket.create_connection(('a.test', 443), 20), server_hostname='a.test')
    s.sendall(raw)
    s.settimeout(3)
    got = b''
    try:
        while True:
            d = s.recv(65536)
            if not d: break
            got += d
    except OSError: pass
    return [l.split()[1].decode() for l in got.split(b'\r\n') if l.startswith(b'HTTP/1.1')] or ['-']
P = b'/repos/acme/x'
for raw in [
    b'POST %s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /user HTTP/1.1\r\nHost: a.test\r\n\r\n' % P,
    b'POST %s HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /user HTTP/1.1\r\nHost: a.test\r\n\r\n' % P,
    b'POST %s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET /user HTTP/1.1\r\nHost: a.test\r\n\r\n' % P,
    b'GET %s HTTP/1.1\r\nHost: b.test\r\n\r\n' % P,
    b'GET %s HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n' % P,
    b'GET %s HTTP/1.1\r\n\r\n' % P,
    b'GET https://b.test%s HTTP/1.1\r\nHost: a.test\r\n\r\n' % P,
    b'GET http://a.test%s HTTP/1.1\r\nHost: a.test\r\n\r\n' % P,
    b'GET %s HTTP/1.1\r\nHost: a.test:444\r\n\r\n' % P,
    b'CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n',
    b'OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n',
    b'GET %s HTTP/1.1\r\nHost: a.test\r\nX-HTTP-Method-Override: DELETE\r\n\r\n' % P,
    b'SSH-2.0-x\r\n',
    b'GET %s HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n' % P,
]: print(*ask(raw))
",
    );
    let ran = run(&world, &server, &ALLOW, "python3 x.py");
    let seen = server.seen();
    assert!(
        seen.iter().all(|line| line.contains("/repos/acme/x ")),
        "{seen:?}\n{ran:?}"
    );
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 14, "{ran:?}");
    assert_eq!(
        lines[3..12],
        ["421", "403", "403", "421", "403", "421", "403", "403", "403"],
        "{ran:?}"
    );
    assert_eq!(lines[13], "200", "{ran:?}");
    // One connection of HTTP/2 for two hosts.
    let script = "node -e \"const h = require('http2'); const c = h.connect('https://a.test'); let n = 0; \
        for (const [a, p] of [['a.test', '/repos/acme/x'], ['b.test', '/repos/acme/x'], ['a.test', '/user'], ['a.test', '/repos/acme/y']]) { \
        const r = c.request({':authority': a, ':path': p}); r.on('response', f => { console.log(a, p, f[':status']) }); \
        r.resume(); r.on('close', () => { if (++n == 4) c.close() }) }\" | sort";
    let ran = run(&world, &server, &ALLOW, script);
    assert_eq!(
        ran.out,
        "a.test /repos/acme/x 200\na.test /repos/acme/y 200\na.test /user 403\nb.test /repos/acme/x 421\n",
        "{ran:?}"
    );
}

#[test]
fn through_the_proxies_inside_too() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let script = "for p in http://198.18.255.254:3128 socks5h://198.18.255.254:1080; do for u in repos/acme/x user; do \
        curl -sS -m 20 -x $p -o /dev/null -w '%{http_code} ' https://a.test/$u; done; done";
    let ran = run(&world, &server, &ALLOW, script);
    assert_eq!(ran.out, "200 403 200 403 ", "{ran:?}");
    assert_eq!(connections(&world).len(), 4);
}

#[test]
fn a_server_that_speaks_one_protocol_is_met_in_it() {
    if !can() {
        return;
    }
    for (kind, version) in [("h1", "1.1"), ("h2", "2.0")] {
        let (world, server) = (World::new(), Secure::with(kind, "-days 2", "DNS:a.test"));
        let ran = run(
            &world,
            &server,
            &ALLOW,
            "curl -sS -m 20 https://a.test/repos/acme/x",
        );
        assert_eq!(
            ran.out,
            format!("ok {version} GET /repos/acme/x\n"),
            "{kind}: {ran:?}"
        );
    }
}

#[test]
fn an_answer_that_comes_before_the_body_was_read_arrives() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    // It goes on with its body long after the answer is there, and notices when it may not.
    world.file(
        "late.js",
        "const c = require('http2').connect('https://a.test'); const ask = path => new Promise(done => {\
         const r = c.request({':method': 'POST', ':path': path}); let said = '';\
         r.on('aborted', () => said += ' aborted'); r.on('error', e => said += ' ' + e.code);\
         r.on('response', f => { said += f[':status']; r.resume(); setTimeout(() => r.end('late'), 300) });\
         r.on('close', () => done(console.log(said, r.rstCode))) });\
         (async () => { r = await ask('/user'); r = await ask('/repos/acme/x'); c.close() })()",
    );
    let ran = run(&world, &server, &ALLOW, "node late.js");
    assert_eq!(ran.out, "403 0\n200 0\n", "{ran:?}");
    let script = "for i in $(seq 30); do for p in user repos/acme/x; do \
        curl -sS -m 20 --http2 -o /dev/null -w '%{http_code}\n' -d 1 https://a.test/$p; done; done | sort | uniq -c";
    let ran = run(&world, &server, &ALLOW, script);
    let counts: Vec<&str> = ran.out.split_whitespace().collect();
    assert_eq!(counts, ["30", "200", "30", "403"], "{ran:?}");
}

#[test]
fn an_early_no_to_a_great_body_arrives() {
    if !can() {
        return;
    }
    let (world, server) = (World::new(), Secure::start());
    let script = "head -c 20000000 /dev/zero >body; for v in --http1.1 --http2; do for p in user repos/acme/full; do for i in 1 2 3 4 5; do \
        curl -sS -m 30 $v -H Expect: -o /dev/null -w '%{http_code}\n' -T body -X POST https://a.test/$p; done; done; done | sort | uniq -c";
    let ran = run(&world, &server, &ALLOW, script);
    let counts: Vec<&str> = ran.out.split_whitespace().collect();
    assert_eq!(counts, ["10", "403", "10", "413"], "{ran:?}");
}
