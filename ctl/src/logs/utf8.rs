//! Text from bytes that come in pieces.

/// Bytes to text, where a character may be cut in two by the end of a record.
#[derive(Default)]
pub(super) struct Utf8 {
    /// The first bytes of an unfinished character: at most three.
    begun: Vec<u8>,
}

impl Utf8 {
    /// The text of the bytes, as far as its characters are whole.
    pub(super) fn text(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_prefix(invalid) {
                self.begun = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// What stands for a character that never became whole.
    pub(super) fn rest(&mut self) -> String {
        if std::mem::take(&mut self.begun).is_empty() { String::new() } else { "\u{fffd}".to_owned() }
    }
}

/// Whether bytes that end the input could be the beginning of a character.
fn is_prefix(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However the bytes are cut into records, the recording holds the same text.
        #[test]
        fn cutting_changes_nothing(text in "\\PC{0,40}", cuts in proptest::collection::vec(0usize..120, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut utf8 = Utf8::default();
            let mut out: String = cuts.windows(2).map(|w| utf8.text(&bytes[w[0]..w[1]])).collect();
            out += &utf8.rest();
            prop_assert_eq!(out, text);
        }

        /// Garbage becomes what the standard library makes of it, in one piece or many.
        #[test]
        fn garbage_is_replaced_as_ever(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut utf8 = Utf8::default();
            let mut whole = utf8.text(&bytes);
            whole += &utf8.rest();
            prop_assert_eq!(whole, String::from_utf8_lossy(&bytes));
        }
    }
}
