//! Challenges of the relay's own: 32 random bytes, for one key, good once and for five minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::{self, NoRandomness};

/// How long a challenge can be answered.
const LIFETIME: Duration = Duration::from_secs(300);
/// Most open challenges. They are asked for without a token, so they are bounded; each costs 150 bytes.
const OPEN_MAX: usize = 20_000;

/// The open challenges. They need not survive a restart: a client asks for another.
#[derive(Default)]
pub(crate) struct Challenges {
    open: Mutex<HashMap<String, Challenge>>,
}

struct Challenge {
    public_key: [u8; 32],
    bytes: [u8; 32],
    until: Instant,
}

impl Challenges {
    /// A fresh challenge for this key: its id and its bytes. `None`: too many are open.
    pub(crate) fn issue(
        &self,
        public_key: [u8; 32],
        now_ms: i64,
        now: Instant,
    ) -> Result<Option<(String, [u8; 32])>, NoRandomness> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.retain(|_, challenge| challenge.until > now);
            if open.len() >= OPEN_MAX {
                return Ok(None);
            }
        }
        let (id, bytes) = (ids::row(now_ms)?, ids::random()?);
        open.insert(id.clone(), Challenge { public_key, bytes, until: now + LIFETIME });
        Ok(Some((id, bytes)))
    }

    /// The bytes of this key's challenge, which is used up by this.
    pub(crate) fn redeem(&self, id: &str, public_key: &[u8; 32], now: Instant) -> Option<[u8; 32]> {
        let challenge = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id)?;
        (challenge.public_key == *public_key && challenge.until > now).then_some(challenge.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_for_one_key_once_and_not_for_ever() {
        let challenges = Challenges::default();
        let now = Instant::now();
        let issue = || challenges.issue([1; 32], 0, now).unwrap().unwrap();
        let (id, bytes) = issue();
        assert_eq!(challenges.redeem(&id, &[1; 32], now), Some(bytes));
        assert_eq!(challenges.redeem(&id, &[1; 32], now), None, "used");
        assert_eq!(challenges.redeem(&issue().0, &[2; 32], now), None, "another key");
        assert_eq!(challenges.redeem(&issue().0, &[1; 32], now + LIFETIME), None, "late");
    }
}
