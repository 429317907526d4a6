//! Reading, also while the writer writes and while retention drops what was to be read.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, io as io_error};
use crate::format::{BadHead, Head, Record, SEGMENT_HEADER, Step, decode, salvage, step};
use crate::segment::{self, Point};

/// Bytes read ahead at least: a few records of terminal output.
const READ_AHEAD: usize = 16 << 10;

/// What a reader meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// What lay here was dropped by retention, or vanished with its directory.
    Gap {
        /// Where the reader stood. After [`Reader::seek_position`] its ordinal is 0: not known.
        from: Point,
        /// Where it goes on.
        to: Point,
    },
    /// What lay here is damaged.
    Corrupt {
        /// Where the damage begins.
        from: Point,
        /// Where the reader goes on.
        to: Point,
    },
}

/// What a seek still has to pass by.
#[derive(Clone, Copy)]
enum Skip {
    Nothing,
    ToOrdinal(u64),
    ToPosition(u64),
}

impl Skip {
    fn passes(self, record: &Record<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::ToOrdinal(ordinal) => record.ordinal < ordinal,
            Self::ToPosition(at) => record.position < at && record.next().position <= at,
        }
    }
}

struct Open {
    file: File,
    first: Point,
    salt: u32,
    /// File offset up to which the buffer was filled.
    at: u64,
}

/// A cursor into a log. It holds one descriptor and a buffer of the size of the largest record met.
pub struct Reader {
    dir: PathBuf,
    open: Option<Open>,
    /// What comes next in the open segment, or where the next one begins; `None` before a seek has found its segment.
    expected: Option<Point>,
    skip: Skip,
    buffer: Vec<u8>,
    start: usize,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("dir", &self.dir).field("at", &self.expected).finish_non_exhaustive()
    }
}

enum Outcome {
    /// An intact record of this length lies at the start of the buffer.
    Record(usize),
    Gap(Point, Point),
    Corrupt(Point, Point),
    /// Nothing yet.
    Wait,
}

#[derive(PartialEq, Eq)]
enum Opened {
    Yes,
    /// There is no such segment (yet, or any more).
    Missing,
    /// Its header is not whole.
    Torn,
}

impl Reader {
    /// A cursor at the oldest record of the log in `dir`. A missing or empty directory reads as a log without
    /// records so far.
    #[must_use]
    pub fn open(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            open: None,
            expected: None,
            skip: Skip::Nothing,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Goes to the record that holds position `position`, or the first one at it. That record is returned whole: the
    /// caller skips what lies before. Records that do not move the position are included when they lie at it.
    pub fn seek_position(&mut self, position: u64) {
        self.jump(Skip::ToPosition(position));
    }

    /// Goes to the record with this number.
    pub fn seek_ordinal(&mut self, ordinal: u64) {
        self.jump(Skip::ToOrdinal(ordinal));
    }

    fn jump(&mut self, skip: Skip) {
        self.skip = skip;
        self.expected = None;
        self.open = None;
        self.shrink();
    }

    /// Gives the read buffer back; it comes again when it is needed.
    pub fn shrink(&mut self) {
        self.rewind();
        self.buffer = Vec::new();
    }

    /// Forgets what was read ahead, so that it is read again.
    fn rewind(&mut self) {
        if let Some(open) = &mut self.open {
            open.at -= (self.buffer.len() - self.start) as u64;
        }
        self.buffer.clear();
        self.start = 0;
    }

    /// The next item; `None` when there is no more yet (an unfinished record at the end counts as that).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Newer`] for a segment this build cannot read. The reader stays where it is.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Error> {
        let len = loop {
            match self.advance()? {
                Outcome::Wait => return Ok(None),
                Outcome::Gap(from, to) => return Ok(Some(Item::Gap { from, to })),
                Outcome::Corrupt(from, to) => return Ok(Some(Item::Corrupt { from, to })),
                Outcome::Record(len) => {
                    let Some(record) = decode(&self.buffer[self.start..self.start + len]) else {
                        return Ok(None);
                    };
                    self.expected = Some(record.next());
                    let pass = self.skip.passes(&record);
                    self.start += len;
                    if !pass {
                        self.skip = Skip::Nothing;
                        break len;
                    }
                }
            }
        };
        Ok(decode(&self.buffer[self.start - len..self.start]).map(Item::Record))
    }

