//! What the session's terminal shows, for clients that attach later.
//!
//! A terminal emulator costs more than everything else a holder does, so most output never reaches it. Text, line
//! ends, tabs and colours (*plain* output, see `plain`) are only kept; and once enough lines have been printed to
//! push everything before them off the screen, what lies before them is dropped. Other escape sequences, and with
//! them every question a program may ask its terminal, are emulated at once, in order.

mod answer;
mod colors;
mod draw;
mod emulator;
mod plain;
mod record;
mod sequence;
#[cfg(test)]
mod tests;

use delight_proto::holder::FromHolder;
use delight_proto::holder::frame::MAX_DATA;
use delight_proto::session::Size;

use emulator::Emulator;
use plain::Plain;

/// Plain output kept without a look at what of it can be dropped.
const PENDING: usize = if cfg!(test) { 400 } else { 16 << 10 }; // Tests drop early and often.

/// The keeper of the screen.
pub struct Screen {
    size: Size,
    /// The screen up to some point; none while all there is so far is in `pending`.
    emulator: Option<Box<Emulator>>,
    /// Plain output since then.
    pending: Vec<u8>,
    /// Where in a colour sequence `pending` ends.
    plain: Plain,
}

impl Screen {
    /// An empty screen of this size.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self { size, emulator: None, pending: Vec::new(), plain: Plain::default() }
    }

    /// Takes in what was printed. Answers to questions it asks the terminal are appended to `answers`, in order.
    pub fn feed(&mut self, bytes: &[u8], answers: &mut Vec<u8>) {
        let between = self.emulator.as_ref().is_none_or(|emulator| emulator.is_between_sequences());
        let follows = if between { self.plain.follow(bytes) } else { None };
        match follows {
            Some(plain) => {
                self.plain = plain;
                self.keep(bytes, answers);
            }
            None => {
                self.catch_up(answers);
                self.emulator().feed(bytes, answers);
            }
        }
    }

    /// Changes the size.
    pub fn resize(&mut self, size: Size) {
        // What was printed before was printed at the old size.
        self.catch_up(&mut Vec::new());
        self.size = size;
        if let Some(emulator) = &mut self.emulator {
            emulator.resize(size);
        }
    }

    /// A new program takes the terminal over: it gets it without the modes the last one may have left behind, on the
    /// main screen, at the start of a line; what was printed stays.
    pub fn next_program(&mut self) {
        let Self { emulator: None, pending, .. } = self else {
            self.catch_up(&mut Vec::new());
            return self.emulator().next_program();
        };
        if !pending.is_empty() {
            self.catch_up(&mut Vec::new());
            self.emulator().next_program();
        }
    }

    /// Bytes that make a freshly reset terminal of this size look and behave as the session's does.
    #[must_use]
    pub fn draw(&mut self) -> Vec<u8> {
        self.catch_up(&mut Vec::new());
        self.emulator().draw()
    }

    /// Emulates every byte so far.
    fn catch_up(&mut self, answers: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.emulator().feed(&pending, answers);
        }
        self.plain = Plain::default();
    }

    fn emulator(&mut self) -> &mut Emulator {
        let size = self.size;
        self.emulator.get_or_insert_with(|| Box::new(Emulator::new(size)))
    }

    /// Keeps plain output, and drops what it has pushed off the screen.
    fn keep(&mut self, bytes: &[u8], answers: &mut Vec<u8>) {
        if self.pending.len() + bytes.len() <= PENDING {
            self.pending.extend_from_slice(bytes);
            return;
        }
        let whole_screen = self.emulator.as_ref().is_none_or(|emulator| emulator.scrolls_whole_screen());
        let lines = 2 * usize::from(self.size.rows) + 2;
        if whole_screen {
            // Usually the newest chunk alone is enough, and then the rest need not be put together first.
            if let Some(cut) = plain::cut(bytes, lines) {
                let earlier = std::mem::take(&mut self.pending);
                self.pending = plain::carry(&[&earlier, &bytes[..cut]]);
                self.pending.extend_from_slice(&bytes[cut..]);
            } else {
                self.pending.extend_from_slice(bytes);
                if let Some(cut) = plain::cut(&self.pending, lines) {
                    let mut kept = plain::carry(&[&self.pending[..cut]]);
                    kept.extend_from_slice(&self.pending[cut..]);
                    self.pending = kept;
                }
            }
        } else {
            self.pending.extend_from_slice(bytes);
        }
        if self.pending.len() > PENDING {
            // Long lines, or too few of them to say what is still to be seen.
            let plain = self.plain;
            self.catch_up(answers);
            self.plain = plain;
        }
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
