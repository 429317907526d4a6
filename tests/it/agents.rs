//! An agent driven over the control API: conversations, permissions, orders. The agent is the fake one and says so.

use delight_proto::agent::{Activity, Control, Outcome, RecordBody, TurnStatus};
use delight_proto::api::method::{
    AgentList, Empty, PermissionList, SessionAbort, SessionSetMode, SessionWait, SetModeParams, WaitParams,
};
use delight_proto::event::EventBody;
use delight_proto::refusal::Code;
use delight_proto::session::Phase;
use delight_tests::agent::{answer, words};
use delight_tests::api::one;
use delight_tests::{Sandbox, until};

/// "The app shows nothing, or everything twice": a conversation is recorded once, in order, with whole turns.
#[test]
fn a_conversation_is_recorded_once_and_in_order() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client.prompt(id, "hello").unwrap();
    client.prompt(id, "do think it over; tool bash ls -l; say one; say two").unwrap();
    client.until_said(id, "two");
    let wait = WaitParams {
        session: id.to_string(),
        phases: vec![],
        activity: vec![Activity::Idle],
        timeout_ms: Some(50_000),
    };
    until("the turn is over", || {
        client.call::<SessionWait>(&wait).unwrap();
        let events = client.events(id);
        let ended = |body: &EventBody| {
            matches!(body, EventBody::Recorded { record, .. }
                if matches!(record.body, RecordBody::TurnEnded { status: TurnStatus::Completed, .. }))
        };
        events.iter().filter(|event| ended(&event.body)).count() == 2
    });
    let events = client.events(id);
    assert_eq!(words(&events), ["got: hello", "one", "two"]);
    let records = events.iter().filter(|event| matches!(event.body, EventBody::Recorded { .. })).count();
    // Two turns of two ends, three texts, a thought, a tool that began and ended.
    assert_eq!(records, 10);
    assert!(!events.iter().any(|event| matches!(event.body, EventBody::Skipped { .. })));
    let agent = client.get(id).agent.unwrap();
    assert_eq!(agent.activity.unwrap().activity, Activity::Idle);
    assert_eq!((agent.queued, agent.pending.len()), (0, 0));
    client.stop(id, false);
    sandbox.client().call::<AgentList>(&Empty {}).unwrap();
}

/// "My approval was lost": what is decided reaches the agent, with the reason, and its state says who decided.
#[test]
fn what_is_allowed_and_what_is_denied_reaches_the_agent() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client.prompt(id, "do ask make test; ask make clean; say done").unwrap();
    let first = client.until_asked(id);
    assert_eq!((first.ask.title.as_str(), first.ask.command.as_deref()), ("make test", Some("make test")));
    let listed = client.call::<PermissionList>(&Empty {}).unwrap().permissions;
    assert_eq!(listed.iter().map(|waiting| waiting.session).collect::<Vec<_>>(), [id]);
    assert_eq!(client.get(id).agent.unwrap().activity.unwrap().activity, Activity::NeedsDecision);

    let ended = client.decide(id, None, answer(true, None)).unwrap().ended.unwrap();
    assert!(ended.delivered && ended.outcome == Outcome::Allowed, "an answer means done: {ended:?}");
    client.until_said(id, "allowed: make test");
    let second = client.until_asked(id);
    client.decide(id, Some(second.ask.id.as_str()), answer(false, Some("not now"))).unwrap();
    client.until_said(id, "denied: make clean: not now");
    client.until_said(id, "done");

    // The same again is no harm, another is a conflict, and what was never asked is not found.
    client.decide(id, Some(first.ask.id.as_str()), answer(true, None)).unwrap();
    let conflict = client.decide(id, Some(first.ask.id.as_str()), answer(false, None)).unwrap_err();
    assert_eq!(conflict.code, Code::Conflict);
    assert_eq!(client.decide(id, Some("ask-9-9"), answer(true, None)).unwrap_err().code, Code::NotFound);
    assert!(words(&client.events(id)).iter().all(|word| !word.starts_with("error")));
}

/// Two people answer at once: one of them decides, the other is told so, the agent hears one answer.
#[test]
fn of_two_answers_at_once_one_counts() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    for round in 0..10 {
        client.prompt(id, &format!("do ask {round}")).unwrap();
        client.until_asked(id);
        let deciders: Vec<_> = [true, false]
            .into_iter()
            .map(|allow| {
                let mut client = sandbox.client();
                std::thread::spawn(move || client.decide(id, None, answer(allow, None)))
            })
            .collect();
        let answers: Vec<_> = deciders.into_iter().map(|decider| decider.join().unwrap()).collect();
        let winners = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(winners, 1, "{answers:?}");
        let won = if answers[0].is_ok() { "allowed" } else { "denied" };
        client.until_said(id, &format!("{won}: {round}"));
    }
    let said = words(&client.events(id));
    assert_eq!(said.len(), 10, "{said:?}");
}

/// An abort ends the turn and what it asked, visibly; the agent goes on with the next message.
#[test]
fn an_abort_ends_the_turn_and_withdraws_what_it_asked() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client.prompt(id, "do ask rm -rf /; say never").unwrap();
    let asked = client.until_asked(id);
    client.call::<SessionAbort>(&one(id)).unwrap();
    let late = client.decide(id, Some(asked.ask.id.as_str()), answer(true, None)).unwrap_err();
    assert_eq!(late.code, Code::Conflict, "{late}");
    client.prompt(id, "do request a; withdraw; say after").unwrap();
    client.until_said(id, "after");
    let events = client.events(id);
    let withdrawn = events.iter().filter(|event| {
        matches!(&event.body, EventBody::PermissionEnded { outcome: Outcome::Withdrawn, .. })
    });
    assert_eq!(withdrawn.count(), 2, "one by the abort, one by the agent");
    assert_eq!(words(&events), ["after"], "nobody was told of a decision that was too late");
}

/// A message under the same id is the same message, whenever it comes again.
#[test]
fn a_message_under_the_same_id_is_given_once() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    for _ in 0..3 {
        client.prompt_as(id, "once", Some("m-1")).unwrap();
    }
    client.prompt_as(id, "last", Some("m-2")).unwrap();
    client.until_said(id, "got: last");
    assert_eq!(words(&client.events(id)), ["got: once", "got: last"]);
    let set = SetModeParams {
        session: id.to_string(),
        model: Some("tiny".into()),
        permission_mode: None,
        effort: None,
    };
    client.call::<SessionSetMode>(&set).unwrap();
    until("the model is known", || client.get(id).agent.unwrap().mode.model.as_deref() == Some("tiny"));
}

/// Nothing is asked of an agent that is not there, or of a plain terminal.
#[test]
fn what_cannot_be_told_is_refused_with_a_way_out() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let plain = client.spawn_script("hang").id;
    let ended = client.spawn_fake(Control::Remote, &[]);
    client.stop(ended, false);
    let local = client.spawn_fake(Control::Local, &["--script", "say here; hang"]);
    for id in [plain, ended, local] {
        let refusal = client.prompt(id, "hello").unwrap_err();
        assert_eq!(refusal.code, Code::WrongState, "{refusal}");
        assert!(!refusal.fix.is_empty(), "{refusal:?}");
    }
    assert_eq!(client.get(ended).phase, Phase::Stopped, "a message starts nothing");
}
