//! Which files a process has open.

use std::ffi::OsStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::raw::{c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Descriptors that may be opened between counting them and listing them.
const SPARE: usize = 16;

/// `PROC_PIDFDVNODEPATHINFO` of `<sys/proc_info.h>`.
const VNODE_PATH: c_int = 2;

/// `struct vnode_fdinfowithpath` of `<sys/proc_info.h>`; its first member is `struct proc_fileinfo`.
#[repr(C)]
struct OpenFile {
    flags: u32,
    status: u32,
    offset: i64,
    kind: i32,
    guard: u32,
    file: libc::vnode_info_path,
}

/// The paths of all files and directories a process of this user has open, as the kernel knows them.
///
/// # Errors
/// There is no such process, or it is another user's.
#[allow(unsafe_code)]
pub fn open_files(pid: i32) -> io::Result<Vec<PathBuf>> {
    const ONE: usize = size_of::<libc::proc_fdinfo>();
    // SAFETY: without a buffer the call only says how large one should be.
    let size = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, std::ptr::null_mut(), 0) };
    let count = usize::try_from(size).unwrap_or(0) / ONE;
    if count == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the structure is two numbers.
    let mut descriptors: Vec<libc::proc_fdinfo> = vec![unsafe { zeroed() }; count + SPARE];
    let size = c_int::try_from(descriptors.len() * ONE).map_err(io::Error::other)?;
    let into = descriptors.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel writes at most `size` bytes, which is the buffer's size.
    let wrote = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, into, size) };
    let Ok(wrote) = usize::try_from(wrote) else { return Err(io::Error::last_os_error()) };
    descriptors.truncate(wrote / ONE);
    let files = descriptors.iter().filter(|one| one.proc_fdtype == libc::PROX_FDTYPE_VNODE as u32);
    Ok(files.filter_map(|one| path(pid, one.proc_fd)).collect())
}

#[allow(unsafe_code)]
fn path(pid: i32, descriptor: i32) -> Option<PathBuf> {
    const SIZE: c_int = size_of::<OpenFile>() as c_int;
    // SAFETY: the structure is numbers and arrays of numbers, for which zero is a value.
    let mut open: OpenFile = unsafe { zeroed() };
    let into = (&raw mut open).cast::<c_void>();
    // SAFETY: the kernel writes at most SIZE bytes, which is the structure's size.
    let wrote = unsafe { libc::proc_pidfdinfo(pid, descriptor, VNODE_PATH, into, SIZE) };
    if wrote != SIZE {
        return None;
    }
    let bytes: Vec<u8> = open
        .file
        .vip_path
        .as_flattened()
        .iter()
        .map(|byte| *byte as u8)
        .take_while(|byte| *byte != 0)
        .collect();
    (!bytes.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(&bytes)))
}
