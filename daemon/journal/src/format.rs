//! The bytes of a segment. All numbers are little-endian.
//!
//! ```text
//! segment header, 40 bytes            record header, 48 bytes
//!  0  [u8; 8]  "dlsegmnt"              0  u32  RECORD_MAGIC
//!  8  u32      version                 4  u32  payload length, at most MAX_PAYLOAD
//! 12  u32      salt                    8  u32  CRC-32 of the header (this field as 0) and the payload,
//! 16  u64      first ordinal                   started from the segment's salt
//! 24  u64      first position         12  u8   kind, the caller's
//! 32  u32      CRC-32 of the above    13  [u8; 3]  0
//! 36  u32      0                      16  u64  ordinal
//!                                     24  u64  position
//!                                     32  u64  advance: the next record's position is position + advance
//!                                     40  u64  Unix milliseconds
//!                                     48       payload
//! ```
//!
//! The random salt makes bytes that merely look like records (a session that prints another session's journal) fail
//! their checksum here.

use crate::segment::Point;

/// Format version this code writes, and the newest it reads.
pub const VERSION: u32 = 1;
/// Bytes of a segment header.
pub const SEGMENT_HEADER: usize = 40;
/// Bytes of a record header.
pub const RECORD_HEADER: usize = 48;
/// Most bytes of one record's payload: sixteen times the largest chunk of output, and what a reader may have to hold.
pub const MAX_PAYLOAD: usize = 1 << 20;

const SEGMENT_MAGIC: &[u8; 8] = b"dlsegmnt";
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"dlr\x1e";

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) salt: u32,
    pub(crate) first: Point,
}

/// Why a segment header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// Too short, or zeros: the crash of a writer that was creating the file.
    Torn,
    /// Written by newer code.
    Newer(u32),
    /// Anything else.
    Damaged(&'static str),
}

impl Head {
    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.salt.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.ordinal.to_le_bytes());
        out[24..32].copy_from_slice(&self.first.position.to_le_bytes());
        let crc = crc32fast::hash(&out[..32]);
        out[32..36].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BadHead> {
        let bytes = &bytes[..bytes.len().min(SEGMENT_HEADER)];
        if bytes.len() >= 12 && bytes.starts_with(SEGMENT_MAGIC) && u32_at(bytes, 8) > VERSION {
            return Err(BadHead::Newer(u32_at(bytes, 8)));
        }
        if bytes.len() < SEGMENT_HEADER || bytes.iter().all(|b| *b == 0) {
            return Err(BadHead::Torn);
        }
        if !bytes.starts_with(SEGMENT_MAGIC) {
            return Err(BadHead::Damaged("it does not begin like a segment"));
        }
        if crc32fast::hash(&bytes[..32]) != u32_at(bytes, 32) {
            return Err(BadHead::Damaged("its header fails the checksum"));
        }
        let first = Point { ordinal: u64_at(bytes, 16), position: u64_at(bytes, 24) };
        Ok(Self { salt: u32_at(bytes, 12), first })
    }
}

/// One record, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the payload is: the caller's number.
    pub kind: u8,
    /// Its number in the log, contiguous.
    pub ordinal: u64,
    /// Position at which it begins.
    pub position: u64,
    /// How far it moves the position.
    pub advance: u64,
    /// Unix milliseconds, the caller's.
    pub at_ms: u64,
    /// The caller's bytes.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Where the next record begins.
    #[must_use]
    pub fn next(&self) -> Point {
        Point {
            ordinal: self.ordinal.saturating_add(1),
            position: self.position.saturating_add(self.advance),
        }
    }
}

/// What lies at a place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// An intact record, and how many bytes it takes.
    Record(Record<'a>, usize),
    /// The bytes end before the record does; so many are needed at least.
    Short(usize),
    /// These bytes are no record, or not the one that belongs here.
    Bad,
}

