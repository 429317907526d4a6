//! States: the sealed values with a version, written by several peers.
//!
//! Each is an open object: what we do not know is kept and written back. Read one, change what is ours, write the whole.

mod agent_state;
mod daemon_state;
mod machine_metadata;
mod session_metadata;

pub use self::agent_state::{AgentState, CompletedRequest, PermissionRequest};
pub use self::daemon_state::DaemonState;
pub use self::machine_metadata::{AgentAvailability, MachineMetadata, ResumeSupport};
pub use self::session_metadata::{Choice, McpServer, SessionMetadata, Summary};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{bounds, read};
use crate::refusal::{Code, Refusal};

/// Reads the plaintext of a state.
///
/// # Errors
/// [`Code::TooLarge`] beyond [`bounds::STATE`], [`Code::BadRequest`] or [`Code::BadParams`] when it is no JSON object.
pub fn open<T: DeserializeOwned>(plaintext: &[u8]) -> Result<T, Refusal> {
    read::bytes("a state", plaintext, bounds::STATE)
}

/// The plaintext of a state.
///
/// # Errors
/// [`Code::TooLarge`] beyond [`bounds::STATE`]: it would not fit a packet once sealed, and a server drops the connection
/// at one that does not fit.
pub fn plaintext<T: Serialize>(state: &T) -> Result<Vec<u8>, Refusal> {
    let bytes = serde_json::to_vec(state).map_err(|error| read::refuse("a state of ours", &error))?;
    if bytes.len() > bounds::STATE {
        let reason = format!("{} bytes, more than the {} allowed", bytes.len(), bounds::STATE);
        return Err(Refusal::new(Code::TooLarge, "a state of ours", reason));
    }
    Ok(bytes)
}
