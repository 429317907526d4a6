//! Linux: a signalfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{Arrived, WATCHED};

/// Where signals are read from.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Starts to collect. There is one thread, so its mask is the process's.
    pub(crate) fn watch() -> io::Result<Self> {
        let mask: SigSet = WATCHED.into_iter().collect();
        mask.thread_block()?;
        Ok(Self(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next one, if any.
    pub(crate) fn next(&self) -> io::Result<Option<Arrived>> {
        while let Some(info) = self.0.read_signal()? {
            let signal = Signal::try_from(info.ssi_signo as i32).ok();
            if let Some(arrived) = signal.and_then(Arrived::of) {
                return Ok(Some(arrived));
            }
        }
        Ok(None)
    }

    /// A process that loses its parent becomes ours, and its end is a `SIGCHLD`: there is nothing more to watch.
    #[allow(clippy::unused_self)] // Elsewhere it is needed.
    pub(crate) fn watch_end_of(&self, _pid: i32) -> bool {
        true
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
