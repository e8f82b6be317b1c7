//! What the client asks for, and its pack: into memory that nobody can change any more, up to a bound.

use super::streams::{Packets, PacketsError, Source};
use crate::git::object_id::ObjectFormat;
use crate::git::pack::{Limits, PackError, PackReader};
use crate::git::push::{Push, PushError, PushReader};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes that are looked at before others have their turn: what they inflate to takes a few milliseconds at most.
const STEP: usize = 4 << 10;
/// How long it is waited for the end behind a pack: a client that keeps its side open has none.
const AFTER: Duration = Duration::from_secs(1);

/// Why it can't be understood.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ReceiveError {
    /// The commands.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The client broke off.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl From<PacketsError> for ReceiveError {
    fn from(error: PacketsError) -> Self {
        match error {
            PacketsError::Packet(error) => Self::Push(error.into()),
            PacketsError::Source(error) => Self::Broken(error),
        }
    }
}

/// Reads the commands; `None` where there is nothing to push.
pub(in super::super) async fn commands(
    client: &mut Packets<impl Source>,
    format: ObjectFormat,
) -> Result<Option<Push>, ReceiveError> {
    let mut reader = PushReader::new(format);
    loop {
        let Some(packet) = client.next().await? else {
            // Git that has nothing to say may just end.
            return if reader.is_empty() {
                Ok(None)
            } else {
                Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
            };
        };
        match reader.accept(packet) {
            Ok(Some(push)) => return Ok(Some(push)),
            Ok(None) => {}
            // A shallow clone says that it is one, and then perhaps nothing.
            Err(PushError::Empty) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A pack in a memory file with all seals (memfd_create(2)).
pub(in super::super) struct Pack {
    file: OwnedFd,
    bytes: u64,
}

/// Why a pack isn't taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    /// What is in it.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// Bytes where there should be none.
    #[error("there are bytes behind its end")]
    Trailing,
    /// The client broke off, or there is no memory.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl Pack {
    /// The file.
    pub(super) fn file(&self) -> io::Result<OwnedFd> {
        self.file.try_clone()
    }

    /// How many bytes it has.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads some of its bytes.
    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&self.file, into, offset)?)
    }
}

/// Reads a pack to its end, which it tells itself. What comes behind it is refused where it comes at once, and goes nowhere
/// in any case.
pub(super) async fn spool(
    client: &mut Packets<impl Source>,
    format: ObjectFormat,
    limits: Limits,
) -> Result<Pack, SpoolError> {
    let file = memfd_create("aca-pack", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let mut file = File::from(file.map_err(io::Error::from)?);
    let mut reader = PackReader::new(format, limits);
    let (mut bytes, mut step) = (0, Vec::with_capacity(STEP));
    while !reader.is_whole() {
        let came = client.bytes().await?;
        if came.is_empty() {
            return Err(PackError::Short.into());
        }
        step.clear();
        step.extend(came.iter().take(STEP));
        let taken = reader.accept(&step)?;
        file.write_all(step.get(..taken).unwrap_or_default())?;
        client.used(taken);
        bytes += u64::try_from(taken).unwrap_or(0);
        tokio::task::yield_now().await;
    }
    nothing_more(client).await?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals).map_err(io::Error::from)?;
    Ok(Pack {
        file: file.into(),
        bytes,
    })
}

/// Whether the client says no more, as far as it says it at once.
pub(super) async fn nothing_more(client: &mut Packets<impl Source>) -> Result<(), SpoolError> {
    match timeout(AFTER, client.bytes()).await {
        Ok(Ok(more)) if !more.is_empty() => Err(SpoolError::Trailing),
        // Whoever ended so has its report all the same.
        Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::streams::tests::Slowly;
    use super::*;
    use sha1::{Digest, Sha1};

    fn empty_pack() -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02\0\0\0\0".to_vec();
        let sum = Sha1::digest(&pack);
        pack.extend_from_slice(&sum);
        pack
    }

    async fn spooled(bytes: &[u8], most: u64) -> Result<Pack, SpoolError> {
        let (limits, _) = crate::git::check::standard_limits(most);
        spool(&mut Packets::new(Slowly(bytes, 7)), ObjectFormat::Sha1, limits).await
    }

    #[tokio::test]
    async fn a_pack_lies_sealed_as_it_came() {
        let pack = spooled(&empty_pack(), 100).await.unwrap();
        let mut read = vec![0; 100];
        let count = pack.read_at(&mut read, 0).unwrap();
        assert_eq!(&read[..count], empty_pack());
        assert_eq!(pack.bytes(), 32);
        let mut file = File::from(pack.file().unwrap());
        assert!(file.write_all(b"x").is_err());
    }

    #[tokio::test]
    async fn what_is_no_pack_or_more_than_one_is_refused() {
        let trailing = [empty_pack(), b"x".to_vec()].concat();
        assert!(matches!(spooled(&trailing, 100).await, Err(SpoolError::Trailing)));
        let short = &empty_pack()[..20];
        assert!(matches!(
            spooled(short, 100).await,
            Err(SpoolError::Pack(PackError::Short))
        ));
        let limit = spooled(&empty_pack(), 20).await;
        assert!(matches!(
            limit,
            Err(SpoolError::Pack(PackError::Limit { most: 20, .. }))
        ));
    }

    #[tokio::test]
    async fn good_byes_are_no_push() {
        for bytes in [&b""[..], b"0000"] {
            let read = commands(&mut Packets::new(Slowly(bytes, 3)), ObjectFormat::Sha1).await;
            assert!(matches!(read, Ok(None)), "{bytes:?}");
        }
        let read = commands(&mut Packets::new(Slowly(b"0007abc", 3)), ObjectFormat::Sha1).await;
        assert!(matches!(read, Err(ReceiveError::Push(_))));
    }
}
