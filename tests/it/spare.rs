//! The holder that waits for the next session: it is quick, and never a holder too many.

use std::collections::BTreeSet;

use delight_proto::api::method::{DaemonStatus, Empty, SessionSpawn};
use delight_proto::id::SessionId;
use delight_proto::session::Phase;
use delight_tests::api::spawn;
use delight_tests::{Sandbox, kernel, until, until_some};
use nix::sys::signal::Signal;

/// The waiting holder's process, once there is one.
fn waiting(sandbox: &Sandbox) -> u32 {
    until_some("one holder waits", || match &sandbox.spare_holders()[..] {
        [spare] => Some(spare.pid),
        _ => None,
    })
}

/// What has a directory among the sessions.
fn directories(sandbox: &Sandbox) -> BTreeSet<SessionId> {
    let entries = std::fs::read_dir(sandbox.place().sessions()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn the_next_session_gets_the_holder_that_waits_and_another_one_takes_its_place() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let first = waiting(&sandbox);
    let view = client.spawn(&["sleep", "1000"]);
    assert_eq!(view.holder.unwrap().process.pid, first);
    assert_ne!(waiting(&sandbox), first);
    assert_eq!(sandbox.holders().len(), 1);
}

/// It stands for nothing yet: no session, no orphan, and the next daemon says nothing about it.
#[test]
fn a_waiting_holder_ends_with_its_daemon_and_leaves_nothing() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn(&["sleep", "1000"]).id;
    let spare = waiting(&sandbox);
    daemon.kill9();
    until("it ends with the daemon", || !kernel::alive(spare));
    assert_eq!(directories(&sandbox).len(), 2, "the session's, and what the waiting holder left");
    let daemon = sandbox.start_daemon();
    let status = sandbox.client().call::<DaemonStatus>(&Empty {}).unwrap();
    assert_eq!(status.sessions.into_values().sum::<u32>(), 1);
    assert!(status.quarantined.is_empty(), "{:?}", status.quarantined);
    waiting(&sandbox);
    assert!(daemon.terminate().success());
    until("only the session is left", || sandbox.spare_holders().is_empty());
    assert_eq!(directories(&sandbox), BTreeSet::from([id]));
    assert_eq!(sandbox.holders().len(), 1);
}

#[test]
fn a_waiting_holder_that_was_killed_is_not_missed() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let spare = waiting(&sandbox);
    kernel::signal(spare, Signal::SIGKILL);
    until("it has ended", || !kernel::alive(spare));
    let view = sandbox.client().spawn(&["sleep", "1000"]);
    assert_eq!(view.phase, Phase::Running);
    assert_ne!(view.holder.unwrap().process.pid, spare);
}

/// How much output is kept is told at a holder's start.
#[test]
fn a_session_that_keeps_less_output_gets_a_holder_of_its_own() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let spare = waiting(&sandbox);
    let mut params = spawn(&["sleep", "1000"]);
    params.retain_bytes = Some(1 << 20);
    let view = sandbox.client().call::<SessionSpawn>(&params).unwrap();
    assert_ne!(view.holder.unwrap().process.pid, spare);
    assert_eq!(waiting(&sandbox), spare, "the other still waits");
}
