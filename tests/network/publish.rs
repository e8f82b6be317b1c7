//! Servers inside that the host reaches (`--publish`).

use super::servers::Server;
use super::support::{World, has};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A run that goes on.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// The ports of the host, in the order of the flags.
    pub(crate) ports: Vec<u16>,
}

impl Running {
    /// Starts `script`; each of the flags `--publish :N` takes a free port, which is told.
    pub(crate) fn start(world: &World, flags: &[&str], script: &str) -> Self {
        let mut command = world.aca(&["run"]);
        command.args(flags).args(["--", "sh", "-c", script]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let free = flags.iter().filter(|flag| flag.starts_with(':')).count();
        let ports = (0..free)
            .map(|_| {
                let line = lines.next().unwrap().unwrap();
                let port = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
                assert!(port.is_some(), "{line}");
                port.unwrap()
            })
            .collect();
        // What follows must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, ports }
    }

    pub(crate) fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An HTTP server of one file, at an address and port.
pub(crate) fn http(bind: &str, port: u16) -> String {
    format!("echo hello > page; exec python3 -m http.server --bind {bind} {port}")
}

/// What a server gives for `/page`, once it is there.
pub(crate) fn page(address: SocketAddr) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask(address, b"GET /page HTTP/1.0\r\n\r\n");
        if answer.contains("hello") || Instant::now() > deadline {
            return answer;
        }
        pause();
    }
}

fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(request)?;
        stream.read_to_string(&mut answer)
    });
    match asked {
        Ok(_) => answer,
        Err(error) => format!("{answer}{error}"),
    }
}

/// What is waited for is another program's doing, and nothing tells of it.
#[expect(
    clippy::disallowed_methods,
    reason = "looked at again after a while, up to a deadline"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[test]
fn n25_a_server_inside_is_reached_from_the_host_by_both_families() {
    if !has("python3") {
        return;
    }
    let world = World::new();
    for bind in ["0.0.0.0", "127.0.0.1", "::", "::1"] {
        let running = Running::start(&world, &["--publish", ":8000"], &http(bind, 8000));
        let port = running.ports[0];
        assert!(page(local(port)).ends_with("hello\n"), "{bind}");
        // A machine without IPv6 is listened on by IPv4.
        if TcpListener::bind("[::1]:0").is_ok() {
            assert!(
                page((Ipv6Addr::LOCALHOST, port).into()).ends_with("hello\n"),
                "{bind}"
            );
        }
        running.end();
        assert!(TcpStream::connect(local(port)).is_err(), "it ends with the run");
    }
    let visits = world.events_of("visit");
    let visit = visits.last().unwrap();
    assert_eq!(visit["inside"], 8000, "{visit}");
    assert!(
        visit["failed"].is_null() && visit["sent"].as_u64().unwrap() > 100,
        "{visit}"
    );
    assert_eq!(visit["received"], 22, "{visit}");
}

