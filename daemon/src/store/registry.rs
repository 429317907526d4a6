//! The spawn registry in sled: one record a session, a schema number, and what could not be read.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Record;

use super::policy::Policies;
use super::record;
use super::uplink::LINKS;

/// The layout of the registry. It grows when a tree or key changes meaning.
const SCHEMA: u32 = 1;
const SCHEMA_KEY: &[u8] = b"schema";
const SESSIONS: &str = "sessions";
const QUARANTINE: &str = "quarantine";

/// sled's page cache. The registry is read once, at the start; the reducers hold the state after that.
const CACHE_BYTES: u64 = 1 << 20;

/// sled's log segment and write buffer: the smallest that holds hundreds of records and costs little memory.
const SEGMENT_BYTES: usize = 256 << 10;

/// How long the lock of the last daemon's registry is waited for, and how often it is looked at.
const LETTING_GO: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The open registry.
#[derive(Debug)]
pub(super) struct Registry {
    flusher: Flusher,
    sessions: sled::Tree,
    quarantine: sled::Tree,
    policies: Policies,
    links: sled::Tree,
}

/// What makes the registry durable, on whatever thread.
#[derive(Debug, Clone)]
pub(super) struct Flusher {
    path: PathBuf,
    db: sled::Db,
    /// sled's log file.
    log: Arc<File>,
}

impl Flusher {
    /// Makes everything written so far durable.
    ///
    /// On Linux sled's own flush is a `sync_file_range`, which writes pages but neither the file's new length nor the
    /// disk's cache: enough against `kill -9`, not against a power cut. Hence the `fdatasync` behind it.
    pub(super) fn flush(&self) -> Result<(), Refusal> {
        self.db.flush().map_err(|e| self.refuse("write", &e))?;
        self.log.sync_data().map_err(|e| self.refuse("sync", &e))
    }

    fn refuse(&self, verb: &str, e: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(
            Code::Storage,
            format!("the registry {} could not be used", self.path.display()),
            format!("{verb}: {e}"),
        )
        .fix("check free space and the disk, then restart the daemon: sessions go on meanwhile")
    }
}

/// What [`Registry::load`] found.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) records: Vec<Record>,
    pub(super) quarantined: Vec<String>,
    pub(super) quarantined_ids: Vec<SessionId>,
}

