//! The phone's side: what a person's other device does with an account, its machines and its sessions.
//!
//! A [`Phone`] is one [`Account`] on one [`Server`]. Any number of threads may ask it; one dispatcher does what they ask, one
//! thing after the other, and answers each exactly once by a [`Ticket`], which is awaited or waited for. What happens
//! without being asked for comes as [`PhoneEvent`]s.
//!
//! ```no_run
//! use delight_sdk::{Account, Dialect, Phone, Server, Words};
//!
//! # fn main() -> Result<(), delight_sdk::Error> {
//! let account = Account::create(Dialect::Happy)?;
//! let phone = Phone::connect(Server::new("http://127.0.0.1:3005")?, account)?;
//! for session in phone.sessions().wait()? {
//!     if session.can_send {
//!         phone.send(&session.id, Words::new("How far are you?")).wait()?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What must never be: an answer that does not come or comes twice; a listener called under a lock; a message lost, doubled
//! or out of order; *offline* said of what is merely not known; a secret, a token or a plaintext in a log or an error.
//!
//! Calls are always bound to their method, receiver and moment, and answers to their call: a server cannot use one for
//! another. Machines that run something else than delight do not understand that and refuse.

mod account;
mod calls;
pub mod control;
mod dispatcher;
mod error;
mod event;
mod fresh;
mod http;
mod lanes;
mod link;
mod machines;
mod mail;
mod messages;
pub mod outbox;
pub mod pairing;
mod phone;
mod requests;
mod sealed;
mod server;
mod sessions;
mod spawn;
mod state;
pub mod timeline;

pub use delight_crypto::Dialect;

pub use self::account::{Account, PairingForm};
pub use self::control::{Control, Driver, Presence};
pub use self::dispatcher::Ticket;
pub use self::error::{Error, Kind};
pub use self::event::{NoEvent, PhoneEvent, Subscription};
pub use self::machines::Machine;
pub use self::mail::{Sent, Words};
pub use self::messages::{Message, Page};
pub use self::pairing::Approved;
pub use self::phone::Phone;
pub use self::server::Server;
pub use self::sessions::Session;
pub use self::spawn::Spawn;
