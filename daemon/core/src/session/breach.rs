//! What must hold of a session after every step. Only tests ask.

use delight_proto::agent::Control;
use delight_proto::agent::bounds::{ACCEPTED, ALLOWED, COMPLETED, PENDING, QUEUED, QUEUED_BYTES, SEEN};
use delight_proto::session::Phase;

use super::callers::Tagged;
use super::state::{
    Cause, Holder, MAX_CALLERS, MAX_EARLY_BYTES, MAX_PENDING_BYTES, MAX_SEND_BYTES, MAX_TAGGED, MAX_TROUBLES,
    MAX_UNSTORED, RESTART_BUDGET, Removal, SAVE_EVERY, Session, Then, Tree,
};

impl Session {
    /// The rule this state breaks, if it breaks one.
    #[must_use]
    pub fn breach(&self) -> Option<String> {
        let callers = &self.callers;
        let early: usize = callers.early.iter().map(|e| e.bytes.len()).sum();
        let pending: u64 = callers.tagged.values().map(Tagged::bytes).sum();
        let requests = callers.tagged.values().filter(|tagged| tagged.is_request()).count();
        let agent = &self.record.agent;
        let waiting = self.pending().count();
        let queued: usize = agent.queue.iter().map(|message| message.text.len()).sum();
        let ends = |then: fn(&Then) -> bool| self.ending.as_ref().is_some_and(|ending| then(&ending.then));
        let hands_over = ends(|then| matches!(then, Then::Switch | Then::StartFailed(_, Cause::Switch)));
        let phase = self.record.phase;
        let live = phase.is_live();
        let sought = self.is_sought();
        let rules = [
            (callers.starts.len() <= MAX_CALLERS, "too many callers wait for its start"),
            (callers.stops.len() <= MAX_CALLERS, "too many callers wait for its end"),
            (callers.waits.len() <= MAX_CALLERS, "too many callers wait for a phase"),
            (requests <= MAX_TAGGED, "too many requests are under way"),
            (callers.tagged.len() <= MAX_TAGGED + QUEUED + COMPLETED + PENDING + 1, "too much is under way"),
            (callers.switches.len() <= MAX_CALLERS, "too many callers wait for control"),
            (callers.prompts.len() <= MAX_CALLERS + QUEUED, "too many callers wait for messages"),
            (callers.decides.len() <= MAX_CALLERS, "too many callers wait for decisions"),
            (agent.queue.len() <= QUEUED && queued <= QUEUED_BYTES, "too many messages wait"),
            (waiting <= PENDING, "too many permissions wait"),
            (agent.permissions.len() <= PENDING + COMPLETED + 1, "too many permissions are kept"),
            (agent.accepted.len() <= ACCEPTED, "too many message ids are kept"),
            (agent.seen.len() <= SEEN, "too many keys are kept"),
            (agent.allowed.len() <= ALLOWED, "too much is allowed"),
            (self.expiries.len() <= waiting, "something expires that does not wait"),
            (self.unsaved_marks < SAVE_EVERY, "places are not saved"),
            (self.store.withheld.len() <= MAX_TAGGED + QUEUED + COMPLETED + PENDING, "too much is withheld"),
            (live || sought || waiting == 0, "ended, and a permission waits"),
            (live || sought || agent.turn.is_none(), "ended, and a turn is open"),
            (live || self.restoring || agent.queue.is_empty(), "ended, and a message waits"),
            (live || callers.switches.is_empty(), "ended, and somebody waits for control"),
            (live || callers.prompts.is_empty(), "ended, and somebody waits for a message"),
            (live || callers.decides.is_empty(), "ended, and somebody waits for a decision"),
            (
                phase != Phase::Running || sought || self.is_ready(),
                "running, and its agent does not take messages",
            ),
            (
                !self.is_stable()
                    || agent.control == Some(Control::Remote)
                    || agent.queue.is_empty()
                    || !callers.switches.is_empty(),
                "the desktop drives, and messages wait for the phone's agent",
            ),
            (
                !self.is_stable()
                    || callers.switches.iter().all(|w| Some(w.to) == agent.control || self.is_shared()),
                "stable, and control is not handed over",
            ),
            (agent.control.is_some() || agent.permissions.is_empty(), "a permission without an agent"),
            (
                callers.early.len() <= MAX_TAGGED && early <= MAX_EARLY_BYTES,
                "too much input waits for its start",
            ),
            (pending <= MAX_PENDING_BYTES as u64 + MAX_SEND_BYTES as u64, "too much input is under way"),
            (self.store.unstored.len() <= MAX_UNSTORED, "too many events are kept"),
            (self.troubles.len() <= MAX_TROUBLES, "too many troubles are kept"),
            (self.record.restarts <= RESTART_BUDGET, "the restart budget is overdrawn"),
            (
                phase != Phase::Running || sought || matches!(self.tree, Tree::Up { .. }),
                "running without a runner",
            ),
            (
                phase != Phase::Starting
                    || sought
                    || self.starting.is_some()
                    || hands_over
                    || self.record.last_seq == 0,
                "starting without a start",
            ),
            (phase != Phase::Stopping || sought || self.ending.is_some(), "stopping without an end"),
            (phase != Phase::Stopping || sought || self.has_tree(), "stopping nothing"),
            (
                phase != Phase::BackingOff
                    || sought
                    || self.restart_at.is_some()
                    || self.record.last_seq == 0,
                "backing off for ever",
            ),
            (live || self.starting.is_none(), "ended, and a start is under way"),
            (live || self.ending.is_none(), "ended, and an end is under way"),
            (live || self.restart_at.is_none(), "ended, and a restart is due"),
            (live || !matches!(self.tree, Tree::Up { .. } | Tree::Requested), "ended, and a runner is up"),
            (live || callers.starts.is_empty(), "ended, and somebody waits for its start"),
            (live || callers.early.is_empty(), "ended, and input waits for its start"),
            (self.is_alive() || callers.stops.is_empty(), "ended, and somebody waits for that"),
            (
                self.tree == Tree::Gone || !matches!(self.holder, Holder::None | Holder::Closing),
                "a tree without a holder",
            ),
            (
                self.holder != Holder::Closing || !matches!(self.tree, Tree::Survivors(_)),
                "survivors without their reaper",
            ),
            (
                self.removal != Removal::Done || self.holder == Holder::None,
                "removed, and its holder is there",
            ),
            (self.removal != Removal::Done || callers.nobody(), "removed, and somebody waits"),
            (self.store.trouble.is_some() || self.store.unstored.is_empty(), "events are kept without need"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule.to_owned())
    }

    /// Whether its newest state could not be stored.
    #[must_use]
    pub fn has_store_trouble(&self) -> bool {
        self.store.trouble.is_some()
    }
}

impl super::callers::Callers {
    fn nobody(&self) -> bool {
        self.starts.is_empty()
            && self.stops.is_empty()
            && self.waits.is_empty()
            && self.removals.is_empty()
            && self.early.is_empty()
            && self.switches.is_empty()
            && self.prompts.is_empty()
            && self.decides.is_empty()
            && self.tagged.is_empty()
    }
}
