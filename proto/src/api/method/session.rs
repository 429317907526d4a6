//! Sessions: spawning, listing, reading, ending.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire;
use crate::agent::{Activity, AgentOptions};
use crate::event::Event;
use crate::id::{RequestId, SessionId, SessionName};
use crate::session::{Exit, Phase, RestartPolicy, SessionView, Size};

wire! {
    /// Of `SessionSpawn`.
    pub struct SpawnParams {
        /// The same key again answers with the session the first call made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub request_id: Option<RequestId>,
        /// Name, unique on the machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub name: Option<SessionName>,
        /// Session kind; default `pty`.
        #[serde(default = "default_kind")]
        pub kind: String,
        /// Program and arguments; empty: the kind's default.
        #[serde(default)]
        pub command: Vec<String>,
        /// Absolute working directory.
        pub cwd: String,
        /// Make the working directory (mode 0700) if it is missing.
        #[serde(default)]
        pub create_cwd: bool,
        /// Environment entries laid over the daemon's own.
        #[serde(default)]
        pub env: BTreeMap<String, String>,
        /// Terminal size.
        #[serde(default)]
        pub size: Size,
        /// Whether a failed runner is started again.
        #[serde(default)]
        pub restart: RestartPolicy,
        /// Milliseconds between polite end and force; default 5,000.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub stop_grace_ms: Option<u64>,
        /// Journal bytes kept; default 64 MiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub retain_bytes: Option<u64>,
        /// How its agent is to be run.
        #[serde(default)]
        pub agent: AgentOptions,
    }

    /// A session by whole id, unique prefix of at least four characters, name, or `@last`.
    pub struct SessionRef {
        /// Which.
        pub session: String,
    }

    /// Of `SessionList`.
    pub struct SessionListResult {
        /// Newest first.
        pub sessions: Vec<SessionView>,
    }

    /// Of `SessionPage`.
    pub struct PageParams {
        /// Those after this one; absent: from the newest on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub after: Option<SessionId>,
        /// At most this many (1 to 1,000).
        #[serde(default = "page")]
        pub limit: u32,
    }

    /// Of `SessionPage`.
    pub struct PageResult {
        /// Newest first.
        pub sessions: Vec<SessionView>,
        /// Whether there are older ones.
        pub more: bool,
    }

    /// Of `SessionEvents`.
    pub struct EventsParams {
        /// Which.
        pub session: String,
        /// Events after this number; 0 begins with the first.
        #[serde(default)]
        pub after: u64,
        /// At most this many (1 to 1,000).
        #[serde(default = "default_event_limit")]
        pub limit: u32,
    }

    /// Of `SessionEvents`.
    pub struct EventsResult {
        /// In order.
        pub events: Vec<Event>,
        /// The oldest number still kept.
        pub first: u64,
        /// The newest number there is.
        pub last: u64,
    }

    /// Of `SessionWhy`.
    pub struct WhyResult {
        /// As it is now.
        pub session: SessionView,
        /// The events that led there and what is open, in order.
        pub because: Vec<Event>,
    }

    /// Of `SessionReplay`.
    pub struct ReplayResult {
        /// Which.
        pub id: SessionId,
        /// Inputs folded again.
        pub inputs: u64,
        /// Recorded states they were folded from: one each time a daemon began, and now and then between.
        pub states: u64,
        /// Inputs with nothing to fold them into: the recording's beginning was dropped, or a part of it is damaged.
        pub skipped: u64,
        /// Hash of the last state: 16 hexadecimal digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub state_hash: Option<String>,
        /// The first input that gave something else than when it was recorded; absent: all gave the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub difference: Option<ReplayDifference>,
    }

    /// An input that gave something else than when it was recorded.
    pub struct ReplayDifference {
        /// The input, in words.
        pub input: String,
        /// What it gave then, in words.
        pub recorded: String,
        /// What it gives now, in words.
        pub folded: String,
    }

    /// Of `SessionOutput`.
    pub struct OutputParams {
        /// Which.
        pub session: String,
        /// Where to begin.
        #[serde(default)]
        pub from: OutputFrom,
        /// At most this many bytes of output; the daemon's bound is [`crate::api::MAX_OUTPUT_BYTES`].
        #[serde(default = "default_output_bytes")]
        pub max_bytes: u32,
        /// Also what was typed. It can hold passwords.
        #[serde(default)]
        pub input: bool,
        /// When there is nothing there yet: wait so many milliseconds for output, a start or an end
        /// ([`crate::api::MAX_OUTPUT_WAIT_MS`] at most). A session without a holder is not waited for.
        #[serde(default)]
        pub wait_ms: u32,
    }

    /// Of `SessionOutput`.
    pub struct OutputResult {
        /// The journal's records, in order.
        pub records: Vec<OutputRecord>,
        /// Where the next call goes on.
        pub next: OutputFrom,
        /// First output offset still kept: earlier output was dropped by retention.
        pub start_offset: u64,
        /// Output offset of the journal's end at the time of the answer.
        pub end_offset: u64,
        /// Whether `next` is at the end.
        pub at_end: bool,
    }

    /// One record of a journal.
    pub struct OutputRecord {
        /// Output offset at which it stands.
        pub offset: u64,
        /// Unix milliseconds when it was written.
        pub at_ms: u64,
        /// What it is.
        #[serde(flatten)]
        pub body: OutputBody,
    }

    /// Of `SessionScreen`.
    pub struct ScreenResult {
        /// Output offset up to which output is in the picture; `session.output` goes on there.
        pub offset: u64,
        /// Size it was drawn for.
        pub size: Size,
        /// Bytes that make a freshly reset terminal of that size look like the session's, base64.
        pub data: String,
    }

    /// Of `SessionSend`.
    pub struct SendParams {
        /// Which.
        pub session: String,
        /// The bytes, base64.
        pub data: String,
        /// The same key again answers as the first call did and writes nothing: for callers whose connection may break.
        /// Remembered for the last 1,024 calls that had one, as long as the daemon runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub request_id: Option<RequestId>,
    }

    /// Of `SessionSend`.
    pub struct SendResult {
        /// Bytes written.
        pub bytes: u64,
    }

    /// Of `SessionResize`.
    pub struct ResizeParams {
        /// Which.
        pub session: String,
        /// New size.
        pub size: Size,
    }

    /// Of `SessionWait`.
    pub struct WaitParams {
        /// Which.
        pub session: String,
        /// Any of these; `activity` is empty, too: any phase in which nothing of it is alive.
        #[serde(default)]
        pub phases: Vec<Phase>,
        /// Or until its agent does any of these; then also until nothing of it is alive.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub activity: Vec<Activity>,
        /// Give up after this many milliseconds with `timeout`; absent: wait for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub timeout_ms: Option<u64>,
    }

    /// Of `SessionStop`.
    pub struct StopParams {
        /// Which.
        pub session: String,
        /// By force at once.
        #[serde(default)]
        pub kill: bool,
        /// Milliseconds of grace instead of the session's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub grace_ms: Option<u64>,
    }

    /// Of `SessionRename`.
    pub struct RenameParams {
        /// Which.
        pub session: String,
        /// The new name; `null` takes it away.
        pub name: Option<SessionName>,
    }

    /// Of `SessionRemove`.
    pub struct RemovedResult {
        /// What was removed.
        pub id: SessionId,
    }
}

