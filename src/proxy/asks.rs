//! Connections that no rule decides, held until somebody outside has answered.
//!
//! Programs inside choose how many there are and what they are called, so all of it is bounded: asks at once, connections
//! that wait, how many asks a minute come up, how long each may take. What goes beyond is denied at once. A connection is
//! held only while somebody listens; else a run that nobody looks at would stand still for a minute at each host that it
//! doesn't know.

use super::programs::Program;
use crate::supervise::Bucket;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// How long an ask waits for its answer.
pub(super) const WAIT: Duration = Duration::from_secs(60);
/// Asks at once.
const PENDING_MAX: usize = 32;
/// Connections that wait for one, and for all.
const WAITING_EACH_MAX: usize = 64;
const WAITING_MAX: usize = 256;
/// New asks at once, and how long until there may be another: what a person can take.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(6);
/// How long something isn't asked again to which nobody answered.
const QUIET: Duration = Duration::from_secs(60);
/// How many of those are remembered.
const QUIET_MAX: usize = 1000;
/// How long somebody who listened counts as there: until the next call.
const GRACE: Duration = Duration::from_secs(3);

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name as it was asked for, in the form that DNS has (`xn--…`); or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// What came of it, for a connection that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It may go on, this once.
    Once,
    /// The rules were changed: they tell.
    Rules,
    /// Nobody answered in time.
    Late,
    /// It was not asked, and why.
    NotAsked(&'static str),
}

/// One that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number in this session.
    pub number: u64,
    /// What it is about.
    pub question: Question,
    /// How long it still waits.
    pub left: Duration,
    /// How many connections wait for it.
    pub connections: usize,
    /// The program that made the first of them, as it was seen; `None` where it couldn't be told.
    pub program: Option<Program>,
}

/// The asks of one session.
#[derive(Debug)]
pub struct Asks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    pending: BTreeMap<u64, Pending>,
    /// The number of the last one.
    last: u64,
    /// Goes up with each change.
    version: u64,
    /// Those that wait for a change now, and until when the last one counts.
    listeners: usize,
    heard_until: Option<Instant>,
    quiet: HashMap<Question, Instant>,
    closed: bool,
    bucket: Bucket,
}

