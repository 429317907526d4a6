//! The terminal this client runs in: raw while attached, as before afterwards.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Size;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::guard::Guard;
use super::reset;
use crate::failure::{Failure, system};

/// How long the last words may wait for a terminal that takes nothing. Its modes are restored before.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Refuses when there is no person at a terminal.
///
/// # Errors
/// [`Code::NeedsHuman`].
pub(crate) fn require() -> Result<(), Failure> {
    let missing = match (io::stdin().is_terminal(), io::stdout().is_terminal()) {
        (true, true) => return Ok(()),
        (false, _) => "standard input is not a terminal",
        (true, false) => "standard output is not a terminal",
    };
    Err(Refusal::new(Code::NeedsHuman, "attaching needs a terminal", missing)
        .fix("run it in a terminal, or use delightctl logs --follow and delightctl send")
        .into())
}

/// This terminal's size, if it is one and knows.
pub(crate) fn size() -> Option<Size> {
    let (cols, rows) = terminal_size::terminal_size_of(io::stdout())?;
    (cols.0 > 0 && rows.0 > 0).then(|| Size { cols: cols.0, rows: rows.0 }.clamped())
}

/// A terminal in raw mode. Dropping it restores the terminal; so does its guard process if this one is killed.
pub(super) struct RawTerminal {
    before: Termios,
    out: Out,
    guard: Option<Guard>,
}

/// Where output goes. Our own open file description of the terminal, so that not waiting for it is our affair and not
/// that of every process that shares standard output.
struct Out {
    file: Option<File>,
}

impl Out {
    fn open() -> Self {
        let path = format!("/proc/self/fd/{}", io::stdout().as_raw_fd());
        let path = if cfg!(target_os = "linux") { path } else { "/dev/tty".to_owned() };
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        // Where it cannot be opened again (a terminal of another namespace) output waits for the terminal.
        Self { file: OpenOptions::new().write(true).custom_flags(flags).open(path).ok() }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match &self.file {
                Some(file) => (&*file).write(bytes),
                None => nix::unistd::write(io::stdout(), bytes).map_err(io::Error::from),
            };
            match written {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                other => return other,
            }
        }
    }
}

impl RawTerminal {
    /// Makes the terminal raw. A guard process stands by from here on; `forget` are descriptors it must not keep open.
    ///
    /// # Errors
    /// The terminal's modes cannot be read or set, or no process can be started.
    pub(super) fn enter(forget: &[i32]) -> Result<Self, Failure> {
        let before = tcgetattr(io::stdin()).map_err(|e| system("the terminal's modes cannot be read", e))?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        let out = Out::open();
        let guard = Guard::start(&before, &raw, out.file.as_ref(), forget)
            .map_err(|e| system("the process that guards the terminal could not be started", e))?;
        let terminal = Self { before, out, guard: Some(guard) };
        set(&raw).map_err(|e| system("the terminal's modes cannot be set", e))?;
        Ok(terminal)
    }

    /// Writes what the terminal takes at the moment; the number of bytes.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    /// The descriptor to wait on until [`Self::write`] takes more.
    pub(super) fn writable(&self) -> PollFd<'_> {
        match &self.out.file {
            Some(file) => PollFd::new(file.as_fd(), PollFlags::POLLOUT),
            // The lifetime of standard output is that of the process.
            None => PollFd::new(stdout_fd(), PollFlags::POLLOUT),
        }
    }

    /// Writes all, waiting a bounded time for a terminal that is slow.
    fn write_all(&self, mut bytes: &[u8]) {
        let limit = PollTimeout::try_from(LAST_WORDS).unwrap_or(PollTimeout::ZERO);
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => match poll(&mut [self.writable()], limit) {
                    Ok(0) => return,
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(_) => return,
                },
                Ok(n) => bytes = &bytes[n..],
                Err(_) => return,
            }
        }
    }

    /// Clears the screen for the session's, keeping what was on it in the terminal's own history.
    pub(super) fn make_room(&self, headline: &str) {
        let rows = size().unwrap_or_default().rows;
        self.write_all(reset::entering(headline, rows).as_bytes());
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Modes first: they cannot block.
        let _ = set(&self.before);
        self.write_all(reset::LEAVING.as_bytes());
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
    }
}

fn stdout_fd() -> std::os::fd::BorrowedFd<'static> {
    use std::sync::OnceLock;
    static STDOUT: OnceLock<io::Stdout> = OnceLock::new();
    STDOUT.get_or_init(io::stdout).as_fd()
}

fn set(modes: &Termios) -> nix::Result<()> {
    loop {
        // At once: waiting for output to drain can mean for ever on a terminal nobody reads.
        match tcsetattr(io::stdin(), SetArg::TCSANOW, modes) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
