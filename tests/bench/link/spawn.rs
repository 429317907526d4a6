//! Sessions a phone makes through the relay: how long each takes, and what memory it costs.

use std::time::Duration;

use serde_json::Value;

use super::machine::Machine;
use super::{Server, installed};
use crate::peer::Peer;
use crate::report::{Goal, Row, ms, percentile};

/// Spawns one after the other.
const SPAWNS: usize = 100;
/// Of a peer that takes seconds and a hundred megabytes for each.
const SLOW_SPAWNS: usize = 4;
/// Spawns asked for in the same moment.
const AT_ONCE: usize = 16;
/// Of such a peer: the machine would be out of memory before it is out of time.
const SLOW_AT_ONCE: usize = 4;
/// Time for what a spawn leaves to do before memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

fn started(answer: Result<(Value, Duration), String>) -> Duration {
    let (answer, took) = answer.unwrap();
    assert_eq!(answer["type"], "success", "{answer}");
    took
}

pub(crate) fn rows() -> Vec<Row> {
    let server = Server::start();
    let (mut p50, mut p99, mut together, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut four = Vec::new();
    for peer in installed() {
        let slow = peer == Peer::Happy;
        let mut machine = Machine::online(peer, &server.url(), &server.url());
        std::thread::sleep(SETTLE);
        let before = machine.private_memory();
        let spawns = if slow { SLOW_SPAWNS } else { SPAWNS };
        let mut samples: Vec<f64> = (0..spawns)
            .map(|number| {
                let call = vec![("spawn-happy-session", machine.spawn(number))];
                ms(started(machine.phone.call_all(call).remove(0)))
            })
            .collect();
        p50.push((peer, percentile(&mut samples, 50)));
        p99.push((peer, percentile(&mut samples, 99)));
        std::thread::sleep(SETTLE);
        memory.push((peer, machine.private_memory().saturating_sub(before) as f64 / spawns as f64 / 1e6));

        let mut made = spawns;
        let mut at_once = |count: usize| {
            let calls = (made..made + count).map(|n| ("spawn-happy-session", machine.spawn(n))).collect();
            made += count;
            let took = machine.phone.call_all(calls).into_iter().map(started).max().unwrap();
            ms(took)
        };
        four.push((peer, at_once(SLOW_AT_ONCE)));
        if !slow {
            together.push((peer, at_once(AT_ONCE)));
        }
    }
    let row = |metric: String, unit, values, goal| Row { metric, unit, values, goal };
    let through = "spawn through the relay → the session runs and the server knows it";
    vec![
        row(format!("{through}, p50"), "ms", p50, Goal::Below(150.0)),
        row(format!("{through}, p99"), "ms", p99, Goal::Below(150.0)),
        row(format!("{SLOW_AT_ONCE} such spawns at once, the last"), "ms", four, Goal::Below(1_000.0)),
        row(format!("{AT_ONCE} such spawns at once, the last"), "ms", together, Goal::Below(1_000.0)),
        row("private memory a session beyond the agent, link on".to_owned(), "MB", memory, Goal::Below(2.0)),
    ]
}
