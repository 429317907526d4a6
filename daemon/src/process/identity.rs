//! Which process a pid means, as the kernel tells it.

use std::fs;
use std::io;
use std::path::Path;

use delight_proto::id::ProcessIdentity;

/// The present boot. Two boots never share it; a pid of another boot means nothing.
pub(crate) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

/// Start time of a process in clock ticks since boot, while it exists.
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat cannot be read")))
}

/// When a process started, in seconds since 1970: the kernel's count of ticks, from the second the machine was booted in.
pub(crate) fn started_at(pid: u32) -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted: i64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(booted + i64::try_from(start_time(pid).ok()?).ok()? / per_second)
}

/// Field 22. The program's name (field 2) may hold blanks and brackets: fields are counted after its last bracket.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The identity of a live process of this boot.
pub(crate) fn of(pid: u32, boot_id: &str) -> io::Result<ProcessIdentity> {
    Ok(ProcessIdentity { pid, start_time: start_time(pid)?, boot_id: boot_id.to_owned() })
}

/// Whether exactly this process is alive: a reused pid has another start time, an old boot another id.
pub(crate) fn is_alive(process: &ProcessIdentity, boot_id: &str) -> bool {
    process.boot_id == boot_id && start_time(process.pid).is_ok_and(|at| at == process.start_time)
}

/// Whether the process has this file open: what tells a holder from a stranger that took over its pid.
pub(crate) fn has_open(pid: u32, file: &Path) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(parse_start_time(stat), Some(4711));
        assert_eq!(parse_start_time("12 (x"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_started_a_moment_ago_started_a_moment_ago() {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let age = now - started_at(std::process::id()).unwrap();
        assert!((-2..600).contains(&age), "{age} s");
    }

    #[test]
    fn a_reused_pid_and_another_boot_are_not_the_process() {
        let boot = boot_id().unwrap();
        let me = of(std::process::id(), &boot).unwrap();
        assert!(is_alive(&me, &boot));
        assert!(!is_alive(&ProcessIdentity { start_time: me.start_time + 1, ..me.clone() }, &boot));
        assert!(!is_alive(&me, "another boot"));
    }

    #[test]
    fn an_open_file_is_found_among_the_descriptors() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("f");
        let file = fs::File::create(&path).unwrap();
        assert!(has_open(std::process::id(), &path.canonicalize().unwrap()));
        drop(file);
        assert!(!has_open(std::process::id(), &path));
    }
}
