//! How long until a command runs.

use std::path::Path;
use std::time::{Duration, Instant};

use delight_tests::binaries::program;
use delight_tests::until_some;

use crate::peer::{Peer, World, installed, run};
use crate::report::{Goal, Row, median, ms};

/// Spawns a peer is measured over; peers take turns.
const ROUNDS: usize = 40;

/// Time for what the last spawn left to do (its program's end, our next holder): every peer starts on a machine at rest.
const REST: Duration = Duration::from_millis(30);

/// Nanoseconds of the clock that does not jump: the same for all processes.
fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.tv_sec()).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap()
}

/// When the child of a spawn ran its first instructions.
fn first_instruction(stamp: &Path) -> u64 {
    until_some("the child has run", || std::fs::read_to_string(stamp).ok()?.strip_suffix('\n')?.parse().ok())
}

/// Milliseconds from the start of the spawn to the child's first instruction, and to the spawn's end.
fn one(world: &World, peer: Peer, name: &str) -> (f64, f64) {
    let stamp = world.sandbox.path().join(format!("stamp-{peer}-{name}"));
    let floor = program("delight-bench-floor");
    let argv = [floor.to_str().unwrap(), "--stamp", stamp.to_str().unwrap()];
    let command = world.spawn(peer, name, &argv);
    let (began, began_ns) = (Instant::now(), now_ns());
    run(command);
    let returned = ms(began.elapsed());
    (first_instruction(&stamp).saturating_sub(began_ns) as f64 / 1e6, returned)
}

pub(crate) fn rows() -> Vec<Row> {
    let world = World::warm();
    let peers = installed();
    let mut samples = vec![(Vec::new(), Vec::new()); peers.len()];
    for round in 0..ROUNDS + 3 {
        for (peer, (first, returned)) in peers.iter().zip(&mut samples) {
            std::thread::sleep(REST);
            let (f, r) = one(&world, *peer, &format!("s{round}"));
            // The first three warm caches up.
            if round >= 3 {
                first.push(f);
                returned.push(r);
            }
        }
    }
    let (mut first, mut returned) = (Vec::new(), Vec::new());
    for (peer, (mut f, mut r)) in peers.into_iter().zip(samples) {
        first.push((peer, median(&mut f)));
        returned.push((peer, median(&mut r)));
    }
    vec![
        Row {
            metric: "spawn → first instruction of the child".to_owned(),
            unit: "ms",
            values: first,
            goal: Goal::AtMost(1.5, Peer::Dtach),
        },
        Row {
            metric: "spawn returns".to_owned(),
            unit: "ms",
            values: returned,
            goal: Goal::AtMost(1.0, Peer::Tmux),
        },
    ]
}

pub(crate) fn cold_rows() -> Vec<Row> {
    let peers: Vec<Peer> = installed().into_iter().filter(|peer| *peer != Peer::Dtach).collect();
    let mut samples = vec![Vec::new(); peers.len()];
    for _ in 0..10 {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            samples.push(one(&World::cold(), *peer, "cold").0);
        }
    }
    vec![Row {
        metric: "nothing runs → first child".to_owned(),
        unit: "ms",
        values: peers.into_iter().zip(samples).map(|(peer, mut s)| (peer, median(&mut s))).collect(),
        goal: Goal::AtMost(1.0, Peer::Tmux),
    }]
}
