//! A session's messages on the server.

use serde::{Deserialize, Serialize};

use super::{Call, Verb, encoded};
use crate::sync::bounded::{Id, List, SealedText};
use crate::sync::bounds;
use crate::sync::message::MessageRow;

/// The newest messages (`/v1`), or with Delight's servers those after a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecentMessages {
    /// The session.
    #[serde(skip)]
    pub sid: Id,
    /// Rows wanted.
    #[serde(skip)]
    pub limit: Option<u32>,
    /// Only those after this number (Delight; others ignore it).
    #[serde(skip)]
    pub after: Option<u64>,
}

impl Call for RecentMessages {
    type Answer = MessagePage;
    const VERB: Verb = Verb::Get;

    fn path(&self) -> String {
        let query: Vec<String> = [
            self.after.map(|after| format!("afterSeq={after}")),
            self.limit.map(|limit| format!("limit={limit}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/v1/sessions/{}/messages{mark}{}", encoded(&self.sid), query.join("&"))
    }
}

/// From where a page is read. The number itself is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageOrder {
    /// Upwards.
    After(u64),
    /// Downwards.
    Before(u64),
}

/// A page of messages (`/v3`). Ask until fewer than `limit` come back: some servers' `hasMore` is always false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageMessages {
    /// The session.
    #[serde(skip)]
    pub sid: Id,
    /// From where.
    #[serde(skip)]
    pub order: PageOrder,
    /// Rows wanted, at most [`bounds::PAGE_MESSAGES`].
    #[serde(skip)]
    pub limit: u32,
}

impl Call for PageMessages {
    type Answer = MessagePage;
    const VERB: Verb = Verb::Get;

    fn path(&self) -> String {
        let from = match self.order {
            PageOrder::After(seq) => format!("after_seq={seq}"),
            PageOrder::Before(seq) => format!("before_seq={seq}"),
        };
        format!("/v3/sessions/{}/messages?{from}&limit={}", encoded(&self.sid), self.limit)
    }
}

/// Messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// The rows.
    pub messages: List<MessageRow, { bounds::PAGE_MESSAGES }>,
    /// Whether the server says there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
}

/// Writes messages in order. A local id the server has seen is not written again, so this may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostMessages {
    /// The session: part of the path, not of the body.
    #[serde(skip)]
    pub sid: Id,
    /// One to [`bounds::POST_MESSAGES`] messages.
    pub messages: List<OutgoingMessage, { bounds::POST_MESSAGES }>,
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutgoingMessage {
    /// The sealed content.
    pub content: SealedText,
    /// Our id for it, stable over every attempt.
    pub local_id: Id,
}

/// What became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// One row each.
    pub messages: List<PostedRow, { bounds::POST_MESSAGES }>,
}

/// A written message without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedRow {
    /// The server's id.
    pub id: Id,
    /// Its number.
    pub seq: u64,
    /// Our id for it.
    #[serde(default)]
    pub local_id: Option<Id>,
    /// Unix milliseconds.
    #[serde(default)]
    pub created_at: u64,
    /// Unix milliseconds.
    #[serde(default)]
    pub updated_at: u64,
}

impl Call for PostMessages {
    type Answer = Posted;
    const VERB: Verb = Verb::Post;

    fn path(&self) -> String {
        format!("/v3/sessions/{}/messages", encoded(&self.sid))
    }
}
