//! Serves the session's control socket. A thread for each client, started when it comes: the loop that looks after the
//! program waits for nobody.

use super::event::{Emit, Event};
use super::session::Source;
use crate::audit::SessionId;
use crate::control::frame::{self, ANSWER_MAX, FrameError, REQUEST_MAX};
use crate::control::peer;
use crate::control::place::{Directory, Listener, PlaceError};
use crate::control::protocol::{Answer, Refused, Request};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Clients at once; those beyond it are closed.
const CLIENTS_MAX: usize = 32;
/// How long a client may take to ask, and to take the answer.
const WITHIN: Duration = Duration::from_secs(5);
/// A client's thread does little.
const STACK: usize = 256 << 10;

/// Answers what is asked of a session. Called from several threads.
pub trait Serve: Send + Sync {
    /// Does what is asked, and says how it went. May wait, as long as the client does.
    fn answer(&self, request: Request) -> Answer;
}

/// The socket, and who answers.
pub(super) struct Control {
    listener: Option<Listener>,
    desk: Arc<dyn Serve>,
    events: Arc<dyn Emit>,
    clients: Arc<AtomicUsize>,
}

impl Control {
    /// Makes the socket in that directory.
    pub(super) fn new(
        directory: &Path,
        session: &SessionId,
        desk: Arc<dyn Serve>,
        events: Arc<dyn Emit>,
    ) -> Result<Self, PlaceError> {
        let listener = Directory::make(directory)?.listen(session)?;
        Ok(Self {
            listener: Some(listener),
            desk,
            events,
            clients: Arc::default(),
        })
    }

    fn serve(&self, stream: UnixStream) {
        let place = Place::take(&self.clients);
        let Some(place) = place else { return };
        let desk = Arc::clone(&self.desk);
        let started = std::thread::Builder::new()
            .name("control".into())
            .stack_size(STACK)
            .spawn(move || {
                converse(stream, &*desk);
                drop(place);
            });
        // Without a thread the connection closes, which the client tells.
        drop(started);
    }
}

impl Source for Control {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let socket = self.listener.iter().map(|listener| listener.socket.as_fd());
        socket.collect()
    }

    fn ready(&mut self) {
        while let Some(listener) = &self.listener {
            match listener.socket.accept() {
                Ok((stream, _)) => self.serve(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) => {}
                // It would be ready again at once, for ever.
                Err(error) => {
                    self.listener = None;
                    self.events.emit(lost(&error));
                }
            }
        }
    }
}

/// What is told where there is no socket (any more).
pub(super) fn lost(error: &dyn std::error::Error) -> Event {
    let cause = error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    Event::Degraded {
        lost: vec![format!(
            "the control channel, by which a running session is asked and changed ({error}{cause})"
        )],
    }
}

/// One of [`CLIENTS_MAX`].
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(clients));
        // One that is too many is given back when the value goes.
        (clients.fetch_add(1, Ordering::Relaxed) < CLIENTS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request, one answer. Nothing is read of who isn't served.
fn converse(mut stream: UnixStream, desk: &dyn Serve) {
    if stream.set_nonblocking(false).is_err() {
        return;
    }
    let answer = match peer::check(&stream) {
        Ok(()) => match frame::read(&mut stream, REQUEST_MAX, WITHIN) {
            Ok(request) => desk.answer(request),
            Err(FrameError::Closed | FrameError::Late | FrameError::Call { .. }) => return,
            Err(error @ (FrameError::TooLong { .. } | FrameError::Malformed(_) | FrameError::Version(_))) => {
                let hint = "use the aca that runs the session, or start it again with this one";
                Answer::Refused(Refused::new(error.to_string(), hint))
            }
        },
        Err(error) => {
            let hint = "ask from outside of every sandbox and container, as the user who started the session";
            Answer::Refused(Refused::new(format!("not served: {error}"), hint))
        }
    };
    // A client that is gone misses it.
    drop(frame::write(&mut stream, &answer, ANSWER_MAX, WITHIN));
}
