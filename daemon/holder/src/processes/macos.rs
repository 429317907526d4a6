//! macOS: there is no subreaper and no handle on a process.
//!
//! Whoever loses its parent becomes a child of the system's first process. It is still found by its session, which is the
//! one its runner began, and whatever descends from it, too. Only a process that has both begun a session of its own and
//! lost its parent (a daemon by double fork) is not known as ours any more.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};

use super::{Process, descending, same};

/// The sessions whose processes are ours: each has the pid of a runner. The kernel gives nobody a pid that is in use as a
/// session's number.
static SESSIONS: Mutex<Vec<Runner>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Runner {
    pid: i32,
    start_time: u64,
}

/// A runner has begun a session.
pub(crate) fn session_begins(pid: i32) {
    let Some(process) = look(pid) else { return };
    let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.push(Runner { pid, start_time: process.start_time });
}

pub(crate) fn look(pid: i32) -> Option<Process> {
    delight_darwin::process(pid).map(|process| of(&process))
}

fn of(process: &delight_darwin::Process) -> Process {
    Process {
        pid: process.pid,
        parent: process.parent,
        start_time: process.started_us,
        stopped: process.stopped,
        ended: process.ended,
    }
}

/// Everything that descends from this process or belongs to a runner's session, and has not ended. A process that was
/// started while we looked may be missing: look until nothing new turns up.
pub(crate) fn descendants() -> Vec<Process> {
    let Ok(all) = delight_darwin::all() else { return Vec::new() };
    let all: Vec<Process> = all.iter().map(of).collect();
    let me = Pid::this();
    let mut sessions = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    // Its number was given to somebody else: nothing of that session is left.
    sessions.retain(|runner| {
        all.iter().all(|process| process.pid != runner.pid || process.start_time == runner.start_time)
    });
    let in_session = |process: &Process| {
        getsid(Some(Pid::from_raw(process.pid)))
            .is_ok_and(|session| sessions.iter().any(|runner| runner.pid == session.as_raw()))
    };
    let members: Vec<Process> = all.iter().filter(|process| in_session(process)).copied().collect();
    let alive: HashSet<i32> = members.iter().map(|process| process.pid).collect();
    sessions.retain(|runner| {
        members
            .iter()
            .any(|process| getsid(Some(Pid::from_raw(process.pid))) == Ok(Pid::from_raw(runner.pid)))
    });
    let roots: HashSet<i32> = alive.iter().copied().chain([me.as_raw()]).collect();
    let mut found = descending(&roots, &all);
    found.extend(members.into_iter().filter(|process| !process.ended && process.pid != me.as_raw()));
    found
}

/// Signals the process if the number still means the one that was looked at. Between that look and the signal the number
/// could change hands, had all other pids been given away meanwhile: the kernel gives them in turn.
pub(crate) fn signal(process: &Process, signal: i32) -> bool {
    Signal::try_from(signal).is_ok_and(|signal| {
        same(process, look(process.pid).as_ref()) && kill(Pid::from_raw(process.pid), signal).is_ok()
    })
}

pub(super) fn boot_id() -> String {
    delight_darwin::boot_id().unwrap_or_default()
}
