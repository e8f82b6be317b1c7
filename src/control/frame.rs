//! One message on a stream: its length as four bytes, the highest first, then so many bytes of JSON.

use super::protocol::{VERSION, Versioned};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of the longest request.
pub const REQUEST_MAX: usize = 64 << 10;
/// Bytes of the longest answer.
pub const ANSWER_MAX: usize = 1 << 20;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other end closed before the message was whole.
    #[error("the other end closed the connection")]
    Closed,
    /// It took too long.
    #[error("the other end does not answer")]
    Late,
    /// Longer than any may be.
    #[error("a message of {length} bytes, and {most} are the most")]
    TooLong {
        /// As announced.
        length: usize,
        /// The bound.
        most: usize,
    },
    /// It can't be understood.
    #[error("a message that can't be understood")]
    Malformed(#[source] serde_json::Error),
    /// The other end is another aca.
    #[error("a message of version {0}, and this aca knows {VERSION}")]
    Version(u32),
    /// A call failed.
    #[error("{call}")]
    Call {
        /// Which.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
}

/// Reads one message of at most `most` bytes, all of it within that time.
///
/// # Errors
/// See [`FrameError`]. Nothing is allocated for a length that is over the bound.
pub fn read<T: DeserializeOwned>(
    stream: &mut UnixStream,
    most: usize,
    within: Duration,
) -> Result<T, FrameError> {
    let deadline = Instant::now() + within;
    let mut length = [0; 4];
    fill(stream, &mut length, deadline)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > most {
        return Err(FrameError::TooLong { length, most });
    }
    let mut bytes = vec![0; length];
    fill(stream, &mut bytes, deadline)?;
    parse(&bytes)
}

/// Writes one message, all of it within that time.
///
/// # Errors
/// See [`FrameError`].
pub fn write<T: Serialize>(
    stream: &mut UnixStream,
    message: &T,
    most: usize,
    within: Duration,
) -> Result<(), FrameError> {
    let deadline = Instant::now() + within;
    let versioned = Versioned { v: VERSION, message };
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, &versioned).map_err(FrameError::Malformed)?;
    let length = bytes.len() - 4;
    let too_long = FrameError::TooLong { length, most };
    let head = match u32::try_from(length) {
        Ok(number) if length <= most => number.to_be_bytes(),
        Ok(_) | Err(_) => return Err(too_long),
    };
    for (slot, byte) in bytes.iter_mut().zip(head) {
        *slot = byte;
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let left = left(deadline)?;
        let wrote = stream
            .set_write_timeout(Some(left))
            .and_then(|()| stream.write(rest));
        match wrote {
            Ok(0) => return Err(FrameError::Closed),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) => again(error, "write")?,
        }
    }
    Ok(())
}

/// A message from its bytes.
///
/// # Errors
/// [`FrameError::Malformed`], [`FrameError::Version`].
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let versioned: Versioned<serde_json::Value> =
        serde_json::from_slice(bytes).map_err(FrameError::Malformed)?;
    // Before the rest is looked at: another version may say things that this one doesn't know.
    if versioned.v != VERSION {
        return Err(FrameError::Version(versioned.v));
    }
    T::deserialize(versioned.message).map_err(FrameError::Malformed)
}

fn fill(stream: &mut UnixStream, buffer: &mut [u8], deadline: Instant) -> Result<(), FrameError> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        let left = left(deadline)?;
        // One slow byte after the other is no way around the deadline.
        let read = stream
            .set_read_timeout(Some(left))
            .and_then(|()| stream.read(room));
        match read {
            Ok(0) => return Err(FrameError::Closed),
            Ok(count) => filled += count,
            Err(error) => again(error, "read")?,
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> Result<Duration, FrameError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(FrameError::Late)
    } else {
        Ok(left)
    }
}

fn again(error: io::Error, call: &'static str) -> Result<(), FrameError> {
    use io::ErrorKind;
    let is = |kinds: [ErrorKind; 2]| kinds.contains(&error.kind());
    if error.kind() == ErrorKind::Interrupted {
        Ok(())
    } else if is([ErrorKind::WouldBlock, ErrorKind::TimedOut]) {
        // What a timeout of the socket is (socket(7), SO_RCVTIMEO).
        Err(FrameError::Late)
    } else if is([ErrorKind::BrokenPipe, ErrorKind::ConnectionReset]) {
        Err(FrameError::Closed)
    } else {
        Err(FrameError::Call { call, source: error })
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Request;
    use super::*;

    const SOON: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    #[test]
    fn comes_as_it_went() {
        let (mut one, mut other) = pair();
        write(&mut one, &Request::Status, REQUEST_MAX, LONG).unwrap();
        let read: Request = read(&mut other, REQUEST_MAX, LONG).unwrap();
        assert_eq!(read, Request::Status);
    }

    #[test]
    fn no_length_is_believed() {
        let (mut one, mut other) = pair();
        one.write_all(&[0xff; 4]).unwrap();
        let error = read::<Request>(&mut other, REQUEST_MAX, LONG).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
        let (mut one, mut other) = pair();
        one.write_all(&[0, 0, 1, 0, b'{']).unwrap();
        drop(one);
        let error = read::<Request>(&mut other, REQUEST_MAX, LONG).unwrap_err();
        assert!(matches!(error, FrameError::Closed), "{error}");
    }

    #[test]
    fn one_byte_after_the_other_comes_too_late() {
        let (mut one, mut other) = pair();
        let slow = std::thread::spawn(move || {
            let bytes = [0, 0, 0, 200].into_iter().chain(std::iter::repeat(b' '));
            for byte in bytes {
                if one.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let error = read::<Request>(&mut other, REQUEST_MAX, SOON).unwrap_err();
        assert!(matches!(error, FrameError::Late), "{error}");
        drop(other);
        slow.join().unwrap();
    }

    #[test]
    fn what_nobody_reads_is_given_up() {
        let (mut one, _other) = pair();
        let long = "x".repeat(ANSWER_MAX - 100);
        let error = write(&mut one, &long, ANSWER_MAX, SOON).unwrap_err();
        assert!(matches!(error, FrameError::Late), "{error}");
        let error = write(&mut one, &long, REQUEST_MAX, SOON).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    }

    #[test]
    fn other_versions_and_nonsense_are_told() {
        let newer = br#"{"v":2,"message":{"something":{"else":1}}}"#;
        assert!(matches!(parse::<Request>(newer), Err(FrameError::Version(2))));
        for text in ["", "{", "{\"v\":1}", r#"{"v":1,"message":"what"}"#, "[]"] {
            let error = parse::<Request>(text.as_bytes()).unwrap_err();
            assert!(matches!(error, FrameError::Malformed(_)), "{text}: {error}");
        }
        let deep = format!("{{\"v\":1,\"message\":{}", "[".repeat(100_000));
        assert!(parse::<Request>(deep.as_bytes()).is_err());
    }
}
