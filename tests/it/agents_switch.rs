//! Control changes hands: fifty times without a leak, in the middle of everything, and back when it cannot be.

use delight_proto::agent::Control;
use delight_proto::api::method::{OutputBody, SessionSpawn, SessionSwitch, SpawnParams, SwitchParams};
use delight_proto::event::EventBody;
use delight_proto::holder::{Attach, FromHolder, ToHolder};
use delight_proto::id::SessionId;
use delight_proto::refusal::Code;
use delight_proto::session::{Phase, Size};
use delight_tests::agent::{fake, words};
use delight_tests::api::Client;
use delight_tests::attached::{controller, viewer};
use delight_tests::{Sandbox, until};

/// What the process has open, as the kernel names it.
fn descriptors(pid: u32) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.display().to_string())).collect()
}

/// Descriptors a process may have more than after the first round, for what it makes once and late (the holder that
/// waits for the next session). One leaked by every switch would be a hundred.
const MADE_ONCE: usize = 10;

fn control(client: &mut Client, id: SessionId) -> Control {
    client.get(id).agent.unwrap().control
}

/// happy #1693: fifty real switches there and back leave nothing behind and lose nothing.
#[test]
fn fifty_mode_switches_no_leak() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Local, &["--script", "turns; say at the desk; hang"]);
    let holder = client.get(id).holder.unwrap().process.pid;
    let mut before = None;
    for round in 1..=50u64 {
        client.switch(id, Control::Remote).unwrap();
        client.prompt(id, "do turns").unwrap();
        client.until_said(id, &format!("turns: {round}"));
        client.switch(id, Control::Local).unwrap();
        before.get_or_insert_with(|| (descriptors(daemon.pid()).len(), descriptors(holder).len()));
    }
    client.until_output(id, "turns: 50");
    let view = client.get(id);
    assert_eq!((view.phase, view.generation), (Phase::Running, 101));
    until("one runner is left", || sandbox.runners().len() == 1);
    let (daemons, holders) = before.unwrap();
    for (pid, had) in [(daemon.pid(), daemons), (holder, holders)] {
        let now = descriptors(pid);
        assert!(now.len() <= had + MADE_ONCE, "{had} descriptors became {}: {now:#?}", now.len());
    }
    let events = client.events(id);
    let wanted: Vec<String> = (1..=50).map(|round| format!("turns: {round}")).collect();
    assert_eq!(words(&events), wanted, "every word once");
    let mut next = 0;
    for record in client.journal(id) {
        assert!(!matches!(record.body, OutputBody::Lost { .. }), "{record:?}");
        if let OutputBody::Output { data } = &record.body {
            use base64::Engine;
            assert_eq!(record.offset, next, "no byte is missing");
            next += base64::prelude::BASE64_STANDARD.decode(data).unwrap().len() as u64;
        }
    }
    client.stop(id, false);
    until("nothing is left", || sandbox.runners().is_empty());
}

/// happy #1654: the other side cannot start: control goes back to where it was, with the reason, and nothing is lost.
#[test]
fn a_switch_that_fails_goes_back_and_says_why() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    for (how, why) in [("--refuse", "told to refuse"), ("--fail", "it was told to fail")] {
        let id = client.spawn_fake(Control::Local, &[how, "remote", "--script", "say at the desk; hang"]);
        let refusal = client.switch(id, Control::Remote).unwrap_err();
        assert!(refusal.to_string().contains(why), "{refusal}");
        until("the desktop has it again", || {
            let view = client.get(id);
            view.phase == Phase::Running && view.agent.unwrap().control == Control::Local
        });
        client.stop(id, true);
    }
}

