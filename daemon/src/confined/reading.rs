//! Reading a file whole.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use delight_proto::refusal::{Code, Refusal};
use nix::fcntl::OFlag;

use super::{Confined, not_a_file, open};

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

    /// The path without links of a directory below.
    ///
    /// # Errors
    /// See [`Confined::relative`]; `bad-params` when it is no directory.
    pub(crate) fn directory(&self, path: &str) -> Result<PathBuf, Refusal> {
        let below = self.relative(path)?;
        let fd = self.reach(&below, open::directory())?;
        Ok(open::real_path(&fd).unwrap_or_else(|| self.real.join(below)))
    }

    /// A path below, whole, after making sure that a program that is given it meets a file or a directory: nothing
    /// to wait for, and nothing outside. A link may take its place before the program looks: this keeps a caller in,
    /// not somebody who works in the directory at the same time.
    ///
    /// # Errors
    /// As [`Confined::read`].
    pub(crate) fn ordinary(&self, path: &str) -> Result<PathBuf, Refusal> {
        let below = self.relative(path)?;
        let found = File::from(self.reach(&below, OFlag::O_RDONLY)?).metadata();
        if found.is_ok_and(|found| found.is_file() || found.is_dir()) {
            Ok(self.real.join(below))
        } else {
            Err(not_a_file(&below))
        }
    }

    /// What is out of bounds below, by relative paths.
    pub(crate) fn kept_out(&self) -> Vec<PathBuf> {
        self.denied.iter().filter_map(|path| path.strip_prefix(&self.real).ok().map(Path::to_owned)).collect()
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
