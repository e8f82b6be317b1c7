//! Where a pack may end, without a look into it: its last bytes are the sum of all before them (gitformat-pack(5)).
//!
//! Only what is inflated tells for certain where a pack ends, and who holds credentials inflates nothing that somebody
//! inside sent. So whoever takes a pack in asks here when no more comes: the sum says that it is worth a look, and who
//! looks (`crate::gitcheck`) says whether it is whole. A pack that is cut where its bytes happen to have, or were made to
//! have, such a sum isn't whole, and is refused there.

use super::object_id::ObjectFormat;
use super::pack::Hash;

/// The bytes so far.
pub struct PackSum {
    hash: Hash,
    /// The last ones, which may be the sum: not hashed yet.
    last: Vec<u8>,
    length: usize,
}

impl PackSum {
    /// For a repository whose objects are named so.
    #[must_use]
    pub fn new(format: ObjectFormat) -> Self {
        Self {
            hash: Hash::new(format),
            last: Vec::new(),
            length: format.digits() / 2,
        }
    }

    /// Takes the next bytes.
    pub fn accept(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(bytes);
        let before = self.last.len().saturating_sub(self.length);
        self.hash.update(self.last.get(..before).unwrap_or_default());
        self.last.drain(..before);
    }

    /// Whether the last bytes are the sum of all before them.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.last.len() == self.length && self.hash.fits(&self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};
    use sha2::Sha256;

    #[test]
    fn a_pack_may_end_where_its_sum_stands_and_nowhere_else() {
        let begin = b"PACK\0\0\0\x02\0\0\0\0".to_vec();
        let sums = [
            (ObjectFormat::Sha1, Sha1::digest(&begin).to_vec()),
            (ObjectFormat::Sha256, Sha256::digest(&begin).to_vec()),
        ];
        for (format, sum) in sums {
            let whole = [begin.clone(), sum].concat();
            for at_once in [1, 7, 1000] {
                let (mut read, mut fits) = (PackSum::new(format), Vec::new());
                for part in [whole.as_slice(), b"xy"].concat().chunks(at_once) {
                    read.accept(part);
                    fits.push(read.fits());
                }
                let ends = (0..)
                    .zip(&fits)
                    .filter(|(_, fits)| **fits)
                    .map(|(at, _): (usize, _)| at);
                let ends: Vec<usize> = ends.collect();
                let expected = match at_once {
                    1 => vec![whole.len() - 1],
                    _ => Vec::new(),
                };
                assert_eq!(ends, expected, "{at_once}");
            }
            let mut read = PackSum::new(format);
            read.accept(&whole);
            assert!(read.fits());
            let mut wrong = whole;
            *wrong.last_mut().unwrap() ^= 1;
            let mut read = PackSum::new(format);
            read.accept(&wrong);
            assert!(!read.fits());
        }
    }
}
