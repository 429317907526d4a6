//! What supervising an agent adds: to each thing it says, to each permission it asks for, and to the memory it takes.
//!
//! The agent is the fake one and does nothing itself. The floor is a reader at the other end of its bare pipes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use delight_proto::agent::{
    AgentEvent, AgentOrder, Control, Message, PermissionAsk, PermissionView, RecordBody,
};
use delight_proto::api::method::{
    Change, DecideParams, EventsParams, SessionDecide, SessionEvents, Subscribe, SubscribeParams,
};
use delight_proto::id::SessionId;
use delight_proto::session::Origin;
use delight_tests::agent::{answer, words};
use delight_tests::api::{Client, Line};
use delight_tests::binaries::program;
use delight_tests::{Sandbox, kernel};
use serde_json::json;

use crate::peer::Peer;
use crate::report::{Goal, Row, percentile};

/// Things said.
const MESSAGES: usize = 1_000;
/// In so many rounds, with the floors measured between them: what else the machine does meets all alike.
const ROUNDS: usize = 10;
/// Times the disk is waited for a round.
const SYNCS: usize = 20;
/// Permissions asked for.
const PERMISSIONS: usize = 300;
/// Sessions that are weighed.
const SESSIONS: usize = 50;

fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).unwrap()
}

fn subscribe(client: &mut Client, id: SessionId) {
    client.call::<Subscribe>(&SubscribeParams { session: Some(id.to_string()) }).unwrap();
}

/// Waits for the next change of a session.
fn change(client: &mut Client) {
    if client.changes().is_empty()
        && let Line::Answer(answer) = client.read().unwrap()
    {
        panic!("an answer nobody waits for: {answer:?}");
    }
}

/// Microseconds, each.
#[derive(Default)]
struct Samples {
    /// From the agent's line to a subscriber that has its words.
    ours: Vec<f64>,
    /// The same at the agent's bare pipe.
    pipe: Vec<f64>,
    /// What one wait for the disk takes: appending an event and `fdatasync`, where the sessions lie.
    disk: Vec<f64>,
}

fn messages() -> Samples {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    let mut seen = client.get(id).last_seq;
    subscribe(&mut client, id);
    let mut disk = File::create(sandbox.place().sessions().join("probe")).unwrap();
    let mut samples = Samples::default();
    for round in 1..=ROUNDS {
        sandbox.client().prompt(id, &format!("do stamp {} 1", MESSAGES / ROUNDS)).unwrap();
        while samples.ours.len() < round * MESSAGES / ROUNDS {
            change(&mut client);
            let params = EventsParams { session: id.to_string(), after: seen, limit: 1_000 };
            let events = client.call::<SessionEvents>(&params).unwrap().events;
            let now = now_ns();
            seen = events.last().map_or(seen, |event| event.seq);
            let stamps = words(&events);
            let took = stamps.iter().map(|stamp| (now - stamp.parse::<u64>().unwrap()) as f64 / 1e3);
            samples.ours.extend(took);
        }
        samples.pipe.extend(messages_of_the_floor());
        samples.disk.extend((0..SYNCS).map(|_| {
            let began = now_ns();
            disk.write_all(&[b'e'; 256]).unwrap();
            disk.sync_data().unwrap();
            (now_ns() - began) as f64 / 1e3
        }));
    }
    samples
}

