//! Serves the seccomp listener: observes process starts and listen(2), answers reported system calls.
//!
//! The filter has decided before a call arrives here: a reported call is refused whatever this thread does (if it ends,
//! the kernel answers ENOSYS), and a process start or listen(2) goes on. Nothing here is policy, since what a call's pointers point
//! at can change until the kernel reads it.
//!
//! A caller waits until it is answered, so it is answered before its event is written.

mod claim;
mod passed;
mod refusal;

use super::flood::{Bucket, INTERVAL, Tally};
use super::listening::Offers;
use super::{Emit, Event};
use crate::launch::Channel;
use crate::sys::seccomp::{Listener, Notification};
use claim::Reader;
pub use claim::Roots;
use passed::Passed;
use refusal::Refusals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Instant,
};

/// Process starts that are written: a second, and at once. Above that they are only counted.
const STARTS_PER_SECOND: u32 = 2_000;
const STARTS_BURST: u32 = 5_000;

/// Serves a listener in a thread of its own, which ends when the last process under the filter has ended.
///
/// # Errors
/// When no thread could be started. The thread's own error is the kernel's on the listener.
pub fn spawn(
    listener: OwnedFd,
    events: Arc<dyn Emit>,
    roots: Roots,
) -> io::Result<JoinHandle<io::Result<()>>> {
    spawn_with(listener, None, events, roots, None)
}

/// As [`spawn`], and tells what begins to listen. Where `passed` is given another process reads the listener, and passes
/// on what isn't its own.
pub(super) fn spawn_with(
    listener: OwnedFd,
    passed: Option<Channel>,
    events: Arc<dyn Emit>,
    roots: Roots,
    offers: Option<Offers>,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let server = Server {
        listener: Listener::new(listener),
        passed,
        events,
        reader: Reader::new(roots),
        refusals: Refusals::new(),
        starts: Bucket::new(STARTS_PER_SECOND, STARTS_BURST),
        dropped: Tally::default(),
        dropped_flush_at: None,
        offers,
    };
    Builder::new()
        .name("notify".to_owned())
        .spawn(move || server.run())
}

struct Server {
    listener: Listener,
    passed: Option<Channel>,
    events: Arc<dyn Emit>,
    reader: Reader,
    refusals: Refusals,
    starts: Bucket,
    dropped: Tally,
    dropped_flush_at: Option<Instant>,
    offers: Option<Offers>,
}

impl Server {
    fn run(mut self) -> io::Result<()> {
        let result = self.serve();
        self.flush(Instant::now());
        result
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            if ready.contains(PollFlags::IN) {
                match &self.passed {
                    Some(passed) => match passed::receive(passed)? {
                        Passed::Call(call) => self.answer(&call)?,
                        Passed::Event(event) => self.events.emit(*event),
                        Passed::End => return Ok(()),
                    },
                    None => {
                        if let Some(call) = self.listener.receive()? {
                            self.answer(&call)?;
                        }
                    }
                }
            } else if !ready.is_empty() {
                return Ok(());
            }
            if let Some(at) = self.flush_at() {
                let now = Instant::now();
                if now >= at {
                    self.flush(now);
                }
            }
        }
    }

    fn wait(&self) -> io::Result<PollFlags> {
        let source = self.passed.as_ref().map_or(self.listener.as_fd(), AsFd::as_fd);
        let mut polled = [PollFd::from_borrowed_fd(source, PollFlags::IN)];
        let rest = self
            .flush_at()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = rest.and_then(|rest| Timespec::try_from(rest).ok());
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => Ok(polled.first().map_or(PollFlags::empty(), PollFd::revents)),
            Err(rustix::io::Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(error.into()),
        }
    }

    fn answer(&mut self, call: &Notification) -> io::Result<()> {
        match i64::from(call.number) {
            libc::SYS_execve | libc::SYS_execveat => self.start(call),
            libc::SYS_listen => self.listen(call),
            _ => self.refuse(call),
        }
    }

    /// It goes on, whatever it listens on: what came of it is asked of the kernel afterwards.
    fn listen(&mut self, call: &Notification) -> io::Result<()> {
        if self.listener.proceed(call.id)?
            && let Some(offers) = &mut self.offers
        {
            offers.note(call.thread, Instant::now());
        }
        Ok(())
    }

    fn start(&mut self, call: &Notification) -> io::Result<()> {
        let now = Instant::now();
        if !self.starts.take(now) {
            let _gone = self.listener.proceed(call.id)?;
            match self.dropped.add(now) {
                Some(count) => self.emit_dropped(count),
                None => _ = self.dropped_flush_at.get_or_insert(now + INTERVAL),
            }
            return Ok(());
        }
        let claim = self.reader.read(call);
        // Where the caller is gone, the claim may be another process's that got its number.
        if self.listener.proceed(call.id)?
            && let Some(claim) = claim
        {
            self.events.emit(Event::ProcessStart {
                pid: call.thread,
                path: claim.path,
                argv: claim.argv,
            });
        }
        Ok(())
    }

    fn refuse(&mut self, call: &Notification) -> io::Result<()> {
        let refused = self.refusals.judge(call);
        if self.listener.refuse(call.id, refused.errno)?
            && let Some(event) = self.refusals.count(refused, call.thread, Instant::now())
        {
            self.events.emit(event);
        }
        Ok(())
    }

    fn flush_at(&self) -> Option<Instant> {
        let look_at = self.offers.as_ref().and_then(Offers::look_at);
        [self.refusals.flush_at(), self.dropped_flush_at, look_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn flush(&mut self, now: Instant) {
        if let Some(offers) = &mut self.offers {
            offers.look(now, &*self.events);
        }
        for event in self.refusals.flush(now) {
            self.events.emit(event);
        }
        self.dropped_flush_at = None;
        if let Some(count) = self.dropped.take(now) {
            self.emit_dropped(count);
        }
    }

    fn emit_dropped(&self, count: u64) {
        self.events.emit(Event::Dropped {
            count,
            kind: "process_start".to_owned(),
        });
    }
}
