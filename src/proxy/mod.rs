//! The network of the sandbox, as the supervisor serves it: every connection and every question of the programs inside
//! comes here, is judged, and goes on from here or not at all.
//!
//! All that is read here was written by the other side of the wall. So each read has a bound and a deadline, no length
//! is believed, and what isn't understood is refused.
//!
//! One connection: [`accept`] takes it, [`destination`] tells where it was going, [`first_bytes`] what it speaks,
//! [`gate`] whether it may, [`reach`] gets to it, by [`resolve`] and [`guard`] to which addresses or through [`upstream`],
//! [`dial`] connects, [`relay`] carries it, and
//! [`denial`] says no in the protocol that asked.
//!
//! # Bounds
//!
//! All of them, each with the test that it bites in (`tests/network/` where no module is named).
//!
//! | what | how much | beyond it | test |
//! |---|---|---|---|
//! | connections, judged or not ([`accept`]) | 2,000, or half of the descriptors that are left | wait in the listener's queue | `load::connections_beyond_the_bound_wait_for_their_turn` |
//! | connections that nobody took yet | 1,024 a listener | the kernel drops them; clients try again | the kernel's |
//! | first bytes kept of one ([`first_bytes`]), so 2,000 times that in all | 66 KiB; of a ClientHello 16 KiB | refused | `hostile::bytes_that_never_end_are_cut_off`, `tls::tests` |
//! | time for a beginning, and for silence where a client speaks first | 10 s each | refused | `hostile::a_client_that_trickles_is_ended…`, `hostile::whatever_a_client_begins_and_leaves_is_ended` |
//! | a request's head ([`http`]), and the time from its first byte on | 64 KiB, 10 s | refused | `http_tests`, `hostile` |
//! | a SOCKS message ([`socks`]), and all of them together | 513 bytes, 10 s | refused | `explicit::hostile_requests_to_the_proxies_lead_nowhere`, `hostile::whatever…` |
//! | a refused client that goes on sending ([`denial`]) | 256 KiB, 2 s | closed | `hostile::whatever_a_client_begins_and_leaves_is_ended` |
//! | the rest of a request in TLS that nobody reads any more ([`intercept`]) | 32 MiB, 5 s | its stream or connection ends | `intercept::an_early_no…` |
//! | a question ([`questions`]); over one TCP connection; time for each | 1,500 bytes; 1,000; 10 s | no answer; closed | `dns`' tests, `hostile::one_connection_asks_a_thousand_questions_and_no_more`, `hostile::whatever…` |
//! | names with an address ([`lease`]) | 65,000; one unused for 10 minutes is taken | no answer | `lease::tests`, `load::a_name_a_connection_exhausts_nothing_and_old_names_stay` |
//! | look-ups outside at once ([`resolve`]), and time for each | 64, 10 s | wait; fail | `resolve::tests` |
//! | time to connect ([`dial`]) | 30 s for all addresses | fails | `dial::tests::a_server_that_never_answers_is_given_up` |
//! | time in which a connection carries nothing ([`relay`]) | 4 h | cut | `relay::tests` |
//! | pipes ([`splice`]) | 32 of 512 KiB | bytes are copied | `splice::tests` |
//! | bytes sent ([`budget`]) | `limits.egress`, `limits.egress_per_host`; none by default | cut, later ones refused | `budgets` |
//! | connections that are looked into ([`intercept`]) | 200; of each way 1 MiB of HTTP/2, of 100 requests at once 16 KiB and a head of 64 KiB | wait 15 s; wait | `intercept_hostile::what_a_client_never_takes_is_not_piled_up` |
//! | hosts with a budget of their own | 65,000 | share one | `budget::tests` |
//! | connections to published ports ([`published`]) | 500, and a quarter of all places | wait in their listeners' queues | `publish::n25_two_hundred_at_once_lose_nothing` |
//! | time until the server inside, or a service of the host's ([`host_port`]), lets one in | 10 s | reset | `publish`, `host_ports` |
//! | ports that lead over the wall ([`doors`]) | 256 opened while it runs | told to who asks | `doors::tests` |
//! | looks for a connection's program ([`programs`]) | 4,096 wait; 20 ms of work at first, then 2 ms a second and 2 µs a connection | it isn't told | `programs` |
//! | what git starts for ssh ([`git_ssh`]): its first frame, and the time for it; programs of ssh at once; silence | 16 KiB, 10 s; 8; 4 h | refused; wait; cut | `git::frame::tests`, `tests/git/ssh.rs` |
//! | a request of git's over https ([`intercept`]) for a pack; redirections that are followed; attempts with a credential | 16 MiB; 3; 2 | refused | `tests/git/https.rs` |
//! | a program that is asked for a credential ([`crate::broker`]): time, what it prints | 10 s, 64 KiB | killed; none | `broker::tests` |
//! | connections to a server for requests in the user's name ([`intercept`]), of one connection of a client's | 4, by the repository | the oldest is let go | `tests/git/https.rs` |
//! | packs that are held ([`git_push`]); what is read of a refused one; a server's report, and its words to people | 4 of `max_pack` each; 8 GiB, 20 s of silence; 2 MiB, 1 MiB | wait; closed; refused, left out | `git_push`' tests, `tests/git/pushes.rs` |
//! | history that a push needs: loading it, a file of it; how much is kept | 90 s, 2 GiB; 2 repositories', half an hour | refused; loaded anew | `git_ssh::past`'s and `git_push::history`'s tests |
//! | events ([`told`]) | 5,000 at once, 20 a second | counted | `told::tests` |

