//! The daemon itself: greeting, status, end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire;
use crate::session::Phase;

wire! {
    /// No parameters, or nothing to tell.
    pub struct Empty {}

    /// See [`Hello`].
    pub struct HelloParams {
        /// The client's name and version, for people.
        pub client: String,
        /// The highest [`super::PROTOCOL`] it speaks.
        pub protocol: u32,
    }

    /// See [`Hello`].
    pub struct HelloResult {
        /// The protocol both use from here on.
        pub protocol: u32,
        /// The daemon's version.
        pub version: String,
        /// The daemon's process id.
        pub pid: u32,
        /// Methods it offers.
        pub methods: Vec<String>,
        /// Session kinds it can start.
        pub kinds: Vec<String>,
    }

    /// See [`DaemonStatus`].
    pub struct DaemonStatusResult {
        /// Its version.
        pub version: String,
        /// Its process id.
        pub pid: u32,
        /// Unix milliseconds of its start.
        pub started_ms: u64,
        /// The socket it listens on.
        pub socket: String,
        /// Where it keeps its state.
        pub state_dir: String,
        /// Sessions by phase.
        pub sessions: BTreeMap<Phase, u32>,
        /// Most sessions that may be live at once.
        pub max_live: u32,
        /// Sessions found alive when it started.
        pub adopted: u32,
        /// Registry records it could not read and set aside, with the reason.
        pub quarantined: Vec<String>,
    }

    /// See [`DaemonStop`].
    pub struct DaemonStopParams {
        /// End all sessions first.
        #[serde(default)]
        pub stop_sessions: bool,
    }

    /// See [`DaemonStop`].
    pub struct DaemonStopResult {
        /// Sessions that go on without it.
        pub left_running: u32,
        /// Sessions that were ended.
        pub stopped: u32,
    }
}
