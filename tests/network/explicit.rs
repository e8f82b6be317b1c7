//! The proxies inside, for programs that are told of one: the same judgement as for a connection of their own.

use super::servers::{Server, Tls};
use super::support::{World, has};
use super::{assert_refused, connections, refused_names};

const HTTP: &str = "http://198.18.255.254:3128";
const SOCKS: &str = "198.18.255.254:1080";

#[test]
fn n24_curl_reaches_what_is_allowed_through_each() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (plain, tls) = (Server::http(), Tls::start());
    let world = World::new();
    world.file("ca.pem", &tls.certificate);
    let (a, b) = (plain.resolve("a.test"), tls.resolve("b.test"));
    for proxy in [
        format!("-x {HTTP}"),
        "-x http://[fd61:6361::1]:3128".to_owned(),
        format!("-x {HTTP} -p"),
        format!("--socks5-hostname {SOCKS}"),
        format!("--socks5-hostname u:p@{SOCKS}"),
        format!("--socks5 {SOCKS}"),
    ] {
        let script = format!(
            "curl -sS -m 20 {proxy} http://a.test/x; echo; curl -sS -m 20 --cacert ca.pem {proxy} https://b.test/y"
        );
        let ran = world.run(&["--net", "agent", "--resolve", &a, "--resolve", &b], &script);
        assert_eq!(
            ran.ok(),
            "ok a.test GET /x \ntls b.test b.test /y",
            "{proxy}: {ran:?}"
        );
        let told: Vec<_> = connections(&world);
        assert_eq!(
            told,
            [("a.test".into(), 80, None), ("b.test".into(), 443, None)],
            "{proxy}"
        );
        if !proxy.contains("--socks5 ") {
            // The name went to the proxy as a name.
            assert_eq!(world.events_of("lookup").len(), 0, "{proxy}");
        }
    }
    // The server saw paths, and nothing that was meant for the proxy.
    assert!(
        plain.seen().iter().all(|seen| seen == "GET /x a.test"),
        "{:?}",
        plain.seen()
    );
}

#[test]
fn n24_what_is_not_allowed_is_refused_with_the_reason() {
    let (world, server) = (World::new(), Server::http());
    let a = server.resolve("a.test");
    let ran = world.run(
        &["--net", "agent", "--resolve", &a, "--deny", "c.test"],
        &format!(
            "curl -sS -m 20 -x {HTTP} http://b.test/; \
             curl -sS -m 20 -x {HTTP} https://b.test/; echo $?; \
             curl -sS -m 20 --socks5-hostname {SOCKS} http://c.test/; echo $?; \
             curl -sS -m 20 --socks5-hostname {SOCKS} http://127.0.0.1:{port}/; echo $?; \
             curl -sS -m 20 -x {HTTP} http://127.0.0.1:{port}/; \
             curl -sS -m 20 -p -x {HTTP} http://a.test:25/; echo $?",
            port = server.port
        ),
    );
    let text = &ran.out;
    assert!(
        text.contains("aca: the sandbox denied b.test:80: no rule allows it"),
        "{ran:?}"
    );
    assert!(text.contains("--allow b.test"), "{ran:?}");
    assert!(ran.err.contains("CONNECT tunnel failed, response 403"), "{ran:?}");
    assert!(ran.err.contains("(2)"), "{ran:?}");
    assert_refused(
        &world,
        &[
            ("b.test:80", "no rule allows it"),
            ("b.test:443", "no rule allows it"),
            ("c.test:80", "denied by a rule"),
            (
                &format!("198.18.255.254:{}", server.port),
                "the sandbox's own address",
            ),
            (
                &format!("198.18.255.254:{}", server.port),
                "the sandbox's own address",
            ),
            ("a.test:25", "no rule allows it"),
        ],
    );
    assert_eq!(refused_names(&world), Vec::<String>::new());
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn n19_what_is_spoken_in_a_tunnel_must_fit_its_name() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (plain, tls, world) = (Server::http(), Tls::start(), World::new());
    world.file(
        "x.py",
        "import socket, sys\n\
         def connect(authority):\n\
         \x20   s = socket.create_connection(('198.18.255.254', 3128), 20)\n\
         \x20   s.sendall(f'CONNECT {authority} HTTP/1.1\\r\\nHost: {authority}\\r\\n\\r\\n'.encode())\n\
         \x20   return s, s.recv(4096).split(b'\\r\\n')[0].decode()\n\
         s, said = connect('a.test:80'); print(said)\n\
         s.sendall(b'GET / HTTP/1.1\\r\\nHost: b.test\\r\\n\\r\\n'); print(s.recv(4096).split(b'\\r\\n')[0].decode())\n\
         s, said = connect('a.test:443'); print(said)\n\
         s.sendall(b'GET / HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n'); print(s.recv(4096).split(b'\\r\\n')[0].decode())\n\
         s, said = connect('a.test:80'); print(said)\n\
         s.sendall(b'CONNECT b.test:443 HTTP/1.1\\r\\nHost: b.test\\r\\n\\r\\n'); print(s.recv(4096).split(b'\\r\\n')[0].decode())\n",
    );
    let ran = world.run(
        &["--net", "open", "--resolve", &plain.resolve("a.test"), "--resolve", &tls.resolve("b.test")],
        &format!(
            "python3 x.py; openssl s_client -proxy 198.18.255.254:3128 -connect b.test:443 -servername a.test </dev/null 2>&1 | \
             grep -c 'access denied'; openssl s_client -proxy 198.18.255.254:3128 -connect b.test:443 -servername b.test -brief </dev/null 2>&1 | \
             grep -c ESTABLISHED; curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' -x {HTTP} -H 'Host: b.test' http://a.test/",
        ),
    );
    let ok = "HTTP/1.1 200 Connection established\nHTTP/1.1 403 Forbidden\n";
    assert_eq!(ran.out, format!("{ok}{ok}{ok}1\n1\n403\n"), "{ran:?}");
    assert_eq!(plain.seen(), Vec::<String>::new());
    assert_refused(
        &world,
        &[
            ("a.test:80", "`b.test` is not"),
            ("a.test:443", "no TLS on port 443"),
            ("a.test:80", "CONNECT asks for a tunnel"),
            ("b.test:443", "`a.test` is not"),
            ("a.test:80", "`b.test` is not"),
        ],
    );
}

