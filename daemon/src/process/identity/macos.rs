//! macOS: `libproc` and `sysctl`.

use std::io;
use std::path::PathBuf;

use delight_darwin::Process;

/// The present boot. Two boots never share it; a pid of another boot means nothing.
pub(crate) fn boot_id() -> io::Result<String> {
    delight_darwin::boot_id()
}

/// Start time of a process in microseconds since 1970, while it exists.
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    process(pid).map(|process| process.started_us)
}

/// When a process started, in seconds since 1970.
pub(crate) fn started_at(pid: u32) -> Option<i64> {
    i64::try_from(start_time(pid).ok()? / 1_000_000).ok()
}

/// Its parent.
pub(crate) fn parent(pid: u32) -> io::Result<u32> {
    u32::try_from(process(pid)?.parent).map_err(io::Error::other)
}

/// The paths of what a process has open.
pub(crate) fn open_files(pid: u32) -> io::Result<impl Iterator<Item = PathBuf>> {
    delight_darwin::open_files(number(pid)?).map(IntoIterator::into_iter)
}

fn process(pid: u32) -> io::Result<Process> {
    delight_darwin::process(number(pid)?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no process {pid} of ours")))
}

fn number(pid: u32) -> io::Result<i32> {
    i32::try_from(pid).map_err(io::Error::other)
}
