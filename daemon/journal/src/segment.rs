//! Segment files: their names, and which of them are there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, io as io_error};

/// A place in the log: the record and the position that come next there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// Number of the next record. The first ever is 1.
    pub ordinal: u64,
    /// Its position.
    pub position: u64,
}

const SUFFIX: &str = ".seg";

/// A segment's file: named after the point at which it begins, so seeking opens one file and the next segment's name
/// is known before it exists.
pub(crate) fn path(dir: &Path, first: Point) -> PathBuf {
    dir.join(format!("{:020}-{:020}{SUFFIX}", first.ordinal, first.position))
}

fn parse(name: &str) -> Option<Point> {
    let (ordinal, position) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    if ordinal.len() != 20 || position.len() != 20 {
        return None;
    }
    Some(Point { ordinal: ordinal.parse().ok()?, position: position.parse().ok()? })
}

/// A segment that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) first: Point,
    pub(crate) bytes: u64,
}

/// All segments, oldest first. Files that are not segments are none of our business. A missing directory has none.
pub(crate) fn list(dir: &Path) -> Result<Vec<Segment>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("read", dir)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("read", dir))?;
        let Some(first) = entry.file_name().to_str().and_then(parse) else { continue };
        match entry.metadata() {
            Ok(meta) if meta.is_file() => found.push(Segment { first, bytes: meta.len() }),
            // A link or a directory of that name is none of ours, and a reader would look for it for ever.
            Ok(_) => {}
            // Dropped by retention between the listing and the look.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error("look at", &entry.path())(e)),
        }
    }
    found.sort_unstable_by_key(|segment| segment.first);
    Ok(found)
}
