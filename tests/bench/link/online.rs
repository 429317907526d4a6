//! From the start of the daemon until a phone's call is answered.

use std::time::Instant;

use super::machine::Machine;
use super::{Server, installed};
use crate::peer::Peer;
use crate::report::{Goal, Row, median, ms};

/// Machines that are started. Each is new to the server: nothing it remembers can be taken for the machine itself.
const STARTS: usize = 15;
/// Of a peer that takes seconds.
const SLOW_STARTS: usize = 3;

pub(crate) fn rows() -> Vec<Row> {
    let server = Server::start();
    let mut values = Vec::new();
    for peer in installed() {
        let starts = if peer == Peer::Happy { SLOW_STARTS } else { STARTS };
        let mut samples: Vec<f64> = (0..starts)
            .map(|_| {
                let mut machine = Machine::paired(peer, &server.url(), &server.url());
                let began = Instant::now();
                machine.start();
                machine.until_answered();
                ms(began.elapsed())
            })
            .collect();
        values.push((peer, median(&mut samples)));
    }
    vec![Row {
        metric: "start of the daemon → it answers a phone through the relay".to_owned(),
        unit: "ms",
        values,
        goal: Goal::Below(150.0),
    }]
}
