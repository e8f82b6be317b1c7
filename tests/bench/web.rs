//! A web server on loopback and a client for it, plain and TLS, both as cheap as they come, so that what stands between
//! them shows. Every TLS connection is a full handshake.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// The name in the certificate.
pub(crate) const NAME: &str = "a.test";
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A byte stream, encrypted or not.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Writes a key and a certificate for [`NAME`] into a directory, with openssl(1).
pub(crate) fn certify(directory: &Path) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem"])
        .args(["-subj", "/CN=a.test", "-addext", "subjectAltName=DNS:a.test"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Serves plain HTTP, and HTTPS with what is in the directory; gives the ports.
pub(crate) fn serve(directory: &Path) -> (u16, u16) {
    let certificate = CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.send_tls13_tickets = 0;
    let config = Arc::new(config);
    let plain = listen(answer);
    let tls = listen(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        answer(StreamOwned::new(connection, stream));
    });
    (plain, tls)
}

/// A server in Node, ended with the value.
pub(crate) struct Node {
    process: Child,
    /// Plain, and TLS.
    pub(crate) ports: (u16, u16),
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The same answers as [`serve`]'s, by Node; `None` where it isn't installed.
pub(crate) fn serve_by_node(directory: &Path) -> Option<Node> {
    const PROGRAM: &str = r#"
        const fs = require('fs'), piece = Buffer.alloc(65536, 'x');
        const answer = (request, response) => {
            let left = Number(request.url.split('/').pop());
            response.writeHead(200, {'Content-Length': left});
            const more = () => {
                while (left > 0) {
                    const part = piece.subarray(0, Math.min(left, piece.length));
                    left -= part.length;
                    if (!response.write(part)) return response.once('drain', more);
                }
                response.end();
            };
            more();
        };
        const plain = require('http').createServer(answer).listen(0, '127.0.0.1', () => {
            const tls = require('https').createServer(
                {key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem')}, answer
            ).listen(0, '127.0.0.1', () => console.log(plain.address().port, tls.address().port));
        });
    "#;
    let mut process = Command::new("node")
        .args(["-e", PROGRAM])
        .current_dir(directory)
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ports: Vec<u16> = line
        .split_whitespace()
        .map(|port| port.parse().unwrap())
        .collect();
    Some(Node {
        process,
        ports: (ports[0], ports[1]),
    })
}

fn listen(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            let handle = Arc::clone(&handle);
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || handle(stream))
                .unwrap();
        }
    });
    port
}

/// Answers `GET /N` with N bytes, until the client ends.
fn answer(mut stream: impl Stream) {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8_lossy(&buffer[..filled]);
        let path = head.split(' ').nth(1).unwrap();
        let mut left: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        let mut first = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").into_bytes();
        let small = left.min(1024);
        first.extend_from_slice(&PIECE[..small]);
        left -= small;
        let last = head.contains("\r\nConnection: close\r\n");
        filled = 0;
        if stream.write_all(&first).is_err() {
            return;
        }
        while left > 0 {
            let count = left.min(PIECE.len());
            if stream.write_all(&PIECE[..count]).is_err() {
                return;
            }
            left -= count;
        }
        if last {
            return;
        }
    }
}

/// How the client gets to the server.
#[derive(Clone)]
pub(crate) enum Via {
    /// By itself, or captured on its way.
    Direct,
    /// By an HTTP proxy.
    Http(SocketAddr),
    /// By a SOCKS5 proxy.
    Socks(SocketAddr),
}

/// A client of one server.
pub(crate) struct Client {
    via: Via,
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection of a client, with what was read of the next answer.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    request: String,
    buffer: Vec<u8>,
}

impl Client {
    /// For `host:port`, which is looked up once where it is dialled; with a certificate to trust it speaks TLS.
    pub(crate) fn new(via: Via, host: &str, port: u16, certificate: Option<&Path>) -> Self {
        use std::net::ToSocketAddrs;
        let address = matches!(via, Via::Direct)
            .then(|| (host, port).to_socket_addrs().unwrap().find(SocketAddr::is_ipv4))
            .flatten();
        let tls = certificate.map(|path| {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
            let mut config = ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.resumption = rustls::client::Resumption::disabled();
            Arc::new(config)
        });
        Self {
            via,
            host: host.to_owned(),
            port,
            address,
            tls,
        }
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Connection {
        let (host, port) = (&self.host, self.port);
        let dial = |address| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        let mut place = String::new();
        let stream = match &self.via {
            Via::Direct => dial(self.address.unwrap()),
            Via::Http(proxy) => {
                let mut stream = dial(*proxy);
                if self.tls.is_some() {
                    let wanted = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
                    stream.write_all(wanted.as_bytes()).unwrap();
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0; 256];
                        let count = stream.read(&mut byte).unwrap();
                        assert!(count > 0, "{}", String::from_utf8_lossy(&head));
                        head.extend_from_slice(&byte[..count]);
                    }
                    assert!(
                        head.starts_with(b"HTTP/1.1 200"),
                        "{}",
                        String::from_utf8_lossy(&head)
                    );
                } else {
                    place = format!("http://{host}:{port}");
                }
                stream
            }
            Via::Socks(proxy) => {
                let mut stream = dial(*proxy);
                stream.write_all(&[5, 1, 0]).unwrap();
                stream.read_exact(&mut [0; 2]).unwrap();
                let length = u8::try_from(host.len()).unwrap();
                let wanted = [&[5, 1, 0, 3, length], host.as_bytes(), &port.to_be_bytes()].concat();
                stream.write_all(&wanted).unwrap();
                let mut reply = [0; 10];
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(reply[1], 0);
                stream
            }
        };
        let stream: Box<dyn Stream> = match &self.tls {
            Some(config) => {
                let name = ServerName::try_from(NAME).unwrap();
                let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
                Box::new(StreamOwned::new(connection, stream))
            }
            None => Box::new(stream),
        };
        Connection {
            stream,
            request: format!("GET {place}/BYTES HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"),
            buffer: vec![0; 256 * 1024],
        }
    }
}

impl Connection {
    /// Asks for so many bytes, and takes them.
    pub(crate) fn get(&mut self, bytes: usize) {
        let request = self.request.replacen("BYTES", &bytes.to_string(), 1);
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut filled = 0;
        let head = loop {
            let count = self.stream.read(&mut self.buffer[filled..]).unwrap();
            assert!(count > 0, "the answer ended early");
            filled += count;
            if let Some(at) = self.buffer[..filled]
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break at + 4;
            }
        };
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"));
        let mut got = filled - head;
        while got < bytes {
            let count = self.stream.read(&mut self.buffer).unwrap();
            assert!(count > 0, "the answer ended early");
            got += count;
        }
        assert_eq!(got, bytes);
    }
}
