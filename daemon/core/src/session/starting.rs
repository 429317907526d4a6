//! Starting: spawn, resume, restart, and what becomes of a start.

use delight_proto::agent::{Control, Launched, Mark};
use delight_proto::event::EventBody;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Desired, HolderIdentity, Origin, Phase, RestartPolicy};

use super::effect::Effect;
use super::input::Runner;
use super::state::{
    Cause, Holder, MAX_CALLERS, RESTART_BUDGET, RESTART_FIRST_MS, RESTART_MAX_MS, START_TIMEOUT_MS, Session,
    Starting, Then, Tree,
};
use super::step::{Say, Step};
use crate::actor::Ticket;

impl Step {
    /// First input of a session just made.
    pub(super) fn start(&mut self, ticket: Ticket, origin: Origin) {
        if self.s.record.last_seq > 0 || self.s.restoring {
            return self.answer_start(ticket);
        }
        self.log(EventBody::Spawned { origin });
        self.s.callers.starts.push(ticket);
        self.begin_start(Cause::Spawn);
    }

    /// Answers as the spawn of this session was or will be answered.
    pub(super) fn answer_start(&mut self, ticket: Ticket) {
        match self.s.record.phase {
            Phase::Starting | Phase::BackingOff => self.await_start(ticket),
            Phase::Failed => {
                let refusal = self.s.start_refusal.clone().unwrap_or_else(|| {
                    Refusal::new(
                        Code::StartFailed,
                        "the session could not be started",
                        &*self.s.record.reason,
                    )
                });
                self.refuse(ticket, refusal);
            }
            _ => self.say(Say::View { ticket, of_store: false }),
        }
    }

    fn await_start(&mut self, ticket: Ticket) {
        if self.s.callers.starts.len() >= MAX_CALLERS {
            let refusal =
                Refusal::new(Code::Busy, "too many callers", "too many wait for the start of this session");
            return self.refuse(ticket, refusal.fix("wait for its phase with session.wait"));
        }
        self.s.callers.starts.push(ticket);
    }

    /// Somebody asks for an ended session to run again.
    pub(super) fn resume(&mut self, ticket: Ticket, origin: Origin) {
        // The supervisor counts it as live from the moment it passes the request on: tell it how it ended up.
        self.publish = true;
        let what = "the session cannot be resumed";
        if let Some(refusal) = self.s.unknown_state(what) {
            return self.refuse(ticket, refusal);
        }
        match self.s.record.phase {
            Phase::Starting => return self.await_start(ticket),
            Phase::Running => {
                return self.wrong_state(ticket, what, "it is running", "nothing to do: attach to it");
            }
            Phase::Stopping => {
                return self.wrong_state(
                    ticket,
                    what,
                    "it is being stopped",
                    "wait until it has ended, then resume it",
                );
            }
            _ if self.s.has_tree() => {
                let why = "processes of its last run are still alive";
                return self.wrong_state(
                    ticket,
                    what,
                    why,
                    "end what is left with session.stop, then resume it",
                );
            }
            _ => {}
        }
        if self.s.callers.starts.len() >= MAX_CALLERS {
            return self.await_start(ticket);
        }
        self.log(EventBody::Resumed { origin });
        self.s.record.restarts = 0;
        self.s.callers.starts.push(ticket);
        self.begin_start(Cause::Resume);
    }

    /// The restart is due.
    pub(super) fn restart(&mut self) {
        self.begin_start(Cause::Restart);
    }

    /// A new generation. The record is durable before its runner starts; the holder may be started meanwhile.
    pub(super) fn begin_start(&mut self, cause: Cause) {
        self.agent_over("the agent was started anew");
        if self.s.capabilities.controls.shared {
            // One that was made before its kind could be shared is, from its next runner on.
            self.s.record.agent.control = Some(Control::Remote);
        }
        if self.s.record.agent.control != Some(Control::Remote) {
            self.drop_messages("the desktop is in control");
        }
        let s = &mut self.s;
        s.record.generation += 1;
        s.record.desired = Desired::Running;
        s.record.exit = None;
        let agent = &mut s.record.agent;
        agent.activity = None;
        // All that the next runner writes is new, wherever its journal goes on: a power cut can have taken lines of the
        // last one that were taken in.
        agent.stream = Mark::default();
        if cause != Cause::Switch {
            agent.handover = None;
        }
        agent.launched = Launched { conversation: agent.conversation.clone(), mode: agent.mode.clone() };
        s.restart_at = None;
        s.start_refusal = None;
        s.starting = Some(Starting { by: self.now.mono_ms.saturating_add(START_TIMEOUT_MS), cause });
        self.enter(Phase::Starting, "");
        match self.s.holder {
            Holder::None => match self.s.spare.take() {
                Some(spare) => self.start_in(spare),
                None => self.launch(),
            },
            Holder::Up => self.start_runner(),
            // Its former holder is on its way out; two at once must never be. `holder_gone` goes on from here.
            Holder::Launching | Holder::Closing | Holder::Seeking | Holder::Unreachable { .. } => {}
        }
    }

