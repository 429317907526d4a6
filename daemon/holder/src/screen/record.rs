//! Between parser and emulator: passes everything on, and writes down what the emulator will not tell later.

use std::mem::swap;

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, ModifyOtherKeys, NamedPrivateMode, PrivateMode, Rgb,
    StandardCharset, TabulationClearMode,
};
use unicode_width::UnicodeWidthChar;

use super::emulator::{Extra, MAX_STACK, mark_written};

/// Combining characters kept on one cell; more are an attack on memory, not a script.
const MAX_COMBINING: usize = 16;
/// Characters kept of a title.
const MAX_TITLE: usize = 1024;
/// Private modes the emulator does not know, and real terminals do: reverse video, mouse protocols, key modes, colour
/// scheme and size reports. Nothing that moves the cursor or clears.
pub(super) const PASSED_ON: [u16; 12] = [5, 9, 66, 67, 1001, 1015, 1016, 1034, 1036, 1039, 2031, 2048];

pub(super) struct Recorder<'a> {
    pub(super) term: &'a mut Term<VoidListener>,
    pub(super) extra: &'a mut Extra,
    pub(super) answers: &'a mut Vec<u8>,
}

/// Calls that only the emulator has to do with.
macro_rules! pass {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(#[inline] fn $name(&mut self $(, $arg: $type)*) { self.term.$name($($arg),*); })*
    };
}

/// Calls that may leave half of a wide character in the cursor's row.
macro_rules! pass_and_mend {
    ($($name:ident($arg:ident: $type:ty);)*) => {
        $(fn $name(&mut self, $arg: $type) { self.term.$name($arg); self.blank_halves(); })*
    };
}

impl Recorder<'_> {
    /// Half of a wide character is none: terminals show a blank there, and the emulator would keep it as a character
    /// without its second cell, which nothing can be drawn from.
    fn blank_halves(&mut self) {
        let grid = self.term.grid_mut();
        let (line, columns) = (grid.cursor.point.line, grid.columns());
        let has = |grid: &Grid<Cell>, column: usize, flag| grid[line][Column(column)].flags.contains(flag);
        for column in 0..columns {
            let first = has(grid, column, Flags::WIDE_CHAR)
                && (column + 1 == columns || !has(grid, column + 1, Flags::WIDE_CHAR_SPACER));
            let second = has(grid, column, Flags::WIDE_CHAR_SPACER)
                && (column == 0 || !has(grid, column - 1, Flags::WIDE_CHAR));
            if first || second {
                let cell = &mut grid[line][Column(column)];
                cell.clear_wide();
                cell.flags.remove(Flags::WIDE_CHAR_SPACER);
            }
        }
    }

    fn alternate(&mut self, on: bool) {
        if on != self.term.mode().contains(TermMode::ALT_SCREEN) {
            self.term.swap_alt();
            mark_written(self.term.grid_mut());
            swap(&mut self.extra.keyboard, &mut self.extra.other_keyboard);
            // The alternate screen begins anew each time, also in what it remembers: what nobody can see must not
            // come back later.
            if on {
                self.term.grid_mut().reset_region(..);
                self.term.grid_mut().saved_cursor = Cursor::default();
            } else {
                self.extra.other_keyboard = vec![0];
            }
            self.stay_in_region();
        }
    }

    /// In origin mode the cursor is inside the scroll region, also where it was remembered outside of it.
    fn stay_in_region(&mut self) {
        let Some((top, bottom)) = self.extra.region else { return };
        if self.term.mode().contains(TermMode::ORIGIN) {
            let cursor = &mut self.term.grid_mut().cursor;
            let line = cursor.point.line.clamp(Line(top as i32), Line(bottom as i32));
            if line != cursor.point.line {
                cursor.point.line = line;
                cursor.input_needs_wrap = false;
            }
        }
    }

    /// Whether the cell a combining character would join has enough of them.
    fn is_laden(&self) -> bool {
        let grid = self.term.grid();
        let mut point = grid.cursor.point;
        if !grid.cursor.input_needs_wrap {
            point.column = Column(point.column.saturating_sub(1));
        }
        if grid[point.line][point.column].flags.contains(Flags::WIDE_CHAR_SPACER) {
            point.column = Column(point.column.saturating_sub(1));
        }
        grid[point.line][point.column].zerowidth().is_some_and(|marks| marks.len() >= MAX_COMBINING)
    }
}

