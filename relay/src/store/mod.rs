//! What the relay keeps: one SQLite database, one thread that writes, one that reads.
//!
//! **Durability.** `journal_mode=WAL` with `synchronous=FULL`: a commit is on disk (fsync of the log) before anybody is
//! told of it, so a reply survives `kill -9` and a power cut. Writers that wait at the same time share one commit, so
//! the cost is one fsync a batch, not one a message.
//!
//! **Order.** Writes are made, published and answered in the order in which they were queued. Updates therefore leave in
//! the order of their `seq`, and a caller hears its own answer after the update its write caused.

pub(crate) mod access_key;
pub(crate) mod account;
pub(crate) mod kv;
pub(crate) mod machine;
pub(crate) mod message;
pub(crate) mod object;
pub(crate) mod pairing;
pub(crate) mod push_token;
mod schema;
pub(crate) mod session;
mod worker;

use rusqlite::Connection;

use crate::ids::NoRandomness;
use crate::update::{Body, Publication, Recipients};

pub(crate) use worker::Store;

/// The database could not do it. What it is asked is decided before; these are faults, not answers.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own words.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file system's words.
    #[error("the database's directory cannot be used: {0}")]
    Directory(#[from] std::io::Error),
    /// Another relay has it open.
    #[error("another relay uses this data directory")]
    Taken,
    /// A newer relay wrote it.
    #[error("the database has version {found}, this program knows {known}: use the newer relay", known = schema::VERSION)]
    Newer {
        /// Its version.
        found: i32,
    },
    /// Some other program's database.
    #[error("the database is not one of a delight relay")]
    NotOurs,
    /// The relay is shutting down.
    #[error("the relay is shutting down")]
    Closed,
    /// The answer would be too large to hold.
    #[error("the answer would have more than {ANSWER_MAX} bytes")]
    TooMuch,
    /// No names can be made.
    #[error("{0}")]
    NoRandomness(String),
}

impl From<NoRandomness> for StoreError {
    fn from(why: NoRandomness) -> Self {
        Self::NoRandomness(why.to_string())
    }
}

/// One write in progress: the open transaction, and what to tell whom once it is durable.
pub(crate) struct Write<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) now: i64,
    publications: Vec<Publication>,
}

impl<'a> Write<'a> {
    fn new(db: &'a Connection, now: i64) -> Self {
        Self { db, now, publications: Vec::new() }
    }

    /// Takes the account's next update number and announces the body under it, after the commit.
    pub(crate) fn announce(
        &mut self,
        account: &str,
        to: Recipients,
        body: &Body<'_>,
    ) -> Result<(), StoreError> {
        let seq: i64 = self
            .db
            .prepare_cached("UPDATE accounts SET seq = seq + 1 WHERE id = ?1 RETURNING seq")?
            .query_row([account], |row| row.get(0))?;
        self.publications.push(Publication::update(account, to, seq, self.now, body)?);
        Ok(())
    }

    /// The last announcement does not go to this socket, which sent what it tells.
    pub(crate) fn skip_sender(&mut self, sender: Option<u64>) {
        if let Some(last) = self.publications.last_mut() {
            last.skip = sender;
        }
    }

    /// Tells something that is not kept, after the commit.
    pub(crate) fn tell(&mut self, publication: Publication) {
        self.publications.push(publication);
    }
}

/// Most bytes of values in one list. Rows are small unless somebody wants them large; nobody may make the relay hold all
/// of those at once.
const ANSWER_MAX: usize = 32 << 20;

/// All rows of a list, if they are not too large together.
pub(crate) fn bounded<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    size: impl Fn(&T) -> usize,
) -> Result<Vec<T>, StoreError> {
    let mut total = 0;
    let mut list = Vec::new();
    for row in rows {
        let row = row?;
        total += size(&row);
        if total > ANSWER_MAX {
            return Err(StoreError::TooMuch);
        }
        list.push(row);
    }
    Ok(list)
}

/// `None` for "no such row".
pub(crate) fn optional<T>(result: rusqlite::Result<T>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(row) => Ok(Some(row)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// What came of a change that expected a version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Versioned {
    /// Done: the new version.
    Done(i64),
    /// Somebody was first: what is there now.
    Mismatch { version: i64, value: Option<String> },
    /// There is no such thing, or it is another account's: the two look the same.
    Absent,
}
