//! Waits for a log's next lines until its session ends.
//!
//! inotify(7) tells of writes; a thread that waits for the writer's lock tells that no more will come. Nothing is polled
//! on a clock.

use super::read::{Entry, Lines, lines};
use super::{SessionId, lock};
use crate::supervise::Event;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A log whose lines are awaited.
#[derive(Debug)]
pub struct Follow {
    lines: Lines<File>,
    /// Readable when something was written.
    written: OwnedFd,
    /// Its other end is closed when the writer is gone.
    gone: OwnedFd,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Written,
    /// No more will be written than there is.
    WriterGone,
    Ended,
}

impl Follow {
    /// Begins at the log's first line.
    ///
    /// # Errors
    /// Descriptors or threads are scarce.
    pub fn begin(file: File, session: &SessionId) -> io::Result<Self> {
        let written = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // The very file that is open, whatever has its name by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        inotify::add_watch(&written, path, WatchFlags::MODIFY)?;
        let (gone, held) = pipe_with(PipeFlags::CLOEXEC)?;
        let waiting = file.try_clone()?;
        std::thread::Builder::new()
            .name("log-writer-gone".into())
            .spawn(move || {
                // Without locks nobody is known to write.
                lock::wait(&waiting).ok();
                drop(held);
            })?;
        Ok(Self {
            lines: lines(file, session),
            written,
            gone,
            state: State::Written,
        })
    }

    /// The next line, once it is there; `None` at the end of the session, when its writer is gone, or when `reader` (where
    /// the lines go) has hung up.
    ///
    /// # Errors
    /// Those of reading and waiting.
    pub fn next(&mut self, reader: BorrowedFd<'_>) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.lines.next_whole()? {
                let event = entry.record.as_ref().map(|record| &record.event);
                if matches!(event, Some(Event::SessionEnd { .. })) {
                    self.state = State::Ended;
                }
                return Ok(Some(entry));
            }
            if self.state != State::Written {
                return Ok(self.lines.finish());
            }
            let mut waiting = [
                PollFd::from_borrowed_fd(self.written.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.gone.as_fd(), PollFlags::IN),
                // Errors and the end of the other side are told unasked (poll(2)).
                PollFd::from_borrowed_fd(reader, PollFlags::empty()),
            ];
            retry_on_intr(|| poll(&mut waiting, None))?;
            let [_, gone, reader] = &waiting;
            if !reader.revents().is_empty() {
                return Ok(None);
            }
            if !gone.revents().is_empty() {
                self.state = State::WriterGone;
            }
            self.drain()?;
        }
    }

    /// Takes the notices: all of them say the same.
    fn drain(&self) -> io::Result<()> {
        let mut buffer = [0_u8; 4096];
        loop {
            match rustix::io::read(&self.written, &mut buffer[..]) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
