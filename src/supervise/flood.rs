//! Bounds on what a program inside can make the supervisor write, however often it asks.

use std::time::{Duration, Instant};

/// How long equal events are counted together.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// Counts equal events: the first goes out at once, those of the next [`INTERVAL`] together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    last: Option<Instant>,
    pending: u64,
}

impl Tally {
    /// Counts one; the count to report now, if any.
    pub(crate) fn add(&mut self, now: Instant) -> Option<u64> {
        self.pending = self.pending.saturating_add(1);
        let quiet = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        if quiet { self.take(now) } else { None }
    }

    /// The count that hasn't been reported yet, if any.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        let count = std::mem::take(&mut self.pending);
        (count > 0).then(|| {
            self.last = Some(now);
            count
        })
    }
}

/// A token bucket, kept as the time at which it will be full again.
#[derive(Debug)]
pub(crate) struct Bucket {
    interval: Duration,
    window: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full bucket of `burst` tokens that gains `per_second` tokens a second.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1)
            .checked_div(per_second)
            .unwrap_or(Duration::MAX);
        Self::every(interval, burst)
    }

    /// The same that gains one token in each `interval`.
    pub(crate) fn every(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            window: interval.saturating_mul(burst),
            full_at: None,
        }
    }

    /// Takes a token; `false` when there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        let after = full_at
            .checked_add(self.interval)
            .filter(|after| *after - now <= self.window);
        if let Some(after) = after {
            self.full_at = Some(after);
        }
        after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = Bucket::new(10, 3);
        let start = Instant::now();
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        assert!(!bucket.take(start + Duration::from_millis(99)));
        assert!(bucket.take(start + Duration::from_millis(100)));
        assert!(!bucket.take(start + Duration::from_millis(100)));
        let later = start + Duration::from_secs(3600);
        assert_eq!(
            (0..5).filter(|_| bucket.take(later)).count(),
            3,
            "it holds no more than the burst"
        );
    }

    #[test]
    fn a_tally_reports_the_first_and_then_sums() {
        let mut tally = Tally::default();
        let start = Instant::now();
        assert_eq!(tally.add(start), Some(1));
        assert_eq!((0..1000).filter_map(|_| tally.add(start)).count(), 0);
        assert_eq!(tally.take(start), Some(1000));
        assert_eq!(tally.take(start), None);
        assert_eq!(tally.add(start + INTERVAL / 2), None);
        assert_eq!(tally.add(start + INTERVAL), Some(2), "nothing is lost");
    }
}
