//! Why a session is as it is: what led there, and whether its recorded inputs lead there again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use delight_core::replay::{Entry, Replay};
use delight_core::session::{Input, Session};
use delight_core::why::{BACK, why};
use delight_journal::{Item, Reader};
use delight_proto::api::method::{ReplayDifference, ReplayResult, SessionReplay, SessionWhy, WhyResult};
use delight_proto::event::Event;
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};

use super::call::blocking;
use super::request::raw;
use super::routes::routes;
use crate::session::recorder::{ENTRY, directory};
use crate::store::read_events;

/// Events read at once.
const PAGE: usize = 1_000;

routes! { caller, room;
    SessionWhy(params) => {
        room.large().await;
        let session = caller.get(params.session).await?;
        let (place, id, last) = (caller.daemon().place.clone(), session.id, session.last_seq);
        let because = blocking(move || because(&place, id, last)).await?;
        raw(&WhyResult { session: *session, because })
    },
    SessionReplay(params) => {
        let id = caller.get(params.session).await?.id;
        let dir = directory(&caller.daemon().place.session(id));
        raw(&blocking(move || replay(id, &dir)).await?)
    },
}

fn because(place: &Place, id: SessionId, last: u64) -> Result<Vec<Event>, Refusal> {
    let mut after = last.saturating_sub(BACK);
    let mut log = Vec::new();
    loop {
        let mut page = read_events(place, id, after, PAGE)?.events;
        match page.last() {
            Some(newest) => after = newest.seq,
            None => break,
        }
        log.append(&mut page);
    }
    Ok(why(&log).into_iter().cloned().collect())
}

/// Folds a recording. An input that makes the reducer panic is a difference, too.
fn replay(id: SessionId, dir: &Path) -> Result<ReplayResult, Refusal> {
    let what = "the session cannot be replayed";
    let unreadable = |reason: String| Refusal::new(Code::Storage, what, reason);
    let mut reader = Reader::open(dir);
    let mut replay: Replay<Session> = Replay::default();
    let mut result =
        ReplayResult { id, inputs: 0, states: 0, skipped: 0, state_hash: None, difference: None };
    let mut newest: Option<Input> = None;
    loop {
        let entry = match reader.next_item().map_err(|e| unreadable(e.to_string()))? {
            None => break,
            Some(Item::Record(record)) if record.kind == ENTRY => {
                let entry: Entry<Session, Input> = serde_json::from_slice(record.payload)
                    .map_err(|e| unreadable(format!("entry {}: {e}", record.ordinal)))?;
                entry
            }
            // What follows a hole begins with a state again, or is counted as skipped.
            Some(_) => {
                replay.forget();
                continue;
            }
        };
        if let Entry::Input(input) = &entry {
            newest = Some(input.input.clone());
        }
        let difference = |recorded: String, folded: String| ReplayDifference {
            input: format!("{newest:?}"),
            recorded,
            folded,
        };
        match catch_unwind(AssertUnwindSafe(|| replay.next(entry))) {
            Ok(Ok(())) => {}
            Ok(Err(it)) => {
                let (recorded, folded) = (format!("{:?}", it.recorded), format!("{:?}", it.folded));
                result.difference.get_or_insert_with(|| difference(recorded, folded));
            }
            Err(_) => {
                let (recorded, folded) = ("no fault".to_owned(), "the reducer panics".to_owned());
                result.difference.get_or_insert_with(|| difference(recorded, folded));
                replay.forget();
            }
        }
    }
    (result.inputs, result.states, result.skipped) = (replay.inputs, replay.states, replay.skipped);
    result.state_hash =
        replay.state().map(|state| format!("{:016x}", delight_core::replay::StateHash::of(state)));
    if result.states == 0 {
        let fix = "write `record = true` into the daemon's configuration, restart it (delightctl down, delightctl up), \
                   and replay what happens from then on";
        return Err(Refusal::new(Code::NotFound, what, "its inputs were not recorded").fix(fix));
    }
    Ok(result)
}
