//! A bad way between the machine and its server: nothing that was said, asked or decided is lost or done twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use delight_proto::agent::Activity;
use delight_proto::api::method::{Empty, SessionPrompt, SessionSpawn, UplinkState, UplinkStatus};
use delight_proto::sync::bounded::{Name, Path};
use delight_proto::sync::record::{Record, SessionEvent};
use delight_proto::sync::rpc::{PermissionDecision, SpawnRequest};
use delight_sdk::{Account, Dialect, Driver, Kind, Phone, Server, Session, Spawn, Ticket, Words};
use delight_tests::proxy::{Faults, Proxy};
use delight_tests::{Sandbox, until, until_some};
use serde_json::json;

use crate::uplink::rig::{Link, MACHINE, Relay};

/// How long one message may take to be stored while everything breaks.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// A machine whose way to the server is a proxy, and a phone whose way is good.
fn world(sandbox: &Sandbox, seed: u64) -> (Relay, Proxy, Phone) {
    let relay = Relay::start(sandbox, "127.0.0.1:0");
    let way = Proxy::to(relay.url().strip_prefix("http://").unwrap().parse().unwrap(), seed);
    let link = Link::make(sandbox, &way.base());
    let account = Account::new(delight_crypto::MasterSecret::from_bytes(link.master), Dialect::Happy);
    let phone = Phone::connect(Server::new(&relay.url()).unwrap(), account).unwrap();
    (relay, way, phone)
}

/// Asks until there is an answer; a refusal that trying again cannot change fails the test.
#[track_caller]
fn patiently<T>(what: &str, ask: impl Fn() -> Ticket<T>) -> T {
    until_some(what, || match ask().wait() {
        Ok(answer) => Some(answer),
        Err(error) if error.retry || error.perhaps_done => None,
        Err(error) => panic!("{what}: {error}"),
    })
}

/// Starts the fake agent for the phone to drive, and waits until the phone may write to it.
fn agent(sandbox: &Sandbox, phone: &Phone) -> Session {
    let home = sandbox.home().to_str().unwrap().to_owned();
    let spawn = json!({"kind": "fake", "cwd": home, "agent": {"control": "remote"}});
    sandbox.client().call::<SessionSpawn>(&serde_json::from_value(spawn).unwrap()).unwrap();
    until_some("the phone may write", || {
        phone.sessions().wait().ok()?.into_iter().find(|session| session.can_send)
    })
}

/// What the agent said, in the order in which the server has it; the phone's own words are not among it.
fn said(phone: &Phone, session: &str, after: &mut u64, said: &mut Vec<String>) {
    loop {
        let Ok(page) = phone.history_after(session, *after, 50).wait() else { return };
        for message in &page.messages {
            *after = message.seq;
            if let Ok(Record::Session(record)) = &message.body
                && let SessionEvent::Text(text) = &record.content.ev
                && text.thinking.is_none()
            {
                said.push(text.text.expose().to_string());
            }
        }
        if !page.more {
            return;
        }
    }
}

/// Two messages quickly, again and again, while the machine's connections are cut at any byte, acknowledgements are lost,
/// and events come twice and in the wrong order: each reaches the agent once, in order, and each answer the phone once.
/// [happy #1308, sync-protocol faults 1, 6 and 7]
#[test]
fn two_messages_quickly_over_a_bad_way() {
    const PAIRS: usize = 60;
    let sandbox = Sandbox::new();
    let (_relay, way, phone) = world(&sandbox, 3);
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    way.goes_wrong(Faults { cut_after: Some((2_000, 60_000)), lose_acks: 30, double: 50, swap: 50 });
    way.cut();
    let begun = Instant::now();
    let tickets: Vec<_> = (0..PAIRS)
        .flat_map(|pair| [0, 1].map(|half| (pair, half)))
        .map(|(pair, half)| {
            let words = Words::new(format!("{}", 2 * pair + half)).whenever().within(STORED_WITHIN);
            phone.send(id, words)
        })
        .collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let wanted: Vec<String> = (0..2 * PAIRS).map(|number| format!("got: {number}")).collect();
    let (mut after, mut heard) = (0, Vec::new());
    until("every message is answered", || {
        said(&phone, id, &mut after, &mut heard);
        heard.len() >= wanted.len()
    });
    let wrongs = way.wrongs();
    println!("{} messages in {:?} over {wrongs:?}", wanted.len(), begun.elapsed());
    assert!(wrongs.cuts > 0 && wrongs.doubled > 0, "{wrongs:?}");
    // Later than the last answer nothing more may come: what is doubled would be behind it.
    way.goes_wrong(Faults::default());
    way.cut();
    phone.send(id, Words::new("the end").whenever().within(STORED_WITHIN)).wait().unwrap();
    until("the end is answered", || {
        said(&phone, id, &mut after, &mut heard);
        heard.last().is_some_and(|last| last == "got: the end")
    });
    assert_eq!(heard[..heard.len() - 1], wanted);
}

