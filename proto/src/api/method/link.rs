//! The link to the sync server: accounts, pairing, devices.

use serde::{Deserialize, Serialize};

use super::wire;
use crate::sync::bounded::Hidden;

wire! {
    /// Of `UplinkStatus`.
    pub struct UplinkStatusResult {
        /// The server; none: the machine is not linked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub server: Option<String>,
        /// How the link is.
        pub state: UplinkState,
        /// Unix milliseconds since when.
        pub since_ms: u64,
        /// Why it is not online, in words for a person.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        pub reason: String,
        /// This machine's id at the server.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub machine: Option<String>,
        /// Records the server has not confirmed yet.
        pub waiting: u64,
    }

    /// Of `AccountCreate`.
    pub struct AccountCreateParams {
        /// The server's URL; absent: the configured one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub server: Option<String>,
    }

    /// Of `AccountShow`.
    pub struct AccountResult {
        /// The server's URL.
        pub server: String,
        /// The account's public content key in hexadecimal: the same on all of its machines.
        pub account: String,
        /// This machine's id.
        pub machine: String,
        /// Whether this machine holds the account's own secret (else: what a phone gave it).
        pub has_secret: bool,
    }

    /// Of `AccountExport`.
    pub struct AccountExportResult {
        /// The backup text.
        pub backup: Hidden<String>,
    }

    /// Of `AccountImport`.
    pub struct AccountImportParams {
        /// The backup text.
        pub backup: Hidden<String>,
        /// The server's URL; absent: the configured one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub server: Option<String>,
    }

    /// Of `PairBegin`.
    pub struct PairBeginParams {
        /// The server's URL; absent: the configured one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub server: Option<String>,
    }

    /// Of `PairBegin`.
    pub struct PairBeginResult {
        /// Which pairing, for `pair.wait`.
        pub pairing: String,
        /// The server the phone must use, too.
        pub server: String,
        /// The link Happy's app scans.
        pub happy_link: String,
        /// Our own.
        pub link: String,
        /// Unix milliseconds when it is over.
        pub expires_ms: u64,
    }

    /// Of `PairWait`.
    pub struct PairWaitParams {
        /// Of `pair.begin`.
        pub pairing: String,
    }

    /// Of `PairWait`.
    pub struct PairWaitResult {
        /// The account this machine belongs to now.
        pub account: AccountResult,
        /// Six digits: the phone shows the same, or somebody is in between. They depend on the phone's account, so nobody
        /// knows them before it answered.
        pub number: String,
    }

    /// Of `Unpair`.
    pub struct UnpairResult {
        /// Whether the server has taken the machine off its list.
        pub told: bool,
        /// Why it has not; empty when it has.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        pub reason: String,
    }

    /// Of `DeviceList`.
    pub struct DeviceListResult {
        /// Machines first.
        pub devices: Vec<Device>,
    }

    /// A machine or app of the account.
    pub struct Device {
        /// Its id.
        pub id: String,
        /// Its name, when it can be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// Whether it is this machine.
        pub this: bool,
        /// Whether it is online.
        pub online: bool,
        /// Unix milliseconds when it was last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub seen_ms: Option<u64>,
    }
}

/// How the link to the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum UplinkState {
    /// The machine belongs to no account.
    NotLinked,
    /// It is being made.
    Connecting,
    /// The server knows the machine as online.
    Online,
    /// It broke or could not be made; the next try is on its way.
    Waiting,
    /// The server refuses the account; nothing is tried until somebody pairs again.
    Refused,
}
