//! The server's side of every request, and what is heard when its answer is lost.

use delight_core::uplink::{Arrived, Effect, Fault, Input, PAGE, Slot, Thinning, UpdateOutcome};

use super::{Action, World, arrived};

impl World {
    /// The server is asked; what it answers, and what is heard when the answer is lost.
    pub(super) fn request(&mut self, effect: Effect) -> Option<(Input, Input)> {
        let random = self.rng.number();
        let reachable = self.server_up;
        let by_socket = reachable && self.connection != 0 && !self.half_open;
        let twice = !self.calm && self.rng.per_mille(60);
        self.counts.doubled += u64::from(twice);
        Some(match effect {
            Effect::Connect { attempt, login, metadata, daemon_state } => {
                let down = |fault| Input::Down { attempt, fault, reason: "no".to_owned(), random };
                if login {
                    self.token_good = true;
                }
                let up = if !reachable {
                    down(Fault::Later)
                } else if !self.token_good {
                    self.counts.logins += 1;
                    down(Fault::Login)
                } else {
                    Input::Up { attempt, machine: self.server.register_machine(metadata, daemon_state) }
                };
                (up, down(Fault::Later))
            }
            Effect::Register { id, metadata, .. } => {
                let failed = Input::RegisterFailed { id, fault: Fault::Later, random };
                if !reachable {
                    return Some((failed.clone(), failed));
                }
                let row = self.server.register_session(id, metadata);
                (Input::Registered { id, row: Box::new(row) }, failed)
            }
            Effect::Update { slot, server_id, expected, value } => {
                let failed = Input::Updated { slot, outcome: UpdateOutcome::Failed, random };
                if !by_socket {
                    return Some((failed.clone(), failed));
                }
                let kept = match slot {
                    Slot::MachineMetadata => &mut self.server.machine.as_mut()?.0,
                    Slot::DaemonState => &mut self.server.machine.as_mut()?.1,
                    Slot::SessionMetadata(_) => &mut self.server.by_id(server_id.as_ref()?)?.1.metadata,
                    Slot::AgentState(_) => &mut self.server.by_id(server_id.as_ref()?)?.1.state,
                };
                let mut taken = kept.update(expected, value.clone());
                if twice {
                    taken = kept.update(expected, value);
                }
                let outcome = if taken {
                    UpdateOutcome::Stored { version: kept.version }
                } else {
                    self.counts.conflicts += 1;
                    UpdateOutcome::Mismatch { version: kept.version, value: Some(kept.value.clone()) }
                };
                (Input::Updated { slot, outcome, random }, failed)
            }
            Effect::Post { id, server_id, after, thinning, notices } => {
                let failed = Input::PostFailed { id, fault: Fault::Later, random };
                if !reachable {
                    return Some((failed.clone(), failed));
                }
                let through = (after + 50).min(self.locals[&id].events);
                let mut rows = Vec::new();
                let (_, session) = self.server.by_id(&server_id)?;
                for _ in 0..=u64::from(twice) {
                    let notices = notices.iter().map(|notice| format!("r{}", notice.about));
                    // What may be left out is: every other event, but the whole of what is recent.
                    let left_out = |seq: &u64| thinning == Thinning::Folded && seq.is_multiple_of(2);
                    let events =
                        (after + 1..=through).filter(|seq| !left_out(seq)).map(|seq| format!("e{seq}"));
                    rows.extend(notices.chain(events).filter_map(|name| session.write(name, false, 0)));
                }
                for row in rows {
                    self.push(id, &row);
                }
                (Input::Posted { id, through, notices: notices.len(), completed: None }, failed)
            }
            Effect::Fetch { id, server_id, after } => {
                let failed = Input::FetchFailed { id, fault: Fault::Later, random };
                if !reachable {
                    return Some((failed.clone(), failed));
                }
                let (_, session) = self.server.by_id(&server_id)?;
                let from = session.rows.partition_point(|row| row.seq <= after);
                let rows = session.rows[from..].iter();
                let messages: Vec<Arrived> = rows.take(PAGE as usize).map(arrived).collect();
                let last = messages.len() < PAGE as usize;
                (Input::Fetched { id, messages, last }, failed)
            }
            Effect::Listen { id, .. } => {
                let deaf = Input::Deaf { id, fault: Fault::Later, random };
                (if by_socket { Input::Listening { id } } else { deaf.clone() }, deaf)
            }
            Effect::Probe if self.half_open => {
                let connection = self.connection;
                self.schedule(5_000, Action::FoundOut(connection));
                return None;
            }
            _ => return None,
        })
    }
}
