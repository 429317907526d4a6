//! Why the log could not do something: what, why, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A segment was written by newer code. It is left untouched.
    #[error(
        "{} has format version {version}; this build reads up to {}: use a build at least as new as the one that \
         wrote it, or move the directory away",
        path.display(), crate::VERSION
    )]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A segment's header is damaged, so nothing in it can be checked. It is left untouched.
    #[error("{} is damaged ({reason}): move this file away to go on without it", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A record is larger than [`crate::MAX_PAYLOAD`].
    #[error("a record of {len} bytes is too large; at most {} are allowed", crate::MAX_PAYLOAD)]
    TooLarge {
        /// Its length.
        len: usize,
    },
}

impl Error {
    /// The system's answer, where there is one.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Names the deed and the path of an I/O error.
pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}
