//! Logging in: proving the account's key for a token.

use serde::{Deserialize, Serialize};

use super::{Call, Verb};
use crate::sync::bounded::{Id, KeyText, Token};

/// Asks the server for a challenge (our relay, and later Delight).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskChallenge {
    /// The account's Ed25519 public key, base64.
    pub public_key: KeyText,
}

/// A challenge: 32 random bytes that one signature within five minutes answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// To name it in the answer.
    pub challenge_id: Id,
    /// What to sign, base64.
    pub challenge: KeyText,
}

impl Call for AskChallenge {
    type Answer = Challenge;
    const VERB: Verb = Verb::Post;
    const AUTHENTICATED: bool = false;

    fn path(&self) -> String {
        "/v1/auth/challenge".into()
    }
}

/// Logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Login {
    /// With a challenge of the server's. The only form our relay accepts from its own clients: a signature over a
    /// challenge the client chose can be recorded and used again.
    Issued {
        /// The account's Ed25519 public key, base64.
        public_key: KeyText,
        /// Which challenge.
        challenge_id: Id,
        /// The signature over it, base64.
        signature: KeyText,
    },
    /// With a challenge of the client's own (Happy).
    Own {
        /// The account's Ed25519 public key, base64.
        public_key: KeyText,
        /// The challenge, base64.
        challenge: KeyText,
        /// The signature over it, base64.
        signature: KeyText,
    },
}

/// Logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// Always true.
    #[serde(default = "yes")]
    pub success: bool,
    /// The bearer token. Opaque; a JWT's `exp` may be read, nothing else.
    pub token: Token,
}

fn yes() -> bool {
    true
}

impl Call for Login {
    type Answer = LoggedIn;
    const VERB: Verb = Verb::Post;
    const AUTHENTICATED: bool = false;

    fn path(&self) -> String {
        "/v1/auth".into()
    }
}
