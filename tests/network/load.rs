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
