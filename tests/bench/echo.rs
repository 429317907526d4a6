//! How long a key takes to the screen and back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use delight_tests::binaries::program;

use crate::peer::{Peer, World, installed, run};
use crate::report::{Goal, Row, percentile};
use crate::screen::Screen;

/// Rounds; peers take turns, so that a machine that changes its mind changes it for all.
const ROUNDS: usize = 5;

/// Keys measured for each peer in a round.
const KEYS: usize = 400;

/// Microseconds of each key.
fn keys(screen: &Screen, samples: &mut Vec<f64>) {
    let mut buffer = [0u8; 4096];
    for n in 0..KEYS {
        // Letters only: nothing a terminal or a detach key would take for itself.
        let key = b'a' + u8::try_from(n % 26).unwrap();
        let began = Instant::now();
        screen.keys(&[key]);
        while !screen.read(&mut buffer).contains(&key) {}
        samples.push(began.elapsed().as_secs_f64() * 1e6);
        // A person is slower than this; without a pause the kernel's wake-up paths stay unrealistically warm.
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn measure(world: &World, peer: Peer, name: &str, samples: &mut Vec<f64>) {
    let agent = program("delight-fake-agent");
    run(world.spawn(peer, name, &[agent.to_str().unwrap(), "--script", "raw; echo"]));
    let screen = Screen::open(&world.attach(peer, name));
    screen.settle();
    keys(&screen, samples);
}

/// The same while a neighbour of the same kind prints without end to a client of its own.
fn measure_beside_a_flood(world: &World, peer: Peer, name: &str, samples: &mut Vec<f64>) {
    let flood = format!("flood-{name}");
    let agent = program("delight-fake-agent");
    run(world.spawn(peer, &flood, &[agent.to_str().unwrap(), "--script", "lines 100000000 20000"]));
    let beside = Screen::open(&world.attach(peer, &flood));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = vec![0u8; 64 << 10];
            while !stop.load(Ordering::Relaxed) {
                beside.read(&mut buffer);
            }
        });
        measure(world, peer, name, samples);
        stop.store(true, Ordering::Relaxed);
    });
    for flooding in world.sandbox.runners().iter().filter(|p| p.command.contains("lines 100000000")) {
        delight_tests::kernel::signal(flooding.pid, nix::sys::signal::Signal::SIGKILL);
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let world = World::warm();
    let mut rows = Vec::new();
    for (situation, flood) in [("alone", false), ("beside a flooding session", true)] {
        let mut samples: Vec<(Peer, Vec<f64>)> = installed().into_iter().map(|p| (p, Vec::new())).collect();
        for round in 0..ROUNDS {
            for (peer, samples) in &mut samples {
                let name = format!("echo-{flood}-{round}-{peer}");
                let measure = if flood { measure_beside_a_flood } else { measure };
                measure(&world, *peer, &name, samples);
            }
        }
        for percent in [50, 99] {
            rows.push(Row {
                metric: format!("key echo p{percent}, {situation}"),
                unit: "µs",
                values: samples.iter_mut().map(|(peer, s)| (*peer, percentile(s, percent))).collect(),
                goal: Goal::AtMost(1.2, Peer::Dtach),
            });
        }
    }
    rows
}
