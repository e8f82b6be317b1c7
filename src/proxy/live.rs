//! What may change while a session runs: the policy that the gate asks, and the connections that are open under it.
//!
//! A connection is entered here before it is judged. So one that is judged by the old policy is found by whoever changes
//! it, and one that isn't found is judged by the new.

use crate::policy::{Action, Deny, Policy, Verdict};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::Notify;

/// The policy of a running session, and what is open.
#[derive(Debug)]
pub struct Live {
    policy: RwLock<Arc<Policy>>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

/// A connection that was let through.
#[derive(Debug)]
struct Open {
    action: Action,
    cut: Arc<Cut>,
}

/// Ends one connection from another thread.
#[derive(Debug, Default)]
struct Cut {
    why: Mutex<Option<Deny>>,
    told: Notify,
}

impl Live {
    /// Begins with that policy.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Arc<Self> {
        Arc::new(Self {
            policy: RwLock::new(policy),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// The policy as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in its place: for what is judged from now on.
    pub fn replace(&self, policy: Arc<Policy>) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Ends the open connections that the policy as it is now denies; tells how many.
    pub fn cut_denied(&self) -> usize {
        let policy = self.current();
        let mut count = 0;
        for open in self.open().values() {
            if let Verdict::Deny(deny) = policy.decide(&open.action) {
                *open.cut.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(deny);
                open.cut.told.notify_one();
                count += 1;
            }
        }
        count
    }

    /// How many connections are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open().len()
    }

    /// Enters a connection, if the policy lets it through.
    pub(super) fn admit(self: &Arc<Self>, action: Action) -> Result<Ticket, Deny> {
        let ticket = Ticket {
            live: Arc::clone(self),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            cut: Arc::default(),
        };
        let open = Open {
            action: action.clone(),
            cut: Arc::clone(&ticket.cut),
        };
        self.open().insert(ticket.number, open);
        match self.current().decide(&action) {
            Verdict::Allow(_) => Ok(ticket),
            Verdict::Deny(deny) => Err(deny),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's entry, for as long as it is open.
#[derive(Debug)]
pub(super) struct Ticket {
    live: Arc<Live>,
    number: u64,
    cut: Arc<Cut>,
}

impl Ticket {
    /// Waits until the connection must end, and tells why. At once where that was said before.
    pub(super) async fn cut(&self) -> Deny {
        loop {
            // It keeps one word for a waiter that comes later.
            self.cut.told.notified().await;
            let why = self.cut.why.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(deny) = why.clone() {
                return deny;
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.live.open().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents;
    use crate::config::{Bases, Layers, merge};
    use crate::policy::{HostRule, Origin};
    use std::path::Path;
    use std::task::{Context, Poll, Waker};

    fn policy(rules: &[(&str, bool)]) -> Arc<Policy> {
        let place = Path::new("/p");
        let bases = Bases {
            home: place,
            project: place,
            current: place,
        };
        let agent = agents::load(agents::GENERIC).unwrap();
        let mut policy = merge(&agent, &Layers::default(), bases).unwrap().policy;
        policy.network.rules = rules
            .iter()
            .map(|(pattern, allow)| HostRule {
                pattern: pattern.parse().unwrap(),
                allow: *allow,
                quiet: false,
                options: crate::policy::HostOptions::default(),
                origin: Origin::Flag("test".into()),
            })
            .collect();
        Arc::new(policy)
    }

    fn connect(name: &str) -> Action {
        Action::Connect {
            name: name.parse().unwrap(),
            port: 443,
        }
    }

    fn cut(ticket: &Ticket) -> Option<Deny> {
        let waiting = std::pin::pin!(ticket.cut());
        match waiting.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(deny) => Some(deny),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_denied_now_is_cut_and_the_rest_stays() {
        let live = Live::new(policy(&[("a.test", true), ("b.test", true)]));
        let (a, b) = (
            live.admit(connect("a.test")).unwrap(),
            live.admit(connect("b.test")).unwrap(),
        );
        assert!(live.admit(connect("c.test")).is_err());
        assert_eq!(live.count(), 2);
        live.replace(policy(&[("b.test", true)]));
        assert_eq!(cut(&a), None, "nothing is cut that nobody asked to cut");
        assert!(live.admit(connect("a.test")).is_err());
        assert_eq!(live.cut_denied(), 1);
        assert_eq!(&*cut(&a).unwrap().reason, "no rule allows it");
        assert_eq!(cut(&b), None);
        drop((a, b));
        assert_eq!(live.count(), 0);
    }

    /// Whatever the moment: no connection stays that the policy denied before it was asked to cut.
    #[test]
    fn none_slips_through_while_the_policy_changes() {
        let (open, shut) = (policy(&[("a.test", true)]), policy(&[]));
        for _ in 0..200 {
            let live = Live::new(Arc::clone(&open));
            let other = Arc::clone(&live);
            let admitting = std::thread::spawn(move || other.admit(connect("a.test")));
            live.replace(Arc::clone(&shut));
            live.cut_denied();
            if let Ok(ticket) = admitting.join().unwrap() {
                assert!(cut(&ticket).is_some());
            }
        }
    }
}
