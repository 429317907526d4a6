//! What the link's tests have beside the harness.

use delight_proto::api::method::{DaemonStatus, Empty, UplinkState};
pub(crate) use delight_tests::link::{Link, MACHINE, Relay, secret};
use delight_tests::{Sandbox, until};

/// Waits until the daemon says that the server knows the machine as online.
#[track_caller]
pub(super) fn is_online(sandbox: &Sandbox) {
    let mut client = sandbox.client();
    until("the machine is online", || {
        let status = client.call::<DaemonStatus>(&Empty {}).unwrap();
        status.uplink.is_some_and(|uplink| uplink.state == UplinkState::Online)
    });
}
