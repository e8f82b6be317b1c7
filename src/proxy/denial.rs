//! Says no in the protocol that asked, so that a client fails at once and can tell why.

use super::gate::Target;
use super::tls;
use crate::policy::{Deny, Protocol};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the client has to take the answer.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes of it that are still read meanwhile.
const LINGER_BYTES: usize = 256 * 1024;

/// Which status an HTTP client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// 403: the policy.
    Forbidden,
    /// 502: the far end.
    BadGateway,
}

/// Ends a connection with `text` as the reason where the protocol has a place for it.
pub(super) async fn answer(mut stream: TcpStream, protocol: Option<Protocol>, status: Status, text: &str) {
    let bytes = match (protocol, status) {
        (Some(Protocol::Http), _) => http(status, text),
        (Some(Protocol::Tls), Status::Forbidden) => tls::ACCESS_DENIED.to_vec(),
        (Some(Protocol::Tls | Protocol::Http2 | Protocol::Ssh | Protocol::Opaque) | None, _) => {
            reset(&stream);
            return;
        }
    };
    let said = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would send a reset, which can overtake the answer.
        let mut scratch = [0; 4096];
        let mut read = 0;
        while read < LINGER_BYTES {
            match stream.read(&mut scratch).await? {
                0 => break,
                count => read += count,
            }
        }
        std::io::Result::Ok(())
    };
    // However it went, the connection ends here.
    drop(timeout(LINGER, Box::pin(said)).await);
}

/// Makes the close that follows a reset.
pub(super) fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).ok();
}

/// Denies a request of HTTP/1, and ends its connection.
pub(super) async fn forbid(stream: TcpStream, text: &str) {
    answer(stream, Some(Protocol::Http), Status::Forbidden, text).await;
}

fn http(status: Status, text: &str) -> Vec<u8> {
    let line = match status {
        Status::Forbidden => "403 Forbidden",
        Status::BadGateway => "502 Bad Gateway",
    };
    format!(
        "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: \
         no-store\r\nConnection: close\r\nX-Aca-Sandbox: {}\r\n\r\n{text}",
        text.len(),
        if status == Status::Forbidden {
            "denied"
        } else {
            "failed"
        },
    )
    .into_bytes()
}

/// The text of a denial: what, why, and how to allow it.
pub(super) fn reason(going: SocketAddr, target: Option<&Target>, deny: &Deny) -> String {
    let what = match target {
        Some(Target::Name(name, port)) => format!("{name}:{port}"),
        Some(Target::Address(_)) | None => going.to_string(),
    };
    text(&what, deny)
}

/// The same for what has a text of its own.
pub(super) fn text(what: &str, deny: &Deny) -> String {
    let mut text = format!("aca: the sandbox denied {what}: {}", deny.reason);
    if let Some(rule) = &deny.rule {
        text.push_str(&format!(" (`{rule}`, {})", deny.origin));
    }
    if let Some(flag) = &deny.allow_with {
        text.push_str(&format!("\nThe user can allow it with: aca run {flag}"));
    }
    text.push('\n');
    text
}
