//! What may change while a session runs: the policy that the gate asks, and the connections that are open under it.
//!
//! A connection is entered here before it is judged. So one that is judged by the old policy is found by whoever changes
//! it, and one that isn't found is judged by the new.

use super::asks::{Asks, Outcome, Question};
use super::gate;
use super::programs::Program;
use crate::plan::looks_into_tls;
use crate::policy::{
    Action, Deny, HostPattern, HostPortRule, HostRule, Name, NetworkPreset, Origin, Policy, Scheme,
    SessionRules, Verdict,
};
use crate::supervise::{AskAnswer, Emit, Event};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::Notify;

/// The policy of a running session, and what is open.
pub struct Live {
    events: Arc<dyn Emit>,
    asks: Asks,
    /// As the session began.
    base: Arc<Policy>,
    /// Where an administrator keeps hosts from being allowed, and whom to ask.
    locked: Option<Locked>,
    session: Mutex<SessionRules>,
    policy: RwLock<Arc<Policy>>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

/// Why hosts can't be allowed while a session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Where the administrator's file says so.
    pub origin: Origin,
    /// Whom to ask.
    pub hint: String,
}

/// Why a rule was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no network to have rules.
    #[error("the network of this session is off")]
    Off,
    /// An administrator keeps it so.
    #[error("`network.allow` is locked by {}", .0.origin)]
    Locked(Locked),
    /// What looks into TLS is made when a session begins, for the hosts that rules name then.
    #[error(
        "requests of `{0}` can't be seen in this session, which began without a rule on requests to that host"
    )]
    Unseen(HostPattern),
    /// There are too many.
    #[error("{} rules were added to this session, and more can't be", SessionRules::MOST)]
    TooMany,
}

/// Why an answer doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Nobody waits for it.
    #[error("nothing numbered {0} waits for an answer (any more)")]
    Gone(u64),
    /// The rules can't be changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// A connection that was let through.
