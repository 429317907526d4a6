//! Session directories and registry records that do not match, after a crash or damage.

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

/// Deals with directories that have no record. One without output is what a crash between starting a holder and
/// storing its record leaves: nothing ran there, nothing was promised, it is deleted. Any other is kept and reported.
pub(super) fn report(place: &Place, records: &[Record], quarantined: &[SessionId], told: &mut Vec<String>) {
    for id in session_dirs(&place.sessions()) {
        if records.iter().any(|record| record.id == id) || quarantined.contains(&id) {
            continue;
        }
        let dir = place.session(id);
        let unused = !has_records(&dir.join("journal")) && !has_records(&dir.join("events"));
        if unused && !lock::is_held(&dir).unwrap_or(true) {
            if let Err(e) = fs::remove_dir_all(&dir) {
                tracing::warn!(session = %id, error = %e, "an unused session directory could not be deleted");
            }
            continue;
        }
        told.push(format!("session {id}: it has data in {} but no registry record", dir.display()));
    }
}

fn has_records(log: &Path) -> bool {
    !matches!(delight_journal::Reader::open(log).next_item(), Ok(None))
}
