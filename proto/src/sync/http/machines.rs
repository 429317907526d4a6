//! Machines on the server.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Call, Done, Verb, encoded};
use crate::sync::bounded::{Id, KeyText, List, SealedText};
use crate::sync::bounds;
use crate::sync::row::MachineRow;

/// Registers a machine. A row that exists comes back unchanged, nothing sent is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateMachine {
    /// The machine's own id, a UUIDv4. It is unique over all accounts of a server.
    pub id: Id,
    /// Sealed machine metadata.
    pub metadata: SealedText,
    /// Sealed daemon state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon_state: Option<SealedText>,
    /// The machine's data key, wrapped to the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_encryption_key: Option<KeyText>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineCreated {
    /// The machine.
    pub machine: MachineRow,
}

impl Call for CreateMachine {
    type Answer = MachineCreated;
    const VERB: Verb = Verb::Post;

    fn path(&self) -> String {
        "/v1/machines".into()
    }
}

/// Lists the account's machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ListMachines {}

/// The machines: a bare list; `{"machines":[…]}` is read too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct MachineList(pub List<MachineRow, { bounds::MACHINES }>);

impl<'de> Deserialize<'de> for MachineList {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Bare(List<MachineRow, { bounds::MACHINES }>),
            Named { machines: List<MachineRow, { bounds::MACHINES }> },
        }
        Ok(match Wire::deserialize(d)? {
            Wire::Bare(machines) | Wire::Named { machines } => Self(machines),
        })
    }
}

impl Call for ListMachines {
    type Answer = MachineList;
    const VERB: Verb = Verb::Get;

    fn path(&self) -> String {
        "/v1/machines".into()
    }
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GetMachine {
    /// The machine.
    #[serde(skip)]
    pub id: Id,
}

impl Call for GetMachine {
    type Answer = MachineCreated;
    const VERB: Verb = Verb::Get;

    fn path(&self) -> String {
        format!("/v1/machines/{}", encoded(&self.id))
    }
}

/// Removes a machine from the account; its sessions stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeleteMachine {
    /// The machine.
    #[serde(skip)]
    pub id: Id,
}

impl Call for DeleteMachine {
    type Answer = Done;
    const VERB: Verb = Verb::Delete;

    fn path(&self) -> String {
        format!("/v1/machines/{}", encoded(&self.id))
    }
}
