//! Being told of changes.

use serde::{Deserialize, Serialize};

use super::wire;
use crate::id::SessionId;
use crate::session::SessionView;

wire! {
    /// Of `Subscribe`.
    pub struct SubscribeParams {
        /// Only this session; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub session: Option<String>,
    }

    /// Of `Subscribe`.
    pub struct SubscribeResult {
        /// Sessions as they are at the moment the subscription begins.
        pub sessions: Vec<SessionView>,
    }
}

/// What a subscription is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Change {
    /// A session is new or changed.
    Session {
        /// As it is now.
        session: Box<SessionView>,
    },
    /// A session was removed.
    Removed {
        /// Which.
        id: SessionId,
    },
    /// The client did not read fast enough: so many changes were left out. Ask for the list again.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Name of the notification that carries a [`Change`].
pub const CHANGE: &str = "change";
