//! One step under way: what it has decided so far, and the order in which it is handed out.

use delight_proto::agent::AgentOrder;
use delight_proto::event::{Event, EventBody};
use delight_proto::id::{LocalId, PermissionId, SessionName};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Phase, RestartPolicy, SessionView};
use serde::{Deserialize, Serialize};

use super::effect::{Answer, Effect};
use super::record;
use super::state::{Holder, MAX_UNSTORED, SAVE_EVERY, Session, Tree};
use crate::actor::{Effects, Stamp, Ticket};
use crate::view;

/// Something to be told once the step is stored. Kept until the next input, because that may say that it was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Say {
    /// Start the runner of the record's generation.
    StartRunner,
    /// Answer with the view. `of_store`: only true if the step is stored.
    View {
        /// Who.
        ticket: Ticket,
        /// Whether what was asked for is a change of the record.
        of_store: bool,
    },
    /// Answer that it has the new name; before it had this.
    Renamed {
        /// Who.
        ticket: Ticket,
        /// The name before.
        previous: Option<SessionName>,
    },
    /// Answer that so many bytes are written.
    Sent {
        /// Who.
        ticket: Ticket,
        /// How many.
        bytes: u64,
    },
    /// Answer that the agent has the message.
    Prompted {
        /// Who.
        ticket: Ticket,
        /// Which.
        local_id: LocalId,
    },
    /// Answer that the agent has the decision.
    Decided {
        /// Who.
        ticket: Ticket,
        /// Of which permission.
        id: PermissionId,
    },
    /// Give the agent an order.
    Tell {
        /// For its answer.
        tag: u64,
        /// What.
        order: AgentOrder,
    },
    /// Answer that it is forgotten.
    Removed {
        /// Who.
        ticket: Ticket,
    },
    /// Refuse.
    Refused {
        /// Who.
        ticket: Ticket,
        /// What, why, fix.
        refusal: Refusal,
    },
    /// The name is free.
    ReleaseName(SessionName),
    /// Its restoring is over.
    Restored {
        /// Whether a holder was adopted.
        adopted: bool,
    },
    /// It is no more.
    Gone,
}

/// A step under way.
pub(super) struct Step {
    pub(super) s: Session,
    pub(super) now: Stamp,
    before: (SessionView, bool),
    events: Vec<Event>,
    save: bool,
    checkpoint: bool,
    forget: bool,
    acts: Vec<Effect>,
    says: Vec<Say>,
    /// Publish even if nothing changed.
    pub(super) publish: bool,
    /// Try the store again although nothing new is to be stored.
    pub(super) retry_store: bool,
}

impl Step {
    pub(super) fn begin(s: Session, now: Stamp) -> Self {
        let before = (s.view(), s.is_alive());
        Self {
            s,
            now,
            before,
            events: Vec::new(),
            save: false,
            checkpoint: false,
            forget: false,
            acts: Vec::new(),
            says: Vec::new(),
            publish: false,
            retry_store: false,
        }
    }

    /// Adds an event to the log, and what it changes to the record.
    pub(super) fn log(&mut self, body: EventBody) {
        self.log_at(self.now.wall_ms, body);
    }

    /// The same for something that happened earlier and is only heard of now.
    pub(super) fn log_at(&mut self, at_ms: u64, body: EventBody) {
        let event = Event { seq: self.s.record.last_seq + 1, at_ms, offset: self.s.offset, body };
        record::apply(&mut self.s.record, &event);
        self.events.push(event);
    }

    /// Moves the record into a phase, and has it saved.
    pub(super) fn enter(&mut self, phase: Phase, reason: impl Into<String>) {
        record::enter(&mut self.s.record, phase, reason, self.now.wall_ms);
        self.save = true;
    }

    /// Has the record saved: whatever of it events do not tell was changed.
    pub(super) fn save(&mut self) {
        self.save = true;
    }

