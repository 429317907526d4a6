//! The one shape every "no" has: what, why, how to fix it, whether to try again.

use serde::{Deserialize, Serialize};

/// What kind of refusal: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Code {
    /// The request is not JSON, or not JSON-RPC 2.0.
    BadRequest,
    /// No such method.
    UnknownMethod,
    /// The parameters do not fit the method.
    BadParams,
    /// A line, frame or value is larger than its bound.
    TooLarge,
    /// Too many requests, sessions or clients at once; the same request may succeed later.
    Busy,
    /// The session (or what else was named) does not exist.
    NotFound,
    /// A prefix fits more than one session.
    Ambiguous,
    /// The name, id or request id is taken by something else.
    Conflict,
    /// The session is not in a state in which this can be done.
    WrongState,
    /// The runner or its holder could not be started.
    StartFailed,
    /// Policy or permission forbids it.
    Forbidden,
    /// It did not happen within its time.
    Timeout,
    /// The two sides speak different protocol versions.
    VersionSkew,
    /// The store could not be read or written.
    Storage,
    /// The holder cannot be reached.
    HolderUnreachable,
    /// The daemon is shutting down.
    ShuttingDown,
    /// No daemon answers. Clients say it of their own; a daemon never sends it.
    DaemonUnreachable,
    /// Only a person at a terminal can do it.
    NeedsHuman,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// The JSON-RPC 2.0 error number. The five of the specification where they fit, else −32000 − n.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::BadRequest => -32600,
            Self::UnknownMethod => -32601,
            Self::BadParams => -32602,
            Self::Internal => -32603,
            Self::TooLarge => -32001,
            Self::Busy => -32002,
            Self::NotFound => -32003,
            Self::Ambiguous => -32004,
            Self::Conflict => -32005,
            Self::WrongState => -32006,
            Self::StartFailed => -32007,
            Self::Forbidden => -32008,
            Self::Timeout => -32009,
            Self::VersionSkew => -32010,
            Self::Storage => -32011,
            Self::HolderUnreachable => -32012,
            Self::ShuttingDown => -32013,
            Self::DaemonUnreachable => -32014,
            Self::NeedsHuman => -32015,
        }
    }

    /// The exit status of `delightctl` for it: 1 generic, 2 usage, 3 not found, 4 daemon unreachable, 5 refused by
    /// policy or permission, 6 conflict, 7 timeout, 9 version skew, 10 needs a human.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::BadRequest | Self::UnknownMethod | Self::BadParams | Self::TooLarge => 2,
            Self::NotFound | Self::Ambiguous => 3,
            Self::ShuttingDown | Self::DaemonUnreachable => 4,
            Self::Forbidden => 5,
            Self::Conflict | Self::WrongState => 6,
            Self::Timeout => 7,
            Self::VersionSkew => 9,
            Self::NeedsHuman => 10,
            Self::Busy | Self::StartFailed | Self::Storage | Self::HolderUnreachable | Self::Internal => 1,
        }
    }
}

/// A refusal: data, never a panic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}: {reason}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// What was refused, one line.
    pub what: String,
    /// Why, one line.
    pub reason: String,
    /// What the reader can do about it, one line; empty when there is nothing.
    #[serde(default)]
    pub fix: String,
    /// Whether the same request may succeed later without anybody changing anything.
    #[serde(default)]
    pub retry: bool,
}

impl Refusal {
    /// A refusal without a fix that need not be retried.
    #[must_use]
    pub fn new(code: Code, what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code, what: what.into(), reason: reason.into(), fix: String::new(), retry: code == Code::Busy }
    }

    /// The same with a way out.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// The same, marked as worth trying again.
    #[must_use]
    pub fn retry(mut self) -> Self {
        self.retry = true;
        self
    }
}
