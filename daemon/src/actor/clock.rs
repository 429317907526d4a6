//! The daemon's clocks: the only place that reads them for a reducer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use delight_core::actor::{Deadline, Stamp};
use tokio::time::Instant;

/// Both clocks, with the daemon's start as the monotonic zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// One that starts now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Now.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { mono_ms: millis(self.start.elapsed()), wall_ms: wall_ms() }
    }

    /// The instant of a deadline. One millisecond later than its number says: stamps are cut to whole milliseconds, and
    /// a tick must never come before its time.
    pub(crate) fn instant(&self, deadline: Deadline) -> Instant {
        // A deadline beyond what the clock can hold is as good as none; a century is.
        let after = Duration::from_millis(deadline.at.min(100 * 365 * 86_400_000).saturating_add(1));
        self.start + after
    }
}

/// Unix milliseconds.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
