//! What must be true in the end.

use delight_proto::api::method::UplinkState;
use delight_proto::id::SessionId;

use super::super::server::Row;
use super::{Local, World, is_unwelcome};

impl World {
    /// What must be true when everything has calmed down.
    pub(super) fn check(&self) -> Result<(), String> {
        let uplink = self.uplink.as_ref().ok_or("no daemon")?;
        if uplink.view().state != UplinkState::Online || !uplink.is_settled() {
            return Err(format!("it does not settle: {:?}", uplink.view()));
        }
        let (metadata, state) = self.server.machine.as_ref().ok_or("no machine")?;
        if metadata.value.get("version") != Some(&self.life.into())
            || state.value.get("pid") != Some(&self.life.into())
        {
            return Err("the machine's values did not converge".to_owned());
        }
        for (id, local) in &self.locals {
            let Some(session) = self.server.sessions.get(id) else {
                if local.live {
                    return Err(format!("{id} was never registered"));
                } else {
                    continue;
                };
            };
            let known = local.live || self.stored.contains_key(id);
            if session.active != local.live {
                return Err(format!("{id} lives: {}, the server says {}", local.live, session.active));
            }
            if local.live {
                let facts = self.facts(*id);
                if session.metadata.value.get("name") != facts.metadata.get("name")
                    || session.state.value != facts.agent_state
                {
                    return Err(format!("values of {id} did not converge: {:?}", session.metadata));
                }
            }
            let sent: Vec<u64> =
                session.rows.iter().filter_map(|row| row.local_id.strip_prefix('e')?.parse().ok()).collect();
            if !sent.is_sorted() {
                return Err(format!("events of {id} are out of order"));
            }
            if known && sent.last() != Some(&local.events) && sent.last() != Some(&(local.events - 1)) {
                return Err(format!("{id}: {} events, the last sent is {:?}", local.events, sent.last()));
            }
            if local.events < 1_000 && sent.len() as u64 != local.events {
                return Err(format!("{id}: {} events, {} sent", local.events, sent.len()));
            }
            self.check_messages(*id, local, &session.rows)?;
        }
        Ok(())
    }

    fn check_messages(&self, id: SessionId, local: &Local, rows: &[Row]) -> Result<(), String> {
        let written: Vec<&Row> = rows.iter().filter(|row| row.from_phone).collect();
        let taken: Vec<&str> = local.taken.iter().map(String::as_str).collect();
        // Messages to a session that ended stay with the server until it lives again.
        let due = |row: &&&Row| local.live || taken.contains(&row.local_id.as_str());
        let welcome: Vec<&str> = written
            .iter()
            .filter(due)
            .map(|row| row.local_id.as_str())
            .filter(|name| !is_unwelcome(name))
            .collect();
        if welcome != taken {
            return Err(format!("{id} took {taken:?}\nof {welcome:?}"));
        }
        for row in written.iter().filter(|row| local.live && is_unwelcome(&row.local_id)) {
            let notices = rows.iter().filter(|other| other.local_id == format!("r{}", row.seq)).count();
            if !local.refused.contains(&row.local_id) || notices != 1 {
                return Err(format!("{id} refused {} with {notices} notices", row.local_id));
            }
        }
        Ok(())
    }
}