/// A permission is asked once and its decision reaches the agent once, however the way behaves in between.
#[test]
fn a_decision_over_a_bad_way_is_made_once() {
    let sandbox = Sandbox::new();
    let (_relay, way, phone) = world(&sandbox, 11);
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    way.goes_wrong(Faults { cut_after: Some((2_000, 40_000)), lose_acks: 100, double: 100, swap: 100 });
    way.cut();
    let mut decided = BTreeSet::new();
    let (mut after, mut heard) = (0, Vec::new());
    for round in 0..4 {
        let words = Words::new(format!("do ask touch {round}; say done {round}"));
        phone.send(id, words.whenever().within(STORED_WITHIN)).wait().unwrap();
        let request = until_some("the agent asks", || {
            let session = phone.session(id).wait().ok()?;
            session.pending().map(|(id, _)| id.to_string()).find(|id| !decided.contains(id))
        });
        let decision: PermissionDecision =
            serde_json::from_value(json!({ "id": request, "approved": true })).unwrap();
        until("the decision is made", || match phone.decide(id, decision.clone()).wait() {
            Ok(()) => true,
            // A refusal would be of a decision that was made already and whose answer was lost.
            Err(error) => matches!(error.kind, Kind::MachineRefused),
        });
        decided.insert(request);
        until("the agent goes on", || {
            said(&phone, id, &mut after, &mut heard);
            heard.iter().any(|words| *words == format!("done {round}"))
        });
    }
    for round in 0..4 {
        assert_eq!(heard.iter().filter(|words| **words == format!("done {round}")).count(), 1, "{heard:?}");
    }
    println!("{:?}", way.wrongs());
}

/// A phone starts a session in a new directory after asking, two phones see it, one stops it, and a repeated request is one
/// session — while the machine's connections are cut.
#[test]
fn a_phone_starts_and_stops_a_session_over_a_bad_way() {
    let sandbox = Sandbox::new();
    let (relay, way, phone) = world(&sandbox, 5);
    let _daemon = sandbox.start_daemon();
    until("the machine answers", || phone.ping(MACHINE).wait().is_ok());
    way.goes_wrong(Faults { cut_after: Some((2_000, 40_000)), ..Faults::default() });
    way.cut();
    let other = Phone::connect(Server::new(&relay.url()).unwrap(), phone.account().clone()).unwrap();
    let directory = sandbox.home().join("new/project");
    let mut request = SpawnRequest::in_directory(Path::new(directory.to_str().unwrap()).unwrap());
    request.agent = Some(Name::cut("fake"));
    let asked = patiently("the machine asks for the directory", || phone.spawn(MACHINE, request.clone()));
    let Spawn::NeedsApproval { request, .. } = asked else { panic!("{asked:?}") };
    assert!(!directory.exists(), "nothing is made before it is approved");
    let started =
        until_some("the session is started", || phone.spawn(MACHINE, (*request).clone()).wait().ok());
    let Spawn::Started(id) = started else { panic!("{started:?}") };
    assert!(directory.is_dir());
    assert_eq!(sandbox.client().list().len(), 1, "one request, one session");
    until("the other phone sees it", || other.session(id.as_str()).wait().is_ok());
    patiently("it is stopped", || other.stop(MACHINE, id.as_str()));
    assert!(!sandbox.client().list()[0].phase.is_live());
}

