//! Folding recorded inputs again, and hashing what comes out.
//!
//! A reducer is a pure function, so a recording of its inputs is a recording of everything it decided: folding it
//! again must give an equal state and equal effects, on another machine and with another build of the same code.

use serde::Serialize;

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
