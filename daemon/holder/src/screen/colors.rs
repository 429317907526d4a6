//! The colours a terminal without a screen says it has: xterm's palette, light grey on black.

use alacritty_terminal::term::color::Colors;
use alacritty_terminal::vte::ansi::{NamedColor, Rgb};

/// The colour with this index: as set by the program, else the palette's. `None` for what is no colour.
pub(super) fn color(set: &Colors, index: usize) -> Option<Rgb> {
    const BASE: [(u8, u8, u8); 16] = [
        (0, 0, 0),
        (205, 0, 0),
        (0, 205, 0),
        (205, 205, 0),
        (0, 0, 238),
        (205, 0, 205),
        (0, 205, 205),
        (229, 229, 229),
        (127, 127, 127),
        (255, 0, 0),
        (0, 255, 0),
        (255, 255, 0),
        (92, 92, 255),
        (255, 0, 255),
        (0, 255, 255),
        (255, 255, 255),
    ];
    if index >= alacritty_terminal::term::color::COUNT {
        return None;
    }
    if let Some(rgb) = set[index] {
        return Some(rgb);
    }
    let level = |n: usize| if n == 0 { 0 } else { (55 + 40 * n) as u8 };
    let (r, g, b) = match index {
        0..=15 => BASE[index],
        16..=231 => {
            let n = index - 16;
            (level(n / 36), level(n / 6 % 6), level(n % 6))
        }
        232..=255 => {
            let grey = (8 + 10 * (index - 232)) as u8;
            (grey, grey, grey)
        }
        _ if index == NamedColor::Background as usize => (0, 0, 0),
        _ if index == NamedColor::Foreground as usize || index == NamedColor::Cursor as usize => {
            (229, 229, 229)
        }
        _ => return None,
    };
    Some(Rgb { r, g, b })
}
