//! What can happen to a session: somebody asks (a command), something took place (a happening), time passed (a tick).
//!
//! All of it is plain data that can be recorded and folded again (see `replay`).

use delight_proto::agent::{Activity, AgentEvent, Control, Decision, Message, Mode, Source};
use delight_proto::id::{LocalId, SessionName};
use delight_proto::policy::Policy;
use delight_proto::refusal::Refusal;
use delight_proto::session::{Exit, HolderIdentity, Origin, Phase, Size};
use serde::{Deserialize, Serialize};

use crate::actor::Ticket;

/// One input of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Somebody asks and is owed exactly one answer.
    Asked {
        /// For the answer.
        ticket: Ticket,
        /// Who.
        origin: Origin,
        /// What.
        command: Command,
    },
    /// Whoever held this ticket has gone: nobody is kept waiting for that answer. What was begun goes on.
    Abandoned {
        /// Whose.
        ticket: Ticket,
    },
    /// Something took place.
    Happened(Happening),
    /// The deadline has come.
    Tick,
}

/// What can be asked of a session.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Start for the first time; the first input of a session just made. Answered with the view once its runner is up.
    Start,
    /// Answer like the `Start` of this session was or will be answered: a spawn repeated with the same request id.
    Started,
    /// End it; answered with the view when nothing of its tree is alive. Several callers are all answered.
    Stop {
        /// By force at once.
        kill: bool,
        /// Milliseconds of grace instead of the session's own. Bounded by [`super::state::MAX_GRACE_MS`].
        grace_ms: Option<u64>,
    },
    /// Start an ended session again as the next generation; answered with the view once its runner is up.
    Resume,
    /// Give it another name, or none. The supervisor has made sure that it is free.
    Rename {
        /// The name.
        name: Option<SessionName>,
    },
    /// Write to the runner; answered when all of it is written. While it starts, up to
    /// [`super::state::MAX_EARLY_BYTES`] wait for the runner.
    Send {
        /// At most [`super::state::MAX_SEND_BYTES`].
        bytes: Vec<u8>,
    },
    /// Give the agent a message; answered when it has it. The same id again is answered like the first.
    Prompt {
        /// The message.
        message: Message,
    },
    /// Stop what the agent is doing; answered when it was told.
    Abort,
    /// Hand control over; answered when the runner that serves it is up and ready.
    Switch {
        /// To whom.
        to: Control,
    },
    /// Answer a request of the agent's; answered when the agent has it.
    Decide {
        /// Which: the whole id or a unique prefix; none: the only one that waits.
        permission: Option<String>,
        /// The answer.
        decision: Decision,
    },
    /// Set how the agent works; answered when it was told.
    SetMode(Mode),
    /// Allow everything unasked for a while; none: end that.
    Bypass {
        /// Milliseconds, at most [`super::state::MAX_BYPASS_MS`].
        for_ms: Option<u64>,
    },
    /// Set the terminal's size.
    Resize {
        /// Clamped by the reducer.
        size: Size,
    },
    /// Answer with the view when it is in one of the phases.
    Wait {
        /// Any of these; both lists empty: any phase in which nothing of it is alive.
        phases: Vec<Phase>,
        /// Or when its agent does any of these; then also when nothing of it is alive any more.
        activity: Vec<Activity>,
        /// Give up with `timeout` after this long.
        timeout_ms: Option<u64>,
    },
    /// Forget it, its journal and its events. Only when it has ended.
    Remove,
}

impl Command {
    /// Whether the shell must not answer it `busy` in place of a session whose mailbox is full: the supervisor has
    /// already counted on it (a start, a claimed name, a live session more).
    #[must_use]
    pub fn must_arrive(&self) -> bool {
        matches!(self, Self::Start | Self::Resume | Self::Rename { .. })
    }
}

/// What is sent may be a password: only its length is ever printed.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("Start"),
            Self::Started => f.write_str("Started"),
            Self::Stop { kill, grace_ms } => {
                f.debug_struct("Stop").field("kill", kill).field("grace_ms", grace_ms).finish()
            }
            Self::Resume => f.write_str("Resume"),
            Self::Rename { name } => f.debug_struct("Rename").field("name", name).finish(),
            Self::Send { bytes } => f.debug_struct("Send").field("len", &bytes.len()).finish_non_exhaustive(),
            Self::Prompt { message } => f.debug_tuple("Prompt").field(message).finish(),
            Self::Abort => f.write_str("Abort"),
            Self::Switch { to } => f.debug_struct("Switch").field("to", to).finish(),
            Self::Decide { permission, decision } => {
                f.debug_struct("Decide").field("permission", permission).field("decision", decision).finish()
            }
            Self::SetMode(mode) => f.debug_tuple("SetMode").field(mode).finish(),
            Self::Bypass { for_ms } => f.debug_struct("Bypass").field("for_ms", for_ms).finish(),
            Self::Resize { size } => f.debug_struct("Resize").field("size", size).finish(),
            Self::Wait { phases, activity, timeout_ms } => f
                .debug_struct("Wait")
                .field("phases", phases)
                .field("activity", activity)
                .field("timeout_ms", timeout_ms)
                .finish(),
            Self::Remove => f.write_str("Remove"),
        }
    }
}

/// A runner that is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// Its generation, as the holder said it: stamped at the source, never by the daemon on delivery.
    pub generation: u64,
    /// Its process id.
    pub pid: u32,
}

