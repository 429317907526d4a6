//! The methods: a name, parameters and a result each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::event::Event;
use crate::id::{RequestId, SessionId, SessionName};
use crate::session::{Exit, Phase, RestartPolicy, SessionView, Size};

/// One method of the control API.
pub trait Method {
    /// Its name on the wire.
    const NAME: &'static str;
    /// What it is given.
    type Params: Serialize + DeserializeOwned;
    /// What it answers. A result means *done*.
    type Result: Serialize + DeserializeOwned;
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $method:ident = $name:literal ($params:ty) -> $result:ty;)*) => {
        $($(#[doc = $doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $method {}
        impl Method for $method {
            const NAME: &'static str = $name;
            type Params = $params;
            type Result = $result;
        })*

        /// Every method's name, in the order of this file.
        pub const NAMES: &[&str] = &[$($name),*];

        /// Calls `visit` once a method: for the schema, and for tests that must not forget one.
        #[cfg(feature = "schema")]
        pub(crate) fn each(mut visit: impl FnMut(&'static str, &'static str, schemars::Schema, schemars::Schema)) {
            $(visit(
                $name,
                concat!($($doc, "\n"),*).trim(),
                schemars::schema_for!($params),
                schemars::schema_for!($result),
            );)*
        }
    };
}

/// Derives what every wire struct has.
macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })*) => {
        $($(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $name { $($body)* })*
    };
}

methods! {
    /// First request of a connection: who am I, what do we both speak.
    Hello = "hello" (HelloParams) -> HelloResult;
    /// The daemon's own state.
    DaemonStatus = "daemon.status" (Empty) -> DaemonStatusResult;
    /// Ends the daemon. Sessions go on unless `stop_sessions` is set; the answer comes when that is done.
    DaemonStop = "daemon.stop" (DaemonStopParams) -> DaemonStopResult;
    /// Makes and starts a session; answers when its runner is up.
    SessionSpawn = "session.spawn" (SpawnParams) -> SessionView;
    /// All sessions, newest first.
    SessionList = "session.list" (Empty) -> SessionListResult;
    /// One session.
    SessionGet = "session.get" (SessionRef) -> SessionView;
    /// A session's events after a number.
    SessionEvents = "session.events" (EventsParams) -> EventsResult;
    /// A piece of a session's journal.
    SessionOutput = "session.output" (OutputParams) -> OutputResult;
    /// Writes to a session's runner; answers when all of it is written.
    SessionSend = "session.send" (SendParams) -> SendResult;
    /// Sets a session's terminal size when no client controls it.
    SessionResize = "session.resize" (ResizeParams) -> SessionView;
    /// Answers when the session is in one of the phases.
    SessionWait = "session.wait" (WaitParams) -> SessionView;
    /// Ends a session: politely, then by force; answers when nothing of its tree is alive.
    SessionStop = "session.stop" (StopParams) -> SessionView;
    /// Starts an ended session again under the same id.
    SessionResume = "session.resume" (SessionRef) -> SessionView;
    /// Gives a session another name, or none.
    SessionRename = "session.rename" (RenameParams) -> SessionView;
    /// Forgets an ended session and deletes its journal and events.
    SessionRemove = "session.remove" (SessionRef) -> RemovedResult;
    /// Notifications of session changes on this connection from now on.
    Subscribe = "subscribe" (SubscribeParams) -> SubscribeResult;
}

