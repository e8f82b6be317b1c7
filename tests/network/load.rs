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
