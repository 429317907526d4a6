//! Commands that neither start nor end: send, resize, rename, remove.

use delight_proto::agent::Control;
use delight_proto::event::EventBody;
use delight_proto::id::SessionName;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, Phase, Size};

use super::callers::{Early, Tagged};
use super::effect::Effect;
use super::reduce::phase_word;
use super::state::{
    Holder, MAX_CONTROLLER_CHARS, MAX_EARLY_BYTES, MAX_PENDING_BYTES, MAX_SEND_BYTES, MAX_TAGGED,
    MAX_TROUBLE_CHARS, MAX_TROUBLES, Removal, Session, Tree,
};
use super::step::{Say, Step};
use super::storing::storage_refusal;
use crate::actor::Ticket;

impl Step {
    pub(super) fn send(&mut self, ticket: Ticket, origin: Origin, bytes: Vec<u8>) {
        let what = "the input was not sent";
        if bytes.len() > MAX_SEND_BYTES {
            let why = format!("{} bytes at once; at most {MAX_SEND_BYTES} are taken", bytes.len());
            return self.refuse(ticket, Refusal::new(Code::TooLarge, what, why).fix("send it in pieces"));
        }
        if let Some(refusal) = self.s.unknown_state(what) {
            return self.refuse(ticket, refusal);
        }
        if self.s.record.agent.control == Some(Control::Remote) && self.s.record.phase.is_live() {
            let (why, fix) = if self.s.is_shared() {
                (
                    "the agent's terminal is not there: each client of a shared session has its own",
                    "give the agent a message with session.prompt, or attach",
                )
            } else {
                (
                    "the phone drives; the agent's terminal is not there",
                    "give the agent a message with session.prompt, or take control first",
                )
            };
            return self.wrong_state(ticket, what, why, fix);
        }
        match self.s.record.phase {
            Phase::Starting => {
                let waiting: usize = self.s.callers.early.iter().map(|e| e.bytes.len()).sum();
                if waiting + bytes.len() > MAX_EARLY_BYTES || self.s.callers.early.len() >= MAX_TAGGED {
                    let why = "its runner is being started, and no more input can wait for it";
                    return self
                        .refuse(ticket, Refusal::new(Code::Busy, what, why).fix("send it once it runs"));
                }
                self.s.callers.early.push(Early { ticket, origin, bytes });
            }
            Phase::Running => {
                let pending: u64 = self.s.callers.tagged.values().map(Tagged::bytes).sum();
                if pending + bytes.len() as u64 > MAX_PENDING_BYTES as u64 || self.has_too_many_requests() {
                    let why = "its runner has not read yet what was sent before";
                    return self.refuse(ticket, Refusal::new(Code::Busy, what, why).fix("send it later"));
                }
                self.write(ticket, origin, bytes);
            }
            phase => {
                let why = format!("it is {}", phase_word(phase));
                self.wrong_state(ticket, what, &why, "resume it first");
            }
        }
    }

    fn has_too_many_requests(&self) -> bool {
        self.s.callers.tagged.values().filter(|tagged| tagged.is_request()).count() >= MAX_TAGGED
    }

