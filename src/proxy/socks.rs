//! SOCKS5 (RFC 1928): the proxy for programs that speak neither HTTP nor TLS. Only its CONNECT; names are taken as names,
//! so nothing inside has to look them up. Whoever comes is let in: the gate judges what is asked for, not who asks, and a
//! password (RFC 1929) is taken from clients that insist on giving one.

use super::Proxy;
use super::explicit::{judge, tunnel};
use super::gate::refusal;
use super::reach::{depends, reach};
use super::record::Record;
use super::upstream::Kind;
use super::{denial, host_port};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The first byte of all that a client says.
pub(super) const VERSION: u8 = 5;
/// How long a client may take to say what it wants.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of the longest message: a password.
const MESSAGE_MAX: usize = 3 + 255 + 255;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTED: u8 = 0xff;

/// Replies (RFC 1928 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Succeeded = 0,
    NotAllowed = 2,
    HostUnreachable = 4,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

/// What a client has said so far, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message<T> {
    /// More bytes are needed.
    Partial,
    /// It is none.
    Wrong(Reply, &'static str),
    /// Whole, and its length.
    Whole(T, usize),
}

/// The method for a client that offers these (RFC 1928 3).
pub(super) fn greeting(bytes: &[u8]) -> Message<u8> {
    let Some(count) = bytes.get(1).copied().map(usize::from) else {
        return Message::Partial;
    };
    let Some(methods) = bytes.get(2..2 + count) else {
        return Message::Partial;
    };
    let method = [NO_AUTHENTICATION, PASSWORD]
        .into_iter()
        .find(|method| methods.contains(method));
    Message::Whole(method.unwrap_or(NONE_ACCEPTED), 2 + count)
}

/// A user name and a password, which say nothing here (RFC 1929 2).
pub(super) fn password(bytes: &[u8]) -> Message<()> {
    let Some(name) = bytes.get(1).copied().map(usize::from) else {
        return Message::Partial;
    };
    let Some(secret) = bytes.get(2 + name).copied().map(usize::from) else {
        return Message::Partial;
    };
    let length = 3 + name + secret;
    match bytes.first() {
        Some(1) if bytes.len() >= length => Message::Whole((), length),
        Some(1) => Message::Partial,
        _ => Message::Wrong(Reply::NotAllowed, "an odd password message"),
    }
}

/// Host and port of a request (RFC 1928 4).
pub(super) fn request(bytes: &[u8]) -> Message<(String, u16)> {
    let [version, command, _, kind, rest @ ..] = bytes else {
        return Message::Partial;
    };
    if *version != VERSION {
        return Message::Wrong(Reply::NotAllowed, "an odd version");
    }
    if *command != 1 {
        return Message::Wrong(Reply::CommandNotSupported, "only connections are carried");
    }
    let (host, length) = match kind {
        1 => match rest.first_chunk::<4>() {
            Some(octets) => (IpAddr::from(Ipv4Addr::from(*octets)).to_string(), 4),
            None => return Message::Partial,
        },
        4 => match rest.first_chunk::<16>() {
            Some(octets) => (IpAddr::from(Ipv6Addr::from(*octets)).to_string(), 16),
            None => return Message::Partial,
        },
        3 => {
            let Some(count) = rest.first().copied().map(usize::from) else {
                return Message::Partial;
            };
            match rest.get(1..=count).map(std::str::from_utf8) {
                Some(Ok(name)) => (name.to_owned(), 1 + count),
                Some(Err(_)) => return Message::Wrong(Reply::NotAllowed, "a name that isn't text"),
                None => return Message::Partial,
            }
        }
        _ => return Message::Wrong(Reply::AddressTypeNotSupported, "an odd kind of address"),
    };
    match rest.get(length..length + 2) {
        Some([high, low]) => Message::Whole((host, u16::from_be_bytes([*high, *low])), 4 + length + 2),
        _ => Message::Partial,
    }
}

/// Serves a client whose first bytes are `bytes`.
pub(super) async fn serve(
    proxy: &Proxy,
    mut stream: TcpStream,
    mut bytes: Vec<u8>,
    own: IpAddr,
    mut record: Record,
) {
    let asked = match timeout(WITHIN, ask(&mut stream, &mut bytes)).await {
        Ok(Ok(asked)) => asked,
        Ok(Err(error)) => {
            record.failed = Some(error.to_string());
            return denial::reset(&stream);
        }
        Err(_) => Err((Reply::NotAllowed, "it was not whole in time")),
    };
    record.going = (own, 0).into();
    if let Ok((host, port)) = &asked
        && let Some((going, port)) = proxy.host_port_of(host, *port)
    {
        record.going = going;
        let Some(service) = host_port::open(proxy, going, port, &mut record).await else {
            return end(stream, unreached(&record)).await;
        };
        return match stream.write_all(&reply(Reply::Succeeded)).await {
            Ok(()) => host_port::carry(stream, service, &bytes, &mut record).await,
            Err(error) => record.failed = Some(error.to_string()),
        };
    }
    let judged = match asked {
        Ok((host, port)) => judge(proxy, &host, port, &mut record)
            .await
            .map_err(|deny| (Reply::NotAllowed, deny)),
        Err((reply, why)) => Err((reply, refusal(&format!("SOCKS5: {why}")))),
    };
    let candidates = match judged {
        Ok(candidates) => candidates,
        Err((reply, deny)) => {
            record.denied = Some(deny);
            record.who.wait().await;
            return end(stream, reply).await;
        }
    };
    // What will be spoken isn't known: most of it is TLS.
    let kind = if candidates.judged.target.port() == 443 {
        Kind::Tls
    } else {
        Kind::Other
    };
    let upstream = if depends(proxy, &candidates) {
        None
    } else {
        match reach(proxy, &candidates.judged, kind, &mut record).await {
            Some(upstream) => Some(upstream),
            None => return end(stream, unreached(&record)).await,
        }
    };
    match stream.write_all(&reply(Reply::Succeeded)).await {
        Ok(()) => tunnel(proxy, stream, upstream, bytes, candidates, record).await,
        Err(error) => record.failed = Some(error.to_string()),
    }
}

