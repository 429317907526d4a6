//! One session: its record, its holder, its runner, and everybody who waits for something of it.

mod abandon;
mod agent_state;
mod asking;
mod bounding;
#[cfg(any(test, feature = "testing"))]
mod breach;
mod callers;
mod control;
mod dedupe;
mod effect;
mod ending;
mod input;
mod memory;
mod message;
mod order;
mod permission;
pub mod record;
mod reduce;
mod restoring;
mod starting;
pub mod state;
mod step;
mod storing;
mod verdict;
mod waiting;

pub use effect::{Answer, Class, Effect};
pub use input::{AgentHeard, Command, Ended, Found, Happening, Input, MAX_HEARD, Runner};
pub use state::{Capabilities, Controls, Session, Survivors};
