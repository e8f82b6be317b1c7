//! Takes connections, up to a bound: those beyond it wait in the listener's own queue.

use super::splice::PIPES_MAX;
use super::{Captured, Proxy, connection, destination};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Connections at once. A browser or a package manager has a few hundred at most.
const CONNECTIONS_MAX: u64 = 2000;
/// Descriptors for everything else of the supervisor: the pipes of those that carry much, look-ups, the rest.
const RESERVED: u64 = 2 * PIPES_MAX as u64 + 192;
/// How long to wait when the kernel has no descriptor or memory for another connection.
pub(super) const EXHAUSTED: Duration = Duration::from_millis(50);

/// Places for connections, shared by all listeners.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

impl Places {
    /// As many as there may be descriptors for: two a connection.
    pub(super) fn new() -> Self {
        let descriptors = raise_descriptors(CONNECTIONS_MAX * 2 + RESERVED);
        let places = (descriptors.saturating_sub(RESERVED) / 2).clamp(16, CONNECTIONS_MAX);
        let places = usize::try_from(places).unwrap_or(16);
        Self {
            free: Arc::new(Semaphore::new(places)),
            all: places,
        }
    }

    /// So many.
    #[cfg(test)]
    pub(super) fn of(all: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// A part of them, for those of whom not all may be taken.
    pub(super) const fn a_quarter(&self) -> usize {
        self.all / 4
    }

    /// Waits for one.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}

/// Raises the soft limit of open files of this process, whose children were started before. Tells what it is then.
fn raise_descriptors(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return current;
    }
    let raised = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    let new = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, new).is_ok() {
        raised
    } else {
        current
    }
}

/// Accepts for ever. Dropping the future cuts its connections.
pub(super) async fn serve(proxy: Arc<Proxy>, listener: TcpListener, captured: Captured, places: Places) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                // Not before: a listener that nobody comes to would keep a place from the others.
                let Some(place) = places.take().await else {
                    return;
                };
                let going = destination::of(&stream, captured);
                let proxy = Arc::clone(&proxy);
                open.spawn(async move {
                    connection::handle(proxy, stream, going).await;
                    drop(place);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(EXHAUSTED).await,
        }
    }
}

/// Errors that accept(2) passes on from the connection itself.
pub(super) fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}
