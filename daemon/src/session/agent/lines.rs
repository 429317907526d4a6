//! Cuts a stream of bytes with offsets into lines.

use delight_proto::agent::bounds::LINE;

/// What a stretch of the stream is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line, without its newline.
    Line(&'a [u8]),
    /// Something of which no line can be made.
    Skipped {
        /// Bytes left out, the newline included.
        bytes: u64,
        /// Why.
        why: &'static str,
    },
}

const TOO_LONG: &str = "a line is longer than 16 MiB";
const CUT: &str = "its beginning is not in the journal any more";
const LOST: &str = "a part of it was lost";

/// The cutter. Holds at most one unfinished line.
#[derive(Debug)]
pub(super) struct Lines {
    /// Offset of the next byte.
    at: u64,
    unfinished: Vec<u8>,
    /// Up to the next newline everything is left out: so many bytes so far, and why.
    skipping: Option<(u64, &'static str)>,
}

impl Lines {
    /// For a stream that begins with a line, at this offset.
    pub(super) fn from_start(at: u64) -> Self {
        Self { at, unfinished: Vec::new(), skipping: None }
    }

    /// For a stream of which nobody knows where its first line began.
    pub(super) fn from_middle(at: u64) -> Self {
        Self { skipping: Some((0, CUT)), ..Self::from_start(at) }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The line that has no newline yet.
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// Takes in the next bytes; `take` is given every piece they end, with the offset after it.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(Piece<'_>, u64)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            self.at += line.len() as u64;
            if let Some((skipped, why)) = self.skipping.take() {
                // The end of what was left out; nothing at all if the stream happened to begin with a line's end.
                take(Piece::Skipped { bytes: skipped + line.len() as u64, why }, self.at);
            } else if self.unfinished.is_empty() {
                take(Self::bounded(&line[..end]), self.at);
            } else {
                let mut whole = std::mem::take(&mut self.unfinished);
                whole.extend_from_slice(&line[..end]);
                take(Self::bounded(&whole), self.at);
            }
        }
        self.at += bytes.len() as u64;
        if let Some((skipped, _)) = &mut self.skipping {
            *skipped += bytes.len() as u64;
        } else if self.unfinished.len() + bytes.len() > LINE {
            self.skip(bytes.len() as u64, TOO_LONG);
        } else {
            self.unfinished.extend_from_slice(bytes);
        }
    }

    fn bounded(line: &[u8]) -> Piece<'_> {
        if line.len() > LINE {
            Piece::Skipped { bytes: line.len() as u64 + 1, why: TOO_LONG }
        } else {
            Piece::Line(line)
        }
    }

    /// The next bytes, up to this offset, cannot be had.
    pub(super) fn lose(&mut self, to: u64) {
        if let Some(lost) = to.checked_sub(self.at).filter(|lost| *lost > 0) {
            self.at = to;
            self.skip(lost, LOST);
        }
    }

    fn skip(&mut self, more: u64, why: &'static str) {
        let unfinished = std::mem::take(&mut self.unfinished).len() as u64;
        let (so_far, why) = self.skipping.unwrap_or((0, why));
        self.skipping = Some((so_far + unfinished + more, why));
    }

    /// The stream is over: what has no newline is a line, too.
    pub(super) fn finish(&mut self, mut take: impl FnMut(Piece<'_>, u64)) {
        match self.skipping.take() {
            Some((bytes, why)) if bytes > 0 => take(Piece::Skipped { bytes, why }, self.at),
            _ => {}
        }
        let last = std::mem::take(&mut self.unfinished);
        if !last.is_empty() {
            take(Piece::Line(&last), self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pieces = Vec<(Result<Vec<u8>, (u64, &'static str)>, u64)>;

    fn note(pieces: &mut Pieces) -> impl FnMut(Piece<'_>, u64) + '_ {
        |piece, end| {
            pieces.push((
                match piece {
                    Piece::Line(line) => Ok(line.to_vec()),
                    Piece::Skipped { bytes, why } => Err((bytes, why)),
                },
                end,
            ));
        }
    }

    #[test]
    fn cutting_the_stream_anywhere_gives_the_same_lines() {
        let stream = b"one\n\ntwo three\nlast";
        for cut in 0..stream.len() {
            let mut pieces = Pieces::new();
            let mut lines = Lines::from_start(100);
            lines.push(&stream[..cut], note(&mut pieces));
            lines.push(&stream[cut..], note(&mut pieces));
            lines.finish(note(&mut pieces));
            let wanted: Pieces = vec![
                (Ok(b"one".to_vec()), 104),
                (Ok(vec![]), 105),
                (Ok(b"two three".to_vec()), 115),
                (Ok(b"last".to_vec()), 119),
            ];
            assert_eq!(pieces, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_is_whole() {
        let mut pieces = Pieces::new();
        let mut lines = Lines::from_start(0);
        let long = vec![b'x'; LINE / 2 + 1];
        lines.push(&long, note(&mut pieces));
        lines.push(&long, note(&mut pieces));
        assert!(lines.unfinished().is_empty(), "it is not kept either");
        lines.push(b"xx\nnext\n", note(&mut pieces));
        let bytes = 2 * long.len() as u64 + 3;
        assert_eq!(pieces, [(Err((bytes, TOO_LONG)), bytes), (Ok(b"next".to_vec()), bytes + 5)]);
    }

    #[test]
    fn what_is_lost_takes_its_line_along() {
        let mut pieces = Pieces::new();
        let mut lines = Lines::from_start(0);
        lines.push(b"a\nhal", note(&mut pieces));
        lines.lose(10);
        lines.push(b"f\nb\n", note(&mut pieces));
        let wanted: Pieces = vec![(Ok(b"a".to_vec()), 2), (Err((10, LOST)), 12), (Ok(b"b".to_vec()), 14)];
        assert_eq!(pieces, wanted);
        assert_eq!(lines.at(), 14);
    }

    #[test]
    fn a_stream_joined_in_the_middle_begins_with_its_first_whole_line() {
        let mut pieces = Pieces::new();
        let mut lines = Lines::from_middle(50);
        lines.push(b"rest\nwhole\n", note(&mut pieces));
        assert_eq!(pieces, [(Err((5, CUT)), 55), (Ok(b"whole".to_vec()), 61)]);
    }
}
