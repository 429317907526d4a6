//! Which process a pid means, as the kernel tells it.

use std::io;
use std::path::Path;

use delight_proto::id::ProcessIdentity;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;

pub(crate) use platform::{boot_id, open_files, parent, start_time, started_at};

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
    open_files(pid).is_ok_and(|mut open| open.any(|open| open == file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
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
