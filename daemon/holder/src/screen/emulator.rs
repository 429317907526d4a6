//! The terminal emulator, and what it does not tell about itself.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::{Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::Cell;
use alacritty_terminal::term::{Config, Term, TermMode};
use alacritty_terminal::vte::ansi::{
    CharsetIndex, CursorStyle, Handler, ModifyOtherKeys, NamedPrivateMode, PrivateMode, Processor,
    StandardCharset, Timeout,
};
use delight_proto::session::Size;

use super::record::Recorder;
use super::sequence::{Event, Sequence};

/// Titles and keyboard modes a program may stack up: programs nest a few deep, and nobody else should cost memory.
pub(super) const MAX_STACK: usize = 16;

/// State the emulator keeps to itself, written down as it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extra {
    /// First and last row of the scroll region, from 0, when it is not the whole screen.
    pub(super) region: Option<(usize, usize)>,
    pub(super) tabs: Vec<bool>,
    pub(super) charset: CharsetIndex,
    pub(super) title: Option<String>,
    pub(super) titles: Vec<Option<String>>,
    pub(super) cursor_style: Option<CursorStyle>,
    /// Kitty keyboard flags of the shown screen: a stack, never empty.
    pub(super) keyboard: Vec<u8>,
    /// The same of the screen that is not shown.
    pub(super) other_keyboard: Vec<u8>,
    pub(super) other_keys: Option<u8>,
    /// Private modes the emulator does not know but a real terminal may.
    pub(super) modes: BTreeSet<u16>,
    /// Mode 1007, where a program has said which way it wants it.
    pub(super) alternate_scroll: Option<bool>,
}

impl Extra {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            region: None,
            tabs: default_tabs(0, columns).collect(),
            charset: CharsetIndex::G0,
            title: None,
            titles: Vec::new(),
            cursor_style: None,
            keyboard: vec![0],
            other_keyboard: vec![0],
            other_keys: None,
            modes: BTreeSet::new(),
            alternate_scroll: None,
        }
    }
}

pub(super) fn default_tabs(from: usize, to: usize) -> impl Iterator<Item = bool> {
    (from..to).map(|column| column % 8 == 0)
}

/// Never waits: a synchronised update is shown as it comes, since nobody watches.
#[derive(Default)]
pub(super) struct NoTimeout;

impl Timeout for NoTimeout {
    fn set_timeout(&mut self, _: Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

#[derive(Debug, Clone, Copy)]
struct Cells(Size);

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }

    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows).max(1)
    }

    /// A wide character needs two columns, and the emulator relies on it.
    fn columns(&self) -> usize {
        usize::from(self.0.cols).max(2)
    }
}

/// One terminal.
pub(super) struct Emulator {
    pub(super) term: Term<VoidListener>,
    pub(super) extra: Extra,
    parser: Processor<NoTimeout>,
    sequence: Sequence,
    muted: bool,
    size: Size,
}

impl Emulator {
    pub(super) fn new(size: Size) -> Self {
        let config = Config { scrolling_history: 0, ..Config::default() };
        let cells = Cells(size);
        Self {
            term: Term::new(config, &cells, VoidListener),
            extra: Extra::new(cells.columns()),
            parser: Processor::new(),
            sequence: Sequence::default(),
            muted: false,
            size,
        }
    }

    /// Ends whatever sequence is under way and puts back what a program can leave set.
    pub(super) fn next_program(&mut self) {
        let modes = "\x18\x1b[?1049l\x1b[!p\x1b[?1000;1002;1003;1004;1005;1006;2004l\x1b[?7h\x1b[20l\
                     \x1b[<99u\x1b[=0u\x1b[>4;0m\x1b[0 q\x1b]8;;\x1b\\";
        self.feed(modes.as_bytes(), &mut Vec::new());
        self.extra.modes.clear();
        self.extra.titles.clear();
        if self.term.grid().cursor.point.column.0 > 0 {
            self.feed(b"\r\n", &mut Vec::new());
        }
    }

    /// Whether the parser is between two sequences. When in doubt it says no.
    pub(super) fn is_between_sequences(&self) -> bool {
        self.sequence.is_between()
    }

    /// Whether a line feed in the last row scrolls everything.
    pub(super) fn scrolls_whole_screen(&self) -> bool {
        self.extra.region.is_none()
    }