    fn advance(&mut self) -> Result<Outcome, Error> {
        // Where the segment after the open one begins, once that is known: then the open one will not change any more
        // and a second look at it is final.
        let mut sealed: Option<Point> = None;
        loop {
            let Some(open) = &self.open else {
                match self.locate()? {
                    None => continue,
                    Some(outcome) => return Ok(outcome),
                }
            };
            let expected = self.expected.unwrap_or(open.first);
            let need = match step(open.salt, &self.buffer[self.start..]) {
                Step::Record(record, len)
                    if (record.ordinal, record.position) == (expected.ordinal, expected.position) =>
                {
                    return Ok(Outcome::Record(len));
                }
                Step::Short(need) => need,
                Step::Record(..) | Step::Bad => 0,
            };
            if need > 0 && self.fill(need)? {
                continue;
            }
            let clean = self.start == self.buffer.len();
            if let Some(to) = sealed {
                self.open = None;
                self.rewind();
                self.expected = Some(to);
                if to != expected {
                    self.skip = Skip::Nothing;
                    return Ok(if clean {
                        Outcome::Gap(expected, to)
                    } else {
                        Outcome::Corrupt(expected, to)
                    });
                }
                sealed = None;
            } else if clean && self.is_linked() && !segment::path(&self.dir, expected).exists() {
                return Ok(Outcome::Wait);
            } else {
                sealed = self.newer()?;
                self.rewind();
                if sealed.is_none() {
                    return Ok(Outcome::Wait);
                }
            }
        }
    }

    /// Opens the segment to read next. `None`: done, look again.
    fn locate(&mut self) -> Result<Option<Outcome>, Error> {
        if let Some(expected) = self.expected
            && self.try_open(expected)? == Opened::Yes
        {
            return Ok(None);
        }
        let segments = segment::list(&self.dir)?;
        let wanted = match (self.expected, self.skip) {
            (Some(at), _) => at,
            (None, Skip::ToOrdinal(ordinal)) => Point { ordinal, position: u64::MAX },
            (None, Skip::ToPosition(position)) => Point { ordinal: 0, position },
            (None, Skip::Nothing) => Point { ordinal: 0, position: 0 },
        };
        let index = match (self.expected, self.skip) {
            (Some(at), _) => segments.iter().position(|s| s.first.ordinal >= at.ordinal),
            (None, Skip::ToOrdinal(_)) => segments.iter().rposition(|s| s.first.ordinal <= wanted.ordinal),
            // A record of no length may lie at the very end of the segment before.
            (None, Skip::ToPosition(at)) => segments.iter().rposition(|s| s.first.position < at),
            (None, Skip::Nothing) => None,
        };
        let index = match (self.expected, index) {
            (Some(_), None) => return Ok(Some(Outcome::Wait)),
            (_, index) => index.unwrap_or(0),
        };
        let Some(first) = segments.get(index).map(|segment| segment.first) else {
            return Ok(Some(Outcome::Wait));
        };
        match self.try_open(first)? {
            Opened::Yes => {}
            // Dropped since the listing: list again.
            Opened::Missing => return Ok(None),
            // The writer is creating it, or a crash left it so: the next writer puts it right. A later one proves
            // that nobody will.
            Opened::Torn => {
                let Some(later) = segments.get(index + 1) else { return Ok(Some(Outcome::Wait)) };
                self.expected = Some(later.first);
                self.skip = Skip::Nothing;
                return Ok(Some(Outcome::Corrupt(first, later.first)));
            }
        }
        let missing = match (self.expected, self.skip) {
            (Some(at), _) => at != first,
            (None, Skip::ToOrdinal(ordinal)) => ordinal < first.ordinal,
            (None, Skip::ToPosition(position)) => position < first.position,
            (None, Skip::Nothing) => false,
        };
        self.expected = Some(first);
        if missing {
            self.skip = Skip::Nothing;
            let position = wanted.position.min(first.position);
            return Ok(Some(Outcome::Gap(Point { ordinal: wanted.ordinal, position }, first)));
        }
        Ok(None)
    }

