//! Signals as bytes on a descriptor, so that one `poll` waits for everything.
//!
//! - `SIGCHLD`: something of the tree ended.
//! - `SIGUSR1`: bind the socket again if its path is gone.
//! - `SIGTERM`: ends a holder that has nothing alive; ignored while something lives, because a stray `SIGTERM` (a
//!   service manager stopping the daemon's unit) must never take a session with it.
//! - `SIGHUP`, `SIGINT`: ignored. `SIGPIPE` is ignored by the Rust runtime.

use nix::sys::signal::Signal;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub(crate) use linux::Signals;
#[cfg(target_os = "macos")]
pub(crate) use macos::Signals;

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    Child,
    Rebind,
    Terminate,
}

impl Arrived {
    fn of(signal: Signal) -> Option<Self> {
        match signal {
            Signal::SIGCHLD => Some(Self::Child),
            Signal::SIGUSR1 => Some(Self::Rebind),
            Signal::SIGTERM => Some(Self::Terminate),
            _ => None,
        }
    }
}

const WATCHED: [Signal; 5] =
    [Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT];
