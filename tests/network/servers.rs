//! Small servers on the host's loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A server, and what it was sent.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// HTTP/1.1 that keeps connections open and answers with the host and path that it was asked for.
    pub(crate) fn http() -> Self {
        Self::http_at("127.0.0.1:0")
    }

    /// The same, at an address.
    pub(crate) fn http_at(address: &str) -> Self {
        Self::serve(address, |stream, seen| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            while let Some((first, host, length)) = request(&mut reader) {
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_err() {
                    return;
                }
                seen.lock().unwrap().push(format!("{first} {host}"));
                let answer = format!("ok {host} {first} {}", String::from_utf8_lossy(&body));
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers every connection with `200` and nothing, half a second after its first bytes.
    pub(crate) fn slow() -> Self {
        Self::serve("127.0.0.1:0", |mut stream, _| {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                let while_it_waits = Some(std::time::Duration::from_millis(500));
                stream.set_read_timeout(while_it_waits).unwrap();
                if stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    return;
                }
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .ok();
            }
        })
    }

    /// Says `greeting` first, then gives back what it gets until the other side ends.
    pub(crate) fn echo(greeting: &'static str) -> Self {
        Self::echo_at("127.0.0.1:0", greeting)
    }

    /// The same, at an address.
    pub(crate) fn echo_at(address: &str, greeting: &'static str) -> Self {
        Self::serve(address, move |mut stream, seen| {
            stream.write_all(greeting.as_bytes()).ok();
            let mut buffer = [0; 65536];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => {
                        seen.lock()
                            .unwrap()
                            .push(String::from_utf8_lossy(&buffer[..count]).into_owned());
                        if stream.write_all(&buffer[..count]).is_err() {
                            return;
                        }
                    }
                }
            }
        })
    }

    fn serve(address: &str, handle: impl Fn(TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (shared, handle) = (Arc::clone(&seen), Arc::new(handle));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, handle) = (Arc::clone(&shared), Arc::clone(&handle));
                std::thread::spawn(move || handle(stream, &shared));
            }
        });
        Self { port, seen }
    }

    /// All that it was sent.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The flag that leads a name here, whatever the port asked for.
    pub(crate) fn resolve(&self, name: &str) -> String {
        format!("{name}=127.0.0.1:{}", self.port)
    }
}

/// Takes whatever it is sent, counts it, and says nothing.
pub(crate) struct Sink {
    port: u16,
    taken: Arc<AtomicU64>,
}

impl Sink {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let taken = Arc::clone(&shared);
                let take = move || {
                    let mut buffer = [0; 32 << 10];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        taken.fetch_add(u64::try_from(count).unwrap(), Ordering::SeqCst);
                    }
                };
                std::thread::Builder::new()
                    .stack_size(128 << 10)
                    .spawn(take)
                    .unwrap();
            }
        });
        Self { port, taken }
    }

    /// Bytes so far; those of a connection that ended are all there.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// The flag that leads a name here.
    pub(crate) fn resolve(&self, name: &str) -> String {
        format!("{name}=127.0.0.1:{}", self.port)
    }
}

/// First line, host and body length of a request.
fn request(reader: &mut impl BufRead) -> Option<(String, String, usize)> {
    let (mut first, mut host, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if first.is_empty() {
            first = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        } else if line.is_empty() {
            return Some((first, host, length));
        } else if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "host" => host = value.trim().to_owned(),
                "content-length" => length = value.trim().parse().unwrap(),
                _ => {}
            }
        }
    }
}

/// A TLS server with a certificate for `*.test`, that answers each request with the server name it was sent.
pub(crate) struct Tls {
    /// Where it listens.
    pub(crate) port: u16,
    /// Its certificate, to be trusted inside.
    pub(crate) certificate: String,
    child: Child,
    _directory: tempfile::TempDir,
}

const TLS_SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = f"tls {self.connection.server_hostname_sent} {self.headers['Host']} {self.path}\n".encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest): pass
def remember(socket, name, context): socket.server_hostname_sent = name
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('cert.pem', 'key.pem')
context.sni_callback = remember
ssl.SSLSocket.server_hostname_sent = None
server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

impl Tls {
    /// Starts it, with openssl(1) and python3.
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1", 0)
    }

    /// The same, at an address.
    pub(crate) fn start_at(address: &str, port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        certify(directory.path(), &[]);
        let mut child = Command::new("python3")
            .args(["-c", TLS_SERVER, address, &port.to_string()])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            port: line.trim().parse().unwrap(),
            certificate: std::fs::read_to_string(directory.path().join("cert.pem")).unwrap(),
            child,
            _directory: directory,
        }
    }

    /// The flag that leads a name here.
    pub(crate) fn resolve(&self, name: &str) -> String {
        format!("{name}=127.0.0.1:{}", self.port)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Makes `cert.pem` and `key.pem`, with more arguments of openssl(1).
pub(crate) fn certify(directory: &Path, more: &[&str]) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=a.test"])
        .args(["-addext", "subjectAltName=DNS:a.test,DNS:b.test,DNS:localhost"])
        .args(more)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
