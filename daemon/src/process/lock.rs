//! The holder's lock: the only proof that a session has a holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the lock in a session's directory.
const NAME: &str = "holder.lock";

/// Where a session's lock lies.
pub(crate) fn path(session_dir: &Path) -> PathBuf {
    session_dir.join(NAME)
}

/// Takes the lock for a new holder; `None` when a holder lives.
///
/// It belongs to the open file description: it passes to the holder with the descriptor, and closing ours does not
/// give it up. It must never be unlocked explicitly.
pub(crate) fn take(session_dir: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path(session_dir))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Whether a holder of the session is alive or about to be. A session without a lock file never had one.
pub(crate) fn is_held(session_dir: &Path) -> io::Result<bool> {
    let file = match File::open(path(session_dir)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    // Shared: a probe never looks like a holder to another probe.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_lock_passes_to_a_child_and_ends_with_it() {
        let base = tempfile::tempdir().unwrap();
        assert!(!is_held(base.path()).unwrap());
        let lock = take(base.path()).unwrap().unwrap();
        assert!(take(base.path()).unwrap().is_none());
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(lock).spawn().unwrap();
        assert!(is_held(base.path()).unwrap(), "our copy is closed, the child's holds");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_held(base.path()).unwrap());
    }
}