wire! {
    /// No parameters, or nothing to tell.
    pub struct Empty {}

    /// See [`Hello`].
    pub struct HelloParams {
        /// The client's name and version, for people.
        pub client: String,
        /// The highest [`super::PROTOCOL`] it speaks.
        pub protocol: u32,
    }

    /// See [`Hello`].
    pub struct HelloResult {
        /// The protocol both use from here on.
        pub protocol: u32,
        /// The daemon's version.
        pub version: String,
        /// The daemon's process id.
        pub pid: u32,
        /// Methods it offers.
        pub methods: Vec<String>,
        /// Session kinds it can start.
        pub kinds: Vec<String>,
    }

    /// See [`DaemonStatus`].
    pub struct DaemonStatusResult {
        /// Its version.
        pub version: String,
        /// Its process id.
        pub pid: u32,
        /// Unix milliseconds of its start.
        pub started_ms: u64,
        /// The socket it listens on.
        pub socket: String,
        /// Where it keeps its state.
        pub state_dir: String,
        /// Sessions by phase.
        pub sessions: BTreeMap<Phase, u32>,
        /// Most sessions that may be live at once.
        pub max_live: u32,
        /// Sessions found alive when it started.
        pub adopted: u32,
        /// Registry records it could not read and set aside, with the reason.
        pub quarantined: Vec<String>,
    }

    /// See [`DaemonStop`].
    pub struct DaemonStopParams {
        /// End all sessions first.
        #[serde(default)]
        pub stop_sessions: bool,
    }

    /// See [`DaemonStop`].
    pub struct DaemonStopResult {
        /// Sessions that go on without it.
        pub left_running: u32,
        /// Sessions that were ended.
        pub stopped: u32,
    }

    /// See [`SessionSpawn`].
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
    }

    /// A session by whole id, unique prefix of at least four characters, name, or `@last`.
    pub struct SessionRef {
        /// Which.
        pub session: String,
    }

    /// See [`SessionList`].
    pub struct SessionListResult {
        /// Newest first.
        pub sessions: Vec<SessionView>,
    }

    /// See [`SessionEvents`].
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

    /// See [`SessionEvents`].
    pub struct EventsResult {
        /// In order.
        pub events: Vec<Event>,
        /// The oldest number still kept.
        pub first: u64,
        /// The newest number there is.
        pub last: u64,
    }

    /// See [`SessionOutput`].
    pub struct OutputParams {
        /// Which.
        pub session: String,
        /// Where to begin.
        #[serde(default)]
        pub from: OutputFrom,
        /// At most this many bytes of output; the daemon's bound is [`super::MAX_OUTPUT_BYTES`].
        #[serde(default = "default_output_bytes")]
        pub max_bytes: u32,
        /// Also what was typed. It can hold passwords.
        #[serde(default)]
        pub input: bool,
    }

    /// See [`SessionOutput`].
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

    /// See [`SessionSend`].
    pub struct SendParams {
        /// Which.
        pub session: String,
        /// The bytes, base64.
        pub data: String,
    }

    /// See [`SessionSend`].
    pub struct SendResult {
        /// Bytes written.
        pub bytes: u64,
    }

    /// See [`SessionResize`].
    pub struct ResizeParams {
        /// Which.
        pub session: String,
        /// New size.
        pub size: Size,
    }

    /// See [`SessionWait`].
    pub struct WaitParams {
        /// Which.
        pub session: String,
        /// Any of these; empty: any phase in which nothing of it is alive.
        #[serde(default)]
        pub phases: Vec<Phase>,
        /// Give up after this many milliseconds with `timeout`; absent: wait for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub timeout_ms: Option<u64>,
    }

    /// See [`SessionStop`].
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

    /// See [`SessionRename`].
    pub struct RenameParams {
        /// Which.
        pub session: String,
        /// The new name; `null` takes it away.
        pub name: Option<SessionName>,
    }

    /// See [`SessionRemove`].
    pub struct RemovedResult {
        /// What was removed.
        pub id: SessionId,
    }

    /// See [`Subscribe`].
    pub struct SubscribeParams {
        /// Only this session; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub session: Option<String>,
    }

    /// See [`Subscribe`].
    pub struct SubscribeResult {
        /// Sessions as they are at the moment the subscription begins.
        pub sessions: Vec<SessionView>,
    }
}

fn default_kind() -> String {
    "pty".to_owned()
}

fn default_event_limit() -> u32 {
    1_000
}

fn default_output_bytes() -> u32 {
    super::MAX_OUTPUT_BYTES
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

/// What a subscription is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Change {
    /// A session is new or changed.
    Session {
        /// As it is now.
        session: Box<SessionView>,
    },
    /// A session was removed.
    Removed {
        /// Which.
        id: SessionId,
    },
    /// The client did not read fast enough: so many changes were left out. Ask for the list again.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Name of the notification that carries a [`Change`].
pub const CHANGE: &str = "change";
