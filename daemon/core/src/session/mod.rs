//! One session: its record, its holder, its runner, and everybody who waits for something of it.

mod asking;
#[cfg(any(test, feature = "testing"))]
mod breach;
mod effect;
mod ending;
mod input;
pub mod record;
mod reduce;
mod restoring;
mod starting;
pub mod state;
mod step;
mod storing;

pub use effect::{Answer, Class, Effect};
pub use input::{AgentHeard, Command, Ended, Found, Happening, Input, Runner};
pub use state::{Capabilities, Controls, Session, Survivors};