impl Handler for Recorder<'_> {
    pass! {
        goto(line: i32, column: usize);
        goto_line(line: i32);
        goto_col(column: usize);
        move_up(count: usize);
        move_down(count: usize);
        move_forward(count: usize);
        move_backward(count: usize);
        move_down_and_cr(count: usize);
        move_up_and_cr(count: usize);
        put_tab(count: u16);
        backspace();
        carriage_return();
        linefeed();
        substitute();
        newline();
        scroll_up(count: usize);
        scroll_down(count: usize);
        insert_blank_lines(count: usize);
        delete_lines(count: usize);
        move_forward_tabs(count: u16);
        save_cursor_position();
        reverse_index();
        terminal_attribute(attribute: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        set_color(index: usize, color: Rgb);
        reset_color(index: usize);
        decaln();
        set_hyperlink(link: Option<Hyperlink>);
    }

    pass_and_mend! {
        insert_blank(count: usize);
        erase_chars(count: usize);
        delete_chars(count: usize);
        clear_line(mode: LineClearMode);
        clear_screen(mode: ClearMode);
    }

    fn restore_cursor_position(&mut self) {
        self.term.restore_cursor_position();
        self.stay_in_region();
    }

    /// The emulator would go on waiting to wrap at the new place; a cursor that was moved does not.
    fn move_backward_tabs(&mut self, count: u16) {
        self.term.move_backward_tabs(count);
        self.term.grid_mut().cursor.input_needs_wrap = false;
    }

    #[inline]
    fn input(&mut self, c: char) {
        if c >= '\u{300}' && c.width() == Some(0) && self.is_laden() {
            return;
        }
        self.term.input(c);
        if self.term.mode().contains(TermMode::INSERT) {
            self.blank_halves();
        }
    }

    fn set_title(&mut self, title: Option<String>) {
        self.extra.title =
            title.map(|title| title.chars().filter(|c| !c.is_control()).take(MAX_TITLE).collect());
    }

    fn push_title(&mut self) {
        if self.extra.titles.len() < MAX_STACK {
            self.extra.titles.push(self.extra.title.clone());
        }
    }

    fn pop_title(&mut self) {
        if let Some(title) = self.extra.titles.pop() {
            self.extra.title = title;
        }
    }

    fn set_cursor_style(&mut self, style: Option<CursorStyle>) {
        self.extra.cursor_style = style;
    }

    fn set_cursor_shape(&mut self, shape: CursorShape) {
        let style =
            CursorStyle { shape, blinking: self.extra.cursor_style.is_some_and(|style| style.blinking) };
        self.extra.cursor_style = Some(style);
    }

    fn set_active_charset(&mut self, index: CharsetIndex) {
        self.extra.charset = index;
        self.term.set_active_charset(index);
    }

    fn set_horizontal_tabstop(&mut self) {
        let column = self.term.grid().cursor.point.column.0;
        if let Some(tab) = self.extra.tabs.get_mut(column) {
            *tab = true;
        }
        self.term.set_horizontal_tabstop();
    }

    fn clear_tabs(&mut self, mode: TabulationClearMode) {
        let column = self.term.grid().cursor.point.column.0;
        match mode {
            TabulationClearMode::Current => {
                if let Some(tab) = self.extra.tabs.get_mut(column) {
                    *tab = false;
                }
            }
            TabulationClearMode::All => self.extra.tabs.fill(false),
        }
        self.term.clear_tabs(mode);
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        let lines = self.term.screen_lines();
        let last = bottom.unwrap_or(lines);
        // As the emulator does: an empty region changes nothing.
        if top < last {
            let region = ((top - 1).min(lines), last.min(lines));
            // One that begins below the screen is one the emulator cannot be trusted with.
            if region.0 + 1 > lines {
                return;
            }
            self.extra.region = (region != (0, lines)).then(|| (region.0, region.1 - 1));
        }
        self.term.set_scrolling_region(top, bottom);
    }

    fn reset_state(&mut self) {
        self.alternate(false);
        self.term.reset_state();
        // The emulator keeps colours over a reset; terminals do not.
        for index in 0..alacritty_terminal::term::color::COUNT {
            self.term.reset_color(index);
        }
        *self.extra = Extra::new(self.term.columns());
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Named(NamedPrivateMode::SwapScreenAndSetRestoreCursor)
            | PrivateMode::Unknown(47 | 1047) => {
                self.alternate(true);
            }
            PrivateMode::Unknown(1048) => self.term.save_cursor_position(),
            PrivateMode::Unknown(number) if PASSED_ON.contains(&number) => {
                self.extra.modes.insert(number);
            }
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => {
                self.extra.region = None;
                self.term.set_private_mode(mode);
            }
            PrivateMode::Named(NamedPrivateMode::BlinkingCursor) => {
                self.extra.cursor_style.get_or_insert_default().blinking = true;
            }
            PrivateMode::Named(NamedPrivateMode::AlternateScroll) => {
                self.extra.alternate_scroll = Some(true);
                self.term.set_private_mode(mode);
            }
            _ => self.term.set_private_mode(mode),
        }
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Named(NamedPrivateMode::SwapScreenAndSetRestoreCursor)
            | PrivateMode::Unknown(47 | 1047) => {
                self.alternate(false);
            }
            PrivateMode::Unknown(1048) => self.restore_cursor_position(),
            PrivateMode::Unknown(number) if PASSED_ON.contains(&number) => {
                self.extra.modes.remove(&number);
            }
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => {
                self.extra.region = None;
                self.term.unset_private_mode(mode);
            }
            PrivateMode::Named(NamedPrivateMode::BlinkingCursor) => {
                self.extra.cursor_style.get_or_insert_default().blinking = false;
            }
            PrivateMode::Named(NamedPrivateMode::AlternateScroll) => {
                self.extra.alternate_scroll = Some(false);
                self.term.unset_private_mode(mode);
            }
            _ => self.term.unset_private_mode(mode),
        }
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        if self.extra.keyboard.len() > MAX_STACK {
            self.extra.keyboard.remove(1);
        }
        self.extra.keyboard.push(mode.bits());
    }

    fn pop_keyboard_modes(&mut self, count: u16) {
        let left = self.extra.keyboard.len().saturating_sub(usize::from(count));
        self.extra.keyboard.truncate(left);
        if self.extra.keyboard.is_empty() {
            self.extra.keyboard.push(0);
        }
    }

    fn set_keyboard_mode(&mut self, mode: KeyboardModes, behavior: KeyboardModesApplyBehavior) {
        if let Some(flags) = self.extra.keyboard.last_mut() {
            *flags = match behavior {
                KeyboardModesApplyBehavior::Replace => mode.bits(),
                KeyboardModesApplyBehavior::Union => *flags | mode.bits(),
                KeyboardModesApplyBehavior::Difference => *flags & !mode.bits(),
            };
        }
    }

    fn set_modify_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.extra.set_other_keys(mode);
    }

    // Questions: see `answer`.

    fn identify_terminal(&mut self, intermediate: Option<char>) {
        self.answer_identity(intermediate);
    }

    fn device_status(&mut self, what: usize) {
        self.answer_status(what);
    }

    fn report_mode(&mut self, mode: Mode) {
        self.answer_mode(mode);
    }

    fn report_private_mode(&mut self, mode: PrivateMode) {
        self.answer_private_mode(mode);
    }

    fn dynamic_color_sequence(&mut self, prefix: String, index: usize, terminator: &str) {
        self.answer_color(&prefix, index, terminator);
    }

    fn text_area_size_chars(&mut self) {
        self.answer_size();
    }

    fn report_keyboard_mode(&mut self) {
        self.answer_keyboard_mode();
    }

    fn report_modify_other_keys(&mut self) {
        self.answer_other_keys_mode();
    }
}