    fn try_open(&mut self, first: Point) -> Result<Opened, Error> {
        let path = segment::path(&self.dir, first);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Opened::Missing),
            Err(e) => return Err(io_error("open", &path)(e)),
        };
        let mut head = [0; SEGMENT_HEADER];
        let got = read_at(&file, &mut head, 0).map_err(io_error("read", &path))?;
        match Head::parse(&head[..got]) {
            Ok(head) if head.first == first => {
                self.open = Some(Open { file, first, salt: head.salt, at: SEGMENT_HEADER as u64 });
                self.buffer.clear();
                self.start = 0;
                Ok(Opened::Yes)
            }
            Err(BadHead::Torn) => Ok(Opened::Torn),
            Ok(_) => Err(Error::Damaged { path, reason: "its header belongs to another segment" }),
            Err(BadHead::Newer(version)) => Err(Error::Newer { path, version }),
            Err(BadHead::Damaged(reason)) => Err(Error::Damaged { path, reason }),
        }
    }

    /// Reads until `need` bytes are buffered; `false` when the file ends before.
    fn fill(&mut self, need: usize) -> Result<bool, Error> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let path = || segment::path(&self.dir, open.first);
        self.buffer.drain(..self.start);
        self.start = 0;
        let have = self.buffer.len();
        // The length may be a lie: only what the file holds is worth a buffer.
        let held = open.file.metadata().map_err(|e| io_error("look at", &path())(e))?.len();
        if held < open.at + (need - have) as u64 {
            return Ok(false);
        }
        let want = need.max(READ_AHEAD).min(have + (held - open.at) as usize);
        self.buffer.resize(want, 0);
        let got = read_at(&open.file, &mut self.buffer[have..], open.at);
        let got = match got {
            Ok(got) => got,
            Err(e) => {
                self.buffer.truncate(have);
                return Err(io_error("read", &path())(e));
            }
        };
        self.buffer.truncate(have + got);
        open.at += got as u64;
        Ok(self.buffer.len() >= need)
    }

    fn is_linked(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.file.metadata().is_ok_and(|meta| meta.nlink() > 0))
    }

    /// Where the segment after the open one begins.
    fn newer(&self) -> Result<Option<Point>, Error> {
        let Some(open) = &self.open else { return Ok(None) };
        Ok(segment::list(&self.dir)?.iter().map(|s| s.first).find(|first| *first > open.first))
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// A record that [`find_last`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub ordinal: u64,
    /// Its position.
    pub position: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// The last record of the log in `dir` that satisfies `wanted`, looked for from the newest segment backwards. Damaged
/// records are passed by, and so are segments whose header is damaged.
///
/// # Errors
/// [`Error::Io`]; [`Error::Newer`].
pub fn find_last(dir: &Path, mut wanted: impl FnMut(&Record<'_>) -> bool) -> Result<Option<Found>, Error> {
    for segment in segment::list(dir)?.into_iter().rev() {
        let path = segment::path(dir, segment.first);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(io_error("read", &path)(e)),
        };
        let head = match Head::parse(&bytes) {
            Ok(head) => head,
            Err(BadHead::Newer(version)) => return Err(Error::Newer { path, version }),
            Err(BadHead::Torn | BadHead::Damaged(_)) => continue,
        };
        let mut found = None;
        salvage(head.salt, &bytes[SEGMENT_HEADER..], head.first, |record| {
            if wanted(&record) {
                found = Some(Found {
                    ordinal: record.ordinal,
                    position: record.position,
                    at_ms: record.at_ms,
                    payload: record.payload.to_vec(),
                });
            }
        });
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