impl Registry {
    /// Opens or makes the one at `path`. `called` is what refusals call it; `sessions_dir` tells a first start from a
    /// registry that was lost.
    pub(super) fn open(path: &Path, called: &Path, sessions_dir: &Path) -> Result<Self, Refusal> {
        let damaged = |reason: String| {
            Refusal::new(Code::Storage, format!("the registry {} cannot be opened", called.display()), reason).fix(
                format!(
                    "restore it from a backup; or move {} and {} away to begin anew (running sessions go on, unlisted)",
                    called.display(),
                    sessions_dir.display()
                ),
            )
        };
        // sled panics on some kinds of damage instead of returning an error.
        let open = || {
            let db = sled::Config::new()
                .path(path)
                .cache_capacity(CACHE_BYTES)
                .segment_size(SEGMENT_BYTES)
                .mode(sled::Mode::LowSpace)
                // Its timer would wake an idle daemon twice a second; every commit flushes by itself.
                .flush_every_ms(None)
                .open()?;
            let sessions = db.open_tree(SESSIONS)?;
            let quarantine = db.open_tree(QUARANTINE)?;
            let policies = Policies::open(&db)?;
            let links = db.open_tree(LINKS)?;
            Ok::<_, sled::Error>((db, sessions, quarantine, policies, links))
        };
        let (db, sessions, quarantine, policies, links) = match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(opened)) => opened,
            Ok(Err(e)) => return Err(not_opened(&e, called, damaged)),
            Err(panic) => return Err(damaged(format!("it is damaged ({})", panic_text(&panic)))),
        };
        let log = File::open(path.join("db")).map_err(|e| damaged(format!("its log: {e}")))?;
        let flusher = Flusher { path: called.to_owned(), db, log: Arc::new(log) };
        let registry = Self { flusher, sessions, quarantine, policies, links };
        registry.check_schema(sessions_dir, damaged)?;
        Ok(registry)
    }

    fn check_schema(&self, sessions_dir: &Path, damaged: impl Fn(String) -> Refusal) -> Result<(), Refusal> {
        let found = self.flusher.db.get(SCHEMA_KEY).map_err(|e| damaged(e.to_string()))?;
        let Some(found) = found else {
            let left = super::stray::session_dirs(sessions_dir).len();
            if left > 0 || !self.sessions.is_empty() {
                return Err(damaged(format!(
                    "it is empty, while {left} sessions have data: it was lost or damaged"
                )));
            }
            self.flusher
                .db
                .insert(SCHEMA_KEY, SCHEMA.to_string().as_bytes())
                .map_err(|e| damaged(e.to_string()))?;
            return self.flush();
        };
        match std::str::from_utf8(&found).ok().and_then(|text| text.parse::<u32>().ok()) {
            Some(SCHEMA) => Ok(()),
            Some(newer) if newer > SCHEMA => Err(Refusal::new(
                Code::Storage,
                format!("the registry {} cannot be opened", self.flusher.path.display()),
                format!("it has schema {newer}; this build knows up to {SCHEMA}: a newer delightd wrote it"),
            )
            .fix("start the newer delightd again; nothing was changed")),
            _ => Err(damaged("its schema number cannot be read".to_owned())),
        }
    }

    /// Reads all records; moves those it cannot read to the quarantine.
    pub(super) fn load(&self) -> Result<Loaded, Refusal> {
        let mut records = Vec::new();
        for entry in &self.sessions {
            let (key, value) = entry.map_err(|e| self.refuse("read", &e))?;
            let reason = match record::decode::<Record>(&value) {
                Ok(record) if record.id.as_str().as_bytes() == &key[..] => {
                    records.push(record);
                    continue;
                }
                Ok(record) => format!("it says it is {}", record.id),
                Err(e) => e.to_string(),
            };
            tracing::error!(key = %String::from_utf8_lossy(&key), reason, "a registry record is set aside");
            // Written there before it is removed here: a crash in between leaves it in both, never in none.
            self.quarantine.insert(&key, value).map_err(|e| self.refuse("write", &e))?;
            self.flush()?;
            self.sessions.remove(&key).map_err(|e| self.refuse("write", &e))?;
        }
        self.flush()?;
        let (mut quarantined, mut quarantined_ids) = (Vec::new(), Vec::new());
        for entry in &self.quarantine {
            let (key, value) = entry.map_err(|e| self.refuse("read", &e))?;
            let name = String::from_utf8_lossy(&key).into_owned();
            let reason = record::decode::<Record>(&value).err().map_or_else(String::new, |e| e.to_string());
            quarantined_ids.extend(name.parse::<SessionId>().ok());
            quarantined.push(format!("session {name}: {reason}"));
        }
        Ok(Loaded { records, quarantined, quarantined_ids })
    }

    /// Every session it knows of, also those whose record cannot be read.
    pub(super) fn ids(&self) -> Result<BTreeSet<SessionId>, Refusal> {
        let mut ids = BTreeSet::new();
        for entry in self.sessions.iter().chain(&self.quarantine) {
            let (key, _) = entry.map_err(|e| self.refuse("read", &e))?;
            ids.extend(String::from_utf8_lossy(&key).parse::<SessionId>().ok());
        }
        Ok(ids)
    }

    /// Writes a record; durable after [`Self::flush`].
    pub(super) fn put(&self, record: &Record) -> Result<(), Refusal> {
        let bytes = record::encode(record).map_err(|e| self.refuse("write", &e))?;
        self.sessions.insert(record.id.as_str(), bytes).map(drop).map_err(|e| self.refuse("write", &e))
    }

    /// Deletes a record and the session's link; durable after [`Self::flush`].
    pub(super) fn delete(&self, id: SessionId) -> Result<(), Refusal> {
        self.links.remove(id.as_str()).map_err(|e| self.refuse("write", &e))?;
        self.sessions.remove(id.as_str()).map(drop).map_err(|e| self.refuse("write", &e))
    }

    /// The owner's policy.
    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Makes everything written so far durable.
    pub(super) fn flush(&self) -> Result<(), Refusal> {
        self.flusher.flush()
    }

    /// The same for another thread.
    pub(super) fn flusher(&self) -> Flusher {
        self.flusher.clone()
    }

    /// Whether there is a record of the session, readable or not.
    pub(super) fn has(&self, id: SessionId) -> Result<bool, Refusal> {
        let key = id.as_str();
        let held = |tree: &sled::Tree| tree.contains_key(key).map_err(|e| self.refuse("read", &e));
        Ok(held(&self.sessions)? || held(&self.quarantine)?)
    }

    pub(super) fn links(&self) -> &sled::Tree {
        &self.links
    }

    /// The refusal of something sled would not do.
    pub(super) fn refuse(&self, verb: &str, e: &dyn std::fmt::Display) -> Refusal {
        self.flusher.refuse(verb, e)
    }

    #[cfg(test)]
    pub(super) fn raw(&self) -> (&sled::Db, &sled::Tree) {
        (&self.flusher.db, &self.sessions)
    }
}

