//! Asks the sandbox's first process for sockets of its network, while the run lasts.
//!
//! It is the one process in there that the program can neither stop, look into nor speak with. What comes back is a bare
//! socket that the kernel made; whether something listens at its other end is the program's business.

use super::listening::OwnSockets;
use crate::launch::protocol::{SocketKind, SocketsMade, SocketsWanted};
use crate::launch::{Channel, ChannelError};
use crate::proxy::{Inside, InsideSockets, MadeInside};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// Questions that may be without an answer at once: the first process may be stopped from outside, and finds them all when
/// it goes on.
const UNANSWERED_MAX: u64 = 16;

/// The first process, as the network's thread asks it.
pub(super) struct FirstProcess {
    asking: Mutex<Option<Asking>>,
    own: Arc<OwnSockets>,
}

struct Asking {
    channel: Channel,
    /// The same socket, as the runtime watches it: that it is no stream matters to nobody who only waits.
    watched: UnixStream,
    asked: u64,
    answered: u64,
}

impl FirstProcess {
    /// Takes the channel; must be called where the runtime is. Without one nothing can be made. What listens is entered in
    /// `own`.
    pub(super) fn new(channel: Option<Channel>, own: Arc<OwnSockets>) -> Self {
        let asking = channel.and_then(|channel| {
            rustix::io::ioctl_fionbio(&channel, true).ok()?;
            let same = channel.as_fd().try_clone_to_owned().ok()?;
            Some(Asking {
                watched: UnixStream::from_std(same.into()).ok()?,
                channel,
                asked: 0,
                answered: 0,
            })
        });
        Self {
            asking: Mutex::new(asking),
            own,
        }
    }

    async fn ask(&self, kind: SocketKind) -> io::Result<Vec<OwnedFd>> {
        // One at a time: what waits here is cut off by whoever waits for it.
        let mut asking = self.asking.lock().await;
        let made = match asking.as_mut() {
            Some(asking) => asking.ask(kind).await?,
            None => return Err(io::ErrorKind::NotConnected.into()),
        };
        if let SocketKind::Listening(_) = kind {
            for socket in &made {
                self.own.add(socket);
            }
        }
        Ok(made)
    }
}

impl Inside for FirstProcess {
    fn sockets(&self, kind: InsideSockets) -> MadeInside<'_> {
        Box::pin(self.ask(match kind {
            InsideSockets::Connecting => SocketKind::Connecting,
            InsideSockets::Listening(port) => SocketKind::Listening(port),
        }))
    }
}

impl Asking {
    async fn ask(&mut self, kind: SocketKind) -> io::Result<Vec<OwnedFd>> {
        if self.asked - self.answered >= UNANSWERED_MAX {
            // It may go on meanwhile: what it has said by now is heard.
            while let Ok((made, _)) = hear(&self.channel) {
                self.answered = made.id + 1;
            }
            if self.asked - self.answered >= UNANSWERED_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let id = self.asked;
        self.channel
            .send(&SocketsWanted { id, kind }, &[])
            .map_err(failed)?;
        self.asked += 1;
        loop {
            let heard = || hear(&self.channel);
            let (made, sockets) = self.watched.async_io(Interest::READABLE, heard).await?;
            self.answered = made.id + 1;
            if made.id == id {
                return match made.errno {
                    None => Ok(sockets),
                    Some(errno) => Err(io::Error::from_raw_os_error(errno)),
                };
            }
            // Of one that was given up: its sockets are closed.
        }
    }
}

/// An answer. They come in the order of the questions; one that could not be sent is made up for by the next.
fn hear(channel: &Channel) -> io::Result<(SocketsMade, Vec<OwnedFd>)> {
    channel.receive::<SocketsMade>().map_err(failed)
}

fn failed(error: ChannelError) -> io::Error {
    match error {
        ChannelError::Call { source, .. } => source.into(),
        ChannelError::Gone => io::ErrorKind::NotConnected.into(),
        ChannelError::Malformed => io::ErrorKind::InvalidData.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(theirs: &Channel) {
        let (SocketsWanted { id, kind }, _) = theirs.receive().unwrap();
        let errno = (kind == SocketKind::Listening(7)).then_some(98);
        theirs.send(&SocketsMade { id, errno }, &[]).unwrap();
    }

    #[tokio::test]
    async fn answers_that_come_late_are_not_taken_for_others() {
        let (ours, theirs) = Channel::pair().unwrap();
        let first = FirstProcess::new(Some(ours), Arc::default());
        for _ in 0..UNANSWERED_MAX {
            let given_up = tokio::time::timeout(
                std::time::Duration::from_millis(1),
                first.sockets(InsideSockets::Connecting),
            );
            assert!(given_up.await.is_err());
        }
        let refused = first.sockets(InsideSockets::Connecting).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        for _ in 0..UNANSWERED_MAX {
            answer(&theirs);
        }
        let answering = std::thread::spawn(move || {
            answer(&theirs);
            answer(&theirs);
        });
        assert_eq!(first.sockets(InsideSockets::Connecting).await.unwrap().len(), 0);
        let refused = first.sockets(InsideSockets::Listening(7)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        answering.join().unwrap();
        let gone = first.sockets(InsideSockets::Connecting).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotConnected);
    }
}
