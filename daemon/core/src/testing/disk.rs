//! The fake store: what is durable, what is only written, what a crash or a power cut leaves of it.

use std::collections::{BTreeMap, BTreeSet};

use delight_proto::event::Event;
use delight_proto::id::SessionId;
use delight_proto::session::Record;

use super::rng::Rng;
use crate::session::{Effect, Session};
use crate::supervisor::Stored;

/// Most events a power cut takes from the end of a log.
const TORN: u64 = 6;

/// One session on disk.
#[derive(Debug, Clone, Default)]
pub(super) struct OnDisk {
    pub(super) record: Option<Record>,
    /// In order; survives the daemon, not whole the power.
    pub(super) log: Vec<Event>,
    /// What the session remembers to have happened, in order: the log, and of what power cuts took from it the events
    /// that the saved record had come after. They may be missing from the log; they must not be told again.
    pub(super) history: Vec<Event>,
}

/// Why a store effect was not carried out.
#[derive(Debug)]
pub(super) enum Refused {
    /// The disk is full; it may have taken effect nevertheless.
    Full,
    /// The reducer broke a rule.
    Broken(String),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) sessions: BTreeMap<SessionId, OnDisk>,
    pub(super) full: bool,
    /// Sessions that were forgotten although that was reported as refused: they go on with what they remember.
    pub(super) half_forgotten: BTreeSet<SessionId>,
}

impl Disk {
    pub(super) fn carry_out(&mut self, id: SessionId, effect: &Effect, rng: &mut Rng) -> Result<(), Refused> {
        let fails = self.full && rng.per_mille(800);
        let done = !fails || rng.per_mille(200);
        let entry = self.sessions.entry(id).or_default();
        match effect {
            Effect::Append(event) => {
                let next = entry.log.last().map_or(0, |last| last.seq) + 1;
                if event.seq != next {
                    return Err(Refused::Broken(format!(
                        "{id}: event {} appended where {next} is next",
                        event.seq
                    )));
                }
                if done {
                    entry.log.push(event.clone());
                    entry.history.push(event.clone());
                }
            }
            Effect::Save(record) if done => entry.record = Some((**record).clone()),
            // Nobody waits until it is on disk: a crash finds it, or what was there before.
            Effect::Checkpoint(record) if done && rng.per_mille(500) => {
                entry.record = Some((**record).clone());
            }
            Effect::Forget if done => {
                self.sessions.remove(&id);
            }
            _ => {}
        }
        if fails { Err(Refused::Full) } else { Ok(()) }
    }

    pub(super) fn log_seq(&self, id: SessionId) -> u64 {
        self.sessions.get(&id).and_then(|s| s.log.last()).map_or(0, |event| event.seq)
    }

    /// What a daemon that started now would read.
    pub(super) fn stored(&self, id: SessionId) -> Option<Stored> {
        let on_disk = self.sessions.get(&id)?;
        let record = on_disk.record.clone()?;
        let tail = on_disk.log.iter().filter(|event| event.seq > record.last_seq).cloned().collect();
        Some(Stored { log_seq: self.log_seq(id), tail, record })
    }

    /// The record a daemon that started now would begin with.
    pub(super) fn folded(&self, id: SessionId) -> Option<Record> {
        let Stored { record, log_seq, tail } = self.stored(id)?;
        Some(
            Session::restored(record, log_seq, &tail, crate::session::Capabilities::default())
                .record()
                .clone(),
        )
    }

    /// The daemon died: directories without a record are swept at the next start.
    pub(super) fn sweep(&mut self) {
        self.sessions.retain(|_, on_disk| on_disk.record.is_some());
    }

    /// The power went: records are there, the end of each log may not be.
    pub(super) fn power_cut(&mut self, rng: &mut Rng) {
        for on_disk in self.sessions.values_mut() {
            let saved = on_disk.record.as_ref().map_or(0, |record| record.last_seq);
            for _ in 0..rng.below(TORN) {
                if on_disk.log.pop().is_some_and(|torn| torn.seq > saved) {
                    on_disk.history.pop();
                }
            }
        }
        self.sweep();
    }
}
