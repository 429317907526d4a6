//! What a session is, as everybody outside its actor sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent::{AgentMemory, AgentOptions, AgentView};
use crate::id::{ProcessIdentity, RequestId, SessionId, SessionName};

/// Bounds on a [`StartSpec`]: generous beside what people do, small beside what memory and `execve` allow.
pub mod bounds {
    /// Arguments of a command.
    pub const COMMAND_ARGS: usize = 4_096;
    /// Bytes of all arguments and environment entries together: half of Linux's usual 2 MiB `ARG_MAX`, so that the
    /// environment the daemon adds still fits.
    pub const COMMAND_BYTES: usize = 1 << 20;
    /// Environment entries.
    pub const ENV_ENTRIES: usize = 1_024;
    /// Bytes of a path (`PATH_MAX`).
    pub const PATH_BYTES: usize = 4_096;
    /// Rows or columns of a terminal. 1,000 × 1,000 cells is what the screen keeper is willing to hold.
    pub const TERMINAL_SIDE: u16 = 1_000;
}

/// A terminal's size in character cells. Both sides are 1 to [`bounds::TERMINAL_SIDE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

impl Size {
    /// The same size with both sides brought into bounds.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            cols: self.cols.clamp(1, bounds::TERMINAL_SIDE),
            rows: self.rows.clamp(1, bounds::TERMINAL_SIDE),
        }
    }
}

/// When a session whose runner ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RestartPolicy {
    /// Never: an ended session stays ended until somebody resumes it.
    #[default]
    Never,
    /// When it ended with a failure, within the restart budget.
    OnFailure,
}

/// What becomes of a phone's message while the desktop drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PhoneMessages {
    /// It is refused, visibly: take control first.
    #[default]
    Reject,
    /// It takes control, and is delivered then.
    Takeover,
}

/// Everything needed to start a session, and to start it again: stored whole in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StartSpec {
    /// Session kind: the name of a registered adapter (`pty`, `fake`, …).
    pub kind: String,
    /// Program and arguments. Empty: what the adapter runs by default (`pty`: the user's shell).
    #[serde(default)]
    pub command: Vec<String>,
    /// Absolute working directory.
    pub cwd: String,
    /// Environment entries laid over the daemon's own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Terminal size at start.
    #[serde(default)]
    pub size: Size,
    /// Whether a failed runner is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Milliseconds between the polite end (`SIGHUP`/`SIGTERM`) and `SIGKILL`. Bounds: 0 to 600,000.
    #[serde(default = "default_grace_ms")]
    pub stop_grace_ms: u64,
    /// Bytes of journal kept for the session; older output is dropped whole segments at a time.
    #[serde(default = "default_retain_bytes")]
    pub retain_bytes: u64,
    /// How its agent is to be run; nothing of it concerns a plain terminal.
    #[serde(default)]
    pub agent: AgentOptions,
}

/// Five seconds: longer than any agent measured needs to clean up after `SIGTERM` (1.8 s, `facts/agents.md` 1.9).
#[must_use]
pub fn default_grace_ms() -> u64 {
    5_000
}

/// 64 MiB: about a million lines, a day of a talkative agent.
#[must_use]
pub fn default_retain_bytes() -> u64 {
    64 << 20
}

/// What the owner wants of a session, as opposed to what was seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Desired {
    /// It should run.
    Running,
    /// It should not.
    Stopped,
}

/// What a session is doing, as last observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Phase {
    /// Its holder or runner is being started.
    Starting,
    /// Its runner is alive.
    Running,
    /// It was asked to end and has not yet.
    Stopping,
    /// Its runner failed and the next start waits for its turn.
    BackingOff,
    /// Its runner ended by itself.
    Exited,
    /// It was stopped on request.
    Stopped,
    /// It could not be started.
    Failed,
    /// It ended while nobody could watch it end: a reboot, a killed holder.
    Interrupted,
}

impl Phase {
    /// Whether processes of the session may be alive.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping | Self::BackingOff)
    }
}

/// How a runner ended, as the kernel told its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Exit {
    /// It returned this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether it ended the way a program that succeeded ends.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Origin {
    /// A client of the control socket, by its process id.
    Desktop {
        /// Process id from the socket's peer credentials; absent where the platform does not tell.
        pid: Option<u32>,
    },
    /// A paired device, by its id.
    Phone {
        /// Device id.
        device: String,
    },
    /// The daemon itself (restore, restart policy).
    Daemon,
}

/// Which holder a session has, and how to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HolderIdentity {
    /// Absolute path of the holder's socket.
    pub socket: String,
    /// The holder process.
    pub process: ProcessIdentity,
}

/// The registry's record of a session: enough to show it, find its holder and start it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Identity.
    pub id: SessionId,
    /// Name, unique among the sessions of the machine.
    pub name: Option<SessionName>,
    /// The idempotency key of the spawn that made it.
    pub request_id: Option<RequestId>,
    /// How to start it.
    pub spec: StartSpec,
    /// Who asked for it.
    pub origin: Origin,
    /// Unix milliseconds of the spawn.
    pub created_ms: u64,
    /// What the owner wants.
    pub desired: Desired,
    /// What was last observed.
    pub phase: Phase,
    /// Why it is in that phase, in words for a person; empty when the phase says it all.
    pub reason: String,
    /// Unix milliseconds since when it is in that phase.
    pub since_ms: u64,
    /// Generation of its newest runner; 0 before the first.
    pub generation: u64,
    /// Its holder, when one was started and has not been seen to end.
    pub holder: Option<HolderIdentity>,
    /// How its newest runner ended, when it has.
    pub exit: Option<Exit>,
    /// The last event's number; the next event is this plus one.
    pub last_seq: u64,
    /// Failed starts since it last ran well: what the restart budget counts.
    pub restarts: u32,
    /// What survives of its agent; empty for a plain terminal.
    #[serde(default)]
    pub agent: AgentMemory,
}

/// A session as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionView {
    /// Identity.
    pub id: SessionId,
    /// Name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SessionName>,
    /// Session kind.
    pub kind: String,
    /// Program and arguments as asked for (empty: the adapter's default).
    pub command: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// What the owner wants.
    pub desired: Desired,
    /// What was last observed.
    pub phase: Phase,
    /// Why, in words for a person; empty when the phase says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Unix milliseconds since when it is in that phase.
    pub since_ms: u64,
    /// Unix milliseconds of the spawn.
    pub created_ms: u64,
    /// Generation of its newest runner.
    pub generation: u64,
    /// The runner's process id while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its holder while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<HolderIdentity>,
    /// How its newest runner ended, when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// The last event's number.
    pub last_seq: u64,
    /// What the client that types into its terminal calls itself; none: nobody does, or it is not known at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Its agent; none: a plain terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<AgentView>>,
    /// Things its owner should know and can act on (a full disk, a lost journal); empty when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
