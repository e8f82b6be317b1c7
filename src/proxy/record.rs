//! What is told of a connection: exactly one event, however it ends.

use super::budget::{Accounts, Budgets, Overdrawn};
use super::gate::Target;
use super::live::Ticket;
use super::programs::Who;
use super::told::Told;
use crate::policy::{Deny, Name, Protocol};
use crate::supervise::{Event, Via};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Facts of one connection, gathered on its way; told when the value goes.
pub(super) struct Record {
    told: Arc<Told>,
    /// Where it was going.
    pub(super) going: SocketAddr,
    /// Who made it.
    pub(super) who: Who,
    started: Instant,
    /// The name behind the address.
    pub(super) name: Option<Name>,
    /// What it speaks.
    pub(super) protocol: Option<Protocol>,
    /// The address that was dialled.
    pub(super) upstream: Option<IpAddr>,
    /// Its entry among the open ones, once it was let through.
    pub(super) ticket: Option<Ticket>,
    /// The proxy outside that it goes through.
    pub(super) via: Option<Via>,
    /// Why it was refused.
    pub(super) denied: Option<Deny>,
    /// Why it failed.
    pub(super) failed: Option<String>,
    /// Bytes carried.
    pub(super) counts: Arc<Counts>,
    forgotten: bool,
}

/// Bytes carried so far, and the budgets that those to the outside are taken from.
#[derive(Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    /// Bytes didn't fit a budget.
    over: AtomicBool,
    accounts: Accounts,
}

/// A direction, for what carries bytes in either.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// From inside to outside.
    Out(&'a Counts),
    /// From outside to inside.
    In(&'a Counts),
}

impl Counts {
    /// Counts bytes that are about to go outside: asked before they do, since some may not.
    ///
    /// # Errors
    /// They don't fit a budget: none of them may go, and the connection ends.
    pub(super) fn send(&self, bytes: usize) -> io::Result<()> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if let Err(error) = self.accounts.take(bytes) {
            self.over.store(true, Ordering::Relaxed);
            return Err(error);
        }
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a name that is about to be looked up from the budgets: its bytes go outside as well.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) fn ask(&self, name: &Name) -> io::Result<()> {
        let bytes = u64::try_from(name.as_str().len()).unwrap_or(u64::MAX);
        self.accounts.take(bytes)
    }

    /// The denial, where bytes were kept back: for what carries them by a library that tells of no error of ours.
    pub(super) fn overdrawn(&self) -> Option<Deny> {
        self.over
            .load(Ordering::Relaxed)
            .then(|| self.accounts.spent())
            .flatten()
    }

    /// Counts bytes that came from outside.
    pub(super) fn receive(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(0);
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that went from inside to outside.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes that came from outside.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// All of them, whichever way: it changes as long as something is carried.
    pub(super) fn sum(&self) -> u64 {
        let (sent, received) = (&self.sent, &self.received);
        sent.load(Ordering::Relaxed)
            .wrapping_add(received.load(Ordering::Relaxed))
    }
}

impl Way<'_> {
    /// Counts bytes that are about to be written, as [`Counts::send`] and [`Counts::receive`] do.
    pub(super) fn pass(self, bytes: usize) -> io::Result<()> {
        match self {
            Self::Out(counts) => counts.send(bytes),
            Self::In(counts) => {
                counts.receive(bytes);
                Ok(())
            }
        }
    }
}

impl Record {
    /// Begins one.
    pub(super) fn new(told: Arc<Told>, going: SocketAddr, who: Who) -> Self {
        Self {
            told,
            going,
            who,
            started: Instant::now(),
            name: None,
            protocol: None,
            upstream: None,
            via: None,
            ticket: None,
            denied: None,
            failed: None,
            counts: Arc::default(),
            forgotten: false,
        }
    }
}

impl Record {
    /// Waits until the connection must end, since the rules changed. For ever where it never was let through.
    pub(super) async fn cut(&self) -> Deny {
        match &self.ticket {
            Some(ticket) => ticket.cut().await,
            None => std::future::pending().await,
        }
    }

    /// Opens what the connection may send from now on; else tells why it may send nothing.
    pub(super) fn draw_on(&mut self, budgets: &Budgets, target: &Target) -> Result<(), ()> {
        match budgets.open(target) {
            Ok(accounts) => {
                // Nobody else counts yet: nothing was carried.
                let counts = Arc::get_mut(&mut self.counts).ok_or(())?;
                counts.accounts = accounts;
                Ok(())
            }
            Err(deny) => {
                self.denied = Some(deny);
                Err(())
            }
        }
    }

    /// Tells of the error that a connection ended with.
    pub(super) fn end_with(&mut self, error: io::Error) {
        match Overdrawn::of(error) {
            Ok(deny) => self.denied = Some(deny),
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    /// Nothing happened: a client of a proxy ended between two requests.
    pub(super) fn forget(mut self) {
        self.silence();
    }

    /// Nothing is told when it goes: somebody else does.
    pub(super) const fn silence(&mut self) {
        self.forgotten = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.forgotten {
            return;
        }
        let program = self.who.known();
        self.told.emit(Event::Connection {
            pid: program.as_ref().map(|program| program.pid),
            program: program.map(|program| program.path),
            name: self.name.take(),
            address: self.going.ip(),
            port: self.going.port(),
            protocol: self.protocol,
            upstream: self.upstream,
            via: self.via.take(),
            denied: self.denied.take(),
            failed: self.failed.take(),
            sent: self.counts.sent.load(Ordering::Relaxed),
            received: self.counts.received.load(Ordering::Relaxed),
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}
