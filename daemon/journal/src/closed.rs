//! A segment that is full: who makes it durable, and when.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, io};

/// What becomes of a segment that is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closing {
    /// It is made durable before the next one begins: whoever appends waits for the disk.
    #[default]
    Sync,
    /// [`crate::Writer::sync`] makes it durable. A power cut before may leave a gap between it and the next one, which
    /// readers are told of.
    Leave,
    /// It is handed to whoever takes it ([`crate::Writer::take_closed`]), and appending goes on meanwhile. A power cut
    /// must leave no gap all the same: the next segment is closed only when this one is known to be durable, and
    /// opening the log sets a newest segment aside that the one before it does not reach.
    Aside,
}

/// A closed segment that is not known to be durable yet.
#[derive(Debug)]
pub struct Closed {
    pub(crate) file: File,
    pub(crate) dir: PathBuf,
    pub(crate) durable: Durable,
}

impl Closed {
    /// Makes it durable. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Io`]. The writer makes it durable itself then, before it closes another.
    pub fn sync(self) -> Result<(), Error> {
        self.file.sync_data().map_err(io("sync a segment of", &self.dir))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io("sync", &self.dir))?;
        self.durable.prove();
        Ok(())
    }
}

/// Whether a segment that was handed out has become durable: told by who syncs it, asked by the writer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable(Arc<AtomicBool>);

impl Durable {
    fn prove(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_proved(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
