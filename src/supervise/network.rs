//! The network's own thread, started when the first connection or question comes: a run that uses no network never
//! pays for a runtime.

use super::event::Emit;
use super::session::Source;
use crate::launch::protocol::Role;
use crate::proxy::{Captured, Live, Proxy, Upstream};
use nix::sys::signal::{SigSet, Signal};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The sockets of the sandbox, and the thread that serves them.
pub(super) struct Network {
    live: Arc<Live>,
    upstream: Arc<Upstream>,
    events: Arc<dyn Emit>,
    captured: Captured,
    idle: Option<(Vec<TcpListener>, Vec<UdpSocket>)>,
    /// What tells of the sandbox's sockets, and its first process.
    seen: Option<(OwnedFd, i32)>,
    serving: Option<(tokio::sync::oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Network {
    /// Takes the sockets that the sandbox handed out; `first` is its first process.
    pub(super) fn new(
        live: Arc<Live>,
        upstream: Arc<Upstream>,
        events: Arc<dyn Emit>,
        redirected: bool,
        sockets: Vec<(Role, OwnedFd)>,
        first: i32,
    ) -> Self {
        let (mut listeners, mut questions, mut seen) = (Vec::new(), Vec::new(), None);
        for (role, descriptor) in sockets {
            match role {
                Role::Tcp => listeners.push(TcpListener::from(descriptor)),
                Role::Dns => questions.push(UdpSocket::from(descriptor)),
                Role::Sockets => seen = Some((descriptor, first)),
            }
        }
        let captured = if redirected {
            Captured::Redirect
        } else {
            Captured::Ports
        };
        Self {
            live,
            upstream,
            events,
            captured,
            idle: Some((listeners, questions)),
            seen,
            serving: None,
        }
    }

    /// Ends the thread, so that the events of its last connections are written.
    pub(super) fn finish(&mut self) {
        if let Some((stop, thread)) = self.serving.take() {
            stop.send(()).ok();
            drop(thread.join());
        }
    }
}

impl Source for Network {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let Some((listeners, questions)) = &self.idle else {
            return Vec::new();
        };
        listeners
            .iter()
            .map(AsFd::as_fd)
            .chain(questions.iter().map(AsFd::as_fd))
            .collect()
    }

    fn ready(&mut self) {
        let Some((listeners, questions)) = self.idle.take() else {
            return;
        };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (live, upstream) = (Arc::clone(&self.live), Arc::clone(&self.upstream));
        let proxy = Proxy::new(live, upstream, Arc::clone(&self.events));
        let proxy = Arc::new(proxy.with_programs(self.seen.take()));
        let captured = self.captured;
        let started = std::thread::Builder::new().name("network".into()).spawn(move || {
            // splice(2) into a socket whose other end is gone sends this signal to the thread, whatever the process
            // does with it: the error that comes with it is enough.
            let mut broken = SigSet::empty();
            broken.add(Signal::SIGPIPE);
            broken.thread_block().ok();
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                // Without a runtime nothing is served: every connection inside fails, none gets out.
                return;
            };
            runtime.block_on(proxy.serve(listeners, questions, captured, async {
                drop(stopped.await);
            }));
        });
        if let Ok(thread) = started {
            self.serving = Some((stop, thread));
        }
    }
}
