//! What opening a log for writing has to put right: the crash of the writer before us.

use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::error::{Error, io};
use crate::format::{BadHead, Head, SEGMENT_HEADER, parse_segment, salvage};
use crate::segment::{self, Point, Segment};

/// What [`crate::Writer::open`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Bytes of an unfinished record that were cut from the end.
    pub cut_bytes: u64,
    /// Damaged bytes in the newest segment that have intact records behind them. They are kept, readers are told, and
    /// writing goes on in a new segment.
    pub damaged_bytes: u64,
    /// Bytes of a newest segment that the one before it does not reach: the machine ended while that one was being made
    /// durable. It is set aside: what follows a gap must not pass for the log's end.
    pub unjoined_bytes: u64,
}

/// Where writing goes on.
pub(crate) struct Resume {
    pub(crate) segments: Vec<Segment>,
    /// The salt of the newest segment when it can be appended to.
    pub(crate) salt: Option<u32>,
    pub(crate) next: Option<Point>,
    pub(crate) recovery: Recovery,
}

/// Looks at the newest segment and brings it into a state that can be appended to. Older segments were complete when
/// the newer one was created; readers check them record by record. `joined`: but for the one before the newest.
pub(crate) fn recover(dir: &Path, joined: bool) -> Result<Resume, Error> {
    let mut resume =
        Resume { segments: segment::list(dir)?, salt: None, next: None, recovery: Recovery::default() };
    if joined {
        resume.recovery.unjoined_bytes = set_unjoined_aside(dir, &mut resume.segments)?;
    }
    if let Some(newest) = resume.segments.last_mut() {
        let path = segment::path(dir, newest.first);
        let bytes = fs::read(&path).map_err(io("read", &path))?;
        let head = match Head::parse(&bytes) {
            Ok(head) if head.first == newest.first => head,
            Ok(_) => return Err(Error::Damaged { path, reason: "its header belongs to another segment" }),
            Err(BadHead::Newer(version)) => return Err(Error::Newer { path, version }),
            Err(BadHead::Damaged(reason)) => return Err(Error::Damaged { path, reason }),
            Err(BadHead::Torn) => {
                // The writer died while it created this file: it holds no record, and its name says where the log
                // goes on.
                fs::remove_file(&path).map_err(io("remove", &path))?;
                resume.recovery.cut_bytes += bytes.len() as u64;
                resume.next = Some(newest.first);
                resume.segments.pop();
                return Ok(resume);
            }
        };
        let Some(parsed) = parse_segment(&bytes, |_| ()) else {
            return Err(Error::Damaged { path, reason: "its header cannot be read" });
        };
        resume.next = Some(parsed.next);
        if let Some((end, damaged)) = salvage(head.salt, &bytes[parsed.intact..], parsed.next, |_| ()) {
            resume.recovery.damaged_bytes = damaged;
            resume.next = Some(end);
        } else {
            resume.salt = Some(head.salt);
            let cut = bytes.len() - parsed.intact;
            if cut > 0 {
                let file = OpenOptions::new().write(true).open(&path).map_err(io("open", &path))?;
                file.set_len(parsed.intact as u64).map_err(io("cut", &path))?;
                resume.recovery.cut_bytes += cut as u64;
            }
            newest.bytes = parsed.intact.max(SEGMENT_HEADER) as u64;
        }
    }
    Ok(resume)
}

/// Takes the newest segment out of the log if the one before it ends too early. Gives its bytes.
fn set_unjoined_aside(dir: &Path, segments: &mut Vec<Segment>) -> Result<u64, Error> {
    let [.., before, newest] = segments.as_slice() else { return Ok(0) };
    let path = segment::path(dir, before.first);
    let bytes = fs::read(&path).map_err(io("read", &path))?;
    let end = parse_segment(&bytes, |_| ()).map_or(before.first, |parsed| {
        let salt = Head::parse(&bytes).map(|head| head.salt).unwrap_or_default();
        salvage(salt, &bytes[parsed.intact..], parsed.next, |_| ()).map_or(parsed.next, |(end, _)| end)
    });
    if end == newest.first {
        return Ok(0);
    }
    let (path, bytes) = (segment::path(dir, newest.first), newest.bytes);
    fs::rename(&path, path.with_extension("unjoined")).map_err(io("set aside", &path))?;
    segments.pop();
    Ok(bytes)
}
