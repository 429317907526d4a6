//! What `sysctl` tells: the boot, and with which words a process was started.

use std::io;
use std::os::raw::{c_int, c_void};

/// Largest answer of the kernel to either question (`ARG_MAX` is 1 MiB).
const MOST: usize = 1 << 20;

/// Names the present boot: two boots never share it.
///
/// # Errors
/// The kernel does not tell.
#[allow(unsafe_code)]
pub fn boot_id() -> io::Result<String> {
    let mut text = [0_u8; 128];
    let mut len = text.len();
    let into = text.as_mut_ptr().cast::<c_void>();
    // SAFETY: the name ends with a zero; the kernel writes at most `len` bytes, which is the buffer's size.
    let failed = unsafe {
        libc::sysctlbyname(c"kern.bootsessionuuid".as_ptr(), into, &raw mut len, std::ptr::null_mut(), 0)
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    let id = text[..len].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(id.to_vec()).map_err(io::Error::other)
}

/// Whether a process was started with these words among its arguments or its environment (`NAME=value`). Programs of the
/// system itself do not show their environment; of them it is never known.
#[must_use]
#[allow(unsafe_code)]
pub fn started_with(pid: i32, words: &str) -> bool {
    let mut name: [c_int; 3] = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut answer = vec![0_u8; MOST];
    let mut len = answer.len();
    let into = answer.as_mut_ptr().cast::<c_void>();
    // SAFETY: the name has three numbers; the kernel writes at most `len` bytes, which is the buffer's size.
    let failed = unsafe { libc::sysctl(name.as_mut_ptr(), 3, into, &raw mut len, std::ptr::null_mut(), 0) };
    failed == 0 && answer[..len].split(|byte| *byte == 0).any(|word| word == words.as_bytes())
}
