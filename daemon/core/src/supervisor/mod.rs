//! Which sessions there are, what they are called, and who may make another.

mod effect;
mod input;
pub mod state;

pub use effect::{Answer, Counts, Effect, Opening};
pub use input::{Boot, Input, Request, Stored};
pub use state::Supervisor;
