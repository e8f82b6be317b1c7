//! Pushes: read, judged, refused or passed on. The same for each way that git reaches a server; who carries the bytes
//! implements [`Source`] and [`Sink`].
//!
//! One push: [`advertise`] passes on what the server says first, [`receive`] reads what the client wants and holds its pack
//! without a look into it, [`judge`] asks the policy about every ref and the confined process (`super::git_check`), which looks
//! while the pack comes in, about what the push holds, and [`pass`] sends on what may go, written anew, and reads the server's report. A refusal is told in git's
//! own words, and the server gets nothing of it. What this session pushed is remembered in [`own`].

mod advertise;
mod history;
mod judge;
mod own;
mod pass;
mod receive;
mod stores;
mod streams;

use super::Proxy;
use crate::git::advertisement::PushAdvertisement;
use crate::git::check::standard_limits;
use crate::git::object_id::ObjectFormat;
use crate::git::outcome::Outcome;
use crate::git::push::{Change, Push};
use crate::policy::Repository;
use crate::supervise::{PushedRef, RefOutcome};
use std::sync::Arc;
pub use stores::ObjectStores;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) use advertise::{AdvertiseError, advertise};
pub(super) use judge::{Loaded, Past, Refused};
pub(super) use pass::PassError;
pub(super) use receive::{Pack, ReceiveError, commands};
pub(super) use streams::{Packets, Sink, Source};

/// Packs that are held at the same time; who comes later waits.
const PACKS_MAX: usize = 4;
/// Refs of a push that are told one by one.
const REFS_TOLD: usize = 32;

/// What pushes of one session have in common.
pub(super) struct Pushes {
    own: own::Own,
    history: history::Kept,
    places: Arc<Semaphore>,
    stores: ObjectStores,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            own: own::Own::default(),
            history: history::Kept::default(),
            places: Arc::new(Semaphore::new(PACKS_MAX)),
            stores: ObjectStores::default(),
        }
    }
}

impl Pushes {
    /// With the project's objects.
    pub(super) fn with_stores(self, stores: ObjectStores) -> Self {
        Self { stores, ..self }
    }
}

/// A push that was let through; what is left is to send it.
pub(super) struct Judged {
    pack: Option<Pack>,
    /// Its place is free when its pack is gone. It can't be closed, so there always is one.
    _place: Option<OwnedSemaphorePermit>,
}

/// Reads the pack of a push, and judges it.
///
/// # Errors
/// Why it is refused. Of what the client still sends nothing was read then.
pub(super) async fn judge(
    proxy: &Proxy,
    repository: &Repository,
    server: &PushAdvertisement,
    push: &Push,
    client: &mut Packets<impl Source>,
    past: &impl Past,
) -> Result<Judged, Box<Refused>> {
    let policy = proxy.live.current();
    let format = server.format().unwrap_or(ObjectFormat::Sha1);
    let bounds = policy.git.push_bounds(repository).unwrap_or_default();
    let case = judge::Case {
        policy: &policy,
        repository,
        server,
        format,
        push,
        own: &proxy.pushes.own,
        history: &proxy.pushes.history,
        bounds: &bounds,
        secrets: proxy.front.broker(),
    };
    case.names()?;
    let place = Arc::clone(&proxy.pushes.places).acquire_owned().await.ok();
    let stores = proxy.pushes.stores.objects();
    let (limits, _) = standard_limits(bounds.max_pack);
    let spool = push.has_pack().then(receive::Spool::new).transpose();
    let spool = spool.map_err(|error| case.spooled(&error.into()))?;
    let looking = case.look(spool.as_ref(), &stores)?;
    let pack = match spool {
        Some(spool) => {
            let mut grew = |bytes| looking.1.grew(bytes);
            let pack = spool.fill(client, format, limits, &mut grew).await;
            Some(pack.map_err(|error| case.spooled(&error))?)
        }
        None => {
            let nothing = receive::nothing_more(client).await;
            nothing.map_err(|error| case.spooled(&error))?;
            None
        }
    };
    Box::pin(case.contents(looking, pack.as_ref(), stores, past)).await?;
    // However slowly a pack comes: what is said at its end counts too.
    let now = proxy.live.current();
    if !Arc::ptr_eq(&now, &policy) {
        judge::Case { policy: &now, ..case }.names()?;
    }
    Ok(Judged { pack, _place: place })
}

/// Sends a push that was judged; its pack isn't held any longer then, whatever becomes of the report.
///
/// # Errors
/// It broke off; what the server made of it isn't known then.
pub(super) async fn send(
    push: &Push,
    format: ObjectFormat,
    judged: Judged,
    server: &mut impl Sink,
) -> Result<(), PassError> {
    pass::send(push, format, judged.pack.as_ref(), server).await
}

/// Passes the server's report on, and remembers what it took.
///
/// # Errors
/// It broke off, and what the server made of it isn't known.
pub(super) async fn report(
    proxy: &Proxy,
    repository: &Repository,
    push: &Push,
    server: &mut Packets<impl Source>,
    client: &mut impl Sink,
) -> Result<Outcome, PassError> {
    let outcome = pass::report(push, server, client).await?;
    proxy.pushes.own.took(repository, push, &outcome);
    Ok(outcome)
}

/// What is told of each ref in an event.
pub(super) fn told(push: &Push, result: Result<&Outcome, &Refused>) -> Vec<PushedRef> {
    let told = |(index, command): (usize, &crate::git::push::Command)| {
        let (change, new) = match command.change {
            Change::Create(new) => ("create", Some(new)),
            Change::Update { new, .. } => ("update", Some(new)),
            Change::Delete(_) => ("delete", None),
        };
        let (outcome, why) = match result {
            Ok(outcome) if outcome.taken.contains(&command.name) => (RefOutcome::Taken, None),
            Ok(outcome) => {
                let mut refused = outcome.refused.iter();
                let why = refused.find(|(name, _)| *name == command.name);
                (
                    RefOutcome::NotTaken,
                    why.map(|(_, why)| why.clone()).or(outcome.unpack.clone()),
                )
            }
            Err(refused) => {
                let reason = refused.refusal.reasons.get(index).cloned().flatten();
                (RefOutcome::Refused, reason)
            }
        };
        PushedRef {
            name: command.name.to_string(),
            change: change.into(),
            new: new.map(|id| id.to_string()),
            outcome,
            why,
        }
    };
    let refs = push.commands.iter().enumerate();
    refs.take(REFS_TOLD).map(told).collect()
}