const fn unreached(record: &Record) -> Reply {
    match record.denied {
        Some(_) => Reply::NotAllowed,
        None => Reply::HostUnreachable,
    }
}

/// The exchange up to the request.
async fn ask(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
) -> std::io::Result<Result<(String, u16), (Reply, &'static str)>> {
    let method = match whole(stream, bytes, greeting).await? {
        Ok(method) => method,
        Err(wrong) => return Ok(Err(wrong)),
    };
    stream.write_all(&[VERSION, method]).await?;
    if method == NONE_ACCEPTED {
        return Err(std::io::Error::other(
            "SOCKS5: no method of the client's is known",
        ));
    }
    if method == PASSWORD {
        if let Err(wrong) = whole(stream, bytes, password).await? {
            return Ok(Err(wrong));
        }
        stream.write_all(&[1, 0]).await?;
    }
    whole(stream, bytes, request).await
}

/// Reads a whole message and takes it off `bytes`.
async fn whole<T>(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    parse: fn(&[u8]) -> Message<T>,
) -> std::io::Result<Result<T, (Reply, &'static str)>> {
    loop {
        match parse(bytes) {
            Message::Whole(value, length) => {
                bytes.drain(..length.min(bytes.len()));
                return Ok(Ok(value));
            }
            Message::Wrong(reply, why) => return Ok(Err((reply, why))),
            Message::Partial if bytes.len() > MESSAGE_MAX => {
                return Ok(Err((Reply::NotAllowed, "a message that is too long")));
            }
            Message::Partial => {}
        }
        if stream.read_buf(bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A reply; the address that it was dialled from is nobody's business inside.
fn reply(reply: Reply) -> [u8; 10] {
    let code = match reply {
        Reply::Succeeded => 0,
        Reply::NotAllowed => 2,
        Reply::HostUnreachable => 4,
        Reply::CommandNotSupported => 7,
        Reply::AddressTypeNotSupported => 8,
    };
    [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

async fn end(mut stream: TcpStream, why: Reply) {
    // However it goes, the connection ends here.
    drop(timeout(WITHIN, stream.write_all(&reply(why))).await);
    drop(timeout(WITHIN, stream.shutdown()).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(kind: u8, rest: &[u8]) -> Message<(String, u16)> {
        request(&[&[5, 1, 0, kind], rest].concat())
    }

    #[test]
    fn requests() {
        let whole = |host: &str, port, length| Message::Whole((host.to_owned(), port), length);
        assert_eq!(asked(1, &[127, 0, 0, 1, 0, 80]), whole("127.0.0.1", 80, 10));
        assert_eq!(asked(3, b"\x06a.test\x01\xbb"), whole("a.test", 443, 13));
        let mapped = [&Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets()[..], &[0, 1]].concat();
        assert_eq!(asked(4, &mapped), whole("::ffff:127.0.0.1", 1, 22));
        assert_eq!(asked(3, b"\x08a\0b.test\x01\xbb"), whole("a\0b.test", 443, 15));
        assert!(matches!(
            asked(2, &[]),
            Message::Wrong(Reply::AddressTypeNotSupported, _)
        ));
        for command in [0, 2, 3, 255] {
            let bytes = [5, command, 0, 1, 1, 1, 1, 1, 0, 80];
            assert!(matches!(
                request(&bytes),
                Message::Wrong(Reply::CommandNotSupported, _)
            ));
        }
    }

    #[test]
    fn methods() {
        assert_eq!(greeting(&[5, 2, 2, 0]), Message::Whole(NO_AUTHENTICATION, 4));
        assert_eq!(greeting(&[5, 1, 2, 1]), Message::Whole(PASSWORD, 3));
        assert_eq!(greeting(&[5, 1, 1]), Message::Whole(NONE_ACCEPTED, 3));
        assert_eq!(greeting(&[5, 0]), Message::Whole(NONE_ACCEPTED, 2));
        assert_eq!(password(b"\x01\x01u\x01p"), Message::Whole((), 5));
        assert!(matches!(password(b"\x05\x01u\x01p"), Message::Wrong(..)));
    }

    proptest! {
        #[test]
        fn no_length_is_believed(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            for message in [
                matches!(greeting(&bytes), Message::Whole(_, length) if length > bytes.len()),
                matches!(password(&bytes), Message::Whole((), length) if length > bytes.len()),
                matches!(request(&bytes), Message::Whole(_, length) if length > bytes.len()),
            ] {
                prop_assert!(!message);
            }
        }

        #[test]
        fn what_is_cut_is_partial(name in "[a-z.]{1,60}", port in any::<u16>(), cut in 0..70_usize) {
            let mut bytes = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&port.to_be_bytes());
            prop_assert_eq!(request(&bytes), Message::Whole((name, port), bytes.len()));
            if let Some(cut) = bytes.get(..cut.min(bytes.len() - 1)) {
                prop_assert_eq!(request(cut), Message::Partial);
            }
        }
    }
}
