//! Watching by looking: what lies in each directory is compared with what lay there before.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use delight_proto::refusal::Refusal;
use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::{fstat, fstatat};

use super::{bounded, unwatched};

/// Between two looks: soon enough for a person who looks at a tree on a screen.
const EVERY: Duration = Duration::from_millis(500);

/// Entries of a directory that are told apart; a change among more is told as one of the directory itself.
const ENTRIES: usize = 4_096;

/// What tells one state of a file from another: inode, size, and times of the last change in seconds and nanoseconds.
type Print = (u64, i64, i64, i64);

/// What lay in a directory.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    own: Print,
    entries: BTreeMap<OsString, Print>,
}

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Watches {
    watched: BTreeMap<String, (OwnedFd, Option<Content>)>,
}

impl Watches {
    /// None yet.
    ///
    /// # Errors
    /// Never: it is the kernel that may have no watch to spare.
    #[expect(clippy::unnecessary_wraps, reason = "the kernel's watches can fail")]
    pub(in super::super) fn new() -> Result<Self, Refusal> {
        Ok(Self { watched: BTreeMap::new() })
    }

    /// Readable when something changed: nothing is.
    #[expect(clippy::unused_self, reason = "the kernel's watches have one")]
    pub(in super::super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// When to ask for changes, whatever the descriptor says.
    #[expect(clippy::unused_self, reason = "the kernel's watches need no look")]
    pub(in super::super) fn every(&self) -> Option<Duration> {
        Some(EVERY)
    }

    /// Watches an open directory, which is called `path` by whoever asks.
    ///
    /// # Errors
    /// `too-large` when too many are watched.
    pub(in super::super) fn add(&mut self, directory: &OwnedFd, path: &str) -> Result<(), Refusal> {
        if !self.watched.contains_key(path) {
            bounded(self.watched.len())?;
        }
        // The directory itself is kept open: exactly the one that was found to lie below the root.
        let directory = directory.try_clone().map_err(|e| unwatched(&e.to_string()))?;
        let content = look(directory.as_fd());
        self.watched.insert(path.to_owned(), (directory, content));
        Ok(())
    }

    /// Watches it no longer.
    pub(in super::super) fn remove(&mut self, path: &str) {
        self.watched.remove(path);
    }

    /// What changed: the directory, and the name in it (none: the directory itself). Does not wait.
    pub(in super::super) fn changes(&mut self) -> Vec<(String, Option<String>)> {
        let mut changes = Vec::new();
        for (path, (directory, before)) in &mut self.watched {
            let now = look(directory.as_fd());
            if now == *before {
                continue;
            }
            let names = match (&*before, &now) {
                (Some(before), Some(now)) => differing(&before.entries, &now.entries),
                _ => Vec::new(),
            };
            if names.is_empty() {
                changes.push((path.clone(), None));
            }
            let named = |name: &OsStr| (path.clone(), Some(name.to_string_lossy().into_owned()));
            changes.extend(names.into_iter().map(named));
            *before = now;
        }
        changes
    }
}

/// Names of one that the other does not have, or has otherwise.
fn differing<'a>(
    before: &'a BTreeMap<OsString, Print>,
    now: &'a BTreeMap<OsString, Print>,
) -> Vec<&'a OsStr> {
    let new = now.iter().filter(|(name, print)| before.get(*name) != Some(print));
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
    new.chain(gone).map(|(name, _)| name.as_os_str()).collect()
}

/// What lies in a directory now; none: it cannot be read any more.
fn look(directory: BorrowedFd<'_>) -> Option<Content> {
    let own = print(&fstat(directory).ok()?);
    // Opened anew: a descriptor that is shared has one place to read from.
    let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(directory, ".", flags, nix::sys::stat::Mode::empty()).ok()?;
    let mut entries = BTreeMap::new();
    for entry in listing.iter().flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entries.len() == ENTRIES {
            entries.clear();
            break;
        }
        // Gone meanwhile: the next look tells.
        if let Ok(found) = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            entries.insert(OsStr::from_bytes(name.to_bytes()).to_owned(), print(&found));
        }
    }
    Some(Content { own, entries })
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // The fields have other widths on other systems.
fn print(found: &nix::sys::stat::FileStat) -> Print {
    (found.st_ino as u64, found.st_size as i64, found.st_mtime as i64, found.st_mtime_nsec as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn what_is_made_written_and_removed_is_told_once_and_by_name() {
        let base = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(File::open(base.path()).unwrap());
        fs::write(base.path().join("old"), "x").unwrap();
        let mut watches = Watches::new().unwrap();
        watches.add(&open(), ".").unwrap();
        assert!(watches.changes().is_empty());
        assert!(watches.descriptor().is_none() && watches.every() == Some(EVERY), "it has to be asked");
        fs::write(base.path().join("new"), "x").unwrap();
        fs::write(base.path().join("old"), "longer").unwrap();
        let named = |name: &str| (".".to_owned(), Some(name.to_owned()));
        assert_eq!(watches.changes(), [named("new"), named("old")]);
        assert!(watches.changes().is_empty());
        fs::remove_file(base.path().join("old")).unwrap();
        assert_eq!(watches.changes(), [named("old")]);
        watches.remove(".");
        fs::remove_file(base.path().join("new")).unwrap();
        assert!(watches.changes().is_empty());
    }

    #[test]
    fn too_many_entries_are_told_as_the_directory_and_too_many_directories_refused() {
        let base = tempfile::tempdir().unwrap();
        for n in 0..=ENTRIES {
            File::create(base.path().join(n.to_string())).unwrap();
        }
        let mut watches = Watches::new().unwrap();
        watches.add(&File::open(base.path()).unwrap().into(), ".").unwrap();
        fs::remove_file(base.path().join("0")).unwrap();
        File::create(base.path().join("more")).unwrap();
        assert_eq!(watches.changes(), [(".".to_owned(), None)]);
        for n in 1..super::super::MOST {
            watches.add(&File::open(base.path()).unwrap().into(), &n.to_string()).unwrap();
        }
        let refusal = watches.add(&File::open(base.path()).unwrap().into(), "more").unwrap_err();
        assert_eq!(refusal.code, delight_proto::refusal::Code::TooLarge);
        watches.add(&File::open(base.path()).unwrap().into(), ".").unwrap();
    }
}
