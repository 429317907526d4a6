//! Wrapped data keys: a [`DataKey`] on its way through the server, readable by the account only.
//!
//! `00 ‖ box bundle(data key)`: 105 bytes, 140 characters of base64, the `dataEncryptionKey` of sessions and machines.

use crate::base64;
use crate::bundle;
use crate::error::{OpenError, SealError};
use crate::fresh::Fresh;
use crate::keys::{ContentPublic, ContentSecret, DataKey};

/// The only version there is.
const VERSION: u8 = 0;

/// Bytes of a wrapped data key.
pub const LEN: usize = 1 + bundle::OVERHEAD + 32;

/// Wraps `key` for the account; base64.
///
/// # Errors
/// [`SealError::WeakKey`] when the public key is of low order.
pub fn wrap(
    key: &DataKey,
    to: &ContentPublic,
    ephemeral: Fresh<32>,
    nonce: Fresh<24>,
) -> Result<String, SealError> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&bundle::seal(to.as_bytes(), key.expose(), ephemeral, nonce)?);
    Ok(base64::encode(&out))
}

/// Opens what [`wrap`] made.
///
/// # Errors
/// [`OpenError`]; a text longer than [`LEN`] bytes is refused unread.
pub fn unwrap(text: &str, secret: &ContentSecret) -> Result<DataKey, OpenError> {
    let bytes = base64::decode(text, LEN)?;
    match bytes.split_first() {
        None => Err(OpenError::TooShort { got: 0, least: LEN }),
        Some((&VERSION, rest)) => {
            let key = bundle::open(secret.expose(), rest)?;
            DataKey::from_slice(&key)
                .map_err(|_| OpenError::Content { got: key.len(), expected: "the 32 bytes of a data key" })
        }
        Some((&version, _)) => Err(OpenError::Version(version)),
    }
}
