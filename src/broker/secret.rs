//! Bytes that nobody else may see.

use std::fmt;
use zeroize::Zeroizing;

/// A password or a token. It is overwritten when it goes, and there is no way to print or to serialise it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Longest secret in bytes: tokens of forges have some hundred, signed ones a few thousand.
pub(super) const SECRET_MAX: usize = 16 * 1024;

impl Secret {
    /// Takes the bytes; `None` where nobody could send them (RFC 7617 2): none at all, control characters, too many.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let is_good =
            !bytes.is_empty() && bytes.len() <= SECRET_MAX && !bytes.iter().any(u8::is_ascii_control);
        is_good.then_some(Self(bytes))
    }

    /// The bytes, for who sends them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// So that what holds one can be printed.
impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_shown() {
        let secret = Secret::new(Zeroizing::new(b"s3cr3t".to_vec())).unwrap();
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(…) Secret(…)");
        for bad in [&b""[..], b"a\nb", b"a\0", &[b'a'; SECRET_MAX + 1]] {
            assert!(Secret::new(Zeroizing::new(bad.to_vec())).is_none());
        }
    }
}
