//! The event log's entries: what happened to a session, numbered from 1 without a gap.

use serde::{Deserialize, Serialize};

use crate::session::{Exit, HolderIdentity, Origin};

/// One entry of a session's event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Number within the session, contiguous from 1. Assigned by the session's reducer; the store refuses a gap.
    pub seq: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Journal offset (bytes of output so far) when it happened, as far as it was known.
    pub offset: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventBody {
    /// The session was made.
    Spawned {
        /// By whom.
        origin: Origin,
    },
    /// Its holder is up.
    HolderStarted {
        /// Which.
        holder: HolderIdentity,
    },
    /// A runner is up.
    Started {
        /// Its generation.
        generation: u64,
        /// Its process id.
        pid: u32,
    },
    /// A runner (or the holder under it) could not be started.
    StartFailed {
        /// The generation that failed.
        generation: u64,
        /// Why.
        reason: String,
    },
    /// A runner ended.
    Exited {
        /// Its generation.
        generation: u64,
        /// How.
        exit: Exit,
    },
    /// The session ended while nobody watched.
    Interrupted {
        /// What is known of why.
        reason: String,
    },
    /// A new daemon found the holder alive and took over.
    Adopted {
        /// Generation that was running.
        generation: u64,
    },
    /// Input was written to the runner through the control API. The bytes themselves are in the journal.
    InputSent {
        /// By whom.
        origin: Origin,
        /// How many bytes.
        bytes: u64,
    },
    /// Somebody asked it to end.
    StopRequested {
        /// By whom.
        origin: Origin,
        /// Whether it was to be killed at once.
        kill: bool,
    },
    /// The daemon signalled the session's process tree.
    Signalled {
        /// Signal number.
        signal: i32,
    },
    /// A restart is due.
    RestartScheduled {
        /// Which try in a row, from 1.
        attempt: u32,
        /// Unix milliseconds when.
        due_ms: u64,
    },
    /// Somebody asked for it to run again.
    Resumed {
        /// By whom.
        origin: Origin,
    },
    /// It got another name.
    Renamed {
        /// The name, or none.
        name: Option<String>,
    },
    /// Its holder has trouble the owner should know of, or is over it.
    Trouble {
        /// The holder's words; empty: the trouble is over.
        warning: String,
    },
}
