//! Many connections, and much over one: N26.

use super::servers::Server;
use super::support::World;

#[test]
fn n26_the_first_command_may_open_five_hundred_connections() {
    let (world, server) = (World::new(), Server::http());
    world.file(
        "x.py",
        "import concurrent.futures as f, threading, socket\nready = threading.Barrier(500)\n\
         def one(i):\n\
         \x20   s = socket.create_connection(('a.test', 80), 60)\n\
         \x20   ready.wait()\n\
         \x20   s.sendall(b'GET /%d HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n' % i)\n\
         \x20   return b'/%d ' % i in s.recv(200)\n\
         with f.ThreadPoolExecutor(500) as pool: print(sum(pool.map(one, range(500))))\n",
    );
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), "500", "{ran:?}");
    assert_eq!(world.events_of("connection").len(), 500);
}

#[test]
fn all_bytes_arrive_in_order_both_ways() {
    let (world, server) = (World::new(), Server::echo(""));
    world.file(
        "x.py",
        "import hashlib, os, socket, threading\ns = socket.create_connection(('a.test', 9999), 60)\n\
         data = os.urandom(1 << 20) * 32\n\
         def send():\n\
         \x20   s.sendall(data); s.shutdown(socket.SHUT_WR)\n\
         threading.Thread(target=send).start()\n\
         got = hashlib.sha256()\n\
         while part := s.recv(1 << 20): got.update(part)\n\
         print(got.digest() == hashlib.sha256(data).digest())\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "a.test:9999",
            "--resolve",
            &server.resolve("a.test"),
        ],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), "True");
    let event = &world.events_of("connection")[0];
    assert_eq!(
        (&event["sent"], &event["received"]),
        (&(32 << 20).into(), &(32 << 20).into()),
        "{event}"
    );
}

/// The names of a process's threads.
fn threads(pid: u32) -> Vec<String> {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default())
        .collect()
}

fn wait_for(path: &std::path::Path) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::fs::symlink_metadata(path).is_err() {
        assert!(std::time::Instant::now() < deadline, "{path:?} never came");
        std::thread::yield_now();
    }
}

#[test]
fn a_run_without_network_has_no_thread_for_it() {
    let (world, server) = (World::new(), Server::http());
    let script = "touch a; until [ -f b ]; do sleep 0.05; done; curl -sS -m 20 -o /dev/null http://a.test/; touch c; until [ -f d ]; do sleep 0.05; done";
    let mut child = world
        .aca(&[
            "run",
            "--net",
            "agent",
            "--resolve",
            &server.resolve("a.test"),
            "--",
            "sh",
            "-c",
            script,
        ])
        .spawn()
        .unwrap();
    let has_thread = || threads(child.id()).iter().any(|name| name.trim() == "network");
    wait_for(&world.project.join("a"));
    let before = has_thread();
    world.file("b", "");
    wait_for(&world.project.join("c"));
    let after = has_thread();
    world.file("d", "");
    assert!(child.wait().unwrap().success());
    assert_eq!((before, after), (false, true));
}

#[test]
fn connections_beyond_the_bound_wait_for_their_turn() {
    let (world, server) = (World::new(), Server::echo(""));
    world.file(
        "x.py",
        "import select, socket\naddress = (socket.gethostbyname('a.test'), 9999)\n\
         held = [socket.create_connection(address, 60) for _ in range(60)]\n\
         for s in held: s.sendall(b'x')\n\
         def answered(wait):\n\
         \x20   got = set()\n\
         \x20   while ready := select.select([s for s in held if s not in got], [], [], wait)[0]: got.update(ready)\n\
         \x20   return got\n\
         first = answered(3)\nprint(len(first))\n\
         for s in first: s.close()\n\
         held = [s for s in held if s not in first]\n\
         served = 0\n\
         while held:\n\
         \x20   now = answered(20)\n\
         \x20   if not now: break\n\
         \x20   served += len(now)\n\
         \x20   for s in now: s.close()\n\
         \x20   held = [s for s in held if s not in now]\n\
         print(len(first) + served)\n",
    );
    let resolve = server.resolve("a.test");
    let script = format!(
        "ulimit -n 300; exec {} run --net agent --allow a.test:9999 --resolve {resolve} -- python3 x.py",
        world.aca.display()
    );
    let output = world.command("sh").args(["-c", &script]).output().unwrap();
    let ran = super::support::Ran::from_output(&output);
    // Two descriptors each, and what is kept for the rest of the supervisor: the least that there ever is room for.
    let counts: Vec<usize> = ran.ok().lines().map(|line| line.parse().unwrap()).collect();
    assert!((16..40).contains(&counts[0]), "{ran:?}");
    assert_eq!(counts[1], 60, "{ran:?}");
}

#[test]
fn a_name_a_connection_exhausts_nothing_and_old_names_stay() {
    let (world, server) = (World::new(), Server::http());
    // As many as a client that opens a thousand a second would have asked for in a minute, each over a socket that stays.
    world.file(
        "x.py",
        "import socket, struct, http.client\n\
         old = http.client.HTTPConnection('old.a.test', timeout=60)\n\
         address = socket.gethostbyname('old.a.test')\n\
         def get(c, host): c.request('GET', '/', headers={'Host': host}); r = c.getresponse(); r.read(); return r.status\n\
         print(get(old, 'old.a.test'))\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53)); s.settimeout(20)\n\
         def question(i):\n\
         \x20   name = b'n%d' % i\n\
         \x20   return struct.pack('>HHHHHH', i & 0xffff, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b'\\1a\\4test\\0' + struct.pack('>HH', 1, 1)\n\
         seen, failed = set(), 0\n\
         for start in range(0, 60000, 50):\n\
         \x20   for i in range(start, start + 50): s.send(question(i))\n\
         \x20   for i in range(start, start + 50):\n\
         \x20       a = s.recv(512)\n\
         \x20       if a[3] & 15 == 0 and a[7] == 1: seen.add(a[-4:])\n\
         \x20       else: failed += 1\n\
         print(len(seen), failed, socket.inet_aton(address) in seen)\n\
         print(get(old, 'old.a.test'), get(http.client.HTTPConnection(address, timeout=60), 'old.a.test'))\n\
         print(socket.gethostbyname('old.a.test') == address)\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "*.a.test",
            "--resolve",
            &server.resolve("old.a.test"),
        ],
        "python3 x.py",
    );
    assert_eq!(ran.ok(), "200\n60000 0 False\n200 200\nTrue", "{ran:?}");
}
