//! Sessions on the server.

use serde::{Deserialize, Serialize};

use super::{Call, Done, Verb, encoded};
use crate::sync::bounded::{Id, KeyText, List, Name, SealedText};
use crate::sync::bounds;
use crate::sync::row::SessionRow;

/// Makes a session, or loads the one with this tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateSession {
    /// The account's own name for it: the same tag gives the same session. We use our session id.
    pub tag: Name,
    /// Sealed session metadata.
    pub metadata: SealedText,
    /// Sealed agent state. Real servers drop it: send it again with `update-state`.
    #[serde(default)]
    pub agent_state: Option<SealedText>,
    /// The session's data key, wrapped to the account.
    #[serde(default)]
    pub data_encryption_key: Option<KeyText>,
}

/// The session, stored before or just now. For a known tag the stored values come back and nothing sent was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCreated {
    /// The session.
    pub session: SessionRow,
}

impl Call for CreateSession {
    type Answer = SessionCreated;
    const VERB: Verb = Verb::Post;

    fn path(&self) -> String {
        "/v1/sessions".into()
    }
}

/// Lists sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ListSessions {
    /// The newest, 150 at most with Happy's server.
    Newest,
    /// Those believed alive.
    Active,
    /// All, page by page.
    Page {
        /// From the page before; none for the first.
        cursor: Option<Id>,
        /// Rows wanted.
        limit: u32,
    },
}

/// A list of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionList {
    /// The sessions.
    pub sessions: List<SessionRow, { bounds::SESSIONS }>,
    /// The next page's cursor; none on the last page and where there are no pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Id>,
    /// Whether there is a next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_next: Option<bool>,
}

impl Call for ListSessions {
    type Answer = SessionList;
    const VERB: Verb = Verb::Get;

    fn path(&self) -> String {
        match self {
            Self::Newest => "/v1/sessions".into(),
            Self::Active => "/v2/sessions/active".into(),
            Self::Page { cursor: None, limit } => format!("/v2/sessions?limit={limit}"),
            Self::Page { cursor: Some(cursor), limit } => {
                format!("/v2/sessions?limit={limit}&cursor={}", encoded(cursor))
            }
        }
    }
}

/// Marks a session as no longer alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSession {
    /// The session: part of the path, not of the body.
    #[serde(skip)]
    pub id: Id,
}

impl Call for ArchiveSession {
    type Answer = Done;
    const VERB: Verb = Verb::Post;

    fn path(&self) -> String {
        format!("/v1/sessions/{}/archive", encoded(&self.id))
    }
}

/// Deletes a session with its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeleteSession {
    /// The session.
    #[serde(skip)]
    pub id: Id,
}

impl Call for DeleteSession {
    type Answer = Done;
    const VERB: Verb = Verb::Delete;

    fn path(&self) -> String {
        format!("/v1/sessions/{}", encoded(&self.id))
    }
}
