//! The screen against an emulator that is fed every byte, and drawn screens against what they were drawn from.

use alacritty_terminal::grid::{Cursor, Dimensions};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{CharsetIndex, Color, NamedColor, StandardCharset};
use delight_proto::session::Size;
use proptest::prelude::*;

use super::Screen;
use super::emulator::{Emulator, Extra};

/// All that can be seen or felt of a terminal.
#[derive(Debug, PartialEq)]
struct Snapshot {
    rows: Vec<String>,
    cells: Vec<Vec<Cell>>,
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

fn exact(emulator: &Emulator) -> Snapshot {
    snapshot(emulator, |cell, _| cell.clone())
}

fn visible(emulator: &Emulator, wraps: bool) -> Snapshot {
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

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "\t",
        "\x08",
        "\x1b[m",
        "\x1b[0m",
        "\x1b[1;31m",
        "\x1b[44m",
        "\x1b[7m",
        "\x1b[38;5;200m",
        "\x1b[48;2;1;2;3m",
        "\x1b[4:3m",
        "\x1b[58:5:9m",
        "\x1b[0;32m",
        "\x1b[;33m",
        "\x1b[90m",
        "\x1b[K",
        "\x1b[1K",
        "\x1b[2J",
        "\x1b[J",
        "\x1b[A",
        "\x1b[3A",
        "\x1b[2B",
        "\x1b[5C",
        "\x1b[2D",
        "\x1b[H",
        "\x1b[3;7H",
        "\x1b[2;5r",
        "\x1b[r",
        "\x1b[3;3r",
        "\x1b[?6h",
        "\x1b[?6l",
        "\x1b[?7l",
        "\x1b[?7h",
        "\x1b[4h",
        "\x1b[4l",
        "\x1b[20h",
        "\x1b[20l",
        "\x1b7",
        "\x1b8",
        "\x1bM",
        "\x1bD",
        "\x1bE",
        "\x1bH",
        "\x1b[g",
        "\x1b[3g",
        "\x1b[?1049h",
        "\x1b[?1049l",
        "\x1b[?1047h",
        "\x1b[?1047l",
        "\x1b[?25l",
        "\x1b[?25h",
        "\x1b[?1h",
        "\x1b=",
        "\x1b>",
        "\x1b[?1000h",
        "\x1b[?1002h",
        "\x1b[?1006h",
        "\x1b[?1003l",
        "\x1b[?2004h",
        "\x1b[?2004l",
        "\x1b[?1004h",
        "\x1b[?1007l",
        "\x1b[?9h",
        "\x1b[?2026h",
        "\x1b[?2026l",
        "\x1b[>5u",
        "\x1b[<u",
        "\x1b[=3u",
        "\x1b[>4;2m",
        "\x1b[5 q",
        "\x1b[0 q",
        "\x1b(0",
        "\x1b(B",
        "\x1b)0",
        "\x0e",
        "\x0f",
        "\x1b[3b",
        "\x1b[2L",
        "\x1b[M",
        "\x1b[2@",
        "\x1b[2P",
        "\x1b[3X",
        "\x1b[2S",
        "\x1b[T",
        "\x1b[2I",
        "\x1b[Z",
        "\x1b]2;a title\x07",
        "\x1b]0;other\x1b\\",
        "\x1b[22;0t",
        "\x1b[23;0t",
        "\x1b]4;3;rgb:11/22/33\x1b\\",
        "\x1b]11;#102030\x07",
        "\x1b]8;id=x;http://e/\x1b\\",
        "\x1b]8;;\x1b\\",
        "\x1b[!p",
        "\x1bc",
        "\x1b#8",
        "\x1b[c",
        "\x1b[6n",
        "\x1b[>q",
        "\x1bP$qm\x1b\\",
        "\x1b]10;?\x07",
        "\x1b",
        "\x1b[",
        "\x1b[3",
        "\x1b]",
        "\x1bP",
        "\x18",
        "\x07",
        "\u{4e2d}",
        "\u{6587}\u{5b57}",
        "\u{1f600}",
        "e\u{301}",
        "\u{301}",
        "\u{e9}",
        "\u{200d}",
        "x",
    ]);
    prop_oneof![
        4 => "[a-zA-Z0-9 ,.]{1,30}".prop_map(String::into_bytes),
        6 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        2 => flood(),
    ]
}

/// Plain lines enough to push everything off the screen.
fn flood() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        5 => "[a-z ]{0,25}".prop_map(|text| text + "\r\n"),
        1 => "[a-z]{1,9}".prop_map(|text| format!("\x1b[1;36m{text}\x1b[0m\r\n")),
        1 => "[a-z]{1,9}".prop_map(|text| format!("\x1b[45m{text}\u{4e2d}\r\n")),
        1 => "[a-z]{1,9}".prop_map(|text| text + "\n"),
        1 => Just("\r\n".to_owned()),
    ];
    prop::collection::vec(line, 1..60).prop_map(|lines| lines.concat().into_bytes())
}

fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, Size)> {
    let size = (1u16..20, 1u16..9).prop_map(|(cols, rows)| Size { cols, rows });
    let bytes = prop::collection::vec(fragment(), 1..60).prop_map(|parts| parts.concat());
    (bytes, prop::collection::vec(1usize..300, 1..20), size)
}

/// 64 cases in a usual run; `PROPTEST_CASES=5000` looks harder.
fn cases() -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(64)
    }
}

