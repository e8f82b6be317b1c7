//! Typed messages with descriptors over a `SOCK_SEQPACKET` pair: one message a packet, a bound on each.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Largest message in bytes; plans go by memory file.
const MESSAGE_MAX: usize = 16 * 1024;
/// Most descriptors with one message.
pub(crate) const DESCRIPTORS_MAX: usize = 64;

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// Why a message didn't go or come.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end is gone.
    #[error("the other end of the control socket is gone")]
    Gone,
    /// A call failed.
    #[error("{call}")]
    Call {
        /// Which.
        call: &'static str,
        /// Its error.
        #[source]
        source: Errno,
    },
    /// Not a message of ours.
    #[error("a malformed message on the control socket")]
    Malformed,
}

impl Channel {
    /// Makes both ends, close-on-exec.
    ///
    /// # Errors
    /// When socketpair(2) fails.
    pub fn pair() -> Result<(Self, Self), ChannelError> {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|source| ChannelError::Call {
            call: "socketpair",
            source,
        })?;
        Ok((Self(one), Self(other)))
    }

    /// Takes an end that was inherited.
    #[must_use]
    pub const fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Sends a message, with descriptors.
    ///
    /// # Errors
    /// [`ChannelError::Gone`] when nobody is there to read it.
    pub fn send<M: Serialize>(
        &self,
        message: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let bytes = postcard::to_stdvec(message).map_err(|_| ChannelError::Malformed)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ChannelError::Malformed);
        }
        loop {
            match sendmsg(
                &self.0,
                &[IoSlice::new(&bytes)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Gone),
                Err(source) => {
                    return Err(ChannelError::Call {
                        call: "sendmsg",
                        source,
                    });
                }
            }
        }
    }

    /// Waits for a message and its descriptors.
    ///
    /// # Errors
    /// [`ChannelError::Gone`] at the end of the stream.
    pub fn receive<M: DeserializeOwned>(&self) -> Result<(M, Vec<OwnedFd>), ChannelError> {
        let mut bytes = vec![0_u8; MESSAGE_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let count = loop {
            match recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                // The descriptors that came along did not fit: this process may open no more (unix(7)).
                Ok(message) if message.flags.contains(ReturnFlags::CTRUNC) => {
                    return Err(ChannelError::Call {
                        call: "recvmsg",
                        source: Errno::MFILE,
                    });
                }
                Ok(message) => break message.bytes,
                // The other end was closed before it had read all: the kernel says so once, and before it gives what that
                // end sent last (af_unix.c, unix_release_sock). The next call gives that, or the end.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(source) => {
                    return Err(ChannelError::Call {
                        call: "recvmsg",
                        source,
                    });
                }
            }
        };
        let descriptors = ancillary
            .drain()
            .filter_map(|message| {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    Some(descriptors)
                } else {
                    None
                }
            })
            .flatten()
            .collect();
        if count == 0 {
            return Err(ChannelError::Gone);
        }
        let message = bytes
            .get(..count)
            .and_then(|bytes| postcard::from_bytes(bytes).ok())
            .ok_or(ChannelError::Malformed)?;
        Ok((message, descriptors))
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_heard_though_its_sender_did_not_listen() {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send(&"unread", &[]).unwrap();
        theirs.send(&"last", &[]).unwrap();
        drop(theirs);
        let (word, _) = ours.receive::<String>().unwrap();
        assert_eq!(word, "last");
        assert!(matches!(ours.receive::<String>(), Err(ChannelError::Gone)));
    }
}
