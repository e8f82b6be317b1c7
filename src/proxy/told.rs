//! Events, no faster than a log can take them: programs inside decide how many connections and questions there are.

use crate::supervise::{Bucket, Emit, Event};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Events at once, and each second after that. An agent at work has a few a second; at this rate a flood needs ten hours
/// to fill the log.
const BURST: u32 = 5000;
const PER_SECOND: u32 = 20;

/// Takes events up to the rate, and counts those beyond it.
pub(super) struct Told {
    events: Arc<dyn Emit>,
    bucket: Mutex<Bucket>,
    connections: AtomicU64,
    requests: AtomicU64,
    lookups: AtomicU64,
}

impl Told {
    /// Passes on to `events`.
    pub(super) fn new(events: Arc<dyn Emit>) -> Self {
        Self {
            events,
            bucket: Mutex::new(Bucket::new(PER_SECOND, BURST)),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            lookups: AtomicU64::new(0),
        }
    }

    /// Takes one.
    pub(super) fn emit(&self, event: Event) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.take(Instant::now()) {
            drop(bucket);
            return self.events.emit(event);
        }
        let count = if matches!(event, Event::Lookup { .. }) {
            &self.lookups
        } else if matches!(event, Event::Request { .. }) {
            &self.requests
        } else {
            &self.connections
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells how many were too many.
    pub(super) fn finish(&self) {
        for (count, kind) in [
            (&self.connections, "connection"),
            (&self.requests, "request"),
            (&self.lookups, "lookup"),
        ] {
            let count = count.swap(0, Ordering::Relaxed);
            if count > 0 {
                self.events.emit(Event::Dropped {
                    count,
                    kind: kind.into(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Taken(Mutex<Vec<Event>>);

    impl Emit for Taken {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn a_flood_is_counted() {
        let taken = Arc::new(Taken::default());
        let told = Told::new(Arc::clone(&taken) as Arc<dyn Emit>);
        let sent = u64::from(BURST) * 3;
        for _ in 0..sent {
            told.emit(Event::Lookup {
                name: "a.test".into(),
                kind: "A".into(),
                denied: None,
            });
        }
        told.finish();
        let taken = taken.0.lock().unwrap();
        let Some(Event::Dropped { count, kind }) = taken.last() else {
            panic!("{:?}", taken.last())
        };
        assert_eq!(kind, "lookup");
        assert!(*count > u64::from(BURST));
        assert_eq!(u64::try_from(taken.len()).unwrap() - 1 + count, sent);
    }
}
