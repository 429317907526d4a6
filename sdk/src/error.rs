//! Why something was not done: what, why, how to fix it, and whether it may have been done all the same.

use delight_proto::refusal::{Code, Refusal};

/// What kind of failure: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The server cannot be reached.
    Unreachable,
    /// The server does not take the account's login.
    LoginRefused,
    /// The server does not know what was named, or it belongs to another account.
    NotFound,
    /// The server refused.
    ServerRefused,
    /// The machine is not connected, or does not offer the method.
    MachineAway,
    /// The machine or session was asked and refused.
    MachineRefused,
    /// No answer came in time.
    TimedOut,
    /// What was received cannot be opened with this account's keys, was replayed, or is no answer to what was asked.
    Unreadable,
    /// What the server or a peer sent is not of a known shape.
    BadAnswer,
    /// What the caller gave is no such thing.
    BadInput,
    /// Larger than its bound.
    TooLarge,
    /// The session is not in a state in which this can be done.
    WrongState,
    /// Too much is waiting already.
    Busy,
    /// The phone is shutting down.
    ShuttingDown,
    /// The system has no randomness, threads or certificates for us.
    System,
}

/// A failure. It repeats nothing of what was received and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct Error {
    /// For programs.
    pub kind: Kind,
    /// What was not done, one line.
    pub what: String,
    /// Why, one line.
    pub reason: String,
    /// What the reader can do about it; empty when there is nothing.
    pub fix: String,
    /// Whether the same may succeed later without anybody changing anything.
    pub retry: bool,
    /// Whether it may have been done all the same: it was sent, and no answer came.
    pub perhaps_done: bool,
}

impl Error {
    /// A failure without a fix. What is busy, unreachable, away or late may be tried again.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>, reason: impl Into<String>) -> Self {
        let retry = matches!(kind, Kind::Unreachable | Kind::MachineAway | Kind::TimedOut | Kind::Busy);
        let (what, reason) = (what.into(), reason.into());
        Self { kind, what, reason, fix: String::new(), retry, perhaps_done: false }
    }

    /// The same with a way out.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// The same, sent but not answered.
    #[must_use]
    pub fn perhaps_done(mut self) -> Self {
        self.perhaps_done = true;
        self
    }

    pub(crate) fn shutting_down() -> Self {
        Self::new(Kind::ShuttingDown, "a call to the phone", "the phone is shutting down")
            .fix("connect again with Phone::connect")
    }

    pub(crate) fn busy(what: &str, bound: usize) -> Self {
        Self::new(Kind::Busy, what, format!("{bound} are waiting already"))
            .fix("wait for answers, then ask again")
    }

    pub(crate) fn unreadable(what: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(Kind::Unreadable, what, reason.to_string())
            .fix("check that it belongs to this account and that both sides use the same dialect")
    }
}

/// A refusal of the shapes, taken as one of a value that the caller gave.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal.code {
            Code::TooLarge => Kind::TooLarge,
            Code::Forbidden => Kind::Unreadable,
            _ => Kind::BadInput,
        };
        Self { fix: refusal.fix, ..Self::new(kind, refusal.what, refusal.reason) }
    }
}

impl Error {
    /// A refusal of something a server or peer sent.
    pub(crate) fn of_peer(refusal: Refusal) -> Self {
        let mut error = Self::from(refusal);
        if error.kind == Kind::BadInput {
            error.kind = Kind::BadAnswer;
        }
        error
    }

    /// The same as a [`Refusal`], for programs that print those.
    #[must_use]
    pub fn to_refusal(&self) -> Refusal {
        let code = match self.kind {
            Kind::NotFound => Code::NotFound,
            Kind::LoginRefused | Kind::ServerRefused | Kind::MachineRefused | Kind::Unreadable => {
                Code::Forbidden
            }
            Kind::TimedOut => Code::Timeout,
            Kind::BadInput => Code::BadParams,
            Kind::TooLarge => Code::TooLarge,
            Kind::WrongState => Code::WrongState,
            Kind::Busy | Kind::Unreachable | Kind::MachineAway => Code::Busy,
            Kind::ShuttingDown => Code::ShuttingDown,
            Kind::BadAnswer => Code::VersionSkew,
            Kind::System => Code::Internal,
        };
        Refusal {
            code,
            what: self.what.clone(),
            reason: self.reason.clone(),
            fix: self.fix.clone(),
            retry: self.retry,
        }
    }
}
