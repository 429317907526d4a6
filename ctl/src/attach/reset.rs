//! Escape sequences that put a terminal into a known state.
//!
//! A session's programs set modes; the session's terminal keeps them, the person's must not. Every mode that programs
//! commonly set is switched off one by one: a full reset (`ESC c`) would also throw away the history above the screen
//! and what the person's own profile has set. Palette changes (OSC 4, 10, 11) stay for the same reason: to undo them
//! would undo the person's too.

/// Switches off what programs switch on. It ends any unfinished sequence first, and leaves the cursor where it is.
macro_rules! modes_off {
    () => {
        concat!(
            "\x18\x1b\\",                                       // end an unfinished sequence or string
            "\x1b7",                                            // keep the cursor
            "\x1b[<99u\x1b[=0u",                                // kitty keyboard flags of this screen …
            "\x1b[?1049l",                                      // main screen
            "\x1b[<99u\x1b[=0u",                                // … and of that
            "\x1b[>4m",                                         // modifyOtherKeys
            "\x1b[?1l\x1b>",                                    // cursor and keypad keys
            "\x1b[?9;1000;1001;1002;1003;1005;1006;1015;1016l", // mouse
            "\x1b[?1004l\x1b[?2004l",                           // focus, bracketed paste
            "\x1b[?2026l\x1b[?2031l\x1b[?2048l",                // held screen, colour and size reports
            "\x1b[?69l\x1b[r\x1b[?6l",                          // margins, origin
            "\x1b[4l\x1b[20l\x1b[?7h\x1b[?5l\x1b[?45l",         // insert, line ends, wrapping, reverse screen
            "\x1b[?5W",                                         // tab stops every eight columns
            "\x1b8",                                            // the cursor again
            "\x1b[m\x0f\x1b(B\x1b)B",                           // colours, character sets
            "\x1b]8;;\x1b\\",                                   // no link
            "\x1b[?25h\x1b[0 q",                                // a visible cursor of the usual shape
        )
    };
}

/// What is written on leaving: modes off, and the title from before.
pub(super) const LEAVING: &str = concat!(modes_off!(), "\x1b[23;0t");

/// To the last line, for words that must not be written over the session's.
pub(super) const TO_THE_END: &str = "\x1b[999;1H\n";

/// What is written on entering a terminal of `rows` rows: the title is kept, a headline written, everything on the
/// screen scrolled into the terminal's own history, modes switched off, the screen cleared.
pub(super) fn entering(headline: &str, rows: u16) -> String {
    let scroll = "\r\n".repeat(usize::from(rows));
    format!("\x1b[22;0t\x1b]2;{headline}\x1b\\{headline}{scroll}{}\x1b[H\x1b[2J", modes_off!())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vte::{Params, Parser, Perform};

    /// Collects complete sequences, and text that would be printed.
    #[derive(Default)]
    struct Seen {
        sequences: Vec<String>,
        text: String,
    }

    impl Perform for Seen {
        fn print(&mut self, c: char) {
            self.text.push(c);
        }
        fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _: bool, action: char) {
            for param in params {
                let marks = String::from_utf8_lossy(intermediates);
                self.sequences.push(format!("{marks}{}{action}", param[0]));
            }
        }
    }

    fn parse(text: &str) -> Seen {
        let mut seen = Seen::default();
        Parser::new().advance(&mut seen, text.as_bytes());
        seen
    }

    #[test]
    fn leaving_prints_nothing_and_switches_off_what_programs_switch_on() {
        let seen = parse(LEAVING);
        assert_eq!(seen.text, "");
        for mode in
            ["?1049l", "?1000l", "?1002l", "?1003l", "?1006l", "?2004l", "?1004l", "?25h", "?7h", "?1l", "4l"]
        {
            assert!(seen.sequences.iter().any(|s| s == mode), "{mode} missing in {:?}", seen.sequences);
        }
    }

    #[test]
    fn an_unfinished_sequence_does_not_swallow_the_reset() {
        for cut in ["\x1b[38;5", "\x1b]2;a title", "\x1bP1;2|data", "\x1b"] {
            let seen = parse(&format!("{cut}{LEAVING}"));
            assert_eq!(seen.text, "", "{cut:?}");
            assert_eq!(seen.sequences, parse(LEAVING).sequences, "{cut:?}");
        }
    }
}
