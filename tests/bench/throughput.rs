//! Much output to one attached client: how fast, and what it costs the server.

use std::time::Instant;

use delight_tests::binaries::program;
use delight_tests::kernel;

use crate::peer::{Peer, World, installed, run};
use crate::report::{Goal, Row, median};
use crate::screen::Screen;

/// One run: megabytes a second at the client, and seconds of CPU of the server.
fn one(world: &World, peer: Peer, name: &str, work: &str, bytes: u64) -> (f64, f64) {
    let command = format!("stty -echo; echo re''ady; read x; {work}; echo all-''printed; exec sleep 1000");
    if peer == Peer::Floor {
        // Nobody attaches to the floor: it prints to a terminal of its own.
        let screen = Screen::open(&world.spawn(peer, name, &["/bin/sh", "-c", &command]));
        screen.until(b"ready");
        let pid = world
            .sandbox
            .processes()
            .into_values()
            .find(|p| p.command.contains("delight-bench-floor") && !p.command.starts_with("setsid"))
            .unwrap()
            .pid;
        return timed(&screen, pid, bytes);
    }
    run(world.spawn(peer, name, &["/bin/sh", "-c", &command]));
    let screen = Screen::open(&world.attach(peer, name));
    screen.settle();
    timed(&screen, world.server(peer, name), bytes)
}

fn timed(screen: &Screen, server: u32, bytes: u64) -> (f64, f64) {
    let (cpu, began) = (kernel::cpu_ms(server), Instant::now());
    screen.keys(b"\r\n");
    screen.until(b"all-printed");
    let rate = bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
    (rate, (kernel::cpu_ms(server) - cpu) as f64 / 1e3)
}

fn measure(metric: &str, work: impl Fn(&World) -> (String, u64)) -> [Vec<(Peer, f64)>; 2] {
    let world = World::warm();
    let (work, bytes) = work(&world);
    let mut peers = installed();
    peers.push(Peer::Floor);
    let (mut rates, mut cpus) = (vec![Vec::new(); peers.len()], vec![Vec::new(); peers.len()]);
    for round in 0..3 {
        for (at, peer) in peers.iter().enumerate() {
            let (rate, cpu) = one(&world, *peer, &format!("{metric}{round}"), &work, bytes);
            rates[at].push(rate);
            cpus[at].push(cpu);
        }
    }
    let medians = |samples: Vec<Vec<f64>>| {
        peers.iter().copied().zip(samples.into_iter().map(|mut samples| median(&mut samples))).collect()
    };
    [medians(rates), medians(cpus)]
}

pub(crate) fn cat_rows() -> Vec<Row> {
    let [rates, cpus] = measure("cat", |world| {
        let file = world.sandbox.path().join("text");
        let line = "The quick brown fox jumps over the lazy dog, and the journal keeps every byte of it.\n";
        std::fs::write(&file, line.repeat(200_000_000 / line.len())).unwrap();
        (format!("cat {}", file.display()), 200_000_000)
    });
    vec![
        Row {
            metric: "`cat` of 200 MB to one client".to_owned(),
            unit: "MB/s",
            values: rates,
            goal: Goal::AtLeast(0.9, Peer::Dtach),
        },
        Row {
            metric: "server CPU for it, journal on".to_owned(),
            unit: "s",
            values: cpus,
            goal: Goal::AtMost(1.3, Peer::Dtach),
        },
    ]
}

pub(crate) fn yes_rows() -> Vec<Row> {
    let [_, cpus] = measure("yes", |_| {
        let agent = program("delight-fake-agent");
        (format!("{} --script 'flood 20000000'", agent.display()), 20_000_000)
    });
    vec![Row {
        metric: "20 MB of `y` lines: server CPU".to_owned(),
        unit: "s",
        values: cpus,
        goal: Goal::AtMost(1.5, Peer::Dtach),
    }]
}
