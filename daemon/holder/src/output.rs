//! From the runner's streams to the journal, the clients and the screen.

use delight_proto::holder::journal::kind;

use crate::clock::now_ms;
use crate::holder::Holder;
use crate::runner::{Got, Source, Streams};

/// Bytes read at once: the most one record and one frame carry.
const CHUNK: usize = 64 << 10;
/// What is read at once while little is printed: an idle session keeps no more than this.
const SMALL_CHUNK: usize = 4 << 10;
/// So many small reads in a row end a burst.
const SMALL_READS: u8 = 32;

/// What output is read into.
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    /// How much is read at once now.
    chunk: usize,
    /// How many reads in a row have needed far less.
    small_reads: u8,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self { bytes: Vec::new(), chunk: SMALL_CHUNK, small_reads: 0 }
    }
}

impl Holder {
    /// Reads what there is now, as much as suits the present pace.
    pub(crate) fn read_output_now(&mut self) {
        let got = self.read_output(self.buffer.chunk);
        self.adapt(got);
    }

    /// The same for standard error.
    pub(crate) fn read_errors_now(&mut self) {
        self.read_errors(SMALL_CHUNK);
    }

    /// Reads at most `most` bytes of output, journals them, and hands them on. Returns how many there were.
    pub(crate) fn read_output(&mut self, most: usize) -> usize {
        self.with_buffer(most.min(CHUNK), |holder, buffer| {
            let filled = fill(&mut holder.streams, Source::Output, buffer);
            if filled > 0 {
                holder.output(&buffer[..filled]);
            }
            filled
        })
    }

    pub(crate) fn read_errors(&mut self, most: usize) -> usize {
        self.with_buffer(most.min(CHUNK), |holder, buffer| {
            let filled = fill(&mut holder.streams, Source::Errors, buffer);
            if filled > 0 {
                let now = now_ms();
                holder.log.note(kind::STDERR, now, &buffer[..filled]);
            }
            filled
        })
    }

    fn output(&mut self, bytes: &[u8]) {
        let offset = self.log.end();
        let ordinal = self.log.next_ordinal();
        let journaled = self.log.output(now_ms(), bytes);
        // A loss may have been recorded just before it.
        let ordinal = journaled.then(|| self.log.next_ordinal().max(ordinal + 1) - 1);
        for client in &mut self.clients {
            client.output(offset, bytes, ordinal, &self.log, self.piped);
        }
        if !self.piped {
            self.watch_screen(bytes);
        }
    }

    /// Reads more at once while much is printed, and gives the memory back when that is over.
    fn adapt(&mut self, got: usize) {
        if got == self.buffer.chunk {
            self.buffer.chunk = (self.buffer.chunk * 2).min(CHUNK);
        } else if self.buffer.chunk > SMALL_CHUNK && got <= self.buffer.chunk / 8 {
            self.buffer.small_reads += 1;
            if self.buffer.small_reads >= SMALL_READS {
                self.buffer = ReadBuffer::default();
            }
            return;
        }
        self.buffer.small_reads = 0;
    }

    /// Lends the read buffer.
    pub(crate) fn with_buffer<T>(&mut self, size: usize, work: impl FnOnce(&mut Self, &mut [u8]) -> T) -> T {
        let mut buffer = std::mem::take(&mut self.buffer.bytes);
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let result = work(self, &mut buffer[..size]);
        self.buffer.bytes = buffer;
        result
    }
}

/// Reads until the buffer is full or there is no more now: the kernel hands out some 4 KiB a read, and one record and
/// one frame for many of them cost less than one each.
fn fill(streams: &mut Streams, source: Source, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        match streams.read(source, &mut buffer[filled..]) {
            Got::Bytes(n) => filled += n,
            Got::Nothing | Got::End => break,
        }
    }
    filled
}
