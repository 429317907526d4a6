//! HTTP: each request with its path, what it sends and what comes back.
//!
//! JSON both ways. Treat 200 and 201 alike. A failure's body is [`Failure`].

mod login;
mod machines;
mod messages;
mod pairing;
mod push;
mod sessions;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::login::{AskChallenge, Challenge, LoggedIn, Login};
pub use self::machines::{
    CreateMachine, DeleteMachine, GetMachine, ListMachines, MachineCreated, MachineList,
};
pub use self::messages::{
    MessagePage, OutgoingMessage, PageMessages, PageOrder, PostMessages, Posted, PostedRow, RecentMessages,
};
pub use self::pairing::{
    AnswerPairing, AskPairing, PairingProgress, PairingState, PairingStatus, PollPairing,
};
pub use self::push::{PushData, PushEvent, PushOutcome};
pub use self::sessions::{
    ArchiveSession, CreateSession, DeleteSession, ListSessions, SessionCreated, SessionList,
};

use super::bounded::Line;

/// The verb of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Without a body.
    Get,
    /// With the call itself as JSON body.
    Post,
    /// Without a body.
    Delete,
}

/// A request: itself the body of a POST.
pub trait Call: Serialize {
    /// What a success answers.
    type Answer: DeserializeOwned;
    /// The verb.
    const VERB: Verb;
    /// Whether it needs the bearer token.
    const AUTHENTICATED: bool = true;

    /// Path and query, beginning with `/`. Everything variable in it is percent-encoded: an id that a server chose must
    /// not lead a request of ours anywhere else.
    fn path(&self) -> String;
}

/// The body of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    #[serde(alias = "message")]
    pub error: Line,
}

/// The answer of calls that tell nothing but that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Always true; a failure has another body and status.
    pub success: bool,
}

impl Default for Done {
    fn default() -> Self {
        Self { success: true }
    }
}

/// One path segment or query value, percent-encoded but for RFC 3986's unreserved characters.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'~')
            || (byte == b'.' && text.len() > 2)
        {
            out.push(char::from(byte));
        } else {
            // A lone `.` or `..` is a step in a path even inside a segment, so those dots are encoded too.
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_segment() {
        assert_eq!(encoded("cmwq45hn00003wl7"), "cmwq45hn00003wl7");
        assert_eq!(encoded("../v1/x?y#z"), "..%2Fv1%2Fx%3Fy%23z");
        assert_eq!(encoded(".."), "%2E%2E");
        assert_eq!(encoded("a+b/c=é"), "a%2Bb%2Fc%3D%C3%A9");
    }
}
