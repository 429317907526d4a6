//! When to try again: pure, so that a simulation can run years of it.

use std::time::Duration;

/// What a failure means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same may succeed later: wait as [`Backoff`] says.
    Later,
    /// The server said how long to wait.
    After(Duration),
    /// The server knows us no longer: log in again, then try.
    Login,
    /// It fails for ever until somebody changes something.
    Never,
}

/// Full-jitter back-off: before attempt *n* any time between nothing and `min(ceiling, base × 2ⁿ)`.
///
/// It never gives up: a daemon that stops trying is a daemon somebody has to go and restart. The caller brings the
/// randomness and measures the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    ceiling: Duration,
    stable: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// From 250 ms up to 30 s; a connection that lived for 30 s clears the count.
    fn default() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(30), Duration::from_secs(30))
    }
}

impl Backoff {
    /// Two attempts hurried by network changes stay at least this far apart: a flapping interface must not become a
    /// storm of connects.
    pub const HURRIED: Duration = Duration::from_secs(1);

    /// `base` bounds the first wait, `ceiling` every wait; a connection that lived for `stable` clears the count.
    #[must_use]
    pub fn new(base: Duration, ceiling: Duration, stable: Duration) -> Self {
        Self { base, ceiling, stable, failures: 0 }
    }

    /// How long to wait before the next attempt. `random` is uniform over all of `u64`.
    #[must_use]
    pub fn failed(&mut self, random: u64) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        // The high half of the product is uniform over 0..nanos.
        let part = (u128::from(random) * u128::from(nanos)) >> 64;
        Duration::from_nanos(u64::try_from(part).unwrap_or(nanos))
    }

    /// A connection ended after `lived`. A server that accepts and drops at once keeps the count, so the waits still
    /// grow.
    pub fn ended(&mut self, lived: Duration) {
        if lived >= self.stable {
            self.failures = 0;
        }
    }

    /// The network changed `since` the last attempt: the count is cleared, and this is all that is left to wait.
    #[must_use]
    pub fn hurry(&mut self, since: Duration) -> Duration {
        self.failures = 0;
        Self::HURRIED.saturating_sub(since)
    }

    /// The most the next wait can be.
    #[must_use]
    pub fn bound(&self) -> Duration {
        let factor = 2_u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_ceiling() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u128> = (0..10)
            .map(|_| {
                let bound = backoff.bound().as_millis();
                let _ = backoff.failed(0);
                bound
            })
            .collect();
        assert_eq!(bounds, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    }

    #[test]
    fn the_ends_of_the_randomness_are_the_ends_of_the_wait() {
        assert_eq!(Backoff::default().failed(0), Duration::ZERO);
        let most = Backoff::default().failed(u64::MAX);
        assert!(most < Duration::from_millis(250) && most > Duration::from_micros(249_999), "{most:?}");
        assert!(Backoff::default().failed(1 << 63) == Duration::from_millis(125));
    }

    #[test]
    fn a_short_life_keeps_the_count_and_a_long_one_clears_it() {
        let mut backoff = Backoff::default();
        let _ = backoff.failed(0);
        let _ = backoff.failed(0);
        backoff.ended(Duration::from_secs(1));
        assert_eq!(backoff.bound(), Duration::from_secs(1));
        backoff.ended(Duration::from_secs(31));
        assert_eq!(backoff.bound(), Duration::from_millis(250));
    }

    #[test]
    fn a_network_change_hurries_but_never_storms() {
        let mut backoff = Backoff::default();
        for _ in 0..8 {
            let _ = backoff.failed(u64::MAX);
        }
        assert_eq!(backoff.hurry(Duration::from_secs(20)), Duration::ZERO);
        assert_eq!(backoff.hurry(Duration::from_millis(100)), Duration::from_millis(900));
        assert_eq!(backoff.bound(), Duration::from_millis(250));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_above_its_bound(failures in 0_usize..200, random: u64) {
            let mut backoff = Backoff::default();
            for _ in 0..failures {
                let _ = backoff.failed(0);
            }
            let bound = backoff.bound();
            prop_assert!(bound <= Duration::from_secs(30));
            prop_assert!(backoff.failed(random) <= bound);
        }
    }
}
