//! A session as clients see it, made of its record and of what the daemon knows beside it.

use delight_proto::session::{Record, SessionView};

/// The view of a record alone: of a session nobody has looked after yet.
#[must_use]
pub fn of_record(record: &Record) -> SessionView {
    SessionView {
        id: record.id,
        name: record.name.clone(),
        kind: record.spec.kind.clone(),
        command: record.spec.command.clone(),
        cwd: record.spec.cwd.clone(),
        desired: record.desired,
        phase: record.phase,
        reason: record.reason.clone(),
        since_ms: record.since_ms,
        created_ms: record.created_ms,
        generation: record.generation,
        pid: None,
        holder: record.holder.clone(),
        exit: record.exit,
        last_seq: record.last_seq,
        controller: None,
        agent: None,
        warnings: Vec::new(),
    }
}
