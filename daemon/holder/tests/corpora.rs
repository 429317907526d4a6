//! Recorded sessions of real programs: what is drawn of them looks to another emulator as they do themselves.
//!
//! The recordings in `corpora/` were made for this test on an 80×24 terminal: vim, htop, top, less, nano, mc, tmux, a
//! shell, colour tables, wide characters, and alternate screens entered and left.

#![allow(clippy::unwrap_used, clippy::panic)] // Functions the tests share are tests, too.

use std::num::NonZeroU16;

use delight_holder::screen::Screen;
use delight_proto::session::Size;

const SIZE: Size = Size { cols: 80, rows: 24 };

fn reference(bytes: &[u8]) -> vt100::Parser {
    let side = |n| NonZeroU16::new(n).unwrap();
    let mut parser = vt100::Parser::new(side(SIZE.rows), side(SIZE.cols), 0);
    parser.process(bytes);
    parser
}

/// Every cell with its looks, the cursor, and the modes that change what keys send.
fn seen(parser: &vt100::Parser) -> Vec<String> {
    let screen = parser.screen();
    let mut all = Vec::new();
    for row in 0..SIZE.rows {
        let mut line = String::new();
        for col in 0..SIZE.cols {
            let cell = screen.cell(row, col).unwrap();
            let text = if cell.contents().is_empty() && !cell.is_wide_continuation() {
                " "
            } else {
                cell.contents()
            };
            line.push_str(text);
            // The colour of a letter that is not there cannot be seen.
            let ink = if text == " " && !cell.inverse() && !cell.underline() {
                vt100::Color::Default
            } else {
                cell.fgcolor()
            };
            let blank = text == " ";
            let style = (
                ink,
                cell.bgcolor(),
                cell.bold() && !blank,
                cell.italic() && !blank,
                cell.underline(),
                cell.inverse(),
            );
            if style != (vt100::Color::Default, vt100::Color::Default, false, false, false, false) {
                line.push_str(&format!("{style:?}"));
            }
        }
        all.push(line);
    }
    all.push(format!(
        "cursor {:?} hidden {} alternate {} application {} {} paste {} mouse {:?} {:?}",
        screen.cursor_position(),
        screen.hide_cursor(),
        screen.alternate_screen(),
        screen.application_cursor(),
        screen.application_keypad(),
        screen.bracketed_paste(),
        screen.mouse_protocol_mode(),
        screen.mouse_protocol_encoding(),
    ));
    all
}

fn corpora() -> Vec<(String, Vec<u8>)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpora");
    let mut all: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    all.sort();
    assert!(all.len() >= 10, "the recordings are there");
    all
}

#[test]
fn real_programs_look_the_same_when_drawn() {
    for (name, bytes) in corpora() {
        // Not only at the end: somebody may attach at any moment.
        for part in 1..=16 {
            let end = bytes.len() * part / 16;
            // The other emulator must not be left in the middle of a character or a sequence.
            let Some(end) = (end..=bytes.len()).find(|end| is_seam(&bytes, *end)) else { continue };
            let so_far = &bytes[..end];
            let mut screen = Screen::new(SIZE);
            for piece in so_far.chunks(1000) {
                screen.feed(piece, &mut Vec::new());
            }
            let drawn = screen.draw();
            let (want, got) = (seen(&reference(so_far)), seen(&reference(&drawn)));
            for (want, got) in want.iter().zip(&got) {
                assert_eq!(want, got, "{name}, {end} bytes");
            }
            // Drawn again from the drawing it is the same: nothing is added or lost.
            let mut copy = Screen::new(SIZE);
            copy.feed(&drawn, &mut Vec::new());
            assert_eq!(copy.draw(), drawn, "{name}, {end} bytes");
        }
    }
}

/// Whether a sequence begins here, or a line, or everything is over. Not right behind the way to the alternate screen:
/// the other emulator brings the cursor home there, real terminals leave it where it is until the program moves it. And
/// not right behind a scroll region: there it is the other way round.
fn is_seam(bytes: &[u8], at: usize) -> bool {
    if bytes[at.saturating_sub(24)..at].windows(6).any(|window| window == b"?1049h")
        || (at > 0 && bytes[at - 1] == b'r')
    {
        return false;
    }
    at == bytes.len()
        || (bytes[at] == 0x1b && bytes.get(at + 1) == Some(&b'['))
        || (at > 0 && bytes[at - 1] == b'\n')
}

#[test]
fn drawing_costs_the_screen_and_not_its_history() {
    let mut screen = Screen::new(SIZE);
    let mut sizes = Vec::new();
    for _ in 0..5 {
        for n in 0..20_000 {
            screen.feed(format!("line {n} of a long history\r\n").as_bytes(), &mut Vec::new());
        }
        sizes.push(screen.draw().len());
    }
    assert_eq!(sizes, vec![sizes[0]; 5]);
    assert!(sizes[0] < 2_000, "{sizes:?}");
}
