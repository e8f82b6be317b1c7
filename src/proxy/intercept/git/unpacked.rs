//! The body of a push that its client packed once more (RFC 9110 8.4.1.3). Git itself packs only what it asks for when it
//! fetches; JGit packs every body that fits its buffer (`http.postBuffer`, a mebibyte), what is pushed as well.
//!
//! It is undone here, a few kilobytes at a time, and what comes out is bounded where it is read: the commands by their own
//! bounds, the pack by the policy's. The server gets it plain.

use crate::proxy::git_push::Source;
use flate2::write::GzDecoder;
use std::io::{self, Write};

/// Packed bytes that are undone at once: they come to a thousand times as many at most.
const STEP: usize = 1 << 10;

/// What comes out of a source, undone where it is packed.
pub(super) enum Unpacked<S> {
    /// It isn't.
    Plain(S),
    /// It is.
    Packed(Box<Packed<S>>),
}

/// A packed body.
pub(super) struct Packed<S> {
    source: S,
    /// What comes out of it.
    decoder: GzDecoder<Vec<u8>>,
    /// How much of that was read.
    read: usize,
    ended: bool,
}

impl<S> Unpacked<S> {
    /// Of a source that is packed, or not.
    pub(super) fn new(source: S, is_packed: bool) -> Self {
        match is_packed {
            true => Self::Packed(Box::new(Packed {
                source,
                decoder: GzDecoder::new(Vec::new()),
                read: 0,
                ended: false,
            })),
            false => Self::Plain(source),
        }
    }
}

impl<S: Source> Source for Unpacked<S> {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(into).await,
            Self::Packed(packed) => packed.read(into).await,
        }
    }
}

impl<S: Source> Packed<S> {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut step = [0; STEP];
        loop {
            let out = self.decoder.get_ref().get(self.read..).unwrap_or_default();
            if !out.is_empty() {
                let count = out.len().min(into.len());
                for (to, from) in into.iter_mut().zip(out) {
                    *to = *from;
                }
                self.read += count;
                return Ok(count);
            }
            self.decoder.get_mut().clear();
            self.read = 0;
            if self.ended {
                return Ok(0);
            }
            let count = self.source.read(&mut step).await?;
            if count == 0 {
                self.ended = true;
                // Whether it was whole: it says how long it is, and has a sum.
                self.decoder.try_finish()?;
                continue;
            }
            let mut rest = step.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                match self.decoder.write(rest)? {
                    0 => {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "bytes follow what is packed",
                        ));
                    }
                    used => rest = rest.get(used..).unwrap_or_default(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    struct Given(Vec<u8>);

    impl Source for Given {
        async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(into.len()).min(300);
            for (to, from) in into.iter_mut().zip(self.0.drain(..count)) {
                *to = from;
            }
            Ok(count)
        }
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut source = Unpacked::new(Given(bytes), true);
        let (mut out, mut buffer) = (Vec::new(), [0; 700]);
        loop {
            match source.read(&mut buffer).await? {
                0 => return Ok(out),
                count => out.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[tokio::test]
    async fn what_is_packed_comes_out_whole_or_not_at_all() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| (n % 977).to_le_bytes()).collect();
        assert_eq!(unpacked(packed(&text)).await.unwrap(), text);
        assert_eq!(unpacked(packed(b"")).await.unwrap(), b"");
        for bad in [
            packed(&text)[..2000].to_vec(),
            [packed(b"x"), b"more".to_vec()].concat(),
            b"no gzip at all, but longer than its head is".to_vec(),
        ] {
            assert!(unpacked(bad).await.is_err());
        }
        // It is undone as it is read, not before.
        let mut source = Unpacked::new(Given(packed(&vec![0; 64 << 20])), true);
        let mut buffer = [0; 700];
        source.read(&mut buffer).await.unwrap();
        let Unpacked::Packed(held) = source else {
            unreachable!()
        };
        assert!(held.decoder.get_ref().len() <= STEP * 1100);
    }
}
