//! N22: the same two questions for each client that is there: a name that is allowed, and one that isn't.

use super::refused_names;
use super::servers::{Server, Tls};
use super::support::{World, has};

/// Program, and the command that gets a URL: `URL` stands for it.
const CLIENTS: &[(&str, &str)] = &[
    ("curl", "curl -sSf -m 20 URL"),
    ("curl", "curl -sSf -m 20 -4 URL"),
    ("curl", "curl -sSf -m 20 -6 URL"),
    ("curl", "curl -sSf -m 20 --http2 URL"),
    ("wget", "wget -q -T 20 -t 1 -O - URL"),
    (
        "python3",
        "python3 -c 'import urllib.request as u; print(u.urlopen(\"URL\", timeout=20).read())'",
    ),
    (
        "node",
        "node -e 'fetch(\"URL\").then(r => r.text()).then(console.log).catch(e => { console.log(e.cause); process.exit(1) })'",
    ),
    (
        "node",
        "node -e 'require(\"SCHEME\").get(\"URL\", r => r.pipe(process.stdout)).on(\"error\", e => { throw e })'",
    ),
    ("ruby", "ruby -rnet/http -e 'print Net::HTTP.get(URI(\"URL\"))'"),
    (
        "perl",
        "perl -MHTTP::Tiny -e '$r = HTTP::Tiny->new(timeout => 20)->get(\"URL\"); print $r->{content}; exit !$r->{success}'",
    ),
];

/// Where each client looks for the certificates that it trusts.
const TRUST: &str = "export SSL_CERT_FILE=$PWD/ca.pem CURL_CA_BUNDLE=$PWD/ca.pem NODE_EXTRA_CA_CERTS=$PWD/ca.pem; echo ca_certificate=$PWD/ca.pem > ~/.wgetrc; ";

fn command(template: &str, scheme: &str, host: &str) -> String {
    template
        .replace("SCHEME", scheme)
        .replace("URL", &format!("{scheme}://{host}/"))
}

#[test]
fn n22_every_client_reaches_what_is_allowed_and_fails_at_the_rest() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (plain, tls) = (Server::http(), Tls::start());
    for (program, template) in CLIENTS {
        if !has(program) {
            continue;
        }
        let world = World::new();
        world.file("ca.pem", &tls.certificate);
        let ran = world.run(
            &["--net", "agent", "--resolve", &plain.resolve("a.test")],
            &command(template, "http", "a.test"),
        );
        assert!(ran.ok().contains("ok a.test"), "{template}: {ran:?}");
        // Perl has TLS only with a module that few have.
        if *program != "perl" {
            let script = format!("{TRUST}{}", command(template, "https", "a.test"));
            let ran = world.run(&["--net", "agent", "--resolve", &tls.resolve("a.test")], &script);
            assert!(ran.ok().contains("tls a.test"), "{template}: {ran:?}");
        }
        let ran = world.run(&["--net", "agent"], &command(template, "http", "b.test"));
        ran.refused();
        assert_eq!(refused_names(&world), ["b.test"], "{template}");
    }
}

#[test]
fn n22_git_over_http() {
    let world = World::with_repository();
    let served = world.outside.join("served.git");
    world.git(
        &world.project,
        &["clone", "-q", "--bare", ".", served.to_str().unwrap()],
    );
    world.git(&served, &["update-server-info"]);
    let mut server = world
        .command("python3")
        .args(["-u", "-c", "import http.server, functools, sys\nh = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\ns = http.server.ThreadingHTTPServer(('127.0.0.1', 0), h)\nprint(s.server_address[1], flush=True)\ns.serve_forever()"])
        .arg(&world.outside)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(server.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let resolve = format!("a.test=127.0.0.1:{}", line.trim());
    let ran = world.run(
        &["--net", "agent", "--resolve", &resolve],
        "git clone -q http://a.test/served.git x && cat x/README",
    );
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(ran.ok(), "hello");
    world
        .run(&["--net", "agent"], "git ls-remote http://b.test/served.git")
        .refused();
    assert_eq!(refused_names(&world), ["b.test"]);
}

#[test]
fn clients_of_one_family_and_of_both() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        "import socket\nfor family in [socket.AF_INET, socket.AF_INET6, 0]:\n\
         \x20   found = socket.getaddrinfo('a.test', 80, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)\n\
         \x20   print(len(found))\n\
         \x20   for f, k, p, _, address in found:\n\
         \x20       s = socket.socket(f, k, p); s.settimeout(20); s.connect(address)\n\
         \x20       s.sendall(b'GET / HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n'); assert b'200' in s.recv(99)\n",
    );
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), "1\n1\n2");
    assert_eq!(server.seen().len(), 4);
}
