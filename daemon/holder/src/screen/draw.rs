//! A screen as bytes: what a freshly reset terminal has to be sent to look and behave like it.

use std::io::Write;

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags, Hyperlink};
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{CharsetIndex, Color, CursorShape, NamedColor, StandardCharset};

use super::emulator::{Emulator, Extra, default_tabs};

/// Where a terminal is that has not been reset: off the alternate screen, nothing set, nothing shown.
const CLEAN: &[u8] = b"\x1b[?1049l\x1b[?6l\x1b[r\x1b[?7h\x1b[4l\x1b[20l\x1b(B\x1b)B\x0f\x1b[m\x1b[H\x1b[2J";

impl Emulator {
    /// The bytes. The emulator is as it was.
    pub(super) fn draw(&mut self) -> Vec<u8> {
        let mut out = Canvas::default();
        out.bytes.extend_from_slice(CLEAN);
        draw_colors(&self.term, &mut out);
        draw_titles(&self.extra, &mut out);
        let cursor_is_bare = if self.is_alternate() {
            // The other screen can be seen only by going there, and coming back clears this one.
            let alternate = self.term.grid().clone();
            self.term.swap_alt();
            out.grid(self.term.grid());
            out.cursor(&self.term.grid().cursor, self.term.grid());
            keyboard(&self.extra.other_keyboard, &mut out);
            self.term.swap_alt();
            *self.term.grid_mut() = alternate;
            out.bytes.extend_from_slice(b"\x1b[?1049h\x1b[m\x1b(B\x1b)B\x1b*B\x1b+B\x1b[H\x1b[2J");
            out.forget();
            false
        } else {
            self.term.grid().saved_cursor == Cursor::default()
        };
        out.grid(self.term.grid());
        keyboard(&self.extra.keyboard, &mut out);
        draw_tabs(&self.extra, &mut out);
        if !cursor_is_bare {
            out.cursor(&self.term.grid().saved_cursor, self.term.grid());
            out.bytes.extend_from_slice(b"\x1b7");
        }
        draw_modes(&self.term, &self.extra, &mut out);
        out.bytes
    }
}

/// Bytes so far, and what they have left the terminal's pen at.
#[derive(Default)]
struct Canvas {
    bytes: Vec<u8>,
    pen: Cell,
    link: Option<Hyperlink>,
}