/// A stranger's account sees nothing and reaches nothing, and a storm of calls ends in answers, not in a daemon that is stuck.
#[test]
fn strangers_and_storms_get_refusals() {
    let sandbox = Sandbox::new();
    let (relay, _way, phone) = world(&sandbox, 1);
    let _daemon = sandbox.start_daemon();
    until("the machine answers", || phone.ping(MACHINE).wait().is_ok());
    let account = Account::create(Dialect::Happy).unwrap();
    let stranger = Phone::connect(Server::new(&relay.url()).unwrap(), account).unwrap();
    assert_eq!(stranger.ping(MACHINE).wait().unwrap_err().kind, Kind::NotFound);
    assert!(stranger.sessions().wait().unwrap().is_empty());
    let begun = Instant::now();
    let storm: Vec<_> = (0..600).map(|_| phone.machine_sessions(MACHINE)).collect();
    let mut done = 0;
    // What is refused before it is opened is refused unsealed, which a phone does not take for the machine's word.
    let answers = [Kind::MachineRefused, Kind::Unreadable];
    for ticket in storm {
        match ticket.wait() {
            Ok(_) => done += 1,
            Err(error) => assert!(answers.contains(&error.kind) || error.retry, "{error}"),
        }
    }
    println!("600 calls at once: {done} done in {:?}", begun.elapsed());
    assert!(done > 0);
    assert!(phone.ping(MACHINE).wait().is_ok(), "it still answers");
}

