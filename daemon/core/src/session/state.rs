//! What a session remembers.

use std::collections::BTreeMap;

use delight_proto::agent::Control;
use delight_proto::event::Event;
use delight_proto::id::{PermissionId, SessionName};
use delight_proto::policy::{Policy, default_no_answer_ms};
use delight_proto::refusal::Refusal;
use delight_proto::session::{HolderIdentity, Record};
use serde::{Deserialize, Serialize};

use super::callers::Callers;
use super::step::Say;
use super::{control, record};

/// Longest time a start may take, holder and runner together. Measured starts take milliseconds; an agent on a cold
/// disk takes seconds.
pub const START_TIMEOUT_MS: u64 = 15_000;
/// Largest grace a stop may ask for.
pub const MAX_GRACE_MS: u64 = 600_000;
/// Longest time everything may be allowed unasked at once: a day.
pub const MAX_BYPASS_MS: u64 = 86_400_000;
/// Longest time an agent that is to end has to do so by itself before it is signalled: it needs 1.4 s with a task in
/// the background (`facts/agents.md` 1.9). Never more than half of the grace.
pub const END_PATIENCE_MS: u64 = 2_000;
/// Between two `SIGKILL`s while something of the tree is still alive.
pub const KILL_AGAIN_MS: u64 = 1_000;
/// Failed runners in a row that are started again; then it is given up.
pub const RESTART_BUDGET: u32 = 5;
/// Wait before the first restart; it doubles each time.
pub const RESTART_FIRST_MS: u64 = 1_000;
/// Longest wait before a restart.
pub const RESTART_MAX_MS: u64 = 60_000;
/// A runner that was up for this long ran well: the restart budget is whole again.
pub const RAN_WELL_MS: u64 = 60_000;
/// Wait before the first new try to reach a holder or the store; it doubles up to [`RETRY_MAX_MS`].
pub const RETRY_FIRST_MS: u64 = 1_000;
/// Longest wait between two such tries.
pub const RETRY_MAX_MS: u64 = 60_000;

/// Callers of one sort (start, stop, wait, switch, prompt, decide) a session remembers at once: far more than people and scripts around one
/// session, and a few KiB.
pub const MAX_CALLERS: usize = 64;
/// Requests under way to the holder (input, resize) at once.
pub const MAX_TAGGED: usize = 64;
/// Bytes of one send: what fits a line of the control API with room to spare.
pub const MAX_SEND_BYTES: usize = 1 << 20;
/// Bytes of all sends under way: what the holder itself queues for a runner that does not read.
pub const MAX_PENDING_BYTES: usize = 1 << 20;
/// Bytes of sends that wait for a runner that is being started.
pub const MAX_EARLY_BYTES: usize = 64 << 10;
/// Events appended since the last save after which the record is saved, so that restoring folds no more than this.
/// The event log must keep at least so many, whatever its retention.
pub const SAVE_EVERY: u64 = 256;
/// Events kept in memory while the store refuses them; beyond it the oldest is given up (nobody was told of it). What
/// the agent says meanwhile waits in its journal ([`Session::hears_agent`]), so people alone cannot reach it soon.
pub const MAX_UNSTORED: usize = 256;
/// Troubles of a holder that are shown, and characters of each.
pub const MAX_TROUBLES: usize = 16;
/// See [`MAX_TROUBLES`].
pub const MAX_TROUBLE_CHARS: usize = 500;
/// Characters of a controlling client's name, as many as a holder keeps.
pub const MAX_CONTROLLER_CHARS: usize = 80;

/// Bytes of one path of a permission (`PATH_MAX`).
pub const MAX_PATH_BYTES: usize = 4_096;

/// What becomes of descendants that outlive a runner which ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survivors {
    /// They go on (what was started with `nohup` in a shell); a warning names them.
    #[default]
    Leave,
    /// They are ended like in a stop.
    End,
}

/// What an adapter's sessions can do: all the core knows of a session kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// What becomes of descendants of a runner that ended by itself.
    pub survivors: Survivors,
    /// Whether its holder hosts one generation after the other while the session is live (clients stay attached when
    /// one runner takes over from another). Sessions with a restart policy are treated as if it were set.
    pub keep_holder: bool,
    /// Who can drive its sessions; both false: a plain terminal, in which there is no agent.
    pub controls: Controls,
    /// Whether a new runner goes on where the last one was, so that the daemon may resume an interrupted session by
    /// itself. A plain terminal cannot.
    pub resume: bool,
}

