//! Servers and clients on the sandbox's own loopback.

use crate::table::rows;

rows! {
    node_server ["node", "curl"] r#"
        node -e 'require("http").createServer((q, s) => s.end("served " + q.url + "\n")).listen(0, function () { require("fs").writeFileSync("port", "" + this.address().port) })' & p=$!
        until [ -s port ]; do :; done; port=$(cat port)
        curl -s http://127.0.0.1:$port/a; curl -s http://localhost:$port/b; curl -s "http://[::1]:$port/c"; kill $p
    "# => "served /a\nserved /b\nserved /c";

    python_server ["python3"] r#"
        python3 -c '
import http.server, threading, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b"served")
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for host in ("127.0.0.1", "localhost"): print(urllib.request.urlopen("http://%s:%d/" % (host, server.server_port)).read().decode())
'
    "# => "served\nserved";

    ipv6_loopback ["python3"] r#"
        python3 -c '
import socket
s = socket.create_server(("::1", 0), family=socket.AF_INET6); c = socket.create_connection(s.getsockname()[:2]); p, _ = s.accept()
c.sendall(b"six"); print(p.recv(9).decode(), p.getpeername()[0])
'
    "# => "six ::1";

    udp_loopback ["python3"] r#"
        python3 -c '
import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.settimeout(60)
c = socket.socket(type=socket.SOCK_DGRAM); c.sendto(b"datagram", s.getsockname()); print(s.recv(99).decode())
'
    "# => "datagram";

    bind_any ["python3"] r#"
        python3 -c '
import socket
s = socket.create_server(("0.0.0.0", 0)); c = socket.create_connection(("127.0.0.1", s.getsockname()[1])); s.accept(); print("accepted")
d = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True); socket.create_connection(("127.0.0.1", d.getsockname()[1])); d.accept(); print("accepted")
'
    "# => "accepted\naccepted";

    /// A port that nobody listens at answers so at once.
    closed_port ["python3", "curl"] r#"
        python3 -c '
import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close(); print(socket.socket().connect_ex(("127.0.0.1", port)))
'
        curl -s http://127.0.0.1:1/; echo $?
    "# => "111\n7";

    websocket_upgrade ["node"] r#"
        timeout 60 node -e '
            const server = require("http").createServer().listen(0, "127.0.0.1", () => {
                const ask = require("http").request({ port: server.address().port, headers: { connection: "upgrade", upgrade: "own" } });
                ask.on("upgrade", (_, socket, head) => { if (head.length) socket.unshift(head); socket.on("data", d => { console.log("" + d); process.exit(0); }); }); ask.end();
            });
            server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own\r\n\r\nupgraded"));
        '
    "# => "upgraded";
}