    pub(super) fn launch(&mut self) {
        self.s.holder = Holder::Launching;
        self.act(Effect::Launch);
    }

    fn start_in(&mut self, holder: HolderIdentity) {
        self.s.holder = Holder::Up;
        self.log(EventBody::HolderStarted { holder });
        self.start_runner();
    }

    fn start_runner(&mut self) {
        self.s.tree = Tree::Requested;
        self.say(Say::StartRunner);
    }

    pub(super) fn holder_up(&mut self, identity: HolderIdentity) {
        match self.s.holder {
            Holder::Launching => self.start_in(identity),
            // It came up while it was being given up.
            Holder::Closing => self.act(Effect::CloseHolder),
            Holder::None | Holder::Up | Holder::Seeking | Holder::Unreachable { .. } => {}
        }
    }

    pub(super) fn holder_failed(&mut self, refusal: Refusal) {
        match self.s.holder {
            Holder::Launching => {
                self.s.holder = Holder::None;
                self.start_failed(refusal);
            }
            Holder::Closing => self.without_holder(),
            Holder::None | Holder::Up | Holder::Seeking | Holder::Unreachable { .. } => {}
        }
    }

    pub(super) fn runner_up(&mut self, runner: Runner, offset: u64) {
        if runner.generation != self.s.record.generation || self.s.tree != Tree::Requested {
            return;
        }
        self.s.offset = self.s.offset.max(offset);
        let before = (self.s.record.phase, self.s.record.reason.clone(), self.s.record.agent.handover);
        self.log(EventBody::Started { generation: runner.generation, pid: runner.pid });
        self.s.tree = Tree::Up { pid: runner.pid, since: self.now.mono_ms };
        if self.s.ending.is_some() {
            // It was asked to end before it was there to hear it: it runs for nobody, and what was to become of its end
            // still does.
            let (phase, reason, handover) = before;
            self.s.record.agent.handover = handover;
            self.enter(phase, reason);
            self.s.starting = None;
            return self.signal_again();
        }
        if self.s.is_ready() {
            self.running();
        } else {
            // Until its agent takes messages; it may ask before.
            self.tell_all();
        }
    }

    /// Everybody who waited for the start is answered: it happened.
    pub(super) fn answer_started(&mut self) {
        for ticket in std::mem::take(&mut self.s.callers.starts) {
            self.say(Say::View { ticket, of_store: false });
        }
    }

    /// Everybody who waited for the start is refused, and what was sent meanwhile with them.
    pub(super) fn refuse_started(&mut self, refusal: &Refusal) {
        for ticket in std::mem::take(&mut self.s.callers.starts) {
            self.refuse(ticket, refusal.clone());
        }
        self.refuse_early(refusal);
    }

    pub(super) fn runner_failed(&mut self, generation: u64, refusal: Refusal) {
        if generation != self.s.record.generation || self.s.tree != Tree::Requested {
            return;
        }
        self.s.tree = Tree::Gone;
        if self.s.ending.is_some() {
            return self.ended();
        }
        self.start_failed(refusal);
    }