#[derive(Debug)]
struct Pending {
    question: Question,
    program: Option<Program>,
    until: Instant,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl Asks {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                pending: BTreeMap::new(),
                last: 0,
                version: 0,
                listeners: 0,
                heard_until: None,
                quiet: HashMap::new(),
                closed: false,
                bucket: Bucket::every(INTERVAL, BURST),
            }),
            changed: Condvar::new(),
        }
    }

    /// Whether somebody is there who would see an ask.
    pub(super) fn is_heard(&self) -> bool {
        self.lock().is_heard(Instant::now())
    }

    /// Waits for the answer. `begun` is told the number of an ask that is new; `ended` that of one that nobody answered.
    pub(super) async fn hold(
        &self,
        question: Question,
        program: Option<Program>,
        begun: impl FnOnce(u64, &Question),
        ended: impl FnOnce(u64, &Question),
    ) -> Outcome {
        let (number, until, answer, new) = match self.enter(&question, program) {
            Ok(entered) => entered,
            Err(why) => return Outcome::NotAsked(why),
        };
        if new {
            begun(number, &question);
        }
        match timeout_at(until, answer).await {
            Ok(Ok(outcome)) => outcome,
            // Another connection of the same ask was first to see that the time is over.
            Ok(Err(_)) => Outcome::Late,
            Err(_) => {
                if self.expire(number, &question) {
                    ended(number, &question);
                }
                Outcome::Late
            }
        }
    }

    fn enter(
        &self,
        question: &Question,
        program: Option<Program>,
    ) -> Result<(u64, Instant, oneshot::Receiver<Outcome>, bool), &'static str> {
        let now = Instant::now();
        let mut state = self.lock();
        if !state.is_heard(now) {
            return Err("nobody listens to be asked: `aca approve --follow` in another terminal does");
        }
        let all: usize = state.pending.values().map(|ask| ask.waiting.len()).sum();
        if all >= WAITING_MAX {
            return Err("too many connections wait for an answer");
        }
        let (send, receive) = oneshot::channel();
        let same = state
            .pending
            .iter_mut()
            .find(|(_, ask)| ask.question == *question && ask.until > now);
        if let Some((number, ask)) = same {
            if ask.waiting.len() >= WAITING_EACH_MAX {
                return Err("too many connections wait for the same answer");
            }
            ask.waiting.push(send);
            return Ok((*number, ask.until, receive, false));
        }
        state.quiet.retain(|_, until| *until > now);
        if state.quiet.contains_key(question) {
            return Err("it was asked a moment ago, and nobody answered");
        }
        if state.pending.len() >= PENDING_MAX {
            return Err("too many asks wait for an answer");
        }
        if !state.bucket.take(now.into_std()) {
            return Err("too much was asked in a short time");
        }
        state.last += 1;
        let (number, until) = (state.last, now + WAIT);
        let ask = Pending {
            question: question.clone(),
            program,
            until,
            waiting: vec![send],
        };
        state.pending.insert(number, ask);
        self.tell(&mut state);
        Ok((number, until, receive, true))
    }

    /// Takes one away whose time is over; whether it was there.
    fn expire(&self, number: u64, question: &Question) -> bool {
        let mut state = self.lock();
        let was = state.pending.remove(&number).is_some();
        if was {
            if state.quiet.len() < QUIET_MAX {
                state.quiet.insert(question.clone(), Instant::now() + QUIET);
            }
            self.tell(&mut state);
        }
        was
    }

    /// Ends them all: the session is over.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.pending.clear();
        self.tell(&mut state);
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The one who was to show an ask couldn't: where nobody else listens, all are denied.
    pub fn undelivered(&self) {
        let mut state = self.lock();
        if state.listeners > 0 {
            return;
        }
        state.heard_until = None;
        for (_, ask) in std::mem::take(&mut state.pending) {
            for waiting in ask.waiting {
                // One that is gone hears nothing.
                waiting
                    .send(Outcome::NotAsked("the desktop takes no notification"))
                    .ok();
            }
        }
        self.tell(&mut state);
    }

    /// Answers one as `decide` says, which may change rules; what it was about, and how many connections heard it. `None`
    /// when it is gone. Until `decide` is done nobody else answers, and it doesn't end: who comes second changes nothing.
    ///
    /// # Errors
    /// Those of `decide`: the ask waits on then.
    pub(super) fn answer<E>(
        &self,
        number: u64,
        decide: impl FnOnce(&Question) -> Result<Outcome, E>,
    ) -> Result<Option<(Question, usize)>, E> {
        let mut state = self.lock();
        let Some(ask) = state.pending.get(&number) else {
            return Ok(None);
        };
        let outcome = decide(&ask.question)?;
        let Some(Pending {
            question, waiting, ..
        }) = state.pending.remove(&number)
        else {
            return Ok(None);
        };
        self.tell(&mut state);
        drop(state);
        let sent = waiting.into_iter().map(|waiting| waiting.send(outcome));
        Ok(Some((question, sent.filter(Result::is_ok).count())))
    }

    /// Those that wait, and the version of that list, at once.
    #[must_use]
    pub fn list(&self) -> (u64, Vec<Waiting>) {
        self.lock().list(Instant::now())
    }

    /// The same once it is another than that of version `seen`, or after `within`. Whoever waits here listens.
    #[must_use]
    pub fn watch(&self, seen: u64, within: Duration) -> (u64, Vec<Waiting>) {
        let mut state = self.lock();
        state.listeners += 1;
        let waited = self
            .changed
            .wait_timeout_while(state, within, |state| state.version == seen && !state.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.listeners -= 1;
        let now = Instant::now();
        state.heard_until = Some(now + GRACE);
        state.list(now)
    }

    fn tell(&self, state: &mut State) {
        state.version += 1;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_heard(&self, now: Instant) -> bool {
        !self.closed && (self.listeners > 0 || self.heard_until.is_some_and(|until| until > now))
    }

    fn list(&self, now: Instant) -> (u64, Vec<Waiting>) {
        let list = self.pending.iter().map(|(number, ask)| Waiting {
            number: *number,
            question: ask.question.clone(),
            left: ask.until.saturating_duration_since(now),
            connections: ask.waiting.len(),
            program: ask.program.clone(),
        });
        (self.version, list.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn question(number: usize) -> Question {
        Question {
            host: format!("n{number}.test"),
            port: 443,
        }
    }

    fn heard() -> Arc<Asks> {
        let asks = Asks::new();
        asks.lock().listeners = 1;
        Arc::new(asks)
    }

    fn once(asks: &Asks, number: u64) -> Option<usize> {
        let answered = asks.answer(number, |_| Ok::<_, std::convert::Infallible>(Outcome::Once));
        answered.unwrap().map(|(_, heard)| heard)
    }

    fn held(asks: &Arc<Asks>, number: usize) -> tokio::task::JoinHandle<Outcome> {
        let asks = Arc::clone(asks);
        tokio::spawn(async move { asks.hold(question(number), None, |_, _| {}, |_, _| {}).await })
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_answers_is_a_no_after_a_minute_and_quiet_for_another() {
        let asks = heard();
        let begin = Instant::now();
        let both = (held(&asks, 1), held(&asks, 1));
        assert_eq!(both.0.await.unwrap(), Outcome::Late);
        assert_eq!(both.1.await.unwrap(), Outcome::Late);
        assert_eq!(begin.elapsed().as_secs(), WAIT.as_secs());
        assert!(asks.list().1.is_empty());
        assert!(matches!(held(&asks, 1).await.unwrap(), Outcome::NotAsked(_)));
        tokio::time::advance(QUIET).await;
        let again = held(&asks, 1);
        tokio::task::yield_now().await;
        assert_eq!(asks.list().1.len(), 1);
        assert_eq!(once(&asks, 2), Some(1));
        assert_eq!(again.await.unwrap(), Outcome::Once);
    }

    /// One that comes late waits no longer than the first.
    #[tokio::test(start_paused = true)]
    async fn equal_ones_are_one_ask_with_one_end() {
        let asks = heard();
        let first = held(&asks, 1);
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(50)).await;
        let begin = Instant::now();
        let second = held(&asks, 1);
        tokio::task::yield_now().await;
        let list = asks.list().1;
        assert_eq!((list.len(), list[0].connections), (1, 2));
        assert_eq!(second.await.unwrap(), Outcome::Late);
        assert_eq!(begin.elapsed().as_secs(), 10);
        assert_eq!(first.await.unwrap(), Outcome::Late);
        assert_eq!(once(&asks, 1), None, "it is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_denied_at_once() {
        let asks = heard();
        let all: Vec<_> = (0..1000).map(|number| held(&asks, number)).collect();
        let same: Vec<_> = (0..100).map(|_| held(&asks, 0)).collect();
        // The runtime looks elsewhere between some dozens of them.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let (_, list) = asks.list();
        assert_eq!(list.len(), usize::try_from(BURST).unwrap());
        assert_eq!(list[0].connections, WAITING_EACH_MAX);
        // In time there may be more, up to a bound.
        let mut later = Vec::new();
        for number in 0..40 {
            tokio::time::advance(Duration::from_millis(1000)).await;
            later.push(held(&asks, 2000 + number));
            tokio::task::yield_now().await;
        }
        assert!(asks.list().1.len() <= PENDING_MAX);
        let mut denied = 0;
        for task in all.into_iter().chain(same).chain(later) {
            denied += usize::from(matches!(task.await.unwrap(), Outcome::NotAsked(_)));
        }
        assert!(denied > 1000, "{denied}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_listener_nothing_is_held() {
        let asks = Arc::new(Asks::new());
        assert!(
            matches!(held(&asks, 1).await.unwrap(), Outcome::NotAsked(why) if why.contains("nobody listens"))
        );
        // Whoever called a moment ago calls again.
        let (version, list) = asks.watch(1, Duration::ZERO);
        assert_eq!((version, list.len()), (0, 0));
        assert!(asks.is_heard());
        tokio::time::advance(GRACE).await;
        assert!(!asks.is_heard());
    }

    #[test]
    fn whoever_watches_sees_a_change_at_once() {
        let asks = heard();
        let other = Arc::clone(&asks);
        let watching = std::thread::spawn(move || other.watch(0, Duration::from_secs(60)));
        asks.enter(&question(1), None).unwrap();
        let (version, list) = watching.join().unwrap();
        assert_eq!(
            (version, list[0].question.to_string().as_str()),
            (1, "n1.test:443")
        );
    }
}
