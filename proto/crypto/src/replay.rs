//! Refusing what the server delivers twice.
//!
//! A relay cannot forge a sealed value, but it can keep one and deliver it again, a minute or a month later, as the same
//! call or as another one: nothing inside says what it was for. Every honest client draws a fresh nonce for each value,
//! so a nonce that comes back under the same key is a replay. One [`ReplayGuard`] a key, over **everything** sealed with
//! that key (all methods and messages together), remembers them.
//!
//! How it holds:
//! - Only values that opened are remembered ([`Mark`]s come from [`crate::Opened`] and [`crate::Sealed`] alone). Who does
//!   not have the key cannot push honest nonces out of the memory by flooding it.
//! - A message is read again when the daemon crashed between reading and acting. The same value in the same server row is
//!   [`Admitted::Again`], not a replay: act on it only if your own log has no trace of it. Under another row it is refused.
//! - What we sealed ourselves can be sent back to us, since both directions use one key. [`ReplayGuard::note_own`]
//!   remembers those, in a memory of its own so that our output does not displace what phones sent.
//! - It survives a restart: each admission returns a [`Record`] to append durably *before* acting; the whole guard
//!   serialises too (a snapshot now and then, the records since). Records alone rebuild it as well.
//!
//! What it cannot do, said plainly:
//! - It remembers the last [`CAPACITY`] values received under a key, no more. When a value carries its sender's time
//!   *inside the sealed part*, forgetting costs nothing: anything not newer than the newest forgotten one is refused
//!   ([`Replayed::Forgotten`]). For values without a time (Happy's apps send none) a replay older than the memory would
//!   be accepted; [`ReplayGuard::forgotten_untimed`] counts how many such values exist. A new key ends that.
//! - It does not stop a first delivery under another method. Callers parse strictly, and our own clients name the method
//!   inside the sealed part.
//! - The server's row ids, sequence numbers and times are not sealed; they are never taken as a proof of freshness.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sealing::Variant;

/// Values remembered under one key unless asked otherwise: with one call every ten seconds, the last 45 hours. A full
/// memory takes 1.5 MB (measured, 90 bytes a value), which only the machine's own key ever approaches.
pub const CAPACITY: usize = 16_384;

/// Values of our own remembered: reflection matters for recent ones most, and a session seals far more than it receives.
pub const OWN_CAPACITY: usize = 4_096;

/// No guard remembers more than this, whatever it is asked for.
pub const MAX_CAPACITY: usize = 1 << 16;

/// What identifies one sealed value under its key: eight bytes of a hash of its form and nonce. Two honest values share
/// one with a chance of one in 2⁶⁴; the second would be refused and sent again by its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(u64);

impl Mark {
    pub(crate) fn of(variant: Variant, nonce: &[u8]) -> Self {
        let form = match variant {
            Variant::Envelope => 1,
            Variant::Secretbox => 2,
        };
        Self(first_word(&[b"delight nonce", &[form], nonce]))
    }
}

fn first_word(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// How a value came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// As parameters of a call: delivered once, never again.
    Call,
    /// As a stored row (a message): the same row may be read again.
    Row(
        /// The server's id of the row.
        &'a str,
    ),
}

/// Where a remembered value was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    Call,
    Row(u64),
    Own,
}

/// One remembered value: what the caller appends to its log before it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    mark: Mark,
    place: Place,
    /// The sender's time from inside the sealed part, Unix milliseconds.
    sent_at: Option<u64>,
}

/// A value that may be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// Never seen. Append the record durably, then act.
    Fresh(Record),
    /// The same row as before, read again: act only if your own log has no trace of it.
    Again,
}

/// A value that must not be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replayed {
    /// It was delivered before, as a call or in another row.
    #[error("this sealed value was delivered before")]
    Repeated,
    /// We sealed it ourselves.
    #[error("this sealed value is one of our own, sent back")]
    Reflected,
    /// It is not newer than values that were forgotten, so it may be one of them.
    #[error("this sealed value is older than what is remembered, so it may be a repetition")]
    Forgotten,
}

/// The memory of one key. Plain data: equal inputs give equal guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Snapshot", into = "Snapshot")]
pub struct ReplayGuard {
    received: Window,
    own: Window,
    forgotten_until: u64,
    forgotten_untimed: u64,
}

impl Default for ReplayGuard {
    fn default() -> Self {
        Self::with_capacity(CAPACITY, OWN_CAPACITY)
    }
}

impl ReplayGuard {
    /// A guard that remembers `received` values of others and `own` of ours, each 1 to [`MAX_CAPACITY`].
    #[must_use]
    pub fn with_capacity(received: usize, own: usize) -> Self {
        Self {
            received: Window::new(received),
            own: Window::new(own),
            forgotten_until: 0,
            forgotten_untimed: 0,
        }
    }

