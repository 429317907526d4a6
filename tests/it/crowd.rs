//! Many sessions, much output, little memory.

use delight_proto::api::method::{SessionSpawn, SessionStop, StopParams};
use delight_proto::holder::{Attach, FromHolder};
use delight_proto::session::Phase;
use delight_tests::api::spawn;
use delight_tests::attached::viewer;
use delight_tests::{Sandbox, kernel};

/// Five hundred sessions over one connection, all at once; then a crash; then all of them stopped.
#[test]
fn five_hundred_sessions_at_once() {
    const COUNT: usize = 500;
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let numbers: Vec<u64> =
        (0..COUNT).map(|_| client.send::<SessionSpawn>(&spawn(&["sleep", "100000"])).unwrap()).collect();
    let mut pending: std::collections::BTreeSet<u64> = numbers.into_iter().collect();
    while !pending.is_empty() {
        let delight_tests::api::Line::Answer(answer) = client.read().unwrap() else { continue };
        assert!(answer.error.is_none(), "{answer:?}");
        assert!(pending.remove(&answer.id.unwrap()), "answered twice: {answer:?}");
    }
    let list = client.list();
    assert_eq!(list.len(), COUNT);
    assert!(list.iter().all(|view| view.phase == Phase::Running));
    assert_eq!(sandbox.holders().len(), COUNT);
    assert_eq!(sandbox.runners().len(), COUNT);
    let memory = kernel::private_memory(daemon.pid());
    assert!(memory < 64 << 20, "the daemon uses {memory} bytes for {COUNT} sessions");

    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let mut again = client.list();
    let mut before = list;
    again.sort_by_key(|view| view.id);
    before.sort_by_key(|view| view.id);
    for (before, again) in before.iter().zip(&again) {
        assert_eq!((again.id, again.pid, again.phase), (before.id, before.pid, Phase::Running));
    }
    assert_eq!(sandbox.holders().len(), COUNT, "no holder was started twice");

    let stops: Vec<u64> = again
        .iter()
        .map(|view| StopParams { session: view.id.to_string(), kill: true, grace_ms: None })
        .map(|stop| client.send::<SessionStop>(&stop).unwrap())
        .collect();
    for _ in stops {
        let delight_tests::api::Line::Answer(answer) = client.read().unwrap() else { continue };
        assert!(answer.error.is_none(), "{answer:?}");
    }
    assert_eq!(sandbox.runners(), []);
}

/// 20 sessions with 10,000 lines a second each: nothing is lost, the daemon does not care, holders stay small.
#[test]
fn twenty_flooding_sessions_are_steady() {
    const LINES: u64 = 50_000;
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let sessions: Vec<_> = (0..20)
        .map(|_| client.spawn_script(&format!("raw; lines {LINES} 10000; say finished; hang")))
        .collect();
    let cpu = kernel::cpu_ms(daemon.pid());
    let mut followers: Vec<_> = sessions
        .iter()
        .map(|view| {
            let mut follower = sandbox.attach(view.id);
            follower.hello(viewer(Attach::Offset(0)));
            follower
        })
        .collect();
    // The control plane answers while all of them print.
    assert_eq!(client.list().len(), 20);
    let wanted = LINES * 11 + "finished\n".len() as u64;
    for (follower, view) in followers.iter_mut().zip(&sessions) {
        let mut next = 0;
        while next < wanted {
            match follower.frame().unwrap() {
                FromHolder::Output { offset, bytes } => {
                    assert_eq!(offset, next, "{}", view.id);
                    next += bytes.len() as u64;
                }
                FromHolder::Lost { from, to } => panic!("{from}..{to} of {} is lost", view.id),
                _ => {}
            }
        }
    }
    let spent = kernel::cpu_ms(daemon.pid()) - cpu;
    assert!(spent < 1_000, "output does not pass through the daemon, yet it spent {spent} ms");
    for view in &sessions {
        let memory = kernel::private_memory(view.holder.as_ref().unwrap().process.pid);
        assert!(memory < 4 << 20, "a holder uses {memory} bytes");
    }
}
