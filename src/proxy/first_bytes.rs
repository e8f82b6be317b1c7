//! What a connection speaks, from its first bytes, in whatever pieces they come, until a deadline.

use super::http::{self, Head};
use super::tls::{self, Hello};
use crate::policy::Protocol;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// How long a client may take for what it began.
const WHOLE_WITHIN: Duration = Duration::from_secs(10);
/// How long it may say nothing where it is expected to speak first.
const SPEAKS_WITHIN: Duration = Duration::from_secs(10);
/// How long it may say nothing elsewhere, before it is taken to wait for the server.
const WAITS_AFTER: Duration = Duration::from_millis(250);
/// Most bytes that are kept for looking.
const BYTES_MAX: usize = 66 * 1024;
/// What HTTP/2 begins with (RFC 9113 3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SSH: &[u8] = b"SSH-";
/// Room for what usually comes at once: a ClientHello with a post-quantum key share has 1.7 KiB. A vector without room
/// would be read into 64 bytes at first, and each read costs a look at all that came before.
const USUAL: usize = 4096;

/// What the first bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spoken {
    /// A TLS ClientHello.
    Tls {
        /// The name in it.
        server_name: Option<Vec<u8>>,
        /// Whether the real name is hidden.
        encrypted: bool,
    },
    /// A request head of HTTP/1.
    Http(http::Request),
    /// HTTP/2 without TLS.
    Http2,
    /// An SSH banner.
    Ssh,
    /// Something else.
    Other,
    /// Nothing yet, or too little to tell: the client waits for the server.
    Undecided,
    /// The client ended it at once.
    Ended,
    /// It began as one of the above and isn't right, or never got whole.
    Wrong(Protocol, &'static str),
}

impl Spoken {
    /// The word for it in an event.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Tls { .. } => Some(Protocol::Tls),
            Self::Http(_) => Some(Protocol::Http),
            Self::Http2 => Some(Protocol::Http2),
            Self::Ssh => Some(Protocol::Ssh),
            Self::Other | Self::Undecided => Some(Protocol::Opaque),
            Self::Ended => None,
            Self::Wrong(protocol, _) => Some(*protocol),
        }
    }
}

/// Reads until it is clear what is spoken. `bytes` holds what was read, to be passed on. `web` ports are those where
/// the client speaks first; elsewhere one that waits is [`Spoken::Undecided`], and what it says later is judged then.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    web: bool,
) -> io::Result<Spoken> {
    let start = Instant::now();
    let mut deadline = start + if web { SPEAKS_WITHIN } else { WAITS_AFTER };
    loop {
        if let Some(spoken) = tell(bytes) {
            return Ok(spoken);
        }
        if bytes.capacity() == bytes.len() {
            bytes.reserve(USUAL);
        }
        match timeout_at(deadline, stream.read_buf(bytes)).await {
            Ok(Err(error)) => return Err(error),
            Ok(Ok(0)) => return Ok(cut(bytes, "it ended before it was whole")),
            Ok(Ok(_)) if web || !may_pass(bytes) => deadline = start + WHOLE_WITHIN,
            Ok(Ok(_)) => {}
            Err(_) if !web && may_pass(bytes) => return Ok(Spoken::Undecided),
            Err(_) if bytes.is_empty() => return Ok(Spoken::Other),
            Err(_) => return Ok(cut(bytes, "it was not whole in time")),
        }
    }
}

/// Whether these bytes may go on though it isn't clear yet what is spoken: no server acts on a request line without its
/// end, and it is judged when that comes.
pub(super) fn may_pass(bytes: &[u8]) -> bool {
    bytes.is_empty() || (!tls::begins(bytes) && http::begins(without_empty_lines(bytes)).is_none())
}

/// Servers overlook empty lines before a request (RFC 9112 2.2).
fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// What was left unfinished.
fn cut(bytes: &[u8], why: &'static str) -> Spoken {
    match bytes {
        [] => Spoken::Ended,
        bytes if tls::begins(bytes) => Spoken::Wrong(Protocol::Tls, why),
        _ => Spoken::Wrong(Protocol::Http, why),
    }
}

