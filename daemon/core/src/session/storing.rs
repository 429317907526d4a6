//! When the store refuses: what was not told is decided again, what was not stored is tried again.

use delight_proto::agent::{AgentOrder, AgentRecord, Mark, RecordBody, Source};
use delight_proto::event::{Event, EventBody};
use delight_proto::refusal::{Code, Refusal};

use super::callers::Tagged;
use super::state::{
    MAX_TROUBLE_CHARS, MAX_UNSTORED, RETRY_FIRST_MS, RETRY_MAX_MS, Removal, Store, StoreTrouble, Tree,
};
use super::step::{Say, Step, renumber};
use crate::actor::Ticket;

pub(super) fn storage_refusal(reason: &str) -> Refusal {
    Refusal::new(Code::Storage, "it could not be stored", reason)
        .fix("make room on the disk of the state directory; the daemon goes on trying")
        .retry()
}

impl Store {
    /// Gives up the oldest of too many events, and has the first that is left say how many.
    pub(super) fn give_up(&mut self, events: &mut Vec<Event>) {
        let said_before = usize::from(self.given_up > 0);
        let gone: Vec<Event> = events.drain(..=events.len() - MAX_UNSTORED).collect();
        let Some(first) = gone.first() else { return };
        self.given_up += (gone.len() - said_before) as u64;
        let message = format!("{} entries are missing here: they could not be stored", self.given_up);
        let record = AgentRecord { key: None, parent: None, body: RecordBody::Notice { message } };
        let body = EventBody::Recorded { source: Source::Status, mark: Mark::default(), record };
        events.insert(0, Event { body, ..first.clone() });
    }
}

impl Step {
    /// No complaint came: the last step is stored.
    pub(super) fn stored(&mut self) {
        let store = &mut self.s.store;
        if store.trouble.as_ref().is_some_and(|t| t.trying) {
            store.trouble = None;
        }
        if std::mem::take(&mut store.saving) {
            (store.durable, store.ahead) = (true, None);
        }
        store.in_flight = Vec::new();
        store.untold = Vec::new();
        if store.unstored.is_empty() {
            store.given_up = 0;
        }
    }

    /// The last step is not stored, and nothing of what it wanted told was told.
    pub(super) fn store_failed(&mut self, reason: &str, log_seq: u64) {
        let reason = reason.chars().take(MAX_TROUBLE_CHARS).collect::<String>();
        let store = &mut self.s.store;
        let mut unstored = std::mem::take(&mut store.in_flight);
        let tried = unstored.len();
        unstored.retain(|event| event.seq > log_seq);
        if unstored.len() < tried {
            // The first of them is on record, and with it what it said of those before.
            store.given_up = 0;
        }
        // Also when the log lost some of what it once took: the numbers follow what it really has.
        self.s.record.last_seq = renumber(&mut unstored, log_seq);
        store.unstored = unstored;
        let unsaved = std::mem::take(&mut store.saving);
        let untold = std::mem::take(&mut store.untold);
        let wait_ms = store.trouble.take().map_or(RETRY_FIRST_MS, |t| (t.wait_ms * 2).min(RETRY_MAX_MS));
        let retry_at = self.now.mono_ms.saturating_add(wait_ms);
        store.trouble = Some(StoreTrouble { reason: reason.clone(), trying: false, retry_at, wait_ms });

        let refusal = storage_refusal(&reason);
        let mut no_runner = unsaved && self.s.starting.is_some() && self.s.tree == Tree::Gone;
        let kept = untold.iter().any(|say| matches!(say, Say::Removed { .. }));
        if kept {
            self.s.removal = Removal::No;
        }
        let mut renamed_from = None;
        for say in untold {
            match say {
                Say::StartRunner => {
                    self.s.tree = Tree::Gone;
                    no_runner = true;
                }
                Say::View { ticket, of_store: true } | Say::Removed { ticket } => {
                    self.refuse(ticket, refusal.clone());
                }
                Say::Renamed { ticket, previous } => {
                    let refused = std::mem::replace(&mut self.s.record.name, previous.clone());
                    self.log(EventBody::Renamed { name: previous.as_ref().map(ToString::to_string) });
                    self.refuse(ticket, refusal.clone());
                    self.s.store.names.extend(refused);
                    renamed_from = previous;
                }
                Say::ReleaseName(name) if renamed_from.as_ref() == Some(&name) => {}
                // Whoever waits is told now; the order itself as soon as what it is of is stored.
                Say::Tell { tag, order } => self.withhold(tag, order, &refusal),
                // A daemon that starts now would still find it taken.
                Say::ReleaseName(name) => self.s.store.names.push(name),
                Say::Gone if kept => {}
                // Half forgotten, it would come back with its name and request id: it is gone when it is forgotten.
                Say::Gone => self.s.removal = Removal::WaitsForHolder,
                told => self.say(told),
            }
        }
        if no_runner && self.s.ending.is_some() {
            // It was stopped in the very step that would have started it.
            self.ended();
        } else if no_runner {
            self.start_failed(refusal);
            if !self.s.store.durable {
                // It never was: nobody may find it in a list after its spawn was refused.
                self.remove_when_alone();
            }
        }
    }

    fn withhold(&mut self, tag: u64, order: AgentOrder, refusal: &Refusal) {
        let Some(tagged) = self.s.callers.tagged.get(&tag).cloned() else { return };
        match tagged {
            Tagged::Prompt { id } => self.refuse_prompts(&id, refusal),
            Tagged::Decide { id } => self.refuse_decides(&id, refusal),
            // What waited was withdrawn because of it: the agent must hear of it all the same.
            Tagged::Abort { ticket } => {
                self.s.callers.tagged.insert(tag, Tagged::Abort { ticket: Ticket::NOBODY });
                self.refuse(ticket, refusal.clone());
            }
            Tagged::SetMode { ticket, .. } => {
                self.s.callers.tagged.remove(&tag);
                return self.refuse(ticket, refusal.clone());
            }
            Tagged::Send { .. } | Tagged::Resize { .. } | Tagged::End => {}
        }
        self.s.store.withheld.push(Say::Tell { tag, order });
    }
}
