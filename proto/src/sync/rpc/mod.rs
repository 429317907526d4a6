//! Calls: what a phone asks of a machine or a session, through a server that cannot read it.
//!
//! The server routes by the full name `<id>:<method>` ([`Address`]); the parameters are one text, sealed or, from
//! Delight's first phone, plain JSON. [`Params`] is what came out of it, [`MachineRequest`] and [`SessionRequest`] what it
//! asks for, and [`answer`] how it is answered.

mod address;
pub mod answer;
mod api;
mod files;
mod fork;
mod machine;
mod params;
mod requests;
mod session;
mod spawn;

use serde::{Deserialize, Serialize};

pub use self::address::{Address, BadAddress};
pub use self::api::{ApiAnswer, ApiOutcome, ApiRequest, from_afar};
pub use self::files::{
    CommandOutcome, DirectoryEntry, DirectoryListing, DirectoryTree, EntryKind, ExpectedHash, FileContent,
    FileRequest, FileWritten, GetTree, PathOnly, RunBash, RunTool, TreeNode, WriteFile,
};
pub use self::fork::{Conversation, CutAfter, ForkConversation, Forked, RewindPoint, RewindPoints};
pub use self::machine::{MachineRequest, MachineSession, MachineSessions, StopSession};
pub use self::params::{CLOCK_WINDOW_MS, NoParams, Params, bind_answer, bind_request, read_bound_answer};
pub use self::session::{
    Abort, AgentControl, Decision, GoalAction, PermissionDecision, SessionRequest, Switch,
};
pub use self::spawn::{
    MissingDirectory, Pending, ResumeRequest, SpawnError, SpawnRequest, SpawnResult, Spawned,
};

use super::bounded::{Hidden, Text};
use super::bounds;

/// The parameters or the answer of a call as one text. Never shown.
pub type RpcText = Hidden<Text<{ bounds::PACKET }>>;

/// A call on the wire, from caller to server and from server to provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcCall {
    /// The full name, `<id>:<method>`.
    pub method: Text<{ bounds::METHOD }>,
    /// The parameters.
    pub params: RpcText,
}
