//! What was received under a key, remembered durably before anything is done about it: nothing is done twice, also not
//! after a restart, however often the server delivers it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use delight_crypto::ReplayGuard;
use delight_crypto::replay::{Admitted, Delivery, Mark, Record, Replayed};
use delight_journal::{Closing, Item, Options, Point, Reader, Writer};
use delight_proto::refusal::{Code, Refusal};
use tokio::task::spawn_blocking;

use crate::actor::wall_ms;

/// The record kind of a remembered value.
const VALUE: u8 = 1;

/// A segment of some two thousand values; twelve of them hold more than a full memory.
const SEGMENT_BYTES: u64 = 256 << 10;
const RETAIN_BYTES: u64 = 3 << 20;

/// One key's memory and its log. Cheap to clone.
#[derive(Clone)]
pub(super) struct Guard(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    /// Read from the log when it is first needed: most keys are never used between two starts.
    open: Mutex<Option<Open>>,
}

struct Open {
    memory: ReplayGuard,
    log: Writer,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard({})", self.0.dir.display())
    }
}

impl Guard {
    /// The memory whose log lies in this directory.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self(Arc::new(Inner { dir, open: Mutex::new(None) }))
    }

    /// Judges a call. When it may be acted on it is remembered durably.
    ///
    /// Dropping the future may leave it remembered and not acted on: its sender asks again.
    ///
    /// # Errors
    /// `forbidden` for a value delivered before, `storage` when it cannot be remembered.
    pub(super) async fn admit_call(&self, mark: Mark, sent_at: Option<u64>) -> Result<(), Refusal> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            inner.with(|open| match open.memory.admit(mark, Delivery::Call, sent_at) {
                Ok(Admitted::Fresh(record)) => open.keep(&[record]),
                Ok(Admitted::Again) => Err(replayed(Replayed::Repeated)),
                Err(why) => Err(replayed(why)),
            })
        })
        .await
    }

    /// Judges stored rows, by their ids at the server. Those that may be acted on are remembered durably. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// `storage` when they cannot be remembered.
    pub(super) fn admit_rows(&self, rows: &[(Mark, String)]) -> Result<Vec<Result<(), Replayed>>, Refusal> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.0.with(|open| {
            let mut fresh = Vec::new();
            let mut judged = Vec::with_capacity(rows.len());
            for (mark, id) in rows {
                judged.push(open.memory.admit(*mark, Delivery::Row(id), None).map(|admitted| {
                    if let Admitted::Fresh(record) = admitted {
                        fresh.push(record);
                    }
                }));
            }
            open.keep(&fresh)?;
            Ok(judged)
        })
    }

    /// Remembers values of our own that could be taken for a phone's. Blocks on the disk.
    ///
    /// # Errors
    /// `storage`.
    pub(super) fn note_own(&self, marks: &[Mark]) -> Result<(), Refusal> {
        if marks.is_empty() {
            return Ok(());
        }
        self.0.with(|open| {
            let records: Vec<Record> = marks.iter().map(|mark| open.memory.note_own(*mark)).collect();
            open.keep(&records)
        })
    }

    /// The same beside the loop.
    ///
    /// # Errors
    /// `storage`.
    pub(super) async fn note_own_soon(&self, mark: Mark) -> Result<(), Refusal> {
        let guard = self.clone();
        blocking(move || guard.note_own(&[mark])).await
    }
}

impl Inner {
    fn with<T>(&self, act: impl FnOnce(&mut Open) -> Result<T, Refusal>) -> Result<T, Refusal> {
        // A panic in here leaves a memory that holds more than its log, never less.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Some(self.read()?);
        }
        match open.as_mut() {
            Some(open) => act(open),
            None => Err(unusable(&"it is not open")),
        }
    }

    fn read(&self) -> Result<Open, Refusal> {
        let options = Options {
            segment_bytes: SEGMENT_BYTES,
            retain_bytes: RETAIN_BYTES,
            first: Point { ordinal: 1, position: 0 },
            closing: Closing::Sync,
        };
        let (log, recovery) = Writer::open(&self.dir, options).map_err(|e| unusable(&e))?;
        if recovery != delight_journal::Recovery::default() {
            tracing::warn!(dir = %self.dir.display(), ?recovery, "a replay log was put right after a crash");
        }
        let mut memory = ReplayGuard::default();
        let mut reader = Reader::open(&self.dir);
        while let Some(item) = reader.next_item().map_err(|e| unusable(&e))? {
            if let Item::Record(record) = item
                && record.kind == VALUE
                && let Ok(value) = serde_json::from_slice::<Record>(record.payload)
            {
                memory.restore(value);
            }
        }
        Ok(Open { memory, log })
    }
}

impl Open {
    fn keep(&mut self, records: &[Record]) -> Result<(), Refusal> {
        if records.is_empty() {
            return Ok(());
        }
        let now = wall_ms();
        for record in records {
            let json = serde_json::to_vec(record).map_err(|e| unusable(&e))?;
            self.log.append(VALUE, 1, now, &[&json]).map_err(|e| unusable(&e))?;
        }
        self.log.sync().map_err(|e| unusable(&e))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    spawn_blocking(work).await.unwrap_or_else(|e| Err(unusable(&e)))
}

fn replayed(why: Replayed) -> Refusal {
    Refusal::new(Code::Forbidden, "the call was not carried out", why.to_string())
        .fix("ask again: every call is sealed anew")
}

fn unusable(e: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Code::Storage, "the memory of what was received cannot be kept", e.to_string())
        .fix("check free space of the state directory")
}

#[cfg(test)]
mod tests {
    use delight_crypto::{DataKey, Fresh, SealingKey};

    use super::*;

    fn mark(n: u8) -> Mark {
        let key = SealingKey::data(&DataKey::from_bytes([1; 32]));
        key.seal(b"x", Fresh::new([n; 24])).unwrap().mark()
    }

    #[tokio::test]
    async fn a_call_is_admitted_once_also_after_a_restart() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("replay");
        for life in 0..3 {
            let guard = Guard::new(dir.clone());
            let first = guard.admit_call(mark(1), Some(5)).await;
            assert_eq!(first.is_ok(), life == 0, "{first:?}");
            assert_eq!(guard.admit_call(mark(1), Some(5)).await.unwrap_err().code, Code::Forbidden);
            guard.admit_call(mark(10 + life), None).await.unwrap();
        }
    }

    #[test]
    fn a_row_may_be_read_again_and_never_be_another() {
        let base = tempfile::tempdir().unwrap();
        let rows = [(mark(1), "a".to_owned()), (mark(2), "b".to_owned())];
        for _ in 0..2 {
            let guard = Guard::new(base.path().join("replay"));
            assert_eq!(guard.admit_rows(&rows).unwrap(), [Ok(()), Ok(())]);
            let moved = [(mark(1), "c".to_owned())];
            assert_eq!(guard.admit_rows(&moved).unwrap(), [Err(Replayed::Repeated)]);
        }
    }

    #[test]
    fn what_we_sealed_ourselves_is_never_a_phones() {
        let base = tempfile::tempdir().unwrap();
        let guard = Guard::new(base.path().join("replay"));
        guard.note_own(&[mark(3)]).unwrap();
        let again = Guard::new(base.path().join("replay"));
        assert_eq!(again.admit_rows(&[(mark(3), "a".to_owned())]).unwrap(), [Err(Replayed::Reflected)]);
    }
}
