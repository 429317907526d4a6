//! What the session's terminal shows.

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::Processor;
use delight_proto::holder::FromHolder;
use delight_proto::holder::frame::MAX_DATA;
use delight_proto::session::Size;

/// The keeper of the screen.
pub struct Screen {
    term: Term<VoidListener>,
    parser: Processor,
}

struct Cells(Size);

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        self.0.rows.into()
    }

    fn screen_lines(&self) -> usize {
        self.0.rows.into()
    }

    fn columns(&self) -> usize {
        self.0.cols.into()
    }
}

impl Screen {
    /// An empty screen of this size.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let config = Config { scrolling_history: 0, ..Config::default() };
        Self { term: Term::new(config, &Cells(size), VoidListener), parser: Processor::new() }
    }

    /// Takes in what was printed.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.term, bytes);
    }

    /// Changes the size.
    pub fn resize(&mut self, size: Size) {
        self.term.resize(Cells(size));
    }

    /// Bytes that make a freshly reset terminal show the same text.
    #[must_use]
    pub fn draw(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for cell in self.term.grid().display_iter() {
            if cell.point.column.0 == 0 {
                out.extend_from_slice(format!("\x1b[{};1H", cell.point.line.0 + 1).as_bytes());
            }
            let mut utf8 = [0; 4];
            out.extend_from_slice(cell.c.encode_utf8(&mut utf8).as_bytes());
        }
        out
    }
}

/// A drawn screen as frames.
pub(crate) fn frames(bytes: &[u8], offset: u64, size: Size) -> Vec<FromHolder> {
    let mut pieces: Vec<&[u8]> = bytes.chunks(MAX_DATA).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let frame = |(n, piece): (usize, &[u8])| FromHolder::Screen {
        offset,
        size,
        more: n < last,
        bytes: piece.to_vec(),
    };
    pieces.into_iter().enumerate().map(frame).collect()
}
