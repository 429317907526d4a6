//! Everybody who waits for something of a session.

use std::collections::BTreeMap;

use delight_proto::agent::{Activity, Control, Mode};
use delight_proto::id::{LocalId, PermissionId};
use delight_proto::session::{Origin, Phase};
use serde::{Deserialize, Serialize};

use crate::actor::Ticket;

/// Somebody who waits for a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    pub(super) phases: Vec<Phase>,
    pub(super) activity: Vec<Activity>,
    pub(super) until: Option<u64>,
}

/// Somebody who waits for who is to drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Switching {
    pub(super) ticket: Ticket,
    pub(super) origin: Origin,
    pub(super) to: Control,
}

/// A request under way to the holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tagged {
    /// Input of that many bytes.
    Send { ticket: Ticket, origin: Origin, bytes: u64 },
    /// A size.
    Resize { ticket: Ticket },
    /// A message of the record's queue.
    Prompt { id: LocalId },
    /// A decision of the record's permissions.
    Decide { id: PermissionId },
    /// To stop what it does.
    Abort { ticket: Ticket },
    /// To work in another way.
    SetMode { ticket: Ticket, origin: Origin, mode: Mode },
    /// To end.
    End,
}

impl Tagged {
    /// Whether a client's request bounded by [`MAX_TAGGED`]; the others are bounded by what the record holds.
    pub(super) fn is_request(&self) -> bool {
        !matches!(self, Self::Prompt { .. } | Self::Decide { .. } | Self::End)
    }

    /// Bytes of a send.
    pub(super) fn bytes(&self) -> u64 {
        if let Self::Send { bytes, .. } = self { *bytes } else { 0 }
    }
}

/// A send that waits for the runner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Early {
    pub(super) ticket: Ticket,
    pub(super) origin: Origin,
    pub(super) bytes: Vec<u8>,
}

/// What is sent may be a password: only its length is ever printed.
impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Early")
            .field("ticket", &self.ticket)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Everybody who is owed an answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Callers {
    /// Spawns and resumes, answered when the runner is up or the start has failed.
    pub(super) starts: Vec<Ticket>,
    /// Stops, answered when nothing of the tree is alive.
    pub(super) stops: Vec<Ticket>,
    /// Waits.
    pub(super) waits: Vec<Waiting>,
    /// Removals, answered when it is forgotten.
    pub(super) removals: Vec<Ticket>,
    /// Sends that wait for the runner.
    pub(super) early: Vec<Early>,
    /// Switches, oldest first: those in front that want the same are answered when that runner is ready, then the next
    /// are served.
    pub(super) switches: Vec<Switching>,
    /// Who waits for a message to be with the agent.
    pub(super) prompts: Vec<(LocalId, Ticket)>,
    /// Who waits for a decision to be with the agent.
    pub(super) decides: Vec<(PermissionId, Ticket)>,
    /// Requests under way to the holder, by tag.
    pub(super) tagged: BTreeMap<u64, Tagged>,
    /// The last tag given.
    pub(super) last_tag: u64,
}

impl Callers {
    /// A number for a request to the holder.
    pub(super) fn tag(&mut self, tagged: Tagged) -> u64 {
        self.last_tag += 1;
        self.tagged.insert(self.last_tag, tagged);
        self.last_tag
    }
}