/// Writes the header of a record; the CRC covers `parts` too.
pub(crate) fn record_header(
    salt: u32,
    kind: u8,
    at: Point,
    advance: u64,
    at_ms: u64,
    len: usize,
    parts: &[&[u8]],
) -> [u8; RECORD_HEADER] {
    let mut out = [0; RECORD_HEADER];
    out[..4].copy_from_slice(&RECORD_MAGIC);
    out[4..8].copy_from_slice(&(len as u32).to_le_bytes());
    out[12] = kind;
    out[16..24].copy_from_slice(&at.ordinal.to_le_bytes());
    out[24..32].copy_from_slice(&at.position.to_le_bytes());
    out[32..40].copy_from_slice(&advance.to_le_bytes());
    out[40..48].copy_from_slice(&at_ms.to_le_bytes());
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&out);
    for part in parts {
        crc.update(part);
    }
    out[8..12].copy_from_slice(&crc.finalize().to_le_bytes());
    out
}

/// Takes a record apart without checking it. `bytes` is exactly one record that [`step`] has accepted.
pub(crate) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let (head, payload) = bytes.split_first_chunk::<RECORD_HEADER>()?;
    Some(Record {
        kind: head[12],
        ordinal: u64_at(head, 16),
        position: u64_at(head, 24),
        advance: u64_at(head, 32),
        at_ms: u64_at(head, 40),
        payload,
    })
}

/// Reads what lies at the start of `bytes`. No length in it is trusted before it was checked.
pub(crate) fn step(salt: u32, bytes: &[u8]) -> Step<'_> {
    let known = bytes.len().min(4);
    if bytes[..known] != RECORD_MAGIC[..known] {
        return Step::Bad;
    }
    let Some(head) = bytes.first_chunk::<RECORD_HEADER>() else { return Step::Short(RECORD_HEADER) };
    let len = u32_at(head, 4) as usize;
    if len > MAX_PAYLOAD || head[13..16] != [0; 3] {
        return Step::Bad;
    }
    let whole = RECORD_HEADER + len;
    let Some(payload) = bytes.get(RECORD_HEADER..whole) else { return Step::Short(whole) };
    let mut blank = *head;
    blank[8..12].fill(0);
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&blank);
    crc.update(payload);
    if crc.finalize() != u32_at(head, 8) {
        return Step::Bad;
    }
    decode(&bytes[..whole]).map_or(Step::Bad, |record| Step::Record(record, whole))
}

/// What [`parse_segment`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Where the record after the last intact one would begin.
    pub next: Point,
    /// Bytes from the start that are intact.
    pub intact: usize,
    /// Intact records.
    pub records: u64,
    /// Whether the bytes after `intact` are an unfinished record rather than something else.
    pub unfinished: bool,
}

/// Reads a whole segment from memory: the entry for fuzzing, and what recovery uses. `each` sees every record in
/// order, up to the first that is damaged or does not follow from the one before.
///
/// Returns `None` when the header is unusable.
pub fn parse_segment(bytes: &[u8], mut each: impl FnMut(Record<'_>)) -> Option<Parsed> {
    let head = Head::parse(bytes).ok()?;
    let mut parsed = Parsed { next: head.first, intact: SEGMENT_HEADER, records: 0, unfinished: false };
    while parsed.intact < bytes.len() {
        match step(head.salt, &bytes[parsed.intact..]) {
            Step::Record(record, len)
                if (Point { ordinal: record.ordinal, position: record.position }) == parsed.next =>
            {
                each(record);
                parsed.next = record.next();
                parsed.intact += len;
                parsed.records += 1;
            }
            Step::Short(_) => {
                parsed.unfinished = true;
                break;
            }
            Step::Record(..) | Step::Bad => break,
        }
    }
    Some(parsed)
}

/// Goes on past damage: gives every intact record of `bytes` whose ordinal and position do not lie below `floor`, and
/// returns where the last of them ends and how many bytes are not records. `None` when there is no intact record.
pub(crate) fn salvage(
    salt: u32,
    bytes: &[u8],
    floor: Point,
    mut each: impl FnMut(Record<'_>),
) -> Option<(Point, u64)> {
    let (mut at, mut floor, mut damaged, mut found) = (0, floor, 0, false);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match step(salt, rest) {
            // One below the floor cannot be ours: it is payload that looks like a record.
            Step::Record(record, len)
                if record.ordinal >= floor.ordinal && record.position >= floor.position =>
            {
                floor = record.next();
                found = true;
                at += len;
                each(record);
            }
            _ => {
                let magic = rest[1..].windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC);
                let skip = magic.map_or(rest.len(), |n| n + 1);
                damaged += skip as u64;
                at += skip;
            }
        }
    }
    found.then_some((floor, damaged))
}
