//! Messages for the agent: accepted durably, given in order, each sender told exactly once what became of it.

use delight_proto::agent::bounds::{MESSAGE, QUEUED, QUEUED_BYTES};
use delight_proto::agent::{AgentOrder, Control, Message};
use delight_proto::event::EventBody;
use delight_proto::id::LocalId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, Phase, PhoneMessages};

use super::callers::{Switching, Tagged};
use super::reduce::phase_word;
use super::state::{MAX_CALLERS, Session};
use super::step::{Say, Step};
use crate::actor::Ticket;

const WHAT: &str = "the message was not given to the agent";

impl Step {
    pub(super) fn prompt(&mut self, ticket: Ticket, origin: Origin, message: Message) {
        if let Some(refusal) = self.s.no_agent(WHAT) {
            return self.refuse(ticket, refusal);
        }
        if self.s.record.agent.accepted.contains(&message.local_id) {
            return self.prompt_again(ticket, message.local_id);
        }
        let takes_over = self.s.takes_over(&origin);
        if let Err(refusal) = self.s.may_prompt(&message.text, takes_over) {
            return self.refuse(ticket, refusal);
        }
        let message = Message { origin: origin.clone(), ..message };
        self.s.callers.prompts.push((message.local_id.clone(), ticket));
        self.log(EventBody::MessageAccepted { message: message.clone() });
        if takes_over {
            let to = Control::Remote;
            self.s.callers.switches.push(Switching { ticket: Ticket::NOBODY, origin, to });
        } else if self.s.is_stable() && self.s.is_ready() {
            self.tell_message(&message);
        }
    }

    /// The same message again is answered like the first.
    fn prompt_again(&mut self, ticket: Ticket, id: LocalId) {
        let waits = self.s.record.agent.queue.iter().any(|message| message.local_id == id);
        if !waits {
            return self.say(Say::Prompted { ticket, local_id: id });
        }
        if self.s.callers.prompts.len() >= MAX_CALLERS + QUEUED {
            return self.refuse(ticket, Refusal::new(Code::Busy, WHAT, "too many wait for messages"));
        }
        self.s.callers.prompts.push((id, ticket));
    }

    pub(super) fn tell_message(&mut self, message: &Message) {
        let is_under_way =
            |tagged: &Tagged| matches!(tagged, Tagged::Prompt { id } if *id == message.local_id);
        if !self.s.callers.tagged.values().any(is_under_way) {
            let tagged = Tagged::Prompt { id: message.local_id.clone() };
            self.tell(tagged, AgentOrder::Prompt { message: message.clone() });
        }
    }

    pub(super) fn message_delivered(&mut self, id: &LocalId) {
        self.log(EventBody::MessageDelivered { local_id: id.clone() });
        for ticket in self.take_prompts(id) {
            self.say(Say::Prompted { ticket, local_id: id.clone() });
        }
    }

    /// A runner that has ended had it: the next one must not be given it again.
    pub(super) fn message_given(&mut self, generation: u64, id: &LocalId) {
        let waits = self.s.record.agent.queue.iter().any(|message| message.local_id == *id);
        if generation == self.s.record.generation && waits && !self.s.is_discarded() {
            self.s
                .callers
                .tagged
                .retain(|_, tagged| !matches!(tagged, Tagged::Prompt { id: of } if of == id));
            self.message_delivered(id);
        }
    }

    /// The agent will not get the message.
    pub(super) fn drop_message(&mut self, id: &LocalId, refusal: &Refusal) {
        self.log(EventBody::MessageDropped { local_id: id.clone(), reason: refusal.reason.clone() });
        for ticket in self.take_prompts(id) {
            self.refuse(ticket, refusal.clone());
        }
    }

    /// Whoever waits for the message is refused; the message stays.
    pub(super) fn refuse_prompts(&mut self, id: &LocalId, refusal: &Refusal) {
        for ticket in self.take_prompts(id) {
            self.refuse(ticket, refusal.clone());
        }
    }

