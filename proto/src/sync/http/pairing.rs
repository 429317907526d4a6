//! Pairing: an offer is filed under a public key, and a phone answers it.

use serde::{Deserialize, Serialize};

use super::{Call, Done, Verb, encoded};
use crate::sync::bounded::{Hidden, Id, KeyText, Name, Token};
use crate::sync::pairing_link::Offer;

/// Files an offer, or asks again how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskPairing {
    /// What is paired: part of the path, not of the body.
    #[serde(skip, default = "machine")]
    pub offer: Offer,
    /// The offer's X25519 public key, base64.
    pub public_key: KeyText,
    /// Whether the answer may be in the second form.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "supportsV2")]
    pub supports_v2: Option<bool>,
}

/// Asks how an offer stands without filing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PollPairing {
    /// The offer's public key, base64.
    pub public_key: KeyText,
}

/// The phone's answer to an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerPairing {
    /// What is paired: part of the path, not of the body.
    #[serde(skip, default = "machine")]
    pub offer: Offer,
    /// The offer's public key, base64.
    pub public_key: KeyText,
    /// The account, sealed to it, base64.
    pub response: Hidden<KeyText>,
}

fn machine() -> Offer {
    Offer::Machine
}

fn base(offer: Offer) -> &'static str {
    match offer {
        Offer::Machine => "/v1/auth",
        Offer::Account => "/v1/auth/account",
    }
}

impl Call for AskPairing {
    type Answer = PairingState;
    const VERB: Verb = Verb::Post;
    const AUTHENTICATED: bool = false;

    fn path(&self) -> String {
        format!("{}/request", base(self.offer))
    }
}

impl Call for PollPairing {
    type Answer = PairingStatus;
    const VERB: Verb = Verb::Get;
    const AUTHENTICATED: bool = false;

    fn path(&self) -> String {
        format!("/v1/auth/request/status?publicKey={}", encoded(&self.public_key))
    }
}

impl Call for AnswerPairing {
    type Answer = Done;
    const VERB: Verb = Verb::Post;

    fn path(&self) -> String {
        format!("{}/response", base(self.offer))
    }
}

/// The answer to [`AskPairing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingState {
    /// The offer's id, where the server gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// `requested` or `authorized`.
    pub state: Name,
    /// With `authorized`: a token, unless the client is to log in by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// With `authorized`: the sealed account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Hidden<KeyText>>,
}

/// The answer to [`PollPairing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingStatus {
    /// `not_found`, `pending` or `authorized`.
    pub status: Name,
    /// As in [`PairingState`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// As in [`PairingState`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Hidden<KeyText>>,
    /// What the offer said about the second form.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "supportsV2")]
    pub supports_v2: Option<bool>,
}

/// How an offer stands, whichever way it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairingProgress {
    /// The server does not know it: it was never filed, or has expired.
    NotFound,
    /// Nobody answered yet.
    Pending,
    /// Answered.
    Authorized {
        /// A token, unless the client is to log in by itself.
        token: Option<Token>,
        /// The sealed account, base64.
        response: Hidden<KeyText>,
    },
    /// A state nobody here knows.
    Unknown(Name),
}

fn progress(state: &Name, token: Option<&Token>, response: Option<&Hidden<KeyText>>) -> PairingProgress {
    match (state.as_str(), response) {
        ("authorized", Some(response)) => {
            PairingProgress::Authorized { token: token.cloned(), response: response.clone() }
        }
        ("requested" | "pending", _) => PairingProgress::Pending,
        ("not_found", _) => PairingProgress::NotFound,
        _ => PairingProgress::Unknown(state.clone()),
    }
}

impl PairingState {
    /// How the offer stands.
    #[must_use]
    pub fn progress(&self) -> PairingProgress {
        progress(&self.state, self.token.as_ref(), self.response.as_ref())
    }
}

impl PairingStatus {
    /// How the offer stands.
    #[must_use]
    pub fn progress(&self) -> PairingProgress {
        progress(&self.status, self.token.as_ref(), self.response.as_ref())
    }
}
