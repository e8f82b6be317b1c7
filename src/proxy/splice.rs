//! Moves bytes from one socket to another through a pipe, without copying them into this process (splice(2)). For
//! connections that carry much: a pipe costs two descriptors.

use super::record::Way;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Pipes at once: the kernel bounds their memory for each user, and all programs of the user share that.
pub(super) const PIPES_MAX: usize = 32;
/// Size that is asked for; half of what an ordinary user may have.
const SIZE: usize = 512 * 1024;

static PLACES: Semaphore = Semaphore::const_new(PIPES_MAX);

/// A pipe between two sockets, empty.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    _place: SemaphorePermit<'static>,
}

impl Pipe {
    /// Makes one; `None` when there are enough, or the kernel has none: bytes are copied then.
    pub(super) fn new() -> Option<Self> {
        let place = PLACES.try_acquire().ok()?;
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Over the user's share the kernel keeps the size that it gave.
        fcntl_setpipe_size(&write, SIZE).ok();
        Some(Self {
            read,
            write,
            _place: place,
        })
    }

    /// Moves until `from` ends. The pipe is emptied before it is filled again, so that "would block" always is the
    /// socket's.
    pub(super) async fn carry(&self, from: &TcpStream, to: &TcpStream, way: Way<'_>) -> io::Result<()> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        loop {
            let fill = || Ok(splice(from, None, &self.write, None, SIZE, flags)?);
            let mut left = from.async_io(Interest::READABLE, fill).await?;
            if left == 0 {
                return Ok(());
            }
            way.pass(left)?;
            while left > 0 {
                let drain = || Ok(splice(&self.read, None, to, None, left, flags)?);
                let moved = to.async_io(Interest::WRITABLE, drain).await?;
                if moved == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                left -= moved;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_pipes_and_no_more() {
        let mut pipes: Vec<Pipe> = (0..PIPES_MAX).map_while(|_| Pipe::new()).collect();
        assert_eq!(pipes.len(), PIPES_MAX);
        assert!(Pipe::new().is_none());
        pipes.pop();
        assert!(Pipe::new().is_some(), "one that ends makes room");
    }
}
