//! What the client asks for, and its pack: into memory that nobody can change any more, up to a bound.

use super::streams::{Packets, PacketsError, Source};
use crate::git::object_id::ObjectFormat;
use crate::git::pack::{Bound, Limits, PackError, within};
use crate::git::pack_sum::PackSum;
use crate::git::push::{Push, PushError, PushReader};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::time::timeout;

/// How long it is waited for more behind what may be a pack's end: a client that keeps its side open has none.
const AFTER: Duration = Duration::from_secs(1);
/// How many bytes more are worth a word to who looks at them.
const TOLD_EACH: u64 = 256 << 10;

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
    /// It is too long.
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

/// A pack that comes in: a memory file that is only appended to.
pub(super) struct Spool {
    file: OwnedFd,
}

impl Spool {
    /// With nothing in it.
    pub(super) fn new() -> io::Result<Self> {
        let file = memfd_create("aca-pack", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        Ok(Self { file })
    }

    /// The same, for who may only read it.
    pub(super) fn reader(&self) -> io::Result<OwnedFd> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(open(own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Takes a pack in, up to where its client ends; one that keeps its side open ends where nothing comes for a while and
    /// the last bytes are the sum of all before them. `grew` is told how many bytes there are. None of it is looked at here:
    /// who does tells what isn't one, what is cut off and what has bytes behind its end.
    pub(super) async fn fill(
        self,
        client: &mut Packets<impl Source>,
        format: ObjectFormat,
        limits: Limits,
        grew: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Pack, SpoolError> {
        let mut file = File::from(self.file);
        let mut sum = PackSum::new(format);
        let (mut bytes, mut told) = (0, 0);
        while let Some(came) = next(client, &sum).await? {
            let count = came.len();
            bytes += u64::try_from(count).unwrap_or(u64::MAX);
            within(Bound::PackBytes, bytes, limits.pack_bytes)?;
            file.write_all(came)?;
            sum.accept(came);
            client.used(count);
            if bytes - told >= TOLD_EACH {
                grew(bytes);
                told = bytes;
            }
            tokio::task::yield_now().await;
        }
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&file, seals).map_err(io::Error::from)?;
        Ok(Pack {
            file: file.into(),
            bytes,
        })
    }
}

/// The next bytes of a pack; `None` at its end.
async fn next<'a>(client: &'a mut Packets<impl Source>, sum: &PackSum) -> io::Result<Option<&'a [u8]>> {
    let coming = client.bytes();
    tokio::pin!(coming);
    let came = match timeout(AFTER, coming.as_mut()).await {
        Ok(came) => came?,
        Err(_) if sum.fits() => return Ok(None),
        Err(_) => coming.await?,
    };
    Ok((!came.is_empty()).then_some(came))
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

    async fn spool(client: &mut Packets<impl Source>, most: u64) -> Result<Pack, SpoolError> {
        let (limits, _) = crate::git::check::standard_limits(most);
        let spool = Spool::new()?;
        spool.fill(client, ObjectFormat::Sha1, limits, &mut |_| ()).await
    }

    async fn spooled(bytes: &[u8], most: u64) -> Result<Pack, SpoolError> {
        spool(&mut Packets::new(Slowly(bytes, 7)), most).await
    }

    #[tokio::test]
    async fn who_reads_it_sees_it_come_and_can_not_write_it() {
        let spool = Spool::new().unwrap();
        let reader = spool.reader().unwrap();
        let bytes = vec![7; usize::try_from(TOLD_EACH).unwrap() * 2 + 5];
        let (mut told, mut byte) = (Vec::new(), [0]);
        let mut grew = |length| {
            rustix::io::pread(&reader, &mut byte, length - 1).unwrap();
            told.push((length, byte));
        };
        let (limits, _) = crate::git::check::standard_limits(1 << 20);
        let mut client = Packets::new(Slowly(&bytes, 1 << 16));
        let pack = spool.fill(&mut client, ObjectFormat::Sha1, limits, &mut grew);
        assert_eq!(pack.await.unwrap().bytes(), 2 * TOLD_EACH + 5);
        assert_eq!(told, [(TOLD_EACH, [7]), (2 * TOLD_EACH, [7])]);
        assert!(File::from(reader).write_all(b"x").is_err());
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
    async fn what_comes_is_kept_as_it_came_up_to_a_bound() {
        // It is told where it is looked into.
        let trailing = [empty_pack(), b"x".to_vec()].concat();
        assert_eq!(spooled(&trailing, 100).await.unwrap().bytes(), 33);
        assert_eq!(spooled(&empty_pack()[..20], 100).await.unwrap().bytes(), 20);
        let limit = spooled(&empty_pack(), 20).await;
        assert!(matches!(
            limit,
            Err(SpoolError::Pack(PackError::Limit { most: 20, .. }))
        ));
    }

    /// Gives bytes, and then nothing for as long as it is waited for.
    struct Open<'a>(Slowly<'a>);

    impl Source for Open<'_> {
        async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into).await? {
                0 => std::future::pending().await,
                count => Ok(count),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_keeps_its_side_open_has_sent_all_once_the_sum_is_there() {
        for (length, ends) in [(32, true), (31, false), (20, false), (0, false)] {
            let bytes = empty_pack();
            let mut client = Packets::new(Open(Slowly(&bytes[..length], 7)));
            let spooled = spool(&mut client, 100);
            let spooled = timeout(Duration::from_secs(3600), spooled).await;
            assert_eq!(
                spooled.is_ok_and(|pack| pack.unwrap().bytes() == 32),
                ends,
                "{length}"
            );
        }
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
