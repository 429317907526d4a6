//! How a phone has its agent work, and what of it it can choose from.

use delight_proto::api::method::SessionResume;
use delight_proto::sync::record::MessageMeta;
use delight_sdk::{Phone, Session, Words};
use delight_tests::api::one;
use delight_tests::kernel::process;
use delight_tests::{Sandbox, until_some};
use serde_json::{Value, json};

use super::rig::{Link, Relay};
use super::talk::{agent, said};

fn how(mode: Value) -> MessageMeta {
    serde_json::from_value(mode).unwrap()
}

/// The session once its metadata is such.
#[track_caller]
fn shown(phone: &Phone, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Session {
    until_some(what, || {
        let session = phone.sessions().wait().ok()?.into_iter().find(|session| session.id.as_str() == id)?;
        let metadata = serde_json::to_value(session.metadata.as_ref()?).unwrap();
        is(&metadata).then_some(session)
    })
}

/// Model, mode and effort of a message hold for it and for what follows, also for the agent's next runner.
/// [happy #1396, #1695: chosen mode and effort not forwarded, and lost by a resume]
#[test]
fn a_message_is_worked_on_with_the_effort_its_sender_named() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let code = |metadata: &Value, field: &str| metadata[field].as_str().map(str::to_owned);

    let meta = how(json!({"effort": "high", "model": "tiny"}));
    phone.send(id, Words::new("hard").meta(meta)).wait().unwrap();
    until_some("it was answered", || said(&phone, id).contains(&"got: hard".to_owned()).then_some(()));
    shown(&phone, id, "the effort is on the phone", |metadata| {
        code(metadata, "currentThoughtLevelCode").as_deref() == Some("high")
            && code(metadata, "currentModelCode").as_deref() == Some("tiny")
    });

    // Whoever says nothing changes nothing; `default` is how phones say nothing.
    phone.send(id, Words::new("again").meta(how(json!({"effort": "default"})))).wait().unwrap();
    // What cannot be the name of one is refused with its message, and the phone is told.
    phone.send(id, Words::new("never").meta(how(json!({"effort": "high; rm -rf /"})))).wait().unwrap();
    phone.send(id, Words::new("last").meta(how(json!({"effort": "low"})))).wait().unwrap();
    let said = until_some("it was answered", || {
        let said = said(&phone, id);
        said.contains(&"got: last".to_owned()).then_some(said)
    });
    assert!(said.contains(&"got: again".to_owned()) && said.contains(&"(notice)".to_owned()), "{said:?}");
    assert!(!said.iter().any(|word| word.contains("never")), "{said:?}");

    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let known = client.list().into_iter().next().unwrap();
    let agent = known.agent.unwrap();
    assert_eq!((agent.mode.effort.as_deref(), agent.mode.model.as_deref()), (Some("low"), Some("tiny")));
    client.stop(known.id, false);
    let resumed = client.call::<SessionResume>(&one(known.id)).unwrap();
    let started = process(resumed.pid.unwrap()).unwrap().command;
    assert!(started.contains("--effort low"), "{started}");
}

/// What an agent has to offer is on the phone under the names Happy's app reads, and still after the daemon was killed.
#[test]
fn what_an_agent_offers_is_in_the_metadata_also_of_the_next_daemon() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let offers = |metadata: &Value, names: &[&str]| metadata["slashCommands"] == json!(names);
    phone.send(id, Words::new("do offer compact clear")).wait().unwrap();
    shown(&phone, id, "the commands are on the phone", |metadata| offers(metadata, &["compact", "clear"]));

    daemon.kill9();
    let address = relay.kill9();
    let _daemon = sandbox.start_daemon();
    let _relay = Relay::start(&sandbox, &address);
    let mut client = sandbox.client();
    let listed = client.list().into_iter().next().unwrap();
    assert!(listed.agent.unwrap().offers.is_empty(), "left out where many are shown");
    let known = client.get(listed.id).agent.unwrap().offers;
    assert_eq!(known.commands.as_deref(), Some(&["compact".to_owned(), "clear".to_owned()][..]));
    phone.send(id, Words::new("do offer clear").whenever()).wait().unwrap();
    shown(&phone, id, "the commands are others", |metadata| offers(metadata, &["clear"]));
}