impl Canvas {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a vector cannot fail.
        let _ = self.bytes.write_fmt(text);
    }

    /// The pen is at its default.
    fn forget(&mut self) {
        self.pen = Cell::default();
    }

    fn go(&mut self, line: usize, column: usize) {
        self.put(format_args!("\x1b[{};{}H", line + 1, column + 1));
    }

    fn grid(&mut self, grid: &Grid<Cell>) {
        let mut continues = false;
        for line in 0..grid.screen_lines() {
            let row = &grid[Line(line as i32)];
            let width = grid.columns();
            let wraps =
                row[Column(width - 1)].flags.contains(Flags::WRAPLINE) && line + 1 < grid.screen_lines();
            let used = if wraps {
                width
            } else {
                (0..width).rev().find(|c| !is_blank(&row[Column(*c)])).map_or(0, |c| c + 1)
            };
            if !continues && used > 0 {
                self.go(line, 0);
            }
            // A line that goes on is printed across the margin, so the terminal knows it for one line, too; that
            // takes at least one character.
            let used = if continues { used.max(1) } else { used };
            // Left free because the next character is too wide for it: printing that character leaves it free again.
            let left_free = wraps && grid[Line(line as i32 + 1)][Column(0)].flags.contains(Flags::WIDE_CHAR);
            for column in 0..used {
                let cell = &row[Column(column)];
                let leads = cell.flags.contains(Flags::LEADING_WIDE_CHAR_SPACER);
                if !(leads && left_free && column + 1 == width) {
                    self.cell(cell);
                }
            }
            continues = wraps;
        }
        if continues {
            self.bytes.push(b'\r');
        }
        self.hyperlink(None);
    }

    fn cell(&mut self, cell: &Cell) {
        if cell.flags.contains(Flags::WIDE_CHAR_SPACER) {
            return;
        }
        self.pen(cell);
        self.hyperlink(cell.hyperlink());
        let mut utf8 = [0; 4];
        // The emulator keeps a tab as the cell it began in.
        let c = if cell.c == '\t' { ' ' } else { cell.c };
        self.bytes.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
        for mark in cell.zerowidth().unwrap_or_default() {
            self.bytes.extend_from_slice(mark.encode_utf8(&mut utf8).as_bytes());
        }
    }

    fn hyperlink(&mut self, link: Option<Hyperlink>) {
        if link == self.link {
            return;
        }
        match &link {
            None => self.bytes.extend_from_slice(b"\x1b]8;;\x1b\\"),
            Some(link) => self.put(format_args!("\x1b]8;id={};{}\x1b\\", link.id(), link.uri())),
        }
        self.link = link;
    }

    /// Colours and attributes as this cell has them.
    fn pen(&mut self, cell: &Cell) {
        const SHOWN: Flags = Flags::INVERSE
            .union(Flags::BOLD)
            .union(Flags::ITALIC)
            .union(Flags::DIM)
            .union(Flags::HIDDEN)
            .union(Flags::STRIKEOUT)
            .union(Flags::ALL_UNDERLINES);
        let same = self.pen.fg == cell.fg
            && self.pen.bg == cell.bg
            && self.pen.flags & SHOWN == cell.flags & SHOWN
            && self.pen.underline_color() == cell.underline_color();
        if same {
            return;
        }
        self.pen = cell.clone();
        self.bytes.extend_from_slice(b"\x1b[0");
        for (flag, code) in [
            (Flags::BOLD, "1"),
            (Flags::DIM, "2"),
            (Flags::ITALIC, "3"),
            (Flags::UNDERLINE, "4"),
            (Flags::DOUBLE_UNDERLINE, "4:2"),
            (Flags::UNDERCURL, "4:3"),
            (Flags::DOTTED_UNDERLINE, "4:4"),
            (Flags::DASHED_UNDERLINE, "4:5"),
            (Flags::INVERSE, "7"),
            (Flags::HIDDEN, "8"),
            (Flags::STRIKEOUT, "9"),
        ] {
            if cell.flags.contains(flag) {
                self.put(format_args!(";{code}"));
            }
        }
        self.color(cell.fg, 30, NamedColor::Foreground);
        self.color(cell.bg, 40, NamedColor::Background);
        match cell.underline_color() {
            None => {}
            // With colons: a terminal that does not know it skips it whole.
            Some(Color::Indexed(n)) => self.put(format_args!(";58:5:{n}")),
            Some(Color::Named(named)) => self.put(format_args!(";58:5:{}", named as usize)),
            Some(Color::Spec(rgb)) => self.put(format_args!(";58:2::{}:{}:{}", rgb.r, rgb.g, rgb.b)),
        }
        self.bytes.push(b'm');
    }

    fn color(&mut self, color: Color, base: usize, default: NamedColor) {
        match color {
            Color::Named(named) if named == default => {}
            Color::Named(named) => match named as usize {
                n @ 0..=7 => self.put(format_args!(";{}", base + n)),
                n @ 8..=15 => self.put(format_args!(";{}", base + 60 + n - 8)),
                _ => {}
            },
            Color::Indexed(n) => self.put(format_args!(";{};5;{n}", base + 8)),
            Color::Spec(rgb) => self.put(format_args!(";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b)),
        }
    }

    /// Brings the cursor where this one is, with its pen and character sets. Needs the modes of [`CLEAN`].
    fn cursor(&mut self, cursor: &Cursor<Cell>, grid: &Grid<Cell>) {
        self.charsets_off();
        let (line, column) = (cursor.point.line.0.max(0) as usize, cursor.point.column.0);
        if cursor.input_needs_wrap {
            // Only printing in the last column brings about the state in which the next character goes to the next
            // line: so what is there is printed again.
            let row = &grid[cursor.point.line];
            let wide = row[Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER) && column > 0;
            let start = column - usize::from(wide);
            self.go(line, start);
            self.cell(&row[Column(start)]);
        } else {
            self.go(line, column);
        }
        self.pen(&cursor.template);
        self.hyperlink(cursor.template.hyperlink());
        self.charsets(cursor);
    }

    fn charsets(&mut self, cursor: &Cursor<Cell>) {
        for (index, designator) in CHARSETS {
            if cursor.charsets[index] == StandardCharset::SpecialCharacterAndLineDrawing {
                self.put(format_args!("\x1b{designator}0"));
            }
        }
    }

    fn charsets_off(&mut self) {
        for (_, designator) in CHARSETS {
            self.put(format_args!("\x1b{designator}B"));
        }
        self.bytes.push(0x0f);
    }
}

const CHARSETS: [(CharsetIndex, char); 4] =
    [(CharsetIndex::G0, '('), (CharsetIndex::G1, ')'), (CharsetIndex::G2, '*'), (CharsetIndex::G3, '+')];

fn is_blank(cell: &Cell) -> bool {
    let shown =
        cell.flags.difference(Flags::WRAPLINE | Flags::BOLD | Flags::DIM | Flags::ITALIC | Flags::HIDDEN);
    matches!(cell.c, ' ' | '\t')
        && cell.bg == Color::Named(NamedColor::Background)
        && shown.is_empty()
        && cell.zerowidth().is_none_or(<[char]>::is_empty)
        && cell.hyperlink().is_none()
}

fn draw_colors(term: &Term<VoidListener>, out: &mut Canvas) {
    for index in 0..=NamedColor::Cursor as usize {
        let Some(rgb) = term.colors()[index] else { continue };
        let rgb = format!("rgb:{:02x}/{:02x}/{:02x}", rgb.r, rgb.g, rgb.b);
        match index {
            0..=255 => out.put(format_args!("\x1b]4;{index};{rgb}\x1b\\")),
            // Foreground, background and cursor are 10, 11 and 12.
            _ => out.put(format_args!("\x1b]{};{rgb}\x1b\\", index - NamedColor::Foreground as usize + 10)),
        }
    }
}

fn draw_titles(extra: &Extra, out: &mut Canvas) {
    for title in &extra.titles {
        out.put(format_args!("\x1b]2;{}\x1b\\\x1b[22;2t", title.as_deref().unwrap_or_default()));
    }
    if extra.title.is_some() || !extra.titles.is_empty() {
        out.put(format_args!("\x1b]2;{}\x1b\\", extra.title.as_deref().unwrap_or_default()));
    }
}

fn keyboard(stack: &[u8], out: &mut Canvas) {
    for (depth, flags) in stack.iter().enumerate() {
        match (depth, flags) {
            (0, 0) => {}
            (0, _) => out.put(format_args!("\x1b[={flags}u")),
            _ => out.put(format_args!("\x1b[>{flags}u")),
        }
    }
}

fn draw_tabs(extra: &Extra, out: &mut Canvas) {
    if extra.tabs.iter().copied().eq(default_tabs(0, extra.tabs.len())) {
        return;
    }
    out.bytes.extend_from_slice(b"\x1b[3g");
    for column in (0..extra.tabs.len()).filter(|column| extra.tabs[*column]) {
        out.go(0, column);
        out.bytes.extend_from_slice(b"\x1bH");
    }
}

/// Modes, scroll region and at last the cursor: after it nothing may move it.
fn draw_modes(term: &Term<VoidListener>, extra: &Extra, out: &mut Canvas) {
    let mode = term.mode();
    let cursor = &term.grid().cursor;
    // Setting a region or origin mode moves the cursor, and a wrap that is due gets lost when the cursor is moved
    // again: so it is printed last, and origin mode shifts where that is.
    let mut shifted = cursor.clone();
    if let Some((top, bottom)) = extra.region {
        // A region of one row exists only where the screen's end cut a larger one short.
        let last = if top == bottom { 9999 } else { bottom + 1 };
        out.put(format_args!("\x1b[{};{last}r", top + 1));
        if mode.contains(TermMode::ORIGIN) {
            shifted.point.line = Line((cursor.point.line.0 - top as i32).max(0));
        }
    }
    if mode.contains(TermMode::ORIGIN) {
        out.bytes.extend_from_slice(b"\x1b[?6h");
    }
    out.charsets_off();
    if cursor.input_needs_wrap {
        let row = &term.grid()[cursor.point.line];
        let column = cursor.point.column.0;
        let start =
            column - usize::from(row[Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER) && column > 0);
        out.go(shifted.point.line.0 as usize, start);
        out.cell(&row[Column(start)]);
    } else {
        out.go(shifted.point.line.0 as usize, shifted.point.column.0);
    }
    out.pen(&cursor.template);
    out.hyperlink(cursor.template.hyperlink());
    out.charsets(cursor);
    match extra.charset {
        CharsetIndex::G1 => out.bytes.push(0x0e),
        _ => out.bytes.push(0x0f),
    }
    for (flag, number) in [
        (TermMode::APP_CURSOR, 1),
        (TermMode::MOUSE_REPORT_CLICK, 1000),
        (TermMode::MOUSE_DRAG, 1002),
        (TermMode::MOUSE_MOTION, 1003),
        (TermMode::FOCUS_IN_OUT, 1004),
        (TermMode::UTF8_MOUSE, 1005),
        (TermMode::SGR_MOUSE, 1006),
        (TermMode::BRACKETED_PASTE, 2004),
    ] {
        if mode.contains(flag) {
            out.put(format_args!("\x1b[?{number}h"));
        }
    }
    for number in &extra.modes {
        out.put(format_args!("\x1b[?{number}h"));
    }
    if let Some(on) = extra.alternate_scroll {
        out.put(format_args!("\x1b[?1007{}", if on { 'h' } else { 'l' }));
    }
    if let Some(n) = extra.other_keys {
        out.put(format_args!("\x1b[>4;{n}m"));
    }
    if let Some(style) = extra.cursor_style {
        let base = match style.shape {
            CursorShape::Underline => 3,
            CursorShape::Beam => 5,
            _ => 1,
        };
        out.put(format_args!("\x1b[{} q", base + u8::from(!style.blinking)));
    }
    for (on, sequence) in [
        (mode.contains(TermMode::APP_KEYPAD), "\x1b="),
        (mode.contains(TermMode::LINE_FEED_NEW_LINE), "\x1b[20h"),
        (mode.contains(TermMode::INSERT), "\x1b[4h"),
        (!mode.contains(TermMode::LINE_WRAP), "\x1b[?7l"),
        (!mode.contains(TermMode::SHOW_CURSOR), "\x1b[?25l"),
    ] {
        if on {
            out.bytes.extend_from_slice(sequence.as_bytes());
        }
    }
}
