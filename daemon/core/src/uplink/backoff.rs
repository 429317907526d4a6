//! How long to wait after a failure.

use serde::{Deserialize, Serialize};

/// Full-jitter back-off: before attempt *n* any time between nothing and `min(30 s, 250 ms × 2ⁿ)`.
///
/// It never gives up: a daemon that stops trying is a daemon somebody has to go and restart. Randomness comes in with
/// the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The most the first wait can be, in milliseconds.
    pub const BASE_MS: u64 = 250;
    /// The most any wait can be: what a person is willing to look at "waiting" for.
    pub const CEILING_MS: u64 = 30_000;
    /// What lived this long clears the count. A server that accepts and drops at once does not.
    pub const STABLE_MS: u64 = 30_000;
    /// The most a wait of the machine's own connection can be while it has been lost for less than [`Self::HOPEFUL_MS`].
    pub const SOON_MS: u64 = 1_500;
    /// A server that restarts is back by then, and whoever holds a phone has looked at it again. A machine asks some eighty
    /// times in that minute, as Happy's clients do for ever.
    pub const HOPEFUL_MS: u64 = 60_000;
    /// What lived this long was found again: should it be lost, it is lost anew.
    pub const FOUND_MS: u64 = 5_000;
    /// Two attempts hurried by network changes stay this far apart: a flapping interface must not become a storm.
    pub const HURRIED_MS: u64 = 1_000;

    /// The most the next wait can be.
    #[must_use]
    pub fn bound(&self) -> u64 {
        let factor = 1_u64.checked_shl(self.failures.min(32)).unwrap_or(u64::MAX);
        Self::BASE_MS.saturating_mul(factor).min(Self::CEILING_MS)
    }

    /// How long to wait before the next attempt. `random` is uniform over all of `u64`.
    #[must_use]
    pub fn failed(&mut self, random: u64) -> u64 {
        self.failed_soon(random, Self::CEILING_MS)
    }

    /// The same, and less than `most` milliseconds.
    #[must_use]
    pub fn failed_soon(&mut self, random: u64, most: u64) -> u64 {
        let bound = self.bound().min(most);
        self.failures = self.failures.saturating_add(1);
        // The high half of the product is uniform over 0..bound.
        u64::try_from((u128::from(random) * u128::from(bound)) >> 64).unwrap_or(bound)
    }

    /// What was reached ended after living for so long.
    pub fn ended(&mut self, lived_ms: u64) {
        if lived_ms >= Self::STABLE_MS {
            self.clear();
        }
    }

    /// Begins to count anew.
    pub fn clear(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_ceiling_and_randomness_fills_it() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u64> = (0..10)
            .map(|_| {
                let bound = backoff.bound();
                assert_eq!(backoff.failed(0), 0);
                bound
            })
            .collect();
        assert_eq!(bounds, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(Backoff::default().failed(u64::MAX), 249);
        assert_eq!(Backoff::default().failed(1 << 63), 125);
        for _ in 0..100 {
            assert!(backoff.failed(u64::MAX) < Backoff::CEILING_MS);
            assert!(backoff.failed_soon(u64::MAX, Backoff::SOON_MS) < Backoff::SOON_MS);
        }
        assert_eq!(Backoff::default().failed_soon(u64::MAX, Backoff::SOON_MS), 249, "it begins the same");
    }

    #[test]
    fn only_a_long_life_clears_the_count() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            let _ = backoff.failed(0);
        }
        backoff.ended(29_999);
        assert_eq!(backoff.bound(), 4_000);
        backoff.ended(30_000);
        assert_eq!(backoff.bound(), 250);
    }
}
