//! What a session may send outside: `[limits] egress` over all of its connections, `egress_per_host` to each host.
//!
//! Bytes are taken from the budgets before they are handed to the kernel, piece by piece, and a piece that doesn't fit
//! goes nowhere. So however many connections there are, their sum never exceeds a budget; up to one piece (512 KiB, what
//! a pipe holds) may be left of it. From then on it is spent: what was open is cut at its next byte, and what comes later
//! is denied. The name of a host that is looked up is sent outside as well, and is taken from the budgets too.
//!
//! A host is a name as it was asked for, or an address, on all ports. Under a pattern such as `*.example.com` each name
//! is a host of its own: the session's budget is what bounds them together.

use super::gate::Target;
use super::told::Told;
use crate::policy::{Budget, Deny, Limits};
use crate::supervise::Event;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Hosts that have an account of their own; all beyond them share one. As many as there are names with an address.
const HOSTS_MAX: usize = 65_000;
/// What stands in [`Account::used`] once it is spent.
const SPENT: u64 = u64::MAX;

/// The budgets of a session; empty where none was set.
pub(super) struct Budgets {
    session: Option<Arc<Account>>,
    per_host: Option<PerHost>,
    told: Arc<Told>,
}

struct PerHost {
    budget: Budget,
    accounts: Mutex<HashMap<String, Arc<Account>>>,
    rest: Arc<Account>,
}

/// One budget, and what went of it.
pub(super) struct Account {
    budget: Budget,
    /// The key that sets it, and the flag.
    key: (&'static str, &'static str),
    /// Whose; `None` is the session.
    host: Option<String>,
    used: AtomicU64,
    told: Arc<Told>,
}

/// Whose budgets a connection draws on.
#[derive(Clone, Default)]
pub(super) struct Accounts([Option<Arc<Account>>; 2]);

/// Why bytes go nowhere: as the error of the connection that they came on.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.reason)]
pub(super) struct Overdrawn(Deny);

impl Budgets {
    /// Those of a policy.
    pub(super) fn new(limits: &Limits, told: &Arc<Told>) -> Self {
        let session = limits.egress.clone().map(|budget| {
            let key = ("limits.egress", "--max-egress");
            Account::new(budget, key, None, told)
        });
        let per_host = limits.egress_per_host.clone().map(|budget| PerHost {
            rest: Account::of_host("all other hosts".to_owned(), &budget, told),
            accounts: Mutex::default(),
            budget,
        });
        Self {
            session,
            per_host,
            told: Arc::clone(told),
        }
    }

    /// The accounts of a connection to `target`.
    ///
    /// # Errors
    /// One of them is spent.
    pub(super) fn open(&self, target: &Target) -> Result<Accounts, Deny> {
        let host = self.per_host.as_ref().map(|hosts| {
            let name = match target {
                Target::Name(name, _) => name.to_string(),
                Target::Address(address) => address.ip().to_canonical().to_string(),
            };
            hosts.account(name, &self.told)
        });
        let accounts = Accounts([host, self.session.clone()]);
        match accounts.spent() {
            Some(deny) => Err(deny),
            None => Ok(accounts),
        }
    }
}

impl PerHost {
    fn account(&self, host: String, told: &Arc<Told>) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&host) {
            return Arc::clone(account);
        }
        if accounts.len() >= HOSTS_MAX {
            return Arc::clone(&self.rest);
        }
        let account = Account::of_host(host.clone(), &self.budget, told);
        accounts.insert(host, Arc::clone(&account));
        account
    }
}

impl Accounts {
    /// The denial of the first that is spent.
    pub(super) fn spent(&self) -> Option<Deny> {
        let spent = self.0.iter().flatten().find(|account| account.is_spent());
        spent.map(|account| account.deny())
    }

    /// Takes `bytes` from each.
    ///
    /// # Errors
    /// They don't fit: [`Overdrawn`].
    pub(super) fn take(&self, bytes: u64) -> io::Result<()> {
        for account in self.0.iter().flatten() {
            account.take(bytes)?;
        }
        Ok(())
    }
}

impl Account {
    fn new(
        budget: Budget,
        key: (&'static str, &'static str),
        host: Option<String>,
        told: &Arc<Told>,
    ) -> Arc<Self> {
        Arc::new(Self {
            budget,
            key,
            host,
            used: AtomicU64::new(0),
            told: Arc::clone(told),
        })
    }

    fn of_host(host: String, budget: &Budget, told: &Arc<Told>) -> Arc<Self> {
        let key = ("limits.egress_per_host", "--max-egress-per-host");
        Self::new(budget.clone(), key, Some(host), told)
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let fits = |used: u64| {
            used.checked_add(bytes)
                .filter(|sum| used != SPENT && *sum <= self.budget.bytes)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) if bytes == 0 => Ok(()),
            Err(_) => {
                self.end();
                Err(io::Error::other(Overdrawn(self.deny())))
            }
        }
    }

    /// Whether nothing more goes; told once.
    fn is_spent(&self) -> bool {
        let spent = self.used.load(Ordering::Relaxed) >= self.budget.bytes;
        if spent {
            self.end();
        }
        spent
    }

    fn end(&self) {
        let used = self.used.swap(SPENT, Ordering::Relaxed);
        if used != SPENT {
            self.told.emit(Event::BudgetReached {
                host: self.host.clone(),
                key: self.key.0.to_owned(),
                origin: self.budget.origin.clone(),
                limit: self.budget.bytes,
                sent: used,
            });
        }
    }

    fn deny(&self) -> Deny {
        let (key, flag) = self.key;
        let limit = self.budget.bytes;
        let whose = match &self.host {
            Some(host) => format!("what may be sent to {host} in one run"),
            None => "what this run may send".to_owned(),
        };
        Deny {
            rule: Some(format!("{key} = {limit}")),
            origin: self.budget.origin.clone(),
            reason: format!("{whose} is used up").into(),
            allow_with: Some(format!("{flag} {}", limit.saturating_mul(2))),
            allow_line: None,
            quiet: false,
        }
    }
}

