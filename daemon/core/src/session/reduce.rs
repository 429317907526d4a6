//! The session's reducer: which input goes where, what is due, and who is answered at the end of a step.

use super::effect::Effect;
use super::input::{Command, Happening, Input};
use super::state::{Holder, Removal, Session, Tree};
use super::step::{Say, Step};
use crate::actor::{Deadline, Effects, Reducer, Stamped, Ticket};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;

impl Reducer for Session {
    type Input = Input;
    type Effect = Effect;

    fn reduce(self, input: Stamped<Input>) -> (Self, Effects<Effect>) {
        let mut step = Step::begin(self, input.at);
        match input.input {
            Input::Happened(Happening::StoreFailed { reason, log_seq }) => {
                step.store_failed(&reason, log_seq);
            }
            other => {
                step.stored();
                // What was due came before what is heard only now.
                step.due();
                match other {
                    Input::Asked { ticket, origin, command } => step.asked(ticket, origin, command),
                    Input::Happened(happening) => step.happened(happening),
                    Input::Abandoned { ticket } => step.abandon(ticket),
                    Input::Tick => {}
                }
            }
        }
        step.serve_switches();
        step.due();
        step.settle();
        step.finish()
    }

    fn deadline(&self) -> Option<Deadline> {
        let at = |at: u64, what: &'static str| Some(Deadline { at, what });
        let wait = self.callers.waits.iter().filter_map(|w| w.until).min();
        Deadline::earliest([
            self.starting.as_ref().and_then(|s| at(s.by, "start takes too long")),
            self.ending.as_ref().and_then(|e| at(e.kill_at, "SIGKILL is due")),
            self.ending.as_ref().and_then(|e| e.ask_at).and_then(|t| at(t, "SIGHUP is due")),
            self.expiries.values().min().and_then(|t| at(*t, "a permission expires")),
            self.bypass_ends.and_then(|t| at(t, "everything is asked again")),
            self.restart_at.and_then(|t| at(t, "restart is due")),
            wait.and_then(|t| at(t, "a wait is over")),
            match self.holder {
                Holder::Unreachable { retry_at, .. } => at(retry_at, "look for the holder again"),
                _ => None,
            },
            self.store.trouble.as_ref().filter(|t| !t.trying).and_then(|t| at(t.retry_at, "store again")),
        ])
    }

    fn tick() -> Input {
        Input::Tick
    }
}

