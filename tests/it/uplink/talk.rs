//! A phone and an agent: words, permissions, and what comes back; across cuts and crashes.

use delight_proto::api::method::SessionSpawn;
use delight_proto::sync::record::{Record, SessionEvent};
use delight_proto::sync::rpc::PermissionDecision;
use delight_sdk::{Message, Phone, PhoneEvent, Session, Words};
use delight_tests::{Sandbox, until_some};
use serde_json::json;

use super::rig::{Link, Relay};

/// Starts the fake agent for the phone to drive, and waits until the phone may write to it.
pub(crate) fn agent(sandbox: &Sandbox, phone: &Phone) -> Session {
    let home = sandbox.home().to_str().unwrap().to_owned();
    let spawn = json!({"kind": "fake", "cwd": home, "agent": {"control": "remote"}});
    sandbox.client().call::<SessionSpawn>(&serde_json::from_value(spawn).unwrap()).unwrap();
    until_some("the phone may write", || {
        phone.sessions().wait().ok()?.into_iter().find(|session| session.can_send)
    })
}

/// All messages of a session, in the order in which the server has them.
pub(crate) fn history(phone: &Phone, session: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.seq);
        let page = phone.history_after(session, after, 50).wait().unwrap();
        messages.extend(page.messages);
        if !page.more {
            return messages;
        }
    }
}

/// What the agent has said and done so far, in the order in which the server has it.
pub(crate) fn said(phone: &Phone, session: &str) -> Vec<String> {
    let mut said = Vec::new();
    for message in history(phone, session) {
        match &message.body {
            Ok(Record::Session(record)) => match &record.content.ev {
                SessionEvent::Text(text) if text.thinking.is_none() => {
                    said.push(text.text.expose().to_string());
                }
                SessionEvent::TurnStart(_) => said.push("<".to_owned()),
                SessionEvent::TurnEnd(_) => said.push(">".to_owned()),
                _ => {}
            },
            Ok(Record::Agent(_)) => said.push("(notice)".to_owned()),
            _ => {}
        }
    }
    said
}

/// Each message reaches the agent once and in order, and each turn that starts ends, while the server restarts and the daemon
/// is killed. [happy #1308: messages missed while away; happy 5.2: a lost turn-end; sync-protocol, fault 1]
#[test]
fn words_and_turns_arrive_once_whatever_is_killed_in_between() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();

    phone.send(id, Words::new("one")).wait().unwrap();
    let turn = |n: usize, phone: &Phone| {
        let said = said(phone, id);
        (said.iter().filter(|word| *word == ">").count() >= n).then_some(said)
    };
    until_some("the first turn ends", || turn(1, &phone));

    // Written while the daemon is away: the server keeps it.
    daemon.kill9();
    phone.send(id, Words::new("two").whenever()).wait().unwrap();
    let _daemon = sandbox.start_daemon();
    until_some("the second turn ends", || turn(2, &phone));

    // The server goes away and comes back.
    let address = relay.kill9();
    let _relay = Relay::start(&sandbox, &address);
    until_some("the phone may write again", || {
        phone.sessions().wait().ok()?.into_iter().find(|session| session.can_send)
    });
    phone.send(id, Words::new("three")).wait().unwrap();
    let said = until_some("the third turn ends", || turn(3, &phone));

    let words: Vec<&String> = said.iter().filter(|word| word.starts_with("got: ")).collect();
    assert_eq!(words, ["got: one", "got: two", "got: three"]);
    let turns: Vec<&str> = said.iter().map(String::as_str).filter(|word| ["<", ">"].contains(word)).collect();
    assert_eq!(turns, ["<", ">", "<", ">", "<", ">"], "{said:?}");
}

/// What the agent asks is on the phone, its answer reaches the agent, and what was decided stays to be seen.
/// [happy #302 and others: permission buttons that spin and do nothing; happy 5.11: success for unknown ids]
#[test]
fn a_permission_is_asked_decided_and_remembered_on_the_phone() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    phone.send(id, Words::new("do ask rm -rf x; say done")).wait().unwrap();
    let state =
        |phone: &Phone| phone.sessions().wait().ok()?.into_iter().find(|session| session.id.as_str() == id);
    let asked = until_some("the permission is on the phone", || {
        let session = state(&phone)?;
        session.pending().next().map(|(asked, _)| asked.clone())
    });
    let decision = |id: &str, approved: bool| -> PermissionDecision {
        serde_json::from_value(json!({"id": id, "approved": approved})).unwrap()
    };
    assert!(phone.decide(id, decision("nobody-asked-this", true)).wait().is_err());
    phone.decide(id, decision(&asked, true)).wait().unwrap();
    until_some("it is decided on the phone", || {
        let session = state(&phone)?;
        let completed = session.agent_state.as_ref()?.completed_requests.as_ref()?.get(&asked)?.clone();
        let done = session.pending().next().is_none() && completed.status.as_deref() == Some("approved");
        done.then_some(())
    });
    until_some("the agent went on", || said(&phone, id).contains(&"done".to_owned()).then_some(()));
}

/// Who is not looking is told that an agent needs him and that it is done, and the server reads nothing of why. [happy #1383,
/// #1464, #1511: pushes that never arrive]
#[test]
fn a_phone_is_woken_without_being_told_why() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let mut events = phone.subscribe();
    let mut woken = |kind: &str| loop {
        let event =
            events.wait(delight_tests::LONG).unwrap_or_else(|end| panic!("nobody says {kind}: {end}"));
        if let PhoneEvent::Attention(event) = event {
            assert_eq!((event.session_id.as_str(), event.kind.as_str()), (id, kind));
            let words = format!("{} {}", event.title.as_str(), event.body.as_str());
            assert!(!words.contains("canary"), "{words}");
            return;
        }
    };
    phone.send(id, Words::new("do ask canary; say canary")).wait().unwrap();
    woken("permission");
    let asked = until_some("the permission is on the phone", || {
        let session = phone.session(id).wait().ok()?;
        session.pending().next().map(|(asked, _)| asked.clone())
    });
    let decision: PermissionDecision =
        serde_json::from_value(json!({"id": asked, "approved": true})).unwrap();
    phone.decide(id, decision).wait().unwrap();
    woken("done");
}
