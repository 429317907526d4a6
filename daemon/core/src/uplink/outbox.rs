//! A session's records on their way to the server: the event log is the outbox, this is where it stands.

use delight_proto::sync::bounded::Id;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::input::Fault;
use super::projection::Thinning;

/// Notices that wait. Each belongs to a refused message: with so many, messages wait until some have been sent.
const NOTICES: usize = 16;

/// Events behind from which thoughts and token counts are left out: more than a long turn has.
const LEAN_FROM: u64 = 1_000;
/// Events behind from which what the agent did is told in short: a day away.
const FOLDED_FROM: u64 = 4_000;

/// Words for the phone that are no event of the session: why its message was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The number of the message it is about: also makes its id.
    pub about: u64,
    /// The words.
    pub text: String,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// Events before these were found to be told lean, or in short. It stays so while there are fewer and fewer left: the rest of
/// a day away does not come whole.
///
/// Kept with the cursor: a batch that was sent in short and is sent whole by the next daemon, because the answer was lost,
/// would bring what was left out after what followed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shortened {
    lean_until: u64,
    folded_until: u64,
}

/// What is kept of a session's link across the daemon's end. The default: the server was asked, and nothing was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The server's id of the session; none: it was asked to make the session known, and has not answered.
    pub server_id: Option<Id>,
    /// The last event the server has.
    pub sent: u64,
    /// The last message of the server's that has been answered for.
    pub received: u64,
    /// Notices the server does not have yet.
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// The server was told that the session ended.
    #[serde(default)]
    pub ended: bool,
    /// How far it is told in short.
    #[serde(default)]
    pub shortened: Shortened,
}

/// Where one session's outbox stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Outbox {
    /// The last event the server has.
    pub(super) cursor: u64,
    /// The last event there is.
    pub(super) last: u64,
    pub(super) notices: Vec<Notice>,
    pub(super) shortened: Shortened,
    in_flight: bool,
    backoff: Backoff,
    blocked_until: Option<u64>,
}

impl Outbox {
    pub(super) fn at(cursor: u64, notices: Vec<Notice>, shortened: Shortened) -> Self {
        Self { cursor, last: cursor, notices, shortened, ..Self::default() }
    }

    /// Events the server does not have.
    pub(super) fn behind(&self) -> u64 {
        self.last.saturating_sub(self.cursor)
    }

    pub(super) fn waiting(&self) -> u64 {
        self.behind() + self.notices.len() as u64
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Whether a message may be delivered: should it be refused, there is room to say so.
    pub(super) fn has_room(&self) -> bool {
        self.notices.len() < NOTICES
    }

    /// Whether a batch is to be sent now.
    pub(super) fn next(&mut self, now: u64) -> bool {
        if self.in_flight || self.waiting() == 0 || self.blocked_until.is_some_and(|until| until > now) {
            return false;
        }
        self.blocked_until = None;
        self.in_flight = true;
        true
    }

    pub(super) fn thinning(&mut self) -> Thinning {
        if self.behind() > LEAN_FROM {
            self.shortened.lean_until = self.last;
        }
        if self.behind() > FOLDED_FROM {
            self.shortened.folded_until = self.last;
        }
        if self.cursor < self.shortened.folded_until {
            Thinning::Folded
        } else if self.cursor < self.shortened.lean_until {
            Thinning::Lean
        } else {
            Thinning::Whole
        }
    }

    pub(super) fn posted(&mut self, through: u64, notices: usize) {
        self.in_flight = false;
        self.backoff.clear();
        self.cursor = self.cursor.max(through);
        self.last = self.last.max(through);
        self.notices.drain(..notices.min(self.notices.len()));
    }

    pub(super) fn failed(&mut self, fault: Fault, now: u64, random: u64) {
        self.in_flight = false;
        let least = match fault {
            Fault::After(ms) => ms,
            // It will hardly be taken the next time either, but nothing is thrown away for that.
            Fault::Never => Backoff::CEILING_MS,
            _ => 0,
        };
        self.blocked_until = Some(now + 1 + self.backoff.failed(random).max(least));
    }

    pub(super) fn unblock(&mut self) {
        self.blocked_until = None;
        self.backoff.clear();
    }

    /// The server has lost everything.
    pub(super) fn rewind(&mut self) {
        self.cursor = 0;
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.blocked_until.filter(|_| !self.in_flight && self.waiting() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_in_a_day_is_told_in_short_to_its_end() {
        let mut outbox = Outbox { last: FOLDED_FROM + 2, ..Outbox::default() };
        for cursor in [0, FOLDED_FROM, FOLDED_FROM + 1] {
            outbox.cursor = cursor;
            assert_eq!(outbox.thinning(), Thinning::Folded, "at {cursor}");
        }
        outbox.last += LEAN_FROM + 10;
        outbox.cursor = FOLDED_FROM + 2;
        assert_eq!(outbox.thinning(), Thinning::Lean);
        outbox.cursor = outbox.last - 1;
        assert_eq!(outbox.thinning(), Thinning::Lean);
        outbox.cursor = outbox.last;
        assert_eq!(outbox.thinning(), Thinning::Whole);
    }
}
