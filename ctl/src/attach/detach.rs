//! Finding the detach key in what is typed.
//!
//! It comes as a control character, or, when the session's program has asked the terminal for another keyboard
//! encoding, as `CSI code;modifiers u` (kitty) or `CSI 27;modifiers;code ~` (xterm). In pasted text it is text.

use crate::keys::DetachKey;

/// Longest key sequence looked at: kitty's with all its fields stays below.
const SEQUENCE_MAX: usize = 48;

/// Follows what is typed.
#[derive(Debug)]
pub(super) struct DetachScanner {
    key: Option<u8>,
    state: State,
    /// Parameters of the sequence that is being read.
    params: Vec<u8>,
    pasting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    Params,
}

impl DetachScanner {
    pub(super) fn new(key: DetachKey) -> Self {
        Self { key: key.0, state: State::Ground, params: Vec::new(), pasting: false }
    }

    /// How many of the bytes are for the session. Fewer than there are: the next is the detach key, and what follows
    /// it was typed to nobody.
    ///
    /// Terminals write a key's sequence at once. One that arrives in pieces has its first piece sent on already: to
    /// hold it back would make Escape wait.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> usize {
        let Some(key) = self.key else { return bytes.len() };
        let mut begin = 0;
        for (at, byte) in bytes.iter().enumerate() {
            match (self.state, byte) {
                (State::Ground, b) if *b == key && !self.pasting => return at,
                (State::Escape, b) if *b == key && !self.pasting => return at,
                (_, 0x1b) => {
                    self.state = State::Escape;
                    begin = at;
                }
                (State::Escape, b'[') => {
                    self.state = State::Params;
                    self.params.clear();
                }
                (State::Params, 0x20..=0x3f) if self.params.len() < SEQUENCE_MAX => self.params.push(*byte),
                (State::Params, last @ 0x40..=0x7e) => {
                    self.state = State::Ground;
                    match (self.params.as_slice(), last) {
                        (b"200", b'~') => self.pasting = true,
                        (b"201", b'~') => self.pasting = false,
                        (params, last) if !self.pasting && encodes(params, *last, key) => return begin,
                        _ => {}
                    }
                }
                _ => self.state = State::Ground,
            }
        }
        bytes.len()
    }
}

/// Whether a key sequence means ctrl with the key.
fn encodes(params: &[u8], last: u8, key: u8) -> bool {
    let fields: Vec<&[u8]> = params.split(|b| *b == b';').collect();
    let number = |field: &[u8]| -> Option<u32> {
        // Sub-parameters follow a colon: alternate keys after the code, the event after the modifiers.
        std::str::from_utf8(field.split(|b| *b == b':').next()?).ok()?.parse().ok()
    };
    let event = |field: &[u8]| field.split(|b| *b == b':').nth(1).map(|e| e != b"3").unwrap_or(true);
    let (code, modifiers) = match (last, fields.as_slice()) {
        (b'u', [code, modifiers, ..]) if event(modifiers) => (number(code), number(modifiers)),
        (b'~', [b"27", modifiers, code]) => (number(code), number(modifiers)),
        _ => return false,
    };
    // Modifiers are told as one plus bits: 4 is ctrl, 64 and 128 are the locks, which do not count. Shift may be
    // needed to reach the character.
    let ctrl = modifiers.is_some_and(|m| m.wrapping_sub(1) & !(1 | 64 | 128) == 4);
    let same = code.and_then(|c| u8::try_from(c).ok()).is_some_and(|c| match (c, key) {
        (b' ', 0) | (b'?', 0x7f) => true,
        (b'@'..=b'_' | b'a'..=b'z', 0..=0x1f) => c & 0x1f == key,
        _ => false,
    });
    ctrl && same
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(text: &[u8]) -> usize {
        DetachScanner::new(DetachKey(Some(0x1c))).scan(text)
    }

    #[test]
    fn plain_key_ends_the_input_there() {
        assert_eq!(scan(b"ls\x1crm -rf"), 2);
        assert_eq!(scan(b"\x1b\x1c"), 1);
        assert_eq!(scan(b"ls\r"), 3);
    }

    #[test]
    fn encoded_keys_are_the_same_key() {
        for sequence in
            ["\x1b[92;5u", "\x1b[92;69u", "\x1b[92:124;5u", "\x1b[92;5:1u", "\x1b[27;5;92~", "\x1b[92;5;28u"]
        {
            assert_eq!(scan(format!("ab{sequence}x").as_bytes()), 2, "{sequence:?}");
        }
        for sequence in
            ["\x1b[92;1u", "\x1b[92;3u", "\x1b[97;5u", "\x1b[92;5:3u", "\x1b[92u", "\x1b[28~", "\x1b[A"]
        {
            assert_eq!(scan(sequence.as_bytes()), sequence.len(), "{sequence:?}");
        }
    }

    #[test]
    fn in_a_paste_it_is_text() {
        let paste = b"\x1b[200~a\x1cb\x1b[92;5u\x1b[201~";
        let mut scanner = DetachScanner::new(DetachKey(Some(0x1c)));
        for byte in paste {
            assert_eq!(scanner.scan(&[*byte]), 1);
        }
        assert_eq!(scanner.scan(b"\x1c"), 0);
    }

    #[test]
    fn without_a_key_everything_is_for_the_session() {
        assert_eq!(DetachScanner::new(DetachKey(None)).scan(b"\x1c\x1c"), 2);
    }

    proptest! {
        /// No byte but the key's own is ever kept back, however the input is cut.
        #[test]
        fn nothing_else_is_eaten(
            bytes in proptest::collection::vec(any::<u8>().prop_filter("the key", |b| *b != 0x1c && *b != b'u' && *b != b'~'), 0..200),
            cut in 0usize..200,
        ) {
            let mut scanner = DetachScanner::new(DetachKey(Some(0x1c)));
            let cut = cut.min(bytes.len());
            prop_assert_eq!(scanner.scan(&bytes[..cut]), cut);
            prop_assert_eq!(scanner.scan(&bytes[cut..]), bytes.len() - cut);
        }
    }
}
