//! Messages: the sealed content, the row the server stores, and the one value every way of hearing of one gives.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::bounded::{Id, SealedText};
use super::legacy;

/// A message's sealed content. Written as `{"t":"encrypted","c":…}`; read in every spelling of [`legacy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(pub SealedText);

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            t: &'static str,
            c: &'a SealedText,
        }
        Wire { t: "encrypted", c: &self.0 }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        legacy::cipher(&value)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("no sealed content of a known spelling and size"))
    }
}

/// A message as the server stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRow {
    /// The server's id.
    pub id: Id,
    /// Its number in the session, counted by the server from 1. Numbers may be missing.
    pub seq: u64,
    /// The sender's id for it, with which a second write is recognised.
    #[serde(default)]
    pub local_id: Option<Id>,
    /// What is sealed.
    pub content: Content,
    /// Unix milliseconds, the server's clock.
    #[serde(default)]
    pub created_at: u64,
    /// Unix milliseconds, the server's clock.
    #[serde(default)]
    pub updated_at: u64,
}

/// A message as it was heard of, whichever way: a structured update, a legacy event or a page. What a way does not tell
/// is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incoming {
    /// The server's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// Its number in the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The sender's id for it.
    #[serde(default)]
    pub local_id: Option<Id>,
    /// What is sealed.
    pub content: Content,
    /// Unix milliseconds, the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// Unix milliseconds, the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<u64>,
}

impl From<MessageRow> for Incoming {
    fn from(row: MessageRow) -> Self {
        Self {
            id: Some(row.id),
            seq: Some(row.seq),
            local_id: row.local_id,
            content: row.content,
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
        }
    }
}

/// A new message of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMessage {
    /// The session. A legacy event on a session's own socket may not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Id>,
    /// The message.
    pub message: Incoming,
}
