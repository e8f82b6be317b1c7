//! The id of a session: sorts by time, and can't be guessed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// `YYYYMMDDThhmmssmmmZ-` and 12 hexadecimal digits: the time in UTC with milliseconds, then chance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// A text that is no session id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a session id")]
pub struct SessionIdError(String);

/// Bytes of the longest id.
const LENGTH: usize = 32;

impl SessionId {
    /// An id for a session that begins at `time`, told from others of the same millisecond by `chance`.
    #[must_use]
    pub fn new(time: Timestamp, chance: [u8; 6]) -> Self {
        let mut text = time.strftime("%Y%m%dT%H%M%S").to_string();
        text.push_str(&format!("{:03}Z-", time.subsec_millisecond()));
        for byte in chance {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text)
    }

    /// The id as text: a file name without a separator.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let shaped = text.len() == LENGTH
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 => byte == b'T',
                18 => byte == b'Z',
                19 => byte == b'-',
                0..=17 => byte.is_ascii_digit(),
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            });
        if shaped {
            Ok(Self(text.to_owned()))
        } else {
            Err(SessionIdError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SessionId {
    type Error = SessionIdError;
    fn try_from(text: String) -> Result<Self, SessionIdError> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_by_time_and_reads_back() {
        let early = SessionId::new("2026-11-23T09:08:07.006Z".parse().unwrap(), [0xff; 6]);
        let late = SessionId::new("2026-11-23T09:08:07.010Z".parse().unwrap(), [0; 6]);
        assert_eq!(early.as_str(), "20261123T090807006Z-ffffffffffff");
        assert!(early < late);
        assert_eq!(early.as_str().parse(), Ok(early));
    }

    #[test]
    fn no_path_is_an_id() {
        for text in [
            "",
            "../../etc/passwd",
            "20261123T090807006Z-fffffffffff/",
            "20261123T090807006Z-FFFFFFFFFFFF",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text:?}");
        }
    }
}
