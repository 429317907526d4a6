//! Folding recorded inputs again, and hashing what comes out.
//!
//! A reducer is a pure function, so a recording of its inputs is a recording of everything it decided: folding it
//! again must give an equal state and equal effects, on another machine and with another build of the same code.

use serde::{Deserialize, Serialize};

use crate::actor::{Effects, Reducer, Stamped};

/// A stable 64-bit hash (FNV-1a over the JSON form): the same today, tomorrow and on another machine. It tells states
/// apart; it is no protection against anybody who wants two to collide.
#[derive(Debug, Clone, Copy)]
pub struct StateHash(u64);

impl Default for StateHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl StateHash {
    /// Hash of one value.
    #[must_use]
    pub fn of<T: Serialize + ?Sized>(value: &T) -> u64 {
        let mut hash = Self::default();
        hash.add(value);
        hash.finish()
    }

    /// Adds a value.
    pub fn add<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Writing plain data to a writer that never fails cannot fail; if a type ever refused, equal values would still
        // hash equally.
        let _ = serde_json::to_writer(&mut *self, value);
    }

    /// The hash so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0
    }
}

impl std::io::Write for StateHash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Folds recorded inputs from a first state; gives the last state and the effects of each step.
pub fn fold<R: Reducer>(
    first: R,
    inputs: impl IntoIterator<Item = Stamped<R::Input>>,
) -> (R, Vec<Effects<R::Effect>>) {
    let mut effects = Vec::new();
    let last = inputs.into_iter().fold(first, |state, input| {
        let (state, of_step) = state.reduce(input);
        effects.push(of_step);
        state
    });
    (last, effects)
}

/// An entry of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry<S, I> {
    /// The state from which the next inputs go on: where a recording begins, and now and then inside it.
    State(Box<S>),
    /// An input, written before it was reduced.
    Input(Stamped<I>),
    /// What came of the last input.
    Came(Came),
}

/// What came of a step, as far as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// Hash of the state after it.
    pub state: u64,
    /// Hash of its effects' printed form.
    pub effects: u64,
}

impl Came {
    /// Of a step that ended in this state with these effects.
    pub fn of<S: Serialize, E: std::fmt::Debug>(state: &S, effects: &Effects<E>) -> Self {
        Self { state: StateHash::of(state), effects: StateHash::of(&format!("{effects:?}")) }
    }
}

/// A recording being folded again, entry by entry.
#[derive(Debug, Clone)]
pub struct Replay<S> {
    state: Option<S>,
    came: Option<Came>,
    /// Inputs folded so far.
    pub inputs: u64,
    /// Beginnings: daemons that recorded, and states noted on the way.
    pub states: u64,
    /// Inputs before the first state: there is nothing to fold them into.
    pub skipped: u64,
}

impl<S> Default for Replay<S> {
    fn default() -> Self {
        Self { state: None, came: None, inputs: 0, states: 0, skipped: 0 }
    }
}

/// Where folding a recording gives something else than was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was recorded.
    pub recorded: Came,
    /// What folding gives.
    pub folded: Came,
}

impl<S> Replay<S>
where
    S: Reducer + Serialize,
    S::Effect: std::fmt::Debug,
{
    /// Folds the next entry.
    ///
    /// # Errors
    /// The last input gives something else than it gave when it was recorded. What follows may be folded all the same.
    pub fn next(&mut self, entry: Entry<S, S::Input>) -> Result<(), Difference> {
        match entry {
            Entry::State(state) => {
                self.states += 1;
                self.came = None;
                self.state = Some(*state);
                Ok(())
            }
            Entry::Input(input) => {
                let Some(state) = self.state.take() else {
                    self.skipped += 1;
                    return Ok(());
                };
                let (state, effects) = state.reduce(input);
                self.inputs += 1;
                self.came = Some(Came::of(&state, &effects));
                self.state = Some(state);
                Ok(())
            }
            Entry::Came(recorded) => match self.came.take() {
                Some(folded) if folded != recorded => Err(Difference { recorded, folded }),
                _ => Ok(()),
            },
        }
    }

    /// Something is missing here: goes on with the next state.
    pub fn forget(&mut self) {
        (self.state, self.came) = (None, None);
    }

    /// The state it has come to.
    #[must_use]
    pub fn state(&self) -> Option<&S> {
        self.state.as_ref()
    }
}
