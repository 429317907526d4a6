//! Words between a phone and an agent, through the relay.

use std::time::{Duration, Instant};

use delight_proto::sync::record::{Record, SessionEvent};
use delight_sdk::{Phone, PhoneEvent, Session, Subscription, Words};
use delight_tests::until_some;

use super::Server;
use super::machine::Machine;
use crate::peer::Peer;
use crate::report::{Goal, Row, median, ms};

/// Messages each of which waits for the answer to the one before.
const TURNS: usize = 50;
/// Messages written without waiting.
const WORDS: usize = 500;
/// Lines one turn of the agent says.
const LINES: usize = 3_000;
/// Longest wait for the next of them: it bounds a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the agent's next words.
fn next_words(events: &mut Subscription) -> String {
    loop {
        let event = events.wait(PATIENCE).expect("words come");
        let PhoneEvent::Message(message) = event else { continue };
        if let Ok(Record::Session(record)) = &message.body
            && let SessionEvent::Text(text) = &record.content.ev
        {
            return text.text.expose().to_string();
        }
    }
}

fn writable(phone: &Phone) -> Session {
    until_some("the phone may write", || {
        phone.sessions().wait().ok()?.into_iter().find(|session| session.can_send)
    })
}

pub(crate) fn rows() -> Vec<Row> {
    let server = Server::start();
    let mut machine = Machine::online(Peer::Delight, &server.url(), &server.url());
    let call = vec![("spawn-happy-session", machine.spawn(0))];
    drop(machine.phone.call_all(call).remove(0).unwrap());
    let phone = machine.link.phone();
    let id = writable(&phone).id;
    let mut events = phone.subscribe();
    phone.follow(&id, None).wait().unwrap();

    let mut turns: Vec<f64> = (0..TURNS)
        .map(|number| {
            let began = Instant::now();
            let sent = phone.send(&id, Words::new(format!("turn {number}")).whenever());
            assert_eq!(next_words(&mut events), format!("got: turn {number}"));
            let took = ms(began.elapsed());
            sent.wait().unwrap();
            took
        })
        .collect();

    let began = Instant::now();
    let sent: Vec<_> =
        (0..WORDS).map(|n| phone.send(&id, Words::new(format!("word {n}")).whenever())).collect();
    for number in 0..WORDS {
        assert_eq!(next_words(&mut events), format!("got: word {number}"), "in order, each once");
    }
    let words = WORDS as f64 / began.elapsed().as_secs_f64();
    sent.into_iter().for_each(|sent| drop(sent.wait().unwrap()));

    let began = Instant::now();
    phone.send(&id, Words::new(format!("do lines {LINES}")).whenever()).wait().unwrap();
    for number in 1..=LINES {
        assert_eq!(next_words(&mut events), format!("{number:010}"), "in order, each once");
    }
    let records = LINES as f64 / began.elapsed().as_secs_f64();

    let row = |metric: &str, unit, value| Row {
        metric: metric.to_owned(),
        unit,
        values: vec![(Peer::Delight, value)],
        goal: Goal::Told,
    };
    vec![
        row("phone → agent → phone, one message, median", "ms", median(&mut turns)),
        row("phone → agent → phone, 500 messages of one session in a row", "/s", words),
        row("records of one session to the relay and the phone, 3,000 in one turn", "/s", records),
    ]
}