mod accept;
mod asks;
mod budget;
mod connection;
mod denial;
mod destination;
mod dial;
mod dns;
mod doors;
mod explicit;
mod first_bytes;
#[cfg(fuzzing)]
pub mod fuzz;
mod gate;
pub mod git_check;
mod git_push;
mod git_ssh;
mod guard;
mod host_port;
mod http;
mod intercept;
mod judge;
mod lease;
mod live;
mod programs;
mod published;
mod questions;
mod reach;
mod record;
mod relay;
mod requests;
mod resolve;
mod socks;
mod splice;
mod tls;
mod told;
mod upstream;

use crate::broker::Broker;
use crate::supervise::Emit;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

pub use asks::{Asks, Question, Waiting};
pub use doors::{OpenPort, PortsAsked, PortsChange, PortsError};
pub use git_push::ObjectStores;
pub use git_ssh::{HISTORY_BYTES, History, Ssh};
pub use intercept::{AuthorityError, Interceptor, java_store};
pub use live::{AnswerError, ChangeError, Live, Locked};
pub use programs::Program;
pub use published::{Inside, InsideSockets, Listening, MadeInside, PublishError};
pub use upstream::{Upstream, UpstreamError};

/// What is served.
pub struct Sockets {
    /// Listeners that get connections which were going anywhere.
    pub captured: Vec<TcpListener>,
    /// Sockets that get DNS questions.
    pub questions: Vec<UdpSocket>,
    /// Listeners at ports of the loopback inside that lead to services of the host's, by the port.
    pub host_ports: Vec<(u16, TcpListener)>,
    /// Ports of the host that lead inside.
    pub published: Vec<Listening>,
}

/// How connections come here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// Redirected to one listener; connection tracking tells where they were going.
    Redirect,
    /// Catch-all routes and one listener a port: a connection's own address tells.
    Ports,
}

/// Why an address is never dialled for a name that leads to it; `None` for a public one. Addresses of this machine's own
/// interfaces are refused as well.
#[must_use]
pub fn refused_address(address: IpAddr) -> Option<&'static str> {
    guard::refused(address, &guard::own_addresses())
}

/// Why an address can't be reached whatever rules say: it means the sandbox itself.
#[must_use]
pub fn unreachable_address(address: IpAddr) -> Option<&'static str> {
    gate::unreachable(address.to_canonical())
}

/// The gate of one session.
pub struct Proxy {
    live: Arc<Live>,
    told: Arc<told::Told>,
    leases: Mutex<lease::Leases>,
    real: Mutex<lease::RealLeases>,
    asked: Mutex<questions::Asked>,
    resolver: resolve::Resolver,
    budgets: budget::Budgets,
    upstream: Arc<Upstream>,
    unchecked: AtomicBool,
    programs: programs::Programs,
    interceptor: Option<Arc<Interceptor>>,
    front: Arc<intercept::Front>,
    /// Itself, for what outlives a call.
    own: OnceLock<Weak<Self>>,
    ssh: Result<Ssh, String>,
    ssh_places: tokio::sync::Semaphore,
    pushes: git_push::Pushes,
}

