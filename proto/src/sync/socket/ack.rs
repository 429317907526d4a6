//! Acknowledgements of the server.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::sync::bounded::{Line, Name, SealedText};
use crate::sync::read;
use crate::sync::rpc::RpcText;

/// Which of the versioned values an update is about: it names the field in the acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// A session's or machine's metadata.
    Metadata,
    /// A session's agent state.
    AgentState,
    /// A machine's daemon state.
    DaemonState,
}

impl Kept {
    fn field(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::AgentState => "agentState",
            Self::DaemonState => "daemonState",
        }
    }
}

/// The answer to an update with an expected version. An absent version is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionedAck {
    /// Taken.
    Success {
        /// The version it has now: the expected one plus 1.
        version: u64,
        /// The value as stored.
        value: Option<SealedText>,
    },
    /// Not taken: somebody else wrote first. Merge with what is there and send again.
    Mismatch {
        /// The version there is.
        version: u64,
        /// The value there is.
        value: Option<SealedText>,
    },
    /// Not taken.
    Error {
        /// Why, where it says.
        message: Option<Line>,
    },
}

impl VersionedAck {
    /// Reads the acknowledgement of an update of `kept`. A result nobody knows is an error.
    ///
    /// # Errors
    /// [`crate::refusal::Code::BadParams`] when it has another shape.
    pub fn read(kept: Kept, ack: &Value) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Wire {
            result: Name,
            #[serde(default)]
            version: Option<u64>,
            #[serde(default)]
            message: Option<Line>,
        }
        let wire: Wire = read::value("a versioned acknowledgement", ack)?;
        let version = wire.version.unwrap_or(0);
        let value = match ack.get(kept.field()) {
            None | Some(Value::Null) => None,
            Some(value) => Some(read::value("an acknowledged value", value)?),
        };
        Ok(match wire.result.as_str() {
            "success" => Self::Success { version, value },
            "version-mismatch" => Self::Mismatch { version, value },
            _ => Self::Error { message: wire.message },
        })
    }

    /// The acknowledgement as a server writes it.
    #[must_use]
    pub fn write(&self, kept: Kept) -> Value {
        match self {
            Self::Success { version, value } => {
                json!({ "result": "success", "version": version, kept.field(): value })
            }
            Self::Mismatch { version, value } => {
                json!({ "result": "version-mismatch", "version": version, kept.field(): value })
            }
            Self::Error { message: Some(message) } => json!({ "result": "error", "message": message }),
            Self::Error { message: None } => json!({ "result": "error" }),
        }
    }
}

/// The answer to a call, as the server gives it to the caller. `ok` speaks of the delivery only: an error of the method
/// travels inside a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcAck {
    /// Whether the call reached somebody who answered in time.
    pub ok: bool,
    /// What the provider answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RpcText>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Line>,
}
