//! Watching the files of an agent that runs in its own terminal program: the loop around what each adapter looks at.
//!
//! On Linux the kernel tells of changes (inotify); a slow look beside it covers what it cannot see (network file systems,
//! directories that do not exist yet). Elsewhere, or when the kernel has no watch to spare, the look is quicker.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use delight_proto::agent::{AgentEvent, Source};
use tokio::task::spawn_blocking;

use super::codec::{Reporter, Watching};
use super::line_file::{Line, LineFile};

/// Between two looks where the kernel tells of changes.
#[cfg(target_os = "linux")]
const SLOW: Duration = Duration::from_secs(5);
/// Between two looks where it does not: soon enough for people, and little work for the few sessions somebody types in.
const QUICK: Duration = Duration::from_millis(500);
/// After a change, before looking: what is written in pieces is read at once.
#[cfg(target_os = "linux")]
const SETTLE: Duration = Duration::from_millis(20);

/// Something seen in a file.
#[derive(Debug)]
pub(super) struct Seen {
    /// Which kind of file.
    pub(super) source: Source,
    /// Where in it.
    pub(super) offset: u64,
    /// What it means.
    pub(super) events: Vec<AgentEvent>,
}

/// What a look gave.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// In order.
    pub(super) seen: Vec<Seen>,
    /// Whether there is more at once.
    pub(super) more: bool,
    /// Directories in which something may change.
    pub(super) places: Vec<PathBuf>,
}

impl Look {
    /// Reads on in an agent's own record of its conversation. `understand` says what a line of it means.
    pub(super) fn read(&mut self, file: &mut LineFile, mut understand: impl FnMut(&[u8]) -> Vec<AgentEvent>) {
        let piece = match file.read() {
            Ok(piece) => piece,
            Err(e) => {
                tracing::debug!(file = %file.path().display(), error = %e, "an agent's file cannot be read");
                return;
            }
        };
        self.more = piece.more;
        for (offset, line) in piece.lines {
            let events = match line {
                Line::Whole(line) => understand(&line),
                Line::TooLong(bytes) => {
                    vec![AgentEvent::Skipped { bytes, what: "a line that is too long".to_owned() }]
                }
            };
            if events.is_empty() {
                continue;
            }
            // The offsets of a file that was cut order nothing: nothing of it may be taken for old.
            let source = if file.was_cut() { Source::Status } else { Source::Transcript };
            let offset = if file.was_cut() { 0 } else { offset };
            self.seen.push(Seen { source, offset, events });
        }
    }
}

/// What an adapter looks at.
pub(super) trait Watched: Send + 'static {
    /// Looks. Blocks on the disk; reads a bounded piece.
    fn look(&mut self) -> Look;
}

/// Looks whenever something may have changed, for as long as somebody listens.
pub(super) fn watching(mut watched: impl Watched, to: Reporter) -> Watching {
    Box::pin(async move {
        let mut changes = Changes::new();
        loop {
            let looked = spawn_blocking(move || {
                let look = watched.look();
                (watched, look)
            });
            let Ok((back, look)) = looked.await else {
                tracing::error!("watching an agent's files failed");
                return;
            };
            watched = back;
            for Seen { source, offset, events } in look.seen {
                if !to.report(source, offset, events).await {
                    return;
                }
            }
            changes.watch(look.places);
            if !look.more {
                changes.next().await;
            }
        }
    })
}

/// Tells when something may have changed.
#[derive(Debug)]
struct Changes {
    #[cfg(target_os = "linux")]
    kernel: Option<kernel::Watches>,
    watched: BTreeSet<PathBuf>,
}

impl Changes {
    fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            kernel: kernel::Watches::new().inspect_err(|e| tracing::debug!(error = %e, "no inotify")).ok(),
            watched: BTreeSet::new(),
        }
    }

    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self))]
    fn watch(&mut self, places: Vec<PathBuf>) {
        for place in places {
            #[cfg(target_os = "linux")]
            if !self.watched.contains(&place) && self.kernel.as_ref().is_none_or(|kernel| !kernel.add(&place))
            {
                continue;
            }
            self.watched.insert(place);
        }
    }

    #[cfg(target_os = "linux")]
    async fn next(&self) {
        let Some(kernel) = self.kernel.as_ref().filter(|_| !self.watched.is_empty()) else {
            return tokio::time::sleep(QUICK).await;
        };
        tokio::select! {
            () = kernel.changed() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(SLOW) => {}
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn next(&self) {
        tokio::time::sleep(QUICK).await;
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
    use std::path::Path;

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use tokio::io::unix::AsyncFd;

    /// The kernel's watches of one session.
    #[derive(Debug)]
    pub(super) struct Watches(AsyncFd<Descriptor>);

    #[derive(Debug)]
    struct Descriptor(Inotify);

    impl AsRawFd for Descriptor {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_fd().as_raw_fd()
        }
    }

    impl AsFd for Descriptor {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Watches {
        #[allow(unsafe_code)]
        pub(super) fn new() -> io::Result<Self> {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            // SAFETY: the descriptor is owned by what is registered, which gives the same one and keeps it open for as long
            // as it lives.
            let registered = unsafe { AsyncFd::register(Descriptor(inotify)) };
            registered.map(Self).map_err(Into::into)
        }

        /// Whether the directory is watched now.
        pub(super) fn add(&self, place: &Path) -> bool {
            let news = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO;
            let flags = news | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_ONLYDIR;
            self.0.get_ref().0.add_watch(place, flags).is_ok()
        }

        /// Something changed. What it was is looked at in the files, so all that is told is taken at once. Cancel safe.
        pub(super) async fn changed(&self) {
            loop {
                let Ok(mut ready) = self.0.readable().await else {
                    // The runtime ends; nobody waits any more.
                    return std::future::pending().await;
                };
                let mut told = false;
                while self.0.get_ref().0.read_events().is_ok_and(|events| !events.is_empty()) {
                    told = true;
                }
                ready.clear_ready();
                if told {
                    return;
                }
            }
        }
    }
}
