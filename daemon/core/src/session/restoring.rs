//! Finding a session again: after the daemon's restart, or after the connection to its holder broke.

use delight_proto::agent::Mark;
use delight_proto::event::EventBody;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Desired, Phase};

use super::effect::Effect;
use super::input::{Ended, Found, Runner};
use super::state::{Cause, Holder, MAX_GRACE_MS, RETRY_FIRST_MS, RETRY_MAX_MS, Starting, Then, Tree};
use super::step::{Say, Step};

impl Step {
    /// Its turn to be restored.
    pub(super) fn restore(&mut self) {
        if !self.s.restoring || self.s.holder != Holder::None {
            return;
        }
        if self.s.store.saved_seq != self.s.record.last_seq {
            // Events beyond the record are not durable: a power cut must not bring back what they changed and others rely
            // on (a name given up). Events short of it went in a power cut: the next ones take their numbers, and must not
            // be taken for old ones when they are folded in.
            self.save();
        }
        self.rearm();
        if self.s.record.phase.is_live() || self.s.record.holder.is_some() {
            self.s.holder = Holder::Seeking;
            self.act(Effect::Adopt);
        } else {
            self.restored(false);
        }
    }

    fn restored(&mut self, adopted: bool) {
        if std::mem::replace(&mut self.s.restoring, false) {
            self.say(Say::Restored { adopted });
        }
    }

    pub(super) fn holder_unreachable(&mut self, reason: &str) {
        match self.s.holder {
            // The connection broke. Who holds the lock says what is true.
            Holder::Up | Holder::Closing => {
                self.unstart();
                let why = format!("the connection to its holder broke: {reason}");
                let lost =
                    Refusal::new(Code::HolderUnreachable, "it is not known whether this was done", why);
                self.refuse_tagged(&lost);
                self.s.holder = Holder::Seeking;
                self.act(Effect::Adopt);
            }
            Holder::Seeking => {
                let wait_ms = self.s.seek_wait_ms;
                self.s.seek_wait_ms = wait_ms.saturating_mul(2).min(RETRY_MAX_MS);
                self.s.holder = Holder::Unreachable { retry_at: self.now.mono_ms.saturating_add(wait_ms) };
                self.restored(false);
            }
            // Nothing was asked of it yet: whatever starts finds out.
            Holder::None => self.s.spare = None,
            Holder::Launching | Holder::Unreachable { .. } => {}
        }
    }

    /// Another try to reach a holder that is alive and does not answer.
    pub(super) fn seek_again(&mut self) {
        self.s.holder = Holder::Seeking;
        self.act(Effect::Adopt);
    }

    pub(super) fn adopted(&mut self, found: Found) {
        if self.s.holder != Holder::Seeking {
            return;
        }
        let Found { identity, runner, ended, offset, troubles } = found;
        self.s.holder = Holder::Up;
        self.s.seek_wait_ms = RETRY_FIRST_MS;
        self.s.record.holder = Some(identity);
        self.s.offset = self.s.offset.max(offset);
        // If somebody controls it, the holder says so next.
        self.s.controller = None;
        let generation = runner.map(|r| r.generation).or(ended.map(|e| e.generation)).unwrap_or(0);
        self.log(EventBody::Adopted { generation });
        self.save();
        self.restored(true);
        self.trouble(troubles);
        match (runner, ended) {
            (Some(runner), _) => self.found_running(runner),
            (None, Some(ended)) if ended.generation == self.s.record.generation => self.found_ended(ended),
            // The generation on record was never started.
            (None, _) => self.found_unstarted(),
        }
    }

    /// The holder is the authority on what runs: it is that generation, whatever the record says.
    fn found_running(&mut self, runner: Runner) {
        let known = self.s.record.generation == runner.generation;
        self.s.record.generation = runner.generation;
        if !known {
            // Nothing of it was taken in.
            self.s.record.agent.stream = Mark::default();
        }
        let (since, same) = match self.s.tree {
            Tree::Up { since, pid } if known => (since, pid == runner.pid),
            _ => (self.now.mono_ms, false),
        };
        self.s.tree = Tree::Up { pid: runner.pid, since };
        let start = self.s.starting.take();
        let was_starting = start.is_some() || self.s.record.phase == Phase::Starting;
        if self.s.ending.is_some() {
            return self.signal_again();
        }
        if self.is_stopping() {
            self.enter(Phase::Stopping, "");
            return self.resume_ending();
        }
        if let Some(handover) = self.s.record.agent.handover
            && runner.generation < handover.generation
        {
            // It still serves who drove before: the daemon ended in the midst of handing over.
            self.enter(Phase::Starting, "control changes hands");
            let grace = self.s.record.spec.stop_grace_ms.min(MAX_GRACE_MS);
            return self.begin_ending(grace, Then::Switch);
        }
        if was_starting && !same {
            self.log(EventBody::Started { generation: runner.generation, pid: runner.pid });
        }
        if self.s.is_ready() {
            return self.running();
        }
        let handed_over = self.s.record.agent.handover.is_some();
        let cause = start.map_or(if handed_over { Cause::Switch } else { Cause::Resume }, |s| s.cause);
        self.await_ready(cause);
        self.tell_all();
    }

    /// Goes on with a stop the daemon did not live to finish. Its callers are gone; the decision is not.
    fn resume_ending(&mut self) {
        let then = if self.s.record.desired == Desired::Stopped { Then::Stopped } else { Then::Exited };
        let grace = self.s.record.spec.stop_grace_ms.min(MAX_GRACE_MS);
        self.begin_ending(grace, then);
    }

