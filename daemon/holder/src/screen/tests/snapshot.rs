//! What can be seen of a terminal, and how two of them differ.

use alacritty_terminal::grid::{Cursor, Dimensions};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{CharsetIndex, Color, NamedColor, StandardCharset};

use crate::screen::emulator::{Emulator, Extra};

/// All that can be seen or felt of a terminal.
#[derive(Debug, PartialEq)]
pub(super) struct Snapshot {
    pub(super) rows: Vec<String>,
    pub(super) cells: Vec<Vec<Cell>>,
    cursor: CursorState,
    saved: CursorState,
    mode: u32,
    extra: Extra,
}

#[derive(Debug, PartialEq)]
struct CursorState {
    line: i32,
    column: usize,
    wraps: bool,
    template: Cell,
    charsets: Vec<StandardCharset>,
}

fn cursor(cursor: &Cursor<Cell>) -> CursorState {
    let all = [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3];
    CursorState {
        line: cursor.point.line.0,
        column: cursor.point.column.0,
        wraps: cursor.input_needs_wrap,
        template: plain_cell(&cursor.template, false),
        charsets: all.iter().map(|index| cursor.charsets[*index]).collect(),
    }
}

/// A cell without what cannot be seen of it.
fn plain_cell(cell: &Cell, wraps: bool) -> Cell {
    let mut seen = cell.clone();
    if seen.c == '\t' {
        seen.c = ' ';
    }
    // A place left free for want of room is a blank.
    seen.flags.remove(Flags::LEADING_WIDE_CHAR_SPACER);
    if !wraps {
        seen.flags.remove(Flags::WRAPLINE);
    }
    let lines = Flags::INVERSE | Flags::ALL_UNDERLINES | Flags::STRIKEOUT;
    if seen.c == ' ' && !seen.flags.intersects(lines) && seen.zerowidth().is_none_or(<[char]>::is_empty) {
        seen.flags.remove(Flags::BOLD | Flags::DIM | Flags::ITALIC | Flags::HIDDEN);
        seen.fg = Color::Named(NamedColor::Foreground);
    }
    if !seen.flags.intersects(Flags::ALL_UNDERLINES) {
        seen.set_underline_color(None);
    }
    if seen.zerowidth().is_none_or(<[char]>::is_empty)
        && seen.hyperlink().is_none()
        && seen.underline_color().is_none()
    {
        seen.extra = None;
    }
    seen
}

pub(super) fn exact(emulator: &Emulator) -> Snapshot {
    snapshot(emulator, |cell, _| cell.clone())
}

pub(super) fn visible(emulator: &Emulator, wraps: bool) -> Snapshot {
    // A wrap is one in the last column only, and the last row has no line to go on in.
    let (last, margin) = (emulator.term.screen_lines() - 1, emulator.term.columns() - 1);
    // A cursor that waits to wrap is made by printing that column, which ends what it went on to.
    let grid = emulator.term.grid();
    let waiting: Vec<usize> = [&grid.cursor, &grid.saved_cursor]
        .into_iter()
        .filter(|cursor| cursor.input_needs_wrap)
        .map(|cursor| cursor.point.line.0 as usize)
        .collect();
    snapshot(emulator, |cell, (line, column)| {
        plain_cell(cell, wraps && line != last && column == margin && !waiting.contains(&line))
    })
}

fn snapshot(emulator: &Emulator, look: impl Fn(&Cell, (usize, usize)) -> Cell) -> Snapshot {
    let grid = emulator.term.grid();
    let cells: Vec<Vec<Cell>> = (0..grid.screen_lines())
        .map(|line| {
            (0..grid.columns()).map(|c| look(&grid[Line(line as i32)][Column(c)], (line, c))).collect()
        })
        .collect();
    Snapshot {
        rows: cells.iter().map(|row| row.iter().map(|cell| cell.c).collect()).collect(),
        cells,
        cursor: cursor(&grid.cursor),
        saved: cursor(&grid.saved_cursor),
        mode: emulator.term.mode().bits(),
        extra: emulator.extra.clone(),
    }
}

/// What differs first, without the rest.
pub(super) fn difference(mut want: Snapshot, mut got: Snapshot) -> Option<String> {
    for side in [&mut want, &mut got] {
        // An empty title and none are the same to a terminal.
        side.extra.titles.iter_mut().for_each(|title| *title = Some(title.take().unwrap_or_default()));
        side.extra.title = Some(side.extra.title.take().unwrap_or_default());
    }
    if want == got {
        return None;
    }
    if want.rows != got.rows {
        return Some(format!("rows: want {:#?}\n got {:#?}", want.rows, got.rows));
    }
    for (line, (a, b)) in want.cells.iter().zip(&got.cells).enumerate() {
        for (column, (a, b)) in a.iter().zip(b).enumerate() {
            if a != b {
                return Some(format!("cell {line}/{column}: want {a:?}\n got {b:?}"));
            }
        }
    }
    for (what, a, b) in [("cursor", &want.cursor, &got.cursor), ("saved cursor", &want.saved, &got.saved)] {
        if a != b {
            return Some(format!("{what}: want {a:?}\n got {b:?}"));
        }
    }
    if want.mode != got.mode {
        return Some(format!("modes: want {:#x} got {:#x}", want.mode, got.mode));
    }
    Some(format!("extra: want {:?}\n got {:?}", want.extra, got.extra))
}
