//! Names of objects: hexadecimal digits, as many as the repository's hash gives.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The hash that names a repository's objects (gitprotocol-capabilities(5), `object-format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectFormat {
    /// SHA-1: 40 digits.
    Sha1,
    /// SHA-256: 64 digits.
    Sha256,
}

impl ObjectFormat {
    /// How many digits a name has.
    #[must_use]
    pub const fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }

    /// The word of the capability.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// The format that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|format| format.word() == word)
    }

    /// The name that stands for no object.
    #[must_use]
    pub const fn zero(self) -> ObjectId {
        ObjectId {
            format: self,
            bytes: [0; 32],
        }
    }
}

/// The name of an object, or the zero name, which stands for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Sent")]
pub struct ObjectId {
    format: ObjectFormat,
    bytes: [u8; 32],
}

/// A name as it comes from another process.
#[derive(Deserialize)]
struct Sent {
    format: ObjectFormat,
    bytes: [u8; 32],
}

impl TryFrom<Sent> for ObjectId {
    type Error = &'static str;

    fn try_from(sent: Sent) -> Result<Self, Self::Error> {
        let id = Self::from_bytes(&sent.bytes, sent.format);
        if id.bytes == sent.bytes {
            Ok(id)
        } else {
            Err("more bytes than an object's name has")
        }
    }
}

impl ObjectId {
    /// Reads one; digits are small, as git writes them.
    #[must_use]
    pub fn parse(text: &[u8], format: ObjectFormat) -> Option<Self> {
        if text.len() != format.digits() {
            return None;
        }
        let mut bytes = [0; 32];
        let (pairs, _) = text.as_chunks::<2>();
        for ([high, low], byte) in pairs.iter().zip(&mut bytes) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self { format, bytes })
    }

    /// From a hash.
    #[must_use]
    pub fn from_bytes(hash: &[u8], format: ObjectFormat) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(hash.iter().take(format.digits() / 2)) {
            *to = *from;
        }
        Self { format, bytes }
    }

    /// The hash that it is made with.
    #[must_use]
    pub const fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Its bytes, filled up with zeros.
    #[must_use]
    pub const fn padded(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether it stands for no object.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.bytes == [0; 32]
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.bytes.iter().take(self.format.digits() / 2) {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_read() {
        let sha1 = "029d08823bd8a8eab510ad6ac75c823cfd3ed31e";
        let sha256 = format!("{sha1}{}", "0".repeat(24));
        for (text, format) in [(sha1, ObjectFormat::Sha1), (&sha256, ObjectFormat::Sha256)] {
            let id = ObjectId::parse(text.as_bytes(), format).unwrap();
            assert_eq!(id.to_string(), text);
            assert!(!id.is_zero());
            assert_eq!(ObjectFormat::from_word(format.word()), Some(format));
        }
        assert_eq!(ObjectId::parse(sha256.as_bytes(), ObjectFormat::Sha1), None);
        assert_eq!(
            ObjectId::parse(sha1.to_uppercase().as_bytes(), ObjectFormat::Sha1),
            None
        );
        assert!(ObjectFormat::Sha1.zero().is_zero());
        assert_eq!(ObjectFormat::Sha1.zero().to_string(), "0".repeat(40));
    }
}
