//! What happens by itself: sessions work, phones write, lines are cut, programs die.

use delight_core::uplink::Input;
use delight_proto::id::SessionId;

use super::super::server::Row;
use super::{Action, World};

impl World {
    /// One thing that happens by itself.
    pub(super) fn disturb(&mut self) -> Result<(), String> {
        let ids: Vec<SessionId> = self.locals.keys().copied().collect();
        let id = *self.rng.pick(&ids);
        match self.rng.below(100) {
            0..35 => {
                let more = 1 + self.rng.below(5);
                self.happen(id, more)?;
            }
            35..60 => self.phone_message(id),
            60..66 => self.other_writer(id),
            66..72 => {
                self.counts.cuts += 1;
                self.break_connection("cut")?;
            }
            72..76 if self.connection != 0 && !self.half_open => {
                self.counts.half_open += 1;
                self.half_open = true;
                let after = 5_000 + self.rng.below(40_000);
                let connection = self.connection;
                self.schedule(after, Action::FoundOut(connection));
            }
            76..80 => {
                self.counts.restarts += 1;
                self.server_up = !self.server_up;
                if !self.half_open {
                    self.break_connection("the server restarts")?;
                }
            }
            80..84 => self.crash()?,
            84..86 => self.token_good = false,
            86..90 => {
                let local = self.locals.get_mut(&id).unwrap();
                local.live = !local.live;
                self.happen(id, 1)?;
            }
            90..93 => self.give(Input::NetworkChanged)?,
            93 if self.rng.per_mille(150) => {
                // A day away: more than may be sent whole.
                self.counts.folded += 1;
                self.happen(id, 4_500)?;
            }
            _ => {
                let until = self.now + self.rng.below(120_000);
                self.advance(until)?;
            }
        }
        Ok(())
    }

    pub(super) fn happen(&mut self, id: SessionId, events: u64) -> Result<(), String> {
        let local = self.locals.get_mut(&id).unwrap();
        local.events += events;
        local.turn += 1;
        self.seen(id)
    }

    pub(super) fn phone_message(&mut self, id: SessionId) {
        let gap = u64::from(self.rng.per_mille(100)) * 3;
        self.phone_writes += 1;
        let local_id = format!("phone-{}", self.phone_writes);
        if !self.server_up {
            return;
        }
        let Some(session) = self.server.sessions.get_mut(&id) else { return };
        self.counts.messages += 1;
        if let Some(row) = session.write(local_id, true, gap) {
            self.push(id, &row);
        }
    }

    pub(super) fn push(&mut self, id: SessionId, row: &Row) {
        let ear = self.locals[&id].ear;
        if ear == 0 || self.half_open {
            return;
        }
        if !self.calm && self.loses_pushes && self.rng.per_mille(50) {
            self.counts.lost += 1;
            return;
        }
        let times = if !self.calm && self.rng.per_mille(50) { 2 } else { 1 };
        self.counts.doubled += times - 1;
        for _ in 0..times {
            let after = if self.calm { 1 } else { self.rng.below(200) };
            self.schedule(after, Action::Push(id, ear, row.clone()));
        }
    }

    fn other_writer(&mut self, id: SessionId) {
        let n = self.rng.number() % 1_000;
        if let Some((metadata, _)) = &mut self.server.machine {
            metadata.version += 1;
            metadata.value.insert("displayName".to_owned(), n.into());
        }
        if let Some(session) = self.server.sessions.get_mut(&id) {
            session.metadata.version += 1;
            session.metadata.value.insert("phone".to_owned(), n.into());
            session.metadata.value.insert("gone".to_owned(), n.into());
        }
    }
}
