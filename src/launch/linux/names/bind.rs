//! Sockets that get a name (unix(7)).
//!
//! The socket is the caller's own, taken by its descriptor. What getsockname(2) tells afterwards, some programs remove when
//! they end: so it is bound by the caller's own text where that leads over no link, and else by its last name alone. The
//! text leads to the directory that was judged: no directory of the project can be moved meanwhile, and those above it
//! only from outside, or where they lie in the private home. Who moves those gets a socket of some name, which nobody
//! obeys.

use super::Answer;
use super::arguments::{Address, Named};
use super::make::{Made, Maker};
use super::place::{self, Place};
use super::turn::Turn;
use crate::facts::NewKind;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2, statat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, sockopt};
use std::os::fd::{AsFd, AsRawFd};

/// `sun_family`.
const FAMILY_BYTES: usize = 2;
/// `struct sockaddr_un`.
const ADDRESS_BYTES: usize = FAMILY_BYTES + 108;

impl Maker<'_> {
    pub(super) fn bind(&mut self, socket: i32, address: Address, length: u32) -> Made {
        let mut bytes = [0_u8; ADDRESS_BYTES];
        // What is no longer than that has no name in a directory; what is too long is no such address.
        let Some(given) = usize::try_from(length)
            .ok()
            .filter(|length| *length > FAMILY_BYTES)
        else {
            return Ok(Answer::Kernel);
        };
        let Some(target) = bytes.get_mut(..given) else {
            return Ok(Answer::Kernel);
        };
        if self.caller.copy(address, target) != Some(given) {
            return Ok(Answer::Kernel);
        }
        let (family, path) = bytes.split_at(FAMILY_BYTES);
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        let text = path.get(..end).unwrap_or_default();
        if family != AddressFamily::UNIX.as_raw().to_ne_bytes() || text.is_empty() {
            return Ok(Answer::Kernel);
        }
        self.turn(Turn::Shared);
        let here = Named {
            directory: CWD.as_raw_fd(),
            path: address,
        };
        let place = place::find_text(self.world, self.caller, here, text, ResolveFlags::empty())?;
        if !place.is_held(self.world) {
            return Ok(Answer::Kernel);
        }
        if let Some(kept) = self.judge(&place, NewKind::File) {
            // Not left to the call: what is there may be taken away meanwhile.
            let there = statat(
                place.parent.as_fd(),
                place.name(),
                rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
            );
            return Err(match there {
                Ok(_) => Answer::Fails(Errno::ADDRINUSE),
                Err(_) => Answer::Refused(place.path(), kept),
            });
        }
        let socket = self.caller.own(self.world, socket).map_err(|errno| match errno {
            Errno::BADF => Answer::Fails(errno),
            _ => Answer::Kernel,
        })?;
        if sockopt::socket_domain(&socket).map_err(Answer::Fails)? != AddressFamily::UNIX {
            return Ok(Answer::Kernel);
        }
        self.mask();
        self.go()?;
        let bound = self.bind_by(&place, text, &socket);
        rustix::process::fchdir(self.world.root.as_fd()).map_err(Answer::Fails)?;
        bound.map(|()| Answer::Done).map_err(Answer::Fails)
    }

    fn bind_by(&self, place: &Place, text: &[u8], socket: impl AsFd) -> Result<(), Errno> {
        let by = |text: &[u8]| rustix::net::bind(&socket, &SocketAddrUnix::new(text)?);
        if let Some(slash) = text.iter().rposition(|byte| *byte == b'/') {
            let here = Named {
                directory: CWD.as_raw_fd(),
                path: 0,
            };
            let start = self.caller.directory(self.world, here)?;
            let parent = text.get(..=slash).unwrap_or_default();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let straight = openat2(&start, parent, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
            let real = straight
                .ok()
                .and_then(|parent| place::real_path(self.world, parent.as_fd()).ok());
            if real.as_ref() == Some(&place.real) {
                rustix::process::fchdir(&start)?;
                return by(text);
            }
        }
        rustix::process::fchdir(place.parent.as_fd())?;
        by(&place.last)
    }
}
