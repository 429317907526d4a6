//! How a record of the registry is written: a line with version and checksum, then JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of this encoding. A reader refuses what is newer; the schema key guards the store as a whole.
const VERSION: &str = "r1";

/// Why a stored value is not a record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRecord {
    #[error("it has no header")]
    NoHeader,
    #[error("its format is {0:?}, which this build does not know")]
    Version(String),
    #[error("its checksum does not fit: it was damaged on disk")]
    Checksum,
    #[error("its content does not fit this build: {0}")]
    Content(String),
}

/// `r1 CRC32\nJSON`.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(record)?;
    let mut out = format!("{VERSION} {:08x}\n", crc32fast::hash(&json)).into_bytes();
    out.extend_from_slice(&json);
    Ok(out)
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadRecord> {
    let cut = bytes.iter().take(64).position(|b| *b == b'\n').ok_or(BadRecord::NoHeader)?;
    let (head, json) = (&bytes[..cut], &bytes[cut + 1..]);
    let (version, sum) =
        std::str::from_utf8(head).ok().and_then(|head| head.split_once(' ')).ok_or(BadRecord::NoHeader)?;
    if version != VERSION {
        return Err(BadRecord::Version(version.to_owned()));
    }
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json)) {
        return Err(BadRecord::Checksum);
    }
    serde_json::from_slice(json).map_err(|e| BadRecord::Content(e.to_string()))
}
