//! Carries bytes both ways, each end's close as it comes, and counts them.

use super::record::{Counts, Way};
use super::splice::Pipe;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

/// Bytes of one copy.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bytes after which a connection is one that carries much.
const MUCH: usize = 1 << 20;
/// How long a connection may carry nothing. Longer than any reasonable pause of an open session.
const IDLE_MAX: Duration = Duration::from_secs(4 * 3600);

/// Carries until both ends are done. An error of one end ends both.
pub(super) async fn both_ways(
    inside: &mut TcpStream,
    outside: &mut TcpStream,
    counts: &Counts,
) -> io::Result<()> {
    let (inside_read, inside_write) = inside.split();
    let (outside_read, outside_write) = outside.split();
    let carried = async {
        tokio::try_join!(
            one_way(inside_read, outside_write, Way::Out(counts), AtEnd::Close),
            one_way(outside_read, inside_write, Way::In(counts), AtEnd::Close)
        )
    };
    until_idle(counts, carried).await?.map(drop)
}

/// What becomes of the writer when the reader ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// It is told.
    Close,
    /// Another reader may follow.
    Stay,
}

/// One direction, to its end. The first bytes are copied, the many through a pipe.
pub(super) async fn one_way(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way<'_>,
    end: AtEnd,
) -> io::Result<()> {
    carry(&mut from, &mut to, way).await?;
    match end {
        AtEnd::Close => to.shutdown().await,
        AtEnd::Stay => Ok(()),
    }
}

async fn carry(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, way: Way<'_>) -> io::Result<()> {
    let mut copied = 0;
    loop {
        let read = copy(from, to, way).await?;
        if read == 0 {
            return Ok(());
        }
        copied += read;
        if copied >= MUCH {
            copied = 0;
            if let Some(pipe) = Pipe::new() {
                return pipe.carry((*from).as_ref(), (*to).as_ref(), way).await;
            }
        }
    }
}

thread_local! {
    /// Where every connection of the thread is copied through: an idle one has no buffer, and this one stays in the
    /// processor's cache. Nothing is left in it from one step to the next.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_BYTES]);
}

/// Reads once and writes all of it; 0 is the end. What the writer doesn't take at once is kept aside.
async fn copy(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>, way: Way<'_>) -> io::Result<usize> {
    let (read, rest) = poll_fn(|context| {
        BUFFER.with(|buffer| {
            let mut buffer = buffer.try_borrow_mut().map_err(io::Error::other)?;
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *from).poll_read(context, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok((0, Vec::new())));
            }
            way.pass(bytes.len())?;
            let written = match Pin::new(&mut *to).poll_write(context, bytes) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            let rest = bytes.get(written..).unwrap_or_default().to_vec();
            Poll::Ready(io::Result::Ok((bytes.len(), rest)))
        })
    })
    .await?;
    to.write_all(&rest).await?;
    Ok(read)
}

/// Ends `work` when nothing was counted for [`IDLE_MAX`].
pub(super) async fn until_idle<T>(counts: &Counts, work: impl Future<Output = T>) -> io::Result<T> {
    tokio::pin!(work);
    let mut last = counts.sum();
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = sleep_until(Instant::now() + IDLE_MAX) => {
                let now = counts.sum();
                if now == last {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                last = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_carries_nothing_for_hours_ends_and_what_carries_little_does_not() {
        let counts = Counts::default();
        let silent = until_idle(&counts, std::future::pending::<()>()).await;
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let start = Instant::now();
        let little = async {
            for _ in 0..10 {
                tokio::time::sleep(IDLE_MAX - Duration::from_secs(1)).await;
                counts.receive(1);
            }
        };
        until_idle(&counts, little).await.unwrap();
        assert!(start.elapsed() > IDLE_MAX * 9);
    }
}
