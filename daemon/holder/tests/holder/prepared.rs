//! Starts that are made ready before they are asked for.

use delight_proto::holder::{FromHolder, Start, ToHolder};
use delight_proto::refusal::Code;
use delight_proto::session::Exit;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{Rig, sh, until};

/// A session that leaves a file when it has run, prepared; and the process that waits.
fn prepared() -> (Rig, Start, Pid) {
    let mut rig = Rig::new();
    let ran = rig.dir.path().join("ran");
    let start = sh(&format!("echo $$ >> {}", ran.display()));
    rig.daemon.send(&ToHolder::Prepare(Box::new(start.clone())));
    let mut waiting = Vec::new();
    until("a process waits", || {
        waiting = children(&rig);
        !waiting.is_empty()
    });
    (rig, start, waiting[0])
}

fn children(rig: &Rig) -> Vec<Pid> {
    let holder = rig.holder.id();
    let list = std::fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

fn ran(rig: &Rig) -> Option<String> {
    std::fs::read_to_string(rig.dir.path().join("ran")).ok()
}

fn lives(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[test]
fn what_is_prepared_runs_when_it_is_started_and_not_before() {
    let (mut rig, start, waiting) = prepared();
    // All there is for it to sleep in is the read that a start ends.
    until("it waits", || {
        let stat = std::fs::read_to_string(format!("/proc/{waiting}/stat")).unwrap_or_default();
        stat.contains(") S ")
    });
    assert_eq!(ran(&rig), None);
    let started = rig.start(start);
    assert_eq!(started.process.pid as i32, waiting.as_raw(), "the process that waited");
    assert_eq!(rig.exited().exit, Exit::Code(0));
    assert_eq!(ran(&rig), Some(format!("{waiting}\n")), "once");
    rig.wait_for_end();
}

#[test]
fn a_start_that_says_something_else_is_that_start() {
    let (mut rig, start, waiting) = prepared();
    let other =
        rig.start(Start { env: vec![], argv: vec!["/bin/sh".into(), "-c".into(), "exit 3".into()], ..start });
    assert_ne!(other.process.pid as i32, waiting.as_raw());
    assert_eq!(rig.exited().exit, Exit::Code(3));
    rig.wait_for_end();
    assert!(!lives(waiting));
    assert_eq!(ran(&rig), None);
}

#[test]
fn what_was_prepared_ends_with_its_holder() {
    let (mut rig, _, waiting) = prepared();
    rig.holder.kill().unwrap();
    rig.wait_for_end();
    until("it has ended", || !lives(waiting));
    assert_eq!(ran(&rig), None);
}

#[test]
fn what_was_prepared_ends_when_the_daemon_goes() {
    let (mut rig, _, waiting) = prepared();
    rig.daemon = crate::rig::Peer::new(std::os::unix::net::UnixStream::pair().unwrap().0);
    rig.wait_for_end();
    until("it has ended", || !lives(waiting));
    assert_eq!(ran(&rig), None);
}

#[test]
fn a_prepared_process_that_was_killed_is_not_missed() {
    let (mut rig, start, waiting) = prepared();
    kill(waiting, Signal::SIGKILL).unwrap();
    until("it is collected", || children(&rig).is_empty());
    let started = rig.start(start);
    assert_eq!(rig.exited().exit, Exit::Code(0));
    assert_eq!(ran(&rig), Some(format!("{}\n", started.process.pid)));
}

#[test]
fn what_cannot_be_prepared_is_refused_at_its_start() {
    let mut rig = Rig::new();
    let start = Start { cwd: "/no/such/dir".into(), ..sh("true") };
    rig.daemon.send(&ToHolder::Prepare(Box::new(start.clone())));
    rig.daemon.send(&ToHolder::Start(Box::new(start)));
    let refusal = rig.daemon.find("StartFailed", |f| match f {
        FromHolder::StartFailed(failed) => Some(failed.refusal.clone()),
        FromHolder::Started(started) => panic!("{started:?}"),
        _ => None,
    });
    assert_eq!(refusal.code, Code::StartFailed);
    assert!(refusal.reason.contains("does not exist"), "{refusal}");
}

#[test]
fn nothing_is_prepared_beside_a_living_runner() {
    let (mut rig, started) = Rig::started(Start { keep: true, ..sh("read line; exit 5") });
    let next = Start { generation: 2, ..sh("exit 6") };
    rig.daemon.send(&ToHolder::Prepare(Box::new(next.clone())));
    rig.daemon.type_in("\n");
    assert_eq!(rig.exited().exit, Exit::Code(5));
    rig.daemon.send(&ToHolder::Prepare(Box::new(next.clone())));
    let second = rig.start(next);
    assert_ne!(second.process.pid, started.process.pid);
    assert_eq!(rig.exited().exit, Exit::Code(6));
}
