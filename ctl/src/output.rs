//! Where words go: results on standard output, or, with `--json`, one document there and people's words on standard
//! error.

use std::io::{self, IsTerminal, Write};

use delight_proto::refusal::Refusal;
use serde::Serialize;

use crate::failure::{self, Failure};
use crate::text;

/// How this run speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document on standard output.
    pub(crate) json: bool,
    /// Whether standard output shows colours.
    pub(crate) colour: bool,
}

/// Colours with a meaning, not a hue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Warn,
    Bad,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        }
    }
}

/// Wraps `text` in a colour, if there are colours.
pub(crate) fn paint(colour: bool, tone: Tone, text: &str) -> String {
    if colour && tone != Tone::Plain {
        format!("\x1b[{}m{text}\x1b[0m", tone.code())
    } else {
        text.to_owned()
    }
}

/// Colours only where a person looks: a terminal that can, and nobody said `NO_COLOR`.
fn wants_colour(stream: &impl IsTerminal) -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
        && stream.is_terminal()
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, colour: !json && wants_colour(&io::stdout()) }
    }

    /// Wraps `text` in a colour, if standard output shows them.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        paint(self.colour, tone, text)
    }

    /// The result: `document` with `--json`, `people()` without.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(crate) fn result<T: Serialize>(
        self,
        document: &T,
        people: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json { self.document(document) } else { stdout(people().as_bytes()) }
    }

    /// One JSON document and a line end.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(crate) fn document<T: Serialize>(self, document: &T) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec(document).map_err(|e| failure::system("the result", e))?;
        bytes.push(b'\n');
        stdout(&bytes)
    }

    /// Tells why there is no result: for people on standard error, for programs as `{"error": …}` on standard output.
    pub(crate) fn refusal(self, refusal: &Refusal) {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a Refusal,
        }
        let colour = wants_colour(&io::stderr());
        let mut words =
            format!("{} {}\n", paint(colour, Tone::Bad, "delightctl:"), text::visible(&refusal.what));
        for (label, line) in [("why:", &refusal.reason), ("fix:", &refusal.fix)] {
            if !line.is_empty() {
                words += &format!("{} {}\n", paint(colour, Tone::Strong, label), text::visible(line));
            }
        }
        note(&words);
        if self.json {
            // Nothing is left to tell when even this cannot be written.
            let _ = self.document(&Document { error: refusal });
        }
    }
}

/// Writes to standard output, whole.
///
/// # Errors
/// Standard output is closed or full.
pub(crate) fn stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(failure::output)
}

/// Writes words for a person to standard error. A closed standard error has nobody to tell.
pub(crate) fn note(words: &str) {
    let _ = io::stderr().lock().write_all(words.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_adds_nothing_without_colour() {
        assert_eq!(paint(false, Tone::Bad, "x"), "x");
        assert_eq!(paint(true, Tone::Plain, "x"), "x");
        assert_eq!(paint(true, Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
