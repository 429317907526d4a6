//! Pairing: a phone hands its account to a machine through a server that learns nothing from it.
//!
//! The machine makes a throw-away [`PairingSecret`] and shows the public half in a QR code; the phone seals the account
//! to it. Two forms: the first holds the master secret itself, the second (`00 ‖ public key`) only the account's
//! [`ContentPublic`], with which the machine can give but not read.
//!
//! What this does not prove: the answer is a box bundle, so a server that saw the public key could have made it
//! and paired the machine with an account of its own. People comparing a number on both sides settle that, not this crate.

use std::fmt;

use sha2::{Digest, Sha256};
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

/// The number that people compare on both screens after a pairing: 0 to 999,999, shown as six digits.
///
/// The first eight bytes (big-endian) of SHA-256(`delight pairing number 1` ‖ offer's public key ‖ account's content
/// public key), modulo one million. The phone derives it of the offer it scanned and its own account, the machine of its own
/// offer and the account it was given. A server that answered the offer with an account of its own would have to
/// meet a number it does not know: the content public key is never sent to it in clear.
#[must_use]
pub fn comparison_number(offer: &PairingPublic, account: &ContentPublic) -> u32 {
    let mut hash = Sha256::new();
    hash.update(b"delight pairing number 1");
    hash.update(offer.as_bytes());
    hash.update(account.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let word = digest.iter().take(8).fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
    // Less than a million, so it fits.
    u32::try_from(word % 1_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compared_number_is_fixed_by_both_keys() {
        let offer = PairingPublic::from_bytes([1; 32]);
        let account = ContentPublic::from_bytes([2; 32]);
        let number = comparison_number(&offer, &account);
        // printf 'delight pairing number 1' plus 32 × 01 and 32 × 02, through sha256sum.
        assert_eq!(number, 645_346);
        assert_ne!(number, comparison_number(&PairingPublic::from_bytes([3; 32]), &account));
        assert_ne!(number, comparison_number(&offer, &ContentPublic::from_bytes([3; 32])));
    }
}