#[test]
fn one_connection_to_the_proxy_leads_to_several_servers() {
    let (one, two, world) = (Server::http(), Server::http(), World::new());
    world.file(
        "x.py",
        "import http.client\nc = http.client.HTTPConnection('198.18.255.254', 3128, timeout=20)\n\
         for url in ['http://a.test/1', 'http://a.test', 'http://b.test/?2', 'http://a.test/3', 'http://c.test/4']:\n\
         \x20   c.request('POST', url, body=b'x' * 100000, headers={'Proxy-Authorization': 'Basic eA==', 'Proxy-Connection': 'keep-alive'})\n\
         \x20   r = c.getresponse(); print(r.status, r.read()[:16].split(b' POST')[0])\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--resolve",
            &one.resolve("a.test"),
            "--resolve",
            &two.resolve("b.test"),
        ],
        "python3 x.py",
    );
    assert_eq!(
        ran.ok(),
        "200 b'ok a.test'\n200 b'ok a.test'\n200 b'ok b.test'\n200 b'ok a.test'\n403 b'aca: the sandbox'"
    );
    assert_eq!(one.seen(), ["POST /1 a.test", "POST / a.test", "POST /3 a.test"]);
    assert_eq!(two.seen(), ["POST /?2 b.test"]);
    assert_refused(&world, &[("c.test:80", "no rule allows it")]);
}

