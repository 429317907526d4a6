//! Records: the plaintexts of messages, of people and of agents.

mod agent;
mod builder;
mod envelope;
mod output;
mod user;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use self::agent::{
    AgentContent, AgentEvent, AgentRecord, AnyData, EnvelopeData, EventContent, EventMessage, EventMode,
    OutputData, Ready,
};
pub use self::builder::{RecordBuilder, RecordId};
pub use self::envelope::{
    Envelope, FileEvent, ImageSize, Nothing, SessionEvent, SessionRecord, Speaker, Start, TextEvent,
    TokenUsage, ToolCallEnd, ToolCallStart, TurnEnd, TurnStatus,
};
pub use self::output::{Block, Output, OutputContent, OutputMessage, Plain, Thinking, ToolResult, ToolUse};
pub use self::user::{Image, MessageMeta, UserContent, UserRecord, UserText};

use super::bounded::Hidden;
use super::{bounds, read};
use crate::refusal::{Code, Refusal};

/// A record. What its `role` and kinds do not tell is `Unknown`, and so is a known one of a wrong shape: history is never
/// refused for one odd record.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// What a person wrote.
    User(UserRecord),
    /// What an agent did, in the older forms.
    Agent(AgentRecord),
    /// What happened in a session, in the form we write.
    Session(SessionRecord),
    /// Something else, kept whole and to be skipped visibly.
    Unknown {
        /// Its role; empty when it names none.
        role: String,
        /// All of it.
        raw: Hidden<Value>,
    },
}

impl Record {
    /// Reads an opened message.
    ///
    /// # Errors
    /// [`Code::TooLarge`] beyond [`bounds::PLAINTEXT`], [`Code::BadRequest`] when it is no JSON.
    pub fn open(plaintext: &[u8]) -> Result<Self, Refusal> {
        read::bytes("a message", plaintext, bounds::PLAINTEXT)
    }

    /// The plaintext to seal.
    ///
    /// # Errors
    /// [`Code::TooLarge`] beyond [`bounds::PLAINTEXT`].
    pub fn plaintext(&self) -> Result<Vec<u8>, Refusal> {
        let bytes = serde_json::to_vec(self).map_err(|error| read::refuse("a message of ours", &error))?;
        if bytes.len() > bounds::PLAINTEXT {
            let reason = format!("{} bytes, more than the {} allowed", bytes.len(), bounds::PLAINTEXT);
            return Err(Refusal::new(Code::TooLarge, "a message of ours", reason));
        }
        Ok(bytes)
    }

    fn from_value(raw: Value) -> Self {
        let role = raw.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
        let read = match role.as_str() {
            "user" => UserRecord::deserialize(&raw).map(Self::User),
            "agent" | "assistant" => AgentRecord::deserialize(&raw).map(Self::Agent),
            "session" => SessionRecord::deserialize(&raw).map(Self::Session),
            _ => return Self::Unknown { role, raw: Hidden::new(raw) },
        };
        read.unwrap_or_else(|_| Self::Unknown { role, raw: Hidden::new(raw) })
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Value::deserialize(d).map(Self::from_value)
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let (role, shape) = match self {
            Self::User(record) => ("user", serde_json::to_value(record)),
            Self::Agent(record) => ("agent", serde_json::to_value(record)),
            Self::Session(record) => ("session", serde_json::to_value(record)),
            Self::Unknown { raw, .. } => return raw.serialize(s),
        };
        let mut shape = shape.map_err(serde::ser::Error::custom)?;
        if let Some(object) = shape.as_object_mut() {
            object.insert("role".into(), role.into());
        }
        shape.serialize(s)
    }
}
