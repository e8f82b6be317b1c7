//! A host name that exists is right: parsed once, compared as bytes afterwards.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A DNS host name: lower case, no trailing dot, letters, digits, `-` and `_` only, labels of 1 to 63 and at most 253
/// bytes in all (RFC 1035 2.3.4). An IPv4 or IPv6 address is not a name, in whichever spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there, or an empty label.
    #[error("empty label in a host name")]
    Empty,
    /// Over 253 bytes, or a label over 63.
    #[error("host name or label too long")]
    TooLong,
    /// A byte outside letters, digits, `-` and `_` (a NUL, a percent sign, a space, non-ASCII).
    #[error("byte 0x{0:02x} can't stand in a host name")]
    Byte(u8),
    /// The last label is a number: C libraries read that as an IPv4 address (`127.1`, `0x7f.1`).
    #[error("an address, not a host name")]
    Address,
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether it is a sub-domain of `apex`, at whatever depth.
    #[must_use]
    pub fn is_below(&self, apex: &Self) -> bool {
        self.0
            .strip_suffix(apex.as_str())
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// Whether it only means something in one network, and never in the public's: a single label, and what lies below
    /// `local` (RFC 6762 3), `home.arpa` (RFC 8375) and `internal`, which will never be delegated.
    #[must_use]
    pub fn is_of_one_network(&self) -> bool {
        let mut labels = self.labels().rev();
        match (labels.next(), labels.next()) {
            (Some("local" | "internal"), _) | (Some("arpa"), Some("home")) => true,
            (_, below) => below.is_none(),
        }
    }

    /// Without the labels at its beginning that stand for a service (`_sip._tcp.a.test`, RFC 8552): the host or domain
    /// that it is about. `None` when nothing is left.
    #[must_use]
    pub fn without_service(&self) -> Option<Self> {
        let mut rest = self.0.as_str();
        while rest.starts_with('_') {
            rest = rest.split_once('.')?.1;
        }
        Some(Self(rest.to_owned()))
    }

    /// Whether it has one label only, as `intranet`.
    #[must_use]
    pub fn is_single_label(&self) -> bool {
        !self.0.contains('.')
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > 253 {
            return Err(NameError::TooLong);
        }
        let mut last = "";
        for label in text.split('.') {
            if label.is_empty() {
                return Err(NameError::Empty);
            }
            if label.len() > 63 {
                return Err(NameError::TooLong);
            }
            if let Some(byte) = label
                .bytes()
                .find(|b| !b.is_ascii_alphanumeric() && *b != b'-' && *b != b'_')
            {
                return Err(NameError::Byte(byte));
            }
            last = label;
        }
        if is_number(last) {
            return Err(NameError::Address);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// inet_aton(3) reads decimal, octal and `0x` hexadecimal parts; a last label of that form makes an address.
fn is_number(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    match lower.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => lower.bytes().all(|b| b.is_ascii_digit()),
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_each_name() {
        assert_eq!("GitHub.COM.".parse::<Name>().unwrap().as_str(), "github.com");
    }

    #[test]
    fn services_are_about_their_domain() {
        let about = |text: &str| text.parse::<Name>().unwrap().without_service();
        let name = |text: &str| Some(text.parse::<Name>().unwrap());
        assert_eq!(about("_mongodb._tcp.db.x.test"), name("db.x.test"));
        assert_eq!(about("db._x.test"), name("db._x.test"));
        assert_eq!(about("_tcp._udp"), None);
    }

    #[test]
    fn names_of_one_network() {
        let is = |text: &str| text.parse::<Name>().unwrap().is_of_one_network();
        for text in [
            "intranet",
            "printer.local",
            "LOCAL.",
            "metadata.google.internal",
            "a.home.arpa",
        ] {
            assert!(is(text), "{text}");
        }
        for text in ["a.test", "local.test", "1.in-addr.arpa", "xlocal.com"] {
            assert!(!is(text), "{text}");
        }
    }

    #[test]
    fn addresses_and_odd_bytes_are_no_names() {
        for text in [
            "127.1",
            "0x7f.0.0.0x1",
            "2130706433",
            "1.2.3.4",
            "a\0.b.com",
            "a%b.com",
            "",
            ".",
            "a..b",
            "ü.de",
            "[::1]",
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        assert!(format!("{}.com", "a".repeat(64)).parse::<Name>().is_err());
    }
}
