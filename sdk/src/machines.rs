//! The account's machines as the phone knows them.

use std::sync::Arc;

use delight_crypto::SealingKey;
use delight_proto::sync::bounded::{Id, SealedText};
use delight_proto::sync::http::{ListMachines, MachineList};
use delight_proto::sync::row::MachineRow;
use delight_proto::sync::state::{DaemonState, MachineMetadata};
use delight_proto::sync::update::{MachineChange, Versioned};

use crate::account::Account;
use crate::control::Presence;
use crate::error::Error;
use crate::event::PhoneEvent;
use crate::sealed::Kept;
use crate::state::{Listing, State};

/// A machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Its id.
    pub id: Id,
    /// Whether its daemon can be asked now. A daemon that said it was stopping is offline, whatever the server believes.
    pub presence: Presence,
    /// What it is, when that could be read.
    pub metadata: Option<MachineMetadata>,
    /// How its daemon is, when that could be read.
    pub daemon_state: Option<DaemonState>,
    /// Why metadata or state could not be read.
    pub unreadable: Option<Error>,
    /// When the server last heard of it, Unix milliseconds of the server's clock.
    pub active_at: u64,
}

/// A machine as the dispatcher keeps it.
pub(crate) struct MachineEntry {
    pub(crate) key: Result<Arc<SealingKey>, Error>,
    metadata: Kept<MachineMetadata>,
    daemon_state: Kept<DaemonState>,
    presence: Presence,
    active_at: u64,
}

impl MachineEntry {
    fn new(account: &Account, row: &MachineRow) -> Self {
        let key = account.sealing(row.data_encryption_key.as_ref()).map(Arc::new);
        let (metadata, daemon_state) = (Kept::default(), Kept::default());
        let mut entry = Self { key, metadata, daemon_state, presence: Presence::Unknown, active_at: 0 };
        entry.take(row);
        entry
    }

    fn take(&mut self, row: &MachineRow) {
        self.metadata.take(&self.key, row.metadata_version, Some(&row.metadata));
        self.daemon_state.take(&self.key, row.daemon_state_version, row.daemon_state.as_ref());
        self.presence = if row.active { Presence::Online } else { Presence::Offline };
        self.active_at = row.active_at;
    }

    fn change(&mut self, change: &MachineChange) {
        let value = |versioned: &Versioned| (versioned.version, versioned.value.clone());
        if let Some((version, sealed)) = change.metadata.as_ref().map(value) {
            self.metadata.take(&self.key, version, sealed.as_ref());
        }
        if let Some((version, sealed)) = change.daemon_state.as_ref().map(value) {
            self.daemon_state.take(&self.key, version, sealed.as_ref());
        }
        self.active_at = change.active_at.unwrap_or(self.active_at);
    }

    fn presence(&self) -> Presence {
        let status = self.daemon_state.value.as_ref().and_then(|state| state.status.as_deref());
        match (self.presence, status) {
            (Presence::Online, Some("shutting-down" | "offline")) => Presence::Offline,
            (presence, _) => presence,
        }
    }

    pub(crate) fn view(&self, id: &Id) -> Machine {
        let unreadable =
            self.key.as_ref().err().or(self.metadata.error.as_ref()).or(self.daemon_state.error.as_ref());
        Machine {
            id: id.clone(),
            presence: self.presence(),
            metadata: self.metadata.value.clone(),
            daemon_state: self.daemon_state.value.clone(),
            unreadable: unreadable.cloned(),
            active_at: self.active_at,
        }
    }
}

impl State {
    /// All machines, by id.
    pub(crate) fn machine_views(&self) -> Vec<Machine> {
        self.machines.iter().map(|(id, entry)| entry.view(id)).collect()
    }

    pub(crate) fn fetch_machines(&self) {
        let http = Arc::clone(&self.http);
        self.effects.run(
            async move { http.call(&ListMachines {}).await },
            |state, answer: Result<MachineList, Error>| {
                let answer = answer.map(|list| state.take_machines(&list.0));
                state.listed(Listing::Machines, &answer);
            },
        );
    }

    fn take_machines(&mut self, rows: &[MachineRow]) {
        let gone: Vec<Id> =
            self.machines.keys().filter(|id| !rows.iter().any(|row| row.id == **id)).cloned().collect();
        for id in gone {
            self.forget_machine(&id);
        }
        for row in rows {
            if self.machines.contains_key(&row.id) {
                self.with_machine(&row.id, |entry| entry.take(row));
            } else {
                let entry = MachineEntry::new(&self.account, row);
                self.tell(PhoneEvent::Machine(Box::new(entry.view(&row.id))));
                self.machines.insert(row.id.clone(), entry);
            }
        }
    }

    pub(crate) fn change_machine(&mut self, change: &MachineChange) {
        if !self.with_machine(&change.machine_id, |entry| entry.change(change)) {
            self.refresh_again(Listing::Machines);
        }
    }

    pub(crate) fn machine_presence(&mut self, id: &Id, presence: Presence, at: u64) {
        let known = self.with_machine(id, |entry| {
            entry.presence = presence;
            entry.active_at = entry.active_at.max(at);
        });
        if !known {
            self.refresh_again(Listing::Machines);
        }
    }

    pub(crate) fn lose_machines(&mut self) {
        for id in self.machines.keys().cloned().collect::<Vec<_>>() {
            self.with_machine(&id, |entry| entry.presence = Presence::Unknown);
        }
    }

    pub(crate) fn forget_machine(&mut self, id: &Id) {
        if self.machines.remove(id).is_some() {
            self.tell(PhoneEvent::MachineGone(id.clone()));
        }
    }

    /// Changes a machine and tells of it when there is something to see; false when it is not known.
    fn with_machine(&mut self, id: &Id, change: impl FnOnce(&mut MachineEntry)) -> bool {
        let Some(entry) = self.machines.get_mut(id) else { return false };
        let before = entry.view(id);
        change(entry);
        let after = entry.view(id);
        if before != after {
            self.tell(PhoneEvent::Machine(Box::new(after)));
        }
        true
    }
}

/// What a peer is given as a sealed state.
pub(crate) type SealedState<'a> = Option<&'a SealedText>;
