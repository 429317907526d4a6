//! Ending: stop with escalation, a runner that ended by itself, a holder that is gone.

use delight_proto::agent::AgentOrder;
use delight_proto::event::EventBody;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Desired, Exit, Origin, Phase, RestartPolicy};

use super::callers::Tagged;
use super::effect::Effect;
use super::input::Ended;
use super::state::{
    Cause, END_PATIENCE_MS, Ending, Holder, KILL_AGAIN_MS, MAX_CALLERS, MAX_GRACE_MS, RAN_WELL_MS,
    RESTART_BUDGET, Removal, Starting, Survivors, Then, Tree,
};
use super::step::{Say, Step};
use crate::actor::Ticket;

// The numbers POSIX and every system we know agree on.
const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// After the polite signals the next come after so long, then after twice as long, and so on.
const ASK_AGAIN_MS: u64 = 500;

impl Step {
    pub(super) fn stop(&mut self, ticket: Ticket, origin: Origin, kill: bool, grace_ms: Option<u64>) {
        if let Some(refusal) = self.s.unknown_state("the session cannot be stopped") {
            return self.refuse(ticket, refusal);
        }
        if !self.s.is_alive() {
            return self.say(Say::View { ticket, of_store: true });
        }
        if self.s.callers.stops.len() >= MAX_CALLERS {
            let refusal =
                Refusal::new(Code::Busy, "too many callers", "too many wait for the end of this session");
            return self.refuse(ticket, refusal.fix("wait for its phase with session.wait"));
        }
        self.s.callers.stops.push(ticket);
        let grace =
            if kill { 0 } else { grace_ms.unwrap_or(self.s.record.spec.stop_grace_ms).min(MAX_GRACE_MS) };

        if let Some(ending) = &mut self.s.ending {
            // It is ending already: a second caller may hurry it, and what it becomes is now somebody's wish.
            let was_asked = ending.then == Then::Stopped;
            let hurry = kill && !ending.killed;
            ending.then = Then::Stopped;
            ending.kill_at = ending.kill_at.min(self.now.mono_ms.saturating_add(grace));
            if !was_asked || hurry {
                self.log(EventBody::StopRequested { origin, kill });
                self.save();
            }
            return;
        }
        self.log(EventBody::StopRequested { origin, kill });
        self.save();
        self.s.restart_at = None;
        let stopped =
            Refusal::new(Code::WrongState, "the session did not start", "it was stopped while it started");
        self.refuse_started(&stopped.fix("resume it"));
        self.s.starting = None;
        if self.s.has_tree() {
            self.enter(Phase::Stopping, "");
            self.begin_ending(grace, Then::Stopped);
        } else {
            self.enter(Phase::Stopped, "");
            self.close_holder();
        }
    }

    /// Ends the tree: politely, and by force when the grace is over.
    pub(super) fn begin_ending(&mut self, grace: u64, then: Then) {
        let kill_at = self.now.mono_ms.saturating_add(grace);
        self.withdraw_all("the agent is being ended");
        // An agent that the phone drives can be told; whatever is under way in it is closed in order then.
        let told = grace > 0 && self.s.can_be_told();
        let patience = END_PATIENCE_MS.min(grace / 2);
        let ask_at = told.then(|| self.now.mono_ms.saturating_add(patience));
        if told {
            self.tell(Tagged::End, AgentOrder::End);
        }
        self.s.ending = Some(Ending { kill_at, ask_at, asked: 0, killed: false, then });
        if grace > 0 && !told {
            self.ask_to_end();
        }
        // Without grace `due` kills in this very step.
    }

    /// Asks what lives of it to end, and again after a while. Interactive shells ignore SIGTERM and obey SIGHUP, passing it
    /// on to their jobs; programs made to outlive a terminal ignore SIGHUP and obey SIGTERM: so both. Again only SIGHUP: a
    /// shell that gets one just before it waits for a line keeps it until the next (bash 5.2), and for a second SIGTERM
    /// many programs leave at once what they were tidying up.
    pub(super) fn ask_to_end(&mut self) {
        let Some(ending) = &mut self.s.ending else { return };
        let again = self.now.mono_ms.saturating_add(ASK_AGAIN_MS << ending.asked.min(10));
        ending.ask_at = Some(again).filter(|at| *at < ending.kill_at);
        ending.asked += 1;
        if ending.asked == 1 {
            self.signal(SIGHUP);
            self.signal(SIGTERM);
        } else if self.s.holder == Holder::Up {
            // Said once, then only done.
            self.act(Effect::SignalTree { signal: SIGHUP });
        }
    }

    fn signal(&mut self, signal: i32) {
        if self.s.holder == Holder::Up {
            self.act(Effect::SignalTree { signal });
            self.log(EventBody::Signalled { signal });
        }
    }