    fn write(&mut self, ticket: Ticket, origin: Origin, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return self.say(Say::Sent { ticket, bytes: 0 });
        }
        let tag = self.s.callers.tag(Tagged::Send { ticket, origin, bytes: bytes.len() as u64 });
        self.act(Effect::Write { tag, bytes });
    }

    /// The runner is up: what was sent while it started, in order.
    pub(super) fn send_early(&mut self) {
        for Early { ticket, origin, bytes } in std::mem::take(&mut self.s.callers.early) {
            self.write(ticket, origin, bytes);
        }
    }

    /// There will be no runner for what was sent while it started.
    pub(super) fn refuse_early(&mut self, refusal: &Refusal) {
        for early in std::mem::take(&mut self.s.callers.early) {
            let why = Refusal::new(refusal.code, "the input was not sent", refusal.reason.clone());
            self.refuse(early.ticket, Refusal { retry: false, ..why });
        }
    }

    pub(super) fn resize(&mut self, ticket: Ticket, size: Size) {
        let what = "the size was not set";
        if let Some(refusal) = self.s.unknown_state(what) {
            return self.refuse(ticket, refusal);
        }
        if !matches!(self.s.tree, Tree::Up { .. }) {
            let why = format!("it is {}", phase_word(self.s.record.phase));
            return self.wrong_state(ticket, what, &why, "set it while it runs");
        }
        if self.has_too_many_requests() {
            return self.refuse(
                ticket,
                Refusal::new(Code::Busy, what, "too many requests to its holder are under way"),
            );
        }
        let tag = self.s.callers.tag(Tagged::Resize { ticket });
        self.act(Effect::Resize { tag, size: size.clamped() });
    }

    pub(super) fn rename(&mut self, ticket: Ticket, name: Option<&SessionName>) {
        if let Some(trouble) = &self.s.store.trouble {
            let refusal = storage_refusal(&trouble.reason);
            self.refuse(ticket, refusal);
            // Claimed for this rename, and never borne.
            return name.cloned().into_iter().for_each(|name| self.say(Say::ReleaseName(name)));
        }
        let previous = self.s.record.name.clone();
        if name != previous.as_ref() {
            self.log(EventBody::Renamed { name: name.map(ToString::to_string) });
            self.save();
        }
        self.say(Say::Renamed { ticket, previous: previous.clone() });
        if let Some(previous) = previous {
            // Also when the name stays: the supervisor has claimed it once more for this rename.
            self.say(Say::ReleaseName(previous));
        }
    }

    pub(super) fn remove(&mut self, ticket: Ticket) {
        let what = "the session cannot be removed";
        if let Some(refusal) = self.s.unknown_state(what) {
            return self.refuse(ticket, refusal);
        }
        if self.s.is_alive() {
            let why = match self.s.record.phase {
                Phase::Exited => "processes of it still run".to_owned(),
                phase => format!("it is {}", phase_word(phase)),
            };
            return self.wrong_state(ticket, what, &why, "stop it first");
        }
        self.s.callers.removals.push(ticket);
        self.remove_when_alone();
    }

    /// Forgets the session, at once or when its holder is gone: a holder must not write into a deleted directory.
    pub(super) fn remove_when_alone(&mut self) {
        self.s.removal = Removal::WaitsForHolder;
        self.close_holder();
        if self.s.holder == Holder::None {
            self.discard();
        }
    }

    pub(super) fn discard(&mut self) {
        self.s.removal = Removal::Done;
        self.forget();
        for ticket in std::mem::take(&mut self.s.callers.removals) {
            self.say(Say::Removed { ticket });
        }
        self.say(Say::Gone);
    }

    pub(super) fn controlled(&mut self, by: Option<String>) {
        self.s.controller = by.map(|name| name.chars().take(MAX_CONTROLLER_CHARS).collect());
    }

    pub(super) fn trouble(&mut self, mut troubles: Vec<String>) {
        troubles.truncate(MAX_TROUBLES);
        for trouble in &mut troubles {
            if let Some((end, _)) = trouble.char_indices().nth(MAX_TROUBLE_CHARS) {
                trouble.truncate(end);
            }
        }
        if troubles != self.s.troubles {
            self.log(EventBody::Trouble { warning: troubles.join("; ") });
            self.s.troubles = troubles;
        }
    }
}

impl Session {
    /// Whether it is removed, or as good as.
    pub(super) fn is_discarded(&self) -> bool {
        self.removal != Removal::No
    }

    pub(super) fn no_such_session(&self) -> Refusal {
        let what = format!("no session {}", self.record.id);
        Refusal::new(Code::NotFound, what, "it was removed").fix("delightctl list shows those there are")
    }
}
