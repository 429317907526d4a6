//! Linux: `/proc`.

use std::fs;
use std::io;
use std::path::PathBuf;

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

/// Its parent. Field 4 of `stat`, counted after the program's name, which may hold anything.
pub(crate) fn parent(pid: u32) -> io::Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1));
    field
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be read")))
}

/// The paths of what a process has open, one after the other.
pub(crate) fn open_files(pid: u32) -> io::Result<impl Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()))
}

/// Field 22. The program's name (field 2) may hold blanks and brackets: fields are counted after its last bracket.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
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
}
