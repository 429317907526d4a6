//! Pairing requests: a device without an account asks, a device of the account answers, the answer is fetched once.

use rusqlite::params;

use super::{StoreError, Write, optional};

/// Requests waiting at once, of everybody together. They cost 300 bytes each and expire.
const OPEN_MAX: i64 = 10_000;
/// How long an expired or delivered request is remembered, so that its key cannot be used again by whoever saw the QR code.
const REMEMBERED_MS: i64 = 24 * 3_600_000;

/// Which of the two flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A terminal joins.
    Terminal,
    /// A second device of the owner joins.
    Account,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Account => "account",
        }
    }
}

/// Where a request stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is none.
    Absent,
    /// Waiting for its phone.
    Waiting { supports_v2: bool },
    /// Answered: by this account, with this sealed answer.
    Answered { account: String, response: String },
    /// Nobody answered in time.
    Expired,
    /// Its answer was fetched already.
    Used,
    /// Too many are waiting.
    TooMany,
}

fn standing(write: &Write<'_>, kind: Kind, public_key: &[u8; 32]) -> Result<Standing, StoreError> {
    let found = optional(
        write
            .db
            .prepare_cached(
                "SELECT supports_v2, expires_at, account, response, delivered FROM pairings
                 WHERE kind = ?1 AND public_key = ?2",
            )?
            .query_row(params![kind.name(), public_key.as_slice()], |row| {
                let account: Option<String> = row.get(2)?;
                let response: Option<String> = row.get(3)?;
                Ok((
                    row.get::<_, bool>(0)?,
                    row.get::<_, i64>(1)?,
                    account.zip(response),
                    row.get::<_, bool>(4)?,
                ))
            }),
    )?;
    Ok(match found {
        None => Standing::Absent,
        Some((_, _, _, true)) => Standing::Used,
        Some((_, expires_at, _, _)) if expires_at <= write.now => Standing::Expired,
        Some((_, _, Some((account, response)), _)) => Standing::Answered { account, response },
        Some((supports_v2, _, None, _)) => Standing::Waiting { supports_v2 },
    })
}

/// Asks, or asks again. An answer found here is handed out and never again.
pub(crate) fn request(
    write: &Write<'_>,
    kind: Kind,
    public_key: &[u8; 32],
    supports_v2: bool,
    lifetime_ms: i64,
) -> Result<Standing, StoreError> {
    write
        .db
        .prepare_cached("DELETE FROM pairings WHERE expires_at < ?1")?
        .execute([write.now - REMEMBERED_MS])?;
    match standing(write, kind, public_key)? {
        Standing::Absent => {
            let open: i64 = write.db.query_row(
                "SELECT count(*) FROM pairings WHERE expires_at > ?1",
                [write.now],
                |row| row.get(0),
            )?;
            if open >= OPEN_MAX {
                return Ok(Standing::TooMany);
            }
            write.db.execute(
                "INSERT INTO pairings (kind, public_key, supports_v2, expires_at) VALUES (?1, ?2, ?3, ?4)",
                params![kind.name(), public_key.as_slice(), supports_v2, write.now + lifetime_ms],
            )?;
            Ok(Standing::Waiting { supports_v2 })
        }
        answered @ Standing::Answered { .. } => {
            delivered(write, kind, public_key)?;
            Ok(answered)
        }
        other => Ok(other),
    }
}

/// Looks where a request stands, and changes nothing.
pub(crate) fn status(write: &Write<'_>, kind: Kind, public_key: &[u8; 32]) -> Result<Standing, StoreError> {
    standing(write, kind, public_key)
}

fn delivered(write: &Write<'_>, kind: Kind, public_key: &[u8; 32]) -> Result<(), StoreError> {
    write.db.execute(
        "UPDATE pairings SET delivered = 1, response = NULL WHERE kind = ?1 AND public_key = ?2",
        params![kind.name(), public_key.as_slice()],
    )?;
    Ok(())
}

/// Answers a waiting request. The first answer stands; the return value says how the request stood before.
pub(crate) fn answer(
    write: &Write<'_>,
    kind: Kind,
    public_key: &[u8; 32],
    account: &str,
    response: &str,
) -> Result<Standing, StoreError> {
    let standing = standing(write, kind, public_key)?;
    if matches!(standing, Standing::Waiting { .. }) {
        write.db.execute(
            "UPDATE pairings SET account = ?3, response = ?4 WHERE kind = ?1 AND public_key = ?2",
            params![kind.name(), public_key.as_slice(), account, response],
        )?;
    }
    Ok(standing)
}
