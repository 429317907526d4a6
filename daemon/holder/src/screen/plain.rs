//! Plain output: text, line ends, tabs, backspaces and colour sequences (`ESC [ … m`).
//!
//! Why a part of it may be forgotten: nothing in it moves the cursor up, leaves the line but by a line feed or at the
//! right margin, or changes how lines scroll. Take a place right behind a carriage return and a line feed: the cursor
//! is in the first column, whatever came before. If as many line feeds follow as the screen has rows, the cursor is
//! in the last row; if as many follow again, every row that is to be seen has been scrolled in since then. So all
//! that decides the picture is what follows that place, and the colours in force there. The picture is the same when
//! what lies before was never printed, if the cursor is brought to the first column and those colours are set.

use memchr::{memchr, memchr_iter, memrchr, memrchr_iter};

const ESC: u8 = 0x1b;

/// Where in a colour sequence plain output ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Plain {
    #[default]
    Text,
    /// After `ESC`.
    Escape,
    /// After `ESC [` and perhaps parameters.
    Parameters,
}

impl Plain {
    /// Where `bytes` would lead; `None` when they are not plain.
    pub(super) fn follow(self, bytes: &[u8]) -> Option<Self> {
        if has_other_controls(bytes) {
            return None;
        }
        let mut state = self;
        let mut at = 0;
        loop {
            match state {
                Self::Text => match memchr(ESC, &bytes[at..]) {
                    None => return Some(Self::Text),
                    Some(n) => {
                        at += n + 1;
                        state = Self::Escape;
                    }
                },
                Self::Escape => match bytes.get(at) {
                    None => return Some(state),
                    Some(b'[') => {
                        at += 1;
                        state = Self::Parameters;
                    }
                    Some(_) => return None,
                },
                Self::Parameters => match bytes.get(at) {
                    None => return Some(state),
                    Some(b'0'..=b'9' | b';' | b':') => at += 1,
                    Some(b'm') => {
                        at += 1;
                        state = Self::Text;
                    }
                    Some(_) => return None,
                },
            }
        }
    }
}

/// Whether there is a control character other than backspace, tab, line feed, carriage return and escape. Written so
/// that the compiler makes vector code of it: every byte of a flood passes here.
fn has_other_controls(bytes: &[u8]) -> bool {
    let other = |b: u8| -> bool {
        ((b < 0x20) | (b == 0x7f)) & (b != b'\n') & (b != b'\r') & (b != b'\t') & (b != 0x08) & (b != ESC)
    };
    let (blocks, rest) = bytes.as_chunks::<128>();
    blocks.iter().any(|block| block.iter().fold(false, |found, b| found | other(*b)))
        || rest.iter().any(|b| other(*b))
}

/// The last place behind a carriage return and a line feed that is followed by at least `lines` line feeds, and by
/// something printed (a program may ask for the last character again).
pub(super) fn cut(bytes: &[u8], lines: usize) -> Option<usize> {
    let mut feeds = memrchr_iter(b'\n', bytes);
    let mut at = feeds.nth(lines)?;
    while at == 0 || bytes[at - 1] != b'\r' {
        at = feeds.next()?;
    }
    let rest = &bytes[at + 1..];
    // Letters and digits are printed even behind a torn character, and are in no colour sequence's place.
    let text = rest
        .split(|b| *b == b'\n')
        .any(|line| !line.contains(&ESC) && line.iter().any(u8::is_ascii_alphanumeric));
    text.then_some(at + 1)
}

/// What has to be printed in place of `parts`: the way to the first column and the colours in force at their end.
pub(super) fn carry(parts: &[&[u8]]) -> Vec<u8> {
    let mut kept = vec![b'\r'];
    let joined;
    let bytes = match parts {
        [one] => *one,
        // A colour sequence may lie across the seam.
        several => {
            joined = several.concat();
            &joined
        }
    };
    let start = last_reset(bytes).unwrap_or(0);
    for escape in memchr_iter(ESC, &bytes[start..]) {
        let sequence = &bytes[start + escape..];
        let end = memchr(b'm', sequence).map_or(sequence.len(), |n| n + 1);
        kept.extend_from_slice(&sequence[..end]);
    }
    kept
}

/// Where the last sequence that puts all colours back begins.
fn last_reset(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    while let Some(escape) = memrchr(ESC, &bytes[..end]) {
        let sequence = &bytes[escape..];
        if [b"\x1b[m".as_slice(), b"\x1b[0m", b"\x1b[0;", b"\x1b[;"]
            .iter()
            .any(|reset| sequence.starts_with(reset))
        {
            return Some(escape);
        }
        end = escape;
    }
    None
}
