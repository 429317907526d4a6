//! Opening a path below a directory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use delight_proto::refusal::Refusal;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// How often a path is resolved again when the kernel saw something renamed on the way.
const TRIES: u32 = 16;

/// To hold a directory.
pub(super) fn directory() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
}

/// Nothing that is opened is waited for, becomes our terminal, or is inherited.
fn always() -> OFlag {
    OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK
}

/// Opens `below`, a relative path without `..`, beneath `root`.
///
/// # Errors
/// `EXDEV` or `ELOOP` when it leads out; otherwise what the system says.
pub(super) fn beneath(root: BorrowedFd<'_>, below: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    match by_kernel(root, below, flags | always()) {
        // An old kernel, or a sandbox that does not know the call.
        Err(Errno::ENOSYS | Errno::EPERM) => {}
        opened => return opened,
    }
    by_component(root, below, flags | always())
}

#[cfg(target_os = "linux")]
fn by_kernel(root: BorrowedFd<'_>, below: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    use nix::fcntl::{OpenHow, ResolveFlag, openat2};

    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = || OpenHow::new().flags(flags).resolve(resolve);
    for _ in 1..TRIES {
        match openat2(root, below, how()) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            opened => return opened,
        }
    }
    openat2(root, below, how())
}

/// Walks there, refusing every link.
fn by_component(root: BorrowedFd<'_>, below: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let no_link = |at: BorrowedFd<'_>, name: &Path, flags: OFlag| {
        (0..TRIES)
            .find_map(|_| match openat(at, name, flags | OFlag::O_NOFOLLOW, Mode::empty()) {
                Err(Errno::EINTR) => None,
                opened => Some(opened),
            })
            .unwrap_or(Err(Errno::EINTR))
    };
    let mut at = openat(root, ".", directory(), Mode::empty())?;
    let mut parts = below.components().filter(|part| *part != Component::CurDir).peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(Errno::EXDEV) };
        let flags = if parts.peek().is_some() { directory() } else { flags };
        at = no_link(at.as_fd(), Path::new(name), flags).map_err(|e| match e {
            // Some systems say so of a link that may not be followed as a directory.
            Errno::ENOTDIR if is_link(at.as_fd(), Path::new(name)) => Errno::ELOOP,
            e => e,
        })?;
    }
    Ok(at)
}

fn is_link(at: BorrowedFd<'_>, name: &Path) -> bool {
    nix::fcntl::readlinkat(at, name).is_ok()
}

/// Where an open file lies, without links, as far as the system tells.
#[cfg(target_os = "linux")]
pub(super) fn real_path(fd: &OwnedFd) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
}

/// Where an open file lies, without links and in the case the file system keeps, as far as the system tells.
#[cfg(target_os = "macos")]
pub(super) fn real_path(fd: &OwnedFd) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETPATH(&mut path)).ok()?;
    Some(path)
}

/// Refuses what only looks like files: reading `/proc` or `/sys` can wait for ever, tell secrets of processes, or do
/// things.
#[cfg(target_os = "linux")]
pub(super) fn check_on_disk(fd: &OwnedFd, below: &Path) -> Result<(), Refusal> {
    use delight_proto::refusal::Code;
    use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};

    let kind = fstatfs(fd).map(|found| found.filesystem_type());
    if !kind.is_ok_and(|kind| kind != PROC_SUPER_MAGIC && kind != SYSFS_MAGIC) {
        let reason = format!("Path '{}' is not on a disk", below.display());
        return Err(Refusal::new(Code::Forbidden, "Access denied", reason));
    }
    Ok(())
}

/// There is no such file system: what is no plain file is refused by whoever reads it.
#[cfg(target_os = "macos")]
#[allow(clippy::unnecessary_wraps)] // Elsewhere it can fail.
pub(super) fn check_on_disk(_: &OwnedFd, _: &Path) -> Result<(), Refusal> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The two ways must agree on everything but links that stay inside.
    #[test]
    fn the_walk_refuses_what_the_kernel_refuses() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "x").unwrap();
        std::fs::write(base.path().join("secret"), "x").unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        let fd = nix::fcntl::open(&root, directory(), Mode::empty()).unwrap();
        for way in [beneath, |root: BorrowedFd<'_>, below: &Path, flags| by_component(root, below, flags)] {
            let open = |path: &str| way(fd.as_fd(), Path::new(path), OFlag::O_RDONLY).map(drop);
            assert_eq!(open("a/b/file"), Ok(()));
            assert_eq!(open("."), Ok(()));
            for out in ["up", "up/secret", "out", "absolute", "absolute/passwd"] {
                let error = open(out).unwrap_err();
                assert!(matches!(error, Errno::EXDEV | Errno::ELOOP), "{out}: {error}");
            }
            assert_eq!(open("a/none"), Err(Errno::ENOENT));
            assert_eq!(open("a/b/file/x"), Err(Errno::ENOTDIR));
        }
    }
}
