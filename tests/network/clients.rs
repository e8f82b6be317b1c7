//! N22 and N23: the same two questions for each client that is there, with no proxy named to it: a name that is allowed, and
//! one that isn't, which fails at once with its reason in the log. At once is within five seconds here, since machines that
//! run tests are slow and a Java starts for two of them; a client that waited for a name server or a server that never
//! answers would take longer.

use super::refused_names;
use super::servers::{Server, Tls};
use super::support::{Ran, World, has, installed, skip};
use std::process::Command;

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
    (
        "python3-requests",
        "/usr/bin/python3 -c 'import requests; r = requests.get(\"URL\", timeout=20); r.raise_for_status(); print(r.text)'",
    ),
    (
        "python3-httpx",
        "/usr/bin/python3 -c 'import httpx; r = httpx.get(\"URL\", timeout=20); r.raise_for_status(); print(r.text)'",
    ),
    ("python3", "python3 async.py URL"),
    ("go", "./get URL"),
    ("ruby", "ruby -rnet/http -e 'print Net::HTTP.get(URI(\"URL\"))'"),
    (
        "perl",
        "perl -MHTTP::Tiny -e '$r = HTTP::Tiny->new(timeout => 20)->get(\"URL\"); print $r->{content}; exit !$r->{success}'",
    ),
];

/// Where each client looks for the certificates that it trusts.
const TRUST: &str = "export SSL_CERT_FILE=$PWD/ca.pem CURL_CA_BUNDLE=$PWD/ca.pem REQUESTS_CA_BUNDLE=$PWD/ca.pem NODE_EXTRA_CA_CERTS=$PWD/ca.pem; echo ca_certificate=$PWD/ca.pem > ~/.wgetrc; ";

fn command(template: &str, scheme: &str, host: &str) -> String {
    template
        .replace("SCHEME", scheme)
        .replace("URL", &format!("{scheme}://{host}/"))
}

/// asyncio's streams, which speak to the server themselves.
const ASYNC: &str = r#"
import asyncio, sys, urllib.parse
async def main(url):
    tls = url.scheme == 'https'
    r, w = await asyncio.open_connection(url.hostname, 443 if tls else 80, ssl=tls or None)
    w.write(f'GET / HTTP/1.1\r\nHost: {url.hostname}\r\n\r\n'.encode())
    print((await asyncio.wait_for(r.readuntil(b' a.test '), 20)).decode())
asyncio.run(main(urllib.parse.urlparse(sys.argv[1])))
"#;

/// Go's own client and its own resolver.
const GO: &str = r#"package main
import ("fmt"; "io"; "net/http"; "os")
func main() {
    r, err := http.Get(os.Args[1])
    if err != nil { fmt.Println(err); os.Exit(1) }
    b, _ := io.ReadAll(r.Body)
    fmt.Println(string(b))
}
"#;

const JAVA: &str = r#"
import java.net.URI; import java.net.http.*;
public class Get { public static void main(String[] a) throws Exception {
    System.out.println(HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(a[0])).build(), HttpResponse.BodyHandlers.ofString()).body());
} }
"#;

/// Whether a client is there: a program, or a library of Debian's Python.
fn is_there(client: &str) -> bool {
    let Some(module) = client.strip_prefix("python3-") else {
        return has(client);
    };
    let tried = Command::new("/usr/bin/python3")
        .args(["-c", &format!("import {module}")])
        .output();
    let there = tried.is_ok_and(|output| output.status.success());
    if !there {
        skip(client, "Python can't import it");
    }
    there
}

/// A world that holds the clients that have to be made first.
fn world_of_clients() -> World {
    let world = World::new();
    world.file("async.py", ASYNC);
    if installed("go").is_some() {
        world.file("get.go", GO);
        let mut build = world.command("go");
        build.args(["build", "-o", "get", "get.go"]);
        build.envs([
            ("CGO_ENABLED", "0"),
            ("GO111MODULE", "off"),
            ("GOFLAGS", "-buildvcs=false"),
        ]);
        Ran::from_output(&build.output().unwrap()).ok();
    }
    world
}

/// Asserts that a client fails at an unlisted name, by itself and with the reason in the log.
#[track_caller]
fn assert_fails_at_once(world: &World, client: &str) {
    let ran = world.run(&["--net", "agent"], &format!("timeout 5 {client}"));
    assert!(![0, 124].contains(&ran.code), "{client}: {ran:?}");
    assert_eq!(refused_names(world), ["b.test"], "{client}");
    let denied = world.events_of("lookup").remove(0);
    assert_eq!(denied["denied"]["reason"], "no rule allows it", "{client}");
}

