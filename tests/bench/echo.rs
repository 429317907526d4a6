//! How long a key takes to the screen and back.

use std::time::{Duration, Instant};

use delight_tests::binaries::program;

use crate::peer::{Peer, World, installed, run};
use crate::report::{Goal, Row, percentile};
use crate::screen::Screen;

/// Keys measured for each peer.
const KEYS: usize = 2_000;

/// Microseconds of each key.
fn keys(screen: &Screen) -> Vec<f64> {
    let mut buffer = [0u8; 4096];
    let mut samples = Vec::with_capacity(KEYS);
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
    samples
}

fn measure(world: &World, peer: Peer, name: &str) -> (f64, f64) {
    let agent = program("delight-fake-agent");
    run(world.spawn(peer, name, &[agent.to_str().unwrap(), "--script", "raw; echo"]));
    let screen = Screen::open(&world.attach(peer, name));
    screen.settle();
    let mut samples = keys(&screen);
    (percentile(&mut samples, 50), percentile(&mut samples, 99))
}

pub(crate) fn rows() -> Vec<Row> {
    let world = World::warm();
    let mut rows = Vec::new();
    for (situation, flood) in [("alone", false), ("beside a flooding session", true)] {
        let (mut p50, mut p99) = (Vec::new(), Vec::new());
        for peer in installed() {
            let mut beside = None;
            if flood {
                // A neighbour of the same kind prints without end to a client of its own.
                let name = format!("flood-{peer}");
                let agent = program("delight-fake-agent");
                run(world.spawn(
                    peer,
                    &name,
                    &[agent.to_str().unwrap(), "--script", "lines 100000000 20000"],
                ));
                beside = Some(Screen::open(&world.attach(peer, &name)));
            }
            let stop = std::sync::atomic::AtomicBool::new(false);
            let (middle, slow) = std::thread::scope(|scope| {
                if let Some(screen) = &beside {
                    scope.spawn(|| {
                        let mut buffer = vec![0u8; 64 << 10];
                        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                            screen.read(&mut buffer);
                        }
                    });
                }
                let measured = measure(&world, peer, &format!("echo-{flood}"));
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                measured
            });
            if flood {
                let pids = world.sandbox.runners();
                for flooding in pids.iter().filter(|p| p.command.contains("lines 100000000")) {
                    delight_tests::kernel::signal(flooding.pid, nix::sys::signal::Signal::SIGKILL);
                }
            }
            p50.push((peer, middle));
            p99.push((peer, slow));
        }
        for (which, values) in [("p50", p50), ("p99", p99)] {
            rows.push(Row {
                metric: format!("key echo {which}, {situation}"),
                unit: "µs",
                values,
                goal: Goal::AtMost(1.2, Peer::Dtach),
            });
        }
    }
    rows
}
