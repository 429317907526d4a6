//! A QR code as text: two rows of it in one line of half blocks.

use qrcode::{Color, EcLevel, QrCode};

/// Light cells around it. Four are the rule; two are enough for every scanner tried, and leave room on small terminals.
const QUIET: usize = 2;

/// The code, light on dark as it stands on most terminals; with colours it is black on white on every terminal. `None`
/// when the text is too long for one.
pub(crate) fn lines(text: &str, colour: bool) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (width, cells) = (code.width(), code.to_colors());
    let side = width + 2 * QUIET;
    let is_light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => cells.get(y * width + x) == Some(&Color::Light),
            _ => true,
        }
    };
    let line = |y: usize| {
        let cells: String = (0..side)
            .map(|x| match (is_light(x, y), is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect();
        // White on black, whatever the terminal's own colours are.
        if colour { format!("\x1b[97;40m{cells}\x1b[0m") } else { cells }
    };
    Some((0..side).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "happy://terminal?eaYx7t4b-cmPEgMs3q3Q56B5OY_HhriMyEbsia-FpRo";

    /// The corners that scanners look for, read back from the text.
    #[test]
    fn a_link_becomes_a_square_with_its_three_corners() {
        let lines = lines(LINK, false).unwrap();
        let rows: Vec<Vec<bool>> = lines
            .iter()
            .flat_map(|line| {
                let dark = |light: [char; 2]| line.chars().map(|c| !light.contains(&c)).collect::<Vec<_>>();
                [dark(['█', '▀']), dark(['█', '▄'])]
            })
            .collect();
        let side = rows[0].len();
        assert!(rows.len() == side || rows.len() == side + 1, "{side} {}", rows.len());
        assert!(side <= 41, "it fits a small terminal: {side}");
        let finder = |left: usize, top: usize| {
            (0..7).all(|y| {
                (0..7).all(|x| {
                    let ring =
                        x == 0 || x == 6 || y == 0 || y == 6 || ((2..5).contains(&x) && (2..5).contains(&y));
                    rows[top + y][left + x] == ring
                })
            })
        };
        let far = side - QUIET - 7;
        assert!(finder(QUIET, QUIET) && finder(far, QUIET) && finder(QUIET, far));
        assert!(rows[0].iter().all(|dark| !dark), "the border is light");
    }

    #[test]
    fn what_no_code_holds_is_none() {
        assert!(lines(&"x".repeat(4_000), true).is_none());
    }
}