/// What people said and what opens it stand in no log and no store but their own.
#[test]
fn nothing_readable_is_left_with_the_server_or_in_a_log() {
    const CANARY: &str = "canary-7f3a9";
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let link = Link::make(&sandbox, &relay.url());
    let phone = link.phone();
    let daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    phone.send(id, Words::new(format!("say {CANARY}"))).wait().unwrap();
    let (mut after, mut heard) = (0, Vec::new());
    until("it is answered", || {
        said(&phone, id, &mut after, &mut heard);
        heard.iter().any(|words| words.contains(CANARY))
    });
    drop(phone);
    assert!(daemon.terminate().success());
    drop(relay);
    let secret = base64_of(&link.master);
    let mut looked = 0;
    let mut folders = vec![sandbox.path().join("relay")];
    let mut files = vec![sandbox.path().join("relay.log")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        looked += 1;
        for hidden in [CANARY.as_bytes(), secret.as_bytes(), &link.master, &link.machine_key] {
            let found = bytes.windows(hidden.len()).any(|window| window == hidden);
            assert!(!found, "{} holds something readable", file.display());
        }
    }
    assert!(looked > 1, "there was something to look at");
    let log = sandbox.daemon_logs();
    assert!(!log.contains(CANARY) && !log.contains(&secret), "{log}");
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

/// Who drives changes again and again and permissions are decided while every connection breaks: each decision reaches the
/// agent at most once, what is asked for last holds, and nobody waits for ever. [happy 5.3, #302]
#[test]
fn switches_and_decisions_racing_with_reconnects() {
    const ROUNDS: usize = 5;
    let sandbox = Sandbox::new();
    let (_relay, way, phone) = world(&sandbox, 23);
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let ours = sandbox.client().list()[0].id;
    way.goes_wrong(Faults { cut_after: Some((2_000, 60_000)), lose_acks: 50, double: 50, swap: 50 });
    let drives = || sandbox.client().get(ours).agent.unwrap().control.word();
    let (mut after, mut heard) = (0, Vec::new());
    for round in 0..ROUNDS {
        let words = Words::new(format!("do ask touch {round}; say done {round}"));
        phone.send(id, words.whenever().within(STORED_WITHIN)).wait().unwrap();
        let request = until_some("the agent asks", || {
            let agent = sandbox.client().get(ours).agent?;
            Some(agent.pending.first()?.ask.id.to_string())
        });
        // A decision and a change of hands at once, and the way breaks between them: whichever is first, both are answered.
        let decision: PermissionDecision =
            serde_json::from_value(json!({ "id": request, "approved": true })).unwrap();
        let decided = phone.decide(id, decision);
        way.cut();
        let to = if round % 2 == 0 { Driver::Local } else { Driver::Remote };
        let switched = phone.switch(id, to);
        way.cut();
        drop((decided.wait(), switched.wait()));
        // What is asked for last holds, however often it has to be asked.
        for (to, word) in [(Driver::Local, "local"), (Driver::Remote, "remote")] {
            until("control changes hands", || phone.switch(id, to).wait().is_ok());
            until("it is so on the machine", || drives() == word);
        }
    }
    way.goes_wrong(Faults::default());
    way.cut();
    phone.send(id, Words::new("the end").whenever().within(STORED_WITHIN)).wait().unwrap();
    until("the end is answered", || {
        said(&phone, id, &mut after, &mut heard);
        heard.last().is_some_and(|last| last == "got: the end")
    });
    for round in 0..ROUNDS {
        let count = |words: String| heard.iter().filter(|said| **said == words).count();
        let (allowed, done) = (count(format!("allowed: touch {round}")), count(format!("done {round}")));
        // A turn that the change of hands cut off says nothing; none says anything twice.
        assert!(allowed <= 1 && done <= allowed, "{allowed} times allowed, {done} times done: {heard:?}");
    }
    assert!(sandbox.client().get(ours).agent.unwrap().pending.is_empty());
    println!("{:?}", way.wrongs());
}

/// A way that falls silent is noticed and left, nothing local waits for it, and what was said meanwhile arrives once. [happy
/// 5.18: a half-open connection blocks for 20 s]
#[test]
fn a_connection_that_falls_silent_is_noticed_and_left() {
    let sandbox = Sandbox::new();
    let relay = Relay::with(&sandbox, "127.0.0.1:0", "[presence]\nping_interval = 1\nping_timeout = 1\n");
    let way = Proxy::to(relay.url().strip_prefix("http://").unwrap().parse().unwrap(), 2);
    let link = Link::make(&sandbox, &way.base());
    let account = Account::new(delight_crypto::MasterSecret::from_bytes(link.master), Dialect::Happy);
    let phone = Phone::connect(Server::new(&relay.url()).unwrap(), account).unwrap();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let state = || sandbox.client().call::<UplinkStatus>(&Empty {}).unwrap().state;
    assert_eq!(state(), UplinkState::Online);

    way.hold();
    phone.send(id, Words::new("meanwhile").whenever().within(STORED_WITHIN)).wait().unwrap();
    until("the silence is noticed", || state() != UplinkState::Online);
    let begun = Instant::now();
    let local = sandbox.client().spawn(&["sh", "-c", "echo here; exec cat"]).id;
    sandbox.client().until_output(local, "here");
    assert!(begun.elapsed() < Duration::from_secs(20), "nothing local waits: {:?}", begun.elapsed());

    way.go_on();
    let (mut after, mut heard) = (0, Vec::new());
    until("it is answered", || {
        said(&phone, id, &mut after, &mut heard);
        !heard.is_empty()
    });
    phone.send(id, Words::new("after").whenever().within(STORED_WITHIN)).wait().unwrap();
    until("so is the next", || {
        said(&phone, id, &mut after, &mut heard);
        heard.len() >= 2
    });
    assert_eq!(heard, ["got: meanwhile", "got: after"]);
}

/// A day away from the server: everything local goes on, what is sent afterwards is bounded and says what it leaves out, and
/// it comes in order.
#[test]
fn a_day_away_is_told_in_short_and_in_order() {
    const LINES: usize = 4_200;
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let ours = sandbox.client().list()[0].id;
    let address = relay.kill9();
    let mut client = sandbox.client();
    let mut prompt = |text: &str| {
        let params = json!({ "session": ours, "text": text });
        client.call::<SessionPrompt>(&serde_json::from_value(params).unwrap()).unwrap();
    };
    prompt(&format!("do lines {LINES}; say last of the first"));
    prompt("do say second; say last of the second");
    prompt("do say third; say last of the third");
    let waiting = || sandbox.client().call::<UplinkStatus>(&Empty {}).unwrap().waiting;
    until("the agent has done it all, without a server", || {
        let agent = sandbox.client().get(ours).agent.unwrap();
        agent.queued == 0 && agent.activity.is_some_and(|now| now.activity == Activity::Idle)
    });
    until("the link knows how far behind the server is", || waiting() > LINES as u64);

    let _relay = Relay::start(&sandbox, &address);
    until("everything was sent", || waiting() == 0);
    let (mut after, mut heard) = (0, Vec::new());
    until("it is on the phone", || {
        said(&phone, id, &mut after, &mut heard);
        heard.last().is_some_and(|last| last == "last of the third")
    });
    let order: Vec<_> = heard.iter().filter(|words| words.starts_with("last of")).collect();
    assert_eq!(order, ["last of the first", "last of the second", "last of the third"]);
    let numbers: Vec<&String> = heard.iter().filter(|words| words.starts_with("00")).collect();
    assert!(numbers.is_sorted() && numbers.len() < LINES / 20, "{} lines came", numbers.len());
    let (mut records, mut told, mut from) = (0, false, 0);
    loop {
        let page = phone.history_after(id, from, 50).wait().unwrap();
        for message in &page.messages {
            from = message.seq;
            records += 1;
            told |= match &message.body {
                Ok(Record::Session(record)) => matches!(&record.content.ev,
                    SessionEvent::Service(service) if service.text.expose().contains("were left out")),
                _ => false,
            };
        }
        if !page.more {
            break;
        }
    }
    assert!(records < LINES / 10, "{records} records of {LINES} lines");
    assert!(told, "what is left out is said");
}
