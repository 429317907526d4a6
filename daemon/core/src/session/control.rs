//! Who drives: switches, fall backs, and when a runner that the phone drives is ready.

use delight_proto::agent::Control;
use delight_proto::event::EventBody;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Desired, Origin, Phase, Record};

use super::callers::Switching;
use super::reduce::phase_word;
use super::state::{Cause, Controls, MAX_CALLERS, MAX_GRACE_MS, Session, Starting, Then, Tree};
use super::step::{Say, Step};
use crate::actor::Ticket;

/// Fills in what a record made without knowing its kind cannot say: who drives at first, and how.
pub(super) fn prepare(record: &mut Record, controls: Controls) {
    let options = &record.spec.agent;
    let agent = &mut record.agent;
    let first_time = agent.control.is_none();
    let wanted = if first_time { options.control } else { agent.control };
    agent.control =
        wanted.filter(|control| controls.offers(*control)).or_else(|| controls.list().first().copied());
    if first_time && controls.shared {
        agent.control = Some(Control::Remote);
    }
    if first_time && agent.control.is_some() {
        agent.mode.clone_from(&options.mode);
        agent.conversation.clone_from(&options.conversation);
    }
}

/// Who somebody is, for people.
pub(super) fn driver(control: Control) -> &'static str {
    match control {
        Control::Local => "the desktop",
        Control::Remote => "the phone",
    }
}

impl Step {
    pub(super) fn switch(&mut self, ticket: Ticket, origin: Origin, to: Control) {
        let what = "control was not handed over";
        if let Some(refusal) = self.s.no_agent(what) {
            return self.refuse(ticket, refusal);
        }
        if !self.s.capabilities.controls.offers(to) {
            let why =
                format!("sessions of kind {} cannot be driven by {}", self.s.record.spec.kind, driver(to));
            return self.wrong_state(ticket, what, &why, "delightctl agents shows who can drive what");
        }
        if let Some(refusal) = self.s.unknown_state(what) {
            return self.refuse(ticket, refusal);
        }
        if self.s.callers.switches.len() >= MAX_CALLERS {
            let refusal = Refusal::new(Code::Busy, what, "too many wait for control of this session");
            return self.refuse(ticket, refusal.fix("try again in a moment"));
        }
        // `serve_switches` answers it in this very step when there is nothing to do.
        self.s.callers.switches.push(Switching { ticket, origin, to });
    }

    /// Serves who waits for control, as far as a stable session can: those who have it are answered, the first who has
    /// not gets it next.
    pub(super) fn serve_switches(&mut self) {
        while self.s.is_stable()
            && let Some(first) = self.s.callers.switches.first().cloned()
        {
            if Some(first.to) != self.s.record.agent.control && !self.s.is_shared() {
                return self.begin_switch(first.to, first.origin);
            }
            self.s.callers.switches.remove(0);
            self.say(Say::View { ticket: first.ticket, of_store: false });
        }
        if self.s.is_stable() && self.s.record.agent.control != Some(Control::Remote) {
            self.drop_messages("the desktop is in control");
        }
    }

    /// The session is not going to run: nobody will drive it.
    pub(super) fn refuse_switches(&mut self) {
        let phase = self.s.record.phase;
        if self.s.callers.switches.is_empty() || (phase.is_live() && phase != Phase::Stopping) {
            return;
        }
        let why = format!("it is {}: {}", phase_word(phase), self.s.record.reason);
        let why = why.trim_end_matches([':', ' ']).to_owned();
        let refusal =
            Refusal::new(Code::WrongState, "control was not handed over", why).fix("resume it first");
        for waiting in std::mem::take(&mut self.s.callers.switches) {
            self.refuse(waiting.ticket, refusal.clone());
        }
    }

    /// Ends the runner there is; the one for `to` follows when nothing of its tree is alive.
    fn begin_switch(&mut self, to: Control, origin: Origin) {
        let generation = self.s.record.generation + 1;
        self.log(EventBody::ControlChanged { control: to, generation, origin, why: String::new() });
        self.enter(Phase::Starting, format!("control goes to {}", driver(to)));
        let refusal = Refusal::new(
            Code::WrongState,
            "the input was not sent",
            format!("control goes to {}", driver(to)),
        );
        self.refuse_early(&refusal);
        if to == Control::Local {
            self.drop_messages("the desktop takes control");
        }
        let grace = self.s.record.spec.stop_grace_ms.min(MAX_GRACE_MS);
        self.begin_ending(grace, Then::Switch);
    }

