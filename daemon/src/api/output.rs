//! Reading a piece of a session's journal, and waiting for one.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_journal::{Error, Item, Reader, Record};
use delight_proto::api::method::{OutputBody, OutputFrom, OutputParams, OutputRecord, OutputResult};
use delight_proto::api::{MAX_OUTPUT_BYTES, MAX_OUTPUT_WAIT_MS};
use delight_proto::holder::Attach;
use delight_proto::holder::journal::{Mark, kind};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use crate::process::viewer::Viewer;

/// Most records of one answer: together with the bytes' bound it keeps an answer of one-byte records well below the
/// longest line.
const MAX_RECORDS: usize = 8_192;

/// Reads, and when nothing is there waits for as long as `params` allows.
///
/// It waits beside the holder, as a viewer: nothing is polled. Without a holder nothing will come, and the answer is what
/// there is.
pub(super) async fn follow(
    place: &Place,
    id: SessionId,
    params: &OutputParams,
) -> Result<OutputResult, Refusal> {
    let wait = Duration::from_millis(params.wait_ms.min(MAX_OUTPUT_WAIT_MS).into());
    let deadline = Instant::now() + wait;
    let journal = place.session(id).join("journal");
    let mut params = params.clone();
    let mut again = async || {
        let (journal, asked) = (journal.clone(), params.clone());
        let read = spawn_blocking(move || read(&journal, &asked)).await;
        let found = read.unwrap_or_else(|e| {
            Err(Refusal::new(Code::Internal, "the session's journal could not be read", e.to_string()))
        })?;
        // Records that were asked not to be shown are not read twice.
        params.from = found.next;
        Ok(found)
    };
    let is_empty = |found: &OutputResult| found.records.is_empty() && found.at_end;
    let mut found = again().await?;
    if wait.is_zero() || !is_empty(&found) {
        return Ok(found);
    }
    let Ok((mut viewer, _)) = Viewer::open(place, id, Attach::Offset(found.end_offset)).await else {
        return again().await;
    };
    loop {
        // First what came before the holder knew us; then what each frame announces.
        found = again().await?;
        if !is_empty(&found) {
            return Ok(found);
        }
        match timeout_at(deadline, viewer.next()).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return again().await,
        }
    }
}

/// Reads as much as `params` and the bounds allow. Blocks on the disk.
fn read(journal: &Path, params: &OutputParams) -> Result<OutputResult, Refusal> {
    piece(journal, params)
        .map_err(|e| Refusal::new(Code::Storage, "the session's journal could not be read", e.to_string()))
}

struct Piece {
    records: Vec<OutputRecord>,
    /// Bytes still allowed.
    room: usize,
    input: bool,
}

fn piece(journal: &Path, params: &OutputParams) -> Result<OutputResult, Error> {
    let mut end = None;
    delight_journal::find_last(journal, |record| {
        end = Some(record.next());
        true
    })?;
    let mut reader = Reader::open(journal);
    let start_offset = match reader.next_item()? {
        Some(Item::Record(record)) => record.position,
        Some(Item::Gap { from, .. } | Item::Corrupt { from, .. }) => from.position,
        None => end.map_or(0, |end| end.position),
    };
    let end = end.unwrap_or(delight_journal::Point { ordinal: 1, position: start_offset });
    let mut offset = None;
    let mut next = match params.from {
        OutputFrom::Offset(at) => {
            offset = Some(at.min(end.position));
            OutputFrom::Offset(at.min(end.position))
        }
        OutputFrom::Tail(bytes) => {
            let at = end.position.saturating_sub(bytes).max(start_offset);
            offset = Some(at);
            OutputFrom::Offset(at)
        }
        OutputFrom::Record(ordinal) => OutputFrom::Record(ordinal),
    };
    match next {
        OutputFrom::Offset(at) => reader.seek_position(at),
        OutputFrom::Record(ordinal) => reader.seek_ordinal(ordinal),
        OutputFrom::Tail(_) => {}
    }
    let mut piece = Piece {
        records: Vec::new(),
        room: params.max_bytes.clamp(1, MAX_OUTPUT_BYTES) as usize,
        input: params.input,
    };
    let mut at_end = true;
    loop {
        if piece.room == 0 || piece.records.len() >= MAX_RECORDS {
            at_end = false;
            break;
        }
        match reader.next_item()? {
            None => break,
            Some(Item::Record(record)) => {
                // Only the first record can begin before what was asked for.
                let skip = offset.take().map_or(0, |at| at.saturating_sub(record.position));
                next = piece.add(&record, skip);
                if matches!(next, OutputFrom::Offset(_)) {
                    at_end = false;
                    break;
                }
            }
            Some(Item::Gap { from, to } | Item::Corrupt { from, to }) => {
                let from = offset.take().unwrap_or(from.position);
                if to.position > from {
                    let body = OutputBody::Lost { bytes: to.position - from };
                    piece.records.push(OutputRecord { offset: from, at_ms: 0, body });
                }
                next = OutputFrom::Record(to.ordinal);
            }
        }
    }
    Ok(OutputResult { records: piece.records, next, start_offset, end_offset: end.position, at_end })
}

impl Piece {
    /// Adds a record and says where to go on: behind it, or inside when it did not fit.
    fn add(&mut self, record: &Record<'_>, skip: u64) -> OutputFrom {
        let behind = OutputFrom::Record(record.next().ordinal);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(record.payload.len());
        let (offset, body) = match record.kind {
            kind::OUTPUT => {
                let bytes = &record.payload[skip..];
                let taken = &bytes[..bytes.len().min(self.room)];
                self.room -= taken.len();
                let offset = record.position + skip as u64;
                self.push(offset, record.at_ms, OutputBody::Output { data: BASE64.encode(taken) });
                let cut = taken.len() < bytes.len();
                return if cut { OutputFrom::Offset(offset + taken.len() as u64) } else { behind };
            }
            kind::INPUT if self.input => {
                (record.position, OutputBody::Input { data: self.encode(record.payload) })
            }
            kind::STDERR => (record.position, OutputBody::Stderr { data: self.encode(record.payload) }),
            kind::LOST => (record.position, OutputBody::Lost { bytes: record.advance }),
            kind::MARK => match serde_json::from_slice(record.payload) {
                Ok(Mark::Started(up)) => (record.position, OutputBody::Started { generation: up.generation }),
                Ok(Mark::Exited(end)) => {
                    (record.position, OutputBody::Exited { generation: end.generation, exit: end.exit })
                }
                Ok(Mark::Resized { size }) => (record.position, OutputBody::Resized { size }),
                // A mark of a newer holder: it is for those who know it.
                Err(_) => return behind,
            },
            _ => return behind,
        };
        self.push(offset, record.at_ms, body);
        behind
    }

    /// What is not output cannot be cut in two: it may exceed the room once, by at most one record.
    fn encode(&mut self, bytes: &[u8]) -> String {
        self.room = self.room.saturating_sub(bytes.len());
        BASE64.encode(bytes)
    }

    fn push(&mut self, offset: u64, at_ms: u64, body: OutputBody) {
        self.records.push(OutputRecord { offset, at_ms, body });
    }
}
