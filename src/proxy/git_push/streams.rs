//! Bytes of a push, whichever way they come: over ssh, or as a request's body.

use crate::git::packet::{Packet, PacketError, take};
use std::io;

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;

/// Where bytes come from.
pub(in super::super) trait Source: Send {
    /// Reads some; 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Where bytes go.
pub(in super::super) trait Sink: Send {
    /// Writes all of them.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// Packets of a source. Holds one packet and one read at most.
pub(in super::super) struct Packets<S> {
    source: S,
    held: Vec<u8>,
    /// What is read into: who waits may stop to wait, and then none of it counts.
    coming: Vec<u8>,
    at: usize,
    ended: bool,
}

/// Why there is no packet.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum PacketsError {
    /// No packets.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The source.
    #[error(transparent)]
    Source(#[from] io::Error),
}

impl<S: Source> Packets<S> {
    /// Of a source that nothing was read from.
    pub(in super::super) const fn new(source: S) -> Self {
        Self {
            source,
            held: Vec::new(),
            coming: Vec::new(),
            at: 0,
            ended: false,
        }
    }

    /// The next; `None` at the end.
    pub(in super::super) async fn next(&mut self) -> Result<Option<Packet<'_>>, PacketsError> {
        let length = loop {
            if let Some((_, length)) = take(self.rest())? {
                break length;
            }
            if !self.fill().await? {
                if self.rest().is_empty() {
                    return Ok(None);
                }
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        };
        let start = self.at;
        self.at += length;
        let bytes = self.held.get(start..self.at).unwrap_or_default();
        Ok(take(bytes)?.map(|(packet, _)| packet))
    }

    /// Some bytes that are no packets; empty at the end. [`Self::used`] tells how many of them are gone.
    pub(in super::super) async fn bytes(&mut self) -> io::Result<&[u8]> {
        if self.rest().is_empty() {
            self.fill().await?;
        }
        Ok(self.rest())
    }

    /// So many bytes of those were used.
    pub(in super::super) fn used(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.held.len());
    }

    fn rest(&self) -> &[u8] {
        self.held.get(self.at..).unwrap_or_default()
    }

    /// Reads more; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.held.drain(..self.at);
        self.at = 0;
        self.coming.resize(READ_BYTES, 0);
        let count = self.source.read(&mut self.coming).await?;
        self.held
            .extend_from_slice(self.coming.get(..count).unwrap_or_default());
        self.ended = count == 0;
        Ok(!self.ended)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Gives bytes a few at a time.
    pub(in super::super) struct Slowly<'a>(pub(in super::super) &'a [u8], pub(in super::super) usize);

    impl Source for Slowly<'_> {
        async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            let (part, rest) = self.0.split_at(count);
            into[..count].copy_from_slice(part);
            self.0 = rest;
            Ok(count)
        }
    }

    impl Sink for Vec<u8> {
        async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.extend_from_slice(bytes);
            Ok(())
        }
    }

    #[tokio::test]
    async fn packets_and_what_follows_them_however_they_come() {
        let all = b"000ahello\n0000PACKxyz";
        for at_once in [1, 2, 3, 7, 100] {
            let mut packets = Packets::new(Slowly(all, at_once));
            assert_eq!(packets.next().await.unwrap(), Some(Packet::Data(b"hello\n")));
            assert_eq!(packets.next().await.unwrap(), Some(Packet::Flush));
            let mut rest = Vec::new();
            loop {
                let bytes = packets.bytes().await.unwrap().to_vec();
                if bytes.is_empty() {
                    break;
                }
                packets.used(1);
                rest.push(bytes[0]);
            }
            assert_eq!(rest, b"PACKxyz");
        }
    }

    /// Gives nothing the first time.
    struct Late<'a>(Slowly<'a>, bool);

    impl Source for Late<'_> {
        async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if !std::mem::replace(&mut self.1, true) {
                std::future::pending::<()>().await;
            }
            self.0.read(into).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_to_wait_for_bytes_has_none() {
        let mut packets = Packets::new(Late(Slowly(b"0000", 9), false));
        let second = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(second, packets.bytes()).await.is_err());
        assert_eq!(packets.next().await.unwrap(), Some(Packet::Flush));
    }

    #[tokio::test]
    async fn an_end_within_a_packet_is_an_error() {
        let mut packets = Packets::new(Slowly(b"000ahel", 3));
        assert!(matches!(packets.next().await, Err(PacketsError::Source(_))));
        let mut packets = Packets::new(Slowly(b"zzzz", 3));
        assert!(matches!(packets.next().await, Err(PacketsError::Packet(_))));
        let mut packets = Packets::new(Slowly(b"", 3));
        assert_eq!(packets.next().await.unwrap(), None);
    }
}