/// The same bytes, cut at other places.
fn pieces<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (piece, later) = rest.split_at_checked(*sizes.next()?).unwrap_or((rest, &[]));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_dropped_is_never_missed((bytes, sizes, size) in stream()) {
        let (mut screen, mut eager) = (Screen::new(size), Emulator::new(size));
        let (mut asked, mut expected) = (Vec::new(), Vec::new());
        for (n, piece) in pieces(&bytes, &sizes).enumerate() {
            screen.feed(piece, &mut asked);
            eager.feed(piece, &mut expected);
            if n % 7 == 6 {
                let size = Size { cols: size.cols + (n % 3) as u16, rows: size.rows + (n % 2) as u16 };
                screen.resize(size);
                eager.resize(size);
            }
        }
        prop_assert_eq!(String::from_utf8_lossy(&asked), String::from_utf8_lossy(&expected));
        screen.catch_up(&mut asked);
        let now = difference(exact(&eager), exact(screen.emulator()));
        prop_assert!(now.is_none(), "{}", now.unwrap_or_default());
        let (drawn, expected_drawn) = (screen.draw(), eager.draw());
        prop_assert_eq!(String::from_utf8_lossy(&drawn), String::from_utf8_lossy(&expected_drawn));
        // And the parsers stand at the same place.
        let after = b"\x1b[1mafter\x1b[6n\x1b\\\x07\r\nend";
        screen.feed(after, &mut asked);
        eager.feed(after, &mut expected);
        screen.catch_up(&mut asked);
        let later = difference(exact(&eager), exact(screen.emulator()));
        prop_assert!(later.is_none(), "later: {}", later.unwrap_or_default());
        prop_assert_eq!(asked, expected);
    }

    #[test]
    fn a_drawn_screen_looks_and_behaves_the_same((bytes, _, size) in stream(), more in stream()) {
        let mut original = Emulator::new(size);
        let mut answers = Vec::new();
        original.feed(&bytes, &mut answers);
        original.feed(b"\x1b\\", &mut answers);
        let before = exact(&original);
        let drawn = original.draw();
        let after = difference(before, exact(&original));
        prop_assert!(after.is_none(), "drawing changes it: {}", after.unwrap_or_default());
        let mut copy = Emulator::new(size);
        copy.feed(&drawn, &mut answers);
        let text = String::from_utf8_lossy(&drawn);
        let difference_now = difference(visible(&original, true), visible(&copy, true));
        prop_assert!(difference_now.is_none(), "{}\ndrawn: {text:?}", difference_now.unwrap_or_default());
        // Whatever is printed next has the same effect on both.
        let more = with_defined_repeats(more.0);
        original.feed(&more, &mut answers);
        copy.feed(&more, &mut answers);
        let later = difference(visible(&original, false), visible(&copy, false));
        prop_assert!(later.is_none(), "later: {}\ndrawn: {text:?}", later.unwrap_or_default());
    }
}

/// Repeating the last character means nothing when other than characters came before it (ECMA-48, 8.3.103), and drawing
/// is that: so there is one to repeat.
fn with_defined_repeats(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.windows(4).any(|window| window == b"\x1b[3b") {
        bytes.insert(0, b'x');
    }
    bytes
}

/// What differs first, without the rest.
fn difference(mut want: Snapshot, mut got: Snapshot) -> Option<String> {
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

/// Rows that were blank in a colour when the terminal grew are blank in another once they are cleared.
#[test]
fn rows_that_grew_are_cleared_whole() {
    let small = Size { cols: 6, rows: 3 };
    let large = Size { cols: 9, rows: 3 };
    let lines = "\r\n".repeat(9);
    let ways: [(&str, &str, &str); 4] = [
        ("scrolled", "", ""),
        ("shown again", "\x1b[?1049h", "\x1b[?1049l"),
        ("hidden meanwhile", "\x1b[?1049h\x1b[?1049l", "\x1b[?1049h"),
        ("reset", "\x1b[?1049h", "\x1bc"),
    ];
    for (way, before, after) in ways {
        let mut emulator = Emulator::new(small);
        emulator.feed(format!("\x1b[45m{lines}{before}\x1b[45m{lines}").as_bytes(), &mut Vec::new());
        emulator.resize(large);
        emulator.feed(format!("{after}\x1b[m{lines}").as_bytes(), &mut Vec::new());
        let seen = exact(&emulator);
        assert!(seen.cells.iter().flatten().all(|cell| *cell == Cell::default()), "{way}: {:?}", seen.cells);
    }
}

#[test]
fn a_string_without_an_end_costs_nothing_and_what_follows_is_seen() {
    let (mut screen, mut answers) = (Screen::new(Size { cols: 20, rows: 3 }), Vec::new());
    screen.feed(b"\x1b]52;c;", &mut answers);
    for _ in 0..1_000 {
        screen.feed(&[b'A'; 1_000], &mut answers);
    }
    screen.feed(b"\x07seen\x1b[6n", &mut answers);
    assert_eq!(String::from_utf8_lossy(&answers), "\x1b[1;5R");
    assert_eq!(visible(screen.emulator(), true).rows[0].trim_end(), "seen");
}

#[test]
fn marks_without_end_on_one_letter_are_not_kept() {
    let mut screen = Screen::new(Size { cols: 20, rows: 3 });
    screen.feed("\x1b[He".as_bytes(), &mut Vec::new());
    for _ in 0..10_000 {
        screen.feed("\u{301}".as_bytes(), &mut Vec::new());
    }
    screen.feed(b"\x1b[6nx", &mut Vec::new());
    assert!(screen.draw().len() < 1_000);
}
