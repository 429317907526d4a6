//! Opening a copy of the registry before the registry itself.
//!
//! sled repairs while it opens: it zeroes what it takes for a torn end, rewrites snapshots, deletes values it no longer
//! knows. After a crash that is right; on a damaged file it destroys what a person or a newer build could still read.
//! So a copy is opened first, and the registry is touched only after its copy was found good.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};

use super::registry::Registry;
use super::stray;

/// A registry up to this size is tried in the runtime directory, which is memory on most systems: there sled's `fsync`s
/// cost nothing, and a start takes a few milliseconds more. A larger one (some 8,000 sessions) would be felt there.
const IN_MEMORY: u64 = 32 << 20;

/// What the registry's copy is called, in the runtime or the state directory.
const TRIAL: &str = "registry.trial";

/// What the registry is called as it was before records were lost, beside it; and while that is being written.
const KEPT: &str = "registry.before-loss";
const KEEPING: &str = "registry.before-loss.part";

/// Tries whether the registry can be opened. Returns where it was kept as it is, if opening it would lose records.
///
/// Nobody may have the registry open. When this returns an error, every byte of it is as it was.
///
/// # Errors
/// What opening the registry itself would be refused for; `storage` when there is no room for a copy.
pub(super) fn run(place: &Place) -> Result<Option<PathBuf>, Refusal> {
    let registry = place.registry();
    let refuse = |what: &Path, e: &io::Error| {
        Refusal::new(
            Code::Storage,
            format!("the registry {} was not opened", registry.display()),
            format!(
                "it could not be copied to {}, and without a copy damage could not be undone: {e}",
                what.display()
            ),
        )
        .fix("make room there, then start the daemon again; nothing was changed")
    };
    if !registry.exists() && stray::session_dirs(&place.sessions()).is_empty() {
        return Ok(None);
    }
    let size = size(&registry).map_err(|e| refuse(&registry, &e))?;
    let beside = if size <= IN_MEMORY { &place.runtime } else { &place.state };
    let at = beside.join(TRIAL);
    let copy = Copy::make(&registry, &at).map_err(|e| refuse(&at, &e))?;
    let lost = {
        let trial = Registry::open(&copy.0, &registry, &place.sessions())?;
        stray::without_record(place, &trial.ids()?)
    };
    drop(copy);
    if lost.is_empty() {
        return Ok(None);
    }
    let kept = place.state.join(KEPT);
    // The first loss is kept, not the last: later copies have the same hole and less in it.
    if !kept.exists() {
        keep(&registry, place, &kept).map_err(|e| refuse(&kept, &e))?;
    }
    Ok(Some(kept))
}

/// A copy of the registry that is deleted when dropped.
struct Copy(PathBuf);

impl Copy {
    fn make(from: &Path, to: &Path) -> io::Result<Self> {
        // What a start that was killed has left.
        remove(to)?;
        let copy = Self(to.to_owned());
        copy_dir(from, to, Durable::No)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(e) = remove(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %e, "the registry's copy could not be deleted");
        }
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Keeps the registry as it is, durably: the name appears when everything below it is on the disk.
fn keep(registry: &Path, place: &Place, kept: &Path) -> io::Result<()> {
    let part = place.state.join(KEEPING);
    remove(&part)?;
    copy_dir(registry, &part, Durable::Yes)?;
    fs::rename(&part, kept)?;
    File::open(&place.state)?.sync_all()
}

#[derive(Clone, Copy, PartialEq)]
enum Durable {
    Yes,
    No,
}

/// Copies files and directories; sled makes nothing else. One that is missing copies as an empty one.
fn copy_dir(from: &Path, to: &Path, durable: Durable) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in entries(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_dir(&entry.path(), &target, durable)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
            if durable == Durable::Yes {
                File::open(&target)?.sync_all()?;
            }
        }
    }
    if durable == Durable::Yes {
        File::open(to)?.sync_all()?;
    }
    Ok(())
}

fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in entries(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn entries(dir: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<fs::DirEntry>>>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
