//! What the daemon remembers: the spawn registry (sled) and each session's event log (segment files).
//!
//! This module is the only place that names sled. All writing happens on one thread with group commit: it takes what
//! has queued up, writes all of it, flushes once and then answers everybody.
//!
//! | write | `kill -9` of the daemon | power loss |
//! |---|---|---|
//! | `Save` (registry record), once answered | survives | survives: flushed before the answer |
//! | `Checkpoint` (registry record), once answered | may be lost: the one before it and the events behind that are there | the same |
//! | `Link` (keys and cursors of the link to the server), once answered | survives | survives: flushed before the answer |
//! | `Forget`, once answered | survives | survives; a directory whose deletion was cut short is deleted at the next start |
//! | `Append` (event), once answered | survives: one `writev` into the page cache | the newest events may be lost, whole ones only; the numbering goes on after the last one kept, and the link's cursor is taken back to it |
//! | a change of the policy, once answered | survives | survives |
//! | anything not yet answered | happened whole or not at all, a record and an event each for itself | the same |
//!
//! A store that cannot be trusted is refused, never started clean: a newer schema, a damaged store, a registry that is
//! empty while sessions have data. A copy is tried first (`trial`): a registry that is refused stays as it was, byte for
//! byte, and one that opens with records missing is kept beside as it was. One damaged record is set aside (tree
//! `quarantine`), reported, and the rest works.

mod beside;
mod events;
mod policy;
mod record;
mod registry;
mod stray;
mod thread;
mod trial;
mod uplink;

use std::collections::BTreeSet;
use std::path::PathBuf;

use delight_core::supervisor::Stored;
use delight_proto::event::Event;
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::policy::Policy;
use delight_proto::refusal::Refusal;
use delight_proto::session::Record;

pub(crate) use events::{EventReader, read_events};
pub(crate) use policy::{PolicyChange, PolicyChanged};
pub(crate) use thread::{CommitFailed, Store, delete_directory};
pub(crate) use uplink::LinkRecord;

/// One write. Those of one commit are carried out in order.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful live for a moment; the large one is the usual one")]
pub(crate) enum Write {
    /// A registry record, made durable.
    Save(Box<Record>),
    /// A registry record, made durable some time.
    Checkpoint(Box<Record>),
    /// An event; its number must follow the last one's.
    Append(Event),
    /// The link to the server, made durable.
    Link(Box<LinkRecord>),
    /// The record and the link are deleted and the session's directory is set aside for deletion.
    Forget,
}

/// What a start finds.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Every readable record, with what its event log says beyond it.
    pub(crate) sessions: Vec<Stored>,
    /// What was set aside or has no record, in words for the owner.
    pub(crate) quarantined: Vec<String>,
}

/// Opens the store on its own thread and reads what is in it. Blocks until that is done.
///
/// # Errors
/// `storage` with what, why and fix, for anything that cannot be trusted. Nothing is changed then.
pub(crate) fn open(place: &Place) -> Result<(Store, Contents), Refusal> {
    Store::start(place.clone())
}

/// Reads everything a start needs. Runs on the store's thread.
fn read_all(place: &Place) -> Result<(registry::Registry, Policy, Contents), Refusal> {
    let kept = trial::run(place)?;
    let path = place.registry();
    let registry = registry::Registry::open(&path, &path, &place.sessions())?;
    let loaded = registry.load()?;
    let mut records = loaded.records;
    let mut quarantined = loaded.quarantined;
    stray::finish_removals(place, &registry, &mut records)?;
    let known: BTreeSet<SessionId> =
        records.iter().map(|record| record.id).chain(loaded.quarantined_ids.iter().copied()).collect();
    stray::report(place, &known, kept.as_deref(), &mut quarantined);
    let policy = policy::load(&registry, &known, &mut quarantined)?;
    let mut sessions = Vec::with_capacity(records.len());
    let mut taken_back = false;
    for record in records {
        let (log_seq, tail) = match events::after_record(place, &record) {
            Ok((log_seq, tail)) => {
                taken_back |= registry.take_link_back(record.id, log_seq)?;
                (log_seq, tail)
            }
            Err(reason) => {
                quarantined.push(format!("event log of session {}: {reason}", record.id));
                (record.last_seq, Vec::new())
            }
        };
        sessions.push(Stored { record, log_seq, tail });
    }
    if taken_back {
        registry.flush()?;
    }
    Ok((registry, policy, Contents { sessions, quarantined }))
}

/// Where a session's event log lies.
fn events_dir(place: &Place, id: SessionId) -> PathBuf {
    place.session(id).join("events")
}

#[cfg(test)]
pub(super) mod tests;
