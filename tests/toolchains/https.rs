//! HTTPS to an allowed host, by the clients that bring a TLS of their own.

use crate::support::{World, has};
use crate::table::{Row, Sides};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const TLS: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        found = self.path == "/a.json"; body = b'{"a":42}' if found else b""
        self.send_response(200 if found else 404); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True); print(server.server_port, flush=True); server.serve_forever()
"#;

/// An HTTPS server on the host; its certificate names `tls.test` and 127.0.0.1.
struct Https {
    child: Child,
    port: u16,
    certificate: Vec<u8>,
    _files: tempfile::TempDir,
}

impl Https {
    /// `None` is a counted skip.
    fn start() -> Option<Self> {
        if !has("openssl") || !has("python3") {
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let (key, certificate) = (files.path().join("key"), files.path().join("certificate"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=tls.test",
            ])
            .args(["-addext", "subjectAltName=DNS:tls.test,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut child = Command::new("python3")
            .args(["-c", TLS])
            .args([&certificate, &key])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Some(Self {
            child,
            port: line.trim().parse().unwrap(),
            certificate: std::fs::read(&certificate).unwrap(),
            _files: files,
        })
    }

    /// `$TLS` is the server's URL, `ca.crt` its certificate.
    fn check(&self, row: &Row<'_>) {
        let outside = format!("https://127.0.0.1:{}", self.port);
        let resolve = format!("tls.test=127.0.0.1:{}", self.port);
        row.check_with(&Sides {
            prepare: Some(&|world: &World| {
                world.file("ca.crt", &self.certificate);
            }),
            outside: &[("TLS", &outside)],
            inside: &[
                "--allow",
                "tls.test",
                "--resolve",
                &resolve,
                "--env",
                "TLS=https://tls.test",
            ],
            ..Sides::default()
        });
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn https_by_curl() {
    if let Some(server) = Https::start() {
        server.check(&Row {
            needs: &["curl"],
            script: "curl -sS --cacert ca.crt $TLS/a.json; curl -sS --http1.1 --cacert ca.crt $TLS/a.json $TLS/a.json",
            expected: r#"{"a":42}{"a":42}{"a":42}"#,
        });
    }
}

#[test]
fn https_by_node_fetch() {
    if let Some(server) = Https::start() {
        server.check(&Row {
            needs: &["node"],
            script: r#"NODE_EXTRA_CA_CERTS=ca.crt node -e 'fetch(process.env.TLS + "/a.json").then(r => r.json()).then(j => console.log(j.a))'"#,
            expected: "42",
        });
    }
}

#[test]
fn https_by_python() {
    if let Some(server) = Https::start() {
        server.check(&Row {
            needs: &["python3"],
            script: r#"python3 -c 'import os, ssl, urllib.request as u; print(u.urlopen(os.environ["TLS"] + "/a.json", context=ssl.create_default_context(cafile="ca.crt")).read().decode())'"#,
            expected: r#"{"a":42}"#,
        });
    }
}

#[test]
fn https_by_git() {
    if let Some(server) = Https::start() {
        server.check(&Row {
            needs: &["git"],
            script: "git -c http.sslCAInfo=ca.crt ls-remote $TLS/a.git 2>&1 | grep -o 'a.git/. not found'",
            expected: "a.git/' not found",
        });
    }
}
