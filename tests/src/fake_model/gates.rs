//! Named points at which a reply waits until a test lets it go on: "the model is still working", without a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How often somebody who waits looks whether the agent is still there.
const LOOK: Duration = Duration::from_millis(20);

/// How long a gate keeps anybody: a test that forgot to open it ends by its own deadline before.
const PATIENCE: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gates {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeSet<String>,
    waiting: BTreeMap<String, usize>,
}

impl Gates {
    pub(super) fn open(&self, name: &str) {
        if let Ok(mut state) = self.state.lock() {
            state.open.insert(name.to_owned());
        }
        self.changed.notify_all();
    }

    pub(super) fn waiting(&self, name: &str) -> usize {
        self.state.lock().map_or(0, |state| state.waiting.get(name).copied().unwrap_or_default())
    }

    /// Waits until the gate is open.
    pub(super) fn pass(&self, name: &str, agent: &TcpStream, over: &AtomicBool) -> io::Result<()> {
        self.count(name, 1);
        let passed = self.wait(PATIENCE, agent, over, |state| state.open.contains(name));
        self.count(name, -1);
        passed
    }

    /// Waits that long.
    pub(super) fn pause(&self, time: Duration, agent: &TcpStream, over: &AtomicBool) -> io::Result<()> {
        self.wait(time, agent, over, |_| false)
    }

    fn count(&self, name: &str, by: isize) {
        if let Ok(mut state) = self.state.lock() {
            let waiting = state.waiting.entry(name.to_owned()).or_default();
            *waiting = waiting.saturating_add_signed(by);
        }
    }

    /// Waits for the condition or the time; fails when the agent hangs up or the server ends.
    fn wait(
        &self,
        time: Duration,
        agent: &TcpStream,
        over: &AtomicBool,
        done: impl Fn(&State) -> bool,
    ) -> io::Result<()> {
        let end = Instant::now() + time;
        loop {
            let Ok(state) = self.state.lock() else { return Err(io::ErrorKind::Other.into()) };
            let left = end.saturating_duration_since(Instant::now());
            if done(&state) || left.is_zero() {
                return Ok(());
            }
            drop(self.changed.wait_timeout(state, left.min(LOOK)));
            if over.load(Ordering::Relaxed) || hung_up(agent) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }
}

/// Whether the agent closed its end.
fn hung_up(agent: &TcpStream) -> bool {
    if agent.set_nonblocking(true).is_err() {
        return true;
    }
    let peeked = agent.peek(&mut [0]);
    let _ = agent.set_nonblocking(false);
    match peeked {
        Ok(read) => read == 0,
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
    }
}
