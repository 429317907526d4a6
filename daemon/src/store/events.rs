//! Event logs: one directory of segments a session, opened on demand.

use delight_journal::{Closed, Closing, Error, Item, Options, Point, Reader, Writer};
use delight_proto::event::Event;
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Record;

/// The record kind of an event.
const EVENT: u8 = 1;

/// A segment of about 400 events: opening a log for writing reads its newest segment once.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Bytes of events kept a session: the log is also what the server has not heard yet, and a talkative agent writes a few
/// megabytes in a day away from it.
const RETAIN_BYTES: u64 = 8 << 20;

/// Logs kept open for writing. Sessions that change at the same time are few; each costs one descriptor.
const OPEN_LOGS: usize = 64;

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        retain_bytes: RETAIN_BYTES,
        first: Point { ordinal: 1, position: 0 },
        closing: Closing::Aside,
    }
}

/// The logs open for writing, most recently used last.
#[derive(Debug)]
pub(super) struct Logs {
    place: Place,
    open: Vec<(SessionId, Writer)>,
    closed: Vec<Closed>,
}

impl Logs {
    pub(super) fn new(place: Place) -> Self {
        Self { place, open: Vec::new(), closed: Vec::new() }
    }

    /// Appends an event. It survives the end of this process when this returns.
    ///
    /// # Errors
    /// `storage`: the number does not follow the last one (a fault of ours, never papered over), or the file system
    /// refused. The log is as it was.
    pub(super) fn append(&mut self, id: SessionId, event: &Event) -> Result<(), Refusal> {
        let refuse = |reason: String| {
            Refusal::new(
                Code::Storage,
                format!("event {} of session {id} could not be stored", event.seq),
                reason,
            )
        };
        let writer = self.writer(id).map_err(|e| refuse(e.to_string()))?;
        let next = writer.end().ordinal;
        if next != event.seq {
            return Err(refuse(format!("the log goes on with event {next}")));
        }
        let json = serde_json::to_vec(event).map_err(|e| refuse(e.to_string()))?;
        let appended = writer.append(EVENT, 1, event.at_ms, &[&json]);
        let closed = writer.take_closed();
        self.closed.extend(closed);
        appended.map(drop).map_err(|e| refuse(e.to_string()).fix("check free space of the state directory"))
    }

    /// Segments that became full and are to be made durable.
    pub(super) fn take_closed(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.closed)
    }

    /// Closes a log whose session is forgotten.
    pub(super) fn close(&mut self, id: SessionId) {
        self.open.retain(|(open, _)| *open != id);
    }

    /// The number of the last event; 0 when there is none or it cannot be told.
    pub(super) fn last_seq(&mut self, id: SessionId) -> u64 {
        self.writer(id).map_or(0, |writer| writer.end().ordinal - 1)
    }

    fn writer(&mut self, id: SessionId) -> Result<&mut Writer, Error> {
        let at = match self.open.iter().rposition(|(open, _)| *open == id) {
            Some(at) => at,
            None => {
                let (writer, recovery) = Writer::open(super::events_dir(&self.place, id), options())?;
                if recovery != delight_journal::Recovery::default() {
                    tracing::warn!(session = %id, ?recovery, "an event log was put right after a crash");
                }
                if self.open.len() >= OPEN_LOGS {
                    self.open.remove(0);
                }
                self.open.push((id, writer));
                self.open.len() - 1
            }
        };
        self.open[at..].rotate_left(1);
        let last = self.open.len() - 1;
        Ok(&mut self.open[last].1)
    }
}

/// The last number of a session's event log (0: it is empty), and the events appended after the record was saved.
/// After a power cut the log may end before the record: it is the truth all the same.
pub(super) fn after_record(place: &Place, record: &Record) -> Result<(u64, Vec<Event>), String> {
    let dir = super::events_dir(place, record.id);
    if !dir.exists() {
        return Ok((0, Vec::new()));
    }
    let (writer, recovery) = Writer::open(dir, options()).map_err(|e| e.to_string())?;
    if recovery != delight_journal::Recovery::default() {
        tracing::warn!(session = %record.id, ?recovery, "an event log was put right after a crash");
    }
    let last = writer.end().ordinal - 1;
    if last <= record.last_seq {
        return Ok((last, Vec::new()));
    }
    let page = read_events(place, record.id, record.last_seq, usize::MAX).map_err(|e| e.to_string())?;
    Ok((last, page.events))
}

/// A piece of an event log.
#[derive(Debug, PartialEq)]
pub(crate) struct EventPage {
    /// In order; damaged ones are missing.
    pub(crate) events: Vec<Event>,
    /// The oldest number still kept; 1 when there is none yet.
    pub(crate) first: u64,
}

/// Reads at most `limit` events after number `after`. Blocks on the disk.
pub(crate) fn read_events(
    place: &Place,
    id: SessionId,
    after: u64,
    limit: usize,
) -> Result<EventPage, Refusal> {
    let mut log = EventReader::after(place, id, after)?;
    Ok(EventPage { first: log.first.unwrap_or(1), events: log.next(limit)? })
}

/// Reads a session's events some at a time: its place in the log is looked for once. Blocks on the disk.
pub(crate) struct EventReader {
    id: SessionId,
    reader: Reader,
    /// The oldest number still kept; none: there was none when it began.
    first: Option<u64>,
}

impl EventReader {
    /// Begins behind number `after`.
    ///
    /// # Errors
    /// `storage`.
    pub(crate) fn after(place: &Place, id: SessionId, after: u64) -> Result<Self, Refusal> {
        let mut reader = Reader::open(super::events_dir(place, id));
        let first = match reader.next_item().map_err(|e| unreadable(id, &e))? {
            Some(Item::Record(record)) => Some(record.ordinal),
            Some(Item::Gap { to, .. } | Item::Corrupt { to, .. }) => Some(to.ordinal),
            None => None,
        };
        if let Some(first) = first {
            reader.seek_ordinal(after.saturating_add(1).max(first));
        }
        Ok(Self { id, reader, first })
    }

    /// The next events, at most `limit`; damaged ones are missing.
    ///
    /// # Errors
    /// `storage`.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Vec<Event>, Refusal> {
        let id = self.id;
        let mut events = Vec::new();
        while self.first.is_some() && events.len() < limit {
            match self.reader.next_item().map_err(|e| unreadable(id, &e))? {
                Some(Item::Record(record)) if record.kind == EVENT => {
                    events.push(serde_json::from_slice(record.payload).map_err(|e| unreadable(id, &e))?);
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(events)
    }
}

fn unreadable(id: SessionId, why: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Code::Storage, format!("the events of session {id} could not be read"), why.to_string())
}
