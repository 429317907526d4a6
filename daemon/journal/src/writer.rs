//! Appending.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::closed::{Closed, Closing, Durable};
use crate::error::{Error, io};
use crate::format::{Head, MAX_PAYLOAD, SEGMENT_HEADER, record_header};
use crate::recovery::{Recovery, recover};
use crate::segment::{self, Point, Segment};

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment that has reached this many bytes is closed and a new one begun.
    pub segment_bytes: u64,
    /// The oldest segments are dropped while all of them together exceed this. The newest is never dropped.
    pub retain_bytes: u64,
    /// Where an empty log begins.
    pub first: Point,
    /// What becomes of a segment that is closed.
    pub closing: Closing,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 4 << 20,
            retain_bytes: 64 << 20,
            first: Point { ordinal: 1, position: 0 },
            closing: Closing::Sync,
        }
    }
}

/// What [`Writer::append`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The record's number.
    pub ordinal: u64,
    /// The record's position.
    pub position: u64,
    /// Whether the directory had vanished: everything before this record is gone, and it is the first of a new one.
    pub restarted: bool,
}

struct Active {
    file: File,
    salt: u32,
    /// Bytes of whole records in it; anything beyond was left by a failed append that could not be cut.
    bytes: u64,
    dirty_tail: bool,
}

/// The one writer of a log. See the crate's documentation for who makes sure that there is only one.
pub struct Writer {
    dir: PathBuf,
    options: Options,
    segments: VecDeque<Segment>,
    total: u64,
    next: Point,
    active: Option<Active>,
    /// Segments closed but not yet durable.
    unsynced: Vec<Point>,
    dir_unsynced: bool,
    /// Handed out, or to be: whether the one segment of `unsynced` has become durable.
    durable: Option<Durable>,
    /// To be taken.
    closed: Option<Closed>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("dir", &self.dir).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Writer {
    /// Opens the log in `dir`, which is created (0700) when it is missing; puts right what a crash left.
    ///
    /// The first segment is created by the first append.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Newer`] and [`Error::Damaged`] for a newest segment that cannot be continued.
    pub fn open(dir: impl Into<PathBuf>, options: Options) -> Result<(Self, Recovery), Error> {
        let dir = dir.into();
        make_dir(&dir)?;
        let joined = options.closing == Closing::Aside;
        let resume = recover(&dir, joined)?;
        let mut writer = Self {
            segments: resume.segments.into(),
            total: 0,
            next: resume.next.unwrap_or(options.first),
            active: None,
            unsynced: Vec::new(),
            dir_unsynced: false,
            durable: None,
            closed: None,
            dir,
            options,
        };
        if joined && writer.segments.len() > 1 {
            // The writer before us may have ended before it was made durable.
            writer.unsynced.push(writer.segments[writer.segments.len() - 2].first);
        }
        writer.total = writer.segments.iter().map(|s| s.bytes).sum();
        if let (Some(salt), Some(newest)) = (resume.salt, writer.segments.back()) {
            let path = segment::path(&writer.dir, newest.first);
            let file = OpenOptions::new().append(true).open(&path).map_err(io("open", &path))?;
            writer.active = Some(Active { file, salt, bytes: newest.bytes, dirty_tail: false });
        }
        Ok((writer, resume.recovery))
    }

    /// Position of the oldest byte (or event) still kept.
    #[must_use]
    pub fn start_position(&self) -> u64 {
        self.segments.front().map_or(self.next.position, |s| s.first.position)
    }

    /// Number of the oldest record still kept.
    #[must_use]
    pub fn start_ordinal(&self) -> u64 {
        self.segments.front().map_or(self.next.ordinal, |s| s.first.ordinal)
    }

    /// Where the next record goes.
    #[must_use]
    pub fn end(&self) -> Point {
        self.next
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Appends one record made of `parts`, which moves the position by `advance`. When this returns `Ok`, the record
    /// survives the end of this process; [`Writer::sync`] makes it survive the machine's.
    ///
    /// # Errors
    /// [`Error::Io`] (a full disk, a directory that vanished and cannot be made again) and [`Error::TooLarge`]. The
    /// log is as it was; the same append works once the cause is gone.
    pub fn append(&mut self, kind: u8, advance: u64, at_ms: u64, parts: &[&[u8]]) -> Result<Appended, Error> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        if len > MAX_PAYLOAD {
            return Err(Error::TooLarge { len });
        }
        let restarted = self.notice_vanished();
        if self.active.as_ref().is_some_and(|a| a.bytes >= self.options.segment_bytes) {
            self.close_active()?;
        }
        let at = self.next;
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.create(at)?,
        };
        let head = record_header(active.salt, kind, at, advance, at_ms, len, parts);
        let written = write_record(&mut active, &head, parts);
        let grown = active.bytes;
        self.active = Some(active);
        if let Err(e) = written {
            return Err(io("append to", &self.newest_path())(e));
        }
        if let Some(newest) = self.segments.back_mut() {
            self.total += grown - newest.bytes;
            newest.bytes = grown;
        }
        self.next = Point { ordinal: at.ordinal + 1, position: at.position.saturating_add(advance) };
        if self.total > self.options.retain_bytes {
            self.retain();
        }
        Ok(Appended { ordinal: at.ordinal, position: at.position, restarted })
    }

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// [`Error::Io`]. What was not durable before may still not be.
    pub fn sync(&mut self) -> Result<(), Error> {
        while let Some(first) = self.unsynced.last() {
            let path = segment::path(&self.dir, *first);
            match File::open(&path) {
                Ok(file) => file.sync_data().map_err(io("sync", &path))?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(io("open", &path)(e)),
            }
            self.unsynced.pop();
        }
        if let Some(active) = &self.active {
            active.file.sync_data().map_err(io("sync", &self.newest_path()))?;
        }
        if self.dir_unsynced {
            let dir = File::open(&self.dir).map_err(io("open", &self.dir))?;
            dir.sync_all().map_err(io("sync", &self.dir))?;
            self.dir_unsynced = false;
        }
        Ok(())
    }