impl Proxy {
    /// A gate that asks the policy as it is at each moment, and tells `events`.
    #[must_use]
    pub fn new(live: Arc<Live>, upstream: Arc<Upstream>, events: Arc<dyn Emit>) -> Self {
        let policy = live.current();
        let told = Arc::new(told::Told::new(events));
        let resolver = resolve::Resolver::new(&policy);
        Self {
            budgets: budget::Budgets::new(&policy.limits, &told),
            programs: programs::Programs::new(None),
            live,
            told,
            leases: Mutex::default(),
            real: Mutex::default(),
            asked: Mutex::default(),
            resolver,
            upstream,
            unchecked: AtomicBool::new(false),
            interceptor: None,
            front: Arc::default(),
            own: OnceLock::new(),
            ssh: Err("git over ssh is off".into()),
            ssh_places: tokio::sync::Semaphore::new(git_ssh::PROGRAMS_MAX),
            pushes: git_push::Pushes::default(),
        }
    }

    /// The same gate that tells as well which program made a connection: by a socket for questions (sock_diag(7)) of the
    /// sandbox's network namespace, and the first process in it.
    #[must_use]
    pub fn with_programs(self, seen: Option<(OwnedFd, i32)>) -> Self {
        Self {
            programs: programs::Programs::new(seen),
            ..self
        }
    }

    /// With what looks into TLS: without it nothing passes where rules ask for requests in there.
    #[must_use]
    pub fn with_interceptor(mut self, interceptor: Option<Arc<Interceptor>>) -> Self {
        self.interceptor = interceptor;
        self
    }

    /// With what finds the user's credentials for git over https.
    #[must_use]
    pub fn with_broker(self, broker: Arc<Broker>) -> Self {
        Self {
            front: Arc::new(intercept::Front::new(broker)),
            ..self
        }
    }

    /// The same gate that starts this for git, or tells why it doesn't.
    #[must_use]
    pub fn with_ssh(self, ssh: Result<Ssh, String>) -> Self {
        Self { ssh, ..self }
    }

    /// With where the objects of the project's repositories are: what is pushed builds on those.
    #[must_use]
    pub fn with_objects(self, stores: ObjectStores) -> Self {
        Self {
            pushes: self.pushes.with_stores(stores),
            ..self
        }
    }

    /// Serves the sockets, and changes which ports lead over the wall as it is `asked` to, until `stop` is done. Connections
    /// that are open then are cut, and told as events.
    pub async fn serve(
        self: Arc<Self>,
        sockets: Sockets,
        captured: Captured,
        inside: Arc<dyn Inside>,
        asked: tokio::sync::mpsc::UnboundedReceiver<PortsAsked>,
        stop: impl Future<Output = ()>,
    ) {
        self.own.get_or_init(|| Arc::downgrade(&self));
        let mut tasks = tokio::task::JoinSet::new();
        let places = accept::Places::new();
        for listener in sockets.captured {
            // Non-blocking since it was made; one that can't be watched is closed, which refuses.
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                tasks.spawn(accept::serve(
                    Arc::clone(&self),
                    listener,
                    captured,
                    places.clone(),
                ));
            }
        }
        for socket in sockets.questions {
            if let Ok(socket) = tokio::net::UdpSocket::from_std(socket) {
                tasks.spawn(questions::serve_datagrams(Arc::clone(&self), socket));
            }
        }
        let programs = Arc::clone(&self);
        tasks.spawn(async move { programs.programs.serve().await });
        let mut doors = doors::Doors::new(Arc::clone(&self), inside, places);
        let mut host_ports = sockets.host_ports;
        for rule in &self.live.current().network.host_ports {
            let (these, others) = host_ports
                .into_iter()
                .partition(|(port, _)| *port == rule.port.inside);
            host_ports = others;
            let these: Vec<(u16, TcpListener)> = these;
            doors.host_port(
                rule.clone(),
                these.into_iter().map(|(_, listener)| listener).collect(),
            );
        }
        for listening in sockets.published {
            doors.publish(listening);
        }
        tokio::select! {
            () = stop => {}
            () = doors.serve(asked) => {}
        }
        doors.shut().await;
        tasks.shutdown().await;
        self.told.finish();
    }

    /// Whether this is the first connection to an address that can't be checked.
    fn is_first_unchecked(&self) -> bool {
        !self.unchecked.swap(true, Ordering::Relaxed)
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, lease::Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn real(&self) -> std::sync::MutexGuard<'_, lease::RealLeases> {
        self.real.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, questions::Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
