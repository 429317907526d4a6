//! Output as text: escape sequences taken away, and what was typed over shown as it finally stood.
//!
//! It keeps one line and a column in it. That is enough for what shells and progress bars do (return, backspace,
//! erase, insert, move within the line); whatever moves to another line ends this one.

use std::io::{self, Write};

use vte::{Params, Parser, Perform};

use super::utf8::Utf8;

/// Longest line kept, in characters: longer ones are broken, so that output without line ends stays bounded.
const LINE_MAX: usize = 64 << 10;

/// Takes bytes, gives lines of text.
pub(crate) struct LineText {
    parser: Parser,
    /// The parser is given whole characters: it loses one that follows a control character cut in two.
    characters: Utf8,
    line: Line,
}

#[derive(Default)]
struct Line {
    text: Vec<char>,
    column: usize,
    /// What of this line has been shown before its end.
    shown: String,
    finished: Vec<u8>,
}

impl LineText {
    pub(crate) fn new() -> Self {
        Self { parser: Parser::new(), characters: Utf8::default(), line: Line::default() }
    }

    /// Takes output; writes the lines it completes.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let text = self.characters.text(bytes);
        self.parser.advance(&mut self.line, text.as_bytes());
        out.write_all(&self.line.finished)?;
        self.line.finished.clear();
        Ok(())
    }

    /// Writes what the unfinished line holds by now: a prompt is worth seeing.
    pub(super) fn show_unfinished(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.line.show();
        out.write_all(&self.line.finished)?;
        self.line.finished.clear();
        Ok(())
    }

    /// Writes the last line.
    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let rest = self.characters.rest();
        self.parser.advance(&mut self.line, rest.as_bytes());
        if !self.line.text.is_empty() || !self.line.shown.is_empty() {
            self.line.end();
        }
        out.write_all(&self.line.finished)?;
        self.line.finished.clear();
        Ok(())
    }
}

impl Line {
    /// Brings what is shown up to date: by the rest of the line, or, where it was typed over, by the line again.
    fn show(&mut self) {
        let now: String = self.text.iter().collect();
        let now = now.trim_end_matches(' ');
        if let Some(rest) = now.strip_prefix(&self.shown) {
            self.finished.extend_from_slice(rest.as_bytes());
        } else if self.shown.trim_end() != now {
            self.finished.push(b'\n');
            self.finished.extend_from_slice(now.as_bytes());
        }
        self.shown = now.to_owned();
    }

    fn end(&mut self) {
        self.show();
        self.finished.push(b'\n');
        self.text.clear();
        self.shown.clear();
        self.column = 0;
    }

    /// Ends the line, if there is one: the cursor goes elsewhere.
    fn leave(&mut self) {
        if !self.text.is_empty() {
            self.end();
        }
    }
}

