//! Offers, on the desktop, to publish a port at which something inside began to listen: each port once, one at a time,
//! and so many at most. Only a click publishes, and does what `aca ports add` does.

use super::shown::{Look, Shown};
use super::{Desktop, STACK, said};
use crate::policy::{Origin, PortKind, PublishRule};
use crate::proxy::PortsChange;
use crate::supervise::Bucket;
use crate::supervise::ports::Ports;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long one is shown.
const SHOWN: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(300);
/// Offers at once, and how long until there may be another: programs inside can listen at every port there is.
const BURST: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(30);
/// Those that wait to be shown.
const WAITING_MAX: usize = 16;
const PUBLISH: &str = "publish";
const ACTIONS: [(&str, &str); 2] = [(PUBLISH, "Publish"), ("no", "Not now")];

/// Where ports are told that begin to be listened at. The thread ends when it goes.
#[derive(Debug)]
pub(in crate::supervise) struct Offering(SyncSender<u16>);

impl Offering {
    /// Tells of one. Never waits: one that is too many is shown in the log alone.
    pub(in crate::supervise) fn tell(&self, port: u16) {
        self.0.try_send(port).ok();
    }
}

/// Starts the thread that shows them.
pub(in crate::supervise) fn start(
    desktop: Desktop,
    ports: Arc<Ports>,
) -> Option<(Offering, JoinHandle<Option<()>>)> {
    let (tell, told) = sync_channel(WAITING_MAX);
    let offers = Offers {
        desktop,
        ports,
        told,
        waiting: VecDeque::new(),
        bucket: Bucket::every(INTERVAL, BURST),
    };
    let thread = std::thread::Builder::new()
        .name("offers".into())
        .stack_size(STACK);
    let thread = thread.spawn(move || offers.serve()).ok()?;
    Some((Offering(tell), thread))
}

struct Offers {
    desktop: Desktop,
    ports: Arc<Ports>,
    told: Receiver<u16>,
    waiting: VecDeque<u16>,
    bucket: Bucket,
}

impl Offers {
    /// Until the session ends, or the desktop takes no more: then it is `None`.
    fn serve(mut self) -> Option<()> {
        let mut port = self.told.recv().ok()?;
        if !self.desktop.has_actions() {
            return None;
        }
        loop {
            if !self.is_published(port)? && self.bucket.take(Instant::now()) {
                self.offer(port)?;
            }
            port = match self.waiting.pop_front() {
                Some(port) => port,
                None => self.told.recv().ok()?,
            };
        }
    }

    fn is_published(&self, port: u16) -> Option<bool> {
        let open = self.ports.change(PortsChange::List).ok()?;
        let is_it = |open: &crate::proxy::OpenPort| open.kind == PortKind::Published && open.inside == port;
        Some(open.iter().any(is_it))
    }

    fn offer(&mut self, port: u16) -> Option<()> {
        let body = format!("Port {port} inside: publish it as localhost:{port} of this machine?");
        let title = "A program in a sandbox listens";
        let word = self.show(said(title, &body, &ACTIONS, SHOWN), SHOWN)?;
        if word != PUBLISH {
            return Some(());
        }
        let rule = PublishRule {
            port: port.to_string().parse().ok()?,
            origin: Origin::Session(format!("desktop notification: publish {port}")),
        };
        let why = match self.ports.change(PortsChange::Publish(rule)) {
            Ok(_) => return Some(()),
            Err(None) => return None,
            Err(Some(why)) => why.to_string(),
        };
        let title = format!("Port {port} is not published");
        self.show(said(&title, &why, &[], SHOWN), LOOK * 10).map(drop)
    }

    /// Shows one until something was chosen, or for that long. `None` when it can't be shown, or the session ends.
    fn show(&mut self, arguments: Vec<OsString>, within: Duration) -> Option<String> {
        let until = Instant::now() + within;
        let mut shown = Shown::start(&self.desktop.program, arguments)?;
        loop {
            match shown.look() {
                Look::Open if Instant::now() >= until => return Some(String::new()),
                Look::Open => {}
                Look::Chosen(word) => return Some(word),
                Look::Failed => return None,
            }
            match self.told.recv_timeout(LOOK) {
                Ok(port) if self.waiting.len() < WAITING_MAX => self.waiting.push_back(port),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}
