//! The network's own thread, started when the first connection or question comes: a run that uses no network never
//! pays for a runtime.

use super::event::Emit;
use super::listening::{Listeners, OwnSockets};
use super::ports::Ports;
use super::session::Source;
use super::sockets::FirstProcess;
use crate::broker::Broker;
use crate::launch::Channel;
use crate::launch::protocol::Role;
use crate::proxy::{
    Captured, Interceptor, Listening, Live, ObjectStores, PortsAsked, Proxy, Sockets, Ssh, Upstream,
};
use nix::sys::signal::{SigSet, Signal};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Questions that wait in a socket's buffer, in bytes as socket(7) counts them, which it doubles: those of a thousand
/// programs that begin together. One that is lost is asked again after five seconds only (resolv.conf(5)), and twice in all.
const QUESTIONS_BYTES: usize = 2 << 20;

/// The sockets of the sandbox, and the thread that serves them.
pub(super) struct Network {
    live: Arc<Live>,
    upstream: Arc<Upstream>,
    interceptor: Option<Arc<Interceptor>>,
    events: Arc<dyn Emit>,
    captured: Captured,
    /// What git over ssh starts.
    ssh: Option<Result<Ssh, String>>,
    /// What finds credentials for git over https.
    broker: Arc<Broker>,
    /// What pushes build on.
    objects: ObjectStores,
    own: Arc<OwnSockets>,
    ports: Arc<Ports>,
    idle: Option<Idle>,
    /// What tells of the sandbox's sockets, and its first process.
    seen: Option<(OwnedFd, i32)>,
    serving: Option<(tokio::sync::oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What the thread is given.
struct Idle {
    sockets: Sockets,
    more_sockets: Option<Channel>,
    asked: UnboundedReceiver<PortsAsked>,
    /// Readable when somebody asks.
    woken: Option<Arc<OwnedFd>>,
}

/// What the sandbox handed out.
pub(super) struct HandedOut {
    /// Whether connections are redirected.
    pub(super) redirected: bool,
    /// The sockets, each with its role.
    pub(super) sockets: Vec<(Role, OwnedFd)>,
    /// Where more of them are asked for.
    pub(super) more_sockets: Option<Channel>,
    /// The first process in it.
    pub(super) first: i32,
}

/// What git inside needs outside.
pub(super) struct ForGit {
    /// The user's ssh, or why there is none.
    pub(super) ssh: Result<Ssh, String>,
    /// What finds credentials.
    pub(super) broker: Arc<Broker>,
}

impl Network {
    /// Takes what the sandbox handed out, and the ports of the host that lead inside. What listens inside is told by the
    /// second value, where the kernel tells it.
    pub(super) fn new(
        live: Arc<Live>,
        upstream: Arc<Upstream>,
        interceptor: Option<Arc<Interceptor>>,
        events: Arc<dyn Emit>,
        handed_out: HandedOut,
        published: Vec<Listening>,
        git: ForGit,
    ) -> (Self, Option<Listeners>) {
        let own = Arc::new(OwnSockets::default());
        let mut sockets = Sockets {
            captured: Vec::new(),
            questions: Vec::new(),
            host_ports: Vec::new(),
            published,
        };
        let mut diagnoses = Vec::new();
        for (role, descriptor) in handed_out.sockets {
            own.add(&descriptor);
            match role {
                Role::Tcp => sockets.captured.push(TcpListener::from(descriptor)),
                Role::Dns => {
                    // Where the system allows less it is less.
                    set_socket_recv_buffer_size(&descriptor, QUESTIONS_BYTES).ok();
                    sockets.questions.push(UdpSocket::from(descriptor));
                }
                Role::HostPort(port) => sockets.host_ports.push((port, TcpListener::from(descriptor))),
                Role::Diagnosis => diagnoses.push(descriptor),
            }
        }
        let captured = if handed_out.redirected {
            Captured::Redirect
        } else {
            Captured::Ports
        };
        let (asking, asked) = unbounded_channel();
        // Without one a port can be asked for once there was a connection.
        let woken = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .ok()
            .map(Arc::new);
        let offers = diagnoses.pop().map(Listeners::new);
        let seen = diagnoses.pop().map(|socket| (socket, handed_out.first));
        let listeners = diagnoses.pop().map(Listeners::new);
        let ports = Ports::new(asking, woken.clone(), listeners, Arc::clone(&own));
        let network = Self {
            live,
            upstream,
            interceptor,
            events,
            captured,
            ssh: Some(git.ssh),
            broker: git.broker,
            objects: ObjectStores::default(),
            own,
            ports: Arc::new(ports),
            idle: Some(Idle {
                sockets,
                more_sockets: handed_out.more_sockets,
                asked,
                woken,
            }),
            seen,
            serving: None,
        };
        (network, offers)
    }

    /// With what pushes build on.
    pub(super) fn with_objects(self, objects: ObjectStores) -> Self {
        Self { objects, ..self }
    }

    /// The sockets inside that are aca's.
    pub(super) fn own(&self) -> Arc<OwnSockets> {
        Arc::clone(&self.own)
    }

    /// What changes, from any thread, which ports lead over the wall.
    pub(super) fn ports(&self) -> Arc<Ports> {
        Arc::clone(&self.ports)
    }

    /// Ends the thread, so that the events of its last connections are written.
    pub(super) fn finish(&mut self) {
        // Whoever asks for a port from now on hears that nobody is there.
        self.idle = None;
        if let Some((stop, thread)) = self.serving.take() {
            stop.send(()).ok();
            drop(thread.join());
        }
    }
}

impl Source for Network {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let Some(Idle { sockets, woken, .. }) = &self.idle else {
            return Vec::new();
        };
        let listeners = sockets.captured.iter().map(AsFd::as_fd);
        listeners
            .chain(sockets.questions.iter().map(AsFd::as_fd))
            .chain(sockets.host_ports.iter().map(|(_, listener)| listener.as_fd()))
            .chain(sockets.published.iter().flat_map(Listening::descriptors))
            .chain(woken.iter().map(|woken| woken.as_fd()))
            .collect()
    }

    fn ready(&mut self) {
        let Some(idle) = self.idle.take() else {
            return;
        };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (live, upstream) = (Arc::clone(&self.live), Arc::clone(&self.upstream));
        let mut proxy = Proxy::new(live, upstream, Arc::clone(&self.events))
            .with_programs(self.seen.take())
            .with_interceptor(self.interceptor.clone())
            .with_broker(Arc::clone(&self.broker))
            .with_objects(self.objects.clone());
        if let Some(ssh) = self.ssh.take() {
            proxy = proxy.with_ssh(ssh);
        }
        let proxy = Arc::new(proxy);
        let (captured, own) = (self.captured, self.own());
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
            runtime.block_on(async {
                let first = Arc::new(FirstProcess::new(idle.more_sockets, own));
                let stop = async { drop(stopped.await) };
                proxy.serve(idle.sockets, captured, first, idle.asked, stop).await;
            });
        });
        if let Ok(thread) = started {
            self.serving = Some((stop, thread));
        }
    }
}