    /// The agent will not get any of the messages that wait. What is under way to it is answered by what becomes of that.
    pub(super) fn drop_messages(&mut self, why: &str) {
        let refusal = Refusal::new(Code::WrongState, WHAT, why.to_owned()).fix("send it again");
        for message in self.s.record.agent.queue.clone() {
            let id = message.local_id;
            let withheld = |say: &Say| matches!(say, Say::Tell { order: AgentOrder::Prompt { message }, .. } if message.local_id == id);
            let is_withheld = self.s.store.withheld.iter().any(withheld);
            self.s.store.withheld.retain(|say| !withheld(say));
            let is_of = |tagged: &Tagged| matches!(tagged, Tagged::Prompt { id: of } if *of == id);
            if is_withheld {
                self.s.callers.tagged.retain(|_, tagged| !is_of(tagged));
            }
            if !self.s.callers.tagged.values().any(is_of) {
                self.drop_message(&id, &refusal);
            }
        }
    }

    fn take_prompts(&mut self, id: &LocalId) -> Vec<Ticket> {
        let waiting = &mut self.s.callers.prompts;
        waiting.extract_if(.., |(of, _)| of == id).map(|(_, ticket)| ticket).collect()
    }

    /// A session that has ended gives its agent nothing.
    pub(super) fn drop_messages_of_ended(&mut self) {
        let phase = self.s.record.phase;
        if (!phase.is_live() || phase == Phase::Stopping) && !self.s.restoring {
            self.drop_messages(&format!("it is {}", phase_word(phase)));
        }
    }
}

impl Session {
    /// Whether a message of this origin takes control.
    fn takes_over(&self, origin: &Origin) -> bool {
        matches!(origin, Origin::Phone { .. })
            && self.record.agent.control == Some(Control::Local)
            && self.capabilities.controls.remote
            && self.phone_messages() == PhoneMessages::Takeover
    }

    /// What becomes of a phone's message while the desktop drives.
    pub(super) fn phone_messages(&self) -> PhoneMessages {
        self.record.spec.agent.phone_messages.unwrap_or_default()
    }

    fn may_prompt(&self, text: &str, takes_over: bool) -> Result<(), Refusal> {
        if text.trim().is_empty() {
            return Err(Refusal::new(Code::BadParams, WHAT, "it is empty").fix("say something"));
        }
        if text.len() > MESSAGE {
            let why = format!("it has {} bytes; at most {MESSAGE} are taken", text.len());
            return Err(Refusal::new(Code::TooLarge, WHAT, why).fix("put it into a file and name that"));
        }
        if let Some(refusal) = self.unknown_state(WHAT) {
            return Err(refusal);
        }
        let phase = self.record.phase;
        if !phase.is_live() || phase == Phase::Stopping {
            let why = format!("it is {}", phase_word(phase));
            return Err(Refusal::new(Code::WrongState, WHAT, why).fix("resume it first"));
        }
        if self.record.agent.control == Some(Control::Local) && !takes_over {
            return Err(Refusal::new(Code::WrongState, WHAT, "the desktop is in control")
                .fix("take control first: delightctl switch ID remote; or type into its terminal"));
        }
        let queue = &self.record.agent.queue;
        let bytes: usize = queue.iter().map(|message| message.text.len()).sum();
        if queue.len() >= QUEUED || bytes + text.len() > QUEUED_BYTES {
            let why = format!("{} messages wait for the agent already", queue.len());
            return Err(Refusal::new(Code::Busy, WHAT, why).fix("send it once the agent took those"));
        }
        if self.callers.prompts.len() >= MAX_CALLERS + QUEUED
            || (takes_over && self.callers.switches.len() >= MAX_CALLERS)
        {
            return Err(Refusal::new(Code::Busy, WHAT, "too many wait for this agent"));
        }
        Ok(())
    }
}
