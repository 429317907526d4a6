//! Questions a program asks its terminal, and the answers in the emulator's place: it is the session's terminal, whether or not
//! one is attached.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::vte::ansi::{Mode, NamedMode, NamedPrivateMode, PrivateMode, Rgb};

use super::colors;
use super::record::{PASSED_ON, Recorder};

impl Recorder<'_> {
    fn answer(&mut self, text: &str) {
        self.answers.extend_from_slice(text.as_bytes());
    }

    /// What it is.
    pub(super) fn answer_identity(&mut self, intermediate: Option<char>) {
        match intermediate {
            // A VT220 with colour.
            None => self.answer("\x1b[?62;22c"),
            Some('>') => self.answer("\x1b[>1;10;0c"),
            Some('=') => self.answer("\x1bP!|00000000\x1b\\"),
            Some(_) => {}
        }
    }

    /// Whether all is well, and where the cursor is.
    pub(super) fn answer_status(&mut self, what: usize) {
        match what {
            5 => self.answer("\x1b[0n"),
            6 => {
                let point = self.term.grid().cursor.point;
                let top = match self.extra.region {
                    Some((top, _)) if self.term.mode().contains(TermMode::ORIGIN) => top as i32,
                    _ => 0,
                };
                self.answer(&format!("\x1b[{};{}R", point.line.0 - top + 1, point.column.0 + 1));
            }
            _ => {}
        }
    }

    /// Whether a mode is set.
    pub(super) fn answer_mode(&mut self, mode: Mode) {
        let state = match mode {
            Mode::Named(NamedMode::Insert) => Some(self.term.mode().contains(TermMode::INSERT)),
            Mode::Named(NamedMode::LineFeedNewLine) => {
                Some(self.term.mode().contains(TermMode::LINE_FEED_NEW_LINE))
            }
            Mode::Unknown(_) => None,
        };
        self.mode_answer("", mode.raw(), state);
    }

    /// The same of a private one.
    pub(super) fn answer_private_mode(&mut self, mode: PrivateMode) {
        let has = |flag| Some(self.term.mode().contains(flag));
        let state = match mode {
            PrivateMode::Named(named) => match named {
                NamedPrivateMode::CursorKeys => has(TermMode::APP_CURSOR),
                NamedPrivateMode::Origin => has(TermMode::ORIGIN),
                NamedPrivateMode::LineWrap => has(TermMode::LINE_WRAP),
                NamedPrivateMode::BlinkingCursor => Some(self.extra.cursor_style.is_some_and(|s| s.blinking)),
                NamedPrivateMode::ShowCursor => has(TermMode::SHOW_CURSOR),
                NamedPrivateMode::ReportMouseClicks => has(TermMode::MOUSE_REPORT_CLICK),
                NamedPrivateMode::ReportCellMouseMotion => has(TermMode::MOUSE_DRAG),
                NamedPrivateMode::ReportAllMouseMotion => has(TermMode::MOUSE_MOTION),
                NamedPrivateMode::ReportFocusInOut => has(TermMode::FOCUS_IN_OUT),
                NamedPrivateMode::Utf8Mouse => has(TermMode::UTF8_MOUSE),
                NamedPrivateMode::SgrMouse => has(TermMode::SGR_MOUSE),
                NamedPrivateMode::AlternateScroll => has(TermMode::ALTERNATE_SCROLL),
                NamedPrivateMode::UrgencyHints => has(TermMode::URGENCY_HINTS),
                NamedPrivateMode::SwapScreenAndSetRestoreCursor => has(TermMode::ALT_SCREEN),
                NamedPrivateMode::BracketedPaste => has(TermMode::BRACKETED_PASTE),
                NamedPrivateMode::SyncUpdate => Some(false),
                NamedPrivateMode::ColumnMode => None,
            },
            PrivateMode::Unknown(47 | 1047) => has(TermMode::ALT_SCREEN),
            PrivateMode::Unknown(number) => {
                PASSED_ON.contains(&number).then(|| self.extra.modes.contains(&number))
            }
        };
        self.mode_answer("?", mode.raw(), state);
    }

    /// What a colour is.
    pub(super) fn answer_color(&mut self, prefix: &str, index: usize, terminator: &str) {
        if let Some(Rgb { r, g, b }) = colors::color(self.term.colors(), index) {
            self.answer(&format!(
                "\x1b]{prefix};rgb:{r:02x}{r:02x}/{g:02x}{g:02x}/{b:02x}{b:02x}{terminator}"
            ));
        }
    }

    /// How large it is.
    pub(super) fn answer_size(&mut self) {
        let (rows, columns) = (self.term.screen_lines(), self.term.columns());
        self.answer(&format!("\x1b[8;{rows};{columns}t"));
    }

    /// How keys are told.
    pub(super) fn answer_keyboard_mode(&mut self) {
        let flags = self.extra.keyboard.last().copied().unwrap_or(0);
        self.answer(&format!("\x1b[?{flags}u"));
    }

    /// How other keys are told.
    pub(super) fn answer_other_keys_mode(&mut self) {
        let mode = self.extra.other_keys.unwrap_or(0);
        self.answer(&format!("\x1b[>4;{mode}m"));
    }

    fn mode_answer(&mut self, question: &str, number: u16, state: Option<bool>) {
        let state = match state {
            None => 0,
            Some(true) => 1,
            Some(false) => 2,
        };
        self.answer(&format!("\x1b[{question}{number};{state}$y"));
    }
}
