//! What every command is given: how to speak, and ways to the daemon.

use delight_proto::place::Place;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::{afar, launch, place};

/// One run of the client.
pub(crate) struct Context {
    pub(crate) out: Output,
    /// Another machine of the account, whose daemon is meant.
    pub(crate) machine: Option<String>,
}

impl Context {
    /// Where this user's daemon lives.
    ///
    /// # Errors
    /// The environment names no usable place.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        place::resolve()
    }

    /// A connection to the daemon that runs.
    ///
    /// # Errors
    /// None runs, or it cannot be reached.
    pub(crate) fn daemon(&self) -> Result<Connection, Failure> {
        if let Some(machine) = &self.machine {
            return afar::connect(&self.place()?, machine);
        }
        Ok(Connection::open(&self.place()?.control_socket())?)
    }

    /// A connection to the daemon, which is started if none runs here; and whether it was.
    ///
    /// # Errors
    /// It cannot be reached, found or started.
    pub(crate) fn daemon_or_start(&self, place: &Place) -> Result<(Connection, bool), Failure> {
        if self.machine.is_some() {
            return Ok((self.daemon()?, false));
        }
        launch::connect(place, None)
    }
}
