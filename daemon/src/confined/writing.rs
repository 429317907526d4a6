//! Writing a file whole.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::rpc::ExpectedHash;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use sha2::{Digest, Sha256};

use super::{Confined, not_a_file, open, outside};
use crate::keys;

impl Confined {
    /// Writes a file: the whole new content is there, or the old one. Answers with its SHA-256 in hex.
    ///
    /// What is expected is checked just before. That the file must not be there is kept against everybody; that it has a
    /// certain content only against those who came before the check.
    ///
    /// # Errors
    /// `conflict` when something else is there than was expected, in Happy's words; `forbidden` for a link in its
    /// place; see [`Confined::relative`] for paths.
    pub(crate) fn write(
        &self,
        path: &str,
        content: &[u8],
        expected: &ExpectedHash,
    ) -> Result<String, Refusal> {
        let below = self.relative(path)?;
        let Some(name) = below.file_name().map(Path::new) else { return Err(not_a_file(&below)) };
        let parent = match below.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = self.reach(parent, open::directory())?;
        let whole = open::real_path(&directory).unwrap_or_else(|| self.real.join(parent)).join(name);
        self.check_allowed(&whole, &below)?;
        let present = self.present(&directory, name, &below)?;
        let actual = present.as_ref().map(|(hash, _)| hash.as_str());
        match (expected, actual) {
            (ExpectedHash::Absent, Some(_)) => return Err(exists(&below)),
            (ExpectedHash::Is(hash), actual) if actual != Some(hash.to_ascii_lowercase().as_str()) => {
                let actual = actual.unwrap_or("(no file)");
                let hash: String = hash.chars().take(80).collect();
                let reason = format!("Expected: {hash}, Actual: {actual}");
                return Err(Refusal::new(
                    Code::Conflict,
                    "File hash mismatch. The file was not written",
                    reason,
                ));
            }
            _ => {}
        }
        let beside = format!(".delight-{}.tmp", keys::hex(&keys::bytes::<8>()?));
        let beside = Path::new(&beside);
        let failed = |e: std::io::Error| {
            Refusal::new(Code::Storage, format!("'{}' cannot be written", below.display()), e.to_string())
        };
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o666);
        let made = openat(directory.as_fd(), beside, flags, mode).map_err(|e| self.refuse(&below, e))?;
        let mut file = File::from(made);
        let written = present
            .map_or(Ok(()), |(_, mode)| file.set_permissions(Permissions::from_mode(mode & 0o7777)))
            .and_then(|()| file.write_all(content))
            .and_then(|()| file.sync_all())
            .map_err(failed)
            .and_then(|()| self.place(&directory, beside, name, expected, &below));
        if written.is_err() || *expected == ExpectedHash::Absent {
            // It may be gone already; nothing else could be done about it.
            let _ = unlinkat(directory.as_fd(), beside, UnlinkatFlags::NoRemoveDir);
        }
        written?;
        Ok(keys::hex(&Sha256::digest(content)))
    }

    fn place(
        &self,
        directory: &OwnedFd,
        beside: &Path,
        name: &Path,
        expected: &ExpectedHash,
        below: &Path,
    ) -> Result<(), Refusal> {
        let at = directory.as_fd();
        let placed = if *expected == ExpectedHash::Absent {
            // A link, unlike a rename, never replaces what is there.
            linkat(at, beside, at, name, AtFlags::empty())
        } else {
            renameat(at, beside, at, name)
        };
        placed.map_err(|e| if e == Errno::EEXIST { exists(below) } else { self.refuse(below, e) })
    }

    /// What is there before: its SHA-256 in hex, and its mode.
    fn present(
        &self,
        directory: &OwnedFd,
        name: &Path,
        below: &Path,
    ) -> Result<Option<(String, u32)>, Refusal> {
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let mut file = match openat(directory.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::EMLINK) => return Err(outside(&below.display().to_string())),
            Err(e) => return Err(self.refuse(below, e)),
        };
        let failed = |e: std::io::Error| {
            Refusal::new(Code::Storage, format!("'{}' cannot be read", below.display()), e.to_string())
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(not_a_file(below));
        }
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; 64 << 10]);
        loop {
            match file.read(&mut chunk).map_err(failed)? {
                0 => break,
                n => hash.update(&chunk[..n]),
            }
        }
        Ok(Some((keys::hex(&hash.finalize()), found.permissions().mode())))
    }
}

fn exists(below: &Path) -> Refusal {
    let reason = format!("'{}' is there already", below.display());
    Refusal::new(Code::Conflict, "File already exists but was expected to be new", reason)
}
