//! Randomness and time: the two things this crate takes from the system.

use std::time::{SystemTime, UNIX_EPOCH};

use delight_crypto::Fresh;

use crate::error::{Error, Kind};

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(Kind::System, "drawing random bytes", error.to_string()))?;
    Ok(bytes)
}

pub(crate) fn fresh<const N: usize>() -> Result<Fresh<N>, Error> {
    bytes().map(Fresh::new)
}

/// 16 random bytes in hex: the nonce of a bound call, and keys of requests.
pub(crate) fn token() -> Result<String, Error> {
    Ok(bytes::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
