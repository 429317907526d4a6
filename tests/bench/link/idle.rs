//! What a machine costs when nothing happens; and how long a way that is dead without a word goes unnoticed.

use std::time::{Duration, Instant};

use delight_proto::api::method::{DaemonStatus, Empty, UplinkState};
use delight_tests::proxy::Proxy;
use delight_tests::{kernel, until};

use super::machine::Machine;
use super::{Server, installed};
use crate::peer::Peer;
use crate::report::{Goal, Row};

/// How long is looked at: two of every sign of life there is.
const LOOK: Duration = Duration::from_secs(30);
/// Time for what a start leaves to do.
const SETTLE: Duration = Duration::from_secs(5);
/// Sessions of the machine that is not empty.
const SESSIONS: usize = 10;

struct Idle {
    metric: &'static str,
    proxy: Proxy,
    machine: Machine,
}

impl Idle {
    fn new(metric: &'static str, peer: Peer, server: &Server, sessions: usize) -> Self {
        let proxy = Proxy::to(server.url().strip_prefix("http://").unwrap().parse().unwrap(), 1);
        let mut machine = Machine::online(peer, &proxy.base(), &server.url());
        for number in 0..sessions {
            let call = vec![("spawn-happy-session", machine.spawn(number))];
            let (answer, _) = machine.phone.call_all(call).remove(0).unwrap();
            assert_eq!(answer["type"], "success", "{answer}");
        }
        Self { metric, proxy, machine }
    }

    /// CPU so far, in milliseconds, and bytes carried both ways.
    fn look(&self) -> (f64, u64) {
        (kernel::cpu_ns(self.machine.pid()) as f64 / 1e6, self.proxy.wrongs().bytes)
    }
}

/// Seconds until a machine whose way fell silent for ever is online by a new one, as its daemon says: a phone's call would
/// wait for the relay's time limit first.
fn unnoticed(idle: &Idle) -> f64 {
    let mut client = idle.machine.sandbox.client();
    let mut link = || client.call::<DaemonStatus>(&Empty {}).unwrap().uplink.unwrap();
    let before = link().since_ms;
    idle.proxy.forget();
    let began = Instant::now();
    until("the machine is online by a new way", || {
        let link = link();
        link.state == UplinkState::Online && link.since_ms > before
    });
    began.elapsed().as_secs_f64()
}

pub(crate) fn rows() -> Vec<Row> {
    let server = Server::start();
    let mut idle: Vec<Idle> = Vec::new();
    for peer in installed() {
        idle.push(Idle::new("without sessions", peer, &server, 0));
    }
    idle.push(Idle::new("with 10 sessions", Peer::Delight, &server, SESSIONS));
    let dead = Idle::new("", Peer::Delight, &server, 0);
    std::thread::sleep(SETTLE);
    let (looked, noticed) = std::thread::scope(|scope| {
        let noticed = scope.spawn(move || unnoticed(&dead));
        let (before, began) = (idle.iter().map(Idle::look).collect::<Vec<_>>(), Instant::now());
        std::thread::sleep(LOOK);
        let seconds = began.elapsed().as_secs_f64();
        let looked: Vec<(f64, f64)> = idle
            .iter()
            .zip(before)
            .map(|(idle, before)| {
                let after = idle.look();
                ((after.0 - before.0) / seconds, (after.1 - before.1) as f64 / seconds)
            })
            .collect();
        (looked, noticed.join().unwrap())
    });
    let mut rows = Vec::new();
    for metric in ["without sessions", "with 10 sessions"] {
        let of = |value: fn(&(f64, f64)) -> f64| {
            let all = idle.iter().zip(&looked).filter(|(idle, _)| idle.metric == metric);
            all.map(|(idle, looked)| (idle.machine.peer, value(looked))).collect::<Vec<_>>()
        };
        rows.push(Row {
            metric: format!("payload between an idle machine and the relay, both ways, {metric}"),
            unit: "B/s",
            values: of(|(_, bytes)| *bytes),
            goal: Goal::Told,
        });
        rows.push(Row {
            metric: format!("CPU of the daemon for it, {metric}"),
            unit: "ms/s",
            values: of(|(cpu, _)| *cpu),
            goal: Goal::Told,
        });
    }
    rows.push(Row {
        metric: "the way is dead and nobody says so → noticed, and online by a new one".to_owned(),
        unit: "s",
        values: vec![(Peer::Delight, noticed)],
        goal: Goal::Below(30.0),
    });
    rows
}