fn default_kind() -> String {
    "pty".to_owned()
}

fn default_event_limit() -> u32 {
    1_000
}

fn page() -> u32 {
    100
}

fn default_output_bytes() -> u32 {
    crate::api::MAX_OUTPUT_BYTES
}

/// A place in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OutputFrom {
    /// The output byte at this offset.
    Offset(u64),
    /// The journal record with this number.
    Record(u64),
    /// So many output bytes before the end.
    Tail(u64),
}

impl Default for OutputFrom {
    fn default() -> Self {
        Self::Offset(0)
    }
}

/// What a journal record is. The kind is a stored tag, never guessed from the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OutputBody {
    /// Output.
    Output {
        /// Base64.
        data: String,
    },
    /// Standard error of a runner that has pipes.
    Stderr {
        /// Base64.
        data: String,
    },
    /// Typed or sent input.
    Input {
        /// Base64.
        data: String,
    },
    /// Output that is lost.
    Lost {
        /// Bytes.
        bytes: u64,
    },
    /// A runner started.
    Started {
        /// Generation.
        generation: u64,
    },
    /// A runner ended.
    Exited {
        /// Generation.
        generation: u64,
        /// How.
        exit: Exit,
    },
    /// The terminal's size changed.
    Resized {
        /// New size.
        size: Size,
    },
}