    /// Takes in output, and answers what it asks.
    pub(super) fn feed(&mut self, bytes: &[u8], answers: &mut Vec<u8>) {
        self.guarded(|emulator| emulator.advance(bytes, answers));
    }

    pub(super) fn resize(&mut self, size: Size) {
        if size == self.size {
            return;
        }
        self.size = size;
        self.guarded(|emulator| {
            let cells = Cells(size);
            emulator.term.resize(cells);
            mark_written(emulator.term.grid_mut());
            let columns = cells.columns();
            let had = emulator.extra.tabs.len();
            emulator.extra.tabs.truncate(columns);
            emulator.extra.tabs.extend(default_tabs(had, columns));
            emulator.extra.region = None;
        });
    }

    /// No output may end a session: if the emulator panics, the screen starts anew and the session goes on.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        if done.is_err() {
            crate::note("the terminal emulator failed; the screen was reset");
            *self = Self::new(self.size);
        }
    }

    fn advance(&mut self, mut bytes: &[u8], answers: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let (len, event) = self.sequence.advance(bytes);
            let (now, later) = bytes.split_at(len);
            bytes = later;
            if !self.muted {
                let mut recorder = Recorder { term: &mut self.term, extra: &mut self.extra, answers };
                self.parser.advance(&mut recorder, now);
            }
            match event {
                None => {}
                Some(Event::AskVersion) => {
                    answers.extend_from_slice(
                        concat!("\x1bP>|delight(", env!("CARGO_PKG_VERSION"), ")\x1b\\").as_bytes(),
                    );
                }
                // "Not a valid request" is what a terminal says that does not report the setting.
                Some(Event::AskSetting) => answers.extend_from_slice(b"\x1bP0$r\x1b\\"),
                Some(Event::SoftReset) => self.soft_reset(),
                Some(Event::Mute) => self.muted = true,
                Some(Event::Unmute) => {
                    self.muted = false;
                    // The sequence's last byte ends it for the parser, too, as a title or whatever it was so far.
                    let mut recorder = Recorder { term: &mut self.term, extra: &mut self.extra, answers };
                    self.parser.advance(&mut recorder, &now[now.len() - 1..]);
                }
            }
        }
    }

    /// DECSTR, which the emulator does not know: modes and attributes go back, the picture stays.
    fn soft_reset(&mut self) {
        let point = self.term.grid().cursor.point;
        let mut answers = Vec::new();
        let mut recorder = Recorder { term: &mut self.term, extra: &mut self.extra, answers: &mut answers };
        recorder.set_private_mode(PrivateMode::Named(NamedPrivateMode::ShowCursor));
        recorder.unset_private_mode(PrivateMode::Named(NamedPrivateMode::CursorKeys));
        recorder.unset_private_mode(PrivateMode::Named(NamedPrivateMode::Origin));
        recorder.unset_mode(alacritty_terminal::vte::ansi::Mode::Named(
            alacritty_terminal::vte::ansi::NamedMode::Insert,
        ));
        recorder.unset_keypad_application_mode();
        recorder.set_scrolling_region(1, None);
        recorder.terminal_attribute(alacritty_terminal::vte::ansi::Attr::Reset);
        for index in [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3] {
            recorder.configure_charset(index, StandardCharset::Ascii);
        }
        recorder.set_active_charset(CharsetIndex::G0);
        recorder.goto(0, 0);
        recorder.save_cursor_position();
        recorder.goto(point.line.0, point.column.0);
    }

    /// Whether the alternate screen is shown.
    pub(super) fn is_alternate(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }
}

/// Has the emulator clear each row whole when it is next cleared. A row remembers how far it was written to and takes
/// what lies behind for blank in its last cell's colour; growing it adds cells of another, and it would keep the rest.
/// So this is due after a change of size, for either screen once it is shown.
pub(super) fn mark_written(grid: &mut Grid<Cell>) {
    let last = Column(grid.columns() - 1);
    for line in 0..grid.screen_lines() {
        // Borrowing a cell to write to it is what marks it.
        let _ = &mut grid[Line(line as i32)][last];
    }
}

impl Extra {
    /// `CSI > 4 ; n m`.
    pub(super) fn set_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.other_keys = match mode {
            ModifyOtherKeys::Reset => None,
            ModifyOtherKeys::EnableExceptWellDefined => Some(1),
            ModifyOtherKeys::EnableAll => Some(2),
        };
    }
}
