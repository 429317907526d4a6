//! Processes as the kernel shows them: who descends from this holder, and which process a number means.

use std::collections::HashSet;
use std::fs;
use std::io;

use delight_proto::id::ProcessIdentity;
use nix::unistd::Pid;

/// A process at the moment it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Clock ticks since boot. With the pid it names one process for ever.
    pub(crate) start_time: u64,
    /// Whether it is stopped by a signal: a stopped process does not react to most others.
    pub(crate) stopped: bool,
    /// Whether it has ended and waits to be reaped.
    pub(crate) ended: bool,
}

/// Reads `/proc/PID/stat`.
#[cfg(target_os = "linux")]
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

/// The identity of a process that is known to be alive (this one, or an unreaped child).
pub(crate) fn identity(pid: i32) -> ProcessIdentity {
    ProcessIdentity {
        pid: pid.unsigned_abs(),
        start_time: look(pid).map_or(0, |process| process.start_time),
        boot_id: boot_id(),
    }
}

#[cfg(target_os = "linux")]
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Everything that descends from this process and has not ended. A process that was started while we looked may be
/// missing: look until nothing new turns up.
#[cfg(target_os = "linux")]
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
#[cfg(target_os = "linux")]
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
#[cfg(target_os = "linux")]
fn by_scan(root: i32) -> Vec<Process> {
    let all: Vec<Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| look(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    descending(root, &all)
}

fn descending(root: i32, all: &[Process]) -> Vec<Process> {
    let mut tree = HashSet::from([root]);
    loop {
        let before = tree.len();
        tree.extend(all.iter().filter(|p| tree.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>());
        if tree.len() == before {
            break;
        }
    }
    all.iter().filter(|p| p.pid != root && tree.contains(&p.pid) && !p.ended).copied().collect()
}

/// Signals exactly this process: a pidfd is opened first, and only then is it made sure that the number still means
/// the process that was looked at. Returns whether it was signalled.
#[cfg(target_os = "linux")]
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

/// Whether the number still means the process that was looked at before.
fn same(before: &Process, now: Option<&Process>) -> bool {
    now.is_some_and(|now| now.pid == before.pid && now.start_time == before.start_time)
}

#[cfg(not(target_os = "linux"))]
mod portable {
    //! Without `/proc` and a subreaper the tree is what `ps` shows of it: orphans of double forks are not found.
    use super::{Process, descending};

    pub(crate) fn look(pid: i32) -> Option<Process> {
        all().into_iter().find(|p| p.pid == pid)
    }

    pub(crate) fn descendants() -> Vec<Process> {
        descending(nix::unistd::Pid::this().as_raw(), &all())
    }

    pub(crate) fn signal(process: &Process, signal: i32) -> bool {
        let signal = nix::sys::signal::Signal::try_from(signal).ok();
        super::same(process, look(process.pid).as_ref())
            && nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), signal).is_ok()
    }

    pub(crate) fn boot_id() -> String {
        run("sysctl", &["-n", "kern.bootsessionuuid"]).trim().to_owned()
    }

    fn run(program: &str, arguments: &[&str]) -> String {
        let output = std::process::Command::new(program).args(arguments).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    }

    fn all() -> Vec<Process> {
        run("/bin/ps", &["-axo", "pid=,ppid=,state=,etimes="])
            .lines()
            .filter_map(|line| {
                let mut fields = line.split_ascii_whitespace();
                let (pid, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
                let state = fields.next()?;
                let (stopped, ended) = (state.starts_with('T'), state.starts_with('Z'));
                Some(Process { pid, parent, start_time: 0, stopped, ended })
            })
            .collect()
    }
}
#[cfg(not(target_os = "linux"))]
use portable::boot_id;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{descendants, look, signal};

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

    #[test]
    fn a_reused_pid_is_another_process() {
        let process = Process { pid: 9, parent: 1, start_time: 100, stopped: false, ended: false };
        assert!(same(&process, Some(&Process { parent: 2, ..process })));
        assert!(!same(&process, Some(&Process { start_time: 101, ..process })));
        assert!(!same(&process, None));
    }

    #[test]
    fn a_process_with_another_start_time_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let real = look(child.id() as i32).unwrap();
        let reused = Process { start_time: real.start_time + 1, ..real };
        assert!(!signal(&reused, 9));
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(signal(&real, 9));
        assert!(!child.wait().unwrap().success());
        assert!(!signal(&real, 9), "it is gone");
    }

    #[test]
    fn descending_is_transitive() {
        let p = |pid, parent| Process { pid, parent, start_time: 1, stopped: false, ended: false };
        let all = [p(4, 3), p(3, 2), p(2, 1), p(9, 8), Process { ended: true, ..p(5, 2) }];
        let pids: Vec<_> = descending(1, &all).iter().map(|p| p.pid).collect();
        assert_eq!(pids, [4, 3, 2]);
    }
}