    /// The grace is over, or a kill did not end everything.
    pub(super) fn kill(&mut self) {
        let again = self.now.mono_ms.saturating_add(KILL_AGAIN_MS);
        let up = self.s.holder == Holder::Up;
        let Some(ending) = &mut self.s.ending else { return };
        ending.kill_at = again;
        ending.ask_at = None;
        if !up {
            // Nobody to pass it on; as soon as the holder is found again, `signal_again` does.
            return;
        }
        if ending.killed {
            // Said once, then only done: a process that cannot die must not fill the event log.
            self.act(Effect::SignalTree { signal: SIGKILL });
            let why = "processes of it are alive although SIGKILL was sent";
            let phase = self.s.record.phase;
            if self.s.record.reason.is_empty() || (phase == Phase::Starting && self.s.record.reason != why) {
                self.enter(phase, why);
            }
        } else {
            ending.killed = true;
            self.signal(SIGKILL);
        }
    }

    /// The holder may not have passed on what it was sent.
    pub(super) fn signal_again(&mut self) {
        let Some(ending) = &mut self.s.ending else { return };
        (ending.ask_at, ending.asked) = (None, 0);
        if ending.killed || ending.kill_at <= self.now.mono_ms {
            ending.kill_at = self.now.mono_ms.saturating_add(KILL_AGAIN_MS);
            ending.killed = true;
            self.signal(SIGKILL);
        } else {
            self.ask_to_end();
        }
    }

    pub(super) fn runner_exited(&mut self, ended: Ended) {
        if ended.generation != self.s.record.generation
            || !matches!(self.s.tree, Tree::Up { .. } | Tree::Requested)
        {
            return;
        }
        let cut = self.note_exit(ended);
        self.s.tree = if ended.survivors > 0 { Tree::Survivors(ended.survivors) } else { Tree::Gone };
        match (self.s.ending.is_some(), self.s.has_tree()) {
            (true, true) => {}
            (true, false) => self.ended(),
            (false, _) => self.over_by_itself(cut, ended.exit),
        }
    }

    /// The runner ended and nobody had asked for it: in the midst of its start, or later.
    pub(super) fn over_by_itself(&mut self, cut: Option<Starting>, exit: Exit) {
        let Some(cut) = cut else { return self.exited_by_itself() };
        let why = format!("its agent ended with {exit} before it was ready");
        let refusal = Refusal::new(Code::StartFailed, "the session did not start", why)
            .fix("delightctl logs shows what it wrote");
        if self.s.has_tree() {
            let grace = self.s.record.spec.stop_grace_ms.min(MAX_GRACE_MS);
            return self.give_up_start(refusal, cut.cause, grace);
        }
        self.s.starting = Some(cut);
        self.start_failed(refusal);
    }

    /// Takes a runner's end into the log and the record, once. Gives the start it cut off, if its agent was not ready.
    pub(super) fn note_exit(&mut self, ended: Ended) -> Option<Starting> {
        if let Tree::Up { since, .. } = self.s.tree
            && self.now.mono_ms.saturating_sub(since) >= RAN_WELL_MS
        {
            self.s.record.restarts = 0;
        }
        let cut = self.s.starting.take().filter(|_| !self.s.is_ready());
        self.s.offset = self.s.offset.max(ended.offset);
        if self.s.record.exit.is_some() {
            return cut;
        }
        let at_ms = ended.at_ms.min(self.now.wall_ms);
        self.agent_over("the agent ended");
        self.log_at(at_ms, EventBody::Exited { generation: ended.generation, exit: ended.exit });
        self.save();
        if cut.is_none() {
            // It did start, whatever became of it.
            self.answer_started();
        }
        cut
    }

    /// The runner ended and nobody had asked for it.
    pub(super) fn exited_by_itself(&mut self) {
        let Some(exit) = self.s.record.exit else { return };
        let Tree::Survivors(n) = self.s.tree else { return self.exited() };
        let again = (!exit.is_success() && self.restart_allowed()) || self.falls_back();
        if self.s.capabilities.survivors == Survivors::End || again {
            self.enter(Phase::Stopping, format!("it ended with {exit}; ending {n} more of its processes"));
            let grace = self.s.record.spec.stop_grace_ms.min(MAX_GRACE_MS);
            self.begin_ending(grace, Then::Exited);
        } else {
            self.enter(Phase::Exited, "");
        }
    }

    /// The runner ended by itself and nothing of its tree is alive: start it again, or leave it.
    fn exited(&mut self) {
        if self.fall_back() {
            return;
        }
        let failed = self.s.record.exit.filter(|exit| !exit.is_success());
        match failed {
            Some(exit) if self.restart_allowed() => self.schedule_restart(&exit.to_string()),
            Some(_) if self.s.record.spec.restart == RestartPolicy::OnFailure => {
                self.enter(Phase::Exited, format!("given up after {RESTART_BUDGET} restarts in a row"));
                self.close_holder();
            }
            _ => {
                self.enter(Phase::Exited, "");
                self.close_holder();
            }
        }
    }