impl Step {
    fn asked(&mut self, ticket: Ticket, origin: Origin, command: Command) {
        if self.s.is_discarded() {
            return self.refuse(ticket, self.s.no_such_session());
        }
        match command {
            Command::Start => self.start(ticket, origin),
            Command::Started => self.answer_start(ticket),
            Command::Stop { kill, grace_ms } => self.stop(ticket, origin, kill, grace_ms),
            Command::Resume => self.resume(ticket, origin),
            Command::Rename { name } => self.rename(ticket, name.as_ref()),
            Command::Send { bytes } => self.send(ticket, origin, bytes),
            Command::Resize { size } => self.resize(ticket, size),
            Command::Wait { phases, activity, timeout_ms } => {
                self.wait(ticket, phases, activity, timeout_ms);
            }
            Command::Remove => self.remove(ticket),
            Command::Prompt { message } => self.prompt(ticket, origin, message),
            Command::Abort => self.abort(ticket, origin),
            Command::Switch { to } => self.switch(ticket, origin, to),
            Command::Decide { permission, decision } => {
                self.decide(ticket, origin, permission.as_deref(), decision);
            }
            Command::SetMode(mode) => self.set_mode(ticket, origin, mode),
            Command::Bypass { for_ms } => self.bypass(ticket, origin, for_ms),
        }
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Restore => self.restore(),
            Happening::HolderUp { identity } => self.holder_up(identity),
            Happening::HolderFailed { refusal } => self.holder_failed(refusal),
            Happening::Adopted(found) => self.adopted(*found),
            Happening::HolderUnreachable { reason } => self.holder_unreachable(&reason),
            Happening::HolderGone { ended, reason, same_boot } => self.holder_gone(ended, &reason, same_boot),
            Happening::RunnerUp { runner, offset } => self.runner_up(runner, offset),
            Happening::RunnerFailed { generation, refusal } => self.runner_failed(generation, refusal),
            Happening::RunnerExited(ended) => self.runner_exited(ended),
            Happening::TreeGone { generation } => self.tree_gone(generation),
            Happening::TagDone { tag } => self.tag_done(tag),
            Happening::TagFailed { tag, refusal } => self.tag_failed(tag, refusal),
            Happening::TagNotYet { tag } => self.tag_not_yet(tag),
            Happening::MessageGiven { generation, local_id } => self.message_given(generation, &local_id),
            Happening::Trouble { troubles } => self.trouble(troubles),
            Happening::Agent(heard) => self.heard(*heard),
            Happening::Policy(policy) => self.s.policy = *policy,
            Happening::Control { by } => self.controlled(by),
            // Handled before: it must not be taken for the confirmation of the step it complains of.
            Happening::StoreFailed { .. } => {}
        }
    }

    /// Serves every deadline that has come, whatever input brought us here; once more at the end of a step, for what it
    /// made due at once: after a step no deadline lies in the past.
    fn due(&mut self) {
        let now = self.now.mono_ms;
        if self.s.starting.is_some_and(|s| s.by <= now) {
            self.start_timed_out();
        }
        if self.s.ending.as_ref().is_some_and(|e| e.kill_at <= now) {
            self.kill();
        }
        if self.s.ending.as_ref().and_then(|e| e.ask_at).is_some_and(|at| at <= now) {
            self.ask_to_end();
        }
        self.permissions_expire();
        if self.s.bypass_ends.is_some_and(|at| at <= now) {
            self.bypass_over();
        }
        if self.s.restart_at.is_some_and(|at| at <= now) {
            self.restart();
        }
        if let Holder::Unreachable { retry_at, .. } = self.s.holder
            && retry_at <= now
        {
            self.seek_again();
        }
        if self.s.store.trouble.as_ref().is_some_and(|t| !t.trying && t.retry_at <= now) {
            if self.s.removal == Removal::WaitsForHolder && self.s.holder == Holder::None {
                self.discard();
            } else {
                self.retry_store = true;
            }
        }
    }

    /// Answers whoever can be answered in the state the step has come to.
    fn settle(&mut self) {
        let ended = !self.s.is_alive();
        if ended {
            for ticket in std::mem::take(&mut self.s.callers.stops) {
                self.say(Say::View { ticket, of_store: true });
            }
        }
        let phase = self.s.record.phase;
        if !phase.is_live() {
            let why = format!("it is {}: {}", phase_word(phase), self.s.record.reason);
            let refusal = Refusal::new(Code::WrongState, "the session did not start", why).fix("resume it");
            self.refuse_started(&refusal);
        }
        if !phase.is_live() && !self.s.is_sought() {
            // However it ended, and whether or not anybody saw it.
            self.agent_over("the agent ended");
        }
        self.refuse_switches();
        self.drop_messages_of_ended();
        self.settle_waits();
    }
}

/// A phase as people read it: the word of the API.
pub(super) fn phase_word(phase: delight_proto::session::Phase) -> &'static str {
    use delight_proto::session::Phase;
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Stopping => "stopping",
        Phase::BackingOff => "backing off",
        Phase::Exited => "exited",
        Phase::Stopped => "stopped",
        Phase::Failed => "failed",
        Phase::Interrupted => "interrupted",
    }
}

impl Session {
    /// Whether processes of its tree are or may be alive, as far as the holder told.
    pub(super) fn has_tree(&self) -> bool {
        self.tree != Tree::Gone
    }
}
