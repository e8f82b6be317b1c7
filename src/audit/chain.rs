//! The chain of a log's lines: each carries a hash over itself and the line before.
//!
//! A line of version 2 is `CONTENT,"hash":"HASH"}`: a JSON object whose last member is the hash. HASH is the SHA-256, in
//! lower-case hexadecimal, of the hash before (those 64 letters; at the first line the session's id) followed by CONTENT,
//! byte for byte. Standard tools check it:
//!
//! ```sh
//! before=20261123T090807006Z-aaaaaaaaaaaa
//! while IFS= read -r line; do
//!   hash=$(printf %s "$before${line%,\"hash\":*}" | sha256sum | cut -d' ' -f1)
//!   [ "${line##*,\"hash\":}" = "\"$hash\"}" ] || echo "not as it was written: $line"
//!   before=$hash
//! done < $before.jsonl
//! ```
//!
//! What a full disk left of a line (its beginning, without a hash) is bound as well: the hash before the next line then
//! is that of the word `torn`, the hash before, and the bytes that are there.
//!
//! # What it shows, and what it can't
//!
//! - A line that was changed, taken out, put in, doubled or moved doesn't follow from the one before: the first such line
//!   is named. A log that was renamed to another session's id fails at its first line.
//! - Lines cut off at the end leave a chain that is whole so far. They are seen as a missing `session_end`, which the
//!   last line of a finished session is; a session that was killed looks the same, since it is the same to the log.
//! - It is no signature. Whoever has the user's id *outside* of the sandbox can write another log from the beginning, or
//!   remove one altogether: no secret that such a person couldn't read goes into it. A copy of the last hash that is kept
//!   elsewhere fixes all lines before it.
//! - What runs inside of the sandbox can't reach the logs at all: their directory isn't part of its view. The chain is
//!   against what happens to them later: faults of a disk, an editor, a script that filters lines.
//! - Lines that could not be written aren't there; how many they were is told by the next one (`dropped`).

use super::SessionId;
use sha2::{Digest, Sha256};
use std::fmt;

/// Bytes of a hash as text.
const HASH_LENGTH: usize = 64;
/// What stands between a line's content and its hash.
const BEFORE: &[u8] = b",\"hash\":\"";
/// What stands after it.
const AFTER: &[u8] = b"\"}";

/// The end of a chain: what the next line is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head(String);

impl Head {
    /// Where the chain of a session begins.
    pub(super) fn of(session: &SessionId) -> Self {
        Self(session.as_str().to_owned())
    }

    /// After a line of that content.
    pub(super) fn then(&self, content: &[u8]) -> Self {
        Self::over(&[self.0.as_bytes(), content])
    }

    /// After a line of which only the beginning could be written. Told apart from a whole line, or a line could be made
    /// to look torn by taking its hash away.
    pub(super) fn then_torn(&self, fragment: &[u8]) -> Self {
        Self::over(&[b"torn", self.0.as_bytes(), fragment])
    }

    fn over(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
        }
        let mut text = String::with_capacity(HASH_LENGTH);
        for byte in digest.finalize() {
            for half in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(half.into(), 16));
            }
        }
        Self(text)
    }

    /// Adds the hash to the JSON object in `line`, whose hash this is.
    pub(super) fn seal(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(BEFORE);
        line.extend_from_slice(self.0.as_bytes());
        line.extend_from_slice(AFTER);
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A line's content, without the brace that ends the object, and the hash that it carries; `None` when it carries none.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], Head)> {
    let (rest, hash) = line.strip_suffix(AFTER)?.split_last_chunk::<HASH_LENGTH>()?;
    let content = rest.strip_suffix(BEFORE)?;
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let text = std::str::from_utf8(hash).ok().filter(|_| hash.iter().all(hex))?;
    Some((content, Head(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_its_hash() {
        let head = Head::of(&"20261123T090807006Z-aaaaaaaaaaaa".parse().unwrap());
        let after = head.then(b"{\"v\":2");
        // printf %s '20261123T090807006Z-aaaaaaaaaaaa{"v":2' | sha256sum
        assert_eq!(
            after.to_string(),
            "e40f841290e82eecb3ee1d6b02018e41e8134675cfc25bbf2d45b4f8c88e522a"
        );
        let mut line = b"{\"v\":2".to_vec();
        after.seal(&mut line);
        assert_eq!(split(&line), Some((&b"{\"v\":2"[..], after.clone())));
        assert_ne!(head.then_torn(b"{\"v\":2"), after);
        let upper = String::from_utf8(line.clone()).unwrap().to_uppercase();
        for odd in [
            &line[1..line.len() - 1],
            upper.as_bytes(),
            b"",
            b"{}",
            &line[40..],
        ] {
            assert_eq!(split(odd), None);
        }
    }
}