impl Overdrawn {
    /// The denial, where an error is one.
    pub(super) fn of(error: io::Error) -> Result<Deny, io::Error> {
        error.downcast::<Self>().map(|overdrawn| overdrawn.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;
    use crate::supervise::Emit;

    #[derive(Default)]
    struct Taken(Mutex<Vec<Event>>);

    impl Emit for Taken {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    fn budget(bytes: u64) -> Option<Budget> {
        let origin = Origin::Flag("x".into());
        Some(Budget { bytes, origin })
    }

    fn budgets(egress: Option<Budget>, egress_per_host: Option<Budget>) -> (Budgets, Arc<Taken>) {
        let taken = Arc::new(Taken::default());
        let told = Arc::new(Told::new(Arc::clone(&taken) as Arc<dyn Emit>));
        let limits = Limits {
            egress,
            egress_per_host,
            ..Limits::default()
        };
        (Budgets::new(&limits, &told), taken)
    }

    fn to(name: &str, port: u16) -> Target {
        Target::Name(name.parse().unwrap(), port)
    }

    fn reached(taken: &Taken) -> Vec<(Option<String>, u64)> {
        let events = taken.0.lock().unwrap();
        let reached = events.iter().filter_map(|event| {
            let Event::BudgetReached { host, sent, .. } = event else {
                return None;
            };
            Some((host.clone(), *sent))
        });
        reached.collect()
    }

    #[test]
    fn no_piece_goes_that_does_not_fit_and_none_after_it() {
        let (budgets, taken) = budgets(budget(100), None);
        let (one, two) = (
            budgets.open(&to("a.test", 443)).unwrap(),
            budgets.open(&to("b.test", 443)).unwrap(),
        );
        one.take(60).unwrap();
        two.take(30).unwrap();
        assert!(reached(&taken).is_empty());
        let deny = Overdrawn::of(one.take(11).unwrap_err()).unwrap();
        assert_eq!(deny.rule.as_deref(), Some("limits.egress = 100"));
        assert_eq!(deny.allow_with.as_deref(), Some("--max-egress 200"));
        // Not even one that would fit.
        assert!(two.take(1).is_err());
        two.take(0).unwrap();
        assert!(budgets.open(&to("c.test", 443)).is_err());
        assert_eq!(reached(&taken), [(None, 90)], "told once");
    }

    #[test]
    fn a_budget_that_is_used_to_the_last_byte_is_told_by_the_next_connection() {
        let (budgets, taken) = budgets(budget(100), None);
        budgets.open(&to("a.test", 443)).unwrap().take(100).unwrap();
        assert!(reached(&taken).is_empty());
        assert!(budgets.open(&to("a.test", 443)).is_err());
        assert_eq!(reached(&taken), [(None, 100)]);
    }

    #[test]
    fn a_host_is_one_on_every_port_and_others_go_on() {
        let (budgets, taken) = budgets(budget(1000), budget(10));
        budgets.open(&to("a.test", 443)).unwrap().take(10).unwrap();
        let deny = budgets.open(&to("a.test", 80)).err().unwrap();
        assert!(
            deny.reason.contains("a.test") && deny.rule.unwrap().contains("per_host"),
            "{}",
            deny.reason
        );
        let address = |text: &str| Target::Address(text.parse().unwrap());
        budgets.open(&address("8.8.8.8:1")).unwrap().take(10).unwrap();
        assert!(budgets.open(&address("[::ffff:8.8.8.8]:2")).is_err());
        budgets.open(&to("b.test", 443)).unwrap().take(10).unwrap();
        assert_eq!(
            reached(&taken),
            [(Some("a.test".into()), 10), (Some("8.8.8.8".into()), 10)]
        );
    }

    #[test]
    fn hosts_beyond_the_bound_share_an_account() {
        let (budgets, _) = budgets(None, budget(10));
        for number in 0..HOSTS_MAX {
            assert!(budgets.open(&to(&format!("n{number}.test"), 443)).is_ok());
        }
        budgets.open(&to("one.test", 443)).unwrap().take(6).unwrap();
        assert!(budgets.open(&to("two.test", 443)).unwrap().take(6).is_err());
        assert!(budgets.open(&to("n7.test", 443)).unwrap().take(6).is_ok());
    }

    #[test]
    fn without_budgets_nothing_is_kept() {
        let (budgets, _) = budgets(None, None);
        let accounts = budgets.open(&to("a.test", 443)).unwrap();
        assert!(accounts.0.iter().all(Option::is_none));
        accounts.take(u64::MAX).unwrap();
        accounts.take(u64::MAX).unwrap();
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let (budgets, _) = budgets(budget(10_000), None);
        let accounts = budgets.open(&to("a.test", 443)).unwrap();
        let granted: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let accounts = accounts.clone();
                    scope.spawn(move || (0..5000).filter(|_| accounts.take(3).is_ok()).count())
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| u64::try_from(thread.join().unwrap()).unwrap() * 3)
                .sum()
        });
        assert_eq!(granted, 9_999);
    }
}
