//! Files below one directory, and nothing else: whatever a path says, and whatever happens to the directories on its way
//! meanwhile.
//!
//! Linux resolves each path itself (`openat2` with `RESOLVE_BENEATH`): `..` and links that lead out are refused by the
//! kernel at the moment of opening, so that nobody can swap a directory for a link in between. Elsewhere, and where that
//! call is not allowed, the path is walked component by component and any link is refused.
//!
//! Everything here blocks on the file system: call it beside the loop.

mod listing;
mod open;
mod reading;
mod writing;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounds;
use nix::errno::Errno;
use nix::fcntl::OFlag;

/// A directory whose files may be reached.
#[derive(Debug)]
pub(crate) struct Confined {
    root: OwnedFd,
    /// Its path without links.
    real: PathBuf,
    /// Its path as it was named: people and agents use that one.
    named: PathBuf,
    /// Paths without links that are out of bounds with everything below them.
    denied: Vec<PathBuf>,
}

impl Confined {
    /// The files below an absolute path, but for those at or below `denied` (which need not exist).
    ///
    /// # Errors
    /// `not-found` or `bad-params`: it is no directory that can be opened.
    pub(crate) fn open(path: &Path, denied: &[PathBuf]) -> Result<Self, Refusal> {
        let refuse = |e: &dyn std::fmt::Display| {
            Refusal::new(Code::NotFound, "the directory cannot be used", format!("{}: {e}", path.display()))
        };
        let real = path.canonicalize().map_err(|e| refuse(&e))?;
        let root = nix::fcntl::open(&real, open::directory(), nix::sys::stat::Mode::empty())
            .map_err(|e| refuse(&e.desc()))?;
        let denied = denied.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect();
        Ok(Self { root, real, named: path.to_owned(), denied })
    }

    /// A path of a caller's, relative to the directory: relative ones are taken from there, absolute ones must lie below.
    /// Links are not looked at; opening does that.
    ///
    /// # Errors
    /// `forbidden` when it leads out; `bad-params` when it is no path.
    pub(crate) fn relative(&self, path: &str) -> Result<PathBuf, Refusal> {
        if path.len() > bounds::PATH || path.contains('\0') {
            return Err(Refusal::new(Code::BadParams, "Access denied", "it is no path"));
        }
        let given = Path::new(path);
        let below = if given.is_absolute() {
            let whole = plain(given).ok_or_else(|| outside(path))?;
            let below = [&self.real, &self.named]
                .into_iter()
                .find_map(|root| whole.strip_prefix(root).ok().map(Path::to_owned));
            below.ok_or_else(|| outside(path))?
        } else {
            plain(given).ok_or_else(|| outside(path))?
        };
        Ok(if below.as_os_str().is_empty() { PathBuf::from(".") } else { below })
    }

    /// Opens a directory below, to be watched.
    ///
    /// # Errors
    /// See [`Confined::relative`].
    pub(crate) fn open_directory(&self, path: &str) -> Result<OwnedFd, Refusal> {
        self.reach(&self.relative(path)?, open::directory())
    }

    /// Opens something below; `what` is shown.
    fn reach(&self, below: &Path, flags: OFlag) -> Result<OwnedFd, Refusal> {
        let fd = open::beneath(self.root.as_fd(), below, flags).map_err(|e| self.refuse(below, e))?;
        self.check_allowed(&open::real_path(&fd).unwrap_or_else(|| self.real.join(below)), below)?;
        open::check_on_disk(&fd, below)?;
        Ok(fd)
    }

    /// Refuses what the owner keeps to himself.
    fn check_allowed(&self, real: &Path, below: &Path) -> Result<(), Refusal> {
        if self.denied.iter().any(|denied| real.starts_with(denied)) {
            let reason = format!("Path '{}' is out of bounds on this machine", below.display());
            return Err(Refusal::new(Code::Forbidden, "Access denied", reason));
        }
        Ok(())
    }

    fn refuse(&self, below: &Path, error: Errno) -> Refusal {
        let path = below.display();
        match error {
            // The kernel's words for a path that leads out, and for a link where none may be.
            Errno::EXDEV | Errno::ELOOP => outside(&path.to_string()),
            Errno::ENOENT => Refusal::new(Code::NotFound, "No such file or directory", path.to_string()),
            Errno::ENOTDIR => {
                Refusal::new(Code::BadParams, "Not a directory", format!("'{path}', or a part of it"))
            }
            Errno::ENXIO => not_a_file(below),
            Errno::EACCES | Errno::EPERM => {
                Refusal::new(Code::Forbidden, "Permission denied", path.to_string())
            }
            other => Refusal::new(Code::Storage, format!("'{path}' cannot be used"), other.desc()),
        }
    }
}

/// `.` and `..` worked off by their words; `None` when they lead above the beginning.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::CurDir | Component::Prefix(_) => {}
            Component::RootDir => out.push("/"),
            Component::Normal(name) => out.push(name),
        }
    }
    Some(out)
}

/// In Happy's words: its app shows them.
fn outside(path: &str) -> Refusal {
    let path: String = path.chars().take(400).collect();
    Refusal::new(Code::Forbidden, "Access denied", format!("Path '{path}' is outside the working directory"))
}

fn not_a_file(below: &Path) -> Refusal {
    Refusal::new(Code::BadParams, "Not a file", format!("'{}' is something else", below.display()))
}

#[cfg(test)]
mod tests;
