//! `kill -9` of the daemon while agents work, ask and are answered: nothing is lost, doubled or forgotten.

use std::time::{Duration, Instant};

use delight_proto::agent::{Control, RecordBody};
use delight_proto::api::method::{DecideParams, PromptParams, SessionDecide, SessionPrompt};
use delight_proto::event::EventBody;
use delight_proto::session::{Exit, Phase};
use delight_tests::agent::{answer, words};
use delight_tests::{Sandbox, kernel, until};
use nix::sys::signal::Signal;

/// Lets so much time pass: the moment of the knife is the subject.
fn moment(micros: u64) {
    let end = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < end {
        std::thread::yield_now();
    }
}

/// happy #1035, agent-of-empires #1099: a permission that waits survives the daemon, and so does its answer.
#[test]
fn kill9_while_permission_pending() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client.prompt(id, "do say asking; ask rm; say done").unwrap();
    let before = client.until_asked(id);
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let after = client.until_asked(id);
    assert_eq!((&after.ask, after.asked_ms), (&before.ask, before.asked_ms), "the same request");
    client.decide(id, Some(before.ask.id.as_str()), answer(true, None)).unwrap();
    client.until_said(id, "done");
    assert_eq!(words(&client.events(id)), ["asking", "allowed: rm", "done"], "each once");
}

/// The daemon dies at any moment between a decision and its delivery: the agent gets it once.
#[test]
fn kill9_while_a_decision_is_delivered() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut daemon = Some(daemon);
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    for round in 0..12u64 {
        client.prompt(id, &format!("do ask {round}")).unwrap();
        let asked = client.until_asked(id);
        let permission = Some(asked.ask.id.to_string());
        let params = DecideParams { session: id.to_string(), permission, decision: answer(true, None) };
        // The answer may fall into the crash.
        client.send::<SessionDecide>(&params).unwrap();
        moment(round * round * 60);
        daemon.take().unwrap().kill9();
        daemon = Some(sandbox.start_daemon());
        client = sandbox.client();
        // Whoever got no answer asks again: the same decision again is no harm.
        client.call::<SessionDecide>(&params).unwrap();
        client.until_said(id, &format!("allowed: {round}"));
    }
    let wanted: Vec<String> = (0..12).map(|round| format!("allowed: {round}")).collect();
    assert_eq!(words(&client.events(id)), wanted, "each decision once, and none the agent did not wait for");
}

/// Messages sent while daemons die: whatever was answered or repeated reaches the agent once.
#[test]
fn kill9_while_messages_are_sent() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut daemon = Some(daemon);
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    for round in 0..12u64 {
        let params = PromptParams {
            session: id.to_string(),
            text: format!("{round}"),
            local_id: Some(format!("message-{round}").parse().unwrap()),
        };
        client.send::<SessionPrompt>(&params).unwrap();
        moment(round * round * 60);
        daemon.take().unwrap().kill9();
        daemon = Some(sandbox.start_daemon());
        client = sandbox.client();
        client.call::<SessionPrompt>(&params).unwrap();
    }
    client.until_said(id, "got: 11");
    let wanted: Vec<String> = (0..12).map(|round| format!("got: {round}")).collect();
    assert_eq!(words(&client.events(id)), wanted, "each once, in order");
}

/// The daemon dies while the agent is given a message, and the agent ends before another daemon comes: the journal proves
/// that it had it. Its sender hears that, and nobody gives it again.
#[test]
fn a_message_given_while_no_daemon_listened_is_not_given_again() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &["--script", "hang"]);
    let view = client.get(id);
    let (agent, holder) = (view.pid.unwrap(), view.holder.unwrap().process.pid);
    // The holder reads what it is told when nobody waits for its answer any more.
    kernel::signal(holder, Signal::SIGSTOP);
    let params = PromptParams {
        session: id.to_string(),
        text: "do say done; crash KILL".to_owned(),
        local_id: Some("only-once".parse().unwrap()),
    };
    let mut sender = sandbox.client();
    sender.send::<SessionPrompt>(&params).unwrap();
    let accepted = |body: &EventBody| matches!(body, EventBody::MessageAccepted { .. });
    until("it is accepted", || client.events(id).iter().any(|event| accepted(&event.body)));
    moment(300_000);
    daemon.kill9();
    kernel::signal(holder, Signal::SIGCONT);
    until("the agent did it and ended", || !kernel::alive(agent));

    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    client.until_said(id, "done");
    until("the desktop has it", || client.get(id).generation == 2 && client.get(id).phase == Phase::Running);
    client.call::<SessionPrompt>(&params).expect("whoever asks again hears that it was given");
    client.switch(id, Control::Remote).unwrap();
    client.prompt(id, "do turns").unwrap();
    client.until_said(id, "turns: 2");
    let events = client.events(id);
    assert_eq!(words(&events), ["done", "turns: 2"], "once, and the agent never said that it came twice");
    let dropped = |body: &EventBody| matches!(body, EventBody::MessageDropped { .. });
    assert!(!events.iter().any(|event| dropped(&event.body)), "{events:#?}");
}

/// claude-code #79569: the daemon dies in the middle of a long turn, several times; every record is there once.
#[test]
fn restart_mid_turn_records_no_gap() {
    const LINES: usize = 4_000;
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut daemon = Some(daemon);
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client.prompt(id, &format!("do lines {LINES}; say end")).unwrap();
    for round in 0..5 {
        moment(20_000 * round);
        daemon.take().unwrap().kill9();
        daemon = Some(sandbox.start_daemon());
    }
    let mut client = sandbox.client();
    client.until_said(id, "end");
    let said = words(&client.events(id));
    let wanted = (1..=LINES).map(|n| format!("{n:010}")).chain(["end".to_owned()]);
    assert!(said.iter().eq(wanted.collect::<Vec<_>>().iter()), "{} records, each once, in order", said.len());
    let view = client.get(id);
    assert_eq!((view.phase, view.generation), (Phase::Running, 1));
}

/// The agent ends while no daemon is there: its last words and its status are known afterwards.
#[test]
fn an_agent_that_ends_unwatched_has_its_last_words() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    let pid = client.get(id).pid.unwrap();
    client.prompt(id, "do pause 300; err it broke; say last; exit 3").unwrap();
    daemon.kill9();
    until("the agent has ended", || !kernel::alive(pid));
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    client.until_said(id, "last");
    client.until_said(id, "error: it broke");
    let events = client.events(id);
    assert_eq!(words(&events), ["last", "error: it broke"]);
    let exit = events
        .iter()
        .position(|event| matches!(event.body, EventBody::Exited { generation: 1, exit: Exit::Code(3) }));
    let last = events.iter().position(|event| {
        matches!(&event.body, EventBody::Recorded { record, .. } if matches!(record.body, RecordBody::Error { .. }))
    });
    assert!(last < exit, "the words come before the end: {events:#?}");
}
