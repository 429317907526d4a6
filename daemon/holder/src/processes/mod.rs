//! Processes as the kernel shows them: who descends from this holder, and which process a number means.

use std::collections::HashSet;

use delight_proto::id::ProcessIdentity;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;

#[cfg(target_os = "macos")]
pub(crate) use platform::session_begins;
pub(crate) use platform::{descendants, look, signal};

/// Whether whatever loses its parent becomes this process's child. Then no child is proof that nothing of the tree is
/// alive; elsewhere it must be looked for ([`descendants`]).
pub(crate) const ORPHANS_COME_HERE: bool = cfg!(target_os = "linux");

/// A process at the moment it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// As the kernel counts it (see [`ProcessIdentity`]). With the pid it names one process for ever.
    pub(crate) start_time: u64,
    /// Whether it is stopped by a signal: a stopped process does not react to most others.
    pub(crate) stopped: bool,
    /// Whether it has ended and waits to be reaped.
    pub(crate) ended: bool,
}

/// The identity of a process that is known to be alive (this one, or an unreaped child).
pub(crate) fn identity(pid: i32) -> ProcessIdentity {
    ProcessIdentity {
        pid: pid.unsigned_abs(),
        start_time: look(pid).map_or(0, |process| process.start_time),
        boot_id: platform::boot_id(),
    }
}

/// Those of `all` that have not ended and descend from one of `roots`, without the roots.
fn descending(roots: &HashSet<i32>, all: &[Process]) -> Vec<Process> {
    let mut tree = roots.clone();
    loop {
        let before = tree.len();
        tree.extend(all.iter().filter(|p| tree.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>());
        if tree.len() == before {
            break;
        }
    }
    all.iter().filter(|p| !roots.contains(&p.pid) && tree.contains(&p.pid) && !p.ended).copied().collect()
}

/// Whether the number still means the process that was looked at before.
fn same(before: &Process, now: Option<&Process>) -> bool {
    now.is_some_and(|now| now.pid == before.pid && now.start_time == before.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let pids: Vec<_> = descending(&HashSet::from([1]), &all).iter().map(|p| p.pid).collect();
        assert_eq!(pids, [4, 3, 2]);
    }
}
