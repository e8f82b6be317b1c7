//! A web server on loopback for one test: HTTP/1.1, kept-alive connections, a thread each. No TLS.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test helper may stop the test, and not every test binary uses all of it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Host` field.
    pub host: String,
    /// The `Upgrade` field; empty without one.
    pub upgrade: String,
    /// The `Content-Encoding` field; empty without one.
    pub encoding: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What is answered.
pub enum Response {
    /// A body of a type.
    Body(&'static str, Vec<u8>),
    /// Server-sent events, one chunk each.
    Events(Vec<String>),
    /// 404.
    NotFound,
    /// Another status without a body, such as `426 Upgrade Required`.
    Status(&'static str),
}

/// The server; it serves as long as the test's process lives.
pub struct Server {
    /// Where, on 127.0.0.1.
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts it.
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                // A client that goes away in the middle is no news.
                std::thread::spawn(move || connection(&stream, &*answer, &seen).ok());
            }
        });
        Self { port, requests }
    }

    /// All that was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn connection(
    stream: &TcpStream,
    answer: &dyn Fn(&Request) -> Response,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        seen.lock().unwrap().push(request.clone());
        let head_only = request.method == "HEAD";
        let mut writer = stream;
        match answer(&request) {
            Response::Body(kind, body) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                writer.write_all(head.as_bytes())?;
                if !head_only {
                    writer.write_all(&body)?;
                }
            }
            Response::Events(events) => {
                writer.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n",
                )?;
                for event in events {
                    writer.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
                    writer.flush()?;
                }
                writer.write_all(b"0\r\n\r\n")?;
            }
            Response::Status(status) => {
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                writer.write_all(head.as_bytes())?;
            }
            Response::NotFound => {
                writer.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
            }
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        host: String::new(),
        upgrade: String::new(),
        encoding: String::new(),
        body: Vec::new(),
    };
    let (mut length, mut chunked, mut waits) = (0, false, false);
    loop {
        let mut field = String::new();
        if reader.read_line(&mut field)? == 0 || field.trim_end().is_empty() {
            break;
        }
        let Some((name, value)) = field.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" => request.host = value.into(),
            "upgrade" => request.upgrade = value.to_ascii_lowercase(),
            "content-encoding" => request.encoding = value.to_ascii_lowercase(),
            "content-length" => length = value.parse().unwrap_or(0),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "expect" => waits = true,
            _ => {}
        }
    }
    assert!(!waits, "no client of these tests asks before it sends");
    if chunked {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            reader.take(size).read_to_end(&mut request.body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else {
        reader.take(length).read_to_end(&mut request.body)?;
    }
    Ok(Some(request))
}
