//! Keys by name: what `--detach-key` and `send --key` take.

/// Names of keys that are not characters, with what a terminal sends for them.
const NAMED: &[(&str, &[u8])] = &[
    ("enter", b"\r"),
    ("tab", b"\t"),
    ("esc", b"\x1b"),
    ("space", b" "),
    ("backspace", b"\x7f"),
    ("up", b"\x1b[A"),
    ("down", b"\x1b[B"),
    ("right", b"\x1b[C"),
    ("left", b"\x1b[D"),
    ("home", b"\x1b[H"),
    ("end", b"\x1b[F"),
    ("insert", b"\x1b[2~"),
    ("delete", b"\x1b[3~"),
    ("pageup", b"\x1b[5~"),
    ("pagedown", b"\x1b[6~"),
];

/// Reads `ctrl-c`, `^C`, `enter`, `up`, `alt-x` or a single character, and gives the bytes a terminal sends.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let lower = text.to_ascii_lowercase();
    if let Some((_, bytes)) = NAMED.iter().find(|(name, _)| *name == lower) {
        return Ok(bytes.to_vec());
    }
    if let Some(byte) = control(text) {
        return Ok(vec![byte]);
    }
    if let Some(rest) = lower.strip_prefix("alt-") {
        let rest = &text[text.len() - rest.len()..];
        return Ok([vec![0x1b], bytes(rest)?].concat());
    }
    if text.chars().count() == 1 {
        return Ok(text.as_bytes().to_vec());
    }
    let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
    Err(format!("{text:?} is no key; keys are ctrl-X, alt-X, one character, or {}", names.join(", ")))
}

/// The control byte of `ctrl-x`, `c-x` or `^x`.
fn control(text: &str) -> Option<u8> {
    let lower = text.to_ascii_lowercase();
    let key = ["ctrl-", "c-", "^"].iter().find_map(|prefix| lower.strip_prefix(prefix))?;
    match key.as_bytes() {
        b"space" => Some(0),
        [c @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(c & 0x1f),
        b"?" => Some(0x7f),
        _ => None,
    }
}

/// The key that detaches: a control character, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DetachKey(pub(crate) Option<u8>);

impl DetachKey {
    /// The bytes that can be a detach key: those that are no text, nor Enter, Tab or Escape, which every program
    /// needs and which begin other keys.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        match control(text) {
            Some(byte) if !matches!(byte, b'\r' | b'\t' | 0x1b) => Ok(Self(Some(byte))),
            _ => Err(format!(
                "{text:?} cannot be the detach key; it is ctrl with a letter or one of \\ ] ^ _ (not ctrl-m, ctrl-i, \
                 ctrl-[), or none"
            )),
        }
    }

    /// As people call it.
    pub(crate) fn name(self) -> String {
        match self.0 {
            None => "none".to_owned(),
            Some(0) => "ctrl-space".to_owned(),
            Some(0x7f) => "ctrl-?".to_owned(),
            Some(byte) => format!("ctrl-{}", char::from(byte | 0x40).to_ascii_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_what_terminals_send() {
        for (name, want) in [
            ("ctrl-c", &b"\x03"[..]),
            ("^C", b"\x03"),
            ("C-\\", b"\x1c"),
            ("ctrl-space", b"\0"),
            ("Enter", b"\r"),
            ("UP", b"\x1b[A"),
            ("alt-x", b"\x1bx"),
            ("alt-X", b"\x1bX"),
            ("é", "é".as_bytes()),
            ("q", b"q"),
        ] {
            assert_eq!(bytes(name).as_deref(), Ok(want), "{name}");
        }
        for bad in ["", "ctrl-", "ctrl-é", "hello", "alt-"] {
            assert!(bytes(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn detach_keys_are_control_characters_no_program_needs() {
        for (text, byte) in [("ctrl-\\", 0x1c), ("ctrl-a", 1), ("^]", 0x1d), ("c-q", 0x11)] {
            assert_eq!(DetachKey::parse(text), Ok(DetachKey(Some(byte))), "{text}");
        }
        assert_eq!(DetachKey::parse("none"), Ok(DetachKey(None)));
        for bad in ["", "a", "enter", "ctrl-m", "ctrl-i", "ctrl-[", "ctrl-1"] {
            assert!(DetachKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn detach_key_names_parse_back() {
        for byte in (0u8..32).chain([0x7f]).filter(|b| !matches!(b, b'\r' | b'\t' | 0x1b)) {
            let key = DetachKey(Some(byte));
            assert_eq!(DetachKey::parse(&key.name()), Ok(key), "{}", key.name());
        }
    }
}
