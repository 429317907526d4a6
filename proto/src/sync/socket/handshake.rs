//! Opening a connection.

use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Refusal};
use crate::sync::bounded::{Id, Name, Token};

/// The Socket.IO path on every server.
pub const PATH: &str = "/v1/updates/";

/// Engine.IO's opening words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportOpen {
    /// The connection's id. It lets its holder write as us: not for a log.
    pub sid: Id,
    /// Transports it may change to.
    #[serde(default)]
    pub upgrades: Vec<Name>,
    /// Milliseconds between the server's pings.
    pub ping_interval: u64,
    /// Milliseconds after which a missing ping means the connection is dead.
    pub ping_timeout: u64,
    /// Bytes a packet may have.
    #[serde(default = "default_payload")]
    pub max_payload: u64,
}

fn default_payload() -> u64 {
    crate::sync::bounds::PACKET as u64
}

/// The server's answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// The socket's id.
    pub sid: Id,
}

/// Whether somebody looks at the app: decides whether push notifications are sent. A daemon never says `active`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppState {
    /// Somebody looks.
    Active,
    /// Nobody does.
    #[serde(other)]
    Background,
}

/// The `auth` object of CONNECT as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectAuth {
    /// The bearer token.
    pub token: Token,
    /// `user-scoped`, `session-scoped` or `machine-scoped`; absent is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_type: Option<Name>,
    /// With `session-scoped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Id>,
    /// With `machine-scoped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<Id>,
    /// Name and version of the program, for the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happy_client: Option<Name>,
    /// Of a phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_state: Option<AppState>,
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// A phone: hears of everything of the account.
    User,
    /// One session's own connection.
    Session(Id),
    /// One machine's own connection.
    Machine(Id),
}

impl ConnectAuth {
    /// The auth object for a scope.
    #[must_use]
    pub fn new(token: Token, scope: Scope, client: Name) -> Self {
        let (kind, session_id, machine_id) = match scope {
            Scope::User => ("user-scoped", None, None),
            Scope::Session(id) => ("session-scoped", Some(id), None),
            Scope::Machine(id) => ("machine-scoped", None, Some(id)),
        };
        Self {
            token,
            client_type: Some(Name::cut(kind)),
            session_id,
            machine_id,
            happy_client: Some(client),
            app_state: None,
        }
    }

    /// What the connection is for.
    ///
    /// # Errors
    /// [`Code::BadParams`] when the id its type needs is missing, or the type is unknown.
    pub fn scope(&self) -> Result<Scope, Refusal> {
        let refuse = |reason: &str| Err(Refusal::new(Code::BadParams, "a connection", reason));
        match self.client_type.as_deref() {
            None | Some("user-scoped") => Ok(Scope::User),
            Some("session-scoped") => match &self.session_id {
                Some(id) => Ok(Scope::Session(id.clone())),
                None => refuse("session-scoped without a sessionId"),
            },
            Some("machine-scoped") => match &self.machine_id {
                Some(id) => Ok(Scope::Machine(id.clone())),
                None => refuse("machine-scoped without a machineId"),
            },
            Some(_) => refuse("unknown clientType"),
        }
    }
}