#[test]
fn n22_java() {
    if !has("java") || !has("javac") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    world.file("Get.java", JAVA);
    Ran::from_output(&world.command("javac").arg("Get.java").output().unwrap()).ok();
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "java -cp . Get http://a.test/",
    );
    assert!(ran.ok().contains("ok a.test"), "{ran:?}");
    assert_fails_at_once(&world, "java -XX:TieredStopAtLevel=1 -cp . Get http://b.test/");
}

#[test]
fn n22_openssl_and_netcat() {
    if !has("openssl") || !has("python3") || !has("nc") {
        return;
    }
    let (world, plain, tls) = (World::new(), Server::http(), Tls::start());
    world.file("ca.pem", &tls.certificate);
    let ran = world.run(
        &["--net", "agent", "--resolve", &plain.resolve("a.test")],
        "printf 'GET /n HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n' | nc -w 5 a.test 80",
    );
    assert!(ran.out.contains("ok a.test GET /n"), "{ran:?}");
    let ran = world.run(
        &["--net", "agent", "--resolve", &tls.resolve("a.test")],
        "printf 'GET /s HTTP/1.1\\r\\nHost: a.test\\r\\nConnection: close\\r\\n\\r\\n' | \
         openssl s_client -quiet -verify_return_error -CAfile ca.pem -servername a.test -connect a.test:443 2>/dev/null",
    );
    assert!(ran.out.contains("tls a.test a.test /s"), "{ran:?}");
    assert_fails_at_once(&world, "nc -w 20 b.test 80");
    assert_fails_at_once(&world, "openssl s_client -connect b.test:443");
}

#[test]
fn n23_redis() {
    if !has("redis-server") || !has("redis-cli") {
        return;
    }
    let world = World::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut server = world
        .command("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--daemonize",
            "no",
        ])
        .current_dir(&world.outside)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let resolve = format!("a.test=127.0.0.1:{port}");
    let ran = world.run(
        &["--net", "agent", "--allow", "a.test:6379", "--resolve", &resolve],
        "for i in $(seq 100); do [ \"$(redis-cli -h a.test ping 2>/dev/null)\" = PONG ] && break; sleep 0.1; done; \
         redis-cli -h a.test set k v; redis-cli -h a.test get k",
    );
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(ran.ok(), "OK\nv");
    assert_fails_at_once(&world, "redis-cli -h b.test ping");
}

#[test]
fn n23_ssh() {
    if !has("sshd") || !has("ssh") || !has("ssh-keygen") {
        return;
    }
    if !rustix::process::getuid().is_root() {
        return skip("root", "a server of SSH lets nobody in but its own user");
    }
    let (world, place) = (World::new(), tempfile::tempdir().unwrap());
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let host_key = place.path().join("host");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&host_key)
        .output();
    Ran::from_output(&made.unwrap()).ok();
    let keys = world.file("keys", "");
    std::fs::create_dir_all("/run/sshd").unwrap();
    let options = [
        format!("Port={port}"),
        "ListenAddress=127.0.0.1".into(),
        format!("HostKey={}", host_key.display()),
        format!("AuthorizedKeysFile={}", keys.display()),
        "StrictModes=no".into(),
        "UsePAM=no".into(),
        "PermitRootLogin=prohibit-password".into(),
        "ForceCommand=echo hello from sshd".into(),
        "PidFile=none".into(),
    ];
    let mut server = Command::new(installed("sshd").unwrap())
        .args(["-D", "-e", "-f", "/dev/null"])
        .args(options.iter().flat_map(|option| ["-o", option]))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let resolve = format!("a.test=127.0.0.1:{port}");
    let ssh = "ssh -T -F /dev/null -i /tmp/k -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let ran = world.run(
        &["--net", "agent", "--allow", "a.test:22", "--resolve", &resolve],
        &format!(
            "ssh-keygen -q -t ed25519 -N '' -f /tmp/k; cp /tmp/k.pub keys; \
             for i in $(seq 50); do {ssh} root@a.test && exit; sleep 0.1; done; exit 1"
        ),
    );
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(ran.ok(), "hello from sshd", "{ran:?}");
    assert_eq!(world.events_of("connection").last().unwrap()["protocol"], "ssh");
    assert_fails_at_once(&world, &format!("{ssh} root@b.test"));
}

#[test]
fn n22_every_client_reaches_what_is_allowed_and_fails_at_the_rest() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (plain, tls, world) = (Server::http(), Tls::start(), world_of_clients());
    for (program, template) in CLIENTS {
        if !is_there(program) {
            continue;
        }
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
        assert_fails_at_once(&world, &command(template, "http", "b.test"));
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
