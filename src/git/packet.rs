//! Packets of git's protocol (gitprotocol-common(5), pkt-line): four hexadecimal digits that count themselves and what
//! follows; the counts 0 to 2 are marks.

/// Most bytes of a packet, its length included.
const PACKET_MAX: usize = 65520;
/// Bytes of the length.
const LENGTH: usize = 4;
/// Most bytes that one packet carries.
pub const DATA_MAX: usize = PACKET_MAX - LENGTH;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// `0000`: the end of a list.
    Flush,
    /// `0001`: the end of a section (version 2).
    Delimiter,
    /// `0002`: the end of a response (version 2).
    ResponseEnd,
}

/// Why bytes are no packet. What follows can't be understood either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// No four digits, `0003`, or more than [`PACKET_MAX`].
    #[error("a packet's length is wrong")]
    Length,
    /// More than one packet carries.
    #[error("too long for a packet")]
    TooLong,
}

/// The packet at the start of `bytes` and how many bytes it takes; `None` where it isn't whole yet.
///
/// Digits are those that git writes: small ones.
///
/// # Errors
/// When there is no packet at the start.
pub fn take(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, PacketError> {
    let mut length = 0;
    for digit in bytes.iter().take(LENGTH) {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return Err(PacketError::Length),
        };
        length = length * 16 + usize::from(value);
    }
    if bytes.len() < LENGTH {
        return Ok(None);
    }
    let packet = match length {
        0 => Packet::Flush,
        1 => Packet::Delimiter,
        2 => Packet::ResponseEnd,
        LENGTH..=PACKET_MAX => match bytes.get(LENGTH..length) {
            Some(data) => return Ok(Some((Packet::Data(data), length))),
            None => return Ok(None),
        },
        _ => return Err(PacketError::Length),
    };
    Ok(Some((packet, LENGTH)))
}

/// Appends a packet.
///
/// # Errors
/// When it carries more than [`DATA_MAX`] bytes; nothing is appended then.
pub fn put(out: &mut Vec<u8>, packet: Packet<'_>) -> Result<(), PacketError> {
    match packet {
        Packet::Flush => out.extend_from_slice(b"0000"),
        Packet::Delimiter => out.extend_from_slice(b"0001"),
        Packet::ResponseEnd => out.extend_from_slice(b"0002"),
        Packet::Data(data) if data.len() > DATA_MAX => return Err(PacketError::TooLong),
        Packet::Data(data) => {
            out.extend_from_slice(format!("{:04x}", data.len() + LENGTH).as_bytes());
            out.extend_from_slice(data);
        }
    }
    Ok(())
}

/// A line's text, without the end of line that it may have.
#[must_use]
pub fn line(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_as_they_were_put() {
        let all = [
            Packet::Data(b"hello\n"),
            Packet::Data(b""),
            Packet::Delimiter,
            Packet::ResponseEnd,
            Packet::Flush,
        ];
        let mut bytes = Vec::new();
        for packet in all {
            put(&mut bytes, packet).unwrap();
        }
        assert_eq!(bytes, b"000ahello\n0004000100020000");
        let mut rest = bytes.as_slice();
        for packet in all {
            let (taken, length) = take(rest).unwrap().unwrap();
            assert_eq!(taken, packet);
            rest = &rest[length..];
        }
        assert_eq!(rest, b"");
    }

    #[test]
    fn the_largest_fits_and_no_larger() {
        let mut bytes = Vec::new();
        put(&mut bytes, Packet::Data(&vec![b'x'; DATA_MAX])).unwrap();
        assert_eq!(take(&bytes).unwrap().unwrap().1, PACKET_MAX);
        let more = vec![b'x'; DATA_MAX + 1];
        assert_eq!(put(&mut bytes, Packet::Data(&more)), Err(PacketError::TooLong));
    }

    #[test]
    fn lies_about_lengths() {
        for text in [
            "0003", "fff1", "ffff", "00-5", "+005", " 005", "000A", "0x05", "zz",
        ] {
            assert_eq!(take(text.as_bytes()), Err(PacketError::Length), "{text}");
        }
        for text in ["", "0", "000", "0005", "000ahell"] {
            assert_eq!(take(text.as_bytes()), Ok(None), "{text}");
        }
    }
}
