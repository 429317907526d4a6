//! What lies in a directory.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::Path as Name;
use delight_proto::sync::rpc::{DirectoryEntry, EntryKind, TreeNode};
use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::{Confined, open};

/// Levels of a tree at most: JSON readers give up at 128 levels, and each of ours takes two.
const MAX_DEPTH: u32 = 32;

/// What an entry takes beside its texts, as JSON.
const ENTRY: usize = 96;

/// Room for an answer, in bytes of JSON.
struct Room(usize);

impl Room {
    fn take(&mut self, texts: usize) -> Result<(), Refusal> {
        // A character takes at most six bytes as JSON; names that need that are rare, but an answer must never be larger.
        let left = self.0.checked_sub(ENTRY + texts);
        self.0 = left.ok_or_else(|| {
            Refusal::new(Code::TooLarge, "Too many entries", "they do not fit one answer")
                .fix("ask for a directory below, or with less depth")
        })?;
        Ok(())
    }
}

impl Confined {
    /// The entries of a directory by name, as long as they fit `most` bytes of JSON.
    ///
    /// # Errors
    /// `too-large`; see [`Confined::relative`] for paths.
    pub(crate) fn list(&self, path: &str, most: usize) -> Result<Vec<DirectoryEntry>, Refusal> {
        let below = self.relative(path)?;
        let fd = self.reach(&below, open::directory())?;
        let mut room = Room(most);
        let entries = self.entries(&below, fd, &mut room, 0)?;
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// A directory and what is below, `depth` levels of it. What may not be looked into is shown without its entries.
    ///
    /// # Errors
    /// `too-large`; see [`Confined::relative`] for paths.
    pub(crate) fn tree(&self, path: &str, depth: u32, most: usize) -> Result<TreeNode, Refusal> {
        let below = self.relative(path)?;
        let fd = self.reach(&below, open::directory())?;
        let whole = if below == Path::new(".") { self.real.clone() } else { self.real.join(&below) };
        let mut room = Room(most);
        let name = whole.file_name().unwrap_or(OsStr::new("/"));
        let found = nix::sys::stat::fstat(&fd).map_err(|e| self.refuse(&below, e))?;
        let entry = entry(name, &found);
        let children = self.children(&below, &whole, fd, depth.min(MAX_DEPTH), &mut room)?;
        Ok(TreeNode { entry, path: Name::cut(whole.to_string_lossy()), children: Some(children) })
    }

    fn children(
        &self,
        below: &Path,
        whole: &Path,
        fd: OwnedFd,
        depth: u32,
        room: &mut Room,
    ) -> Result<Vec<TreeNode>, Refusal> {
        let extra = whole.as_os_str().len();
        let mut nodes = Vec::new();
        for (name, entry) in self.entries(below, fd, room, extra)? {
            let (below, whole) = (below.join(&name), whole.join(&name));
            let inner = if entry.kind == EntryKind::Directory && depth > 1 {
                match self.reach(&below, open::directory()) {
                    Ok(fd) => Some(self.children(&below, &whole, fd, depth - 1, room)?),
                    // Not readable, out of bounds, or gone meanwhile.
                    Err(_) => None,
                }
            } else {
                None
            };
            let path = Name::cut(whole.to_string_lossy());
            nodes.push(TreeNode { entry, path, children: inner });
        }
        Ok(nodes)
    }

    fn entries(
        &self,
        below: &Path,
        fd: OwnedFd,
        room: &mut Room,
        extra: usize,
    ) -> Result<Vec<(PathBuf, DirectoryEntry)>, Refusal> {
        let mut dir = Dir::from_fd(fd).map_err(|e| self.refuse(below, e))?;
        let mut names: Vec<PathBuf> = Vec::new();
        for found in dir.iter() {
            let found = found.map_err(|e| self.refuse(below, e))?;
            let name: &CStr = found.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            // Twice a name's length for a path beside it; escapes are counted below, where the text is made.
            room.take(2 * name.to_bytes().len() + extra)?;
            names.push(OsStr::from_bytes(name.to_bytes()).into());
        }
        names.sort_unstable();
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            // One that is gone meanwhile is not there.
            let Ok(found) = fstatat(dir.as_fd(), &name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            let one = entry(name.as_os_str(), &found);
            let escapes =
                one.name.chars().filter(|c| c.is_control() || matches!(c, '"' | '\\' | '\u{fffd}')).count();
            if escapes > 0 {
                room.take(escapes * 10)?;
            }
            entries.push((name, one));
        }
        Ok(entries)
    }
}

fn entry(name: &OsStr, found: &FileStat) -> DirectoryEntry {
    let kind = match SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => EntryKind::File,
        SFlag::S_IFDIR => EntryKind::Directory,
        _ => EntryKind::Other,
    };
    let modified = found.st_mtime.saturating_mul(1_000).saturating_add(found.st_mtime_nsec / 1_000_000);
    DirectoryEntry {
        name: Name::cut(name.to_string_lossy()),
        kind,
        size: u64::try_from(found.st_size).ok(),
        modified: u64::try_from(modified).ok(),
    }
}
