//! Push notifications: asking the server to wake a phone. Title and body are **not** sealed.

use serde::{Deserialize, Serialize};

use super::{Call, Verb, encoded};
use crate::sync::bounded::{Id, Line, Name};
use crate::sync::open::open_object;

/// Asks for a push notification about a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushEvent {
    /// The session: part of the path, not of the body.
    #[serde(skip)]
    pub sid: Id,
    /// `done`, `permission` or `question`.
    pub kind: Name,
    /// First line. The server and the push service read it: nothing private.
    pub title: Line,
    /// Second line. The same holds.
    #[serde(default)]
    pub body: Line,
    /// What the app does with it.
    #[serde(default)]
    pub data: PushData,
}

open_object! {
    /// What the app needs to open the right place.
    pub struct PushData {
        /// The session.
        session_id: Id = "sessionId",
        /// The permission request, if it is about one.
        request_id: Id = "requestId",
        /// `ready`, `permission_request`, …
        kind_of_event: Name = "type",
        /// As [`PushEvent::kind`].
        kind: Name = "kind",
        /// The agent.
        provider: Name = "provider",
        /// The tool asked for.
        tool: Name = "tool",
        /// Shown to people.
        session_title: Line = "sessionTitle",
        /// A path inside the app.
        url: Line = "url",
    }
}

/// What became of it. `suppressed` means the server believes somebody is looking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushOutcome {
    /// Whether the request was understood.
    #[serde(default)]
    pub success: bool,
    /// `sent`, `partial`, `suppressed`, `no_tokens` or `failed`.
    #[serde(default)]
    pub result: Name,
    /// Why, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Line>,
}

impl Call for PushEvent {
    type Answer = PushOutcome;
    const VERB: Verb = Verb::Post;

    fn path(&self) -> String {
        format!("/v1/sessions/{}/push-event", encoded(&self.sid))
    }
}