#[derive(Debug)]
struct Open {
    action: Action,
    /// Whether each request on it is judged: such a one needs no cut when rules on requests come.
    by_request: bool,
    /// Somebody said yes to it, and no rule does.
    once: bool,
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
    pub fn new(policy: Arc<Policy>, locked: Option<Locked>, events: Arc<dyn Emit>) -> Arc<Self> {
        Arc::new(Self {
            events,
            asks: Asks::new(),
            base: Arc::clone(&policy),
            locked,
            session: Mutex::default(),
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

    /// Adds rules, for what is judged from now on: all of them or none. Gives those that deny all the same what was to be
    /// allowed.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn change(
        &self,
        patterns: &[HostPattern],
        allow: bool,
        origin: &Origin,
    ) -> Result<Vec<(HostPattern, HostRule)>, ChangeError> {
        if self.base.network.preset == NetworkPreset::None {
            return Err(ChangeError::Off);
        }
        if let (true, Some(locked)) = (allow, &self.locked) {
            return Err(ChangeError::Locked(locked.clone()));
        }
        if let Some(unseen) = patterns.iter().find(|pattern| allow && !self.sees(pattern)) {
            return Err(ChangeError::Unseen(unseen.clone()));
        }
        // Held until the policy is replaced: what comes last counts last.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rules = session.clone();
        for pattern in patterns {
            if !rules.add(pattern.clone(), allow, origin.clone()) {
                return Err(ChangeError::TooMany);
            }
        }
        let mut policy = self.base.with_session(&rules);
        policy
            .network
            .host_ports
            .clone_from(&self.current().network.host_ports);
        let mut against = Vec::new();
        for pattern in patterns.iter().filter(|_| allow) {
            let rule = policy.denying(pattern).first().copied().cloned();
            against.extend(rule.map(|rule| (pattern.clone(), rule)));
        }
        *session = rules;
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        Ok(against)
    }

    /// Whether the requests that a pattern names can be judged, in TLS by what the session began with.
    fn sees(&self, pattern: &HostPattern) -> bool {
        let in_tls = pattern
            .requests()
            .is_some_and(|requests| requests.scheme() == Scheme::Https);
        let mut known = self.base.network.rules.iter().map(|rule| &rule.pattern);
        !in_tls
            || looks_into_tls(&self.base)
                && known.any(|known| known.requests().is_some() && known.is_above(pattern))
    }

    /// Changes which services of the host's may be reached, for what is judged from now on.
    pub(super) fn change_host_ports(&self, change: impl FnOnce(&mut Vec<HostPortRule>)) {
        // Held until the policy is replaced, as for rules.
        let _session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut policy = Policy::clone(&self.current());
        change(&mut policy.network.host_ports);
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// The rules that were added, as they came.
    #[must_use]
    pub fn added(&self) -> Vec<HostRule> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.rules().to_vec()
    }

    /// The asks of this session.
    #[must_use]
    pub const fn asks(&self) -> &Asks {
        &self.asks
    }

    /// Whether somebody is asked about such an action.
    pub(super) fn asks_about(&self, action: &Action) -> bool {
        self.base.network.ask && self.locked.is_none() && self.current().is_unlisted(action)
    }

    /// Waits for an answer.
    pub(super) async fn hold(&self, question: Question, program: Option<Program>) -> Outcome {
        let (pid, path) = program.clone().map(|program| (program.pid, program.path)).unzip();
        let begun = |number, question: &Question| {
            self.events.emit(Event::Asked {
                ask: number,
                host: question.host.clone(),
                port: question.port,
                pid,
                program: path,
            });
        };
        let ended = |number, question: &Question| {
            self.answered(number, question, AskAnswer::None, "nobody, in time");
        };
        self.asks.hold(question, program, begun, ended).await
    }

    fn answered(&self, ask: u64, question: &Question, answer: AskAnswer, by: &str) {
        self.events.emit(Event::Answered {
            ask,
            host: question.host.clone(),
            port: question.port,
            answer,
            by: by.to_owned(),
        });
    }

    /// Answers an ask; `by` tells who, such as `aca approve`. Gives what it was about as a pattern, and how many
    /// connections waited for it.
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub fn answer(
        &self,
        number: u64,
        answer: AskAnswer,
        by: &str,
    ) -> Result<(HostPattern, usize), AnswerError> {
        let mut pattern = None;
        let decide = |question: &Question| {
            let one: HostPattern = question
                .to_string()
                .parse()
                .map_err(|_| AnswerError::Gone(number))?;
            let origin = Origin::Session(format!("{by}: {}", answer.word()));
            let one = std::slice::from_ref(pattern.insert(one));
            Ok(match answer {
                AskAnswer::Once => Outcome::Once,
                AskAnswer::Session => {
                    self.change(one, true, &origin)?;
                    Outcome::Rules
                }
                AskAnswer::Denied | AskAnswer::None => {
                    // Where there is no room for the rule it is denied all the same, and asked again.
                    match self.change(one, false, &origin) {
                        Ok(_) | Err(ChangeError::TooMany) => Outcome::Rules,
                        Err(error) => return Err(AnswerError::from(error)),
                    }
                }
            })
        };
        let answered = self.asks.answer(number, decide)?;
        let (Some((question, heard)), Some(pattern)) = (answered, pattern) else {
            return Err(AnswerError::Gone(number));
        };
        self.answered(number, &question, answer, by);
        Ok((pattern, heard))
    }

    /// Ends the open connections that the policy as it is now denies; tells how many.
    pub fn cut_denied(&self) -> usize {
        let policy = self.current();
        let mut count = 0;
        for open in self.open().values() {
            if open.once && policy.is_unlisted(&open.action) {
                continue;
            }
            let deny = match policy.decide(&open.action) {
                Verdict::Deny(deny) => Some(deny),
                Verdict::Allow(allow) if allow.by_request && !open.by_request => Some(gate::refusal(
                    "since it was made, only some requests are allowed there",
                )),
                Verdict::Allow(_) => None,
            };
            if let Some(deny) = deny {
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

    /// Whether a connection to a name is open.
    pub(super) fn is_open(&self, name: &Name) -> bool {
        self.open()
            .values()
            .any(|open| matches!(&open.action, Action::Connect { name: to, .. } if to == name))
    }

    /// Enters a connection, if the policy lets it through.
    pub(super) fn admit(self: &Arc<Self>, action: Action) -> Result<Ticket, Deny> {
        let mut ticket = self.enter(&action, false);
        match self.current().decide(&action) {
            Verdict::Allow(allow) => {
                if allow.by_request {
                    ticket.by_request = true;
                    if let Some(open) = self.open().get_mut(&ticket.number) {
                        open.by_request = true;
                    }
                }
                Ok(ticket)
            }
            Verdict::Deny(deny) => Err(deny),
        }
    }

    /// Enters a connection that somebody said yes to, if no rule says anything of it still. `None` also where rules on
    /// requests would count if a rule allowed it: nobody judges those here.
    pub(super) fn admit_once(self: &Arc<Self>, action: &Action, host: HostPattern) -> Option<Ticket> {
        let ticket = self.enter(action, true);
        let policy = self.current();
        let mut rules = SessionRules::default();
        rules.add(host, true, Origin::Session(AskAnswer::Once.word().into()));
        let allowed = match policy.with_session(&rules).decide(action) {
            Verdict::Allow(allow) => !allow.by_request,
            Verdict::Deny(_) => false,
        };
        (allowed && policy.is_unlisted(action)).then_some(ticket)
    }

    fn enter(self: &Arc<Self>, action: &Action, once: bool) -> Ticket {
        let ticket = Ticket {
            live: Arc::clone(self),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            cut: Arc::default(),
            by_request: false,
        };
        let open = Open {
            action: action.clone(),
            by_request: false,
            once,
            cut: Arc::clone(&ticket.cut),
        };
        self.open().insert(ticket.number, open);
        ticket
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's entry, for as long as it is open.
pub(super) struct Ticket {
    live: Arc<Live>,
    number: u64,
    cut: Arc<Cut>,
    by_request: bool,
}

impl Ticket {
    /// Whether it was let through for some requests alone.
    pub(super) const fn is_by_request(&self) -> bool {
        self.by_request
    }

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

    struct Nobody;

    impl Emit for Nobody {
        fn emit(&self, _: Event) {}
    }

    fn events() -> Arc<dyn Emit> {
        Arc::new(Nobody)
    }

    fn said() -> Origin {
        Origin::Session("aca deny".into())
    }

    fn patterns(texts: &[&str]) -> Vec<HostPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Two who answer at once: one of them counts, rules and all, and the other is told that it doesn't.
    #[tokio::test]
    async fn of_two_answers_at_once_one_counts_and_the_other_changes_nothing() {
        for _ in 0..300 {
            let live = Live::new(policy(&[]), None, events());
            // Somebody listens.
            drop(live.asks().watch(u64::MAX, std::time::Duration::ZERO));
            let holding = Arc::clone(&live);
            let question = Question {
                host: "a.test".into(),
                port: 443,
            };
            let held = tokio::spawn(async move { holding.hold(question, None).await });
            while live.asks().list().1.is_empty() {
                tokio::task::yield_now().await;
            }
            let together = std::sync::Barrier::new(2);
            let answer = |answer| {
                together.wait();
                live.answer(1, answer, "aca approve").is_ok()
            };
            let (yes, no) = std::thread::scope(|scope| {
                let yes = scope.spawn(|| answer(AskAnswer::Session));
                let no = scope.spawn(|| answer(AskAnswer::Denied));
                (yes.join().unwrap(), no.join().unwrap())
            });
            assert_ne!(yes, no);
            assert_eq!(live.added().len(), 1);
            assert_eq!(live.admit(connect("a.test")).is_ok(), yes);
            assert_eq!(held.await.unwrap(), Outcome::Rules);
        }
    }

    #[test]
    fn what_is_denied_now_is_cut_and_the_rest_stays() {
        let live = Live::new(policy(&[("a.test", true), ("b.test", true)]), None, events());
        let (a, b) = (
            live.admit(connect("a.test")).unwrap(),
            live.admit(connect("b.test")).unwrap(),
        );
        assert!(live.admit(connect("c.test")).is_err());
        assert_eq!(live.count(), 2);
        live.change(&patterns(&["a.test"]), false, &said()).unwrap();
        assert_eq!(cut(&a), None, "nothing is cut that nobody asked to cut");
        assert!(live.admit(connect("a.test")).is_err());
        assert_eq!(live.cut_denied(), 1);
        assert_eq!(cut(&a).unwrap().origin, said());
        assert_eq!(cut(&b), None);
        drop((a, b));
        assert_eq!(live.count(), 0);
    }

    #[test]
    fn what_is_open_as_a_whole_is_cut_when_rules_on_requests_come() {
        let live = Live::new(
            policy(&[("a.test", true), ("GET https://b.test/x", true)]),
            None,
            events(),
        );
        let (a, b) = (
            live.admit(connect("a.test")).unwrap(),
            live.admit(connect("b.test")).unwrap(),
        );
        assert!(!a.is_by_request() && b.is_by_request());
        live.change(&patterns(&["PUT https://b.test/x"]), true, &said())
            .unwrap();
        assert_eq!(live.cut_denied(), 0);
        live.change(&patterns(&["DELETE https://a.test/**"]), false, &said())
            .unwrap();
        assert_eq!(live.cut_denied(), 1);
        assert!(cut(&a).is_some() && cut(&b).is_none());
    }

    /// Whatever the moment: no connection stays that the policy denied before it was asked to cut.
    #[test]
    fn none_slips_through_while_the_policy_changes() {
        let open = policy(&[("a.test", true)]);
        for _ in 0..200 {
            let live = Live::new(Arc::clone(&open), None, events());
            let other = Arc::clone(&live);
            let admitting = std::thread::spawn(move || other.admit(connect("a.test")));
            live.change(&patterns(&["*"]), false, &said()).unwrap();
            live.cut_denied();
            if let Ok(ticket) = admitting.join().unwrap() {
                assert!(cut(&ticket).is_some());
            }
        }
    }

    #[test]
    fn a_deny_wins_and_an_allow_takes_back_what_the_session_denied() {
        let live = Live::new(policy(&[("a.test", true), ("b.test", false)]), None, events());
        let change = |text: &str, allow| live.change(&patterns(&[text]), allow, &said()).unwrap();
        let passes = |name| live.admit(connect(name)).is_ok();
        change("a.test", false);
        assert!(!passes("a.test"));
        change("*.test", true);
        assert!(!passes("a.test") && passes("c.test"), "another pattern");
        assert_eq!(change("a.test", true), []);
        assert!(passes("a.test"));
        let against = change("b.test", true);
        assert_eq!(against[0].1.origin, Origin::Flag("test".into()));
        assert!(!passes("b.test"), "what the session began with stays denied");
        assert_eq!(change("b.test:8443", true).len(), 1, "a deny means every port");
        assert_eq!(live.added().len(), 4);
    }

    #[test]
    fn requests_in_tls_are_allowed_only_where_they_can_be_seen() {
        let rules = [("https://a.test/x", true), ("https://*.b.test/x", true)];
        let live = Live::new(policy(&rules), None, events());
        let without = Live::new(policy(&[("a.test", true)]), None, events());
        for (text, seen) in [
            ("https://a.test/y", true),
            ("https://c.b.test/y", true),
            ("https://*.b.test/y", true),
            ("https://c.test/y", false),
            ("https://**.test/y", false),
            ("https://8.8.8.8/y", false),
            ("https://*/y", false),
        ] {
            let unseen = Err(ChangeError::Unseen(text.parse().unwrap()));
            let change = |live: &Live| live.change(&patterns(&[text]), true, &said()).map(drop);
            assert_eq!(
                change(&live),
                if seen { Ok(()) } else { unseen.clone() },
                "{text}"
            );
            assert_eq!(change(&without), unseen, "{text}");
        }
        // Denied they are in any case, and what comes without TLS is seen.
        for (text, allow) in [
            ("https://c.test/y", false),
            ("http://c.test/y", true),
            ("c.test", true),
        ] {
            assert!(
                without.change(&patterns(&[text]), allow, &said()).is_ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn nobody_goes_beyond_a_lock_or_a_network_that_is_off() {
        let locked = Locked {
            origin: Origin::Flag("lock".into()),
            hint: "ask".into(),
        };
        let live = Live::new(policy(&[("a.test", true)]), Some(locked.clone()), events());
        let hosts = patterns(&["a.test", "b.test"]);
        assert_eq!(
            live.change(&hosts, true, &said()),
            Err(ChangeError::Locked(locked))
        );
        assert_eq!(
            live.change(&hosts, false, &said()),
            Ok(vec![]),
            "narrower is no matter"
        );
        let mut off = (*policy(&[])).clone();
        off.network.preset = NetworkPreset::None;
        let live = Live::new(Arc::new(off), None, events());
        assert_eq!(live.change(&hosts, true, &said()), Err(ChangeError::Off));
    }

    #[test]
    fn there_is_an_end_and_then_nothing_of_a_request_counts() {
        let live = Live::new(policy(&[]), None, events());
        let many: Vec<String> = (0..=SessionRules::MOST).map(|n| format!("n{n}.test")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            live.change(&patterns(&many), true, &said()),
            Err(ChangeError::TooMany)
        );
        assert!(live.admit(connect("n0.test")).is_err());
    }

    #[test]
    fn a_yes_for_once_gives_way_to_every_rule() {
        let live = Live::new(
            policy(&[("b.test", false), ("DELETE https://c.test/**", false)]),
            None,
            events(),
        );
        let once = |name: &str| live.admit_once(&connect(name), name.parse().unwrap());
        assert!(once("b.test").is_none(), "a rule denies it");
        assert!(once("c.test").is_none(), "its requests would not be judged");
        let a = once("a.test").unwrap();
        live.change(&patterns(&["b.test"]), false, &said()).unwrap();
        assert_eq!(live.cut_denied(), 0, "no rule says anything of it");
        live.change(&patterns(&["a.test:443"]), false, &said()).unwrap();
        assert_eq!(live.cut_denied(), 1);
        assert_eq!(cut(&a).unwrap().origin, said());
    }

    /// Telemetry that the agent's file denies without noise is allowed by naming it, as in the configuration.
    #[test]
    fn built_in_quiet_denials_give_way() {
        let mut quiet = (*policy(&[("t.test", false)])).clone();
        quiet.network.rules[0].quiet = true;
        let live = Live::new(Arc::new(quiet), None, events());
        live.change(&patterns(&["**.test"]), true, &said()).unwrap();
        assert!(live.admit(connect("t.test")).is_ok());
    }
}
