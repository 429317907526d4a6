//! What a reducer is: state and input in, state and effects out.

use serde::{Deserialize, Serialize};

/// When an input happened, read once by the loop around the reducer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds of a clock that only goes forward and stands still while the machine sleeps (`CLOCK_MONOTONIC`).
    /// Deadlines are measured on it. Its zero is arbitrary and differs from one daemon to the next.
    pub mono_ms: u64,
    /// Unix milliseconds: for people and for records, never for deadlines.
    pub wall_ms: u64,
}

/// An input with the time at which it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<I> {
    /// When.
    pub at: Stamp,
    /// What.
    pub input: I,
}

/// The next moment at which a reducer wants a tick even if nothing else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// When, in [`Stamp::mono_ms`].
    pub at: u64,
    /// Who wants it, for people.
    pub what: &'static str,
}

impl Deadline {
    /// The earliest of several.
    #[must_use]
    pub fn earliest(of: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        of.into_iter().flatten().min()
    }
}

/// A caller who is owed exactly one answer. The shell numbers them from 1 and never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

impl Ticket {
    /// Nobody waits: the answer is to be thrown away. For what the daemon asks of its own sessions.
    pub const NOBODY: Self = Self(0);
}

/// What is to be done after a step, in this order. Not doing it is a bug, hence `must_use`.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects<E>(Vec<E>);

impl<E> Default for Effects<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> Effects<E> {
    /// Adds one at the end.
    pub fn push(&mut self, effect: E) {
        self.0.push(effect);
    }

    /// In order, for looking at.
    pub fn iter(&self) -> std::slice::Iter<'_, E> {
        self.0.iter()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<E> From<Vec<E>> for Effects<E> {
    fn from(effects: Vec<E>) -> Self {
        Self(effects)
    }
}

impl<E> IntoIterator for Effects<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a Effects<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A state machine that decides and does nothing.
///
/// The loop around it gives it one input at a time, carries out the effects of a step **before** it gives the next
/// one (see [`crate::session::Effect`] for what may run on), and sends the reducer's tick input when
/// [`Reducer::deadline`] has come. `reduce` never panics on any input in any state.
pub trait Reducer: Sized {
    /// What happens to it.
    type Input;
    /// What it wants done.
    type Effect;

    /// One step.
    fn reduce(self, input: Stamped<Self::Input>) -> (Self, Effects<Self::Effect>);

    /// When it wants a tick. After a step at `now` it is later than `now`: a due deadline was served by that step's
    /// tick, so the loop can never spin.
    fn deadline(&self) -> Option<Deadline>;

    /// The input that says "your deadline has come".
    fn tick() -> Self::Input;
}
