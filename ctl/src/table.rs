//! Columns of text.

use crate::output::{Output, Tone};
use crate::text;

/// A cell: its text and how it looks.
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, tone: Tone::Plain }
    }
}

/// Lays rows out under a head. With a width, the columns named in `flexible` (by index, first to give first) are cut
/// until a row fits; a column never gets narrower than its head.
pub(crate) fn lay_out(
    out: Output,
    head: &[&str],
    rows: &[Vec<Cell>],
    flexible: &[usize],
    cells: Option<usize>,
) -> String {
    const GAP: usize = 2;
    let mut widths: Vec<usize> = head.iter().map(|h| text::width(h)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(text::width(&cell.text));
        }
    }
    if let Some(cells) = cells {
        for column in flexible {
            let total: usize = widths.iter().sum::<usize>() + GAP * (widths.len().saturating_sub(1));
            let least = text::width(head[*column]);
            let over = total.saturating_sub(cells);
            widths[*column] = widths[*column].saturating_sub(over).max(least);
        }
    }
    let mut lines = String::new();
    let mut line = |row: &mut dyn Iterator<Item = (&str, Tone)>| {
        let mut gap = 0;
        for ((text, tone), width) in row.zip(&widths) {
            let shown = text::cut(text, *width);
            // The gap comes before a cell, so that no line ends in blanks.
            if !shown.is_empty() {
                lines.push_str(&" ".repeat(gap));
                gap = 0;
            }
            gap += width - text::width(&shown) + GAP;
            lines.push_str(&out.paint(tone, &shown));
        }
        lines.push('\n');
    };
    line(&mut head.iter().map(|h| (*h, Tone::Strong)));
    for row in rows {
        line(&mut row.iter().map(|cell| (cell.text.as_str(), cell.tone)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<Cell>> {
        rows.iter().map(|row| row.iter().map(|t| Cell::from((*t).to_owned())).collect()).collect()
    }

    const PLAIN: Output = Output { json: false, colour: false, machine: None };

    #[test]
    fn columns_line_up_by_cells_and_lines_end_clean() {
        let text = lay_out(
            PLAIN,
            &["ID", "NAME", "WHAT"],
            &rows(&[&["a", "", "x"], &["bb", "日本", ""]]),
            &[],
            None,
        );
        assert_eq!(text, "ID  NAME  WHAT\na         x\nbb  日本\n");
    }

    #[test]
    fn flexible_columns_give_way_in_order() {
        let table = rows(&[&["a", "a long command line", "a long place"]]);
        let text = lay_out(PLAIN, &["ID", "CMD", "WHERE"], &table, &[1, 2], Some(20));
        assert_eq!(text, "ID  CMD  WHERE\na   a …  a long pla…\n");
    }
}
