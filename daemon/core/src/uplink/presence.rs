//! Signs of life: as few as servers need, and none that is not true.

use serde::{Deserialize, Serialize};

/// Between two signs of the machine. Servers give it up after two minutes.
pub(super) const MACHINE_EVERY_MS: u64 = 20_000;
/// Between two signs of a session at work. The servers pass each on to every phone.
const WORKING_EVERY_MS: u64 = 10_000;
/// Between two signs of a session that waits: silence of two minutes is the shortest any server takes for an end.
const WAITING_EVERY_MS: u64 = 45_000;
/// After a new connection a second sign, for a server that hears the old one's end late.
const ONCE_MORE_MS: u64 = 3_000;
/// For so long after an end servers may swallow signs of life: they are repeated until then.
const SWALLOWED_MS: u64 = 70_000;

/// One session's signs of life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Presence {
    /// The next sign is due.
    next: Option<u64>,
    once_more: Option<u64>,
    /// What the last sign said.
    said: Option<(bool, Option<bool>)>,
    end: End,
    ended_at: Option<u64>,
}

/// What the server has been told of the session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum End {
    /// All there is to tell.
    #[default]
    Told,
    /// It believes the session alive.
    Untold {
        /// Not to be told before.
        after: Option<u64>,
    },
    /// It is being told.
    Telling,
}

impl Presence {
    /// Whether the server believes it alive is known only when its end was told, or nothing ever was.
    pub(super) fn new(end_told: bool) -> Self {
        let end = if end_told { End::Told } else { End::Untold { after: None } };
        Self { end, ..Self::default() }
    }

    /// A new connection, of the machine or of the session itself.
    pub(super) fn renew(&mut self, now: u64) {
        if let End::Untold { after } = &mut self.end {
            *after = None;
        }
        self.next = Some(now);
        self.once_more = Some(now + ONCE_MORE_MS);
    }

    /// Whether a sign is due now. `remote` says who drives.
    pub(super) fn is_due(&mut self, now: u64, thinking: bool, remote: Option<bool>) -> bool {
        let changed = self.said != Some((thinking, remote));
        let once_more = self.once_more.is_some_and(|at| at <= now);
        if !changed && !once_more && self.next.is_some_and(|at| at > now) {
            return false;
        }
        if once_more {
            self.once_more = None;
        }
        let swallowed = self.ended_at.is_some_and(|at| now < at + SWALLOWED_MS);
        let every = if thinking || swallowed { WORKING_EVERY_MS } else { WAITING_EVERY_MS };
        self.next = Some(now + every);
        self.said = Some((thinking, remote));
        self.end = End::Untold { after: None };
        true
    }

    /// From now on the server may call it alive.
    pub(super) fn may_be_believed_alive(&mut self) {
        if self.end == End::Told {
            self.end = End::Untold { after: None };
        }
    }

    pub(super) fn end_is_told(&self) -> bool {
        self.end == End::Told
    }

    /// Whether its end may be told now.
    pub(super) fn may_tell_end(&mut self, now: u64) -> bool {
        let End::Untold { after } = &mut self.end else { return false };
        *after = after.filter(|at| *at > now);
        after.is_none()
    }

    pub(super) fn tell_end(&mut self) {
        self.end = End::Telling;
    }

    /// The server has heard of the end, or may not have.
    pub(super) fn end_told(&mut self, heard: bool, now: u64) {
        if self.end != End::Telling {
            return;
        }
        if heard {
            self.end = End::Told;
            self.ended_at = Some(now);
            (self.said, self.next, self.once_more) = (None, None, None);
        } else {
            self.end = End::Untold { after: Some(now + ONCE_MORE_MS) };
        }
    }

    pub(super) fn deadline(&self, live: bool) -> Option<u64> {
        match self.end {
            _ if live => [self.next, self.once_more].into_iter().flatten().min(),
            End::Untold { after } => after,
            End::Told | End::Telling => None,
        }
    }
}