    pub(super) fn tree_gone(&mut self, generation: u64) {
        let waited_for = match self.s.tree {
            Tree::Survivors(_) => true,
            // A runner that never said it was up, and was to be ended.
            Tree::Requested => self.s.ending.is_some(),
            // The holder tells of the runner's end first, with its status.
            Tree::Up { .. } | Tree::Gone => false,
        };
        if generation == self.s.record.generation && waited_for {
            self.s.tree = Tree::Gone;
            self.ended();
        }
    }

    /// Nothing of the tree is alive any more.
    pub(super) fn ended(&mut self) {
        match self.s.ending.take().map(|e| e.then) {
            Some(Then::Stopped) => {
                self.s.record.desired = Desired::Stopped;
                self.enter(Phase::Stopped, "");
                self.close_holder();
            }
            Some(Then::Exited) => self.exited(),
            Some(Then::Switch) => self.begin_start(Cause::Switch),
            Some(Then::StartFailed(refusal, Cause::Switch)) => {
                self.s.starting = Some(Starting { by: u64::MAX, cause: Cause::Switch });
                self.start_failed(refusal);
            }
            Some(Then::StartFailed(refusal, _)) => {
                self.enter(Phase::Failed, refusal.to_string());
                self.s.start_refusal = Some(refusal);
                self.close_holder();
            }
            // The last survivor of a session that had ended before.
            None => self.close_holder(),
        }
    }

    /// Tells the holder to end; nothing of the tree is alive.
    pub(super) fn close_holder(&mut self) {
        if matches!(self.s.holder, Holder::Launching | Holder::Up) {
            self.s.holder = Holder::Closing;
            self.act(Effect::CloseHolder);
        }
    }

    pub(super) fn holder_gone(&mut self, ended: Option<Ended>, reason: &str, same_boot: bool) {
        // What is begun from here on waits for `without_holder`, at the end.
        let before = std::mem::replace(&mut self.s.holder, Holder::Closing);
        self.unstart();
        self.s.spare = None;
        self.s.troubles.clear();
        self.s.controller = None;
        let lost = Refusal::new(
            Code::HolderUnreachable,
            "the request was not carried out",
            "the session's holder ended",
        );
        self.refuse_tagged(&lost);
        let ended = ended.filter(|e| e.generation == self.s.record.generation);
        if matches!(before, Holder::Seeking | Holder::Unreachable { .. }) {
            return self.found_gone(ended, reason, same_boot);
        }
        match self.s.tree {
            Tree::Gone if before == Holder::Launching => {
                let why = format!("its holder ended before it was ready: {reason}");
                self.start_failed(
                    Refusal::new(Code::StartFailed, "the session could not be started", why).retry(),
                );
                self.without_holder();
            }
            Tree::Gone => self.without_holder(),
            tree => {
                let cut = ended.and_then(|ended| self.note_exit(ended));
                self.s.tree = Tree::Gone;
                self.tree_lost(tree, ended, cut, reason);
                self.without_holder();
            }
        }
    }

    /// The holder went while something of the tree was alive, and took it along.
    fn tree_lost(&mut self, tree: Tree, ended: Option<Ended>, cut: Option<Starting>, reason: &str) {
        let why = format!("its holder ended: {reason}");
        if self.s.ending.is_some() || matches!(tree, Tree::Survivors(_)) {
            self.ended();
        } else if let Some(ended) = ended {
            self.over_by_itself(cut, ended.exit);
        } else if self.s.starting.is_some() {
            self.start_failed(
                Refusal::new(Code::StartFailed, "the session could not be started", why).retry(),
            );
        } else {
            self.interrupted(&why, false);
        }
    }

    /// There is no holder: go on with what waited for that.
    pub(super) fn without_holder(&mut self) {
        self.s.holder = Holder::None;
        if self.s.record.holder.take().is_some() {
            self.save();
        }
        if self.s.removal == Removal::WaitsForHolder {
            self.discard();
        } else if self.s.starting.is_some() && !self.s.has_tree() {
            self.launch();
        }
    }

    /// It ended while nobody could watch; whether it is started again is a matter of policy. `cut_start`: it had not
    /// even begun; who asked for it with a request id will ask again and is to find it running.
    pub(super) fn interrupted(&mut self, why: &str, cut_start: bool) {
        self.s.starting = None;
        self.agent_over(why);
        self.log(EventBody::Interrupted { reason: why.to_owned() });
        self.save();
        let record = &self.s.record;
        let asked_again = cut_start && record.request_id.is_some();
        let wanted =
            record.spec.restart == RestartPolicy::OnFailure || self.s.capabilities.resume || asked_again;
        if wanted && record.desired == Desired::Running && record.restarts < RESTART_BUDGET {
            self.schedule_restart(why);
        } else {
            self.close_holder();
        }
    }
}