/// What these bytes are; `None` when more are needed.
pub(super) fn tell(bytes: &[u8]) -> Option<Spoken> {
    if bytes.is_empty() {
        return None;
    }
    if tls::begins(bytes) {
        return match tls::parse(bytes) {
            Hello::Partial if bytes.len() < BYTES_MAX => None,
            Hello::Partial => Some(Spoken::Wrong(Protocol::Tls, "the ClientHello is too long")),
            Hello::Malformed => Some(Spoken::Wrong(Protocol::Tls, "the ClientHello can't be read")),
            Hello::Whole {
                server_name,
                encrypted,
            } => Some(Spoken::Tls {
                server_name,
                encrypted,
            }),
        };
    }
    if bytes.starts_with(SSH) {
        return Some(Spoken::Ssh);
    }
    if bytes.starts_with(HTTP2) {
        return Some(Spoken::Http2);
    }
    if SSH.starts_with(bytes) || HTTP2.starts_with(bytes) {
        return None;
    }
    let request = without_empty_lines(bytes);
    match http::begins(request) {
        None if bytes.len() < BYTES_MAX => None,
        None | Some(false) => Some(Spoken::Other),
        Some(true) if request.len() < bytes.len() => {
            Some(Spoken::Wrong(Protocol::Http, "empty lines before the request"))
        }
        Some(true) => match http::parse(bytes) {
            Head::Partial => None,
            Head::Malformed(why) => Some(Spoken::Wrong(Protocol::Http, why)),
            Head::Whole(request) => Some(Spoken::Http(request)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tls::tests::hello;
    use super::*;

    #[test]
    fn every_protocol_in_one_byte_pieces() {
        let http = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec();
        let cases: [(Vec<u8>, Option<Protocol>); 6] = [
            (hello(Some(b"a.test"), false), Some(Protocol::Tls)),
            (http, Some(Protocol::Http)),
            (HTTP2.to_vec(), Some(Protocol::Http2)),
            (b"SSH-2.0-x\r\n".to_vec(), Some(Protocol::Ssh)),
            (b"\0\0\0\x08".to_vec(), Some(Protocol::Opaque)),
            (b"EHLO x\r\n".to_vec(), Some(Protocol::Opaque)),
        ];
        for (bytes, protocol) in cases {
            let first = (1..=bytes.len()).find_map(|cut| tell(&bytes[..cut]));
            assert_eq!(first.unwrap().protocol(), protocol, "{bytes:?}");
        }
    }

    #[test]
    fn only_what_no_server_acts_on_may_pass() {
        for bytes in [
            &b""[..],
            b"hello",
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.1\r",
            b"\r\n",
            b"\r\nGET",
        ] {
            assert!(may_pass(bytes) && tell(bytes).is_none(), "{bytes:?}");
        }
        for bytes in [
            &b"GET / HTTP/1.1\n"[..],
            b"GET / HTTP/1.1\r\nHost: b",
            &[22],
            &[22, 3, 1],
            b"\nGET / HTTP/1.1\n",
        ] {
            assert!(!may_pass(bytes), "{bytes:?}");
        }
        assert!(matches!(
            tell(b"\r\n\nGET / HTTP/1.1\r\n"),
            Some(Spoken::Wrong(..))
        ));
        assert_eq!(tell(b"\r\nhello\r\n"), Some(Spoken::Other));
    }

    /// Gives what is asked for, and counts how often it is asked.
    struct Counted(Vec<u8>, usize);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            self.1 += 1;
            let count = self.0.len().min(buffer.remaining());
            let rest = self.0.split_off(count);
            buffer.put_slice(&std::mem::replace(&mut self.0, rest));
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_usually_comes_is_one_read() {
        let sent = hello(Some(&[b'a'; 1700]), false);
        let (mut stream, mut bytes) = (Counted(sent.clone(), 0), Vec::new());
        let spoken = read(&mut stream, &mut bytes, true).await.unwrap();
        assert!(matches!(spoken, Spoken::Tls { .. }), "{spoken:?}");
        assert_eq!((stream.1, bytes), (1, sent));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_slowness_end() {
        let (mut client, mut here) = tokio::io::duplex(64);
        let mut bytes = Vec::new();
        assert_eq!(
            read(&mut here, &mut bytes, false).await.unwrap(),
            Spoken::Undecided
        );
        tokio::io::AsyncWriteExt::write_all(&mut client, b"hello")
            .await
            .unwrap();
        assert_eq!(
            read(&mut here, &mut bytes, false).await.unwrap(),
            Spoken::Undecided,
            "no line yet"
        );
        bytes.clear();
        let writer = tokio::spawn(async move {
            for byte in b"GET / HTTP/1.1\r\nHost: a.test\r\nX: yyyyyyyyyyyyyyyyyyyyyy" {
                tokio::io::AsyncWriteExt::write_all(&mut client, &[*byte])
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let slow = read(&mut here, &mut bytes, true).await.unwrap();
        assert!(matches!(slow, Spoken::Wrong(Protocol::Http, _)), "{slow:?}");
        writer.abort();
    }
}