    fn newest_path(&self) -> PathBuf {
        segment::path(&self.dir, self.segments.back().map_or(self.next, |s| s.first))
    }

    /// A file that was unlinked still takes writes, and they would be lost in silence: so look. It costs one `fstat`.
    fn notice_vanished(&mut self) -> bool {
        let Some(active) = &self.active else { return false };
        let gone = active.file.metadata().is_ok_and(|meta| meta.nlink() == 0);
        if gone {
            self.active = None;
            let dir = &self.dir;
            self.segments.retain(|s| segment::path(dir, s.first).exists());
            self.total = self.segments.iter().map(|s| s.bytes).sum();
            self.unsynced.clear();
            (self.durable, self.closed) = (None, None);
        }
        gone
    }

    /// The segment that was closed last, for making it durable beside the writer. Only with [`Closing::Aside`], and once.
    pub fn take_closed(&mut self) -> Option<Closed> {
        self.closed.take()
    }

    fn close_active(&mut self) -> Result<(), Error> {
        if self.durable.take_if(|durable| durable.is_proved()).is_some() {
            self.unsynced.clear();
        }
        match (self.options.closing, self.segments.back()) {
            (Closing::Leave, Some(newest)) => self.unsynced.push(newest.first),
            (Closing::Aside, Some(newest)) if self.unsynced.is_empty() => {
                if let Some(active) = self.active.take() {
                    self.unsynced.push(newest.first);
                    let durable = self.durable.insert(Durable::default()).clone();
                    self.closed = Some(Closed { file: active.file, dir: self.dir.clone(), durable });
                }
            }
            _ => {
                self.sync()?;
                (self.durable, self.closed) = (None, None);
            }
        }
        self.active = None;
        Ok(())
    }

    fn create(&mut self, first: Point) -> Result<Active, Error> {
        let path = segment::path(&self.dir, first);
        let create = || OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path);
        let mut file = match create() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_dir(&self.dir)?;
                create()
            }
            other => other,
        }
        .map_err(io("create", &path))?;
        let salt = RandomState::new().build_hasher().finish() as u32;
        let head = Head { salt, first }.encode();
        if let Err(e) = file.write_all(&head) {
            // Without its header the file is nothing; the next try creates it again.
            let _ = fs::remove_file(&path);
            return Err(io("write", &path)(e));
        }
        let bytes = SEGMENT_HEADER as u64;
        self.segments.push_back(Segment { first, bytes });
        self.total += bytes;
        self.dir_unsynced = true;
        Ok(Active { file, salt, bytes, dirty_tail: false })
    }

    fn retain(&mut self) {
        while self.total > self.options.retain_bytes && self.segments.len() > 1 {
            let Some(oldest) = self.segments.front().copied() else { return };
            let path = segment::path(&self.dir, oldest.first);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // It stays, and stays counted: the next append tries again.
                Err(_) => return,
            }
            self.segments.pop_front();
            self.unsynced.retain(|first| *first != oldest.first);
            self.total -= oldest.bytes;
        }
    }
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("create", dir))
}

/// Writes header and payload with one `writev`, or leaves the file as it was.
fn write_record(active: &mut Active, head: &[u8], parts: &[&[u8]]) -> io::Result<()> {
    if active.dirty_tail {
        active.file.set_len(active.bytes)?;
        active.dirty_tail = false;
    }
    let whole = head.len() + parts.iter().map(|p| p.len()).sum::<usize>();
    match write_all_vectored(&mut active.file, head, parts) {
        Ok(()) => {
            active.bytes += whole as u64;
            Ok(())
        }
        Err(e) => {
            active.dirty_tail = active.file.set_len(active.bytes).is_err();
            Err(e)
        }
    }
}

fn write_all_vectored(file: &mut File, head: &[u8], parts: &[&[u8]]) -> io::Result<()> {
    let mut small = [IoSlice::new(&[]); 4];
    let mut many;
    let mut slices: &mut [IoSlice<'_>] = if parts.len() < small.len() {
        &mut small[..=parts.len()]
    } else {
        many = vec![IoSlice::new(&[]); parts.len() + 1];
        &mut many
    };
    slices[0] = IoSlice::new(head);
    for (slice, part) in slices[1..].iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut slices, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
