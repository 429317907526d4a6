//! The policy's side of the daemon: what the pure rules (`delight_core::policy`) need to be told of the machine.

mod asked;
mod resolved;

pub(crate) use asked::asked;
pub(crate) use resolved::{resolved, resolved_all};
