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
    /// The other machine this run is about: commands that are named to go on with must name it, too.
    pub(crate) machine: Option<&'static str>,
}

/// How a command begins that is named in our words.
const COMMAND: &str = "delightctl ";

/// Commands about the machine and account one sits at.
const HERE: &[&str] = &[
    "up",
    "down",
    "machines",
    "completions",
    "service",
    "pair",
    "unpair",
    "account",
    "devices",
    "policy",
    "bypass",
];

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
        Self { json, colour: !json && wants_colour(&io::stdout()), machine: None }
    }

    /// The same about another machine. Its name is kept for as long as this process lives.
    pub(crate) fn about(self, machine: Option<&str>) -> Self {
        Self { machine: machine.map(|machine| &*text::command_line(&[machine.to_owned()]).leak()), ..self }
    }

    /// Words in which every command that can be about another machine is about this run's.
    pub(crate) fn directed(self, words: &str) -> String {
        let Some(machine) = self.machine else { return words.to_owned() };
        let mut pieces = words.split(COMMAND);
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            out.push_str(COMMAND);
            let verb: String = piece.chars().take_while(char::is_ascii_lowercase).collect();
            if !verb.is_empty() && !HERE.contains(&verb.as_str()) {
                out.push_str("--machine ");
                out.push_str(machine);
                out.push(' ');
            }
            out.push_str(piece);
        }
        out
    }

    /// The same for a result: what is shown of a session is not ours to change, only what to do next.
    fn directed_next(self, words: String) -> String {
        if self.machine.is_none() {
            return words;
        }
        let line = |line: &str| {
            if line.starts_with("next: ") { self.directed(line) } else { line.to_owned() }
        };
        words.split_inclusive('\n').map(line).collect()
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
        if self.json { self.document(document) } else { stdout(self.directed_next(people()).as_bytes()) }
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
        for (label, line) in [("why:", &refusal.reason), ("fix:", &self.directed(&refusal.fix))] {
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
    fn commands_to_go_on_with_name_the_other_machine() {
        let here = Output { json: false, colour: false, machine: None };
        let there = here.about(Some("my laptop"));
        let words = "delightctl show x says delightctl\nnext: delightctl allow x p, or delightctl deny x p\n";
        assert_eq!(here.directed_next(words.to_owned()), words);
        assert_eq!(
            there.directed_next(words.to_owned()),
            "delightctl show x says delightctl\nnext: delightctl --machine 'my laptop' allow x p, or delightctl --machine \
             'my laptop' deny x p\n"
        );
        assert_eq!(
            there.directed("delightctl machines lists them; see delightctl --help"),
            "delightctl machines lists them; see delightctl --help"
        );
        assert_eq!(
            there.about(Some("tower")).directed("delightctl resume x"),
            "delightctl --machine tower resume x"
        );
    }

    #[test]
    fn paint_adds_nothing_without_colour() {
        assert_eq!(paint(false, Tone::Bad, "x"), "x");
        assert_eq!(paint(true, Tone::Plain, "x"), "x");
        assert_eq!(paint(true, Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
