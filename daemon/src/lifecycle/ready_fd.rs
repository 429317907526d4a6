//! Taking over an inherited descriptor by its number.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Takes the descriptor over, so that no holder or session inherits it: its reader sees the end when the daemon has
/// said its line.
///
/// Call it once, before any file is opened: the number is then what the parent meant, and nobody else's.
///
/// # Errors
/// The descriptor is not open.
#[allow(unsafe_code)]
pub(crate) fn take(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: it is only asked about here; a number that is not open gives EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open (above), was named by our parent for us, and nothing else in this process knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
