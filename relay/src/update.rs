//! What connected clients are told, and who of them.

use serde::Serialize;
use serde_json::Value;

use crate::ids;
use crate::store::StoreError;
use crate::store::machine::Machine;
use crate::store::message::Message;
use crate::store::session::Session;

/// Which sockets of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipients {
    /// Phones and other watchers of the whole account.
    Watchers,
    /// Watchers, and the sockets of this session.
    Session(String),
    /// Watchers, and the sockets of this machine.
    Machine(String),
}

/// A value and the version it has.
#[derive(Debug, Serialize)]
pub(crate) struct Versioned<'a> {
    pub(crate) value: Option<&'a str>,
    pub(crate) version: i64,
}

/// The bodies of `update`. Names and spelling are the wire's, including `id` here and `sid` there.
#[derive(Debug, Serialize)]
#[serde(tag = "t", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Body<'a> {
    NewMessage {
        sid: &'a str,
        message: &'a Message,
    },
    NewSession(&'a Session),
    UpdateSession {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Versioned<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        agent_state: Option<Versioned<'a>>,
    },
    DeleteSession {
        sid: &'a str,
    },
    NewMachine {
        machine_id: &'a str,
        seq: i64,
        #[serde(flatten)]
        machine: WithoutId<'a>,
    },
    UpdateMachine {
        machine_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Versioned<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        daemon_state: Option<Versioned<'a>>,
    },
    DeleteMachine {
        machine_id: &'a str,
    },
    UpdateAccount {
        id: &'a str,
        settings: Versioned<'a>,
    },
    KvBatchUpdate {
        changes: &'a [KvChange],
    },
}

/// A machine as `new-machine` tells it: its id stands beside it under another name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WithoutId<'a> {
    metadata: &'a str,
    metadata_version: i64,
    daemon_state: Option<&'a str>,
    daemon_state_version: i64,
    data_encryption_key: Option<&'a str>,
    active: bool,
    active_at: i64,
    created_at: i64,
    updated_at: i64,
}

impl<'a> Body<'a> {
    pub(crate) fn new_machine(machine: &'a Machine) -> Self {
        Self::NewMachine {
            machine_id: &machine.id,
            seq: 0,
            machine: WithoutId {
                metadata: &machine.metadata,
                metadata_version: machine.metadata_version,
                daemon_state: machine.daemon_state.as_deref(),
                daemon_state_version: machine.daemon_state_version,
                data_encryption_key: machine.data_encryption_key.as_deref(),
                active: machine.active,
                active_at: machine.active_at,
                created_at: machine.created_at,
                updated_at: machine.updated_at,
            },
        }
    }
}

/// One changed key. A deleted one has no value and version -1.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KvChange {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) version: i64,
}

/// The bodies of `ephemeral`: true now, kept nowhere.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Ephemeral<'a> {
    Activity { id: &'a str, active: bool, active_at: i64, thinking: bool },
    MachineActivity { id: &'a str, active: bool, active_at: i64 },
    Usage { id: &'a str, key: &'a str, tokens: &'a Value, cost: &'a Value, timestamp: i64 },
    SessionEvent { session_id: &'a str, kind: &'a str, title: &'a str, body: &'a str, timestamp: i64 },
}

/// A frame and who gets it.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) account: String,
    pub(crate) to: Recipients,
    /// A socket that does not get it.
    pub(crate) skip: Option<u64>,
    /// The Socket.IO event, already encoded: it is encoded once, however many sockets get it.
    pub(crate) frame: String,
    /// Whether a slow socket may miss it. Updates may not be missed: rather the socket is closed.
    pub(crate) expendable: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    id: String,
    seq: i64,
    body: &'a Body<'a>,
    created_at: i64,
}

fn encode(event: &str, payload: &impl Serialize) -> Result<String, StoreError> {
    let payload = serde_json::to_string(payload)
        .map_err(|why| rusqlite::Error::ToSqlConversionFailure(Box::new(why)))?;
    Ok(crate::socket::packet::event(event, &payload))
}

impl Publication {
    /// An `update`.
    pub(crate) fn update(
        account: &str,
        to: Recipients,
        seq: i64,
        now: i64,
        body: &Body<'_>,
    ) -> Result<Self, StoreError> {
        let update = Update { id: ids::update()?, seq, body, created_at: now };
        let frame = encode("update", &update)?;
        Ok(Self { account: account.to_owned(), to, skip: None, frame, expendable: false })
    }

    /// An `ephemeral`.
    pub(crate) fn ephemeral(account: &str, to: Recipients, body: &Ephemeral<'_>) -> Result<Self, StoreError> {
        let frame = encode("ephemeral", body)?;
        Ok(Self { account: account.to_owned(), to, skip: None, frame, expendable: true })
    }
}
