//! Secrets that aca holds, looked for without being there.
//!
//! The process that reads hostile bytes must not have a secret in its memory. It gets two numbers for where one may begin and
//! a hash over all of it, with a key of the run's own. From those nobody gets a secret of 16 or more random characters
//! back: the number over the first 8 bytes, by which nearly every place is passed over with one look, has 16 bits, and the one
//! over the first 16 has 32. A secret of under 16 random characters could be tried out by who took over that process,
//! and it has no way out but its answer.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Shortest secret that is looked for: what is shorter stands by chance in many files.
pub const SECRET_MIN: usize = 8;
/// Longest.
const SECRET_MAX: usize = 64 << 10;
/// Most fingerprints in one question; a secret has six to ten, and no more secrets are held than fit.
pub const FINGERPRINTS_MAX: usize = 4096;
/// Bytes of the beginning that the numbers are over. No secret is shorter than the first of them.
const FIRST: usize = SECRET_MIN;
const START: usize = 16;

/// What makes fingerprints mean nothing elsewhere: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key([u8; 16]);

impl Key {
    /// Of random bytes.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Over the first 8 bytes.
    const fn first(self, window: [u8; FIRST]) -> u16 {
        let (words, _) = self.0.as_chunks::<8>();
        let own = match words {
            [word, ..] => u64::from_le_bytes(*word),
            [] => 0,
        };
        let [.., low, high] = (u64::from_le_bytes(window) ^ own)
            .wrapping_mul(MULTIPLIER_SHORT)
            .to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// Over the first 16 bytes, of which those that don't count are zero.
    fn start(self, window: u128, length: u32) -> u32 {
        let mixed = (window ^ u128::from_le_bytes(self.0)).wrapping_mul(MULTIPLIER);
        let mixed = (mixed ^ (mixed >> 67) ^ u128::from(length)).wrapping_mul(MULTIPLIER);
        let [.., a, b, c, d] = mixed.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    fn whole(self, bytes: &[u8]) -> [u8; 16] {
        let hash = Sha256::new().chain_update(self.0).chain_update(bytes).finalize();
        let mut whole = [0; 16];
        for (to, from) in whole.iter_mut().zip(hash) {
            *to = from;
        }
        whole
    }
}

/// Odd, with its bits spread: the one of PCG's 128-bit generator.
const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// The one of PCG's 64-bit generator.
const MULTIPLIER_SHORT: u64 = 0x5851_f42d_4c95_7f2d;

impl fmt::Debug for Key {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Key")
    }
}

/// One way in which a secret can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Over its first bytes, and over its beginning.
    first: u16,
    start: u32,
    /// How many bytes it has.
    length: u32,
    /// Over all of it.
    whole: [u8; 16],
}

impl Fingerprint {
    /// Those of a secret: as it is, in hexadecimal digits of either case, in base64 of either alphabet wherever in the
    /// encoded text it begins, and as URLs have it. None for one of fewer than [`SECRET_MIN`] bytes, or over 64 KiB.
    #[must_use]
    pub fn of(secret: &[u8], key: Key) -> Vec<Self> {
        if !(SECRET_MIN..=SECRET_MAX).contains(&secret.len()) {
            return Vec::new();
        }
        let mut all: Vec<Self> = written(secret)
            .iter()
            .filter_map(|text| Self::one(text, key))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn one(text: &[u8], key: Key) -> Option<Self> {
        let length = u32::try_from(text.len()).ok()?;
        let window = text.get(..text.len().min(START))?;
        Some(Self {
            first: key.first(*text.first_chunk()?),
            start: key.start(padded(window), counted(length)),
            length,
            whole: key.whole(text),
        })
    }
}

/// The ways in which a secret can be written; some of them may be the same.
pub(crate) fn written(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut all = vec![
        Zeroizing::new(secret.to_vec()),
        hexadecimal(secret, b"0123456789abcdef"),
        hexadecimal(secret, b"0123456789ABCDEF"),
        percent(secret),
    ];
    for before in 0..3 {
        let plain = base64(secret, before);
        let mut for_urls = plain.clone();
        for byte in for_urls.iter_mut() {
            *byte = match *byte {
                b'+' => b'-',
                b'/' => b'_',
                other => other,
            };
        }
        all.extend([plain, for_urls]);
    }
    all
}

/// How many bytes of the beginning count.
const fn counted(length: u32) -> u32 {
    if length < 16 { length } else { 16 }
}

fn padded(window: &[u8]) -> u128 {
    let mut bytes = [0; START];
    for (to, from) in bytes.iter_mut().zip(window) {
        *to = *from;
    }
    u128::from_le_bytes(bytes)
}

fn hexadecimal(secret: &[u8], digits: &[u8; 16]) -> Zeroizing<Vec<u8>> {
    let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or_default();
    let mut out = Zeroizing::new(Vec::with_capacity(secret.len() * 2));
    for byte in secret {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
    out
}

/// As encodeURIComponent has it (RFC 3986, 2.3).
fn percent(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(secret.len() * 3));
    for byte in secret {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend_from_slice(&hexadecimal(&[*byte], b"0123456789ABCDEF"));
        }
    }
    out
}

