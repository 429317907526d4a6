//! Ed25519: how an account proves itself to a server.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};

use crate::base64;
use crate::derivation::Dialect;
use crate::keys::{MasterSecret, SigningSeed};

/// A challenge is 32 bytes with every server there is; nobody has a reason to have more than this signed.
const CHALLENGE: usize = 1_024;

/// The account's signing key.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A signature that does not fit, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit the key and the challenge")]
pub struct BadSignature;

impl SigningKey {
    /// The key of an account, as `dialect` derives it.
    #[must_use]
    pub fn derive(master: &MasterSecret, dialect: Dialect) -> Self {
        Self::from_seed(&SigningSeed::derive(master, dialect))
    }

    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: &SigningSeed) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
    }

    /// The public half: the account's name with the server.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The public half in padded standard base64.
    #[must_use]
    pub fn public_base64(&self) -> String {
        base64::encode(&self.public())
    }

    /// Signs a challenge of at most 1,024 bytes; `None` when it is longer (no server's is).
    #[must_use]
    pub fn sign(&self, challenge: &[u8]) -> Option<[u8; 64]> {
        (challenge.len() <= CHALLENGE).then(|| self.0.sign(challenge).to_bytes())
    }

    /// The same with base64 on both sides, as the wire has it; `None` also when the challenge is not base64.
    #[must_use]
    pub fn sign_base64(&self, challenge: &str) -> Option<String> {
        let challenge = base64::decode(challenge, CHALLENGE).ok()?;
        self.sign(&challenge).map(|signature| base64::encode(&signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Whether `signature` over `challenge` is `public`'s. Keys of low order and signatures with more than one spelling are refused.
///
/// # Errors
/// [`BadSignature`].
pub fn verify(public: &[u8; 32], challenge: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
    VerifyingKey::from_bytes(public)
        .and_then(|key| key.verify_strict(challenge, &signature))
        .map_err(|_| BadSignature)
}
