//! What the server says first, on its way to the client: without what leads past the policy, and with `no-thin`.

use super::streams::{Packets, PacketsError, Sink, Source};
use crate::git::advertisement::{AdvertisementError, PushAdvertisement};
use crate::git::packet::{Packet, PacketError, put};
use std::io;

/// Bytes that are gathered before they are passed on.
const GATHERED: usize = 32 << 10;

/// Why it can't be passed on.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum AdvertiseError {
    /// The server said nothing: whoever carries it says why.
    #[error("the server ended before it said anything")]
    Silent,
    /// The server's own words, or what isn't understood of them.
    #[error(transparent)]
    Server(#[from] AdvertisementError),
    /// No packets.
    #[error("what the server says is not git's protocol: {0}")]
    Packet(#[from] PacketError),
    /// It broke off.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl From<PacketsError> for AdvertiseError {
    fn from(error: PacketsError) -> Self {
        match error {
            PacketsError::Packet(error) => Self::Packet(error),
            PacketsError::Source(error) => Self::Broken(error),
        }
    }
}

/// Reads it all, and passes it on to `client` meanwhile.
pub(in super::super) async fn advertise(
    server: &mut Packets<impl Source>,
    client: &mut impl Sink,
) -> Result<PushAdvertisement, AdvertiseError> {
    let mut advertisement = PushAdvertisement::default();
    let (mut out, mut began) = (Vec::new(), false);
    while !advertisement.is_whole() {
        let Some(packet) = server.next().await? else {
            return Err(if began {
                io::Error::from(io::ErrorKind::UnexpectedEof).into()
            } else {
                AdvertiseError::Silent
            });
        };
        began = true;
        match advertisement.accept(packet)? {
            Some(data) => put(&mut out, Packet::Data(&data))?,
            None => put(&mut out, packet)?,
        }
        if out.len() >= GATHERED {
            client.write(&out).await?;
            out.clear();
        }
    }
    client.write(&out).await?;
    Ok(advertisement)
}

#[cfg(test)]
mod tests {
    use super::super::streams::tests::Slowly;
    use super::*;

    const A: &str = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";

    async fn passed(lines: &[String]) -> (Result<PushAdvertisement, AdvertiseError>, String) {
        let mut bytes = Vec::new();
        for line in lines {
            put(&mut bytes, Packet::Data(line.as_bytes())).unwrap();
        }
        put(&mut bytes, Packet::Flush).unwrap();
        let mut client = Vec::new();
        let read = advertise(&mut Packets::new(Slowly(&bytes, 5)), &mut client).await;
        (read, String::from_utf8(client).unwrap())
    }

    #[tokio::test]
    async fn refs_are_kept_and_the_client_is_told_no_thin() {
        let first = format!("{A} refs/heads/x\0report-status push-options\n");
        let (read, client) = passed(&[first, format!("{A} refs/tags/v1\n")]).await;
        assert_eq!(read.unwrap().refs().count(), 2);
        assert!(client.contains("report-status no-thin\n") && client.ends_with("0000"));
        assert!(!client.contains("push-options"));
    }

    #[tokio::test]
    async fn what_is_not_understood_stops_it() {
        let (read, _) = passed(&["ERR no\n".into()]).await;
        assert!(matches!(
            read,
            Err(AdvertiseError::Server(AdvertisementError::Said(_)))
        ));
        let mut none = Packets::new(Slowly(b"", 5));
        let read = advertise(&mut none, &mut Vec::new()).await;
        assert!(matches!(read, Err(AdvertiseError::Silent)));
    }
}
