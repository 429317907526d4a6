//! What a command ends with when it cannot do what was asked.

use std::io;

use delight_proto::refusal::{Code, Refusal};

/// Every way a command can end without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Somebody said no: the daemon, the holder, or this client itself. Told as what, why and fix.
    Refused(Box<Refusal>),
    /// The answer was given and lists failures of its own; nothing more is to be printed.
    Told(u8),
    /// Who reads our output has closed it (`… | head`): end quietly, as every filter does.
    OutputClosed,
}

impl Failure {
    /// The command's exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Refused(refusal) => refusal.code.exit_status(),
            Self::Told(status) => *status,
            Self::OutputClosed => 0,
        }
    }

    /// The code, if it is a refusal.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Told(_) | Self::OutputClosed => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// A mistake in what was typed.
pub(crate) fn usage(what: impl Into<String>, reason: impl Into<String>, fix: impl Into<String>) -> Failure {
    Refusal::new(Code::BadParams, what, reason).fix(fix).into()
}

/// A system call that failed while doing `what`.
pub(crate) fn system(what: impl Into<String>, error: impl std::fmt::Display) -> Failure {
    Refusal::new(Code::Internal, what, error.to_string()).into()
}

/// A failed write to our own standard output.
pub(crate) fn output(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::OutputClosed
    } else {
        system("the output could not be written", error)
    }
}
