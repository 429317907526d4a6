//! Input on its way to a runner that may not read.

use std::collections::VecDeque;
use std::io;

/// Most bytes that wait for a runner: what a person pastes fits many times over, and a runner that never reads costs
/// no more. Beyond it clients are not read any more, so their own sends block; nothing is dropped.
pub(crate) const MAX_WAITING: usize = 1 << 20;

/// Whose input it is, and the number to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) client: u64,
    pub(crate) tag: u64,
}

struct Waiting {
    receipt: Option<Receipt>,
    bytes: Vec<u8>,
    written: usize,
}

/// The queue.
#[derive(Default)]
pub(crate) struct InputQueue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Bytes given up since [`Self::begin`].
    failed: u64,
}

impl InputQueue {
    /// For a new runner.
    pub(crate) fn begin(&mut self) {
        *self = Self::default();
    }

    /// Bytes of this runner's input that were never written: always the last ones, for once one failed all do.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Whether there is something to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether clients have to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MAX_WAITING
    }

    /// Adds input at the end.
    pub(crate) fn push(&mut self, receipt: Option<Receipt>, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.waiting.push_back(Waiting { receipt, bytes, written: 0 });
    }

    /// Writes what there is room for and gives the receipts of what is written whole.
    ///
    /// # Errors
    /// What `write` says: nobody will read any more. Call [`Self::fail`] then.
    pub(crate) fn flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        mut done: impl FnMut(Receipt),
    ) -> io::Result<()> {
        while let Some(first) = self.waiting.front_mut() {
            if first.written < first.bytes.len() {
                let written = write(&first.bytes[first.written..])?;
                if written == 0 {
                    return Ok(());
                }
                first.written += written;
                self.bytes -= written;
                if first.written < first.bytes.len() {
                    continue;
                }
            }
            if let Some(receipt) = first.receipt {
                done(receipt);
            }
            self.waiting.pop_front();
        }
        // An idle session keeps no buffer.
        self.waiting = VecDeque::new();
        Ok(())
    }

    /// Empties the queue and gives the receipts of what was not written whole.
    pub(crate) fn fail(&mut self) -> Vec<Receipt> {
        self.failed += self.bytes as u64;
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_iter().filter_map(|waiting| waiting.receipt).collect()
    }
}
