//! Rate limits: token buckets, pure in time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most callers remembered at once. Beyond it those idle long enough to be full again are forgotten, which changes
/// nothing for them; when nobody is, strangers are refused: a flood from everywhere must not cost memory.
const CALLERS_MAX: usize = 65_536;

/// A bucket that fills at `rate` a second and holds ten seconds' worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    level: f64,
    rate: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn full(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate);
        Self { level: rate * 10.0, rate, at: now }
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.level = (self.level + gained).min(self.rate * 10.0);
        self.at = now;
    }

    /// Takes one. `Err` says how long until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if self.level < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.level) / self.rate));
        }
        self.level -= 1.0;
        Ok(())
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level >= self.rate * 10.0
    }
}

/// One bucket per caller.
pub(crate) struct Limiter<K> {
    rate: u32,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Limiter<K> {
    pub(crate) fn new(rate: u32) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Whether this caller may go on now.
    pub(crate) fn allows(&self, caller: K, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS_MAX && !buckets.contains_key(&caller) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= CALLERS_MAX {
                return false;
            }
        }
        buckets.entry(caller).or_insert_with(|| Bucket::full(self.rate, now)).take(now).is_ok()
    }
}

/// Who an address stands for: an IPv6 subscriber has a whole /64.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_bounded_and_time_gives_it_back() {
        let start = Instant::now();
        let limiter = Limiter::new(2);
        let burst = (0..100).filter(|_| limiter.allows("a", start)).count();
        assert_eq!(burst, 20);
        assert!(limiter.allows("b", start), "another caller has a bucket of its own");
        assert!(!limiter.allows("a", start + Duration::from_millis(400)));
        assert!(limiter.allows("a", start + Duration::from_millis(1_000)));
    }

    #[test]
    fn an_empty_bucket_says_how_long() {
        let now = Instant::now();
        let mut bucket = Bucket::full(1, now);
        while bucket.take(now).is_ok() {}
        let wait = bucket.take(now).unwrap_err();
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(900), "{wait:?}");
    }

    #[test]
    fn strangers_beyond_the_bound_are_refused_until_others_are_idle() {
        let start = Instant::now();
        let limiter = Limiter::new(1);
        for caller in 0..CALLERS_MAX {
            assert!(limiter.allows(caller, start));
        }
        assert!(!limiter.allows(CALLERS_MAX, start));
        assert!(limiter.allows(CALLERS_MAX, start + Duration::from_secs(2)));
    }

    #[test]
    fn one_ipv6_subscriber_is_one_caller() {
        let one: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let two: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        let other: IpAddr = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(neighbourhood(one), neighbourhood(two));
        assert_ne!(neighbourhood(one), neighbourhood(other));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(neighbourhood(mapped), "10.0.0.1".parse::<IpAddr>().unwrap());
    }
}
