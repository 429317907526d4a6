//! Messages: sealed, numbered without gaps within their session, kept once however often they are sent.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{StoreError, Write, object, optional};
use crate::ids;
use crate::presence::Kind;
use crate::update::{Body, Recipients};

/// Most bytes of content in one page. A page that reaches it is short and says that there is more.
const PAGE_BYTES: usize = 8 << 20;

/// A sealed message as the wire spells it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) seq: i64,
    pub(crate) content: Content,
    pub(crate) local_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// The only kind of content there is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Content {
    pub(crate) t: &'static str,
    pub(crate) c: String,
}

/// A stored message as its sender is told: without the content it just sent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub(crate) id: String,
    pub(crate) seq: i64,
    pub(crate) local_id: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// What to store.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) content: String,
    /// The sender's own name for it: a second one with the same name is the first.
    pub(crate) local_id: Option<String>,
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Message> {
    let at: i64 = row.get(4)?;
    Ok(Message {
        seq: row.get(0)?,
        id: row.get(1)?,
        local_id: row.get(2)?,
        content: Content { t: "encrypted", c: row.get(3)? },
        created_at: at,
        updated_at: at,
    })
}

/// Stores a batch in its order and announces what is new. `None`: there is no such session.
///
/// Either all of it is stored or nothing. The receipts are in the order of `seq`, those stored earlier included.
pub(crate) fn store(
    write: &mut Write<'_>,
    account: &str,
    session: &str,
    batch: Vec<New>,
    sender: Option<u64>,
) -> Result<Option<Vec<Receipt>>, StoreError> {
    if !object::exists(write.db, Kind::Session, account, session)? {
        return Ok(None);
    }
    let mut receipts: Vec<Receipt> = Vec::with_capacity(batch.len());
    for new in batch {
        let stored = match &new.local_id {
            Some(local_id) => receipt(write.db, session, local_id)?,
            None => None,
        };
        let receipt = match stored {
            Some(stored) => stored,
            None => store_one(write, account, session, new, sender)?,
        };
        if !receipts.iter().any(|one| one.seq == receipt.seq) {
            receipts.push(receipt);
        }
    }
    receipts.sort_by_key(|receipt| receipt.seq);
    Ok(Some(receipts))
}

fn store_one(
    write: &mut Write<'_>,
    account: &str,
    session: &str,
    new: New,
    sender: Option<u64>,
) -> Result<Receipt, StoreError> {
    let now = write.now;
    let seq: i64 = write
        .db
        .prepare_cached("UPDATE sessions SET seq = seq + 1, updated_at = ?2 WHERE id = ?1 RETURNING seq")?
        .query_row(params![session, now], |row| row.get(0))?;
    let message = Message {
        id: ids::row(now)?,
        seq,
        content: Content { t: "encrypted", c: new.content },
        local_id: new.local_id,
        created_at: now,
        updated_at: now,
    };
    write
        .db
        .prepare_cached(
            "INSERT INTO messages (session, seq, id, local_id, content, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![session, seq, message.id, message.local_id, message.content.c, now])?;
    let body = Body::NewMessage { sid: session, message: &message };
    write.announce(account, Recipients::Session(session.to_owned()), &body)?;
    write.skip_sender(sender);
    let Message { id, seq, local_id, created_at, updated_at, .. } = message;
    Ok(Receipt { id, seq, local_id, created_at, updated_at })
}

fn receipt(db: &Connection, session: &str, local_id: &str) -> Result<Option<Receipt>, StoreError> {
    optional(
        db.prepare_cached(
            "SELECT id, seq, local_id, created_at FROM messages WHERE session = ?1 AND local_id = ?2",
        )?
        .query_row(params![session, local_id], |row| {
            let at: i64 = row.get(3)?;
            Ok(Receipt {
                id: row.get(0)?,
                seq: row.get(1)?,
                local_id: row.get(2)?,
                created_at: at,
                updated_at: at,
            })
        }),
    )
}

/// Which part of a session's messages. Bounds are exclusive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// Those after a `seq`, oldest first.
    After(i64),
    /// Those before a `seq`, newest first.
    Before(i64),
}

/// A page, and whether there is more beyond it. `None`: there is no such session.
pub(crate) fn page(
    db: &Connection,
    account: &str,
    session: &str,
    part: Part,
    limit: usize,
) -> Result<Option<(Vec<Message>, bool)>, StoreError> {
    if !object::exists(db, Kind::Session, account, session)? {
        return Ok(None);
    }
    let (query, bound) = match part {
        Part::After(seq) => (
            "SELECT seq, id, local_id, content, created_at FROM messages
             WHERE session = ?1 AND seq > ?2 ORDER BY seq",
            seq,
        ),
        Part::Before(seq) => (
            "SELECT seq, id, local_id, content, created_at FROM messages
             WHERE session = ?1 AND seq < ?2 ORDER BY seq DESC",
            seq,
        ),
    };
    let mut query = db.prepare_cached(query)?;
    let mut rows = query.query(params![session, bound])?;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if messages.len() == limit || bytes >= PAGE_BYTES {
            return Ok(Some((messages, true)));
        }
        let message = from_row(row)?;
        bytes += message.content.c.len();
        messages.push(message);
    }
    Ok(Some((messages, false)))
}
