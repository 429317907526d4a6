//! Randomness for keys, nonces and names.

use delight_crypto::Fresh;
use delight_proto::refusal::{Code, Refusal};

/// Random bytes of the system.
///
/// # Errors
/// `internal`: the system has none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        Refusal::new(Code::Internal, "no keys can be made", format!("the system gives no randomness: {e}"))
    })?;
    Ok(bytes)
}

/// The same for one use in a seal.
///
/// # Errors
/// As [`bytes`].
pub(crate) fn fresh<const N: usize>() -> Result<Fresh<N>, Refusal> {
    bytes().map(Fresh::new)
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new UUIDv4, as servers want machines to be named.
///
/// # Errors
/// As [`bytes`].
pub(super) fn uuid() -> Result<String, Refusal> {
    let mut b = bytes::<16>()?;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let text = hex(&b);
    Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_a_version_4_uuid_and_new_each_time() {
        let one = uuid().unwrap();
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
        assert_ne!(one, uuid().unwrap());
    }
}