    /// The start is over without a runner, and nothing of it is alive.
    pub(super) fn start_failed(&mut self, refusal: Refusal) {
        let Some(Starting { cause, .. }) = self.s.starting.take() else { return };
        let generation = self.s.record.generation;
        let handover = self.s.record.agent.handover;
        self.agent_over("the agent could not be started");
        self.log(EventBody::StartFailed { generation, reason: refusal.to_string() });
        self.save();
        self.refuse_early(&refusal);
        if let (Cause::Switch, Some(handover)) = (cause, handover) {
            if self.s.holder == Holder::Launching {
                self.close_holder();
            }
            return self.roll_back(handover.from, &refusal);
        }
        if cause == Cause::Restart && self.s.record.restarts < RESTART_BUDGET {
            if self.s.holder == Holder::Launching {
                self.close_holder();
            }
            return self.schedule_restart(&refusal.to_string());
        }
        self.refuse_started(&refusal);
        self.s.start_refusal = Some(refusal);
        self.close_holder();
        if cause == Cause::Spawn
            && let Some(name) = self.s.record.name.clone()
        {
            // Whoever corrects the mistake wants to use the name again.
            self.log(EventBody::Renamed { name: None });
            self.say(Say::ReleaseName(name));
        }
    }

    pub(super) fn start_timed_out(&mut self) {
        let seconds = START_TIMEOUT_MS / 1_000;
        let why = match (self.s.holder, self.s.tree) {
            (_, Tree::Up { .. }) => format!("its agent did not become ready within {seconds} s"),
            (_, Tree::Requested) => format!("its runner did not come up within {seconds} s"),
            (Holder::Closing, _) => format!("its former holder did not end within {seconds} s"),
            _ => format!("its holder did not come up within {seconds} s"),
        };
        let refusal = Refusal::new(Code::StartFailed, "the session did not start", why)
            .fix("look into holder.log in the session's directory; then resume it")
            .retry();
        if self.s.tree == Tree::Gone {
            return self.start_failed(refusal);
        }
        let Some(Starting { cause, .. }) = self.s.starting.take() else { return };
        self.give_up_start(refusal, cause, 0);
    }

    /// A start that failed with a runner that is there or may be: it is not over before the holder says so.
    pub(super) fn give_up_start(&mut self, refusal: Refusal, cause: Cause, grace: u64) {
        if cause == Cause::Switch {
            // Whoever drove before does again; until then it starts.
            self.enter(Phase::Starting, refusal.to_string());
        } else {
            let generation = self.s.record.generation;
            self.log(EventBody::StartFailed { generation, reason: refusal.to_string() });
            self.refuse_started(&refusal);
            self.enter(Phase::Stopping, refusal.to_string());
        }
        self.begin_ending(grace, Then::StartFailed(refusal, cause));
    }

    /// Whether the restart policy wants a runner that failed to be started again, and the budget allows it.
    pub(super) fn restart_allowed(&self) -> bool {
        let record = &self.s.record;
        record.spec.restart == RestartPolicy::OnFailure
            && record.desired == Desired::Running
            && record.restarts < RESTART_BUDGET
    }

    /// Plans the next start; `why` the last one ended.
    pub(super) fn schedule_restart(&mut self, why: &str) {
        let attempt = self.s.record.restarts + 1;
        let wait = backoff_ms(attempt);
        self.s.record.reason = format!("{why}; start {attempt} of {RESTART_BUDGET} follows");
        self.log(EventBody::RestartScheduled { attempt, due_ms: self.now.wall_ms.saturating_add(wait) });
        self.s.restart_at = Some(self.now.mono_ms.saturating_add(wait));
        self.save();
    }

    /// Plans the start that was planned before the daemon ended, without counting it twice.
    pub(super) fn reschedule_restart(&mut self) {
        let wait = backoff_ms(self.s.record.restarts.max(1));
        self.s.restart_at = Some(self.now.mono_ms.saturating_add(wait));
    }
}

/// Wait before the start with this number, from 1: it doubles from [`RESTART_FIRST_MS`] to [`RESTART_MAX_MS`].
fn backoff_ms(attempt: u32) -> u64 {
    RESTART_FIRST_MS.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(RESTART_MAX_MS)
}

impl Session {
    /// A refusal when it is not known at present what of the session is alive.
    pub(super) fn unknown_state(&self, what: &str) -> Option<Refusal> {
        if let Holder::Unreachable { .. } = self.holder {
            let why = "its holder is alive and does not answer; the daemon keeps trying";
            return Some(Refusal::new(Code::HolderUnreachable, what, why).retry());
        }
        self.is_sought().then(|| {
            Refusal::new(Code::Busy, what, "the daemon is looking for its holder")
                .fix("try again in a moment")
        })
    }
}