/// A runner that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its generation, as the holder said it.
    pub generation: u64,
    /// How.
    pub exit: Exit,
    /// Journal offset after its last byte.
    pub offset: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Descendants still alive.
    pub survivors: u32,
}

/// A living holder, found by the daemon after its own restart or after it had lost the connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Which, verified by pid, start time and boot id.
    pub identity: HolderIdentity,
    /// The runner, when one is alive.
    pub runner: Option<Runner>,
    /// How the newest runner ended, when none is alive and there was one.
    pub ended: Option<Ended>,
    /// Journal offset of the end.
    pub offset: u64,
    /// The holder's troubles.
    pub troubles: Vec<String>,
}

/// Most events one input carries of a line: a store that refuses refuses all that comes of an input, and what it refused is
/// kept in memory. A line that means more comes in parts, and while the store refuses the rest waits where it was read.
pub const MAX_HEARD: usize = 64;

/// What an agent did or said, from one line of one source, or a part of that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentHeard {
    /// The generation of the runner it belongs to, as its reader was told at its start: stamped at the source. Nothing
    /// of an older one than the record's is taken in, so it comes before the happening that ends its runner.
    pub generation: u64,
    /// Where it was read.
    pub source: Source,
    /// Offset after the line, in that source. What lies at or before the record's mark has been taken in and is ignored.
    pub offset: u64,
    /// Number of the first of these events among the line's.
    #[serde(default)]
    pub first: u32,
    /// In order.
    pub events: Vec<AgentEvent>,
}

impl AgentHeard {
    /// The same in parts of at most [`MAX_HEARD`] events, in order.
    pub fn parts(self) -> impl Iterator<Item = Self> {
        let Self { generation, source, offset, first, events } = self;
        let mut rest = events.into_iter();
        let mut first = first;
        std::iter::from_fn(move || {
            let events: Vec<AgentEvent> = rest.by_ref().take(MAX_HEARD).collect();
            let part = Self { generation, source, offset, first, events };
            first = first.saturating_add(MAX_HEARD as u32);
            (!part.events.is_empty()).then_some(part)
        })
    }
}

/// What can take place. A generation is the one the holder names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// First input of a session read from the registry at boot: it is its turn to be restored.
    Restore,
    /// The launched holder is there and connected. Answers [`super::Effect::Launch`].
    HolderUp {
        /// Which.
        identity: HolderIdentity,
    },
    /// The holder could not be started, and nothing of it is left. Answers [`super::Effect::Launch`].
    HolderFailed {
        /// What, why, fix.
        refusal: Refusal,
    },
    /// A living holder was found and is connected. Answers [`super::Effect::Adopt`].
    Adopted(Box<Found>),
    /// `holder.lock` is held, but its holder cannot be talked to; or the connection to it broke.
    /// Answers [`super::Effect::Adopt`] or comes by itself.
    HolderUnreachable {
        /// Why.
        reason: String,
    },
    /// `holder.lock` is free: there is no holder (any more). Answers [`super::Effect::Adopt`] or comes by itself; it
    /// is the last thing said about that holder.
    HolderGone {
        /// The last `Exited` mark of the session's journal, if there is one. Older generations are told apart by it.
        ended: Option<Ended>,
        /// What is known of why, in words.
        reason: String,
        /// Whether the holder belonged to the present boot. When nothing is known of a holder: true.
        same_boot: bool,
    },
    /// A runner is up. Answers [`super::Effect::StartRunner`].
    RunnerUp {
        /// Which.
        runner: Runner,
        /// Journal offset at its start.
        offset: u64,
    },
    /// A runner could not be started, and nothing of it is left. Answers [`super::Effect::StartRunner`].
    RunnerFailed {
        /// Its generation.
        generation: u64,
        /// What, why, fix.
        refusal: Refusal,
    },
    /// A runner ended; everything it wrote is in the journal.
    RunnerExited(Ended),
    /// Nothing of the tree is alive any more.
    TreeGone {
        /// Generation.
        generation: u64,
    },
    /// What was asked of the holder with this tag ([`super::Effect::Write`], [`super::Effect::Resize`],
    /// [`super::Effect::Tell`]) is done.
    TagDone {
        /// Of the effect.
        tag: u64,
    },
    /// What was asked of the holder with this tag will not be done (whole).
    TagFailed {
        /// Of the effect.
        tag: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The agent cannot take the message of this tag while it works on another; it wants it once it is idle. Answers
    /// [`super::Effect::Tell`] of a message, and comes before whatever is heard of the agent after it was asked.
    TagNotYet {
        /// Of the effect.
        tag: u64,
    },
    /// The journal of a runner that has ended proves that it was given this message, though nobody heard so at the time.
    /// Comes before what ends that runner.
    MessageGiven {
        /// Of the runner.
        generation: u64,
        /// Which message.
        local_id: LocalId,
    },
    /// All present troubles of the holder; empty: all is well again.
    Trouble {
        /// In words for the owner.
        troubles: Vec<String>,
    },
    /// Who controls the terminal has changed.
    Control {
        /// What the client calls itself; `None`: nobody controls.
        by: Option<String>,
    },
    /// The agent did or said something.
    Agent(Box<AgentHeard>),
    /// The owner's policy is this now. Comes before a session's first other input, and again when it changes.
    Policy(Box<Policy>),
    /// A store effect of the **last** step failed; always the very next input after it. See [`super::Effect`].
    StoreFailed {
        /// Why, in words for the owner.
        reason: String,
        /// The last event number the event log really holds.
        log_seq: u64,
    },
}
