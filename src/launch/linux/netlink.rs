//! Netlink messages (netlink(7)): a writer of nested attributes, and a request that waits for its acknowledgements.

use super::During;
use crate::launch::protocol::StageError;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

/// `NLM_F_REQUEST`.
pub(super) const REQUEST: u16 = 0x01;
/// `NLM_F_ACK`.
pub(super) const ACK: u16 = 0x04;
/// `NLM_F_EXCL`.
pub(super) const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(super) const APPEND: u16 = 0x800;

const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NESTED: u16 = 0x8000;

/// One or more messages in one buffer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
    acknowledged: u32,
}

impl Batch {
    /// Adds a message; `body` writes what follows the 16 bytes of header.
    pub(super) fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Vec<u8>)) {
        self.sequence += 1;
        if flags & ACK != 0 {
            self.acknowledged += 1;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        body(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        patch(&mut self.bytes, start, &length.to_ne_bytes());
        pad(&mut self.bytes);
    }

    /// The bytes as they are sent.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Sends all in one packet and waits for every acknowledgement.
    pub(super) fn request(&self, family: u32, call: &str) -> Result<(), StageError> {
        let socket = open(family)?;
        send(&socket, &self.bytes, SendFlags::empty()).during(call)?;
        let mut left = self.acknowledged;
        let mut answer = [0_u8; 8192];
        while left > 0 {
            let (count, _) = recv(&socket, &mut answer, RecvFlags::empty()).during(call)?;
            let mut rest = answer.get(..count).unwrap_or_default();
            while let Some((kind, errno, next)) = acknowledgement(rest) {
                if kind == NLMSG_ERROR {
                    if errno != 0 {
                        return Err(Errno::from_raw_os_error(-errno)).during(call);
                    }
                    left = left.saturating_sub(1);
                }
                rest = next;
            }
        }
        Ok(())
    }
}

/// A socket of that family.
pub(super) fn open(family: u32) -> Result<OwnedFd, StageError> {
    let protocol = NonZeroU32::new(family).map(Protocol::from_raw);
    socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )
    .during("socket AF_NETLINK")
}

/// The type, the errno (0 for success, negative for an error) and what follows the first message.
fn acknowledgement(bytes: &[u8]) -> Option<(u16, i32, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(bytes.get(0..4)?.try_into().ok()?)).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let errno = i32::from_ne_bytes(bytes.get(HEADER_BYTES..HEADER_BYTES + 4)?.try_into().ok()?);
    let next = length.max(HEADER_BYTES).next_multiple_of(4).min(bytes.len());
    Some((kind, errno, bytes.get(next..)?))
}

/// Appends an attribute with a value.
pub(super) fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    pad(bytes);
}

/// Appends an attribute that holds attributes.
pub(super) fn nested(bytes: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
    inner(bytes);
    let length = u16::try_from(bytes.len() - start).unwrap_or(u16::MAX);
    patch(bytes, start, &length.to_ne_bytes());
    pad(bytes);
}

fn patch(bytes: &mut [u8], start: usize, value: &[u8]) {
    for (slot, byte) in bytes.iter_mut().skip(start).zip(value) {
        *slot = *byte;
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
