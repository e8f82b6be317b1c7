//! Between the program that git inside starts for ssh and the gate: one byte says what it is, four (the highest first)
//! how many bytes follow. The one inside says first what is wanted ([`Hello`]); then bytes go both ways.

/// Bytes before a payload.
pub const HEADER: usize = 5;
/// Most bytes of a payload.
pub const PAYLOAD_MAX: usize = 64 << 10;
/// Most bytes of the first one.
pub const HELLO_MAX: usize = 16 << 10;
/// Most words of it.
const WORDS_MAX: usize = 32;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For ssh's standard input.
    Input,
    /// Of its standard output.
    Output,
    /// For people.
    Errors,
    /// How it ended: one byte, the exit status. The last frame to inside.
    Exit,
    /// Nothing more for its input. Empty.
    InputEnd,
    /// The first frame from inside.
    Hello,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Input => 0,
            Self::Output => 1,
            Self::Errors => 2,
            Self::Exit => 3,
            Self::InputEnd => 4,
            Self::Hello => 9,
        }
    }

    const fn of_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Input,
            1 => Self::Output,
            2 => Self::Errors,
            3 => Self::Exit,
            4 => Self::InputEnd,
            9 => Self::Hello,
            _ => return None,
        })
    }

    /// How many bytes follow, at least and at most.
    const fn bounds(self) -> (usize, usize) {
        match self {
            Self::Input | Self::Output | Self::Errors => (1, PAYLOAD_MAX),
            Self::Exit => (1, 1),
            Self::InputEnd => (0, 0),
            Self::Hello => (1, HELLO_MAX),
        }
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that isn't known.
    #[error("no frame begins so")]
    Kind,
    /// A length that this kind can't have.
    #[error("a frame of the wrong length")]
    Length,
    /// No words that can be read.
    #[error("no words that can be read")]
    Words,
}

/// Reads what stands before a payload: its kind, and its length within that kind's bounds.
///
/// # Errors
/// See [`FrameError`].
pub fn header(bytes: [u8; HEADER]) -> Result<(Kind, usize), FrameError> {
    let [kind, length @ ..] = bytes;
    let kind = Kind::of_byte(kind).ok_or(FrameError::Kind)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| FrameError::Length)?;
    let (least, most) = kind.bounds();
    if (least..=most).contains(&length) {
        Ok((kind, length))
    } else {
        Err(FrameError::Length)
    }
}

/// What stands before a payload.
///
/// # Errors
/// When this kind can't have that length.
pub fn put_header(kind: Kind, length: usize) -> Result<[u8; HEADER], FrameError> {
    let length = u32::try_from(length).map_err(|_| FrameError::Length)?;
    let [a, b, c, d] = length.to_be_bytes();
    let bytes = [kind.byte(), a, b, c, d];
    header(bytes).map(|_| bytes)
}

/// What git inside started ssh with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// `GIT_PROTOCOL`, empty where it isn't set.
    pub protocol: String,
    /// The words after the program's name.
    pub words: Vec<String>,
}

impl Hello {
    /// As a payload: each text with a zero behind it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        std::iter::once(&self.protocol)
            .chain(&self.words)
            .flat_map(|text| text.bytes().chain([0]))
            .collect()
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it isn't UTF-8, has no end, or too many words.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let text = std::str::from_utf8(bytes).map_err(|_| FrameError::Words)?;
        let text = text.strip_suffix('\0').ok_or(FrameError::Words)?;
        let mut texts = text.split('\0').map(str::to_owned);
        let protocol = texts.next().unwrap_or_default();
        let words: Vec<String> = texts.take(WORDS_MAX + 1).collect();
        if words.len() > WORDS_MAX {
            return Err(FrameError::Words);
        }
        Ok(Self { protocol, words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_put_and_lies_are_not() {
        for (kind, length) in [
            (Kind::Input, 1),
            (Kind::Output, PAYLOAD_MAX),
            (Kind::Errors, 7),
            (Kind::Exit, 1),
            (Kind::InputEnd, 0),
            (Kind::Hello, HELLO_MAX),
        ] {
            let bytes = put_header(kind, length).unwrap();
            assert_eq!(header(bytes), Ok((kind, length)));
        }
        for (kind, length) in [
            (Kind::Input, 0),
            (Kind::Input, PAYLOAD_MAX + 1),
            (Kind::Exit, 0),
            (Kind::Exit, 2),
            (Kind::InputEnd, 1),
            (Kind::Hello, HELLO_MAX + 1),
            (Kind::Output, usize::MAX),
        ] {
            assert_eq!(put_header(kind, length), Err(FrameError::Length), "{kind:?}");
        }
        assert_eq!(header([5, 0, 0, 0, 1]), Err(FrameError::Kind));
        assert_eq!(header([0, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::Length));
    }

    #[test]
    fn hellos_are_read_as_they_were_put() {
        let words = |words: &[&str]| Hello {
            protocol: "version=2".into(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        for hello in [
            words(&[]),
            words(&[""]),
            words(&["host", "git-upload-pack '/x'", ""]),
        ] {
            assert_eq!(Hello::parse(&hello.encode()), Ok(hello));
        }
        let many = words(&["x"; WORDS_MAX + 1]);
        for bytes in [&b""[..], b"x", b"\xff\0", &many.encode()] {
            assert_eq!(Hello::parse(bytes), Err(FrameError::Words), "{bytes:?}");
        }
    }
}
