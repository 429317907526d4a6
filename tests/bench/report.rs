//! The table.

use std::time::Duration;

use crate::peer::Peer;

/// What a row is compared with.
pub(crate) enum Goal {
    /// At most this many times the peer's.
    AtMost(f64, Peer),
    /// At least this many times the peer's.
    AtLeast(f64, Peer),
    /// At most this much, whatever others do.
    Below(f64),
    /// Measured and told; nothing is promised.
    Told,
}

/// One line.
pub(crate) struct Row {
    pub(crate) metric: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<(Peer, f64)>,
    pub(crate) goal: Goal,
}

impl Row {
    fn value(&self, peer: Peer) -> Option<f64> {
        self.values.iter().find(|(p, _)| *p == peer).map(|(_, value)| *value)
    }

    /// What is promised, what it came to, and whether it holds; `None` where the peer is not installed.
    fn verdict(&self) -> (String, Option<(f64, bool)>) {
        let ours = self.value(Peer::Delight);
        let ratio = |peer| Some(ours? / self.value(peer)?);
        match self.goal {
            Goal::AtMost(most, peer) => (format!("≤ {most}× {peer}"), ratio(peer).map(|r| (r, r <= most))),
            Goal::AtLeast(least, peer) => {
                (format!("≥ {least}× {peer}"), ratio(peer).map(|r| (r, r >= least)))
            }
            Goal::Told => ("–".to_owned(), None),
            Goal::Below(most) => (
                format!("≤ {most} {}", self.unit),
                ours.map(|value| (if most > 0.0 { value / most } else { value }, value <= most)),
            ),
        }
    }
}

/// Prints all rows, as Markdown.
pub(crate) fn print(rows: &[Row]) {
    println!("| metric | ours | peers | ratio | goal | met |\n|---|---|---|---|---|---|");
    for row in rows {
        let show = |value: f64| format!("{value:.*} {}", if value < 10.0 { 2 } else { 0 }, row.unit);
        let ours = row.value(Peer::Delight).map_or("–".to_owned(), show);
        let others = row.values.iter().filter(|(peer, _)| *peer != Peer::Delight);
        let peers =
            others.map(|(peer, value)| format!("{peer} {}", show(*value))).collect::<Vec<_>>().join(", ");
        let (goal, verdict) = row.verdict();
        let (ratio, met) = match verdict {
            Some((ratio, true)) => (format!("{ratio:.2}"), "yes"),
            Some((ratio, false)) => (format!("{ratio:.2}"), "**no**"),
            None if matches!(row.goal, Goal::Told) => ("–".to_owned(), "–"),
            None => ("–".to_owned(), "peer missing"),
        };
        println!("| {} | {ours} | {peers} | {ratio} | {goal} | {met} |", row.metric);
    }
}

/// The middle one.
pub(crate) fn median(samples: &mut [f64]) -> f64 {
    percentile(samples, 50)
}

/// The one that so many percent do not exceed.
pub(crate) fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[(samples.len() - 1) * percent / 100]
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
