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

/// What one peer's sessions cost: milliseconds and bytes.
struct Cost {
    one: Vec<f64>,
    few: f64,
    /// Not asked of a peer that is slow.
    many: Option<f64>,
    memory: f64,
}

fn started(answer: Result<(Value, Duration), String>) -> Result<Duration, String> {
    let (answer, took) = answer?;
    if answer["type"] == "success" { Ok(took) } else { Err(answer.to_string()) }
}

fn measure(server: &Server, peer: Peer) -> Result<Cost, String> {
    let slow = peer == Peer::Happy;
    let mut machine = Machine::online(peer, &server.url(), &server.url());
    std::thread::sleep(SETTLE);
    let before = machine.private_memory();
    let mut made = 0;
    // Milliseconds until the last of so many.
    let mut spawn = |machine: &mut Machine, count: usize| {
        let calls = (made..made + count).map(|n| ("spawn-happy-session", machine.spawn(n))).collect();
        made += count;
        let took = machine.phone.call_all(calls).into_iter().map(started);
        took.collect::<Result<Vec<_>, _>>().map(|took| took.into_iter().max().map_or(0.0, ms))
    };
    let spawns = if slow { SLOW_SPAWNS } else { SPAWNS };
    let one = (0..spawns).map(|_| spawn(&mut machine, 1)).collect::<Result<_, _>>()?;
    std::thread::sleep(SETTLE);
    let memory = machine.private_memory().saturating_sub(before) as f64 / spawns as f64;
    let few = spawn(&mut machine, SLOW_AT_ONCE)?;
    let many = if slow { None } else { Some(spawn(&mut machine, AT_ONCE)?) };
    Ok(Cost { one, few, many, memory })
}

pub(crate) fn rows() -> Vec<Row> {
    let server = Server::start();
    let mut costs = Vec::new();
    for peer in installed() {
        match measure(&server, peer) {
            Ok(cost) => costs.push((peer, cost)),
            // It gives a session up after 15 s; on a busy machine that is soon.
            Err(why) => {
                assert!(peer != Peer::Delight, "{why}");
                eprintln!("without {peer}: {why}");
            }
        }
    }
    let row = |metric: String, unit, of: &dyn Fn(&Cost) -> Option<f64>, most| Row {
        metric,
        unit,
        values: costs.iter().filter_map(|(peer, cost)| Some((*peer, of(cost)?))).collect(),
        goal: Goal::Below(most),
    };
    let through = "spawn through the relay → the session runs and the server knows it";
    let of_one = |percent| move |cost: &Cost| Some(percentile(&mut cost.one.clone(), percent));
    vec![
        row(format!("{through}, p50"), "ms", &of_one(50), 150.0),
        row(format!("{through}, p99"), "ms", &of_one(99), 150.0),
        row(format!("{SLOW_AT_ONCE} such spawns at once, the last"), "ms", &|cost| Some(cost.few), 1_000.0),
        row(format!("{AT_ONCE} such spawns at once, the last"), "ms", &|cost| cost.many, 1_000.0),
        row(
            "private memory a session beyond the agent, link on".to_owned(),
            "MB",
            &|cost| Some(cost.memory / 1e6),
            2.0,
        ),
    ]
}
