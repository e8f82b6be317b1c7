//! Who else would use the gate: processes of the host, another session, and a relay inside. N17, N30.

use super::servers::Server;
use super::support::{ORDINARY, Ran, World, has};
use super::{assert_refused, refused_names};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A run that stays until the file `end` is there, with a host of its own.
fn stay(world: &World, server: &Server) -> Child {
    let resolve = server.resolve("a.test");
    let script =
        "curl -sS -m 20 -o /dev/null http://a.test/; touch up; until [ -f end ]; do sleep 0.05; done";
    let child = world
        .aca(&[
            "run",
            "--net",
            "agent",
            "--resolve",
            &resolve,
            "--",
            "sh",
            "-c",
            script,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::symlink_metadata(world.project.join("up")).is_err() {
        assert!(Instant::now() < deadline, "it never started");
        std::thread::yield_now();
    }
    child
}

fn end(world: &World, mut child: Child) {
    world.file("end", "");
    assert!(child.wait().unwrap().success());
}

/// The first process of the sandbox.
fn first(supervisor: u32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{supervisor}/task")).unwrap();
    let mut children = threads
        .flatten()
        .map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let child = children.find(|children| !children.is_empty()).unwrap();
    child.split_whitespace().next().unwrap().to_owned()
}

/// Ports of the host's own network on which something listens.
fn listening() -> Vec<u16> {
    let mut ports = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[3] == "0A" {
                ports.push(u16::from_str_radix(words[1].rsplit(':').next().unwrap(), 16).unwrap());
            }
        }
    }
    ports
}

#[test]
fn n17_no_process_of_the_host_reaches_the_proxies_of_a_session() {
    let (world, server) = (World::new(), Server::http());
    let child = stay(&world, &server);
    let first = first(child.id());
    // There is nothing to connect to: no listener, and no address.
    let ports = listening();
    for port in [3128, 1080, 15001, 15053] {
        assert!(!ports.contains(&port), "{ports:?}");
    }
    for address in [
        "198.18.255.254:3128",
        "198.18.255.254:1080",
        "[fd61:6361::1]:3128",
    ] {
        let address: SocketAddr = address.parse().unwrap();
        // A machine's router may answer for addresses of others; the proxies would.
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            std::io::Write::write_all(
                &mut stream,
                b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
            )
            .ok();
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut stream, &mut answer).ok();
            assert!(!answer.contains("a.test"), "{answer}");
        }
    }
    // Nor does another user get at it by way of the processes.
    if rustix::process::getuid().is_root() && has("nsenter") {
        let other = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).uid(ORDINARY + 1).gid(ORDINARY + 1);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        };
        for pid in [first.as_str(), &child.id().to_string()] {
            assert!(!other("ls", &[&format!("/proc/{pid}/fd/")]));
            assert!(!other("nsenter", &["-n", "-U", "-t", pid, "true"]));
        }
        // Root can: so the means are right.
        let net = format!("--net=/proc/{first}/ns/net");
        let inside = Command::new("nsenter")
            .args([&net, "cat", "/proc/net/tcp6"])
            .output()
            .unwrap();
        let inside = Ran::from_output(&inside);
        // 15001, or what stands in its place.
        assert!(
            inside.ok().contains(":3A99") || inside.ok().contains(":0C38"),
            "{inside:?}"
        );
    }
    // Another session of the same user has proxies of its own at the same place, which ask its own rules.
    let own = World::new();
    let ran = own.run(
        &["--net", "agent"],
        "curl -sS -m 20 -o /dev/null -w '%{http_code}' -x http://198.18.255.254:3128 http://a.test/",
    );
    end(&world, child);
    assert_eq!(ran.ok(), "403");
    assert_refused(&own, &[("a.test:80", "no rule allows it")]);
    assert_eq!(server.seen(), ["GET / a.test"]);
}

#[test]
fn n30_a_relay_inside_gets_the_same_answers() {
    let (world, server) = (World::new(), Server::http());
    // A proxy of the program's own, which forwards tunnels: to names, to addresses that it looked up, to the proxy.
    world.file(
        "relay.py",
        "import socket, threading\n\
         def pump(a, b):\n\
         \x20   try:\n\
         \x20       while data := a.recv(65536): b.sendall(data)\n\
         \x20       b.shutdown(socket.SHUT_WR)\n\
         \x20   except OSError: b.close()\n\
         def serve(c):\n\
         \x20   head = b''\n\
         \x20   while b'\\r\\n\\r\\n' not in head: head += c.recv(1)\n\
         \x20   host, port = head.split()[1].decode().rsplit(':', 1)\n\
         \x20   try: s = socket.create_connection((host, int(port)), 20)\n\
         \x20   except OSError as e: c.sendall(b'HTTP/1.1 502 no\\r\\n\\r\\n'); return c.close()\n\
         \x20   c.sendall(b'HTTP/1.1 200 ok\\r\\n\\r\\n')\n\
         \x20   threading.Thread(target=pump, args=(c, s), daemon=True).start(); pump(s, c)\n\
         l = socket.create_server(('127.0.0.1', 8888)); open('up', 'w').close()\n\
         while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()\n",
    );
    let curl = "curl -sS -m 20 -o /dev/null -w '%{http_code} %{http_connect}\\n' -p -x http://127.0.0.1:8888";
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        &format!(
            "python3 relay.py & until [ -f up ]; do sleep 0.05; done; \
             {curl} http://a.test/; {curl} http://b.test/; {curl} http://192.0.2.1/; {curl} -H 'Host: b.test' http://a.test/; \
             {curl} --proxy-header 'X: y' --preproxy http://198.18.255.254:3128 http://b.test/ || true; kill $!"
        ),
    );
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(
        lines[..4],
        ["200 200", "000 502", "403 200", "403 200"],
        "{ran:?}"
    );
    assert!(!lines[4].starts_with("200"), "{ran:?}");
    assert_eq!(server.seen(), ["GET / a.test"]);
    assert!(refused_names(&world).contains(&"b.test".to_owned()));
    let relayed = world.events_of("connection");
    assert!(
        relayed
            .iter()
            .filter(|event| event["name"] == "a.test")
            .all(|event| {
                let program = event["program"].as_str();
                program.is_none_or(|program| program.contains("python3"))
            }),
        "the relay is what is told: {relayed:#?}"
    );
}
