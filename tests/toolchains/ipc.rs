//! What programs on one machine talk to each other by, and what they watch.

use crate::table::rows;

rows! {
    shared_memory ["python3"] r#"
        python3 -c '
from multiprocessing import shared_memory as m
a = m.SharedMemory(create=True, size=10_000_000); a.buf[0] = 42
b = m.SharedMemory(name=a.name); print(b.buf[0]); b.close(); a.close(); a.unlink()
'
    "# => "42";

    multiprocessing ["python3"] r#"
        cat > m.py <<'END'
import multiprocessing as m
def square(n): return n * n
def put(queue, lock):
    with lock: queue.put("from the child")
if __name__ == "__main__":
    for way in ("fork", "spawn", "forkserver"):
        m.set_start_method(way, force=True)
        with m.Pool(4) as pool: print(way, sum(pool.map(square, range(10))))
    lock, queue, gate = m.Lock(), m.Queue(), m.Semaphore(0)
    child = m.Process(target=put, args=(queue, lock)); child.start(); print(queue.get(timeout=60)); child.join()
END
        python3 m.py
    "# => "fork 285\nspawn 285\nforkserver 285\nfrom the child";

    system_v ["python3", "ipcmk", "ipcrm"] r#"
        python3 -c '
import ctypes
c = ctypes.CDLL(None)
sem = c.semget(0, 1, 0o600 | 0o1000); shm = c.shmget(0, 4096, 0o600 | 0o1000); queue = c.msgget(0, 0o600 | 0o1000)
print(sem >= 0, shm >= 0, queue >= 0)
c.semctl(sem, 0, 0); c.shmctl(shm, 0, None); c.msgctl(queue, 0, None)
'
        ipcrm -s "$(ipcmk -S 1 | tr -dc 0-9)" && echo removed
    "# => "True True True\nremoved";

    unix_sockets ["python3"] r#"
        python3 -c '
import os, socket, threading
def serve(name):
    server = socket.socket(socket.AF_UNIX); server.bind(name); server.listen()
    def answer():
        peer, _ = server.accept(); peer.sendall(peer.recv(9).upper())
    threading.Thread(target=answer, daemon=True).start()
    client = socket.socket(socket.AF_UNIX); client.connect(name); client.sendall(b"ping"); return client.recv(9).decode()
in_tmp = "/tmp/aca-test-%d.sock" % os.getpid()
print(serve("s.sock"), serve(in_tmp), serve("\0aca-test-%d" % os.getpid())); os.unlink(in_tmp)
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.send(b"pair"); print(b.recv(9).decode())
socket.send_fds(a, [b"fd"], [1]); print(len(socket.recv_fds(b, 9, 1)[1]))
'
    "# => "PING PING PING\npair\n1";

    node_child_ipc ["node"] r#"
        echo 'process.on("message", m => process.send(m + 1, () => process.exit(0)))' > c.js
        node -e 'const c = require("child_process").fork("./c.js"); c.on("message", m => console.log(m)); c.send(41)'
    "# => "42";

    flock ["flock", "python3"] r#"
        exec 9> lock; flock 9; flock -n lock true || echo held; exec 9>&-; flock -n lock echo free
        python3 -c '
import fcntl, os
f = open("lock", "w"); fcntl.lockf(f, fcntl.LOCK_EX)
if os.fork() == 0:
    try: fcntl.lockf(open("lock", "w"), fcntl.LOCK_EX | fcntl.LOCK_NB); print("taken", flush=True)
    except OSError: print("held", flush=True)
    os._exit(0)
os.wait()
'
    "# => "held\nfree\nheld";

    inotify ["inotifywait"] r"
        mkdir d; touch d/f; inotifywait -m -r -e close_write --format %f d > seen 2> ready & p=$!
        until grep -q established ready; do :; done
        echo one > d/f; until [ -s seen ]; do :; done; kill $p; cat seen
    " => "f";

    tail_follows [] r"
        echo one > f; tail -f f > seen & p=$!
        until grep -q one seen; do :; done; echo two >> f; until grep -q two seen; do :; done; kill $p; cat seen
    " => "one\ntwo";

    node_watches ["node"] r#"
        mkdir d; timeout 60 node -e '
            const fs = require("fs"), seen = new Set();
            const w = fs.watch("d", (_, name) => { if (!seen.has(name)) { seen.add(name); console.log(name); w.close(); } });
            fs.writeFileSync("d/f", "one");
        '
    "# => "f";

    python_watches ["python3"] r#"
        python3 -c '
import ctypes, os, select
c = ctypes.CDLL(None); fd = c.inotify_init1(0o4000)
c.inotify_add_watch(fd, b".", 0x100); e = select.epoll(); e.register(fd); open("g", "w")
print(len(e.poll(60)), b"g" in os.read(fd, 1000)); print(os.eventfd(7) > 2) if hasattr(os, "eventfd") else print(True)
'
    "# => "1 True\nTrue";

    memfd_executes ["python3"] r#"
        python3 -c '
import os
fd = os.memfd_create("t"); os.write(fd, open("/bin/echo", "rb").read()); os.execve(fd, ["echo", "from memory"], {})
'
    "# => "from memory";

    interfaces ["python3", "node", "ip"] r#"
        ip addr show lo | grep -o 'inet 127.0.0.1/8'; python3 -c 'import socket; print("lo" in [n for _, n in socket.if_nameindex()])'
        node -p 'require("os").networkInterfaces().lo.some(i => i.address === "127.0.0.1")'
    "# => "inet 127.0.0.1/8\nTrue\ntrue";

    code_in_memory ["python3"] r#"
        python3 -c '
import ctypes, mmap, platform
code = {"x86_64": b"\xb8\x2a\0\0\0\xc3", "aarch64": b"\x40\x05\x80\x52\xc0\x03\x5f\xd6"}[platform.machine()]
m = mmap.mmap(-1, 4096, prot=7); m.write(code)
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))())
'
    "# => "42";

    node_worker ["node"] r#"
        node -e '
            const { Worker } = require("worker_threads");
            new Worker("let n = 0; for (let i = 0; i < 1e7; i++) n += i % 7; require(\"worker_threads\").parentPort.postMessage(n)", { eval: true }).on("message", n => console.log(n));
        '
    "# => "29999994";

    sqlite ["sqlite3", "python3"] r#"
        sqlite3 a.db 'pragma journal_mode = wal; create table t (n); insert into t values (1), (2);'
        python3 -c 'import sqlite3; print(sqlite3.connect("a.db").execute("select sum(n) from t").fetchone()[0])'; sqlite3 a.db 'pragma integrity_check'
    "# => "wal\n3\nok";

    random_numbers ["python3", "openssl"] r#"python3 -c 'import os; print(len(os.getrandom(8)))'; openssl rand -hex 4 | wc -c"# => "8\n9";
}