#[test]
fn n25_without_the_grant_nothing_inside_is_reached() {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    world.file("ready", "");
    let running = Running::start(
        &world,
        &[],
        &format!("rm ready; exec python3 -m http.server {port}"),
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.project.join("ready").symlink_metadata().is_ok() {
        assert!(Instant::now() < deadline);
        pause();
    }
    pause();
    assert!(TcpStream::connect(local(port)).is_err());
    running.end();
}

#[test]
fn n25_low_ports_and_other_numbers() {
    let world = World::new();
    let running = Running::start(
        &world,
        &["--publish", ":80", "--publish", ":443"],
        "echo hello > page; python3 -m http.server 443 & exec python3 -m http.server 80",
    );
    for port in &running.ports {
        assert!(page(local(*port)).ends_with("hello\n"));
    }
    running.end();
}

#[test]
fn n25_two_hundred_at_once_lose_nothing() {
    let world = World::new();
    world.file(
        "echo.py",
        "import asyncio\n\
         async def echo(r, w):\n\
         \x20   while d := await r.read(65536):\n\
         \x20       w.write(d); await w.drain()\n\
         \x20   w.write_eof()\n\
         async def main():\n\
         \x20   s = await asyncio.start_server(echo, '127.0.0.1', 9000, backlog=1000); await s.serve_forever()\n\
         asyncio.run(main())\n",
    );
    let running = Running::start(&world, &["--publish", ":9000"], "exec python3 echo.py");
    let address = local(running.ports[0]);
    let talk = move |size: usize| -> std::io::Result<usize> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut writer = stream.try_clone()?;
        let sending = std::thread::spawn(move || {
            writer.write_all(&vec![7; size])?;
            writer.shutdown(Shutdown::Write)
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        sending.join().unwrap()?;
        Ok(back.len())
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while talk(1).ok() != Some(1) {
        assert!(Instant::now() < deadline);
        pause();
    }
    let talks: Vec<_> = (0..200)
        .map(|_| std::thread::spawn(move || talk(50_000)))
        .collect();
    for talked in talks {
        assert_eq!(talked.join().unwrap().unwrap(), 50_000);
    }
    // Much goes another way.
    assert_eq!(talk(8 << 20).unwrap(), 8 << 20);
    running.end();
    let whole = world.events_of("visit");
    let whole = whole
        .iter()
        .filter(|visit| visit["failed"].is_null() && visit["sent"] == 50_000);
    assert_eq!(whole.count(), 200);
}

#[test]
fn a_port_of_the_host_that_is_taken_is_told_before_anything_starts() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = world.run(&["--publish", &format!("{port}:80")], "echo ran");
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
    assert!(
        ran.err.contains(&format!("127.0.0.1:{port} is in use already")) && ran.err.contains("`:80`"),
        "{ran:?}"
    );
    // Another run's is no different.
    let running = Running::start(&world, &["--publish", ":80"], "exec sleep 60");
    let ran = world.run(&["--publish", &format!("{}:80", running.ports[0])], "echo ran");
    assert!(
        ran.code == 125 && ran.err.contains("is in use already"),
        "{ran:?}"
    );
}

#[test]
fn nothing_is_left_of_a_run_that_is_killed() {
    let world = World::new();
    let mut running = Running::start(&world, &["--publish", ":8000"], &http("127.0.0.1", 8000));
    let address = local(running.ports[0]);
    assert!(page(address).ends_with("hello\n"));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(TcpStream::connect(address).is_err());
    assert!(TcpListener::bind(address).is_ok());
}

#[test]
fn only_the_host_s_loopback_is_listened_on_unless_an_address_is_written_out() {
    let world = World::new();
    let outward = |running: &Running| {
        let mut addresses = nix::ifaddrs::getifaddrs().unwrap().filter_map(|interface| {
            let address = interface.address?.as_sockaddr_in()?.ip();
            Some(IpAddr::V4(address)).filter(|address| !address.is_loopback())
        });
        addresses.any(|address| TcpStream::connect((address, running.ports[0])).is_ok())
    };
    let running = Running::start(&world, &["--publish", ":8000"], &http("127.0.0.1", 8000));
    assert!(page(local(running.ports[0])).ends_with("hello\n"));
    assert!(!outward(&running));
    assert!(TcpStream::connect(("127.0.0.2", running.ports[0])).is_err());
    running.end();
}

#[test]
fn what_is_inside_does_not_reach_the_host_s_side() {
    let world = World::new();
    let running = Running::start(&world, &["--publish", ":8000"], &http("127.0.0.1", 8000));
    let port = running.ports[0];
    assert!(page(local(port)).ends_with("hello\n"));
    // Of another run, with all the network that there is, and by the proxies too.
    let ran = world.run(
        &["--net", "open"],
        &format!(
            "for u in 127.0.0.1 '[::1]' localhost; do curl -sS -m 20 http://$u:{port}/page; \
             curl -sS -m 20 -x http://198.18.255.254:3128 --noproxy '' http://$u:{port}/page; done"
        ),
    );
    assert!(!ran.out.contains("hello"), "{ran:?}");
}

#[test]
fn a_server_that_is_not_there_and_one_that_is_hostile() {
    let world = World::new();
    let running = Running::start(
        &world,
        &["--publish", ":8000", "--publish", ":9000"],
        "python3 -c \"import socket\ns = socket.create_server(('127.0.0.1', 9000))\nwhile 1: s.accept()[0].setsockopt(1, 13, b'\\1\\0\\0\\0\\0\\0\\0\\0')\"",
    );
    // Let in, and cut off at once.
    for port in &running.ports {
        for _ in 0..20 {
            assert!(!ask(local(*port), b"x").contains("hello"));
        }
    }
    running.end();
    let visits = world.events_of("visit");
    assert!(
        visits
            .iter()
            .filter(|visit| visit["inside"] == 8000)
            .all(|visit| visit["failed"] == "nothing listens there inside"),
        "{visits:?}"
    );
}

#[test]
fn both_ways_of_capture_publish() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[network]\ncapture = \"ports\"\npublish = [\":8000\"]\n",
    );
    let running = Running::start(
        &world,
        &["--resolve", &server.resolve("a.test"), "--publish", ":9000"],
        "echo hello > page; python3 -m http.server 9000 & exec python3 -m http.server 8000",
    );
    assert!(page(local(running.ports[0])).ends_with("hello\n"));
}
