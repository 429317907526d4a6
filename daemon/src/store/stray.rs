//! Session directories and registry records that do not match, after a crash or damage.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Record;

use super::registry::Registry;
use crate::process::lock;

/// What a directory is called while it is being deleted.
const REMOVED: &str = ".removed-";

/// Where a session's directory goes before it is deleted.
pub(super) fn removed_dir(place: &Place, id: SessionId) -> std::path::PathBuf {
    place.sessions().join(format!("{REMOVED}{id}"))
}

/// The sessions that have a directory.
pub(super) fn session_dirs(sessions: &Path) -> Vec<SessionId> {
    names(sessions).iter().filter_map(|name| name.parse().ok()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Completes removals a crash cut short: their record goes, then their directory.
pub(super) fn finish_removals(
    place: &Place,
    registry: &Registry,
    records: &mut Vec<Record>,
) -> Result<(), Refusal> {
    for name in names(&place.sessions()) {
        let Some(id) = name.strip_prefix(REMOVED).and_then(|id| id.parse::<SessionId>().ok()) else {
            continue;
        };
        registry.delete(id)?;
        registry.flush()?;
        records.retain(|record| record.id != id);
        let dir = removed_dir(place, id);
        fs::remove_dir_all(&dir).map_err(|e| {
            Refusal::new(Code::Storage, format!("{} could not be deleted", dir.display()), e.to_string())
        })?;
    }
    Ok(())
}

/// Deals with directories that have no record. One without output and events is what a holder leaves that waited for a
/// session when the daemon was killed: nothing ran there, nothing was promised, it is deleted (at the next start, if
/// its holder has not ended yet). Any other is kept and reported, with the place where the registry was `kept` as it had
/// been.
pub(super) fn report(
    place: &Place,
    known: &BTreeSet<SessionId>,
    kept: Option<&Path>,
    told: &mut Vec<String>,
) {
    let lost = without_record(place, known);
    for id in session_dirs(&place.sessions()) {
        let dir = place.session(id);
        if lost.contains(&id) {
            let kept = kept.map_or_else(String::new, |kept| {
                format!("; the registry as it was is in {}", kept.display())
            });
            told.push(format!("session {id}: it has data in {} but no registry record{kept}", dir.display()));
        } else if !known.contains(&id)
            && !lock::is_held(&dir).unwrap_or(true)
            && let Err(e) = fs::remove_dir_all(&dir)
        {
            tracing::warn!(session = %id, error = %e, "an unused session directory could not be deleted");
        }
    }
}

/// The sessions that have data, and are not among those the registry knows.
pub(super) fn without_record(place: &Place, known: &BTreeSet<SessionId>) -> Vec<SessionId> {
    let mut found = session_dirs(&place.sessions());
    found.retain(|id| {
        let dir = place.session(*id);
        !known.contains(id) && (has_records(&dir.join("journal")) || has_records(&dir.join("events")))
    });
    found
}

fn has_records(log: &Path) -> bool {
    !matches!(delight_journal::Reader::open(log).next_item(), Ok(None))
}
