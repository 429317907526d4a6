//! Processes, one by one and all of them.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::raw::{c_int, c_void};

/// Pids that may turn up between counting them and listing them.
const SPARE: usize = 64;

/// A process at the moment it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's; 1 when that has ended.
    pub parent: i32,
    /// Its real user.
    pub user: u32,
    /// When it started, in microseconds since 1970. With the pid it names one process of a boot.
    pub started_us: u64,
    /// Whether it is stopped by a signal.
    pub stopped: bool,
    /// Whether it has ended and waits to be reaped.
    pub ended: bool,
}

/// The process that has this number now, also one that waits to be reaped; none, too, when it is another user's.
#[must_use]
#[allow(unsafe_code)]
pub fn process(pid: i32) -> Option<Process> {
    const SIZE: c_int = size_of::<libc::proc_bsdinfo>() as c_int;
    // SAFETY: the structure is numbers and arrays of numbers, for which zero is a value.
    let mut info: libc::proc_bsdinfo = unsafe { zeroed() };
    let into = (&raw mut info).cast::<c_void>();
    // SAFETY: the kernel writes at most SIZE bytes, which is the structure's size. The 1 asks for zombies, too.
    let wrote = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 1, into, SIZE) };
    if wrote != SIZE {
        return None;
    }
    Some(Process {
        pid,
        parent: i32::try_from(info.pbi_ppid).ok()?,
        user: info.pbi_ruid,
        started_us: info.pbi_start_tvsec.saturating_mul(1_000_000).saturating_add(info.pbi_start_tvusec),
        stopped: info.pbi_status == libc::SSTOP,
        ended: info.pbi_status == libc::SZOMB,
    })
}

/// All processes this user may look at.
///
/// # Errors
/// The kernel does not list them.
#[allow(unsafe_code)]
pub fn all() -> io::Result<Vec<Process>> {
    // SAFETY: without a buffer the call only counts.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let Ok(count) = usize::try_from(count) else { return Err(io::Error::last_os_error()) };
    let mut pids = vec![0_i32; count + SPARE];
    let size = c_int::try_from(pids.len() * size_of::<i32>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `size` bytes, which is the buffer's size.
    let listed = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast::<c_void>(), size) };
    let Ok(listed) = usize::try_from(listed) else { return Err(io::Error::last_os_error()) };
    pids.truncate(listed);
    Ok(pids.into_iter().filter_map(process).collect())
}
