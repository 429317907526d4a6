//! The whole tree is found, signalled and reaped.

use delight_proto::holder::{Attach, FromHolder, ToHolder};
use delight_proto::session::Exit;

use crate::rig::{Rig, sh, until};

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// A script that leaves a process behind: forked twice, in a session of its own, deaf to polite signals.
const DOUBLE_FORK: &str =
    "(setsid sh -c 'trap \"\" HUP TERM INT; echo pid=$$; while :; do sleep 1; done' &) ; sleep 0.2; ";

fn pid_in(text: &str) -> u32 {
    let digits: String =
        text.split("pid=").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn an_orphan_of_a_double_fork_is_found_and_ended() {
    let (mut rig, _) = Rig::started(sh(&format!("{DOUBLE_FORK} exec sleep 600")));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    viewer.see("pid=");
    viewer.see("\r\n");
    let orphan = pid_in(&viewer.text());
    rig.daemon.send(&ToHolder::SignalTree { signal: 15 });
    let exited = rig.exited();
    assert_eq!(exited.exit, Exit::Signal(15));
    assert!(exited.survivors >= 1, "the orphan is deaf to it");
    assert!(alive(orphan));
    rig.daemon.send(&ToHolder::SignalTree { signal: 9 });
    rig.daemon.tree_gone();
    assert!(!alive(orphan), "TreeGone is proof");
    rig.wait_for_end();
}

#[test]
fn an_exit_is_told_though_a_grandchild_keeps_the_terminal() {
    let (mut rig, _) = Rig::started(sh(&format!("{DOUBLE_FORK} echo tail; exit 5")));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    let exited = viewer.exited();
    assert_eq!(exited.exit, Exit::Code(5));
    assert!(exited.survivors >= 1);
    assert!(viewer.text().contains("tail\r\n"));
    assert_eq!(rig.exited(), exited);
    assert!(rig.holder.try_wait().unwrap().is_none(), "it stays as the survivors' reaper");
    // The next daemon finds an ended session with something alive: it may not be closed, and TreeGone comes.
    assert_eq!(rig.another_daemon().exited.map(|exited| exited.exit), Some(Exit::Code(5)));
    rig.daemon.send(&ToHolder::Close);
    assert_eq!(rig.daemon.refused().code, delight_proto::refusal::Code::WrongState);
    rig.daemon.send(&ToHolder::SignalTree { signal: 9 });
    rig.daemon.tree_gone();
    rig.wait_for_end();
}

#[test]
fn survivors_that_end_by_themselves_end_the_holder() {
    let (mut rig, _) =
        Rig::started(sh("(setsid sh -c 'echo apart; sleep 0.3; echo late' &); read x; exit 0"));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    // Before it has a session of its own the end of the runner's would take it along.
    viewer.see("apart");
    rig.daemon.type_in("\n");
    assert!(rig.exited().survivors >= 1);
    viewer.see("late");
    rig.daemon.tree_gone();
    rig.wait_for_end();
}

#[test]
fn a_fork_storm_is_ended() {
    let (mut rig, _) = Rig::started(sh(
        "spawn() { (sh -c 'sleep 600' & sh -c 'sleep 600' &) ; }; trap '' TERM; while :; do spawn; done",
    ));
    let started = rig.daemon.seen.len();
    assert_eq!(started, 0);
    until("a crowd", || crowd(rig.holder.id()) > 40);
    rig.daemon.send(&ToHolder::SignalTree { signal: 9 });
    rig.daemon.tree_gone();
    rig.wait_for_end();
}

fn crowd(root: u32) -> usize {
    let children = std::fs::read_to_string(format!("/proc/{root}/task/{root}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(|pid: u32| 1 + crowd(pid)).sum()
}

#[test]
fn a_stopped_process_gets_its_signal() {
    let (mut rig, started) = Rig::started(sh("kill -STOP $$; exit 1"));
    until("it is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", started.process.pid)).unwrap();
        stat.contains(") T ")
    });
    rig.daemon.send(&ToHolder::SignalTree { signal: 15 });
    assert_eq!(rig.exited().exit, Exit::Signal(15));
    rig.wait_for_end();
}

#[test]
fn a_tree_that_is_gone_is_told_to_be_gone() {
    let mut rig = Rig::new();
    rig.daemon.send(&ToHolder::SignalTree { signal: 15 });
    rig.daemon.find("TreeGone", |f| matches!(f, FromHolder::TreeGone { generation: 0 }).then_some(()));
    rig.daemon.send(&ToHolder::SignalTree { signal: 0 });
    assert!(rig.daemon.refused().reason.contains("not a signal"));
}