/// The characters of base64 (RFC 4648) that a secret alone decides, `before` bytes after the beginning of three.
fn base64(secret: &[u8], before: usize) -> Zeroizing<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = || {
        std::iter::repeat_n(0, before)
            .chain(secret.iter().copied())
            .chain([0, 0])
    };
    let length = before + secret.len();
    let mut all = Zeroizing::new(Vec::with_capacity(length * 4 / 3 + 4));
    let (mut bits, mut waiting) = (0_u32, 0_u32);
    for byte in bytes() {
        bits = (bits << 8 | u32::from(byte)) & 0xffff;
        waiting += 8;
        while waiting >= 6 {
            waiting -= 6;
            let [value, ..] = (bits >> waiting & 63).to_le_bytes();
            all.push(ALPHABET.get(usize::from(value)).copied().unwrap_or_default());
        }
    }
    // Left out: what has bits of what stands before, and of what comes after.
    let (from, to) = ((before * 8).div_ceil(6), length * 8 / 6);
    Zeroizing::new(all.get(from..to).unwrap_or_default().to_vec())
}

/// Looks for many at a time.
#[derive(Debug)]
pub struct Search {
    key: Key,
    /// Which numbers over first bytes there are: nearly every place in a file ends here.
    bits: Box<[u64; 1024]>,
    /// By those numbers.
    sorted: Vec<Fingerprint>,
}

impl Search {
    /// For fingerprints made with `key`.
    #[must_use]
    pub fn new(fingerprints: &[Fingerprint], key: Key) -> Self {
        let mut sorted = fingerprints.to_vec();
        sorted.sort_unstable();
        let mut bits = Box::new([0; 1024]);
        for fingerprint in &sorted {
            if let Some(word) = bits.get_mut(usize::from(fingerprint.first >> 6)) {
                *word |= 1 << (fingerprint.first & 63);
            }
        }
        Self { key, bits, sorted }
    }

    /// Whether one of them is in `bytes`.
    #[must_use]
    pub fn finds(&self, bytes: &[u8]) -> bool {
        let may_be = |first: u16| {
            let word = self.bits.get(usize::from(first >> 6));
            word.is_some_and(|word| word >> (first & 63) & 1 == 1)
        };
        !self.sorted.is_empty()
            && bytes.windows(FIRST).enumerate().any(|(at, window)| {
                let first = window.first_chunk().map(|window| self.key.first(*window));
                first.is_some_and(|first| may_be(first) && self.is_at(first, bytes, at))
            })
    }

    /// Whether one that begins so stands there.
    fn is_at(&self, first: u16, bytes: &[u8], at: usize) -> bool {
        let from = self
            .sorted
            .partition_point(|fingerprint| fingerprint.first < first);
        let all = self.sorted.get(from..).unwrap_or_default().iter();
        all.take_while(|fingerprint| fingerprint.first == first)
            .any(|fingerprint| {
                let length = usize::try_from(fingerprint.length).ok();
                let whole = length.and_then(|length| bytes.get(at..at.checked_add(length)?));
                whole.is_some_and(|whole| {
                    let window = whole.get(..whole.len().min(START)).unwrap_or_default();
                    self.key.start(padded(window), counted(fingerprint.length)) == fingerprint.start
                        && self.key.whole(whole) == fingerprint.whole
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"s3cr3t/tok+en?with&odd=chars";

    fn finds(secret: &[u8], text: &[u8]) -> bool {
        let key = Key::new(*b"0123456789abcdef");
        Search::new(&Fingerprint::of(secret, key), key).finds(text)
    }

    /// Not the one above: the coreutils' way.
    fn encoded(bytes: &[u8]) -> String {
        let mut out = String::new();
        for three in bytes.chunks(3) {
            let value = three
                .iter()
                .chain([&0, &0])
                .take(3)
                .fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
            for at in 0..4 {
                let index = usize::try_from(value >> (18 - 6 * at) & 63).unwrap();
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                out.push(if at <= three.len() {
                    char::from(alphabet[index])
                } else {
                    '='
                });
            }
        }
        out
    }

    #[test]
    fn as_it_is_and_encoded() {
        assert_eq!(encoded(b"alice:pw"), "YWxpY2U6cHc=");
        for secret in [SECRET, b"12345678", b"123456789012345", b"1234567890123456"] {
            for before in ["", "a", "ab", "abc", "user:"] {
                for after in ["", "x", "yz"] {
                    let plain = [before.as_bytes(), secret, after.as_bytes()].concat();
                    assert!(finds(secret, &plain));
                    let base64 = encoded(&plain);
                    assert!(finds(secret, base64.as_bytes()), "{base64}");
                    let for_urls = base64.replace('+', "-").replace('/', "_");
                    assert!(finds(secret, for_urls.as_bytes()), "{for_urls}");
                    let hex: String = plain.iter().map(|byte| format!("{byte:02x}")).collect();
                    assert!(finds(secret, hex.as_bytes()));
                    assert!(finds(secret, hex.to_uppercase().as_bytes()));
                }
            }
        }
        assert!(finds(
            SECRET,
            b"https://u:s3cr3t%2Ftok%2Ben%3Fwith%26odd%3Dchars@host.test/"
        ));
    }

    #[test]
    fn another_is_not_found() {
        for text in [
            &SECRET[1..],
            &SECRET[..SECRET.len() - 1],
            b"",
            b"s3cr3t/tok+en?with&odd=charS",
        ] {
            assert!(!finds(SECRET, text));
        }
        let noise: Vec<u8> = (0..200_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        assert!(!finds(SECRET, &noise));
        assert!(!finds(b"12345678", &noise));
    }

    #[test]
    fn short_ones_are_not_taken_and_none_gives_itself_away() {
        let key = Key::new([7; 16]);
        assert!(Fingerprint::of(b"1234567", key).is_empty());
        let all = Fingerprint::of(SECRET, key);
        assert!(all.len() <= 10, "{}", all.len());
        let bytes = postcard::to_stdvec(&(key, all)).unwrap();
        for window in SECRET.windows(4) {
            assert!(!bytes.windows(4).any(|found| found == window));
        }
        assert_eq!(format!("{key:?}"), "Key");
    }
}
