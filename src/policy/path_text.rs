//! Paths as text that loses nothing: for `#[serde(with = "…")]` and for the log.
//!
//! A path is bytes; serde's own form of a `PathBuf` is an error for bytes that aren't UTF-8, so one odd name in the
//! project would keep the whole record from being written. Here such a byte is `\xNN` and a backslash is doubled.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The path as text; [`read`] gives it back.
#[must_use]
pub fn show(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The path behind a text; `None` when [`show`] can't have written it.
#[must_use]
pub fn read(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match (byte, byte == b'\\') {
            (plain, false) => bytes.push(plain),
            (_, true) => match rest.next()? {
                b'\\' => bytes.push(b'\\'),
                b'x' => {
                    let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    bytes.push(high * 16 + low);
                }
                _ => return None,
            },
        }
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// For serde.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(path))
}

/// For serde.
///
/// # Errors
/// The deserializer's, and a text that is no such path.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    read(&text).ok_or_else(|| D::Error::custom("an escape that is none"))
}

/// The same for lists.
pub mod list {
    use super::{Deserialize, Deserializer, Error, PathBuf, Serializer, read, show};
    use serde::ser::SerializeSeq;

    /// For serde.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(paths.len()))?;
        for path in paths {
            sequence.serialize_element(&show(path))?;
        }
        sequence.end()
    }

    /// For serde.
    ///
    /// # Errors
    /// The deserializer's, and a text that is no such path.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| read(text).ok_or_else(|| D::Error::custom("an escape that is none")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_paths_stay_plain() {
        assert_eq!(show(Path::new("a/ü.txt")), "a/ü.txt");
        assert_eq!(
            show(Path::new(std::ffi::OsStr::from_bytes(b"a\xff\\"))),
            "a\\xff\\\\"
        );
        assert_eq!(read("a\\q"), None);
    }

    proptest! {
        #[test]
        fn reads_back(bytes: Vec<u8>) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            prop_assert_eq!(read(&show(&path)), Some(path));
        }
    }
}