impl Perform for Line {
    fn print(&mut self, c: char) {
        // The parser lets DEL and the C1 controls through as characters.
        if c.is_control() && c != '\t' {
            return;
        }
        while self.text.len() < self.column {
            self.text.push(' ');
        }
        match self.text.get_mut(self.column) {
            Some(cell) => *cell = c,
            None => self.text.push(c),
        }
        self.column += 1;
        if self.column >= LINE_MAX {
            self.end();
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            // A bare line feed would keep the column; as text the next line begins at its beginning.
            b'\n' | 0x0b | 0x0c => self.end(),
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => {
                // As a character where it is at the end, so that columns of text stay columns.
                if self.column >= self.text.len() {
                    self.print('\t');
                } else {
                    self.column = (self.column / 8 + 1) * 8;
                }
            }
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        let first = params.iter().next().and_then(|p| p.first().copied()).unwrap_or(0);
        let count = usize::from(first.max(1)).min(LINE_MAX);
        if !intermediates.is_empty() {
            // Private modes; of them only the alternate screen leaves the line.
            if intermediates == b"?" && matches!(first, 47 | 1047 | 1049) {
                self.leave();
            }
            return;
        }
        match action {
            'C' => self.column = (self.column + count).min(LINE_MAX - 1),
            'D' => self.column = self.column.saturating_sub(count),
            'G' | '`' => self.column = count - 1,
            'K' => match first {
                0 => self.text.truncate(self.column),
                1 => {
                    let end = (self.column + 1).min(self.text.len());
                    self.text[..end].fill(' ');
                }
                _ => self.text.clear(),
            },
            'P' => {
                let begin = self.column.min(self.text.len());
                let end = (self.column + count).min(self.text.len());
                self.text.drain(begin..end);
            }
            '@' if self.column < self.text.len() => {
                self.text.splice(self.column..self.column, std::iter::repeat_n(' ', count));
                self.text.truncate(LINE_MAX);
            }
            'X' => {
                let end = (self.column + count).min(self.text.len());
                if self.column < end {
                    self.text[self.column..end].fill(' ');
                }
            }
            'J' => match first {
                0 => self.text.truncate(self.column),
                _ => self.leave(),
            },
            'A' | 'B' | 'E' | 'F' | 'H' | 'L' | 'M' | 'S' | 'T' | 'd' | 'f' => self.leave(),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        if intermediates.is_empty() && matches!(byte, b'D' | b'E' | b'M' | b'c') {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(bytes: &[u8]) -> String {
        let (mut text, mut out) = (LineText::new(), Vec::new());
        text.feed(bytes, &mut out).unwrap();
        text.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sequences_go_and_text_stays() {
        for (raw, want) in [
            ("\x1b[1;31mred\x1b[0m text\r\n", "red text\n"),
            ("\x1b]0;a title\x07prompt$ ls\r\n", "prompt$ ls\n"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
            ("\x1bP1$r0m\x1b\\after\n", "after\n"),
            ("日本\x1b[K語\r\n", "日本語\n"),
            ("a\tb\n", "a\tb\n"),
            ("no end", "no end\n"),
            ("", ""),
            ("\r\n\r\n", "\n\n"),
        ] {
            assert_eq!(strip(raw.as_bytes()), want, "{raw:?}");
        }
    }

    #[test]
    fn what_was_typed_over_is_shown_as_it_stood() {
        for (raw, want) in [
            ("10%\r55%\r100%\r\n", "100%\n"),
            ("downloading\r\x1b[Kdone\n", "done\n"),
            ("lss\x08 \x08 -l\r\n", "ls -l\n"),
            ("abc\x1b[2D\x1b[Px\n", "ax\n"),
            ("ac\x08\x1b[@b\n", "abc\n"),
            ("one\x1b[5;1Htwo\n", "one\ntwo\n"),
            ("shell\x1b[?1049heditor\x1b[?1049lshell\n", "shell\neditor\nshell\n"),
        ] {
            assert_eq!(strip(raw.as_bytes()), want, "{raw:?}");
        }
    }

    #[test]
    fn an_unfinished_line_is_shown_once_and_goes_on() {
        let (mut text, mut out) = (LineText::new(), Vec::new());
        text.feed(b"Continue? ", &mut out).unwrap();
        text.show_unfinished(&mut out).unwrap();
        text.show_unfinished(&mut out).unwrap();
        text.feed(b"y\r\nrate 1", &mut out).unwrap();
        text.show_unfinished(&mut out).unwrap();
        text.feed(b"\rrate 2", &mut out).unwrap();
        text.finish(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "Continue? y\nrate 1\nrate 2\n");
    }

    #[test]
    fn endless_lines_are_bounded() {
        let long = vec![b'x'; 3 * LINE_MAX];
        assert_eq!(strip(&long).lines().map(str::len).max(), Some(LINE_MAX));
        assert!(strip(b"\x1b[65535C\x1b[65535Cx").len() <= LINE_MAX + 2);
    }

    proptest! {
        /// No control character but line ends and tabs comes through, and cutting the input changes nothing.
        #[test]
        fn only_text_comes_through(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let whole = strip(&bytes);
            prop_assert!(whole.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            let cut = cut.min(bytes.len());
            let (mut text, mut out) = (LineText::new(), Vec::new());
            text.feed(&bytes[..cut], &mut out).unwrap();
            text.feed(&bytes[cut..], &mut out).unwrap();
            text.finish(&mut out).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), whole);
        }
    }
}
