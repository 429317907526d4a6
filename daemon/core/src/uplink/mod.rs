//! The link to the sync server: what to say when, and what was heard.
//!
//! One [`Uplink`] lives as long as the machine belongs to one account. It decides when to connect, what of the machine
//! and its sessions the server still has to be told, and which messages of phones are to be delivered next; the shell
//! around it (`daemon/src/uplink`) seals, opens, sends and receives. Nothing local ever waits for it: what is to be sent
//! is read from the event logs, so a server that is away for a day costs nothing but cursors.
//!
//! The shell answers each request effect exactly once, also when its connection broke; an answer may be late.

mod backoff;
mod connection;
mod effect;
mod facts;
mod inbox;
mod input;
mod outbox;
mod presence;
mod projection;
mod reduce;
mod register;
mod session;
mod state;

pub use backoff::Backoff;
pub use effect::{Effect, Slot};
pub use facts::{Facts, Host, facts};
pub use inbox::{Arrived, Delivery, PAGE, Prompt, Words};
pub use input::{Fault, Input, MachineRow, SessionRow, UpdateOutcome};
pub use outbox::{Notice, Shortened, Stored};
pub use projection::{Outgoing, Projection, Thinning, record_id};
pub use register::Register;
pub use state::{LinkView, Uplink};