#[test]
fn hostile_requests_to_the_proxies_lead_nowhere() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        "import socket\n\
         def say(port, *parts):\n\
         \x20   s = socket.create_connection(('198.18.255.254', port), 20)\n\
         \x20   try:\n\
         \x20       for part in parts: s.sendall(part); got = s.recv(4096)\n\
         \x20       s.shutdown(socket.SHUT_WR)\n\
         \x20       while (more := s.recv(4096)): got += more\n\
         \x20   except OSError: got = b'reset'\n\
         \x20   return got\n\
         def http(text): return say(3128, text.encode()).split(b'\\r\\n')[0].decode()\n\
         for host in ['a.test\\0.b.test:80', 'a.test%00:80', '[fe80::1%25lo]:80', '0x7f.1:80', '2130706433:80', '127.1:80', '[::ffff:127.0.0.1]:80',\n\
         \x20            '169.254.169.254:80', 'x' * 300 + '.test:80', 'a.test', 'a.test:', 'a.test:99999', 'a@a.test:80', '198.18.255.254:3128', 'localhost:80']:\n\
         \x20   print(http(f'CONNECT {host} HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n'))\n\
         for first in ['GET / HTTP/1.1', 'GET https://a.test/ HTTP/1.1', 'GET ftp://a.test/ HTTP/1.1', 'GET http://a.test:443/ HTTP/1.1', 'GET http://u@a.test/ HTTP/1.1']:\n\
         \x20   print(http(f'{first}\\r\\nHost: a.test\\r\\n\\r\\n'))\n\
         print(http('GET http://a.test/ HTTP/1.1\\r\\nHost: a.test\\r\\nContent-Length: 1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n'))\n\
         def socks(request): return say(1080, b'\\5\\1\\0', request)[:2].hex()\n\
         name = lambda n: b'\\5\\1\\0\\3' + bytes([len(n)]) + n + b'\\0\\x50'\n\
         for request in [name(b'a.test\\0.b.test'), name(b''), name(b'\\xff\\xfe'), name(b'127.0.0.1'), name(b'0x7f.1'), b'\\5\\2\\0\\1\\x7f\\0\\0\\1\\0\\x50', b'\\5\\3\\0\\1\\x7f\\0\\0\\1\\0\\x50',\n\
         \x20               b'\\5\\1\\0\\2\\0\\0', b'\\4\\1\\0\\x50\\x7f\\0\\0\\1\\0', b'\\5\\1\\0\\4' + b'\\0' * 15 + b'\\1\\0\\x50']:\n\
         \x20   print(socks(request))\n\
         print(say(1080, b'\\5\\1\\1').hex(), say(1080, b'\\5\\xff' + b'\\1' * 255).hex(), say(3128, b'\\x16\\3\\1' + b'\\0' * 40)[:4])\n",
    );
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    let lines: Vec<&str> = ran.ok().lines().collect();
    let (connects, rest) = lines.split_at(15);
    for line in connects {
        assert!(
            ["HTTP/1.1 403 Forbidden", "HTTP/1.1 502 Bad Gateway"].contains(line),
            "{ran:#?}"
        );
    }
    assert!(
        rest[..6].iter().all(|line| *line == "HTTP/1.1 403 Forbidden"),
        "{rest:#?}"
    );
    assert_eq!(
        rest[6..16],
        [
            "0502", "0502", "0502", "0502", "0502", "0507", "0507", "0508", "0502", "0502"
        ]
    );
    // No version, no method that is known; a client of TLS gets an alert.
    assert_eq!(
        rest[16],
        format!("{0} {0} b'\\x15\\x03\\x03\\x00'", hex(b"reset")),
        "{rest:#?}"
    );
    assert_eq!(server.seen(), Vec::<String>::new());
    let told = connections(&world);
    assert!(told.len() > 30, "{told:#?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn requests_that_come_in_one_piece_are_judged_one_by_one() {
    let (one, two, world) = (Server::http(), Server::http(), World::new());
    world.file(
        "x.py",
        "import socket\n\
         def get(url, host, more=''): return f'GET {url} HTTP/1.1\\r\\nHost: {host}\\r\\n{more}\\r\\n'\n\
         def say(text):\n\
         \x20   s = socket.create_connection(('198.18.255.254', 3128), 20); s.sendall(text.encode()); got = b''\n\
         \x20   try:\n\
         \x20       while (more := s.recv(4096)): got += more\n\
         \x20   except OSError: pass\n\
         \x20   return got.count(b'HTTP/1.1 200'), got.count(b'HTTP/1.1 403')\n\
         # Denied in the second place, allowed after it: nothing after a denial is read.\n\
         print(say(get('http://a.test/1', 'a.test') + get('http://c.test/', 'c.test') + get('http://a.test/lost', 'a.test')))\n\
         # A request within a body is a body.\n\
         inner = get('http://c.test/', 'c.test')\n\
         print(say(get('http://a.test/2', 'a.test', f'Content-Length: {len(inner)}\\r\\n') + inner + get('http://c.test/', 'c.test')))\n\
         print(say(get('http://a.test/3', 'a.test', 'Transfer-Encoding: chunked\\r\\n') + f'{len(inner):x}\\r\\n{inner}\\r\\n0\\r\\n\\r\\n' + get('http://c.test/', 'c.test'))[1])\n\
         # The URL says one thing and the Host another, in the first place and later.\n\
         print(say(get('http://a.test/no', 'b.test')), say(get('http://a.test/4', 'a.test') + get('http://b.test/no', 'a.test')))\n\
         # A tunnel asked for in the midst, a path without a host, another port of the same host.\n\
         print(say(get('http://a.test/5', 'a.test') + 'CONNECT c.test:443 HTTP/1.1\\r\\nHost: c.test\\r\\n\\r\\n'))\n\
         print(say(get('http://a.test/6', 'a.test') + get('/no', 'a.test')), say(get('http://a.test/7', 'a.test') + get('http://a.test:25/no', 'a.test')))\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--resolve",
            &one.resolve("a.test"),
            "--resolve",
            &two.resolve("b.test"),
        ],
        "python3 x.py",
    );
    assert_eq!(
        ran.ok(),
        "(1, 1)\n(1, 1)\n1\n(0, 1) (1, 1)\n(1, 1)\n(1, 1) (1, 1)"
    );
    let paths: Vec<String> = (1..=7).map(|number| format!("GET /{number} a.test")).collect();
    // Server::http knows no chunks: what it takes for requests in there is nothing that the gate took for one.
    let seen: Vec<String> = one
        .seen()
        .into_iter()
        .filter(|seen| seen.starts_with("GET /"))
        .collect();
    assert_eq!(seen, paths);
    assert_eq!(two.seen(), Vec::<String>::new());
}
