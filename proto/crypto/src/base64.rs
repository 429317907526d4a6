//! The two spellings of binary values: standard base64 on the wire, base64url in QR codes.
//!
//! Written with padding (standard) or without (base64url); read either way. Bits left over in the last character must
//! be zero, so a value has one text apart from its padding.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::error::{BadKey, OpenError};

const EITHER_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_PADDING);
const URL_SAFE: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, EITHER_PADDING.with_encode_padding(false));

/// A key's text is 44 characters; anything longer is refused unread, with room for a trailing newline's worth of slack.
const KEY_TEXT: usize = 64;

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn encode_url(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}

/// Decodes at most `most` bytes; the length is judged before anything is allocated for it.
pub(crate) fn decode(text: &str, most: usize) -> Result<Vec<u8>, OpenError> {
    let got = text.len() / 4 * 3;
    // `got` may exceed the real length by the padding: two bytes at most.
    if got > most.saturating_add(2) {
        return Err(OpenError::TooLarge { got, most });
    }
    STANDARD.decode(text).map_err(|_| OpenError::NotBase64)
}

/// A key of 32 bytes, in either spelling. The buffers are wiped.
pub(crate) fn decode_key(text: &str) -> Result<Zeroizing<[u8; 32]>, BadKey> {
    let text = text.trim();
    if text.len() > KEY_TEXT {
        return Err(BadKey::Length(text.len() / 4 * 3));
    }
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    let bytes = Zeroizing::new(engine.decode(text).map_err(|_| BadKey::NotBase64)?);
    key_of(&bytes)
}

/// 32 bytes out of a slice that must hold just them.
pub(crate) fn key_of(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, BadKey> {
    bytes.try_into().map(Zeroizing::new).map_err(|_| BadKey::Length(bytes.len()))
}
