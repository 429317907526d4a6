//! From a child of the daemon to a process of its own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

/// What the daemon handed over.
pub(crate) struct Inherited {
    /// The daemon's control connection, non-blocking.
    pub(crate) control: UnixStream,
    /// The open file description that carries the session's lock. It is only ever held, never used: the lock is free
    /// when the last process that holds it has ended, and that must be this one, so no runner may inherit it.
    pub(crate) lock: OwnedFd,
}

/// Takes the descriptors away from the standard streams, closes every other inherited one at `exec`, and becomes a
/// session leader and the reaper of all its descendants.
pub(crate) fn detach() -> io::Result<Inherited> {
    close_inherited_on_exec();
    // Duplicates are close-on-exec and numbered from 3.
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    let lock = io::stdout().as_fd().try_clone_to_owned()?;
    use std::os::fd::AsRawFd;
    let is_socket = getsockname::<SockaddrStorage>(control.as_raw_fd())
        .is_ok_and(|address| address.family() == Some(AddressFamily::Unix));
    if !is_socket {
        return Err(io::Error::other(
            "standard input is not the daemon's socket: delightd starts holders, people do not",
        ));
    }
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    // It fails for a process-group leader only, and then the daemon has already given us a session of our own.
    let _ = nix::unistd::setsid();
    std::env::set_current_dir("/")?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let control = UnixStream::from(control);
    control.set_nonblocking(true)?;
    Ok(Inherited { control, lock })
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn close_inherited_on_exec() {
    let flags: nix::libc::c_uint = nix::libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: the call touches no memory; it sets a flag on descriptors. An old kernel answers ENOSYS, and then what
    // the daemon opened without the flag is passed on, which is its fault to begin with.
    unsafe {
        nix::libc::syscall(nix::libc::SYS_close_range, 3 as nix::libc::c_uint, nix::libc::c_uint::MAX, flags)
    };
}

/// Descriptor by descriptor: there is no call for all of them.
#[cfg(target_os = "macos")]
#[allow(unsafe_code)]
fn close_inherited_on_exec() {
    let Ok(open) = std::fs::read_dir("/dev/fd") else { return };
    let numbers: Vec<i32> = open.flatten().filter_map(|one| one.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // SAFETY: it sets a flag; of a descriptor that is closed meanwhile (that of the listing) it says so.
        unsafe { nix::libc::fcntl(number, nix::libc::F_SETFD, nix::libc::FD_CLOEXEC) };
    }
}
