//! One step of a reducer, guarded against its own faults.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use delight_core::actor::{Effects, Reducer, Stamped};
use tokio::time::Instant;

use super::Clock;

/// A reducer and its state.
#[derive(Debug)]
pub(crate) struct Core<R> {
    /// Missing only after a panic.
    state: Option<R>,
    clock: Clock,
}

/// The reducer panicked: a fault of ours. Its state is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panicked(pub(crate) String);

impl<R: Reducer> Core<R> {
    /// Begins with this state.
    pub(crate) fn new(state: R, clock: Clock) -> Self {
        Self { state: Some(state), clock }
    }

    /// The state, unless a panic took it.
    pub(crate) fn state(&self) -> Option<&R> {
        self.state.as_ref()
    }

    /// When the reducer wants a tick.
    pub(crate) fn until_deadline(&self) -> Option<Instant> {
        self.state.as_ref()?.deadline().map(|deadline| self.clock.instant(deadline))
    }

    /// Gives an input its time.
    pub(crate) fn stamp(&self, input: R::Input) -> Stamped<R::Input> {
        Stamped { at: self.clock.stamp(), input }
    }

    /// Gives the reducer one input.
    pub(crate) fn step(&mut self, input: Stamped<R::Input>) -> Result<Effects<R::Effect>, Panicked> {
        let Some(state) = self.state.take() else { return Err(Panicked("it has ended".to_owned())) };
        // What the closure can leave half done is the state, and the state is thrown away.
        match catch_unwind(AssertUnwindSafe(|| state.reduce(input))) {
            Ok((state, effects)) => {
                self.state = Some(state);
                Ok(effects)
            }
            Err(panic) => Err(Panicked(text(panic.as_ref()))),
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no reason given".to_owned())
}