impl Capabilities {
    /// An agent's: what it started is not to outlive it, its holder hosts one generation after the other, and it goes on
    /// where it was.
    #[must_use]
    pub const fn agent(controls: Controls) -> Self {
        Self { survivors: Survivors::End, keep_holder: true, controls, resume: true }
    }
}

impl Controls {
    /// Whether this one can drive.
    #[must_use]
    pub fn offers(self, control: Control) -> bool {
        match control {
            Control::Local => self.local,
            Control::Remote => self.remote,
        }
    }

    /// Who can drive, the desktop first.
    #[must_use]
    pub fn list(self) -> Vec<Control> {
        [Control::Local, Control::Remote].into_iter().filter(|control| self.offers(*control)).collect()
    }
}

/// Who can drive a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Controls {
    /// The desktop, in the agent's own terminal program.
    pub local: bool,
    /// The phone, through the agent's structured protocol.
    pub remote: bool,
    /// Both at once, by the runner the phone drives: then control stays with it, and changing hands changes nothing.
    #[serde(default)]
    pub shared: bool,
}

/// The session's holder, as far as the daemon knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Holder {
    /// There is none.
    None,
    /// One is being started.
    Launching,
    /// It is connected.
    Up,
    /// It was told to end (or ends by itself) and has not yet.
    Closing,
    /// It is being looked for.
    Seeking,
    /// It lives and cannot be talked to; the next try is at `retry_at`.
    Unreachable { retry_at: u64 },
}

/// The process tree of the record's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tree {
    /// Nothing of it is alive, or there never was one.
    Gone,
    /// The holder was asked to start it.
    Requested,
    /// The runner is up since `since` (monotonic).
    Up { pid: u32, since: u64 },
    /// The runner ended, this many descendants live on.
    Survivors(u32),
}

/// A start under way: until the runner is up, or, if the phone is to drive it, until it takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Starting {
    /// When it is given up (monotonic).
    pub(super) by: u64,
    /// Why it is done.
    pub(super) cause: Cause,
}

/// Why a runner is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cause {
    /// The session was just made.
    Spawn,
    /// Somebody asked for it to run again.
    Resume,
    /// The restart policy wants it.
    Restart,
    /// Somebody else is to drive.
    Switch,
    /// They could not, or their runner ended: who drove before does again.
    FallBack,
}

/// The tree is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    /// When the next `SIGKILL` is due (monotonic).
    pub(super) kill_at: u64,
    /// When the polite signals are due (monotonic): the first ones, if the agent was told to end by itself before, or the
    /// next ones.
    pub(super) ask_at: Option<u64>,
    /// How often they were sent.
    pub(super) asked: u32,
    /// Whether a `SIGKILL` was sent.
    pub(super) killed: bool,
    /// What it becomes once the tree is gone.
    pub(super) then: Then,
}

/// What a session becomes once its tree is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Then {
    /// Stopped: somebody asked.
    Stopped,
    /// What becomes of a session whose runner ended by itself.
    Exited,
    /// A start that failed, for this reason; and why it was begun.
    StartFailed(Refusal, Cause),
    /// The next generation, for somebody else.
    Switch,
}

/// How far the removal of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Removal {
    /// It stays.
    No,
    /// It is forgotten as soon as its holder is gone.
    WaitsForHolder,
    /// It is forgotten.
    Done,
}

/// How the last steps stand to the store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Store {
    /// Whether a record of the session is known to be durable.
    pub(super) durable: bool,
    /// Events of the last step: still to be stored if the next input says that it failed.
    pub(super) in_flight: Vec<Event>,
    /// What the last step wanted told, to be decided again if the next input says that its store effects failed.
    pub(super) untold: Vec<Say>,
    /// Whether the last step saved the record.
    pub(super) saving: bool,
    /// The record as it was found, while the stored one names a later event than the log has: a power cut took them.
    /// It is saved before anything is appended, or the next daemon took the new events for the old.
    pub(super) ahead: Option<Box<Record>>,
    /// Number of the last event covered by a save.
    pub(super) saved_seq: u64,
    /// Events the store has refused, oldest first. Empty unless `trouble`.
    pub(super) unstored: Vec<Event>,
    /// How many more it refused that were given up: so many the first of `unstored` says are missing.
    #[serde(default)]
    pub(super) given_up: u64,
    /// Names to be released as soon as it is stored that they are not the session's any more; at most a few, for a
    /// rename is refused while the store refuses.
    pub(super) names: Vec<SessionName>,
    /// Orders for the agent that are told as soon as what they are of is stored; bounded like what they are of.
    pub(super) withheld: Vec<Say>,
    /// Why the store refuses, while it does.
    pub(super) trouble: Option<StoreTrouble>,
}

