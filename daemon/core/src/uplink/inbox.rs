//! Messages of phones on their way to a session: in the server's order, each once, none skipped.

use std::collections::VecDeque;

use delight_proto::agent::Mode;
use delight_proto::id::LocalId;
use delight_proto::refusal::Refusal;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::input::Fault;

/// Messages asked for at once.
pub const PAGE: u32 = 50;

/// Messages that wait for their session here: two pages. What does not fit stays with the server and is fetched again.
const QUEUE: usize = 128;
/// Bytes of their texts: a few of the largest that are taken.
const QUEUE_BYTES: usize = 4 << 20;
/// Pages that may end before a number the server has named. After that it is believed to have no such message.
const NAMED_IN_VAIN: u32 = 5;
/// Between two looks at a server that has pushed nothing: a push may be lost without anybody noticing.
const LOOK_EVERY_MS: u64 = 300_000;
/// Before a message that a busy session would not take is offered again.
const AGAIN_MS: u64 = 1_000;

/// Words of a person; not for a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Words(pub String);

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Words({} bytes)", self.0.len())
    }
}

/// What a phone wants its session's agent to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The sender's id of it, or one made of the server's.
    pub local_id: LocalId,
    /// The words.
    pub text: Words,
    /// How it is to be worked on, as far as the sender says.
    pub mode: Mode,
}

/// A message as it came, opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// Its number in the session, counted by the server. Numbers may be missing.
    pub seq: u64,
    /// What it asks for; none: one of our own records, or nothing that can be understood. It is passed over.
    pub prompt: Option<Prompt>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The session has it, durably.
    Taken,
    /// The session will not have it; its sender is told.
    Refused(Refusal),
    /// Not now; the same is offered again.
    Later,
}

/// One session's messages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Inbox {
    /// Everything up to here has been answered for.
    pub(super) cursor: u64,
    queue: VecDeque<Arrived>,
    bytes: usize,
    delivering: bool,
    deliver_at: Option<u64>,
    /// Something may have been missed that no page asked for so far need have.
    stale: bool,
    fetching: bool,
    /// The highest number the server has named.
    named: u64,
    /// Pages in a row that did not reach it.
    short_of_it: u32,
    backoff: Backoff,
    fetch_at: Option<u64>,
    /// Whether or not anything was heard, the server is asked then.
    look_at: Option<u64>,
}

impl Inbox {
    pub(super) fn at(cursor: u64) -> Self {
        Self { cursor, ..Self::default() }
    }

    /// The last number taken in.
    fn newest(&self) -> u64 {
        self.queue.back().map_or(self.cursor, |message| message.seq)
    }

    /// Something may have been missed: the session was just registered, or its connection is new.
    pub(super) fn look_again(&mut self) {
        self.stale = true;
        self.fetch_at = None;
        self.backoff.clear();
    }

    /// The server counts up to here.
    pub(super) fn server_is_at(&mut self, seq: u64) {
        self.named = self.named.max(seq);
        self.stale |= self.named > self.newest();
    }

    /// A message the server pushed. Only the very next one is taken: any other means that something may be missing.
    pub(super) fn pushed(&mut self, message: Arrived) {
        let seq = message.seq;
        if !self.stale && seq == self.newest() + 1 {
            // Without room it stays with the server.
            let _ = self.take(message);
        }
        self.server_is_at(seq);
    }

    /// A page after the last number taken in when it was asked for.
    pub(super) fn fetched(&mut self, messages: Vec<Arrived>, last: bool, now: u64) {
        self.fetching = false;
        let before = self.newest();
        let mut all = true;
        for message in messages {
            // Doubled or reordered rows: only what lies ahead counts.
            if message.seq > self.newest() && !self.take(message) {
                all = false;
                break;
            }
        }
        if self.newest() > before || !all {
            self.short_of_it = 0;
            self.backoff.clear();
        }
        // What was missed while the page was on its way is not on it: that stays to be asked for.
        self.stale |= !(last && all);
        self.look_at = Some(now + LOOK_EVERY_MS);
        if !self.stale && self.newest() < self.named {
            // The page may be older than what was pushed; or the server names numbers it does not have.
            self.short_of_it += 1;
            if self.short_of_it > NAMED_IN_VAIN {
                self.named = self.newest();
                self.short_of_it = 0;
            } else {
                self.stale = true;
                self.fetch_at = Some(now + self.backoff.bound());
                let _ = self.backoff.failed(0);
            }
        }
    }

    pub(super) fn fetch_failed(&mut self, fault: Fault, now: u64, random: u64) {
        self.fetching = false;
        self.stale = true;
        let least = if let Fault::After(ms) = fault { ms } else { 0 };
        self.fetch_at = Some(now + 1 + self.backoff.failed(random).max(least));
    }

    /// Whether there was room.
    fn take(&mut self, message: Arrived) -> bool {
        let size = message.prompt.as_ref().map_or(0, |prompt| prompt.text.0.len());
        if self.queue.len() >= QUEUE || (self.bytes + size > QUEUE_BYTES && !self.queue.is_empty()) {
            return false;
        }
        self.bytes += size;
        self.queue.push_back(message);
        true
    }

    /// Where to fetch from now, if at all. With a full queue it waits for room.
    pub(super) fn next_fetch(&mut self, now: u64) -> Option<u64> {
        if !self.stale || self.fetching || self.fetch_at.is_some_and(|at| at > now) {
            return None;
        }
        if self.queue.len() >= QUEUE / 2 {
            return None;
        }
        self.fetching = true;
        self.stale = false;
        Some(self.newest())
    }

    /// What was waited for is over.
    pub(super) fn tick(&mut self, now: u64, live: bool) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.stale = true;
            self.look_at = None;
        }
        if !live {
            self.look_at = None;
        }
        self.fetch_at = self.fetch_at.filter(|at| *at > now);
        self.deliver_at = self.deliver_at.filter(|at| *at > now);
    }

    /// Passes over what asks for nothing; says whether the cursor moved.
    pub(super) fn pass_over(&mut self) -> bool {
        let before = self.cursor;
        while !self.delivering && self.queue.front().is_some_and(|message| message.prompt.is_none()) {
            self.cursor = self.queue.pop_front().map_or(self.cursor, |message| message.seq);
        }
        self.cursor != before
    }

    /// The message to be delivered now.
    pub(super) fn next_delivery(&mut self, now: u64) -> Option<Arrived> {
        if self.delivering || self.deliver_at.is_some_and(|at| at > now) {
            return None;
        }
        let message = self.queue.front()?.clone();
        self.delivering = true;
        Some(message)
    }

    /// The message of this number was answered for. Gives it back when it is done with; the cursor has moved then.
    pub(super) fn delivered(&mut self, seq: u64, later: bool, now: u64) -> Option<Arrived> {
        if !self.delivering || self.queue.front().is_none_or(|message| message.seq != seq) {
            return None;
        }
        self.delivering = false;
        if later {
            self.deliver_at = Some(now + AGAIN_MS);
            return None;
        }
        let message = self.queue.pop_front()?;
        self.bytes -= message.prompt.as_ref().map_or(0, |prompt| prompt.text.0.len());
        self.cursor = message.seq;
        Some(message)
    }

    /// Of what needs the server, and of what does not.
    pub(super) fn deadline(&self, online: bool) -> [Option<u64>; 2] {
        let fetch = self.fetch_at.filter(|_| self.stale && !self.fetching);
        let next = [fetch, self.look_at].into_iter().flatten().min();
        [next.filter(|_| online), self.deliver_at.filter(|_| !self.delivering)]
    }
}
