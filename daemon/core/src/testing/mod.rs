//! For tests: a table helper, and a simulated world around the real reducers.
//!
//! - [`table`]: one input after the other into one session, by hand;
//! - [`sim`]: virtual time, a disk, holders and processes, clients and crashes, all from one seed;
//! - [`model`]: runs seeds and says how to run a failing one again.

mod agent;
mod checks;
mod checks_of_agents;
mod clients;
mod disk;
mod kernel;
pub mod model;
mod process;
pub mod rng;
mod shell;
pub mod sim;
pub mod table;
