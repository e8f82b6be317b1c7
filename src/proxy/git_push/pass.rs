//! A push that may go: its commands written anew, the pack as it came; then the server's report, back to the client.

use super::receive::Pack;
use super::streams::{Packets, PacketsError, Sink, Source};
use crate::git::object_id::ObjectFormat;
use crate::git::outcome::{Outcome, REPORT_MAX, plain_progress};
use crate::git::packet::{Packet, PacketError, put};
use crate::git::push::{Push, Report};
use std::io;

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;
/// Most bytes of a server's words to people.
const PROGRESS_MAX: usize = 1 << 20;
/// The bands of gitprotocol-capabilities(5), `side-band-64k`.
const REPORT: u8 = 1;
const PROGRESS: u8 = 2;
const FAILURE: u8 = 3;

/// Why the server's answer stops.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum PassError {
    /// It isn't git's protocol.
    #[error("the server's report is not git's protocol")]
    Malformed,
    /// More than one has.
    #[error("the server's report is longer than one is")]
    TooLong,
    /// It broke off.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl From<PacketsError> for PassError {
    fn from(error: PacketsError) -> Self {
        match error {
            PacketsError::Packet(_) => Self::Malformed,
            PacketsError::Source(error) => Self::Broken(error),
        }
    }
}

impl From<PacketError> for PassError {
    fn from(_: PacketError) -> Self {
        Self::Malformed
    }
}

/// Sends a push to the server.
pub(super) async fn send(
    push: &Push,
    format: ObjectFormat,
    pack: Option<&Pack>,
    server: &mut impl Sink,
) -> Result<(), PassError> {
    server.write(&push.encode(format)?).await?;
    let Some(pack) = pack else { return Ok(()) };
    let (mut at, mut buffer) = (0, vec![0; READ_BYTES]);
    while at < pack.bytes() {
        let count = pack.read_at(&mut buffer, at)?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        server.write(buffer.get(..count).unwrap_or_default()).await?;
        at += u64::try_from(count).unwrap_or(u64::MAX);
    }
    Ok(())
}

/// Passes the report on, and tells what it says.
pub(super) async fn report(
    push: &Push,
    server: &mut Packets<impl Source>,
    client: &mut impl Sink,
) -> Result<Outcome, PassError> {
    if push.capabilities.report == Report::None {
        return Ok(Outcome::default());
    }
    let (mut report, mut told, mut out) = (Vec::new(), 0_usize, Vec::new());
    loop {
        let packet = server.next().await?;
        let Some(packet) = packet else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        };
        out.clear();
        let data = match packet {
            Packet::Data(data) => data,
            Packet::Flush => {
                put(&mut out, packet)?;
                client.write(&out).await?;
                if !push.capabilities.side_band {
                    put(&mut report, packet)?;
                }
                return Ok(Outcome::read(&report, push));
            }
            Packet::Delimiter | Packet::ResponseEnd => return Err(PassError::Malformed),
        };
        if !push.capabilities.side_band {
            put(&mut report, packet)?;
            put(&mut out, packet)?;
        } else {
            match data.split_first() {
                Some((&REPORT, part)) => {
                    report.extend_from_slice(part);
                    put(&mut out, packet)?;
                }
                Some((&band @ (PROGRESS | FAILURE), text)) => {
                    told = told.saturating_add(text.len());
                    // More than that nobody reads.
                    if told > PROGRESS_MAX {
                        continue;
                    }
                    // What isn't UTF-8 takes more bytes when it is.
                    for part in plain_progress(text).as_bytes().chunks(READ_BYTES / 2) {
                        put(&mut out, Packet::Data(&[&[band], part].concat()))?;
                    }
                }
                Some(_) | None => return Err(PassError::Malformed),
            }
        }
        if report.len() > REPORT_MAX {
            return Err(PassError::TooLong);
        }
        client.write(&out).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::streams::tests::Slowly;
    use super::*;
    use crate::git::push::PushReader;

    fn push(capabilities: &str) -> Push {
        let mut reader = PushReader::new(ObjectFormat::Sha1);
        let id = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";
        let line = format!("{id} {id} refs/heads/a\0{capabilities}");
        reader.accept(Packet::Data(line.as_bytes())).unwrap();
        reader.accept(Packet::Flush).unwrap().unwrap()
    }

    async fn passed(push: &Push, packets: &[&[u8]]) -> (Result<Outcome, PassError>, Vec<u8>) {
        let mut bytes = Vec::new();
        for packet in packets {
            put(&mut bytes, Packet::Data(packet)).unwrap();
        }
        put(&mut bytes, Packet::Flush).unwrap();
        let mut client = Vec::new();
        let outcome = report(push, &mut Packets::new(Slowly(&bytes, 3)), &mut client).await;
        (outcome, client)
    }

    #[tokio::test]
    async fn a_report_in_bands_or_without_is_passed_on_and_read() {
        let inner = b"000eunpack ok\n0014ok refs/heads/a\n0000";
        let (outcome, client) = passed(
            &push("report-status side-band-64k"),
            &[
                b"\x02remote \x1b[1mwords\n",
                b"\x01",
                &[b"\x01", &inner[..10]].concat(),
                &[b"\x01", &inner[10..]].concat(),
            ],
        )
        .await;
        assert_eq!(outcome.unwrap().taken.len(), 1);
        let client = String::from_utf8(client).unwrap();
        assert!(
            client.contains("remote ?[1mwords\n") && client.ends_with("0000"),
            "{client:?}"
        );
        let (outcome, client) =
            passed(&push("report-status"), &[b"unpack ok\n", b"ng refs/heads/a no\n"]).await;
        assert_eq!(outcome.unwrap().refused.len(), 1);
        assert!(client.starts_with(b"000eunpack ok\n"));
    }

    #[tokio::test]
    async fn a_server_that_says_something_else_or_too_much() {
        let banded = push("report-status side-band-64k");
        for packets in [&[&b"\x04x"[..]][..], &[b""]] {
            let (outcome, _) = passed(&banded, packets).await;
            assert!(matches!(outcome, Err(PassError::Malformed)));
        }
        let part = [vec![1], vec![b'x'; 60_000]].concat();
        let many: Vec<&[u8]> = (0..40).map(|_| part.as_slice()).collect();
        let (outcome, _) = passed(&banded, &many).await;
        assert!(matches!(outcome, Err(PassError::TooLong)));
        let words = [vec![2], vec![b'x'; 60_000]].concat();
        let many: Vec<&[u8]> = (0..40).map(|_| words.as_slice()).collect();
        let (outcome, client) = passed(&banded, &many).await;
        assert!(outcome.is_ok() && client.len() < PROGRESS_MAX + 100_000);
    }
}
