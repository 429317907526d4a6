//! Signals as something to poll for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Signals an attached client handles. In raw mode the keyboard sends none; these come from other processes and from
/// the terminal's window.
const HANDLED: &[i32] = &[SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGCONT];

/// Signals received and not yet looked at.
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Handles the signals from here on, to the end of the process.
    ///
    /// # Errors
    /// Those of `socketpair` and `sigaction`.
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, HANDLED)?;
        Ok(Self { delivery })
    }

    /// Readable when there is something in [`Self::pending`].
    pub(super) fn readable(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// What came, each signal once.
    pub(super) fn pending(&mut self) -> Vec<i32> {
        self.delivery.pending().collect()
    }
}

/// Whether the signal asks this process to end, and is not about the terminal's size or about being stopped.
pub(super) fn asks_to_end(signal: i32) -> bool {
    !matches!(signal, SIGWINCH | SIGTSTP | SIGCONT)
}

/// Stops this process as `ctrl-z` would have, until somebody continues it.
pub(super) fn stop_self() {
    // SIGSTOP needs no handler to be put back, and cannot fail for oneself.
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
}