/// The store refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoreTrouble {
    pub(super) reason: String,
    /// Whether the last step tried again; if the next input does not say that it failed, the trouble is over.
    pub(super) trying: bool,
    pub(super) retry_at: u64,
    pub(super) wait_ms: u64,
}

/// One session.
///
/// `record` is what survives; everything else is forgotten with the daemon and found again from the holder.
/// Plain data: compared, printed and cloned by value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub(super) record: Record,
    pub(super) capabilities: Capabilities,
    pub(super) holder: Holder,
    /// The holder that was started ahead of the session, until its start takes it.
    #[serde(default)]
    pub(super) spare: Option<HolderIdentity>,
    pub(super) tree: Tree,
    pub(super) starting: Option<Starting>,
    pub(super) ending: Option<Ending>,
    /// When the restart is due (monotonic), in phase `BackingOff`.
    pub(super) restart_at: Option<u64>,
    /// Whether its turn to be restored has not come or is not over.
    pub(super) restoring: bool,
    /// Wait before the next try to reach the holder after one that fails.
    pub(super) seek_wait_ms: u64,
    /// Why its last start failed, in phase `Failed`: whoever repeats the spawn hears it again.
    pub(super) start_refusal: Option<Refusal>,
    /// Journal offset as last heard.
    pub(super) offset: u64,
    /// The holder's troubles.
    pub(super) troubles: Vec<String>,
    /// What the client that controls the terminal calls itself. The holder remembers it, so it is in no event.
    pub(super) controller: Option<String>,
    pub(super) callers: Callers,
    pub(super) store: Store,
    /// What its agent may do unasked.
    pub(super) policy: Policy,
    /// When permissions expire (monotonic); only of some that wait.
    pub(super) expiries: BTreeMap<PermissionId, u64>,
    /// When everything is asked again (monotonic), while nothing is.
    pub(super) bypass_ends: Option<u64>,
    /// Places taken in since the last save that no event tells of.
    pub(super) unsaved_marks: u64,
    /// Whether it is being removed, or was.
    pub(super) removal: Removal,
}

impl Session {
    /// A session just made; its record is not stored yet. Its first input is [`super::Command::Start`].
    #[must_use]
    pub fn new(record: Record, capabilities: Capabilities) -> Self {
        let mut record = record;
        control::prepare(&mut record, capabilities.controls);
        Self {
            record,
            capabilities,
            holder: Holder::None,
            spare: None,
            tree: Tree::Gone,
            starting: None,
            ending: None,
            restart_at: None,
            restoring: false,
            seek_wait_ms: RETRY_FIRST_MS,
            start_refusal: None,
            offset: 0,
            troubles: Vec::new(),
            controller: None,
            callers: Callers::default(),
            store: Store::default(),
            policy: Policy { no_answer_ms: default_no_answer_ms(), ..Policy::default() },
            expiries: BTreeMap::new(),
            bypass_ends: None,
            unsaved_marks: 0,
            removal: Removal::No,
        }
    }

    /// The same for one whose holder is connected already: it was started ahead.
    #[must_use]
    pub fn on_spare(self, holder: HolderIdentity) -> Self {
        Self { spare: Some(holder), ..self }
    }

    /// A session of the registry: its record with the events folded in that were appended after it was saved. `log_seq`
    /// is the last number the event log holds and decides how numbering goes on. Its first input is
    /// [`super::Happening::Restore`].
    #[must_use]
    pub fn restored(mut record: Record, log_seq: u64, tail: &[Event], capabilities: Capabilities) -> Self {
        let mut store = Store { durable: true, saved_seq: record.last_seq, ..Store::default() };
        for event in tail {
            record::apply(&mut record, event);
        }
        record.last_seq = log_seq;
        if store.saved_seq > log_seq {
            store.ahead = Some(Box::new(record.clone()));
        }
        Self { restoring: true, store, ..Self::new(record, capabilities) }
    }

    /// Whether it takes in what its agent says. While the store refuses, that is left where it is: in the journal and in
    /// files, where nothing of it is lost.
    #[must_use]
    pub fn hears_agent(&self) -> bool {
        self.store.trouble.as_ref().is_none_or(|trouble| trouble.trying)
    }

    /// What survives of it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }
}