    /// Has the record saved some time: nobody waits for it.
    pub(super) fn checkpoint(&mut self) {
        self.checkpoint = true;
    }

    /// Has the session forgotten.
    pub(super) fn forget(&mut self) {
        self.forget = true;
    }

    pub(super) fn act(&mut self, effect: Effect) {
        self.acts.push(effect);
    }

    pub(super) fn say(&mut self, say: Say) {
        self.says.push(say);
    }

    /// A start that was decided in this very step, for a holder that turns out not to be there, is not told: it waits as
    /// if the holder had been on its way out.
    pub(super) fn unstart(&mut self) {
        let told = self.says.len();
        self.says.retain(|say| *say != Say::StartRunner);
        if self.says.len() < told {
            self.s.tree = Tree::Gone;
        }
    }

    /// Nothing is told to the agent any more of what was to be.
    pub(super) fn untell(&mut self) {
        self.says.retain(|say| !matches!(say, Say::Tell { .. }));
        self.s.store.withheld.clear();
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.says.push(Say::Refused { ticket, refusal });
    }

    /// `wrong-state` with a way out.
    pub(super) fn wrong_state(&mut self, ticket: Ticket, what: &str, reason: &str, fix: &str) {
        self.refuse(ticket, Refusal::new(Code::WrongState, what, reason).fix(fix));
    }

    /// Ends the step: store effects first, then what is to be done, then what is to be told.
    pub(super) fn finish(mut self) -> (Session, Effects<Effect>) {
        let promises =
            self.says.iter().any(|say| matches!(say, Say::View { of_store: true, .. } | Say::Renamed { .. }));
        // What is promised to be stored gets another try, also when this step adds nothing to what the store refused.
        let again = self.retry_store || (promises && self.s.store.trouble.is_some());
        let storing = !self.events.is_empty() || self.save || self.checkpoint || self.forget || again;
        let mut events = self.events;
        let mut save = self.save;
        if storing && let Some(trouble) = &mut self.s.store.trouble {
            trouble.trying = true;
            save = true;
            self.says.append(&mut self.s.store.withheld);
            self.says.extend(self.s.store.names.drain(..).map(Say::ReleaseName));
            events.splice(0..0, std::mem::take(&mut self.s.store.unstored));
            if events.len() > MAX_UNSTORED {
                // Nobody was told of the oldest; the record has what they came to, and the log says how many are missing.
                self.s.store.give_up(&mut events);
                let log_seq = events.first().map_or(0, |e| e.seq - 1);
                self.s.record.last_seq = renumber(&mut events, log_seq);
            }
        }
        // What is forgotten with the session is not written first; it is kept until it is known to be forgotten.
        let appended: &[Event] = if self.forget { &[] } else { &events };
        let last_seq = self.s.record.last_seq;
        let many = storing && last_seq - self.s.store.saved_seq.min(last_seq) >= SAVE_EVERY;
        let checkpoint = !self.forget && (self.checkpoint || many);
        // What is written before every event as long as nothing newer is durable ends only with a save.
        save = !self.forget && (save || (checkpoint && self.s.store.ahead.is_some()));

        let mut out = Vec::with_capacity(appended.len() + self.acts.len() + self.says.len() + 2);
        if let Some(record) = self.s.store.ahead.clone().filter(|_| !appended.is_empty()) {
            out.push(Effect::Save(record));
        }
        out.extend(appended.iter().cloned().map(Effect::Append));
        if save || checkpoint {
            let record = Box::new(self.s.record.clone());
            out.push(if save { Effect::Save(record) } else { Effect::Checkpoint(record) });
            self.s.store.saved_seq = last_seq;
            self.s.unsaved_marks = 0;
        }
        if self.forget {
            out.push(Effect::Forget);
        }
        out.append(&mut self.acts);
        let after = (self.s.view(), self.s.is_alive());
        if !self.forget && (self.publish || after != self.before) {
            out.push(Effect::Publish { view: Box::new(after.0.clone()), alive: after.1 });
        }
        out.extend(self.says.iter().map(|say| told(say, &self.s, &after.0)));
        if storing {
            self.s.store.in_flight = events;
            self.s.store.saving = save;
            self.s.store.untold = self.says;
        }
        (self.s, Effects::from(out))
    }
}

