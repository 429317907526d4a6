//! One batch of a session's records: read from the event log, made into records, sealed, sent.

use std::sync::{Arc, PoisonError};

use delight_core::uplink::{Fault, Notice, Outgoing, Projection, Thinning};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::Object;
use delight_proto::sync::bounded::{Id, List};
use delight_proto::sync::http::{OutgoingMessage, PostMessages};
use delight_proto::sync::record::Record;
use tokio::task::spawn_blocking;

use super::server::{Failed, Server};
use super::vault::{SessionKeys, text};
use crate::store::EventReader;

/// Records in one batch: half of what servers take at once.
const RECORDS: usize = 50;
/// Bytes of plaintext after which a batch is full: sealed and in base64 it is about 700 kB.
const BYTES: usize = 500_000;
/// Events read at once: a few at a time, as any may be large.
const READ: usize = 8;
/// Events read at once when a projection is made anew, of which none is kept, or when most of them are left out: whether an
/// agent says more in a turn is seen among these.
const REREAD: usize = 64;

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The last event it covers.
    pub(super) through: u64,
    /// Decided permissions, when there are new ones.
    pub(super) completed: Option<Object>,
}

/// A batch, sealed.
struct Batch {
    messages: Vec<OutgoingMessage>,
    projection: Projection,
    completed: Option<Object>,
}

/// Sends the notices and the events after `after`.
pub(super) async fn post(
    server: &Server,
    place: Place,
    id: SessionId,
    keys: Arc<SessionKeys>,
    (server_id, after, thinning): (Id, u64, Thinning),
    notices: Vec<Notice>,
) -> Result<Sent, Failed> {
    let made = {
        let keys = Arc::clone(&keys);
        spawn_blocking(move || batch(&place, id, &keys, after, thinning, &notices)).await
    };
    let batch =
        made.unwrap_or_else(|e| Err(Refusal::new(Code::Internal, "a batch was not made", e.to_string())))?;
    if batch.messages.is_empty() && batch.projection.through() <= after {
        // Damaged, or not written yet: asked for again at once it would be asked for without end.
        return Err(Failed {
            fault: Fault::Later,
            reason: "the event log has nothing more to read".to_owned(),
        });
    }
    if !batch.messages.is_empty() {
        let messages = List::new(batch.messages)
            .map_err(|e| Refusal::new(Code::TooLarge, "a batch was not made", e.to_string()))?;
        let _posted = server.call(&PostMessages { sid: server_id, messages }).await?;
    }
    let sent = Sent { through: batch.projection.through().max(after), completed: batch.completed };
    *keys.projection.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch.projection);
    Ok(sent)
}

fn batch(
    place: &Place,
    id: SessionId,
    keys: &SessionKeys,
    after: u64,
    thinning: Thinning,
    notices: &[Notice],
) -> Result<Batch, Refusal> {
    let held = keys.projection.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (mut projection, decided) = match held.filter(|held| held.through() == after) {
        Some(held) => {
            let decided = held.completed();
            (held, decided)
        }
        // What was decided before is told again: the server may not have it.
        None => (replayed(place, id, after)?, Object::new()),
    };
    let mut out: Vec<Outgoing> = notices.iter().filter_map(|notice| projection.notice(notice)).collect();
    let mut bytes = 0;
    let read = if thinning == Thinning::Folded { REREAD } else { READ };
    let mut log = EventReader::after(place, id, projection.through().max(after))?;
    'reading: while out.len() < RECORDS && bytes < BYTES {
        let events = log.next(read)?;
        if events.is_empty() {
            break;
        }
        for (at, event) in events.iter().enumerate() {
            for one in projection.project(event, &events[at + 1..], thinning) {
                bytes += size(&one.record);
                out.push(one);
            }
            if out.len() >= RECORDS || bytes >= BYTES {
                break 'reading;
            }
        }
    }
    let mut own = Vec::new();
    let mut messages = Vec::with_capacity(out.len());
    for Outgoing { local_id, record } in out {
        let sealed = keys.scope.seal(&record.plaintext()?)?;
        if matches!(record, Record::User(_)) {
            // Words typed at the terminal look like a phone's: the server must not be able to hand them back as such.
            own.push(sealed.mark());
        }
        messages.push(OutgoingMessage { content: text(&sealed)?, local_id });
    }
    keys.scope.guard.note_own(&own)?;
    let completed = Some(projection.completed()).filter(|now| *now != decided);
    Ok(Batch { messages, projection, completed })
}

fn size(record: &Record) -> usize {
    record.plaintext().map_or(0, |plaintext| plaintext.len())
}

/// What the events up to and including `through` mean for those after it.
fn replayed(place: &Place, id: SessionId, through: u64) -> Result<Projection, Refusal> {
    let mut projection = Projection::new(id);
    let mut log = EventReader::after(place, id, 0)?;
    while projection.through() < through {
        let events = log.next(REREAD)?;
        if events.is_empty() {
            break;
        }
        for event in events.iter().take_while(|event| event.seq <= through) {
            // The server has these.
            let _sent = projection.project(event, &[], Thinning::Whole);
        }
        if events.iter().any(|event| event.seq > through) {
            break;
        }
    }
    Ok(projection)
}
