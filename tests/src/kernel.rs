//! What the kernel says: the truth the daemon's own words are compared with. Linux only, as `/proc` is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Parent.
    pub parent: u32,
    /// State letter; `Z` is a zombie.
    pub state: char,
    /// Ticks since boot when it started.
    pub start_time: u64,
    /// Program and arguments, joined by blanks.
    pub command: String,
}

impl Process {
    /// Whether it is alive: a zombie is not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Looks a process up; `None` when there is none.
#[must_use]
pub fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold blanks and parentheses itself.
    let rest = &stat[stat.rfind(')')? + 2..];
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    Some(Process {
        pid,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
        command: String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " "),
    })
}

/// Whether this pid is a living process.
#[must_use]
pub fn alive(pid: u32) -> bool {
    process(pid).is_some_and(|process| process.is_alive())
}

/// Every process there is.
#[must_use]
pub fn processes() -> BTreeMap<u32, Process> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, process(pid)?))).collect()
}

/// Whether a process was given the environment entry `name=value` at its `exec`.
#[must_use]
pub fn has_environment(pid: u32, entry: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|e| e == entry.as_bytes()))
}

/// The TCP ports a process listens on.
#[must_use]
pub fn listens_on(pid: u32) -> BTreeSet<u16> {
    let open: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()?.into_os_string().into_string().ok())
        .collect();
    let tables =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines().skip(1)).map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[1], fields[3], fields[9])
    });
    sockets
        .filter(|(_, state, inode)| *state == "0A" && open.contains(&format!("socket:[{inode}]")))
        .map(|(local, ..)| u16::from_str_radix(local.rsplit(':').next().unwrap(), 16).unwrap())
        .collect()
}

/// All living descendants of a process.
#[must_use]
pub fn descendants(root: u32) -> BTreeSet<u32> {
    let all = processes();
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        found.extend(all.values().filter(|p| found.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>());
        if found.len() == before {
            break;
        }
    }
    found.remove(&root);
    found.retain(|pid| all.get(pid).is_some_and(Process::is_alive));
    found
}

/// Sends a signal to a process; one that has gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    match kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal) {
        Ok(()) | Err(nix::Error::ESRCH) => {}
        Err(error) => panic!("{signal} to {pid}: {error}"),
    }
}

/// Bytes of memory that belong to a process alone.
#[must_use]
pub fn private_memory(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>() * 1024
}

/// How often a process went to sleep by itself: each is one wake-up.
#[must_use]
pub fn wakeups(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let status = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    status
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum()
}

/// CPU time a process has used itself, in milliseconds.
#[must_use]
pub fn cpu_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some(at) = stat.rfind(')') else { return 0 };
    let fields: Vec<&str> = stat[at + 2..].split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    // USER_HZ has been 100 on every Linux there is.
    ticks * 10
}

/// CPU time a process has used, threads that have ended included, in nanoseconds.
///
/// # Panics
/// When there is no such process.
#[must_use]
#[cfg(target_os = "linux")]
pub fn cpu_ns(pid: u32) -> u64 {
    let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).unwrap();
    let used = nix::time::clock_gettime(clock).unwrap();
    u64::try_from(used.tv_sec() * 1_000_000_000 + used.tv_nsec()).unwrap()
}

/// CPU time a process has used, in nanoseconds, where no clock tells it.
#[must_use]
#[cfg(not(target_os = "linux"))]
pub fn cpu_ns(pid: u32) -> u64 {
    cpu_ms(pid) * 1_000_000
}

/// The mode bits of a file.
#[must_use]
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).mode() & 0o7777
}

/// This boot's id.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}
