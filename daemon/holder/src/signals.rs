//! Signals as bytes on a descriptor, so that one `poll` waits for everything.
//!
//! - `SIGCHLD`: something of the tree ended.
//! - `SIGUSR1`: bind the socket again if its path is gone.
//! - `SIGTERM`: ends a holder that has nothing alive; ignored while something lives, because a stray `SIGTERM` (a
//!   service manager stopping the daemon's unit) must never take a session with it.
//! - `SIGHUP`, `SIGINT`: ignored. `SIGPIPE` is ignored by the Rust runtime.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};

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

/// Where signals are read from.
pub(crate) struct Signals {
    #[cfg(target_os = "linux")]
    source: nix::sys::signalfd::SignalFd,
    #[cfg(not(target_os = "linux"))]
    source: std::os::unix::net::UnixStream,
}

impl Signals {
    /// Starts to collect. There is one thread, so its mask is the process's.
    #[cfg(target_os = "linux")]
    pub(crate) fn watch() -> io::Result<Self> {
        use nix::sys::signalfd::{SfdFlags, SignalFd};
        let mask: SigSet = WATCHED.into_iter().collect();
        mask.thread_block()?;
        let source = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { source })
    }

    /// The next one, if any.
    #[cfg(target_os = "linux")]
    pub(crate) fn next(&self) -> io::Result<Option<Arrived>> {
        while let Some(info) = self.source.read_signal()? {
            let signal = Signal::try_from(info.ssi_signo as i32).ok();
            if let Some(arrived) = signal.and_then(Arrived::of) {
                return Ok(Some(arrived));
            }
        }
        Ok(None)
    }

    /// Starts to collect: handlers write the signal's number into a socket pair.
    #[cfg(not(target_os = "linux"))]
    #[allow(unsafe_code)]
    pub(crate) fn watch() -> io::Result<Self> {
        use nix::sys::signal::{SaFlags, SigAction, SigHandler, sigaction};
        use std::os::fd::IntoRawFd;
        let (source, sink) = std::os::unix::net::UnixStream::pair()?;
        source.set_nonblocking(true)?;
        sink.set_nonblocking(true)?;
        SINK.store(sink.into_raw_fd(), std::sync::atomic::Ordering::SeqCst);
        let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
        for signal in WATCHED {
            // SAFETY: the handler calls `write` only, which is async-signal-safe.
            unsafe { sigaction(signal, &action)? };
        }
        Ok(Self { source })
    }

    /// The next one, if any.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn next(&self) -> io::Result<Option<Arrived>> {
        use std::io::Read;
        let mut byte = [0];
        loop {
            match (&self.source).read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    let signal = Signal::try_from(i32::from(byte[0])).ok();
                    if let Some(arrived) = signal.and_then(Arrived::of) {
                        return Ok(Some(arrived));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

#[cfg(not(target_os = "linux"))]
static SINK: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);

#[cfg(not(target_os = "linux"))]
#[allow(unsafe_code)]
extern "C" fn note(signal: nix::libc::c_int) {
    let byte = signal as u8;
    // SAFETY: writes one byte that lives on this stack; a full pipe loses a wake-up that is already pending.
    unsafe { nix::libc::write(SINK.load(std::sync::atomic::Ordering::SeqCst), (&raw const byte).cast(), 1) };
}
