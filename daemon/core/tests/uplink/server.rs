//! A sync server as small as can be: rows, versions, local ids, pushes.

use std::collections::{BTreeMap, BTreeSet};

use delight_core::uplink::{MachineRow, SessionRow};
use delight_proto::id::SessionId;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::Id;

/// A versioned value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) version: u64,
    pub(crate) value: Object,
}

impl Kept {
    /// What an update with an expected version does.
    pub(crate) fn update(&mut self, expected: u64, value: Object) -> bool {
        if expected != self.version {
            return false;
        }
        self.version += 1;
        self.value = value;
        true
    }
}

/// A message's row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) local_id: String,
    /// Written by a phone.
    pub(crate) from_phone: bool,
}

/// A session's rows.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: Id,
    pub(crate) rows: Vec<Row>,
    known: BTreeSet<String>,
    pub(crate) metadata: Kept,
    pub(crate) state: Kept,
    pub(crate) active: bool,
}

impl Session {
    /// Writes a row unless its local id is known.
    pub(crate) fn write(&mut self, local_id: String, from_phone: bool, gap: u64) -> Option<Row> {
        if !self.known.insert(local_id.clone()) {
            return None;
        }
        let seq = self.rows.last().map_or(0, |row| row.seq) + 1 + gap;
        let row = Row { seq, local_id, from_phone };
        self.rows.push(row.clone());
        Some(row)
    }
}

/// The server.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) machine: Option<(Kept, Kept)>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
}

impl Server {
    /// `POST /v1/machines`.
    pub(crate) fn register_machine(&mut self, metadata: Object, state: Object) -> MachineRow {
        let (metadata, state) = self
            .machine
            .get_or_insert((Kept { version: 1, value: metadata }, Kept { version: 1, value: state }));
        MachineRow {
            metadata: Some(metadata.value.clone()),
            metadata_version: metadata.version,
            daemon_state: Some(state.value.clone()),
            daemon_state_version: state.version,
        }
    }

    /// `POST /v1/sessions`. The agent state is dropped, as the real server does.
    pub(crate) fn register_session(&mut self, tag: SessionId, metadata: Object) -> SessionRow {
        let session = self.sessions.entry(tag).or_insert_with(|| Session {
            id: Id::cut(format!("server-{tag}")),
            rows: Vec::new(),
            known: BTreeSet::new(),
            metadata: Kept { version: 0, value: metadata },
            state: Kept::default(),
            active: true,
        });
        SessionRow {
            id: session.id.clone(),
            seq: session.rows.last().map_or(0, |row| row.seq),
            metadata: Some(session.metadata.value.clone()),
            metadata_version: session.metadata.version,
            agent_state: (session.state.version > 0).then(|| session.state.value.clone()),
            agent_state_version: session.state.version,
        }
    }

    /// The session of a server's id.
    pub(crate) fn by_id(&mut self, id: &Id) -> Option<(SessionId, &mut Session)> {
        self.sessions.iter_mut().find(|(_, session)| session.id == *id).map(|(tag, session)| (*tag, session))
    }
}
