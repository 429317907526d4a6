//! Coming online, staying there, and what to do when it does not work.

use delight_proto::sync::Object;
use serde_json::json;

use super::backoff::Backoff;
use super::effect::Effect;
use super::input::{Fault, MachineRow};
use super::presence::MACHINE_EVERY_MS;
use super::reduce::Step;
use super::register::first;
use super::state::Connection;

/// A connect that nobody has answered for by then is given up; the shell's own limits are shorter.
const CONNECT_MS: u64 = 60_000;

/// How long the daemon's end may be held up by saying so.
const PARTING_MS: u64 = 1_000;

impl Step {
    pub(super) fn begin(&mut self, metadata: Object, daemon_state: Object) {
        if self.s.connection != Connection::Idle {
            return;
        }
        self.s.metadata.want(metadata.clone());
        self.s.daemon_state.want(daemon_state.clone());
        (self.s.machine, self.s.daemon) = (metadata, daemon_state);
        self.connect(false, String::new());
    }

    fn enter(&mut self, connection: Connection, reason: String) {
        if std::mem::discriminant(&self.s.connection) != std::mem::discriminant(&connection) {
            self.s.since_ms = self.now.wall_ms;
        }
        self.s.connection = connection;
        self.s.reason = reason;
    }

    fn connect(&mut self, login: bool, reason: String) {
        self.s.attempt += 1;
        self.s.attempted_at = Some(self.now.mono_ms);
        self.enter(Connection::Connecting { until: self.now.mono_ms + CONNECT_MS }, reason);
        self.out.push(Effect::Connect {
            attempt: self.s.attempt,
            login,
            metadata: first(&self.s.machine),
            daemon_state: first(&self.s.daemon),
        });
    }

    /// Tries again when it is time.
    pub(super) fn connection_tick(&mut self) {
        let now = self.now.mono_ms;
        match self.s.connection {
            Connection::Waiting { until } if until <= now => {
                let reason = self.s.reason.clone();
                self.connect(false, reason);
            }
            Connection::Connecting { until } if until <= now => {
                self.out.push(Effect::Disconnect);
                let attempt = self.s.attempt;
                self.down(attempt, Fault::Later, "no connection in a minute".to_owned(), u64::MAX);
            }
            _ => {}
        }
        if self.s.ending.is_some_and(|until| until <= now) {
            self.over();
        }
    }

    pub(super) fn network_changed(&mut self) {
        let now = self.now.mono_ms;
        match self.s.connection {
            Connection::Waiting { until } => {
                self.s.backoff.clear();
                self.s.lost_at = Some(now);
                let soon = self.s.attempted_at.map_or(now, |at| at + Backoff::HURRIED_MS);
                self.s.connection = Connection::Waiting { until: until.min(soon.max(now)) };
                self.connection_tick();
            }
            // It may be dead without anybody having said so.
            Connection::Online { .. } => self.out.push(Effect::Probe),
            _ => {}
        }
    }

    pub(super) fn up(&mut self, attempt: u64, machine: MachineRow) {
        if attempt != self.s.attempt || !matches!(self.s.connection, Connection::Connecting { .. }) {
            return;
        }
        let now = self.now.mono_ms;
        self.enter(Connection::Online { since: now }, String::new());
        self.s.metadata.learn(machine.metadata_version, machine.metadata);
        self.s.daemon_state.learn(machine.daemon_state_version, machine.daemon_state);
        self.s.metadata.unblock();
        self.s.daemon_state.unblock();
        self.s.alive_at = Some(now);
        self.out.push(Effect::OfferMachine);
        for session in self.s.sessions.values_mut() {
            session.reconnected(now);
        }
        if self.s.ending.is_some() {
            // It came too late to be of any use.
            self.over();
        }
    }

    pub(super) fn down(&mut self, attempt: u64, fault: Fault, reason: String, random: u64) {
        let now = self.now.mono_ms;
        let lived = match self.s.connection {
            _ if attempt != self.s.attempt => return,
            Connection::Online { since } => now.saturating_sub(since),
            Connection::Connecting { .. } => 0,
            _ => return,
        };
        for session in self.s.sessions.values_mut() {
            session.disconnected();
        }
        self.s.alive_at = None;
        if self.s.ending.is_some() {
            return self.over();
        }
        self.s.backoff.ended(lived);
        if lived >= Backoff::STABLE_MS {
            self.s.logged_in_anew = false;
        }
        if lived >= Backoff::FOUND_MS {
            self.s.lost_at = None;
        }
        let lost_at = *self.s.lost_at.get_or_insert(now);
        match fault {
            Fault::Login if !self.s.logged_in_anew => {
                self.s.logged_in_anew = true;
                self.connect(true, reason);
            }
            Fault::Login => self.enter(Connection::Refused, reason),
            Fault::Later | Fault::After(_) | Fault::Unknown | Fault::Never => {
                let least = match fault {
                    Fault::After(ms) => ms,
                    // A wrong address or a server of another kind: what looks final has been seen to pass.
                    Fault::Never | Fault::Unknown => Backoff::CEILING_MS,
                    _ => 0,
                };
                let hopeful = now.saturating_sub(lost_at) < Backoff::HOPEFUL_MS;
                let most = if hopeful { Backoff::SOON_MS } else { Backoff::CEILING_MS };
                let wait = self.s.backoff.failed_soon(random, most).max(least);
                self.enter(Connection::Waiting { until: now + 1 + wait }, reason);
            }
        }
    }

    /// What is due of the machine itself.
    pub(super) fn pump_machine(&mut self) {
        let now = self.now.mono_ms;
        if self.s.alive_at.is_some_and(|at| at <= now) {
            self.s.alive_at = Some(now + MACHINE_EVERY_MS);
            self.out.push(Effect::MachineAlive);
        }
        let metadata = self.s.metadata.next(now).map(|update| (super::Slot::MachineMetadata, update));
        let state = self.s.daemon_state.next(now).map(|update| (super::Slot::DaemonState, update));
        for (slot, (expected, value)) in metadata.into_iter().chain(state) {
            self.out.push(Effect::Update { slot, server_id: None, expected, value });
        }
        if self.s.ending.is_some() && self.s.daemon_state.is_settled() {
            self.over();
        }
    }

    /// Says that the daemon ends, where somebody can hear it.
    pub(super) fn shut_down(&mut self, source: &str) {
        if self.s.ending.is_some() {
            return;
        }
        self.s.ending = Some(self.now.mono_ms + PARTING_MS);
        let mut state = self.s.daemon.clone();
        for (field, value) in [
            ("status", json!("shutting-down")),
            ("shutdownRequestedAt", json!(self.now.wall_ms)),
            ("shutdownSource", json!(source)),
        ] {
            state.insert(field.to_owned(), value);
        }
        self.s.daemon_state.want(state);
        if !self.s.is_online() {
            self.over();
        }
    }

    fn over(&mut self) {
        if self.s.connection != Connection::Over {
            self.enter(Connection::Over, "the daemon ends".to_owned());
            self.out.push(Effect::Ended);
        }
    }
}