fn messages_of_the_floor() -> Vec<f64> {
    let mut agent = Command::new(program("delight-fake-agent"))
        .args(["--script", &format!("stamp {} 1", MESSAGES / ROUNDS)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(agent.stdout.take().unwrap()).lines();
    let samples = lines
        .map(|line| {
            let stamp: u64 = line.unwrap().parse().unwrap();
            (now_ns() - stamp) as f64 / 1e3
        })
        .collect();
    agent.wait().unwrap();
    samples
}

fn percentiles(what: &str, goals: [f64; 2], ours: &mut [f64], floor: &mut [f64]) -> Vec<Row> {
    [(50, goals[0]), (99, goals[1])]
        .into_iter()
        .map(|(percent, goal)| Row {
            metric: format!("{what}, p{percent}"),
            unit: "µs",
            values: vec![
                (Peer::Delight, percentile(ours, percent)),
                (Peer::Floor, percentile(floor, percent)),
            ],
            goal: Goal::Below(goal),
        })
        .collect()
}

pub(crate) fn message_rows() -> Vec<Row> {
    let Samples { mut ours, mut pipe, mut disk } = messages();
    let mut rows =
        percentiles("agent says a line → subscriber has it", [1_000.0, 5_000.0], &mut ours, &mut pipe);
    rows.extend([50, 99].map(|percent| Row {
        metric: format!("one wait for the disk between them (an event and fdatasync), p{percent}"),
        unit: "µs",
        values: vec![(Peer::Floor, percentile(&mut disk, percent))],
        goal: Goal::Told,
    }));
    rows
}

/// Microseconds each answer took, by the agent's own clock, when a client allows what it is told of at once.
fn permissions() -> Vec<f64> {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    subscribe(&mut client, id);
    let mut sender = sandbox.client();
    sender.prompt(id, &format!("do asks {PERMISSIONS}")).unwrap();
    let mut decided = BTreeSet::new();
    while decided.len() < PERMISSIONS {
        let Line::Change(Change::Session { session }) = client.read().unwrap() else { continue };
        let pending: Vec<PermissionView> = session.agent.map(|agent| agent.pending).unwrap_or_default();
        for view in pending {
            let permission = view.ask.id.to_string();
            if decided.insert(permission.clone()) {
                let permission = Some(permission);
                let decision = answer(true, None);
                let params = DecideParams { session: id.to_string(), permission, decision };
                client.send::<SessionDecide>(&params).unwrap();
            }
        }
    }
    let waited = || words(&sandbox.client().events(id));
    delight_tests::until("the agent has said what it measured", || waited().len() == PERMISSIONS);
    waited().iter().map(|ns| ns.parse::<f64>().unwrap() / 1e3).collect()
}

/// A fake agent at bare pipes.
struct Bare {
    agent: Child,
    events: Box<dyn Iterator<Item = AgentEvent>>,
}

impl Bare {
    fn new(home: &std::path::Path) -> Self {
        let mut agent = Command::new(program("delight-fake-agent"))
            .arg("--remote")
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(agent.stdout.take().unwrap()).lines();
        // Its first line says what it is.
        let events = Box::new(lines.skip(1).map(|line| serde_json::from_str(&line.unwrap()).unwrap()));
        let mut bare = Self { agent, events };
        bare.tell(&json!({"hello": "bench"}));
        bare.tell(&json!({"begin": {"conversation": "bench"}}));
        bare
    }

    fn tell(&mut self, what: &impl serde::Serialize) {
        let line = format!("{}\n", serde_json::to_string(what).unwrap());
        self.agent.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    fn decide(&mut self, ask: PermissionAsk) {
        self.tell(&AgentOrder::Decide { ask, decision: answer(true, None) });
    }
}

/// The same by a client that holds the agent's bare pipes.
fn permissions_of_the_floor() -> Vec<f64> {
    let home = tempfile::tempdir().unwrap();
    let mut bare = Bare::new(home.path());
    let text = format!("do asks {PERMISSIONS}");
    let message = Message { local_id: "bench".parse().unwrap(), text, origin: Origin::Daemon };
    bare.tell(&AgentOrder::Prompt { message });
    let mut samples = Vec::new();
    while samples.len() < PERMISSIONS {
        match bare.events.next().unwrap() {
            AgentEvent::Asked { ask } => bare.decide(ask),
            AgentEvent::Record { record } => {
                if let RecordBody::Text { text } = record.body {
                    samples.push(text.parse::<f64>().unwrap() / 1e3);
                }
            }
            _ => {}
        }
    }
    bare.tell(&AgentOrder::End);
    bare.agent.wait().unwrap();
    samples
}

pub(crate) fn permission_rows() -> Vec<Row> {
    let (mut ours, mut floor) = (permissions(), permissions_of_the_floor());
    percentiles("agent asks → has its answer", [2_000.0, 10_000.0], &mut ours, &mut floor)
}

pub(crate) fn memory_rows() -> Vec<Row> {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    // What is made once.
    let warm = client.spawn_fake(Control::Remote, &[]);
    client.prompt(warm, "warm").unwrap();
    client.until_said(warm, "got: warm");
    let before = kernel::private_memory(daemon.pid());
    let holders: Vec<u32> = (0..SESSIONS)
        .map(|_| {
            let id = client.spawn_fake(Control::Remote, &[]);
            client.prompt(id, "hello").unwrap();
            client.until_said(id, "got: hello");
            client.get(id).holder.unwrap().process.pid
        })
        .collect();
    let grown = kernel::private_memory(daemon.pid()).saturating_sub(before);
    let held: u64 = holders.iter().map(|pid| kernel::private_memory(*pid)).sum();
    let a_session = |bytes: u64| bytes as f64 / SESSIONS as f64 / 1024.0;
    let row = |metric: &str, value: f64, goal: f64| Row {
        metric: format!("{metric}, {SESSIONS} agents that have conversed"),
        unit: "KiB",
        values: vec![(Peer::Delight, value)],
        goal: Goal::Below(goal),
    };
    vec![
        row("private memory an agent's session, holder", a_session(held), 700.0),
        row("growth of the daemon an agent's session", a_session(grown), 150.0),
    ]
}
