//! What is told of a connection: exactly one event, however it ends.

use super::live::Ticket;
use super::told::Told;
use crate::policy::{Deny, Name, Protocol};
use crate::supervise::Event;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Facts of one connection, gathered on its way; told when the value goes.
pub(super) struct Record {
    told: Arc<Told>,
    /// Where it was going.
    pub(super) going: SocketAddr,
    started: Instant,
    /// The name behind the address.
    pub(super) name: Option<Name>,
    /// What it speaks.
    pub(super) protocol: Option<Protocol>,
    /// The address that was dialled.
    pub(super) upstream: Option<IpAddr>,
    /// Its entry among the open ones, once it was let through.
    pub(super) ticket: Option<Ticket>,
    /// Why it was refused.
    pub(super) denied: Option<Deny>,
    /// Why it failed.
    pub(super) failed: Option<String>,
    /// Bytes carried.
    pub(super) counts: Counts,
    forgotten: bool,
}

/// Bytes carried so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// From inside to outside.
    pub(super) sent: AtomicU64,
    /// From outside to inside.
    pub(super) received: AtomicU64,
}

impl Record {
    /// Begins one.
    pub(super) fn new(told: Arc<Told>, going: SocketAddr) -> Self {
        Self {
            told,
            going,
            started: Instant::now(),
            name: None,
            protocol: None,
            upstream: None,
            ticket: None,
            denied: None,
            failed: None,
            counts: Counts::default(),
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

    /// Nothing happened: a client of a proxy ended between two requests.
    pub(super) fn forget(mut self) {
        self.forgotten = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.forgotten {
            return;
        }
        self.told.emit(Event::Connection {
            name: self.name.take(),
            address: self.going.ip(),
            port: self.going.port(),
            protocol: self.protocol,
            upstream: self.upstream,
            denied: self.denied.take(),
            failed: self.failed.take(),
            sent: self.counts.sent.load(Ordering::Relaxed),
            received: self.counts.received.load(Ordering::Relaxed),
            duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}