    fn found_ended(&mut self, ended: Ended) {
        let live = self.s.record.phase.is_live();
        let cut = self.note_exit(ended);
        // The count is of the time of the exit; a restart is planned only once they are gone.
        let left = ended.survivors > 0 && self.s.record.phase != Phase::BackingOff;
        self.s.tree = if left { Tree::Survivors(ended.survivors) } else { Tree::Gone };
        match (self.s.ending.is_some(), self.s.has_tree()) {
            (true, true) => self.signal_again(),
            (true, false) => self.ended(),
            (false, true) if live && self.is_stopping() => self.resume_ending(),
            (false, true) if live && self.s.record.agent.handover.is_some() => {
                self.enter(Phase::Starting, "control changes hands");
                self.begin_ending(0, Then::Switch);
            }
            (false, false) if live => self.found_over(cut, ended),
            (false, true) => {
                if live {
                    self.over_by_itself(cut, ended.exit);
                }
                if self.s.ending.is_none() {
                    // The count is of the time of the exit. A holder with nothing left to reap ends now; one whose
                    // survivors live on refuses, and that is as well.
                    self.act(Effect::CloseHolder);
                }
            }
            (false, false) => self.close_holder(),
        }
    }

    fn is_stopping(&self) -> bool {
        self.s.record.desired == Desired::Stopped || self.s.record.phase == Phase::Stopping
    }

    /// Its runner has ended and nothing of its tree is alive: what does the live phase on record become?
    fn found_over(&mut self, cut: Option<Starting>, ended: Ended) {
        let record = &self.s.record;
        match record.phase {
            _ if record.desired == Desired::Stopped => {
                self.enter(Phase::Stopped, "");
                self.close_holder();
            }
            Phase::BackingOff => self.reschedule_restart(),
            _ if record.agent.handover.is_some() => self.go_on_handing_over(),
            _ => self.over_by_itself(cut, ended.exit),
        }
    }

    /// The daemon or its connection ended in the midst of handing over, and no runner is left: if the one for the new
    /// driver had its chance, who drove before does again.
    fn go_on_handing_over(&mut self) {
        let Some(handover) = self.s.record.agent.handover else { return };
        if self.s.record.generation < handover.generation || self.s.record.exit.is_none() {
            return self.begin_start(Cause::Switch);
        }
        self.s.starting = Some(Starting { by: u64::MAX, cause: Cause::Switch });
        let why = "its agent ended before it was ready";
        self.start_failed(Refusal::new(Code::StartFailed, "control was not handed over", why));
    }

    /// The generation on record has no runner and never had one.
    fn found_unstarted(&mut self) {
        let tree = std::mem::replace(&mut self.s.tree, Tree::Gone);
        if self.s.ending.is_some() {
            return self.ended();
        }
        if self.s.starting.is_some() && tree == Tree::Gone {
            // The start waits for this holder to go; it still has to.
            return self.close_holder();
        }
        if self.s.starting.is_some() {
            let why = "the connection to its holder broke while it was being started";
            let refusal = Refusal::new(Code::StartFailed, "the session could not be started", why).retry();
            return self.start_failed(refusal);
        }
        let record = &self.s.record;
        match record.phase {
            phase if !phase.is_live() => self.close_holder(),
            _ if record.desired == Desired::Stopped => {
                self.enter(Phase::Stopped, "");
                self.close_holder();
            }
            Phase::BackingOff => self.reschedule_restart(),
            _ if record.agent.handover.is_some() => self.go_on_handing_over(),
            phase => {
                let cut_start = phase == Phase::Starting;
                self.interrupted("the daemon ended while it was being started", cut_start);
            }
        }
    }

    /// It was looked for and there is no holder.
    pub(super) fn found_gone(&mut self, ended: Option<Ended>, reason: &str, same_boot: bool) {
        self.s.seek_wait_ms = RETRY_FIRST_MS;
        let live = self.s.record.phase.is_live();
        let cut = ended.and_then(|ended| self.note_exit(ended));
        let tree = std::mem::replace(&mut self.s.tree, Tree::Gone);
        if self.s.ending.is_some() {
            self.ended();
        } else if self.s.starting.is_some() && tree != Tree::Gone {
            let why = format!("its holder ended: {reason}");
            self.start_failed(
                Refusal::new(Code::StartFailed, "the session could not be started", why).retry(),
            );
        } else if self.s.starting.is_some() {
            // The start waits for this holder to go; `without_holder` goes on with it.
        } else if live {
            let record = &self.s.record;
            match record.phase {
                _ if record.desired == Desired::Stopped => self.enter(Phase::Stopped, ""),
                Phase::BackingOff => self.reschedule_restart(),
                _ if same_boot && record.agent.handover.is_some() => self.go_on_handing_over(),
                _ if let Some(ended) = ended => self.over_by_itself(cut, ended.exit),
                Phase::Starting if same_boot => self.found_unstarted(),
                // It had ended with a status and what it left behind was being ended.
                Phase::Stopping if record.exit.is_some() => self.exited_by_itself(),
                phase => {
                    let why = if same_boot { reason } else { "reboot" };
                    self.interrupted(why, phase == Phase::Starting);
                }
            }
        } else if tree != Tree::Gone {
            self.ended();
        }
        self.without_holder();
        self.restored(false);
    }
}