/// A message sent while control changes hands has a definite answer: delivered once, or refused and never seen.
#[test]
fn a_message_during_a_switch_is_delivered_or_refused() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Local, &["--script", "say at the desk; hang"]);
    let mut delivered = Vec::new();
    let mut refused = Vec::new();
    for round in 0..10u64 {
        for to in [Control::Remote, Control::Local] {
            let mut switching = sandbox.client();
            let number =
                switching.send::<SessionSwitch>(&SwitchParams { session: id.to_string(), to }).unwrap();
            let word = format!("{round}-{}", to.word());
            match client.prompt(id, &word) {
                Ok(_) => delivered.push(format!("got: {word}")),
                Err(refusal) => {
                    assert!(!refusal.reason.is_empty(), "{refusal:?}");
                    refused.push((format!("got: {word}"), refusal));
                }
            }
            switching.answer_to::<SessionSwitch>(number).unwrap().unwrap();
        }
    }
    client.switch(id, Control::Remote).unwrap();
    client.prompt(id, "last").unwrap();
    client.until_said(id, "got: last");
    let said = words(&client.events(id));
    for (word, refusal) in &refused {
        assert!(!said.contains(word), "what was refused is not done: {word}: {refusal}; {said:?}");
    }
    let given = client.events(id);
    let given = given.iter().filter(|event| matches!(event.body, EventBody::MessageDelivered { .. })).count();
    assert_eq!(given, delivered.len() + 1, "what was answered was given: {delivered:?}");
    for word in &said {
        assert_eq!(said.iter().filter(|other| *other == word).count(), 1, "{word} twice");
    }
}

/// The old runner ends late and badly: the new one is not touched by it.
#[test]
fn stale_generation_exit_ignored() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let params = SpawnParams {
        stop_grace_ms: Some(300),
        ..fake(Control::Remote, &["--script", "say at the desk; hang"])
    };
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    client.prompt(id, "do ignore TERM HUP INT; say stubborn; deaf").unwrap();
    client.until_said(id, "stubborn");
    let view = client.switch(id, Control::Local).unwrap();
    assert_eq!((view.phase, view.generation), (Phase::Running, 2));
    client.until_output(id, "at the desk");
    let exits = |client: &mut Client| {
        let events = client.events(id);
        events.iter().filter(|event| matches!(event.body, EventBody::Exited { generation: 1, .. })).count()
    };
    until("the old end is known", || exits(&mut client) == 1);
    let view = client.get(id);
    assert_eq!((view.phase, view.generation), (Phase::Running, 2));
    assert_eq!(control(&mut client, id), Control::Local);
    assert_eq!(sandbox.runners().len(), 1);
}

/// A switch to where it is already is done at once; one to where it cannot go is refused and changes nothing.
#[test]
fn a_switch_is_idempotent_and_checked() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    let before = client.get(id);
    assert_eq!(client.switch(id, Control::Remote).unwrap().generation, before.generation);
    let plain = client.spawn_script("hang").id;
    assert_eq!(client.switch(plain, Control::Remote).unwrap_err().code, Code::WrongState);
    assert_eq!(client.get(plain).phase, Phase::Running);
}

/// A terminal attached to a session does not show the protocol of an agent driven from afar, and what is typed there
/// does not get into it; a reader of the journal has all of it.
#[test]
fn an_attached_terminal_never_meets_the_protocol() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Local, &["--script", "say at the desk; read; repeat"]);
    client.until_output(id, "at the desk");
    let mut terminal = sandbox.attach(id);
    terminal.hello(controller(Attach::Screen, Size::default()));
    terminal.output_until("at the desk");
    client.switch(id, Control::Remote).unwrap();
    terminal.send(&ToHolder::Input { tag: 7, bytes: b"typed\n".to_vec() }).unwrap();
    let refused = terminal.expect("the input is answered", |frame| match frame {
        FromHolder::InputFailed { tag: 7, refusal } => Some(refusal.clone()),
        FromHolder::InputDone { tag: 7 } => panic!("it was typed into the protocol"),
        _ => None,
    });
    assert_eq!(refused.code, Code::Forbidden, "{refused}");
    client.prompt(id, "from afar").unwrap();
    client.until_said(id, "got: from afar");
    let mut late = sandbox.attach(id);
    late.hello(viewer(Attach::Screen));
    client.switch(id, Control::Local).unwrap();
    terminal.input(b"marker-1\n");
    let mut shown = terminal.output_until("got: marker-1");
    shown.extend(late.output_until("got: marker-1"));
    assert!(!String::from_utf8_lossy(&shown).contains("\"did\""), "{}", String::from_utf8_lossy(&shown));
    assert!(String::from_utf8_lossy(&client.output(id)).contains("\"did\""), "the journal has it");
    assert!(words(&client.events(id)).iter().all(|word| !word.starts_with("error")));
}
