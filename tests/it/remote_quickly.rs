//! Messages, two quickly at a time, from many threads of a phone to an agent: none lost, none doubled, each sender's in order.
//! By default a thousand. All ten thousand: `DELIGHT_MESSAGES=1000 cargo test -p delight-tests --test it two_messages_quickly_from`;
//! without optimisation that is some 300 s of processor time, so on two cores never less than two and a half minutes.

use std::thread;
use std::time::{Duration, Instant};

use delight_proto::sync::record::{Record, SessionEvent};
use delight_sdk::{Phone, Words};
use delight_tests::{Sandbox, until};

use crate::uplink::rig::{Link, Relay};
use crate::uplink::talk::agent;

/// Threads that send, each two messages at a time.
const SENDERS: usize = 10;

/// Messages of each; `DELIGHT_MESSAGES=n` sends n instead.
fn messages() -> usize {
    let asked = std::env::var("DELIGHT_MESSAGES").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(100)
}

/// How long one message may take to be stored on a machine that does a hundred other things.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// Sends one thread's messages: the next two when the server has the last two.
fn send(phone: &Phone, session: &str, sender: usize) {
    for pair in 0..messages() / 2 {
        let two = [2 * pair, 2 * pair + 1].map(|number| {
            let words = Words::new(format!("{sender} {number}")).whenever().within(STORED_WITHIN);
            phone.send(session, words)
        });
        for ticket in two {
            ticket.wait().unwrap();
        }
    }
}

/// The answers of the agent the server has got since, as sender and number.
fn answers(phone: &Phone, session: &str, after: &mut u64) -> Vec<(usize, usize)> {
    let mut answers = Vec::new();
    loop {
        let Ok(page) = phone.history_after(session, *after, 500).wait() else { return answers };
        for message in &page.messages {
            *after = message.seq;
            if let Ok(Record::Session(record)) = &message.body
                && let SessionEvent::Text(text) = &record.content.ev
            {
                let words = text.text.expose().to_string();
                let (sender, number) = words.strip_prefix("got: ").unwrap().split_once(' ').unwrap();
                answers.push((sender.parse().unwrap(), number.parse().unwrap()));
            }
        }
        if !page.more {
            return answers;
        }
    }
}

#[test]
fn two_messages_quickly_from_many_threads_to_an_agent() {
    let sandbox = Sandbox::new();
    // The limits are for strangers; this phone is in a hurry.
    let relay = Relay::with(
        &sandbox,
        "127.0.0.1:0",
        "[limits]\naccount_per_second = 100000\nevents_per_second = 100000\n",
    );
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let begun = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (phone, session) = (phone.clone(), session.id.clone());
            thread::spawn(move || send(&phone, session.as_str(), sender))
        })
        .collect();
    // Every sender's next answer: one that is lost, doubled or out of order is not the one that is due.
    let mut due = [0; SENDERS];
    let (mut after, mut progress) = (0, 0);
    while progress < SENDERS * messages() {
        let mut heard = Vec::new();
        until("another answer", || {
            heard = answers(&phone, session.id.as_str(), &mut after);
            !heard.is_empty()
        });
        progress += heard.len();
        for (sender, number) in heard {
            assert_eq!(number, due[sender], "of sender {sender}");
            due[sender] += 1;
        }
    }
    for sender in senders {
        sender.join().unwrap();
    }
    println!("{progress} messages to an agent and back: {:?}", begun.elapsed());
    assert_eq!(due, [messages(); SENDERS]);
    // Behind the last one nothing comes but what is asked for: what is doubled would be there.
    phone.send(session.id.as_str(), Words::new(format!("0 {}", messages())).whenever()).wait().unwrap();
    let mut last = Vec::new();
    until("the end is answered", || {
        last.extend(answers(&phone, session.id.as_str(), &mut after));
        !last.is_empty()
    });
    assert_eq!(last, [(0, messages())]);
}