    /// Judges a value that opened and remembers it. `sent_at` is the sender's time (Unix milliseconds) when the sealed
    /// part carries one, never the server's.
    ///
    /// # Errors
    /// [`Replayed`]; the guard is unchanged then.
    pub fn admit(
        &mut self,
        mark: Mark,
        delivery: Delivery<'_>,
        sent_at: Option<u64>,
    ) -> Result<Admitted, Replayed> {
        if self.own.index.contains_key(&mark) {
            return Err(Replayed::Reflected);
        }
        let place = match delivery {
            Delivery::Call => Place::Call,
            Delivery::Row(id) => Place::Row(first_word(&[b"delight row", id.as_bytes()])),
        };
        match self.received.index.get(&mark) {
            Some(before) if *before == place && place != Place::Call => return Ok(Admitted::Again),
            Some(_) => return Err(Replayed::Repeated),
            None => {}
        }
        if sent_at.is_some_and(|at| at <= self.forgotten_until) {
            return Err(Replayed::Forgotten);
        }
        let record = Record { mark, place, sent_at };
        self.restore(record);
        Ok(Admitted::Fresh(record))
    }

    /// Remembers a value we sealed, and returns the record to append.
    pub fn note_own(&mut self, mark: Mark) -> Record {
        let record = Record { mark, place: Place::Own, sent_at: None };
        self.restore(record);
        record
    }

    /// Takes a record back after a restart, in the order in which they were returned.
    pub fn restore(&mut self, record: Record) {
        if record.place == Place::Own {
            self.own.push(record);
            return;
        }
        match self.received.push(record) {
            Some(Record { sent_at: Some(at), .. }) => self.forgotten_until = self.forgotten_until.max(at),
            Some(Record { sent_at: None, .. }) => {
                self.forgotten_untimed = self.forgotten_untimed.saturating_add(1);
            }
            None => {}
        }
    }

    /// How many received values without a sender's time were forgotten: each could be replayed unnoticed. Worth telling
    /// the owner when it is not zero.
    #[must_use]
    pub fn forgotten_untimed(&self) -> u64 {
        self.forgotten_untimed
    }

    /// How many received values are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.received.order.len()
    }
}

/// The last so many records, oldest first, and where each mark was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    capacity: usize,
    order: VecDeque<Record>,
    index: BTreeMap<Mark, Place>,
}

impl Window {
    fn new(capacity: usize) -> Self {
        Self { capacity: capacity.clamp(1, MAX_CAPACITY), order: VecDeque::new(), index: BTreeMap::new() }
    }

    /// Remembers a record and returns the one it displaced. A mark already there changes nothing.
    fn push(&mut self, record: Record) -> Option<Record> {
        if self.index.contains_key(&record.mark) {
            return None;
        }
        self.index.insert(record.mark, record.place);
        self.order.push_back(record);
        if self.order.len() <= self.capacity {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.index.remove(&oldest.mark);
        Some(oldest)
    }
}

/// What a guard is on disk.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    capacity: (usize, usize),
    forgotten_until: u64,
    forgotten_untimed: u64,
    received: VecDeque<Record>,
    own: VecDeque<Record>,
}

impl From<ReplayGuard> for Snapshot {
    fn from(guard: ReplayGuard) -> Self {
        Self {
            capacity: (guard.received.capacity, guard.own.capacity),
            forgotten_until: guard.forgotten_until,
            forgotten_untimed: guard.forgotten_untimed,
            received: guard.received.order,
            own: guard.own.order,
        }
    }
}

/// A snapshot that no guard could have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a replay guard's snapshot holds more records than its capacity, or misplaced ones")]
pub struct BadSnapshot;

impl TryFrom<Snapshot> for ReplayGuard {
    type Error = BadSnapshot;

    fn try_from(snapshot: Snapshot) -> Result<Self, BadSnapshot> {
        let mut guard = Self::with_capacity(snapshot.capacity.0, snapshot.capacity.1);
        let fits = snapshot.received.len() <= guard.received.capacity
            && snapshot.own.len() <= guard.own.capacity
            && snapshot.received.iter().all(|record| record.place != Place::Own)
            && snapshot.own.iter().all(|record| record.place == Place::Own);
        if !fits {
            return Err(BadSnapshot);
        }
        snapshot.received.into_iter().chain(snapshot.own).for_each(|record| guard.restore(record));
        guard.forgotten_until = snapshot.forgotten_until;
        guard.forgotten_untimed = snapshot.forgotten_untimed;
        Ok(guard)
    }
}

#[cfg(test)]
mod tests;
