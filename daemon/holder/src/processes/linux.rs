//! Linux: `/proc`, and pidfds to signal by.

use std::collections::HashSet;
use std::fs;
use std::io;

use nix::unistd::Pid;

use super::{Process, descending, same};

/// Reads `/proc/PID/stat`.
pub(crate) fn look(pid: i32) -> Option<Process> {
    parse_stat(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// `PID (name) STATE PPID …`: the name may hold anything, also brackets and blanks, so the last `)` counts.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|b| *b == b')')?;
    let text = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // The state is field 3 and the start time field 22.
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        start_time,
        stopped: matches!(state, "T" | "t"),
        ended: matches!(state, "Z" | "X" | "x"),
    })
}

pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Everything that descends from this process and has not ended. A process that was started while we looked may be
/// missing: look until nothing new turns up.
pub(crate) fn descendants() -> Vec<Process> {
    let me = Pid::this().as_raw();
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut parents = vec![me];
    while let Some(parent) = parents.pop() {
        let Ok(children) = children(parent) else { return by_scan(me) };
        for pid in children {
            let Some(process) = look(pid) else { continue };
            if process.parent == parent && seen.insert(pid) {
                parents.push(pid);
                if !process.ended {
                    found.push(process);
                }
            }
        }
    }
    found
}

/// Children by `/proc/PID/task/TID/children`: cost is that of the tree, not of the machine.
fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut all = Vec::new();
    let tasks = match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(tasks) => tasks,
        // It has ended meanwhile; its children are ours now and turn up in the next look.
        Err(_) => return Ok(all),
    };
    for task in tasks.flatten() {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => all.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            Err(e) if e.kind() == io::ErrorKind::NotFound && task.path().exists() => return Err(e),
            Err(_) => {}
        }
    }
    Ok(all)
}

/// The same by looking at every process, for kernels without `children` files.
fn by_scan(root: i32) -> Vec<Process> {
    let all: Vec<Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| look(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    descending(&HashSet::from([root]), &all)
}

/// Signals exactly this process: a pidfd is opened first, and only then is it made sure that the number still means
/// the process that was looked at. Returns whether it was signalled.
#[allow(unsafe_code)]
pub(crate) fn signal(process: &Process, signal: i32) -> bool {
    use nix::libc;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: the call takes numbers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) } as i32;
    if fd < 0 {
        return false;
    }
    // SAFETY: the kernel has just made this descriptor for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
    if !same(process, look(process.pid).as_ref()) {
        return false;
    }
    // SAFETY: a null siginfo is what the call asks for to behave like `kill`.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    sent == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_fields() {
        let mut line = b"77 (a) b (c) T 5".to_vec();
        for field in 5..60 {
            line.extend_from_slice(format!(" {field}").as_bytes());
        }
        let want = Process { pid: 77, parent: 5, start_time: 22, stopped: true, ended: false };
        assert_eq!(parse_stat(77, &line), Some(want));
        assert_eq!(parse_stat(77, b"77 (a"), None);
        assert_eq!(parse_stat(77, b""), None);
    }
}
