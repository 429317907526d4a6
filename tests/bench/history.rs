//! Attaching to a session with a long history.

use std::time::Instant;

use delight_tests::binaries::program;
use delight_tests::until;

use crate::peer::{Peer, World, installed, run};
use crate::report::{Goal, Row, median, ms};
use crate::screen::Screen;

/// Milliseconds from the start of the client to the last line on the terminal.
fn attach(world: &World, peer: Peer, lines: u64) -> f64 {
    let name = format!("h{lines}");
    let agent = program("delight-fake-agent");
    let script = format!("lines {lines}; print end-of-history; hang");
    run(world.spawn(peer, &name, &[agent.to_str().unwrap(), "--script", &script]));
    // The history is all there before anybody is timed.
    until("the history is printed", || {
        let screen = Screen::open(&world.attach(peer, &name));
        screen.until(b"\x1b[");
        screen.settle();
        let server = world.server(peer, &name);
        let before = delight_tests::kernel::cpu_ms(server);
        screen.settle();
        delight_tests::kernel::cpu_ms(server) == before
    });
    let mut samples: Vec<f64> = (0..20)
        .map(|_| {
            let command = world.attach(peer, &name);
            let began = Instant::now();
            let screen = Screen::open(&command);
            screen.until(b"end-of-history");
            let took = ms(began.elapsed());
            drop(screen);
            took
        })
        .collect();
    median(&mut samples)
}

pub(crate) fn rows() -> Vec<Row> {
    let world = World::warm();
    let peers = installed().into_iter().filter(|peer| *peer != Peer::Dtach);
    let short: Vec<(Peer, f64)> = peers.map(|peer| (peer, attach(&world, peer, 10_000))).collect();
    let ours = short[0].1;
    let long = attach(&world, Peer::Delight, 1_000_000);
    vec![
        Row {
            metric: "attach, 10 k lines of history → correct screen".to_owned(),
            unit: "ms",
            values: short,
            goal: Goal::AtMost(1.0, Peer::Tmux),
        },
        Row {
            metric: "the same with 1 M lines: times the time with 10 k".to_owned(),
            unit: "×",
            values: vec![(Peer::Delight, long / ours)],
            goal: Goal::Below(1.3),
        },
    ]
}
