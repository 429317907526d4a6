//! The daemon itself: greeting, status, end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{UplinkStatusResult, wire};
use crate::session::Phase;

wire! {
    /// No parameters, or nothing to tell.
    pub struct Empty {}

    /// Of `Hello`.
    pub struct HelloParams {
        /// The client's name and version, for people.
        pub client: String,
        /// The highest [`crate::api::PROTOCOL`] it speaks.
        pub protocol: u32,
    }

    /// Of `Hello`.
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

    /// Of `DaemonStatus`.
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
        /// The relay inside the daemon, when one was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub relay: Option<RelayStatus>,
        /// How the link to the server is; none where a daemon knows of no servers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub uplink: Option<UplinkStatusResult>,
    }

    /// The sync server that runs inside the daemon.
    pub struct RelayStatus {
        /// Where it was to listen, and, when it runs, where it does.
        pub listen: String,
        /// Its URL on this machine, when it runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub url: Option<String>,
        /// Why it does not run; empty when it does.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        pub reason: String,
    }

    /// Of `DaemonStop`.
    pub struct DaemonStopParams {
        /// End all sessions first.
        #[serde(default)]
        pub stop_sessions: bool,
    }

    /// Of `DaemonStop`.
    pub struct DaemonStopResult {
        /// Sessions that go on without it.
        pub left_running: u32,
        /// Sessions that were ended.
        pub stopped: u32,
    }
}
