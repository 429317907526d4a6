//! The whole lines of a file another program appends to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use delight_proto::agent::bounds;

/// Bytes read at once: some hundred lines, so that a long history does not hold a thread for long.
const CHUNK: usize = 256 << 10;

/// Bytes of a history that is taken in when nothing of it was before: what a person scrolls through.
const HISTORY: u64 = 1 << 20;

/// A line, or what there was in place of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes, without the newline.
    Whole(Vec<u8>),
    /// It was longer than [`bounds::LINE`] and is left out; so many bytes.
    TooLong(u64),
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Lines and the offsets behind them.
    pub(super) lines: Vec<(u64, Line)>,
    /// Whether there is more at once.
    pub(super) more: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    offset: u64,
    /// Bytes of a line that is too long, passed over so far.
    passed: u64,
    /// The file was cut shorter than what was read of it: its offsets mean nothing any more.
    cut: bool,
}

impl LineFile {
    /// Goes on behind an offset; 0: behind all but the last of its history.
    pub(super) fn new(path: PathBuf, offset: u64) -> Self {
        Self { path, offset, passed: 0, cut: false }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its offsets still order its lines.
    pub(super) fn was_cut(&self) -> bool {
        self.cut
    }

    /// The next lines. A half line at the end waits. A file that is gone has none (it may come back); of one that was cut
    /// all is passed over that is left: it was told before.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn read(&mut self) -> io::Result<Piece> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Piece::default()),
            Err(e) => return Err(e),
        };
        let length = file.metadata()?.len();
        if length < self.offset {
            (self.cut, self.offset, self.passed) = (true, length, 0);
        }
        if self.offset == 0 && length > HISTORY {
            self.offset = length - HISTORY;
            // The rest of the line in whose middle this is.
            self.passed = 1;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        let mut want = CHUNK;
        loop {
            (&mut file).take((want - bytes.len()) as u64).read_to_end(&mut bytes)?;
            if bytes.contains(&b'\n') || bytes.len() < want || want >= bounds::LINE {
                break;
            }
            want = (want * 2).min(bounds::LINE);
        }
        Ok(self.cut_up(&bytes, want))
    }

    fn cut_up(&mut self, bytes: &[u8], want: usize) -> Piece {
        let mut piece = Piece { lines: Vec::new(), more: bytes.len() == want };
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            if bytes.len() >= bounds::LINE {
                self.offset += bytes.len() as u64;
                self.passed += bytes.len() as u64;
            }
            return piece;
        };
        for line in bytes[..end].split(|byte| *byte == b'\n') {
            self.offset += line.len() as u64 + 1;
            let line = match std::mem::take(&mut self.passed) {
                0 => Line::Whole(line.to_owned()),
                passed => Line::TooLong(passed + line.len() as u64),
            };
            piece.lines.push((self.offset, line));
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_owned())
    }

    #[test]
    fn lines_come_whole_and_once_and_half_ones_wait() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("f");
        let mut lines = LineFile::new(path.clone(), 0);
        assert_eq!(lines.read().unwrap(), Piece::default());
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(lines.read().unwrap().lines, [(4, whole("one"))]);
        assert_eq!(lines.read().unwrap().lines, []);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"o\n\n").unwrap();
        assert_eq!(lines.read().unwrap().lines, [(8, whole("two")), (9, whole(""))]);
        assert_eq!(LineFile::new(path, 4).read().unwrap().lines, [(8, whole("two")), (9, whole(""))]);
    }

    #[test]
    fn a_file_that_was_cut_or_vanished_is_gone_on_with() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("f");
        fs::write(&path, "one\ntwo\n").unwrap();
        let mut lines = LineFile::new(path.clone(), 0);
        assert_eq!(lines.read().unwrap().lines.len(), 2);
        fs::write(&path, "one\n").unwrap();
        assert_eq!(lines.read().unwrap().lines, []);
        assert!(lines.was_cut());
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"new\n").unwrap();
        assert_eq!(lines.read().unwrap().lines, [(8, whole("new"))]);
        fs::remove_file(&path).unwrap();
        assert_eq!(lines.read().unwrap(), Piece::default());
    }

    #[test]
    fn a_line_without_end_is_left_out_and_the_next_one_is_read() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("f");
        let mut bytes = vec![b'x'; bounds::LINE + 10];
        bytes.extend(b"\nnext\n");
        fs::write(&path, &bytes).unwrap();
        let mut lines = LineFile::new(path, 1);
        let mut all = Vec::new();
        loop {
            let piece = lines.read().unwrap();
            all.extend(piece.lines);
            if !piece.more {
                break;
            }
        }
        let end = bytes.len() as u64;
        assert_eq!(all, [(end - 5, Line::TooLong(bounds::LINE as u64 + 9)), (end, whole("next"))]);
    }

    #[test]
    fn of_a_long_history_the_last_part_is_read() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("f");
        fs::write(&path, "0123456\n".repeat(300_000)).unwrap();
        let mut lines = LineFile::new(path, 0);
        let first = lines.read().unwrap();
        assert!(first.more && first.lines[0].0 > 300_000 * 8 - HISTORY);
        assert_eq!(first.lines[1].1, whole("0123456"));
    }
}
