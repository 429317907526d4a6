//! Reading a file whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use delight_proto::refusal::{Code, Refusal};
use nix::fcntl::OFlag;

use super::{Confined, not_a_file};

impl Confined {
    /// Reads a file of at most `most` bytes.
    ///
    /// # Errors
    /// `too-large`; `bad-params` for what is no ordinary file; see [`Confined::relative`] for paths.
    pub(crate) fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, Refusal> {
        let below = self.relative(path)?;
        let file = self.file(&below)?;
        let mut bytes = Vec::new();
        // Not the size it had a moment ago: it may grow while it is read.
        let read = file.take(most as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| {
            Refusal::new(Code::Storage, format!("'{}' cannot be read", below.display()), e.to_string())
        })?;
        if bytes.len() > most {
            return Err(too_large(&below, most));
        }
        Ok(bytes)
    }

    /// An ordinary file, opened for reading. A pipe or device is neither waited for nor read.
    pub(super) fn file(&self, below: &Path) -> Result<File, Refusal> {
        let file = File::from(self.reach(below, OFlag::O_RDONLY)?);
        let is_file = file.metadata().is_ok_and(|found| found.is_file());
        if is_file { Ok(file) } else { Err(not_a_file(below)) }
    }
}

pub(super) fn too_large(below: &Path, most: usize) -> Refusal {
    let reason = format!("'{}' has more than the {most} bytes that are allowed here", below.display());
    Refusal::new(Code::TooLarge, "File too large", reason)
}
