//! What a session was given is recorded where its owner wants it, and gives the same again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use delight_proto::agent::Control;
use delight_proto::api::method::{SessionRemove, SessionReplay, SessionResume, SessionWhy};
use delight_proto::event::EventBody;
use delight_proto::id::SessionId;
use delight_proto::refusal::Code;
use delight_proto::session::Phase;
use delight_tests::agent::answer;
use delight_tests::api::{Client, one};
use delight_tests::daemon::Daemon;
use delight_tests::{Sandbox, until};

fn recording() -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    fs::write(&sandbox.place().config, "record = true\n").unwrap();
    let daemon = sandbox.start_daemon();
    (sandbox, daemon)
}

/// A conversation with a request that is decided, on the phone's side, and back to the desktop.
fn live(client: &mut Client, id: SessionId, round: u32) {
    client.switch(id, Control::Remote).unwrap();
    client.prompt(id, &format!("do ask make {round}; say done {round}")).unwrap();
    client.until_asked(id);
    client.decide(id, None, answer(round.is_multiple_of(2), Some("because"))).unwrap();
    client.until_said(id, &format!("done {round}"));
    client.switch(id, Control::Local).unwrap();
}

/// "It works on my machine": a day of switches, decisions, a dead daemon and a new one folds to the same states.
#[test]
fn what_an_agent_session_was_given_gives_the_same_again() {
    let (sandbox, daemon) = recording();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Local, &["--script", "say at the desk; hang"]);
    live(&mut client, id, 1);
    let before = client.call::<SessionReplay>(&one(id)).unwrap();
    assert_eq!((before.difference, before.states, before.skipped), (None, 1, 0));
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    live(&mut client, id, 2);
    client.stop(id, false);
    client.call::<SessionResume>(&one(id)).unwrap();
    live(&mut client, id, 3);
    let after = client.call::<SessionReplay>(&one(id)).unwrap();
    assert_eq!((after.difference, after.states, after.skipped), (None, 2, 0));
    assert!(after.inputs > before.inputs + 30, "{} inputs", after.inputs);
    let words = sandbox.ctl(["replay", &id.to_string()]).ok().stdout;
    assert!(words.contains("give the same again"), "{words}");

    // What was typed is in it: nobody else may read it.
    let dir = sandbox.place().session(id).join("inputs");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o077, 0);

    // A crash may have torn its end.
    client.stop(id, true);
    let segment = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&segment, &bytes).unwrap();
    let cut = client.call::<SessionReplay>(&one(id)).unwrap();
    assert!(
        cut.difference.is_none() && cut.inputs < after.inputs,
        "a torn recording is folded as far as it goes"
    );

    // With the session goes its recording, and nothing brings it back.
    client.call::<SessionRemove>(&one(id)).unwrap();
    assert!(!sandbox.place().session(id).exists());
}

/// Nothing is recorded unasked.
#[test]
fn nothing_is_recorded_unless_the_owner_wants_it() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["sleep", "100"]).id;
    let refusal = client.call::<SessionReplay>(&one(id)).unwrap_err();
    assert!(refusal.code == Code::NotFound && refusal.fix.contains("record = true"), "{refusal}");
    assert!(!sandbox.place().session(id).join("inputs").exists());
    client.stop(id, true);
}

/// "Why did it stop?": the chain of what led to its state, from the daemon itself.
#[test]
fn why_tells_what_led_to_the_state() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Local, &["--script", "say at the desk; hang"]);
    client.switch(id, Control::Remote).unwrap();
    client.prompt(id, "do ask make it; say done").unwrap();
    let asked = client.until_asked(id);
    let because = client.call::<SessionWhy>(&one(id)).unwrap().because;
    let waits =
        |body: &EventBody| matches!(body, EventBody::PermissionAsked { ask, .. } if ask.id == asked.ask.id);
    assert!(because.iter().any(|event| waits(&event.body)), "{because:?}");
    let drives =
        |body: &EventBody| matches!(body, EventBody::ControlChanged { control: Control::Remote, .. });
    assert!(because.iter().any(|event| drives(&event.body)), "{because:?}");
    client.stop(id, true);
    until("it has ended", || client.get(id).phase == Phase::Stopped);
    let because = client.call::<SessionWhy>(&one(id)).unwrap().because;
    let stopped = |body: &EventBody| matches!(body, EventBody::StopRequested { kill: true, .. });
    assert!(because.iter().any(|event| stopped(&event.body)), "{because:?}");
    assert!(!because.iter().any(|event| waits(&event.body)), "it waits for nothing any more: {because:?}");
    sandbox.ctl(["why", &id.to_string()]).ok();
}
