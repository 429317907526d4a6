//! Five hundred sessions: made, listed, weighed; a hundred idle ones: listened to.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use delight_proto::api::method::SessionSpawn;
use delight_tests::api::{Line, spawn};
use delight_tests::kernel;

use crate::peer::{Peer, World, installed, run};
use crate::report::{Goal, Row, median, ms};

const COUNT: usize = 500;

/// Sleeps for as long as the bench could possibly last.
const IDLE: [&str; 2] = ["sleep", "100000"];

/// Makes 500 sessions the fastest way the peer has over one connection; returns sessions a second.
fn make(world: &World, peer: Peer) -> f64 {
    let began = Instant::now();
    match peer {
        Peer::Delight => {
            let mut client = world.sandbox.client();
            for _ in 0..COUNT {
                client.send::<SessionSpawn>(&spawn(&IDLE)).unwrap();
            }
            for _ in 0..COUNT {
                let Line::Answer(answer) = client.read().unwrap() else { panic!("not an answer") };
                assert!(answer.error.is_none(), "{answer:?}");
            }
        }
        Peer::Tmux => {
            let file = world.sandbox.path().join("spawns.conf");
            let mut text = String::new();
            for n in 0..COUNT {
                let _ = writeln!(text, "new-session -d -s c{n} '{}'", IDLE.join(" "));
            }
            std::fs::write(&file, text).unwrap();
            let mut command = world.sandbox.command("tmux");
            command.arg("-S").arg(world.sandbox.path().join("tmux.sock")).arg("source-file").arg(file);
            run(command);
        }
        Peer::Dtach | Peer::Floor | Peer::Happy => {
            for n in 0..COUNT {
                run(world.spawn(peer, &format!("c{n}"), &IDLE));
            }
        }
    }
    COUNT as f64 / began.elapsed().as_secs_f64()
}

/// Milliseconds of a whole client that lists them.
fn list(world: &World, peer: Peer) -> f64 {
    let mut samples: Vec<f64> = (0..30)
        .map(|_| {
            let command = match peer {
                Peer::Tmux => {
                    let mut command = world.sandbox.command("tmux");
                    command.arg("-S").arg(world.sandbox.path().join("tmux.sock")).arg("list-sessions");
                    command
                }
                _ => {
                    let mut command = world.sandbox.command(delight_tests::binaries::program("delightctl"));
                    command.arg("list");
                    command
                }
            };
            let began = Instant::now();
            run(command);
            ms(began.elapsed())
        })
        .collect();
    median(&mut samples)
}

/// Wake-ups a second of these processes together.
fn wakeups(pids: &[u32]) -> f64 {
    let count = || pids.iter().map(|pid| kernel::wakeups(*pid)).sum::<u64>();
    let (before, began) = (count(), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    (count() - before) as f64 / began.elapsed().as_secs_f64()
}

pub(crate) fn rows() -> Vec<Row> {
    let (mut rate, mut listing, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = Vec::new();
    for peer in installed() {
        let world = World::warm();
        rate.push((peer, make(&world, peer)));
        if peer != Peer::Dtach {
            listing.push((peer, list(&world, peer)));
        }
        if peer == Peer::Tmux {
            continue;
        }
        let holders = match peer {
            Peer::Delight => world.sandbox.holders(),
            _ => world.sandbox.processes().into_values().filter(|p| p.command.contains("dtach")).collect(),
        };
        let holders: Vec<u32> = holders.iter().map(|holder| holder.pid).collect();
        assert_eq!(holders.len(), COUNT, "{peer}");
        let private: u64 = holders.iter().map(|pid| kernel::private_memory(*pid)).sum();
        memory.push((peer, private as f64 / COUNT as f64 / 1024.0));
        if let (Peer::Delight, Some(daemon)) = (peer, &world.daemon) {
            for (who, pids, goal) in [("holders", &holders[..100], 0.0), ("daemon", &[daemon.pid()][..], 1.0)]
            {
                rows.push(Row {
                    metric: format!("wake-ups a second of the {who}, idle"),
                    unit: "/s",
                    values: vec![(peer, wakeups(pids))],
                    goal: Goal::Below(goal),
                });
            }
            // After the quiet in which wake-ups were counted: what making and listing them took is over.
            rows.push(Row {
                metric: format!("private memory of the daemon, {COUNT} idle sessions"),
                unit: "MB",
                values: vec![(peer, kernel::private_memory(daemon.pid()) as f64 / 1e6)],
                goal: Goal::Below(15.0 + COUNT as f64 * 10.0 * 1024.0 / 1e6),
            });
        }
    }
    rows.insert(
        0,
        Row {
            metric: format!("private memory a session, {COUNT} idle"),
            unit: "KiB",
            values: memory,
            goal: Goal::Below(500.0),
        },
    );
    rows.insert(
        0,
        Row {
            metric: format!("`list` of {COUNT} sessions, whole client"),
            unit: "ms",
            values: listing,
            goal: Goal::AtMost(0.7, Peer::Tmux),
        },
    );
    rows.insert(
        0,
        Row {
            metric: format!("{COUNT} spawns over one connection"),
            unit: "/s",
            values: rate,
            goal: Goal::AtLeast(1.0, Peer::Tmux),
        },
    );
    rows
}
