//! Pairing: a phone hands its account to a machine through a server that learns nothing from it.
//!
//! The machine makes a throw-away [`PairingSecret`] and shows the public half in a QR code; the phone seals the account
//! to it. Two forms: the first holds the master secret itself, the second (`00 ‖ public key`) only the account's
//! [`ContentPublic`], with which the machine can give but not read.
//!
//! What this does not prove: the answer is a box bundle, so a server that saw the public key could have made it
//! and paired the machine with an account of its own. People comparing a number on both sides settle that, not this crate.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::base64;
use crate::bundle;
use crate::error::{BadKey, OpenError, SealError};
use crate::fresh::Fresh;
use crate::keys::{ContentPublic, MasterSecret, public_key, public_of, secret_key};

secret_key! {
    /// The throw-away X25519 secret of one pairing offer. An offer is single-use: drop it when it was answered or expired.
    PairingSecret
}

public_key! {
    /// The public half of [`PairingSecret`]: what the QR code shows and the server files the offer under.
    PairingPublic
}

/// The first byte of the second form; the first form has none.
const SECOND_FORM: u8 = 0;

/// The longest answer: the second form's 33 bytes in a bundle.
const ANSWER: usize = bundle::OVERHEAD + 33;

/// What a phone hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paired {
    /// The account itself (first form).
    Account(MasterSecret),
    /// The account's public content key (second form): enough to share data keys with it, not to read others'.
    ContentKey(ContentPublic),
}

impl PairingSecret {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> PairingPublic {
        PairingPublic::from_bytes(public_of(self.expose()))
    }

    /// Opens a phone's answer (base64).
    ///
    /// # Errors
    /// [`OpenError`]: not for this offer, damaged, or neither form.
    pub fn open_answer(&self, text: &str) -> Result<Paired, OpenError> {
        let bytes = base64::decode(text, ANSWER)?;
        let plaintext = bundle::open(self.expose(), &bytes)?;
        let content = OpenError::Content {
            got: plaintext.len(),
            expected: "a master secret (32) or 00 and a content public key (33)",
        };
        match plaintext.as_slice() {
            [SECOND_FORM, key @ ..] if key.len() == 32 => {
                let key = <[u8; 32]>::try_from(key).map_err(|_| content)?;
                Ok(Paired::ContentKey(ContentPublic::from_bytes(key)))
            }
            secret => MasterSecret::from_slice(secret).map(Paired::Account).map_err(|_| content),
        }
    }
}

impl Paired {
    /// Seals the account for the machine that shows `offer`; base64. The phone's side.
    ///
    /// # Errors
    /// [`SealError::WeakKey`] when the offer's key is of low order: somebody tampered with it.
    pub fn answer(
        &self,
        offer: &PairingPublic,
        ephemeral: Fresh<32>,
        nonce: Fresh<24>,
    ) -> Result<String, SealError> {
        let plaintext = Zeroizing::new(match self {
            Self::Account(master) => master.expose().to_vec(),
            Self::ContentKey(key) => {
                let mut form = vec![SECOND_FORM];
                form.extend_from_slice(key.as_bytes());
                form
            }
        });
        Ok(base64::encode(&bundle::seal(offer.as_bytes(), &plaintext, ephemeral, nonce)?))
    }
}
