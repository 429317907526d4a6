//! The two threads that touch the database.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::{StoreError, Write, schema};
use crate::clock;
use crate::update::Publication;

/// Jobs waiting for a thread. Each is an HTTP request or a socket whose reading pauses meanwhile, so a full queue slows
/// clients down and loses nothing.
const QUEUE: usize = 1_024;
/// Most writes that share a commit: bounds how long the first of them waits for the others.
const BATCH: usize = 128;

type Job = Box<dyn FnOnce(&Connection) -> Finished + Send>;
type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// A write that ran but is not yet durable.
struct Finished {
    keep: bool,
    publications: Vec<Publication>,
    /// Told when it is durable (`None`), or that it never will be.
    done: Box<dyn FnOnce(Option<StoreError>) + Send>,
}

/// The way to the database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    writes: mpsc::Sender<Job>,
    reads: mpsc::Sender<ReadJob>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// Keeps the directory ours (`flock`) until the last clone and both threads are gone.
    _lock: Arc<File>,
}

impl Store {
    /// Opens or makes the database in a directory. `publish` is called on the writing thread, after the commit.
    pub(crate) fn open(
        directory: &Path,
        publish: impl Fn(Publication) + Send + 'static,
    ) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = open_private(&directory.join("relay.lock"))?;
        lock.try_lock().map_err(|why| match why {
            std::fs::TryLockError::WouldBlock => StoreError::Taken,
            std::fs::TryLockError::Error(why) => StoreError::Directory(why),
        })?;
        let path = directory.join("relay.sqlite");
        // SQLite gives its log and index the mode of the database, so this decides for all three.
        drop(open_private(&path)?);
        let mut writer = Connection::open(&path)?;
        configure(&writer)?;
        schema::prepare(&mut writer)?;
        let reader = Connection::open_with_flags(
            &path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        reader.busy_timeout(Duration::from_secs(10))?;
        reader.set_prepared_statement_cache_capacity(64);

        let (writes, write_queue) = mpsc::channel(QUEUE);
        let (reads, read_queue) = mpsc::channel(QUEUE);
        let threads = vec![
            std::thread::Builder::new()
                .name("relay-write".into())
                .spawn(move || write_loop(&writer, write_queue, &publish))?,
            std::thread::Builder::new()
                .name("relay-read".into())
                .spawn(move || read_loop(&reader, read_queue))?,
        ];
        Ok(Self { writes, reads, threads: Arc::new(Mutex::new(threads)), _lock: Arc::new(lock) })
    }

    /// Queues a write and returns when it is queued; `done` hears the result on the writing thread when it is durable.
    /// Whoever queues in order is served in order.
    ///
    /// Cancel safe: before it returns nothing was queued.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Write<'_>) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let job: Job = Box::new(move |db| {
            let mut open = Write::new(db, clock::now_ms());
            let result = write(&mut open);
            let keep = result.is_ok();
            let publications = if keep { open.publications } else { Vec::new() };
            Finished { keep, publications, done: Box::new(move |failed| done(failed.map_or(result, Err))) }
        });
        self.writes.send(job).await.map_err(|_| StoreError::Closed)
    }

    /// Writes, and waits until it is durable.
    ///
    /// Not cancel safe in effect: a write once queued is made even when nobody waits for it any more.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Write<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        // A caller that stopped waiting needs no answer.
        self.submit(write, move |result| drop(tell.send(result))).await?;
        told.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads what is committed. Cancel safe.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let job: ReadJob = Box::new(move |db| drop(tell.send(read(db))));
        self.reads.send(job).await.map_err(|_| StoreError::Closed)?;
        told.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits for both threads, which end when every other clone of this store is gone. Blocks.
    pub(crate) fn join(self) {
        let Self { writes, reads, threads, _lock } = self;
        drop((writes, reads));
        let threads = std::mem::take(&mut *threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a database thread had panicked");
            }
        }
    }
}

fn open_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn configure(db: &Connection) -> Result<(), StoreError> {
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    // Deleted sessions are gone from the file, not only from the tables.
    db.pragma_update(None, "secure_delete", true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn read_loop(db: &Connection, mut queue: mpsc::Receiver<ReadJob>) {
    while let Some(job) = queue.blocking_recv() {
        job(db);
    }
}

fn write_loop(db: &Connection, mut queue: mpsc::Receiver<Job>, publish: &dyn Fn(Publication)) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match queue.try_recv() {
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
        write_batch(db, batch, publish);
    }
    if let Err(why) = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize") {
        tracing::warn!(%why, "the database's log could not be folded in at the end; the next start does it");
    }
}

fn write_batch(db: &Connection, batch: Vec<Job>, publish: &dyn Fn(Publication)) {
    if let Err(why) = db.execute_batch("BEGIN IMMEDIATE") {
        tracing::error!(%why, "no transaction could be opened");
        // Dropping the jobs tells their callers: their channels close.
        return;
    }
    let finished: Vec<Finished> = batch.into_iter().filter_map(|job| write_one(db, job)).collect();
    let failed = db.execute_batch("COMMIT").err();
    if let Some(why) = &failed {
        tracing::error!(%why, "a transaction could not be committed");
        // A failed commit may leave the transaction open; after this there is none either way.
        if !db.is_autocommit() && db.execute_batch("ROLLBACK").is_err() {
            tracing::error!("nor could it be rolled back");
        }
    }
    for one in finished {
        match &failed {
            None => {
                one.publications.into_iter().for_each(publish);
                (one.done)(None);
            }
            Some(_) => (one.done)(Some(StoreError::Closed)),
        }
    }
}

/// Runs one write inside the batch, so that its failure undoes only itself.
fn write_one(db: &Connection, job: Job) -> Option<Finished> {
    if let Err(why) = db.execute_batch("SAVEPOINT one") {
        tracing::error!(%why, "no savepoint could be made");
        return None;
    }
    let finished = job(db);
    let end = if finished.keep { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
    match db.execute_batch(end) {
        Ok(()) => Some(finished),
        Err(why) => {
            tracing::error!(%why, "a savepoint could not be ended");
            (finished.done)(Some(why.into()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn open(directory: &Path) -> Result<Store, StoreError> {
        Store::open(directory, |_| {})
    }

    #[tokio::test]
    async fn a_failed_write_undoes_itself_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        let put = |name: &'static str, fail: bool| {
            store.write(move |write| {
                write.db.execute("INSERT INTO secret VALUES (?1, x'00')", [name])?;
                if fail { Err(StoreError::NotOurs) } else { Ok(()) }
            })
        };
        let (a, b, c) = tokio::join!(put("a", false), put("b", true), put("c", false));
        assert!(a.is_ok() && b.is_err() && c.is_ok());
        let names: Vec<String> = store
            .read(|db| {
                let mut query = db.prepare("SELECT name FROM secret ORDER BY name")?;
                let names = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(names)
            })
            .await
            .unwrap();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn the_files_are_private_and_the_directory_serves_one_relay() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        let store = open(&directory).unwrap();
        assert!(matches!(open(&directory), Err(StoreError::Taken)));
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        }
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        store.join();
        open(&directory).unwrap().join();
    }

    #[test]
    fn a_newer_or_foreign_database_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).unwrap().join();
        let path = directory.path().join("relay.sqlite");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(open(directory.path()), Err(StoreError::Newer { found: 99 })));

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.sqlite");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
        assert!(matches!(open(directory.path()), Err(StoreError::NotOurs)));
    }
}
