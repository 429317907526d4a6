//! Answers that fit: what a server drops for its size is no answer.

use delight_proto::sync::bounds;

/// Bytes of an answer's plaintext as JSON. Sealed and in base64 it takes four thirds of that and a little more; servers
/// drop the connection of whoever sends more than [`bounds::RPC_ANSWER`] or so.
pub(super) const ANSWER: usize = 500_000;

const _: () = assert!((ANSWER + 2_000) / 3 * 4 < bounds::RPC_ANSWER);

/// Bytes of a file that fit an answer in base64.
pub(super) const FILE: usize = (ANSWER - 1_000) / 4 * 3;

/// Output as text that takes at most `room` bytes of JSON, and says what was left out: `more` bytes were before this.
pub(super) fn fitted(bytes: &[u8], more: u64, room: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let room = room.saturating_sub(80);
    let mut taken = 0;
    let end = text
        .char_indices()
        .find(|(_, c)| {
            taken += match c {
                '"' | '\\' | '\n' | '\r' | '\t' => 2,
                c if c.is_control() => 6,
                c => c.len_utf8(),
            };
            taken > room
        })
        .map_or(text.len(), |(at, _)| at);
    let left_out = more + (text.len() - end) as u64;
    if left_out == 0 {
        text.into_owned()
    } else {
        format!("{}\n[{left_out} bytes are left out]\n", &text[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_by_what_it_takes_as_json() {
        assert_eq!(fitted(b"short", 0, 1_000), "short");
        for bytes in [
            vec![b'x'; 5_000],
            vec![1; 5_000],
            vec![b'"'; 5_000],
            vec![0xff; 5_000],
            "é".repeat(5_000).into(),
        ] {
            let text = fitted(&bytes, 7, 1_000);
            assert!(serde_json::to_string(&text).unwrap().len() <= 1_000);
            assert!(text.contains("bytes are left out]"), "{text}");
        }
        assert!(fitted(b"x", 9, 1_000).contains("[9 bytes are left out]"));
    }
}