fn told(say: &Say, s: &Session, view: &SessionView) -> Effect {
    let reply = |ticket: &Ticket, result| Effect::Reply { ticket: *ticket, result };
    match say {
        Say::StartRunner => Effect::StartRunner {
            generation: s.record.generation,
            keep: s.keeps_holder(),
            control: s.record.agent.control,
        },
        Say::View { ticket, .. } | Say::Renamed { ticket, .. } => {
            reply(ticket, Ok(Answer::View(Box::new(view.clone()))))
        }
        Say::Sent { ticket, bytes } => reply(ticket, Ok(Answer::Sent { bytes: *bytes })),
        Say::Prompted { ticket, local_id } => {
            reply(ticket, Ok(Answer::Prompted { local_id: local_id.clone() }))
        }
        Say::Decided { ticket, id } => reply(ticket, s.decided(id)),
        Say::Tell { tag, order } => Effect::Tell { tag: *tag, order: order.clone() },
        Say::Removed { ticket } => reply(ticket, Ok(Answer::Removed(s.record.id))),
        Say::Refused { ticket, refusal } => reply(ticket, Err(refusal.clone())),
        Say::ReleaseName(name) => Effect::ReleaseName(name.clone()),
        Say::Restored { adopted } => Effect::Restored { adopted: *adopted },
        Say::Gone => Effect::Gone,
    }
}

/// Numbers events contiguously after `log_seq`; gives the last number.
pub(super) fn renumber(events: &mut [Event], log_seq: u64) -> u64 {
    let mut seq = log_seq;
    for event in events {
        seq += 1;
        event.seq = seq;
    }
    seq
}

impl Session {
    /// The session as clients see it.
    #[must_use]
    pub fn view(&self) -> SessionView {
        let pid = match self.tree {
            Tree::Up { pid, .. } => Some(pid),
            _ => None,
        };
        SessionView {
            pid,
            agent: self.agent_view(),
            controller: self.controller.clone(),
            warnings: self.warnings(),
            ..view::of_record(&self.record)
        }
    }

    /// Whether anything of it is or may be alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.record.phase.is_live() || self.tree != Tree::Gone || self.is_sought()
    }

    /// Whether it is not known at present what of it is alive.
    pub(super) fn is_sought(&self) -> bool {
        self.restoring || matches!(self.holder, Holder::Seeking | Holder::Unreachable { .. })
    }

    /// Whether its holder is to host the next generation too.
    pub(super) fn keeps_holder(&self) -> bool {
        let controls = self.capabilities.controls;
        let both = controls.local && controls.remote;
        both || self.capabilities.keep_holder || self.record.spec.restart == RestartPolicy::OnFailure
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.troubles.clone();
        if let Tree::Survivors(n) = self.tree
            && !self.record.phase.is_live()
        {
            let it = if n == 1 {
                "1 process of it still runs".into()
            } else {
                format!("{n} processes of it still run")
            };
            warnings.push(format!("{it}; `delightctl stop {}` ends what is left", self.record.id.short()));
        }
        if matches!(self.holder, Holder::Unreachable { .. }) {
            warnings.push("its holder is alive and does not answer; the daemon keeps trying".into());
        }
        if self.bypass_ends.is_some() {
            let it = "everything its agent asks for is allowed unasked at present";
            warnings.push(format!("{it}; `delightctl bypass {} off` ends that", self.record.id.short()));
        }
        if let Some(trouble) = &self.store.trouble
            && !trouble.trying
        {
            warnings
                .push(format!("its newest state is not stored: {}; the daemon keeps trying", trouble.reason));
        }
        warnings
    }
}
