//! The box bundle: a small secret sealed to an X25519 public key by somebody who need not be known.
//!
//! `ephemeral public (32) ‖ nonce (24) ‖ tag (16) ‖ ciphertext` (X25519, XSalsa20-Poly1305). Anybody who knows the
//! public key can make one, the server included: that it opens proves who may read it, never who wrote it.

use crypto_box::SalsaBox;
use crypto_box::aead::Aead;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::error::{OpenError, SealError};
use crate::fresh::Fresh;
use crate::keys::public_of;

/// What a bundle adds to its plaintext.
pub(crate) const OVERHEAD: usize = 32 + 24 + 16;

/// The longest plaintext: bundles carry keys (32 or 33 bytes), nothing else.
const PLAINTEXT: usize = 64;

pub(crate) fn seal(
    to: &[u8; 32],
    plaintext: &[u8],
    ephemeral: Fresh<32>,
    nonce: Fresh<24>,
) -> Result<Vec<u8>, SealError> {
    let too_large = SealError::TooLarge { got: plaintext.len(), most: PLAINTEXT };
    if plaintext.len() > PLAINTEXT {
        return Err(too_large);
    }
    let (ephemeral, nonce) = (ephemeral.spend(), nonce.spend());
    let cipher = shared(to, &ephemeral).ok_or(SealError::WeakKey)?;
    let sealed = cipher.encrypt((&*nonce).into(), plaintext).map_err(|_| too_large)?;
    let mut bundle = Vec::with_capacity(OVERHEAD + plaintext.len());
    bundle.extend_from_slice(&public_of(&ephemeral));
    bundle.extend_from_slice(nonce.as_slice());
    bundle.extend_from_slice(&sealed);
    Ok(bundle)
}

pub(crate) fn open(secret: &[u8; 32], bundle: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let got = bundle.len();
    if got > OVERHEAD + PLAINTEXT {
        return Err(OpenError::TooLarge { got, most: OVERHEAD + PLAINTEXT });
    }
    let short = OpenError::TooShort { got, least: OVERHEAD };
    if got < OVERHEAD {
        return Err(short);
    }
    let (ephemeral, rest) = bundle.split_first_chunk::<32>().ok_or(short)?;
    let (nonce, sealed) = rest.split_first_chunk::<24>().ok_or(short)?;
    let cipher = shared(ephemeral, secret).ok_or(OpenError::Refused)?;
    cipher.decrypt(nonce.into(), sealed).map(Zeroizing::new).map_err(|_| OpenError::Refused)
}

/// The box of the two keys, unless `public` is of low order: then the shared secret would be known to everybody
/// (libsodium refuses it too).
fn shared(public: &[u8; 32], secret: &[u8; 32]) -> Option<SalsaBox> {
    let contributory =
        StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public)).was_contributory();
    contributory.then(|| {
        SalsaBox::new(&crypto_box::PublicKey::from(*public), &crypto_box::SecretKey::from_bytes(*secret))
    })
}
