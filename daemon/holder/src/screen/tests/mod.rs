//! The screen against an emulator that is fed every byte, and drawn screens against what they were drawn from.

mod snapshot;
mod stream;

use alacritty_terminal::term::cell::Cell;
use delight_proto::session::Size;
use proptest::prelude::*;

use super::Screen;
use super::emulator::Emulator;
use snapshot::{difference, exact, visible};
use stream::{pieces, stream, with_defined_repeats};

/// 64 cases in a usual run; `PROPTEST_CASES=5000` looks harder.
fn cases() -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(64)
    }
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
