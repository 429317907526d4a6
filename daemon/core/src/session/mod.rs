//! One session: its record, its holder, its runner, and everybody who waits for something of it.

mod effect;
mod input;
pub mod record;
pub mod state;

pub use effect::{Answer, Class, Effect};
pub use input::{Command, Ended, Found, Happening, Input, Runner};
pub use state::{Capabilities, Session, Survivors};
