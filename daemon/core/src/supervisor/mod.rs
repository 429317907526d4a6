//! Which sessions there are, what they are called, and who may make another.

mod admit;
mod drain;
mod effect;
mod input;
mod reduce;
mod select;
pub mod state;

pub use effect::{Answer, Counts, Effect, Opening};
pub use input::{Boot, Input, Request, Stored};
pub use state::Supervisor;
