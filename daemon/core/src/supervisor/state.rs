//! What the supervisor remembers.

use std::collections::{BTreeMap, BTreeSet};

use delight_proto::id::{RequestId, SessionId, SessionName};
use delight_proto::session::{SessionView, StartSpec};

use crate::actor::Ticket;
use crate::replay::StateHash;
use crate::session::Capabilities;

/// Sessions that are restored at once: each holds a connection attempt with a bounded wait; one that hangs must not
/// hold up the others, and five hundred at once must not fill the holders' backlogs and the daemon's descriptors.
pub const RESTORE_AT_ONCE: usize = 16;
/// Callers that wait for the daemon's end.
pub const MAX_SHUTDOWN_CALLERS: usize = 64;
/// Sessions the registry may hold, ended ones included: what a list can still show in one line of the API
/// ([`delight_proto::api::MAX_LINE`]) with ordinary commands.
pub const MAX_SESSIONS: usize = 4_096;
/// Between two requests to stop, at the daemon's end, to a session that could not take the first (its holder was being
/// looked for).
pub const ASK_AGAIN_MS: u64 = 1_000;
/// Sessions named in the refusal of an ambiguous prefix.
pub const MAX_CANDIDATES: usize = 10;
/// Shortest prefix that may stand for a session: four characters tell a thousand sessions apart nearly always.
pub const MIN_PREFIX: usize = 4;

/// A session in the index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) view: SessionView,
    pub(super) alive: bool,
    /// The order in which they were made: `@last` is the highest.
    pub(super) order: u64,
    /// Why its actor is no more.
    pub(super) failed: Option<String>,
}

/// How far the daemon's end is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draining {
    pub(super) callers: Vec<Ticket>,
    pub(super) stop_sessions: bool,
    /// Sessions that were alive when it began to end them.
    pub(super) to_stop: u32,
    /// When whoever is still alive and not stopping is asked once more (monotonic).
    pub(super) ask_again_at: Option<u64>,
    /// Whether `Exit` is out.
    pub(super) done: bool,
}

/// The supervisor: an index of sessions, not the sessions. Plain data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Supervisor {
    pub(super) booted: bool,
    pub(super) kinds: BTreeMap<String, Capabilities>,
    pub(super) max_live: u32,
    pub(super) quarantined: Vec<String>,
    pub(super) adopted: u32,
    pub(super) index: BTreeMap<SessionId, Entry>,
    /// Order of the newest session.
    pub(super) last_order: u64,
    /// Who claims a name, and how often (a rename under way claims the new one beside the old).
    pub(super) names: BTreeMap<SessionName, (SessionId, u32)>,
    /// Request ids, the session each made, and a fingerprint of what was asked.
    pub(super) requests: BTreeMap<RequestId, (SessionId, u64)>,
    /// Sessions whose turn to be restored has not come, newest first.
    pub(super) to_restore: Vec<SessionId>,
    /// Sessions being restored.
    pub(super) restoring: BTreeSet<SessionId>,
    /// Whether `Ready` is out.
    pub(super) ready: bool,
    pub(super) draining: Option<Draining>,
}

impl Supervisor {
    /// One that waits for `Boot`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What a spawn asks for, as one number: the same request id must come with the same. The name is left out, for it may
/// have been changed since.
pub(super) fn fingerprint(spec: &StartSpec) -> u64 {
    StateHash::of(spec)
}