/// Why sled could not open it: what the disk does not allow at present is no damage, and nothing is to be moved away.
fn not_opened(error: &sled::Error, called: &Path, damaged: impl Fn(String) -> Refusal) -> Refusal {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let fix = match error {
        sled::Error::Io(e) if matches!(e.kind(), StorageFull | QuotaExceeded) => "make room on its disk",
        sled::Error::Io(e) if matches!(e.kind(), ReadOnlyFilesystem | PermissionDenied) => {
            "make it writable for you; nothing in it was changed"
        }
        _ => return damaged(error.to_string()),
    };
    let what = format!("the registry {} cannot be opened", called.display());
    Refusal::new(Code::Storage, what, error.to_string()).fix(fix)
}

/// Waits (bounded) until nobody has the registry open. We have the daemon's lock, so it is held by what is left of the
/// last daemon: a holder it was starting keeps a copy of every descriptor until it executes.
///
/// # Errors
/// `storage` when it is still held, or its lock cannot be asked.
pub(super) fn await_release(path: &Path) -> Result<(), Refusal> {
    let refuse = |reason: String| {
        Refusal::new(Code::Storage, format!("the registry {} cannot be opened", path.display()), reason)
            .fix("end the process that has it open (fuser tells which), then start the daemon again")
    };
    let log = match File::open(path.join("db")) {
        Ok(log) => log,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(refuse(e.to_string())),
    };
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match log.try_lock() {
            // Given back with the file.
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
            Err(e) => return Err(refuse(format!("its lock: {e}"))),
        }
    }
}

/// The first line of what a panic said.
fn panic_text(panic: &Box<dyn std::any::Any + Send>) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given");
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_or_closed_disk_is_no_damage() {
        let damaged = |reason: String| Refusal::new(Code::Storage, "d", reason).fix("move it away");
        let fix = |kind: std::io::ErrorKind| {
            not_opened(&sled::Error::Io(kind.into()), Path::new("/r"), damaged).fix
        };
        assert_eq!(fix(std::io::ErrorKind::StorageFull), "make room on its disk");
        assert!(fix(std::io::ErrorKind::ReadOnlyFilesystem).contains("writable"));
        assert_eq!(fix(std::io::ErrorKind::InvalidData), "move it away");
    }
}
