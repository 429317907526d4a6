//! What a session wants done.
//!
//! # How the shell carries out a step
//!
//! 1. **Store first.** Effects of [`Class::Store`] stand first in a step; they are carried out in order and whole,
//!    and the session's next input is not reduced before they are done. Only [`Effect::Launch`] may run beside the
//!    store effects of its own step: a holder without a runner does no harm, and the two take the same time. So may what
//!    makes an [`Effect::StartRunner`] ready, up to and without its program.
//! 2. **Then the rest, in order.** [`Effect::Publish`] is handed to the supervisor's mailbox before a
//!    [`Effect::Reply`] that follows it is sent, so whoever was answered never sees an older list.
//!    [`Class::Outward`] effects are begun in order; what comes of them is an input, later.
//! 3. **If a store effect fails**, the remaining store effects of the step are skipped, the step's [`Class::Told`]
//!    effects are *not* carried out (nothing is told before it is stored; no runner starts that is not on record),
//!    its [`Class::Outward`] effects *are* (a full disk must not keep anybody from stopping a session), and
//!    [`super::Happening::StoreFailed`] is the very next input. The reducer has kept what was not told and decides
//!    what to say instead: callers get a `storage` refusal unless what they asked for is true regardless of the
//!    store. It appends and saves again by itself, with a back-off.
//!
//! After a crash the record is the last one saved; events appended after it are folded into it by
//! [`super::Session::restored`]. Therefore a step may append without saving, and neither order of death loses a decision
//! that was told.

use delight_proto::agent::{AgentOrder, Control, PermissionView};
use delight_proto::event::Event;
use delight_proto::id::{LocalId, SessionId, SessionName};
use delight_proto::refusal::Refusal;
use delight_proto::session::{Record, SessionView, Size};

use crate::actor::Ticket;

/// What a command is answered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The session as it is now.
    View(Box<SessionView>),
    /// That many bytes are written to the runner.
    Sent {
        /// How many.
        bytes: u64,
    },
    /// The agent has the message.
    Prompted {
        /// The message's id.
        local_id: LocalId,
    },
    /// The agent has the decision; the permission as it is now.
    Decided(Box<PermissionView>),
    /// It is forgotten.
    Removed(SessionId),
}

/// How an effect stands to the store. See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Writes the store.
    Store,
    /// Withheld when the step's store effects fail.
    Told,
    /// Carried out in any case.
    Outward,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Store: append to the session's event log; survives `kill -9` of the daemon (it need not be synced). Numbers are
    /// contiguous; the store refuses a gap.
    Append(Event),
    /// Store: replace the registry's record; durable (survives a power cut) when done.
    Save(Box<Record>),
    /// Store: replace the registry's record some time: so that a restart folds few events. Nobody was promised it and
    /// nobody waits for the disk: a crash may leave the record as it was, with the events behind it.
    Checkpoint(Box<Record>),
    /// Store: delete the record, durably; then the session's journal, event log and directory.
    Forget,
    /// Outward: start a holder. Answered by exactly one of `HolderUp` and `HolderFailed`, in bounded time; or, when
    /// [`Effect::CloseHolder`] came in between, by `HolderGone`.
    Launch,
    /// Outward: look for a living holder. Answered by exactly one of `Adopted`, `HolderGone` and `HolderUnreachable`,
    /// in bounded time.
    Adopt,
    /// Told: start a runner in the holder. Answered by exactly one of `RunnerUp` and `RunnerFailed`, unless the holder
    /// goes.
    StartRunner {
        /// Its generation.
        generation: u64,
        /// Whether the holder is to stay for another generation ([`delight_proto::holder::Start::keep`]).
        keep: bool,
        /// Whom it serves; none: a plain terminal. The record's agent says which conversation it goes on with.
        control: Option<Control>,
    },
    /// Told: give the agent an order through its codec. Answered like `Write`: `TagDone` when it is written to the runner
    /// (or the journal shows that it was before), `TagFailed` when it will not be; a message also by
    /// `TagNotYet`.
    Tell {
        /// For the answer.
        tag: u64,
        /// What.
        order: AgentOrder,
    },
    /// Outward: signal the runner's whole process tree.
    SignalTree {
        /// Signal number.
        signal: i32,
    },
    /// Outward: tell the holder to end; while it is being launched: give that up. `HolderGone` says when it is gone.
    CloseHolder,
    /// Outward: write to the runner. Answered by exactly one of `TagDone` and `TagFailed`, unless the holder goes.
    Write {
        /// For the answer.
        tag: u64,
        /// What. The shell cuts it into frames and tags the last.
        bytes: Vec<u8>,
    },
    /// Outward: set the terminal's size. Answered like `Write`.
    Resize {
        /// For the answer.
        tag: u64,
        /// The new size.
        size: Size,
    },
    /// Told: the supervisor (and through it everybody who subscribed) should know it like this:
    /// [`crate::supervisor::Input::Changed`].
    Publish {
        /// As it is now.
        view: Box<SessionView>,
        /// Whether anything of it is or may be alive: its runner, survivors of it, or a start under way.
        alive: bool,
    },
    /// Told: this name is no longer claimed by the session: [`crate::supervisor::Input::NameReleased`].
    ReleaseName(SessionName),
    /// Told: its restoring is over: [`crate::supervisor::Input::Restored`]. Comes once, after `Happening::Restore`.
    Restored {
        /// Whether a living holder was adopted.
        adopted: bool,
    },
    /// Told: it is no more: [`crate::supervisor::Input::Gone`]. The actor stays until the supervisor closes it, and
    /// goes on to refuse what was on its way.
    Gone,
    /// Told: answers a caller, who never gets another.
    Reply {
        /// Who.
        ticket: Ticket,
        /// What.
        result: Result<Answer, Refusal>,
    },
}

impl Effect {
    /// How it stands to the store.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Append(_) | Self::Save(_) | Self::Checkpoint(_) | Self::Forget => Class::Store,
            Self::StartRunner { .. }
            | Self::Tell { .. }
            | Self::Publish { .. }
            | Self::ReleaseName(_)
            | Self::Restored { .. }
            | Self::Gone
            | Self::Reply { .. } => Class::Told,
            Self::Launch
            | Self::Adopt
            | Self::SignalTree { .. }
            | Self::CloseHolder
            | Self::Write { .. }
            | Self::Resize { .. } => Class::Outward,
        }
    }
}
