//! How long until a machine is there again after its server or the way to it was not.

use std::time::{Duration, Instant};

use delight_tests::proxy::Proxy;

use super::machine::Machine;
use super::{Server, installed};
use crate::peer::Peer;
use crate::report::{Goal, Row, median};

/// How long the relay is away, in turns: a restart, an upgrade, a short outage.
const AWAY: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::ZERO,
    Duration::from_secs(3),
];
/// Cuts of the connection.
const CUTS: usize = 10;
/// Of a peer that waits for seconds after each.
const SLOW_CUTS: usize = 3;
/// How long the way takes connections and carries nothing.
const SILENT: Duration = Duration::from_secs(3);
/// Times it does so.
const SILENCES: usize = 3;
const SLOW_SILENCES: usize = 1;

/// A machine behind a proxy of its own, and the samples of each situation, in seconds.
struct Way {
    proxy: Proxy,
    machine: Machine,
}

impl Way {
    fn back(&mut self, since: Instant) -> f64 {
        self.machine.until_answered();
        since.elapsed().as_secs_f64()
    }

    fn is_slow(&self) -> bool {
        self.machine.peer == Peer::Happy
    }

    fn cuts(&mut self) -> Vec<f64> {
        let count = if self.is_slow() { SLOW_CUTS } else { CUTS };
        (0..count)
            .map(|_| {
                let began = Instant::now();
                assert!(self.proxy.cut() > 0, "there was a connection to cut");
                self.back(began)
            })
            .collect()
    }

    fn silences(&mut self) -> Vec<f64> {
        let count = if self.is_slow() { SLOW_SILENCES } else { SILENCES };
        (0..count)
            .map(|_| {
                self.proxy.hold();
                self.proxy.cut();
                std::thread::sleep(SILENT);
                // What is being connected now stays silent for ever.
                self.proxy.forget();
                self.back(Instant::now())
            })
            .collect()
    }
}

/// Does the same with every machine at the same time.
fn together(ways: &mut [Way], measure: impl Fn(&mut Way) -> Vec<f64> + Sync) -> Vec<(Peer, Vec<f64>)> {
    let measure = &measure;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            ways.iter_mut().map(|way| scope.spawn(move || (way.machine.peer, measure(way)))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

pub(crate) fn rows() -> Vec<Row> {
    let mut server = Server::start();
    let address = server.url().strip_prefix("http://").unwrap().parse().unwrap();
    let mut ways: Vec<Way> = installed()
        .into_iter()
        .map(|peer| {
            let proxy = Proxy::to(address, 1);
            let machine = Machine::online(peer, &proxy.base(), &server.url());
            Way { proxy, machine }
        })
        .collect();

    let mut restarts: Vec<(Peer, Vec<f64>)> = Vec::new();
    for away in AWAY {
        server.restart(away);
        let began = Instant::now();
        for (peer, samples) in together(&mut ways, |way| vec![way.back(began)]) {
            match restarts.iter_mut().find(|(p, _)| *p == peer) {
                Some((_, all)) => all.extend(samples),
                None => restarts.push((peer, samples)),
            }
        }
    }
    let cuts = together(&mut ways, Way::cuts);
    let silences = together(&mut ways, Way::silences);

    let situations = [
        ("the relay was killed and is back", restarts),
        ("the connection was cut", cuts),
        ("the way took connections and was silent", silences),
    ];
    let mut rows = Vec::new();
    for (situation, samples) in situations {
        for (which, of) in [("median", median as fn(&mut [f64]) -> f64), ("slowest", slowest)] {
            let values = samples.iter().map(|(peer, samples)| (*peer, of(&mut samples.clone()))).collect();
            rows.push(Row {
                metric: format!("{situation} → it answers a phone again, {which}"),
                unit: "s",
                values,
                goal: Goal::Below(2.0),
            });
        }
    }
    rows
}

fn slowest(samples: &mut [f64]) -> f64 {
    samples.iter().copied().fold(0.0, f64::max)
}
