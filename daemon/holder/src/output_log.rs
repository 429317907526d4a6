//! The session's journal, kept going when the disk does not.
//!
//! Offsets count what the runner wrote, journaled or not. While records cannot be written, their bytes are counted;
//! the first record that can be written again is a `LOST` with that count, so offsets and journal agree for ever.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use delight_journal::{Closing, Error, Options, Reader, Recovery, Writer};
use delight_proto::holder::journal::{Mark, kind};

/// A failing disk is asked again after this many lost bytes …
const RETRY_BYTES: u64 = 256 << 10;
/// … or this much time, so that the owner is not told of a trouble that is over.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The journal's writer and what it could not write.
pub(crate) struct OutputLog {
    dir: PathBuf,
    writer: Writer,
    /// Lost bytes not yet recorded as lost.
    unrecorded: u64,
    /// Bytes lost since the trouble began.
    lost: u64,
    failing: Option<Failing>,
    vanished: bool,
}

struct Failing {
    why: String,
    lost_at_try: u64,
    tried: Instant,
    /// Records other than output that could not be written.
    marks: u64,
}

impl OutputLog {
    pub(crate) fn open(dir: PathBuf, retain_bytes: u64) -> Result<(Self, Recovery), Error> {
        let options = Options {
            // Sixteen segments: retention drops a sixteenth at a time.
            segment_bytes: (retain_bytes / 16).clamp(64 << 10, 4 << 20),
            retain_bytes,
            // A roll must not wait for a disk while the runner writes; `sync` catches up.
            closing: Closing::Leave,
            ..Options::default()
        };
        let (writer, recovery) = Writer::open(&dir, options)?;
        Ok((Self { dir, writer, unrecorded: 0, lost: 0, failing: None, vanished: false }, recovery))
    }

    /// First offset still kept.
    pub(crate) fn start(&self) -> u64 {
        self.writer.start_position()
    }

    /// Offset of the next byte.
    pub(crate) fn end(&self) -> u64 {
        self.writer.end().position + self.unrecorded
    }

    /// Number of the next record.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.writer.end().ordinal
    }

    /// A cursor at the record with this number.
    pub(crate) fn read_ordinal(&self, ordinal: u64) -> Reader {
        let mut reader = Reader::open(&self.dir);
        reader.seek_ordinal(ordinal);
        reader
    }

    /// A cursor at this offset.
    pub(crate) fn read_offset(&self, offset: u64) -> Reader {
        let mut reader = Reader::open(&self.dir);
        reader.seek_position(offset);
        reader
    }

    /// Appends output. Returns whether it is in the journal; its offsets count either way.
    pub(crate) fn output(&mut self, at_ms: u64, bytes: &[u8]) -> bool {
        let len = bytes.len() as u64;
        if self.failing.is_none() {
            // The usual case, without a clock.
            return match self.writer.append(kind::OUTPUT, len, at_ms, &[bytes]) {
                Ok(done) => {
                    self.vanished |= done.restarted;
                    true
                }
                Err(e) => {
                    self.failed(&e);
                    self.lose(len);
                    false
                }
            };
        }
        let written = self.is_worth_a_try(len) && self.append(kind::OUTPUT, len, at_ms, bytes);
        if !written {
            self.lose(len);
        }
        written
    }

    /// Appends a record that does not move the offset. Returns whether it is in the journal.
    pub(crate) fn note(&mut self, kind: u8, at_ms: u64, bytes: &[u8]) -> bool {
        let written = self.append(kind, 0, at_ms, bytes);
        if let (false, Some(failing)) = (written, &mut self.failing) {
            failing.marks += 1;
        }
        written
    }

    /// Appends a mark. Returns whether it is in the journal.
    pub(crate) fn mark(&mut self, at_ms: u64, mark: &Mark) -> bool {
        // Plain structs of strings and numbers: serialising them cannot fail.
        self.note(kind::MARK, at_ms, &serde_json::to_vec(mark).unwrap_or_default())
    }

    /// Makes everything durable. Returns whether it is.
    pub(crate) fn sync(&mut self) -> bool {
        match self.writer.sync() {
            Ok(()) => true,
            Err(e) => {
                self.failed(&e);
                false
            }
        }
    }

    /// When [`Self::retry`] is due.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.failing.as_ref().map(|failing| failing.tried + RETRY_AFTER)
    }

    /// Tries again, so that a trouble that is over is seen to be over.
    pub(crate) fn retry(&mut self, at_ms: u64) {
        if self.failing.is_some() {
            self.record_lost(at_ms);
        }
    }

    /// What is wrong, in words for the owner.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if let Some(failing) = &self.failing {
            let mut text = format!(
                "the journal cannot be written: {}; {} bytes of output are lost so far",
                failing.why, self.lost
            );
            if failing.marks > 0 {
                text.push_str(&format!(", and {} other records", failing.marks));
            }
            troubles.push(text);
        }
        if self.vanished {
            troubles.push(format!(
                "the journal directory vanished and was made again: output before offset {} is lost",
                self.start()
            ));
        }
        troubles
    }

    /// Appends, recording a loss first. Only this and [`Self::retry`] end a failing state.
    fn append(&mut self, kind: u8, advance: u64, at_ms: u64, bytes: &[u8]) -> bool {
        if self.failing.is_some() && !self.record_lost(at_ms) {
            return false;
        }
        match self.writer.append(kind, advance, at_ms, &[bytes]) {
            Ok(done) => {
                self.vanished |= done.restarted;
                true
            }
            Err(e) => {
                self.failed(&e);
                false
            }
        }
    }

    fn record_lost(&mut self, at_ms: u64) -> bool {
        let count = self.unrecorded.to_le_bytes();
        match self.writer.append(kind::LOST, self.unrecorded, at_ms, &[&count]) {
            Ok(done) => {
                self.vanished |= done.restarted;
                (self.unrecorded, self.lost, self.failing) = (0, 0, None);
                true
            }
            Err(e) => {
                self.failed(&e);
                false
            }
        }
    }

    fn is_worth_a_try(&self, more: u64) -> bool {
        self.failing.as_ref().is_none_or(|failing| {
            self.lost + more >= failing.lost_at_try + RETRY_BYTES || failing.tried.elapsed() >= RETRY_AFTER
        })
    }

    fn lose(&mut self, bytes: u64) {
        self.unrecorded += bytes;
        self.lost += bytes;
    }

    fn failed(&mut self, error: &Error) {
        let marks = self.failing.as_ref().map_or(0, |failing| failing.marks);
        self.failing =
            Some(Failing { why: error.to_string(), lost_at_try: self.lost, tried: Instant::now(), marks });
    }
}
