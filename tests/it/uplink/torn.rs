//! An event log that lost its end to a power cut, and a server that has what was lost.

use std::fs;

use delight_sdk::Words;
use delight_tests::{Sandbox, until, until_some};

use super::rig::{Link, Relay};
use super::talk::{agent, said};

/// The numbers of lost events are used again. What gets them is new to the server, and reaches the phone.
#[test]
fn what_gets_the_number_of_a_lost_event_is_not_taken_for_it() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    phone.send(id, Words::new("one")).wait().unwrap();
    let turns = |n: usize| {
        let said = said(&phone, id);
        (said.iter().filter(|word| *word == ">").count() >= n).then_some(said)
    };
    until_some("the first turn ends", || turns(1));
    let ours = sandbox.client().list()[0].id;
    let last = || sandbox.client().get(ours).last_seq;
    until("everything was sent", || {
        let status = sandbox
            .client()
            .call::<delight_proto::api::method::UplinkStatus>(&delight_proto::api::method::Empty {});
        status.unwrap().waiting == 0
    });
    let before = last();
    daemon.kill9();

    let log = sandbox.place().session(ours).join("events");
    let segment = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let file = fs::File::options().write(true).open(&segment).unwrap();
    file.set_len(file.metadata().unwrap().len() / 3).unwrap();
    drop(file);

    let _daemon = sandbox.start_daemon();
    assert!(last() < before, "events were lost");
    for words in ["two", "three"] {
        phone.send(id, Words::new(words).whenever()).wait().unwrap();
    }
    let said = until_some("the last turn is on the phone", || {
        let said = said(&phone, id);
        let turn = said.iter().position(|word| word == "got: three")?;
        said[turn..].contains(&">".to_owned()).then_some(said)
    });
    assert!(last() > before, "numbers were used again");
    let words: Vec<&str> = said.iter().map(String::as_str).filter(|word| *word != "(notice)").collect();
    assert_eq!(words, ["<", "got: one", ">", "<", "got: two", ">", "<", "got: three", ">"]);
}