    /// The runner of `control` could not be started for those who wanted it: they are told why, and who drove before
    /// does again.
    pub(super) fn roll_back(&mut self, from: Control, refusal: &Refusal) {
        let wanted = self.s.record.agent.control;
        while let Some(first) = self.s.callers.switches.first()
            && Some(first.to) == wanted
        {
            let first = self.s.callers.switches.remove(0);
            self.refuse(first.ticket, refusal.clone());
        }
        self.drop_messages("control could not be handed over");
        let why = format!("{} could not take control: {refusal}", wanted.map_or("nobody", driver));
        self.start_for(from, why);
    }

    /// The runner the phone drove ended by itself: the desktop drives again, where it can. Whether it does.
    pub(super) fn fall_back(&mut self) -> bool {
        let falls = self.falls_back();
        if falls {
            let exit = self.s.record.exit.map_or_else(String::new, |exit| format!(" with {exit}"));
            self.drop_messages("the agent ended");
            self.start_for(Control::Local, format!("the agent ended{exit} while the phone drove"));
        }
        falls
    }

    /// Whether the desktop is to drive again should the runner be over.
    pub(super) fn falls_back(&self) -> bool {
        let record = &self.s.record;
        record.agent.control == Some(Control::Remote)
            && self.s.capabilities.controls.local
            && !self.s.capabilities.controls.shared
            && record.desired == Desired::Running
    }

    fn start_for(&mut self, control: Control, why: String) {
        let generation = self.s.record.generation + 1;
        self.log(EventBody::ControlChanged { control, generation, origin: Origin::Daemon, why });
        self.begin_start(Cause::FallBack);
    }

    /// The agent takes messages.
    pub(super) fn agent_ready(&mut self) {
        let generation = self.s.record.generation;
        if self.s.record.agent.ready == Some(generation) {
            return;
        }
        self.s.record.agent.ready = Some(generation);
        self.save();
        if matches!(self.s.tree, Tree::Up { .. }) && self.s.starting.is_some() && self.s.ending.is_none() {
            self.running();
        }
    }

    /// A start is done: the runner is up and, where that matters, ready.
    pub(super) fn running(&mut self) {
        self.s.starting = None;
        self.s.record.agent.handover = None;
        self.enter(Phase::Running, "");
        self.answer_started();
        self.send_early();
        self.tell_all();
    }

    /// Waits until the agent that is up takes messages. A start that was found again has its whole time anew.
    pub(super) fn await_ready(&mut self, cause: Cause) {
        let by = self.now.mono_ms.saturating_add(super::state::START_TIMEOUT_MS);
        self.s.starting = Some(Starting { by, cause });
        self.enter(Phase::Starting, "");
    }

    /// The agent says that it cannot serve.
    pub(super) fn agent_unable(&mut self, refusal: Refusal) {
        if self.s.ending.is_some() || !matches!(self.s.tree, Tree::Up { .. } | Tree::Requested) {
            return;
        }
        let grace = self.s.record.spec.stop_grace_ms.min(MAX_GRACE_MS);
        match self.s.starting.take() {
            Some(Starting { cause, .. }) => self.give_up_start(refusal, cause, grace),
            None => {
                self.enter(Phase::Stopping, refusal.to_string());
                self.begin_ending(grace, Then::Exited);
            }
        }
    }
}

impl Session {
    /// A refusal when there is no agent in it.
    pub(super) fn no_agent(&self, what: &str) -> Option<Refusal> {
        self.record.agent.control.is_none().then(|| {
            Refusal::new(Code::WrongState, what, "this session has no agent: it is a plain terminal")
                .fix("type into it with send or attach")
        })
    }

    /// Whom the runner of the record's generation serves: while control changes, still who had it before.
    pub(super) fn served(&self) -> Option<Control> {
        let agent = &self.record.agent;
        match agent.handover {
            Some(handover) if self.record.generation < handover.generation => Some(handover.from),
            _ => agent.control,
        }
    }

    /// Whether desktop and phone drive at once: its runner is one that serves both.
    pub(super) fn is_shared(&self) -> bool {
        self.capabilities.controls.shared && self.record.agent.control == Some(Control::Remote)
    }

    /// Whether its runner, if it is up, serves whom it should and takes what it is given.
    pub(super) fn is_ready(&self) -> bool {
        self.record.agent.control != Some(Control::Remote)
            || self.record.agent.ready == Some(self.record.generation)
    }

    /// Whether it runs, and neither starts, ends nor changes hands.
    pub(super) fn is_stable(&self) -> bool {
        self.record.phase == Phase::Running
            && matches!(self.tree, Tree::Up { .. })
            && self.starting.is_none()
            && self.ending.is_none()
            && !self.is_sought()
    }

    /// Whether its agent can be told something: what is told is for the runner the phone drives.
    pub(super) fn can_be_told(&self) -> bool {
        matches!(self.tree, Tree::Up { .. })
            && self.served() == Some(Control::Remote)
            && self.ending.is_none()
            && self.holder == super::state::Holder::Up
    }
}
