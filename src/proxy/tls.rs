//! The name in a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3), from bytes that may come in any pieces, over several
//! records; and the alert that refuses one.

/// What is known of a ClientHello so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hello {
    /// More bytes are needed.
    Partial,
    /// It isn't one, or lies about a length.
    Malformed,
    /// Whole.
    Whole {
        /// The server name as sent; `None` without the extension.
        server_name: Option<Vec<u8>>,
        /// Encrypted ClientHello: the name that can be read isn't the one that is meant.
        encrypted: bool,
    },
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// Largest ClientHello in bytes that is put together.
/// Those with post-quantum key shares have 2 KiB; each piece that comes costs a look at all of it.
const HELLO_MAX: usize = 16 * 1024;
/// Largest record (RFC 8446 5.1).
const RECORD_MAX: usize = 16 * 1024;

/// A fatal `access_denied` alert (RFC 8446 6.2).
pub(super) const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// Whether these could be the first bytes of a TLS connection.
pub(super) fn begins(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [HANDSHAKE] | [HANDSHAKE, 3, ..])
}

/// Reads what there is of a ClientHello.
pub(super) fn parse(bytes: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match whole(&message) {
            Progress::Whole(body) => return client_hello(body),
            Progress::Malformed => return Hello::Malformed,
            Progress::Partial => {}
        }
        match rest {
            [] => return Hello::Partial,
            [HANDSHAKE, 3, _, high, low, tail @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > RECORD_MAX || message.len() + length > HELLO_MAX {
                    return Hello::Malformed;
                }
                let there = tail.get(..length.min(tail.len())).unwrap_or_default();
                message.extend_from_slice(there);
                if there.len() < length {
                    return match whole(&message) {
                        Progress::Whole(body) => client_hello(body),
                        Progress::Malformed => Hello::Malformed,
                        Progress::Partial => Hello::Partial,
                    };
                }
                rest = tail.get(length..).unwrap_or_default();
            }
            short if short.len() < 5 && begins(short) => return Hello::Partial,
            _ => return Hello::Malformed,
        }
    }
}

enum Progress<'a> {
    Partial,
    Malformed,
    Whole(&'a [u8]),
}

/// The handshake message, once all of it is there.
fn whole(message: &[u8]) -> Progress<'_> {
    match message {
        [] => Progress::Partial,
        [CLIENT_HELLO, a, b, c, body @ ..] => {
            let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
            if length > HELLO_MAX {
                return Progress::Malformed;
            }
            body.get(..length).map_or(Progress::Partial, Progress::Whole)
        }
        [CLIENT_HELLO, ..] => Progress::Partial,
        _ => Progress::Malformed,
    }
}

/// Takes bytes off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(
            self.take(bytes)?
                .iter()
                .fold(0, |value, byte| value << 8 | usize::from(*byte)),
        )
    }

    /// A field with its length before it.
    fn sized(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

fn client_hello(body: &[u8]) -> Hello {
    fields(body).unwrap_or(Hello::Malformed)
}

fn fields(body: &[u8]) -> Option<Hello> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    reader.sized(1)?;
    reader.sized(2)?;
    reader.sized(1)?;
    if reader.0.is_empty() {
        return Some(Hello::Whole {
            server_name: None,
            encrypted: false,
        });
    }
    let mut extensions = Reader(reader.sized(2)?);
    if !reader.0.is_empty() {
        return None;
    }
    let mut server_name = None;
    let mut encrypted = false;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let data = extensions.sized(2)?;
        if kind == usize::from(SERVER_NAME) {
            if server_name.is_some() {
                // Twice: client and server could take different ones.
                return None;
            }
            server_name = Some(host_name(data)?);
        }
        encrypted |= kind == usize::from(ENCRYPTED_CLIENT_HELLO);
    }
    Some(Hello::Whole {
        server_name,
        encrypted,
    })
}

/// The one host name of the extension; a list with anything else in it is refused.
fn host_name(data: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(data);
    let mut list = Reader(reader.sized(2)?);
    if !reader.0.is_empty() || list.number(1)? != 0 {
        return None;
    }
    let name = list.sized(2)?.to_vec();
    list.0.is_empty().then_some(name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello as one record.
    pub(in crate::proxy) fn hello(name: Option<&[u8]>, encrypted: bool) -> Vec<u8> {
        let mut extensions = vec![0, 10, 0, 4, 0, 2, 0, 29];
        if let Some(name) = name {
            let length = u16::try_from(name.len()).unwrap();
            extensions.extend([0, 0]);
            extensions.extend((length + 5).to_be_bytes());
            extensions.extend((length + 3).to_be_bytes());
            extensions.push(0);
            extensions.extend(length.to_be_bytes());
            extensions.extend(name);
        }
        if encrypted {
            extensions.extend([0xfe, 0x0d, 0, 1, 0]);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let mut message = vec![1, 0];
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        let mut record = vec![22, 3, 1];
        record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        record.extend(message);
        record
    }

    fn whole(name: Option<&[u8]>, encrypted: bool) -> Hello {
        Hello::Whole {
            server_name: name.map(<[u8]>::to_vec),
            encrypted,
        }
    }

    #[test]
    fn reads_the_name() {
        assert_eq!(
            parse(&hello(Some(b"a.test"), false)),
            whole(Some(b"a.test"), false)
        );
        assert_eq!(parse(&hello(None, false)), whole(None, false));
        assert_eq!(parse(&hello(Some(b"a.test"), true)), whole(Some(b"a.test"), true));
    }

    #[test]
    fn every_cut_is_partial() {
        let bytes = hello(Some(b"a.test"), true);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Hello::Partial, "{cut}");
        }
    }

    #[test]
    fn several_records() {
        let bytes = hello(Some(b"a.test"), false);
        let mut split = Vec::new();
        for piece in bytes[5..].chunks(3) {
            split.extend([22, 3, 1, 0, u8::try_from(piece.len()).unwrap()]);
            split.extend(piece);
        }
        assert_eq!(parse(&split), whole(Some(b"a.test"), false));
    }

    #[test]
    fn a_second_name_is_refused() {
        let mut bytes = hello(Some(b"a.test"), false);
        let extension: Vec<u8> = bytes[bytes.len() - 15..].to_vec();
        bytes.extend(&extension);
        let total = bytes.len();
        bytes[4] += 15;
        bytes[8] += 15;
        let at = total - 15 - 15 - 8 - 1;
        bytes[at] += 15;
        assert_eq!(parse(&bytes), Hello::Malformed);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _hello = parse(&bytes);
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0_usize..80, value in any::<u8>()) {
            let mut bytes = hello(Some(b"a.test"), false);
            let at = at.min(bytes.len() - 1);
            bytes[at] = value;
            let _hello = parse(&bytes);
        }
    }
}
