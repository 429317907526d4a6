//! Watching by the kernel (inotify).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use delight_proto::refusal::Refusal;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::{bounded, unwatched};

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Watches {
    inotify: Inotify,
    paths: BTreeMap<WatchDescriptor, String>,
}

impl Watches {
    /// None yet.
    ///
    /// # Errors
    /// The kernel has no watch to spare.
    pub(in super::super) fn new() -> Result<Self, Refusal> {
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(|e| unwatched(e.desc()))?;
        Ok(Self { inotify, paths: BTreeMap::new() })
    }

    /// Readable when something changed.
    pub(in super::super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.inotify.as_fd())
    }

    /// When to ask for changes, whatever the descriptor says: never.
    #[expect(clippy::unused_self, reason = "where the kernel tells nothing there is a time")]
    pub(in super::super) fn every(&self) -> Option<Duration> {
        None
    }

    /// Watches an open directory, which is called `path` by whoever asks.
    ///
    /// # Errors
    /// `too-large` when too many are watched.
    pub(in super::super) fn add(&mut self, directory: &OwnedFd, path: &str) -> Result<(), Refusal> {
        bounded(self.paths.len())?;
        // By its descriptor: exactly the directory that was found to lie below the root.
        let itself = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let news = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_CLOSE_WRITE;
        let moves = AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_MOVED_TO;
        let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_ONLYDIR;
        let watch =
            self.inotify.add_watch(itself.as_str(), news | moves | gone).map_err(|e| unwatched(e.desc()))?;
        self.paths.insert(watch, path.to_owned());
        Ok(())
    }

    /// Watches it no longer.
    pub(in super::super) fn remove(&mut self, path: &str) {
        let named: Vec<WatchDescriptor> =
            self.paths.iter().filter(|(_, known)| *known == path).map(|(watch, _)| *watch).collect();
        for watch in named {
            self.paths.remove(&watch);
            // It may be gone with its directory.
            let _ = self.inotify.rm_watch(watch);
        }
    }

    /// What changed: the directory, and the name in it (none: the directory itself). Does not wait. More than the kernel
    /// keeps is told as a change of every directory.
    pub(in super::super) fn changes(&mut self) -> Vec<(String, Option<String>)> {
        let Ok(events) = self.inotify.read_events() else { return Vec::new() };
        let mut changes = Vec::new();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                changes.extend(self.paths.values().map(|path| (path.clone(), None)));
            } else if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.paths.remove(&event.wd);
            } else if let Some(path) = self.paths.get(&event.wd) {
                changes.push((path.clone(), event.name.map(|name| name.to_string_lossy().into_owned())));
            }
        }
        changes.dedup();
        changes
    }
}
